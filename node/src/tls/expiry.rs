//! When the node's certificate ends, and when to say so: a node that runs for two years must not be found out
//! by a handshake that fails.
//!
//! ```text
//!   ........ 30 days left, one line a day ........ the end, one line an hour: nobody new can connect
//! ```
//!
//! A connection that is open stays open, so an expired certificate shows only bit by bit, as others restart. Pure: the
//! wall time is an argument. Left out: the authority's own end, ten years away, and loading a new certificate
//! without a restart.

use std::path::PathBuf;
use std::time::Duration;

use quoit_ring::Millis;
use quoit_ring::wire::WarningKind;

use crate::clock::Now;
use crate::warnings::Warnings;

const DAY: u64 = 24 * 3600 * 1000;
/// How early an end is announced.
const EARLY: u64 = 30 * DAY;
/// How often the end is announced.
const DAILY: u64 = DAY;
/// How often it is said that the end has come.
const HOURLY: u64 = DAY / 24;

/// Watches the end of a certificate.
#[derive(Debug)]
pub(crate) struct ExpiryWatch {
    /// The certificate's file.
    path: PathBuf,
    not_after: Millis,
    /// When something was said, and what.
    said: Option<(Millis, Notice)>,
}

/// Something to say of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    /// It ends soon.
    Soon { left: Duration },
    /// It has ended.
    Over,
}

impl ExpiryWatch {
    pub(crate) const fn new(path: PathBuf, not_after: Millis) -> Self {
        Self {
            path,
            not_after,
            said: None,
        }
    }

    /// Logs what is due, and keeps the warning of the status.
    pub(crate) fn look(&mut self, now: Now, warnings: &Warnings) {
        let (kind, path) = (WarningKind::Certificate, self.path.display().to_string());
        match self.left(now.wall) {
            None => warnings.clear(kind),
            Some(0) => warnings.note(kind, 0, now.mono, || {
                format!("{path} has expired, nobody new can connect: issue a new certificate and restart the node")
            }),
            Some(left) => warnings.note(kind, 0, now.mono, || {
                let days = left / DAY;
                format!("{path} expires in {days} days: issue a new certificate and restart the node")
            }),
        }
        match self.due(now.wall) {
            None => {}
            Some(Notice::Soon { left }) => {
                let days = left.as_secs() / (24 * 3600);
                tracing::warn!(%path, days, "the certificate expires soon; issue a new one and restart the node with it");
            }
            Some(Notice::Over) => {
                tracing::error!(%path, "the certificate has expired: nobody new can connect; issue a new one and restart the node with it");
            }
        }
    }

    /// Milliseconds until the end, if it is near.
    fn left(&self, now: Millis) -> Option<u64> {
        let left = self.not_after.0.saturating_sub(now.0);
        (left <= EARLY).then_some(left)
    }

    fn due(&mut self, now: Millis) -> Option<Notice> {
        let (notice, pause) = match self.left(now)? {
            0 => (Notice::Over, HOURLY),
            left => {
                let left = Duration::from_millis(left);
                (Notice::Soon { left }, DAILY)
            }
        };
        let recent = self.said.is_some_and(|(when, before)| {
            let same = matches!(before, Notice::Over) == matches!(notice, Notice::Over);
            same && now.0.saturating_sub(when.0) < pause
        });
        if recent {
            return None;
        }
        self.said = Some((now, notice));
        Some(notice)
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::Moment;

    use super::*;

    #[test]
    fn an_end_is_announced_daily_for_a_month_and_then_said_hourly() {
        let end = 1_000 * DAY;
        let mut watch = ExpiryWatch::new("node.pem".into(), Millis(end));
        let mut said = [0, 0];
        // Every second would be the real pace; every minute says the same.
        for now in (end - 60 * DAY..end + 2 * DAY).step_by(60_000) {
            match watch.due(Millis(now)) {
                None => {}
                Some(Notice::Soon { left }) => {
                    assert!(now >= end - EARLY && left == Duration::from_millis(end - now));
                    said[0] += 1;
                }
                Some(Notice::Over) => {
                    assert!(now >= end);
                    said[1] += 1;
                }
            }
        }
        assert_eq!(said, [30, 48]);
    }

    #[test]
    fn a_clock_that_goes_back_says_nothing_twice_at_once() {
        let mut watch = ExpiryWatch::new("node.pem".into(), Millis(5));
        assert_eq!(watch.due(Millis(9)), Some(Notice::Over));
        assert_eq!(watch.due(Millis(8)), None);
    }

    #[test]
    fn the_status_warns_from_a_month_before_the_end_on() {
        let end = 1_000 * DAY;
        let mut watch = ExpiryWatch::new("node.pem".into(), Millis(end));
        let warnings = Warnings::default();
        let mut look = |wall: u64| {
            let now = Now {
                wall: Millis(wall),
                mono: Moment(wall * 1_000),
            };
            watch.look(now, &warnings);
            let listed = warnings.list(now.mono);
            listed.first().map(|warning| warning.text.clone())
        };
        assert_eq!(look(end - EARLY - 1), None);
        assert!(
            look(end - EARLY + 1)
                .unwrap()
                .contains("node.pem expires in 29 days")
        );
        assert!(look(end).unwrap().contains("has expired"));
        assert_eq!(look(end - EARLY - 1), None, "the clock was wrong");
    }
}
