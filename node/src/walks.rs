//! The walks over stored data after a start: the hints are counted, then the Merkle sums brought back.
//!
//! ```text
//!   count    how many hints are kept, then
//!   sum up   the records, chunk by chunk
//!   again    after a second (hints) or a minute (records), then ever later, if something could not be read
//! ```
//!
//! Pure but for the engine that they read: the caller chooses thread, pace and time. The node's background thread and
//! the simulation call the same.

use std::time::Duration;

use quoit_ring::Moment;
use quoit_ring::wire::WarningKind;

use crate::engine::Engine;
use crate::hints::{HintScan, Recounted, recount};
use crate::state::NodeState;
use crate::storage::{Rebuild, Walked};

/// When the records are walked again if some of them could not be read; twice as long each time.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// The longest time until then.
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);

/// When hints are counted that could not be read; twice as long each time. A count costs little, and they wait for it.
const FIRST_RECOUNT: Duration = Duration::from_secs(1);
/// The longest time until then.
const LONGEST_RECOUNT: Duration = Duration::from_secs(600);

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// There is more to read: another step, at the caller's pace.
    Soon,
    /// Something could not be read: another step is due then.
    At(Moment),
    /// Nothing any more.
    Never,
}

impl NextStep {
    /// The earlier of two.
    fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Soon, _) | (_, Self::Soon) => Self::Soon,
            (Self::Never, next) | (next, Self::Never) => next,
            (Self::At(one), Self::At(other)) => Self::At(one.min(other)),
        }
    }
}

/// The walks of one run of a node.
#[derive(Debug)]
pub struct Walks<G: Engine> {
    state: NodeState,
    scan: Option<HintScan>,
    rebuild: Option<Rebuild<G>>,
    /// How often the records were walked without reading them all.
    failures: u32,
    retry_at: Option<Moment>,
    /// How often hints were left uncounted, and when they are tried again.
    recounts: u32,
    recount_at: Option<Moment>,
    /// Rows in one step.
    rows: usize,
}

impl<G: Engine> Walks<G> {
    /// Begins, before the run's first commit. Counts a first piece of the hints at once: usually there are none.
    #[must_use]
    pub fn begin(engine: &G, state: &NodeState, rows: usize) -> Self {
        let mut walks = Self {
            state: state.clone(),
            scan: Some(HintScan::new()),
            rebuild: Some(Rebuild::new()),
            failures: 0,
            retry_at: None,
            recounts: 0,
            recount_at: None,
            rows,
        };
        walks.count(engine);
        walks
    }

    /// Does one piece.
    pub fn step(&mut self, engine: &G, now: Moment) -> NextStep {
        if self.count(engine) {
            return NextStep::Soon;
        }
        let recount = self.recount(engine, now);
        let sum_up = match self.retry_at.filter(|&at| now < at) {
            Some(at) => NextStep::At(at),
            None => {
                self.retry_at = None;
                self.sum_up(engine, now)
            }
        };
        recount.sooner(sum_up)
    }

    /// Counts the next piece of what could not be read, if it is time.
    fn recount(&mut self, engine: &G, now: Moment) -> NextStep {
        let hints = &self.state.hints;
        if hints.gaps().is_empty() {
            return NextStep::Never;
        }
        if let Some(at) = self.recount_at.filter(|&at| now < at) {
            return NextStep::At(at);
        }
        // The walk has just failed, so that the first time only time can help.
        let result = if self.recount_at.is_none() {
            Ok(Recounted::Unreadable)
        } else {
            recount(engine, hints, self.rows)
        };
        match result {
            Ok(Recounted::More) => NextStep::Soon,
            Ok(Recounted::All) => {
                tracing::info!("all hints are counted");
                self.state.warnings.clear(WarningKind::UncountedHints);
                NextStep::Never
            }
            Ok(Recounted::Unreadable) => {
                let doubled = FIRST_RECOUNT.saturating_mul(1 << self.recounts.min(16));
                self.recounts = self.recounts.saturating_add(1);
                let at = now + doubled.min(LONGEST_RECOUNT);
                self.recount_at = Some(at);
                let places = hints.uncounted();
                let text = || {
                    format!(
                        "{places} places among the hints cannot be read: those are not delivered"
                    )
                };
                (self.state.warnings).note(WarningKind::UncountedHints, 0, now, text);
                NextStep::At(at)
            }
            // The engine has failed, and the node ends.
            Err(_fault) => NextStep::Never,
        }
    }

    /// Counts the next piece of the hints, if any is left; gives up if the engine has failed.
    fn count(&mut self, engine: &G) -> bool {
        let Some(scan) = &mut self.scan else {
            return false;
        };
        match scan.step(engine, &self.state.hints, self.rows) {
            Ok(false) => return true,
            Ok(true) => {}
            Err(fault) => tracing::error!(%fault, "the hints cannot be counted: none are taken"),
        }
        self.scan = None;
        true
    }

    /// Adds the next piece to the sums, if any is left; gives up if the engine has failed.
    fn sum_up(&mut self, engine: &G, now: Moment) -> NextStep {
        let Some(rebuild) = &mut self.rebuild else {
            return NextStep::Never;
        };
        let sums = &self.state.sums;
        match rebuild.step(engine, sums, &self.state.cluster, self.rows) {
            Ok(Walked::More) => return NextStep::Soon,
            Ok(Walked::Incomplete) => {
                let doubled = FIRST_RETRY.saturating_mul(1 << self.failures.min(16));
                self.failures = self.failures.saturating_add(1);
                let at = now + doubled.min(LONGEST_RETRY);
                tracing::error!(
                    progress = ?sums.progress(),
                    "records cannot be read: the Merkle sums are not shown, and are rebuilt later"
                );
                self.retry_at = Some(at);
                return NextStep::At(at);
            }
            Ok(Walked::Over) => {
                let progress = sums.progress();
                tracing::info!(summed = progress.summed, "the Merkle sums are there");
            }
            Err(fault) => tracing::error!(%fault, "the Merkle sums cannot be rebuilt"),
        }
        self.rebuild = None;
        NextStep::Never
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::{NodeId, Sum};

    use super::*;
    use crate::engine::layout::{NAMESPACE, hint_key, record_key};
    use crate::engine::{Batch, Durability, Keyspace, MemoryEngine};
    use crate::testing::{Unreliable, blind, dot, encoded, rebuild, state};

    /// An engine with some records, of which some are junk.
    fn engine(junk: &[&str]) -> MemoryEngine {
        let engine = MemoryEngine::new();
        let mut batch = Batch::new();
        for n in 0..100 {
            let key = n.to_string();
            let record = encoded(blind(dot(1, 5), "v").record());
            batch.insert(
                Keyspace::Records,
                record_key(NAMESPACE, key.as_bytes()),
                record,
            );
        }
        for key in junk {
            let key = record_key(NAMESPACE, key.as_bytes());
            batch.insert(Keyspace::Records, key, &b"junk"[..]);
        }
        engine.commit(batch, Durability::Fsync).unwrap();
        engine
    }

    fn walk<G: Engine>(walks: &mut Walks<G>, engine: &G, now: Moment) -> NextStep {
        loop {
            let next = walks.step(engine, now);
            if next != NextStep::Soon {
                return next;
            }
        }
    }

    fn root(engine: &MemoryEngine) -> Sum {
        let state = state(1);
        rebuild(engine, &state);
        state.sums.root().unwrap()
    }

    #[test]
    fn an_unreadable_place_holds_the_sums_back_until_a_later_walk_can_read_it() {
        let bad = ["17", "5", "99"].map(|key| record_key(NAMESPACE, key.as_bytes()));
        let engine = Unreliable::new(engine(&[]), Keyspace::Records, bad);
        let (state, began) = (state(1), Moment(0));
        let mut walks = Walks::begin(&engine, &state, 7);
        let again = began + FIRST_RETRY;
        assert_eq!(walk(&mut walks, &engine, began), NextStep::At(again));
        assert_eq!(state.sums.root(), None, "never taken for equal");
        let progress = state.sums.progress();
        assert_eq!((progress.summed, progress.unreadable), (97, 3));

        engine.mend();
        assert_eq!(walk(&mut walks, &engine, began), NextStep::At(again));
        assert_eq!(walk(&mut walks, &engine, again), NextStep::Never);
        assert_eq!(state.sums.root(), Some(root(&engine.engine)));
        assert_eq!(state.sums.progress().unreadable, 0);
    }

    #[test]
    fn a_record_that_is_junk_taints_its_leaf_and_no_other() {
        let (sound, damaged) = (engine(&[]), engine(&["17"]));
        let (state, whole) = (state(1), state(1));
        rebuild(&sound, &whole);
        let mut walks = Walks::begin(&damaged, &state, 7);
        assert_eq!(walk(&mut walks, &damaged, Moment(0)), NextStep::Never);
        assert_eq!(state.sums.progress().unreadable, 1);

        let leaf = state.cluster.leaf_of(b"17");
        let above = usize::try_from(leaf.0 >> 4).unwrap();
        let differs =
            |index: &usize| state.sums.children(2, *index) != whole.sums.children(2, *index);
        assert_eq!((0..256).filter(differs).collect::<Vec<_>>(), [above]);
    }

    /// An engine with hints for node 7, of which some cannot be read at first.
    fn with_hints(unreadable: &[&str]) -> Unreliable {
        let engine = MemoryEngine::new();
        let stored = |key: &str| hint_key(NodeId(7), NAMESPACE, key.as_bytes());
        let mut batch = Batch::new();
        for key in ["a", "b", "c", "d"] {
            batch.insert(Keyspace::Hints, stored(key), &b"four"[..]);
        }
        engine.commit(batch, Durability::Fsync).unwrap();
        Unreliable::new(
            engine,
            Keyspace::Hints,
            unreadable.iter().map(|key| stored(key)),
        )
    }

    fn counted(state: &NodeState) -> u64 {
        state
            .hints
            .kept()
            .unwrap()
            .iter()
            .map(|kept| kept.count)
            .sum()
    }

    #[test]
    fn hints_that_could_not_be_read_for_a_moment_are_counted_a_second_later() {
        for unreadable in [&["b"][..], &["a", "c"], &["d"], &["a", "b", "c", "d"]] {
            let (engine, state, began) = (with_hints(unreadable), state(1), Moment(0));
            let mut walks = Walks::begin(&engine, &state, 2);
            let again = began + FIRST_RECOUNT;
            assert_eq!(walk(&mut walks, &engine, began), NextStep::At(again));
            assert_eq!(
                counted(&state),
                4 - unreadable.len() as u64,
                "{unreadable:?}"
            );
            assert!(state.hints.uncounted() > 0);

            engine.mend();
            assert_eq!(walk(&mut walks, &engine, again), NextStep::Never);
            assert_eq!(counted(&state), 4, "{unreadable:?}");
            assert_eq!(state.hints.uncounted(), 0);
        }
    }

    #[test]
    fn a_hint_that_stays_unreadable_keeps_no_other_from_being_counted() {
        let (engine, state, began) = (with_hints(&["a", "c"]), state(1), Moment(0));
        let mut walks = Walks::begin(&engine, &state, 2);
        walk(&mut walks, &engine, began);
        engine.mend_at(&hint_key(NodeId(7), NAMESPACE, b"c"));
        walk(&mut walks, &engine, began + FIRST_RECOUNT);
        assert_eq!((counted(&state), state.hints.uncounted()), (3, 1));
    }

    #[test]
    fn hints_that_stay_unreadable_are_tried_ever_less_often() {
        let (engine, state) = (with_hints(&["b"]), state(1));
        let mut walks = Walks::begin(&engine, &state, 2);
        let (mut now, mut tries) = (Moment(0), 0);
        while let NextStep::At(at) = walk(&mut walks, &engine, now) {
            (now, tries) = (at, tries + 1);
            if now > Moment(0) + 10 * LONGEST_RECOUNT {
                break;
            }
        }
        assert!((12..30).contains(&tries), "{tries}");
        assert_eq!((counted(&state), state.hints.uncounted()), (3, 1));
    }
}
