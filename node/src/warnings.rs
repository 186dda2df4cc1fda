//! What is not as it should be at present, for `quoit status`: one entry of each kind.
//!
//! ```text
//!   committer        DiskSpace, Storage            note(kind, ..)                       status
//!   background       Certificate, UncountedHints   ---------------> Warnings ---list---> handler
//!   server           Handshakes                    clear(kind)
//!   start            OpenFiles, Address            <--------------
//!   change           Change, Incomplete
//!   gossip           SilentMembers, Isolated,
//!                    RunsElsewhere,
//!                    OtherRecovery
//! ```
//!
//! The log says what happened and when, to whoever reads it; this says what holds now, to whoever asks. Each kind is
//! noted and cleared by one part of the node. What others can cause, again and again, is counted, and its text is made
//! at most once a second. A failed handshake says nothing of the present for long: that kind ends an hour after the last.
//!
//! Bounded: one entry of each kind, each text cut off at its limit. The time is an argument.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quoit_ring::Moment;
use quoit_ring::wire::{MAX_WARNING_TEXT, Warning, WarningKind};

/// How often the text of one kind is made again.
const TEXT_EVERY: Duration = Duration::from_secs(1);
/// How long after its last failure the handshakes' warning ends.
const RECENT: Duration = Duration::from_secs(3_600);

/// The warnings of one node.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<[Option<Entry>; WarningKind::ALL.len()]>);

#[derive(Debug)]
struct Entry {
    since: Moment,
    last: Moment,
    text_at: Moment,
    count: u64,
    text: String,
}

impl Warnings {
    /// It holds now, and has happened `times` more.
    pub(crate) fn note(
        &self,
        kind: WarningKind,
        times: u64,
        now: Moment,
        text: impl FnOnce() -> String,
    ) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(kind as usize) else {
            debug_assert!(false, "every kind has a place");
            return;
        };
        match entry {
            Some(entry) if !is_over(kind, entry, now) => {
                entry.count = entry.count.saturating_add(times);
                entry.last = now;
                if now.saturating_since(entry.text_at) >= TEXT_EVERY {
                    (entry.text, entry.text_at) = (cut(text()), now);
                }
            }
            _ => {
                *entry = Some(Entry {
                    since: now,
                    last: now,
                    text_at: now,
                    count: times,
                    text: cut(text()),
                });
            }
        }
    }

    /// It does not hold any more.
    pub(crate) fn clear(&self, kind: WarningKind) {
        if let Some(entry) = self.entries().get_mut(kind as usize) {
            *entry = None;
        }
    }

    /// What holds now.
    pub(crate) fn list(&self, now: Moment) -> Vec<Warning> {
        let entries = self.entries();
        let listed = WarningKind::ALL.into_iter().zip(&*entries);
        listed
            .filter_map(|(kind, entry)| {
                let entry = entry.as_ref().filter(|entry| !is_over(kind, entry, now))?;
                let since = now.saturating_since(entry.since).as_millis();
                Some(Warning {
                    kind,
                    since_ms: u64::try_from(since).unwrap_or(u64::MAX),
                    count: entry.count,
                    text: entry.text.clone(),
                })
            })
            .collect()
    }

    fn entries(&self) -> MutexGuard<'_, [Option<Entry>; WarningKind::ALL.len()]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it has ended by itself.
fn is_over(kind: WarningKind, entry: &Entry, now: Moment) -> bool {
    kind == WarningKind::Handshakes && now.saturating_since(entry.last) > RECENT
}

/// As much of a text as a warning may have.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_WARNING_TEXT));
    text
}

/// An error with its sources, as one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = sources.map(ToString::to_string).collect();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1_000_000)
    }

    #[test]
    fn every_kind_has_a_place_of_its_own() {
        for (place, kind) in WarningKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
        let warnings = Warnings::default();
        for kind in WarningKind::ALL {
            warnings.note(kind, 1, at(0), || kind.name().to_owned());
        }
        let listed: Vec<_> = (warnings.list(at(1)).into_iter())
            .map(|warning| (warning.kind, warning.text))
            .collect();
        assert_eq!(
            listed,
            WarningKind::ALL.map(|kind| (kind, kind.name().to_owned()))
        );
    }

    #[test]
    fn what_lasts_keeps_its_beginning_counts_and_shows_its_last_text() {
        let (warnings, kind) = (Warnings::default(), WarningKind::DiskSpace);
        for (second, text) in [(10, "first"), (12, "second")] {
            warnings.note(kind, 3, at(second), || text.to_owned());
        }
        warnings.note(kind, 1, at(12), || unreachable!("once a second"));
        let expected = Warning {
            kind,
            since_ms: 5_000,
            count: 7,
            text: "second".into(),
        };
        assert_eq!(warnings.list(at(15)), [expected]);

        warnings.clear(kind);
        assert_eq!(warnings.list(at(15)), []);
        warnings.note(kind, 1, at(20), || "again".to_owned());
        assert_eq!(warnings.list(at(20))[0].count, 1, "begins again");
    }

    #[test]
    fn failed_handshakes_are_forgotten_an_hour_after_the_last_one() {
        let (warnings, kind) = (Warnings::default(), WarningKind::Handshakes);
        warnings.note(kind, 1, at(0), || "why".to_owned());
        warnings.note(kind, 1, at(3_000), || "why".to_owned());
        assert_eq!(warnings.list(at(6_000))[0].count, 2);
        assert_eq!(warnings.list(at(6_700)), []);
        warnings.note(kind, 1, at(6_700), || "anew".to_owned());
        assert_eq!(warnings.list(at(6_700))[0].count, 1);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let warnings = Warnings::default();
        warnings.note(WarningKind::Storage, 0, at(0), || "ä".repeat(300) + "x");
        let text = &warnings.list(at(0))[0].text;
        assert_eq!(text, &"ä".repeat(MAX_WARNING_TEXT / 2));
        warnings.clear(WarningKind::Storage);
        warnings.note(WarningKind::Storage, 0, at(0), || {
            format!("x{}", "ä".repeat(300))
        });
        assert_eq!(warnings.list(at(0))[0].text.len(), MAX_WARNING_TEXT - 1);
    }
}
