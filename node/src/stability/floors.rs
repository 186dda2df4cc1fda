//! Floors: of each leaf that a node owns, the time up to which no write is under way any more, kept as runs of leaves.
//!
//! ```text
//!   leaf       0        4        9            15
//!   stable     |  100   |        |    120     |       no floor where there is no run
//!   forgotten  |   80   |        |     0      |       tombstones are removed up to here
//! ```
//!
//! *Forgotten* lags one round behind: what was stable in the round before has been synced to the disks of all owners by their
//! answers to this one. So one that loses its last writes with its power still has each tombstone that another has removed.
//!
//! Invariant: runs ascend, and do not overlap; `forgotten` is no later than `stable`; both rise while a leaf stays owned.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use quoit_ring::wire::DecodeError;
use quoit_ring::{Leaf, Time};

/// Leaves that lie side by side.
type Run = RangeInclusive<Leaf>;

/// The floors of some leaves. The default has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Floors {
    runs: Vec<Floor>,
}

/// The floor of leaves that lie side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Floor {
    first: u32,
    last: u32,
    stable: Time,
    forgotten: Time,
}

/// Bytes of a run where it is stored.
const RUN: usize = 24;

impl Floors {
    /// The time up to which no write of a key in `leaf` is under way; [`Time::ZERO`] if that is not known.
    #[must_use]
    pub fn at(&self, leaf: Leaf) -> Time {
        self.floor(leaf.0).map_or(Time::ZERO, |floor| floor.stable)
    }

    /// The time up to which tombstones in `leaf` are removed.
    #[must_use]
    pub fn forgotten(&self, leaf: Leaf) -> Time {
        (self.floor(leaf.0)).map_or(Time::ZERO, |floor| floor.forgotten)
    }

    /// The least floor there is, and how many leaves have one.
    #[must_use]
    pub fn least(&self) -> (Option<Time>, u64) {
        let leaves = self
            .runs
            .iter()
            .map(|run| u64::from(run.last - run.first) + 1);
        (self.runs.iter().map(|run| run.stable).min(), leaves.sum())
    }

    /// The least floor of these leaves, which ascend; [`Time::ZERO`] if one has none, or there are none.
    pub(crate) fn least_of<'a>(&self, leaves: impl IntoIterator<Item = &'a Run>) -> Time {
        let mut least: Option<Time> = None;
        for leaves in leaves {
            let (mut next, last) = (leaves.start().0, leaves.end().0);
            while next <= last {
                let Some(run) = self.floor(next) else {
                    return Time::ZERO;
                };
                least = Some(least.map_or(run.stable, |least| least.min(run.stable)));
                next = run.last + 1;
            }
        }
        least.unwrap_or(Time::ZERO)
    }

    /// The same after a round in which these leaves became stable up to these times. What was so before is forgotten.
    #[must_use]
    pub fn raised(&self, round: &[(Run, Time)]) -> Self {
        let news = round.iter().map(|(leaves, stable)| Floor {
            first: leaves.start().0,
            last: leaves.end().0,
            stable: *stable,
            forgotten: Time::ZERO,
        });
        let mut news: Vec<Floor> = news.collect();
        news.sort_unstable_by_key(|run| run.first);
        self.overlaid(&news, |old, new| match (old, new) {
            (Some(old), Some(new)) => Some((new.stable.max(old.stable), old.stable)),
            (Some(old), None) => Some((old.stable, old.forgotten)),
            (None, Some(new)) => Some((new.stable, Time::ZERO)),
            (None, None) => None,
        })
    }

    /// Those of these leaves, which ascend: of all others nothing is known any more.
    #[must_use]
    pub fn within(&self, leaves: &[Run]) -> Self {
        let kept = leaves.iter().map(|run| Floor {
            first: run.start().0,
            last: run.end().0,
            stable: Time::ZERO,
            forgotten: Time::ZERO,
        });
        let kept: Vec<Floor> = kept.collect();
        self.overlaid(&kept, |old, kept| {
            let (old, _kept) = (old?, kept?);
            Some((old.stable, old.forgotten))
        })
    }

    /// Decides for each piece by itself in which neither these runs nor `others` begin or end. Both ascend.
    fn overlaid(
        &self,
        others: &[Floor],
        decide: impl Fn(Option<&Floor>, Option<&Floor>) -> Option<(Time, Time)>,
    ) -> Self {
        let all = || self.runs.iter().chain(others);
        let cuts: BTreeSet<u32> = all()
            .flat_map(|run| [run.first, run.last.saturating_add(1)])
            .collect();
        let cuts: Vec<u32> = cuts.into_iter().collect();

        let mut runs: Vec<Floor> = Vec::new();
        for piece in cuts.windows(2) {
            let (first, last) = (piece[0], piece[1] - 1);
            let Some((stable, forgotten)) = decide(find(&self.runs, first), find(others, first))
            else {
                continue;
            };
            debug_assert!(
                forgotten <= stable,
                "nothing is forgotten that is not stable"
            );
            match runs.last_mut() {
                Some(run)
                    if run.last + 1 == first
                        && (run.stable, run.forgotten) == (stable, forgotten) =>
                {
                    run.last = last;
                }
                _ => runs.push(Floor {
                    first,
                    last,
                    stable,
                    forgotten,
                }),
            }
        }
        Self { runs }
    }

    fn floor(&self, leaf: u32) -> Option<&Floor> {
        find(&self.runs, leaf)
    }

    /// As it is stored.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.runs.len() * RUN);
        for run in &self.runs {
            out.put_u32(run.first);
            out.put_u32(run.last);
            out.put_u64(run.stable.0);
            out.put_u64(run.forgotten.0);
        }
        out.freeze()
    }

    /// Reads what [`Floors::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if it is something else: it is damaged.
    pub fn decode(mut bytes: Bytes) -> Result<Self, DecodeError> {
        const DAMAGED: DecodeError = DecodeError::Malformed("floors that are none");
        if !bytes.len().is_multiple_of(RUN) {
            return Err(DAMAGED);
        }
        let mut runs: Vec<Floor> = Vec::with_capacity(bytes.len() / RUN);
        while bytes.has_remaining() {
            let run = Floor {
                first: bytes.get_u32(),
                last: bytes.get_u32(),
                stable: Time(bytes.get_u64()),
                forgotten: Time(bytes.get_u64()),
            };
            let is_behind = runs.last().is_none_or(|before| before.last < run.first);
            let is_run = (run.first..u32::MAX).contains(&run.last);
            if !is_behind || !is_run || run.stable < run.forgotten {
                return Err(DAMAGED);
            }
            runs.push(run);
        }
        Ok(Self { runs })
    }
}

/// The run of an ascending list in which `leaf` is.
fn find(runs: &[Floor], leaf: u32) -> Option<&Floor> {
    let at = runs.partition_point(|run| run.last < leaf);
    runs.get(at).filter(|run| run.first <= leaf)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const LEAVES: u32 = 24;

    /// Each leaf by itself: its floor, and up to when its tombstones are removed.
    type Model = Vec<Option<(u64, u64)>>;

    fn model_of(floors: &Floors) -> Model {
        let of = |leaf| {
            let floor = floors.floor(leaf)?;
            Some((floor.stable.0, floor.forgotten.0))
        };
        (0..LEAVES).map(of).collect()
    }

    /// Rounds over runs that do not overlap.
    fn rounds() -> impl Strategy<Value = Vec<Vec<(Run, Time)>>> {
        let run = (0..LEAVES, 0..4_u32, 1..9_u64);
        vec(vec(run, 0..6), 1..6).prop_map(|rounds| rounds.into_iter().map(apart).collect())
    }

    fn apart(runs: Vec<(u32, u32, u64)>) -> Vec<(Run, Time)> {
        let mut next = 0;
        let mut sorted = runs;
        sorted.sort_unstable();
        let mut apart = Vec::new();
        for (first, len, time) in sorted {
            let first = first.max(next);
            let last = (first + len).min(LEAVES - 1);
            if first <= last {
                apart.push((Leaf(first)..=Leaf(last), Time(time)));
                next = last + 1;
            }
        }
        apart
    }

    proptest! {
        #[test]
        fn rounds_and_losses_act_on_each_leaf_by_itself(rounds in rounds(), kept in rounds()) {
            let (mut floors, mut model) = (Floors::default(), vec![None; LEAVES as usize]);
            for (round, kept) in rounds.iter().zip(kept.iter().cycle()) {
                floors = floors.raised(round);
                for (leaves, time) in round {
                    for leaf in leaves.start().0..=leaves.end().0 {
                        let of: &mut Option<(u64, u64)> = &mut model[leaf as usize];
                        *of = Some(of.map_or((time.0, 0), |(old, _)| (old.max(time.0), old)));
                    }
                }
                prop_assert_eq!(&model_of(&floors), &model);

                let runs: Vec<Run> = kept.iter().map(|(run, _)| run.clone()).collect();
                let less = floors.within(&runs);
                for leaf in 0..LEAVES {
                    let is_kept = runs.iter().any(|run| run.contains(&Leaf(leaf)));
                    let expected = model[leaf as usize].filter(|_| is_kept);
                    prop_assert_eq!(model_of(&less)[leaf as usize], expected);
                }
            }
            prop_assert_eq!(Floors::decode(floors.encode()), Ok(floors));
        }

        #[test]
        fn junk_is_an_error_or_in_order(junk in vec(any::<u8>(), 0..80)) {
            if let Ok(floors) = Floors::decode(junk.into()) {
                prop_assert!(floors.runs.windows(2).all(|two| two[0].last < two[1].first));
            }
        }
    }

    #[test]
    fn a_run_without_an_end_is_damage() {
        let mut bytes = BytesMut::zeroed(RUN);
        bytes[4..8].fill(u8::MAX);
        assert!(Floors::decode(bytes.freeze()).is_err());
    }

    #[test]
    fn tombstones_are_removed_one_round_later() {
        let all = Leaf(0)..=Leaf(LEAVES - 1);
        let once = Floors::default().raised(&[(all.clone(), Time(10))]);
        assert_eq!(
            (once.at(Leaf(3)), once.forgotten(Leaf(3))),
            (Time(10), Time::ZERO)
        );
        let twice = once.raised(&[(all, Time(20))]);
        assert_eq!(
            (twice.at(Leaf(3)), twice.forgotten(Leaf(3))),
            (Time(20), Time(10))
        );
        assert_eq!(twice.at(Leaf(LEAVES)), Time::ZERO, "outside");
    }
}
