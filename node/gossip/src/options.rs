//! Settings of the machine, with the reasons for their defaults.

use core::fmt;
use core::time::Duration;

use crate::message::MAX_MESSAGE;

/// Fewest rounds in [`Options::suspect_after`]: two until a probe, two for it, and one in hand.
const SUSPECT_ROUNDS: u32 = 5;
/// Fewest bytes of [`Options::max_message`]: one member's facts, whatever they are.
const LEAST_MESSAGE: usize = 512;

/// Settings of the machine. The defaults are for the nodes of one data centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Time between two rounds; 1 s. Each costs a digest and its answer, 30 bytes a member together. Shorter finds the dead
    /// sooner for as much more traffic; longer than a second gains little, since links are kept open anyway.
    pub round: Duration,
    /// Silence after which a member is suspect, if probes fail, too; 5 s, at least five rounds.
    ///
    /// A busy disk can hold a node's thread for two seconds, and a link to a peer is given up and dialled again after three:
    /// both are over by then. Clients do not wait for this: they stop asking a node after 1.5 s. Shorter suspects
    /// nodes that stall; longer keeps sending transfers and hints to a node that is not there.
    pub suspect_after: Duration,
    /// Silence after which a suspect member counts as failed; 30 s, longer than [`Self::suspect_after`].
    ///
    /// A process that is restarted is back within that, its journals read. An operator who sees *failed* can act on it.
    /// Shorter reports every restart; longer keeps an operator waiting.
    pub failed_after: Duration,
    /// How many others are asked to ping a member that does not answer; 3, as in SWIM. 0 asks nobody.
    ///
    /// One broken path, or a message lost on it, is common, and three more that break in the same second are not.
    pub helpers: usize,
    /// How often the seeds are resolved again, for ever; 60 s, a usual time to live in DNS. While this node hears nobody it is
    /// [`Self::suspect_after`].
    pub resolve_every: Duration,
    /// Most bytes of a message; [`MAX_MESSAGE`], at least 512. Less spreads facts over more rounds.
    pub max_message: usize,
    /// Whether a member is pinged before it is suspect. Off only in tests, which show what that costs.
    pub probes: bool,
    /// Whether a node that hears fewer than a majority, or was asleep, blames nobody. Off only in tests, which show what
    /// then goes wrong.
    pub doubts_itself: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            round: Duration::from_secs(1),
            suspect_after: Duration::from_secs(5),
            failed_after: Duration::from_secs(30),
            helpers: 3,
            resolve_every: Duration::from_secs(60),
            max_message: MAX_MESSAGE,
            probes: true,
            doubts_itself: true,
        }
    }
}

impl Options {
    /// Whether the machine can work with these.
    ///
    /// # Errors
    /// [`BadOptions`] names the first setting that is out of its range.
    pub fn check(&self) -> Result<(), BadOptions> {
        if self.round < Duration::from_millis(10) {
            return Err(BadOptions("the round is shorter than 10 ms"));
        }
        if self.suspect_after < self.round * SUSPECT_ROUNDS {
            return Err(BadOptions("members are suspect within five rounds"));
        }
        if self.failed_after <= self.suspect_after {
            return Err(BadOptions("members fail before they are suspect"));
        }
        if self.resolve_every < self.round {
            return Err(BadOptions("seeds are resolved more often than every round"));
        }
        if !(LEAST_MESSAGE..=MAX_MESSAGE).contains(&self.max_message) {
            return Err(BadOptions(
                "messages are of less than 512 bytes, or more than 63 KiB",
            ));
        }
        Ok(())
    }

    /// Time between two looks: half a round.
    pub(crate) fn look(&self) -> Duration {
        self.round / 2
    }

    /// A gap between two looks that is longer than this means that the process was asleep.
    pub(crate) fn longest_look(&self) -> Duration {
        self.round * 2
    }

    /// A node that has heard fewer than a majority for so long is isolated: a round before it could suspect anybody. Half of
    /// that would do for safety, but at 5 % loss every node would call itself isolated every few minutes.
    pub(crate) fn isolated_after(&self) -> Duration {
        self.suspect_after - self.round
    }

    /// Least and most silence before a probe: the most leaves two rounds for the probe before the member is suspect.
    pub(crate) fn probe_bounds(&self) -> (Duration, Duration) {
        (self.round * 3 / 2, self.suspect_after - self.round * 2)
    }
}

/// A setting that is out of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadOptions(&'static str);

impl fmt::Display for BadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gossip settings: {}", self.0)
    }
}

impl core::error::Error for BadOptions {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_their_ranges() {
        assert_eq!(Options::default().check(), Ok(()));
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let refused = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.check().is_err()
        };
        assert!(refused(|options| options.round = Duration::ZERO));
        assert!(refused(|options| options.suspect_after = options.round));
        assert!(refused(
            |options| options.failed_after = options.suspect_after
        ));
        assert!(refused(|options| options.resolve_every = Duration::ZERO));
        assert!(refused(|options| options.max_message = 64 << 10));
    }
}
