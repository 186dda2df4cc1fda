//! Has an epoch decided while a change is under way, whose nodes decide epochs of their own meanwhile.
//!
//! ```text
//!   attempt --> propose --decided--> the epoch
//!      ^           '--another was first, or newer ones--> attempt again, by that epoch, at most 20 times
//!      '------------------------------------------------------'
//! ```
//!
//! The nodes are quicker with a step than an operator's tool that has asked for the present epoch a round trip ago. So what
//! an operator wants of any epoch, whichever it is (a revert, a write-off), is looked at again by the newer one: whether
//! it is done by now, by somebody else or by a proposal that came back late; and whether it may still be.
//!
//! Left out: what begins a change ([`begin`](super::begin)): that was planned for one epoch, so a newer one ends it.

use quoit_client::{MembershipError, Proposed};
use quoit_ring::change::Configuration;

use crate::exit::Exit;
use crate::failure::Failure;

/// How often it is tried.
const TRIES: u32 = 20;

/// What is to be done in an epoch.
pub(crate) enum Attempt {
    /// Have this one decided after it.
    Propose(Box<Configuration>),
    /// Nothing: what is wanted is so.
    Done,
}

/// Has what is wanted decided after `now`, or after what has come of that meanwhile; gives back the epoch in which it is so.
///
/// # Errors
/// What `attempt` refuses in an epoch, what a proposal fails with, or that the nodes were always quicker: then nothing
/// of it is decided.
pub(crate) async fn until_decided(
    mut now: Configuration,
    mut attempt: impl FnMut(&Configuration) -> Result<Attempt, Failure>,
    mut propose: impl AsyncFnMut(&Configuration, Configuration) -> Result<Proposed, MembershipError>,
) -> Result<Configuration, Failure> {
    for _ in 0..TRIES {
        let next = match attempt(&now)? {
            Attempt::Propose(next) => *next,
            Attempt::Done => return Ok(now),
        };
        now = match propose(&now, next).await? {
            Proposed::Decided(decided) => return Ok(*decided),
            Proposed::Another(newer) | Proposed::Overtaken(newer) => *newer,
        };
    }
    if matches!(attempt(&now)?, Attempt::Done) {
        return Ok(now);
    }
    let what = "the nodes were always quicker with the next step";
    Err(Failure::new(Exit::Unavailable, what).hint("try again"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::edits::Edits;
    use super::super::edits::tests::{first, newcomer};
    use super::*;

    /// A change of four members that goes on by a step whenever something is proposed, so often.
    pub(crate) struct Quick {
        pub(crate) now: Configuration,
        pub(crate) steps: u32,
    }

    impl Quick {
        pub(crate) fn new(steps: u32) -> Self {
            let edits = Edits {
                adds: vec![newcomer(5)],
                ..Edits::default()
            };
            let now = edits.apply(&first(4)).unwrap();
            Self { now, steps }
        }

        /// What comes of a proposal.
        pub(crate) fn propose(&mut self, after: &Configuration, next: Configuration) -> Proposed {
            if self.steps > 0 {
                self.steps -= 1;
                self.now = self.now.step().unwrap();
            }
            if self.now.epoch > after.epoch {
                return Proposed::Another(Box::new(self.now.clone()));
            }
            assert!(after.is_followed_by(&next));
            self.now = next.clone();
            Proposed::Decided(Box::new(next))
        }

        /// Tries it to its end.
        pub(crate) fn run(
            &mut self,
            attempt: impl FnMut(&Configuration) -> Result<Attempt, Failure>,
        ) -> Result<Configuration, Failure> {
            let now = self.now.clone();
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let propose = async |after: &Configuration, next| Ok(self.propose(after, next));
            runtime
                .unwrap()
                .block_on(until_decided(now, attempt, propose))
        }
    }

    fn revert(now: &Configuration) -> Result<Attempt, Failure> {
        Ok(now
            .revert()
            .map_or(Attempt::Done, |next| Attempt::Propose(Box::new(next))))
    }

    #[test]
    fn what_loses_against_steps_of_the_nodes_is_tried_again_after_each() {
        for steps in [0, 1, 12] {
            let mut quick = Quick::new(steps);
            let before = quick.now.epoch.0;
            let decided = quick.run(revert).unwrap();
            assert_eq!(decided.epoch.0, before + u64::from(steps) + 1);
            assert_eq!(decided, quick.now);
        }
    }

    #[test]
    fn it_ends_where_it_is_done_or_refused_and_after_twenty_tries() {
        let mut over = Quick::new(16);
        let decided = over.run(revert).unwrap();
        assert_eq!(decided.change, None, "the change ended meanwhile");

        let mut refusing = Quick::new(1);
        let before = refusing.now.epoch;
        let refused = refusing.run(|now| {
            if now.epoch > before {
                return Err(Failure::new(Exit::Conflict, "not in this epoch"));
            }
            revert(now)
        });
        assert_eq!(refused.unwrap_err().exit, Exit::Conflict);

        let mut tries = 0;
        let mut never = Quick::new(0);
        let now = never.now.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let propose = async |_: &Configuration, _| {
            never.now.epoch.0 += 1;
            Ok(Proposed::Overtaken(Box::new(never.now.clone())))
        };
        let attempt = |now: &Configuration| {
            tries += 1;
            revert(now)
        };
        let late = until_decided(now, attempt, propose);
        let failure = runtime.unwrap().block_on(late).unwrap_err();
        assert_eq!((failure.exit, tries), (Exit::Unavailable, TRIES + 1));
    }
}
