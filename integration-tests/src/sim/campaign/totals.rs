//! The sum of a set of runs, and whether the set counts.
//!
//! ```text
//!   runs --add--> seeds, operations, events, each kind of fault, each coverage event
//!                     '--> a run was too small, a fault never fired, a coverage event was never seen:
//!                          the set proves nothing, however green
//! ```
//!
//! A kind of fault and a coverage event may well be missing in a single run; in [`SET`] of them they may not.
//!
//! Source: the *sometimes* assertions of Antithesis; Hanley and Lippman-Hand, *If Nothing Goes Wrong, Is
//! Everything All Right?* (1983), for the rule of three.

use std::collections::BTreeMap;

use super::judged::Judged;
use crate::sim::coverage::{Coverage, CoverageEvent};
use crate::sim::faults::Fault;

/// How many runs must have seen everything together.
pub const SET: u64 = 100;
/// Most reasons of one sort that are listed.
const MAX_REASONS: usize = 5;

/// One kind of fault over a set of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultCount {
    /// How often it was planned.
    pub planned: u64,
    /// How often something felt it.
    pub fired: u64,
    /// How often it was felt, all in all.
    pub felt: u64,
}

/// A set of runs.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// How many runs.
    pub seeds: u64,
    /// How many of them violated something.
    pub failed: u64,
    /// Operations that returned before the recovery phase.
    pub operations: u64,
    /// Events.
    pub events: u64,
    /// Microseconds of simulated time.
    pub simulated: u64,
    /// The fewest and the most clients that a run had.
    pub clients: Option<(usize, usize)>,
    /// The fewest and the most nodes that a run had.
    pub nodes: Option<(usize, usize)>,
    /// How often each thing was seen.
    pub coverage: Coverage,
    /// In how many runs.
    seeds_with: Coverage,
    faults: BTreeMap<&'static str, FaultCount>,
    /// Runs that were too small: how many, and the first of them with the reason.
    small: u64,
    small_reasons: Vec<String>,
}

impl Totals {
    /// Adds a run. Of one that panicked only the failure is counted.
    pub fn add(&mut self, run: &Judged) {
        self.seeds += 1;
        self.failed += u64::from(!run.found.is_empty());
        self.operations += run.operations;
        self.events += run.events;
        self.simulated += run.simulated.0;
        if run.events > 0 {
            self.clients = Some(widened(self.clients, run.clients));
            self.nodes = Some(widened(self.nodes, run.nodes));
        }

        self.coverage.add(&run.coverage);
        for event in CoverageEvent::ALL {
            self.seeds_with
                .saw_times(event, run.coverage.count(event).min(1));
        }

        for (planned, felt) in &run.faults {
            let count = self.faults.entry(planned.fault.kind()).or_default();
            count.planned += 1;
            count.fired += u64::from(*felt > 0);
            count.felt += felt;
        }

        if let Err(why) = &run.counts {
            self.small += 1;
            if self.small_reasons.len() < MAX_REASONS {
                self.small_reasons.push(format!("seed {}: {why}", run.seed));
            }
        }
    }

    /// Each kind of fault.
    pub fn faults(&self) -> impl Iterator<Item = (&'static str, FaultCount)> {
        let count = |kind| self.faults.get(kind).copied().unwrap_or_default();
        Fault::KINDS
            .into_iter()
            .map(move |kind| (kind, count(kind)))
    }

    /// Each event: how often it was seen, and in how many runs.
    pub fn coverage(&self) -> impl Iterator<Item = (CoverageEvent, u64, u64)> {
        let counts = |event| {
            (
                event,
                self.coverage.count(event),
                self.seeds_with.count(event),
            )
        };
        CoverageEvent::ALL.into_iter().map(counts)
    }

    /// Faults that were felt.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.faults.values().map(|count| count.fired).sum()
    }

    /// Faults that were planned.
    #[must_use]
    pub fn planned(&self) -> u64 {
        self.faults.values().map(|count| count.planned).sum()
    }

    /// Kinds of faults of which none fired.
    pub fn unfired(&self) -> impl Iterator<Item = &'static str> {
        self.faults()
            .filter(|(_, count)| count.fired == 0)
            .map(|(kind, _)| kind)
    }

    /// Whether there are enough runs to have seen everything.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.seeds >= SET
    }

    /// Why the set does not count, a reason each; none if it counts.
    #[must_use]
    pub fn shortfalls(&self) -> Vec<String> {
        let mut why = self.small_reasons.clone();
        if self.small > why.len() as u64 {
            why.push(format!("{} runs in all that were too small", self.small));
        }
        if self.is_set() {
            let unfired = self
                .unfired()
                .map(|kind| format!("no fault fired of the kind: {kind}"));
            why.extend(unfired);
            let unseen = self.coverage.missing();
            why.extend(unseen.map(|event| format!("never seen: {}", event.name())));
        }

        why
    }

    /// What is known of the probability that a run fails if none did: below this, at a confidence of 95 %.
    #[must_use]
    pub fn bound(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let seeds = self.seeds.max(1) as f64;
        (3.0 / seeds).min(1.0)
    }
}

fn widened(range: Option<(usize, usize)>, by: usize) -> (usize, usize) {
    range.map_or((by, by), |(least, most)| (least.min(by), most.max(by)))
}

#[cfg(test)]
mod tests {
    use quoit_ring::Moment;

    use super::*;
    use crate::sim::campaign::Finding;
    use crate::sim::faults::Planned;

    fn run(seed: u64) -> Judged {
        Judged {
            events: 10,
            operations: 2_000,
            clients: 3,
            nodes: 5,
            ..Judged::empty(seed)
        }
    }

    /// A run that saw everything and in which one stop was felt twice and one not at all.
    fn rich(seed: u64) -> Judged {
        let mut rich = run(seed);
        CoverageEvent::ALL
            .iter()
            .for_each(|&event| rich.coverage.saw(event));
        let stop = |node| Planned {
            at: Moment(5),
            lasts: 1,
            fault: Fault::Stop { node },
        };
        rich.faults = vec![(stop(0), 2), (stop(1), 0)];
        rich
    }

    fn totals(runs: impl IntoIterator<Item = Judged>) -> Totals {
        let mut totals = Totals::default();
        runs.into_iter().for_each(|run| totals.add(&run));
        totals
    }

    #[test]
    fn sums_are_those_of_the_runs() {
        let mut more_clients = rich(2);
        more_clients.clients = 6;
        let totals = totals([rich(1), more_clients]);
        assert_eq!(
            (totals.seeds, totals.operations, totals.events),
            (2, 4_000, 20)
        );
        assert_eq!(totals.clients, Some((3, 6)));
        assert_eq!((totals.planned(), totals.fired()), (4, 2));
        let expected = FaultCount {
            planned: 4,
            fired: 2,
            felt: 4,
        };
        assert!(totals.faults().any(|count| count == ("stop", expected)));
        assert!(
            totals
                .coverage()
                .all(|(_, times, seeds)| (times, seeds) == (2, 2))
        );
    }

    #[test]
    fn a_set_in_which_something_never_happened_does_not_count() {
        let runs = || (1..=SET).map(run);
        let all = totals(runs()).shortfalls();
        assert_eq!(all.len(), Fault::KINDS.len() + CoverageEvent::ALL.len());
        let one_rich = totals(runs().chain([rich(SET + 1)])).shortfalls();
        assert_eq!(one_rich.len(), Fault::KINDS.len() - 1);
        assert!(!one_rich.iter().any(|why| why.ends_with(": stop")));
    }

    #[test]
    fn few_runs_need_not_have_seen_everything_but_must_each_be_large_enough() {
        assert!(totals((1..SET).map(run)).shortfalls().is_empty());
        let small = |seed| Judged {
            counts: Err("only 7 operations".to_owned()),
            ..run(seed)
        };
        let why = totals([run(1), small(2)]).shortfalls();
        assert_eq!(why, ["seed 2: only 7 operations"]);
        let why = totals((1..10).map(small)).shortfalls();
        assert_eq!(why.len(), MAX_REASONS + 1);
        assert!(why[MAX_REASONS].starts_with("9 runs in all"));
    }

    #[test]
    fn a_panic_counts_as_failed_and_changes_no_range() {
        let found = Finding {
            invariant: "no-panic",
            what: String::new(),
            timeline: String::new(),
        };
        let panicked = Judged {
            events: 0,
            clients: 0,
            nodes: 0,
            found: vec![found],
            ..run(1)
        };
        let totals = totals([panicked, run(2)]);
        assert_eq!(
            (totals.failed, totals.clients, totals.nodes),
            (1, Some((3, 3)), Some((5, 5)))
        );
    }

    #[test]
    fn the_rule_of_three_bounds_what_was_never_seen() {
        assert!((totals((1..=300).map(run)).bound() - 0.01).abs() < 1e-12);
        assert!(
            (Totals::default().bound() - 1.0).abs() < 1e-12,
            "nothing is known of nothing"
        );
    }
}
