//! The fault script: what is done to which node, and when.
//!
//! ```text
//!   30s kill n2       6s slow n2 200ms       9s lose n2 5%       14s heal n2
//! ```
//!
//! Acts on the process are `kill`, `restart`, `pause` and `resume`; acts on the network before it are `slow`,
//! `jitter`, `lose` and `heal`. Those of the network add up: a node may be slow and lose datagrams, until it is
//! healed. All words come in one row, since the flag may be given many times; an act knows whether a quantity
//! follows it.

use std::fmt;
use std::time::Duration;

use super::values::{limit, seconds};
use crate::cluster::LOSS_SCALE;

/// What is done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// End it with SIGKILL.
    Kill,
    /// Start it again.
    Restart,
    /// Let it stand still, with SIGSTOP.
    Pause,
    /// Let it go on, with SIGCONT.
    Resume,
    /// Let what it sends arrive so much later.
    Slow(Duration),
    /// Let every datagram to and from it take up to so much longer, each by itself.
    Jitter(Duration),
    /// Lose so many of 10,000 datagrams to it, and from it.
    Lose(u32),
    /// Let its network be as it was.
    Heal,
}

impl Act {
    /// Whether it needs a proxy before the node.
    pub(crate) const fn is_of_the_network(self) -> bool {
        matches!(
            self,
            Self::Slow(_) | Self::Jitter(_) | Self::Lose(_) | Self::Heal
        )
    }
}

/// One line of the fault script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// When, counted from the begin of measuring.
    pub(crate) at: Duration,
    /// What.
    pub(crate) act: Act,
    /// To which node: its index, from 0.
    pub(crate) node: usize,
}

impl Fault {
    /// Reads `30s kill n2`, or `6s slow n2 200ms`, from the begin of `words`, for a cluster of `nodes`; what
    /// follows it comes back.
    pub(crate) fn parse(words: &[String], nodes: usize) -> Result<(Self, &[String]), String> {
        let [at, act, node, rest @ ..] = words else {
            return Err("--at takes a time, an act and a node, such as 30s kill n2".to_owned());
        };
        if nodes == 0 {
            return Err(
                "--at needs a cluster that this program started itself: --cluster dev:3".to_owned(),
            );
        }
        let (act, rest) = read_act(act, rest)?;
        let number = node.strip_prefix('n').and_then(|n| n.parse::<usize>().ok());
        match number {
            Some(number) if (1..=nodes).contains(&number) => {
                let (at, node) = (seconds(at)?, number - 1);
                Ok((Self { at, act, node }, rest))
            }
            _ => Err(format!(
                "`{node}` is no node of this cluster: n1 to n{nodes}"
            )),
        }
    }
}

fn read_act<'a>(act: &str, rest: &'a [String]) -> Result<(Act, &'a [String]), String> {
    let quantity = |such: &str| {
        rest.split_first()
            .ok_or_else(|| format!("`{act}` needs a quantity behind the node, such as {such}"))
    };
    Ok(match act {
        "kill" => (Act::Kill, rest),
        "restart" => (Act::Restart, rest),
        "pause" => (Act::Pause, rest),
        "resume" => (Act::Resume, rest),
        "heal" => (Act::Heal, rest),
        "slow" => {
            let (time, rest) = quantity("200ms")?;
            (Act::Slow(delay(time)?), rest)
        }
        "jitter" => {
            let (time, rest) = quantity("5ms")?;
            (Act::Jitter(delay(time)?), rest)
        }
        "lose" => {
            let (share, rest) = quantity("5%")?;
            (Act::Lose(percent(share)?), rest)
        }
        _ => {
            return Err(format!(
                "`{act}` cannot be done to a node: kill, restart, pause, resume, slow, jitter, lose or heal"
            ));
        }
    })
}

/// Longest delay: beyond it every request is past its deadline anyway.
const LONGEST: Duration = Duration::from_secs(60);

fn delay(text: &str) -> Result<Duration, String> {
    match limit(text)? {
        time if time <= LONGEST => Ok(time),
        _ => Err(format!(
            "`{text}` is too long for a datagram: {LONGEST:?} at most"
        )),
    }
}

fn percent(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is no share: write 5% or 0.1%, from 0.01% to 100%");
    let share: f64 = text
        .strip_suffix('%')
        .and_then(|number| number.parse().ok())
        .ok_or_else(wrong)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded, and a float out of range saturates beyond what is allowed"
    )]
    let parts = (share * f64::from(LOSS_SCALE) / 100.0).round() as u32;
    if (1..=LOSS_SCALE).contains(&parts) {
        Ok(parts)
    } else {
        Err(wrong())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.node + 1;
        match self.act {
            Act::Kill => write!(f, "kill n{node}"),
            Act::Restart => write!(f, "restart n{node}"),
            Act::Pause => write!(f, "pause n{node}"),
            Act::Resume => write!(f, "resume n{node}"),
            Act::Slow(time) => write!(f, "slow n{node} {time:?}"),
            Act::Jitter(time) => write!(f, "jitter n{node} {time:?}"),
            Act::Lose(parts) => {
                let percent = f64::from(parts) * 100.0 / f64::from(LOSS_SCALE);
                write!(f, "lose n{node} {percent}%")
            }
            Act::Heal => write!(f, "heal n{node}"),
        }
    }
}
