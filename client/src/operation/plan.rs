//! From what a caller asked for to what the quorum machines need.
//!
//! ```text
//!   mode      unset R, W   of N = 3   a read returns once
//!   One       1            1          one has answered; all are asked, repair comes after
//!   Quorum    N / 2 + 1    2          so many hold what it returns that every majority meets one
//!
//!   repair          holders before the answer    asked, if R answer     repaired after the answer
//!   BeforeAnswer    N - N / 2                     R; One: all            who was asked and is stale
//!   Background      as many as there are          R; One: all            who was asked and is stale
//!   Off             as many as there are          R                      nobody
//! ```
//!
//! What is out of range is refused here, before a dot is minted or a frame is made: R or W outside 1 to N or
//! below a majority in quorum mode, deadlines, times to live.

use std::time::Duration;

use quoit_ring::Millis;
use quoit_ring::change::{OwnerSet, Quorums, Threshold};

use crate::consistency::{Consistency, DEADLINES, ReadRepair};
use crate::error::InvalidRequest;
use crate::quorum::ReadRules;

/// Longest time to live: 100 years.
const MAX_TTL: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// How many replicas, what promise, how long. Nothing in it has been checked against the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) consistency: Consistency,
    /// R of a read, W of a write; `None` is what the consistency says.
    pub(crate) count: Option<u8>,
    /// Of a write: whether nodes that keep it for an owner count.
    pub(crate) sloppy: bool,
    pub(crate) deadline: Duration,
    /// When a read repairs; `None` is what the consistency says.
    pub(crate) repair: Option<ReadRepair>,
}

impl Plan {
    /// When a read repairs.
    pub(crate) fn read_repair(&self) -> ReadRepair {
        self.repair.unwrap_or(match self.consistency {
            Consistency::Quorum | Consistency::Linearizable => ReadRepair::BeforeAnswer,
            Consistency::One => ReadRepair::Background,
        })
    }
}

/// How a read goes.
pub(crate) fn read_rules(plan: &Plan, lists: Quorums) -> Result<ReadRules, InvalidRequest> {
    let r = count(plan, lists, "r")?;
    let ask_all = plan.consistency == Consistency::One;
    let nobody = lists.needs(|_n| 0);
    Ok(match plan.read_repair() {
        ReadRepair::BeforeAnswer => {
            let hold = |n: usize| n - majority(n) + 1;
            ReadRules {
                // so many have to be reached in any case: to wait for their answers spares most write-backs
                r: lists.needs(|n| r.of(n).max(hold(n))),
                hold: lists.needs(hold),
                ask_all,
                repair: true,
            }
        }
        ReadRepair::Background => ReadRules {
            r: lists.needs(|n| r.of(n)),
            hold: nobody,
            ask_all,
            repair: true,
        },
        ReadRepair::Off => ReadRules {
            r: lists.needs(|n| r.of(n)),
            hold: nobody,
            ask_all: false,
            repair: false,
        },
    })
}

/// Checks what an operation on a register asks for: its counts are majorities in any case.
pub(crate) fn check_register(plan: &Plan) -> Result<(), InvalidRequest> {
    if DEADLINES.contains(&plan.deadline) {
        Ok(())
    } else {
        Err(InvalidRequest::Deadline(plan.deadline))
    }
}

/// How many copies a write needs.
pub(crate) fn write_needs(plan: &Plan, lists: Quorums) -> Result<Threshold, InvalidRequest> {
    let w = count(plan, lists, "w")?;
    Ok(lists.needs(|n| w.of(n)))
}

/// When a value expires whose time to live counts from `present`.
pub(crate) fn expiry(
    ttl: Option<Duration>,
    present: Millis,
) -> Result<Option<Millis>, InvalidRequest> {
    let Some(ttl) = ttl else {
        return Ok(None);
    };
    if !(Duration::from_millis(1)..=MAX_TTL).contains(&ttl) {
        return Err(InvalidRequest::TimeToLive(ttl));
    }
    let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    Ok(Some(Millis(present.0.saturating_add(millis))))
}

/// The least majority of `n`.
pub(crate) const fn majority(n: usize) -> usize {
    n / 2 + 1
}

/// How many of a list are asked for.
#[derive(Debug, Clone, Copy)]
enum Count {
    One,
    Majority,
    /// So many; all of a list that has fewer.
    Asked(usize),
}

impl Count {
    fn of(self, n: usize) -> usize {
        match self {
            Self::One => 1,
            Self::Majority => majority(n),
            Self::Asked(count) => count.min(n),
        }
    }
}

/// Checks what was asked for. While N changes, what the longer list admits may be asked for.
fn count(plan: &Plan, lists: Quorums, what: &'static str) -> Result<Count, InvalidRequest> {
    if !DEADLINES.contains(&plan.deadline) {
        return Err(InvalidRequest::Deadline(plan.deadline));
    }
    let Some(asked) = plan.count else {
        return Ok(match plan.consistency {
            Consistency::One => Count::One,
            Consistency::Quorum | Consistency::Linearizable => Count::Majority,
        });
    };
    let count = usize::from(asked);
    let n = lists.lists().map(OwnerSet::len).max().unwrap_or_default();
    if !(1..=n).contains(&count) {
        return Err(InvalidRequest::OutOfRange { what, asked, n });
    }
    if plan.consistency != Consistency::One && count < majority(n) {
        return Err(InvalidRequest::NoMajority {
            what,
            asked,
            needed: majority(n),
            n,
        });
    }
    Ok(Count::Asked(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(consistency: Consistency, count: Option<u8>) -> Plan {
        Plan {
            consistency,
            count,
            sloppy: false,
            deadline: Duration::from_secs(5),
            repair: None,
        }
    }

    /// R, holders, whether all are asked and stale ones repaired.
    fn read(plan: &Plan, n: usize) -> Result<(usize, usize, bool, bool), InvalidRequest> {
        let rules = read_rules(plan, Quorums::one(n))?;
        let needed = |of: Threshold| of.lists().next().unwrap().1;
        Ok((
            needed(rules.r),
            needed(rules.hold),
            rules.ask_all,
            rules.repair,
        ))
    }

    fn write(plan: &Plan, n: usize) -> Result<usize, InvalidRequest> {
        Ok(write_needs(plan, Quorums::one(n))?.of_any())
    }

    #[test]
    fn the_defaults_of_each_mode_follow_from_n() {
        let rules = |consistency, n| read(&plan(consistency, None), n).unwrap();
        assert_eq!(rules(Consistency::Quorum, 3), (2, 2, false, true));
        assert_eq!(rules(Consistency::Quorum, 5), (3, 3, false, true));
        assert_eq!(rules(Consistency::One, 3), (1, 0, true, true));
        assert_eq!(write(&plan(Consistency::Quorum, None), 4), Ok(3));
        assert_eq!(write(&plan(Consistency::One, None), 4), Ok(1));
    }

    #[test]
    fn a_mode_of_repair_changes_what_holds_and_who_is_asked_and_never_how_many_answer_a_quorum() {
        let rules = |consistency, repair| {
            let plan = Plan {
                repair: Some(repair),
                ..plan(consistency, None)
            };
            read(&plan, 5).unwrap()
        };
        let (one, quorum) = (Consistency::One, Consistency::Quorum);
        assert_eq!(rules(quorum, ReadRepair::BeforeAnswer), (3, 3, false, true));
        assert_eq!(rules(quorum, ReadRepair::Background), (3, 0, false, true));
        assert_eq!(rules(quorum, ReadRepair::Off), (3, 0, false, false));
        assert_eq!(rules(one, ReadRepair::BeforeAnswer), (3, 3, true, true));
        assert_eq!(rules(one, ReadRepair::Background), (1, 0, true, true));
        assert_eq!(rules(one, ReadRepair::Off), (1, 0, false, false));
    }

    #[test]
    fn a_quorum_below_a_majority_is_refused_before_anything_is_sent() {
        let refused = read(&plan(Consistency::Quorum, Some(1)), 3);
        assert_eq!(
            refused,
            Err(InvalidRequest::NoMajority {
                what: "r",
                asked: 1,
                needed: 2,
                n: 3
            })
        );
        assert!(write(&plan(Consistency::One, Some(1)), 3).is_ok());
    }

    #[test]
    fn counts_deadlines_and_times_to_live_out_of_range_are_refused() {
        let out_of_range = |count| write(&plan(Consistency::One, Some(count)), 3).is_err();
        assert!(out_of_range(0) && out_of_range(4));
        let slow = Plan {
            deadline: Duration::from_secs(31),
            ..plan(Consistency::One, None)
        };
        assert_eq!(
            write(&slow, 3),
            Err(InvalidRequest::Deadline(slow.deadline))
        );
        assert!(expiry(Some(Duration::ZERO), Millis(1)).is_err());
        assert!(expiry(Some(Duration::MAX), Millis(1)).is_err());
        assert_eq!(
            expiry(Some(Duration::from_secs(2)), Millis(5)),
            Ok(Some(Millis(2_005)))
        );
        assert_eq!(expiry(None, Millis(5)), Ok(None));
    }

    #[test]
    fn while_n_changes_each_list_needs_its_own_count() {
        let two: OwnerSet = [0, 1].into_iter().collect();
        let lists = Quorums::both(two, OwnerSet::first(5));
        let needed = |count| {
            let plan = plan(Consistency::One, count);
            let needs = write_needs(&plan, lists)?;
            Ok(needs.lists().map(|(_, needed)| needed).collect::<Vec<_>>())
        };
        assert_eq!(needed(None), Ok(vec![1, 1]));
        assert_eq!(needed(Some(4)), Ok(vec![2, 4]));
        assert!(matches!(
            needed(Some(6)),
            Err(InvalidRequest::OutOfRange { n: 5, .. })
        ));
        let quorum = write_needs(&plan(Consistency::Quorum, None), lists).unwrap();
        assert!(quorum.lists().map(|(_, needed)| needed).eq([2, 3]));
    }
}
