//! Latencies and health between the acts of a fault script.
//!
//! ```text
//!   begin            slow n2          heal n2              end
//!   |=================|....|===========|....|==============|
//!    before anything        from 1 s on       from 1 s on
//! ```
//!
//! A second after each act belongs to no phase: what a fault does at once is seen in the time line and in the time
//! to recover, and what it does for good is seen here. An operation belongs to the phase that it should
//! have begun in, so that those which a fault delays beyond a phase still count there.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::figures::{Latencies, percentiles};
use crate::args::fault::Fault;
use crate::result::{HealthNote, PhaseNote, PhaseOp};
use crate::target::Target;
use crate::workload::Verb;

/// What a store may take to find its way around a fault.
const SETTLING: Duration = Duration::from_secs(1);

/// A stretch of the measured time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// `before slow n2 200ms`, `after heal n2`
    what: String,
    from: Duration,
    to: Duration,
}

/// The stretches between the acts of a script, in order of time, in a run of `total`; none without acts.
pub(crate) fn stretches(script: &[Fault], total: Duration) -> Vec<Stretch> {
    let Some(first) = script.first() else {
        return Vec::new();
    };
    let mut stretches = vec![Stretch {
        what: format!("before {first}"),
        from: Duration::ZERO,
        to: first.at,
    }];
    let ends = script.iter().skip(1).map(|act| act.at).chain([total]);
    stretches.extend(script.iter().zip(ends).map(|(act, to)| Stretch {
        what: format!("after {act}"),
        from: act.at + SETTLING,
        to,
    }));
    stretches.retain(|stretch| stretch.from < stretch.to);
    stretches
}

/// What happened in each stretch.
#[derive(Debug, Default)]
pub(crate) struct Phases(Vec<Phase>);

#[derive(Debug)]
struct Phase {
    stretch: Stretch,
    verbs: [Option<Of>; Verb::COUNT],
}

#[derive(Debug)]
struct Of {
    failed: u64,
    latencies: Latencies,
}

impl Phases {
    pub(crate) fn new(stretches: Vec<Stretch>) -> Self {
        let phase = |stretch| Phase {
            stretch,
            verbs: Default::default(),
        };
        Self(stretches.into_iter().map(phase).collect())
    }

    /// An operation that should have begun `intended` after the begin took so many microseconds, or failed.
    /// `empty` is a histogram without anything in it.
    pub(crate) fn record(
        &mut self,
        verb: Verb,
        intended: Duration,
        micros: Option<u64>,
        empty: &Latencies,
    ) {
        let holds = |phase: &&mut Phase| (phase.stretch.from..phase.stretch.to).contains(&intended);
        let Some(phase) = self.0.iter_mut().find(holds) else {
            return;
        };
        let of = phase.verbs[verb.index()].get_or_insert_with(|| Of {
            failed: 0,
            latencies: empty.clone(),
        });
        match micros {
            Some(micros) => of.latencies.saturating_record(micros),
            None => of.failed += 1,
        }
    }

    /// What was found, with the health of each stretch in the same order.
    pub(crate) fn notes(&self, health: &[Option<HealthNote>]) -> Vec<PhaseNote> {
        let health = health.iter().copied().chain(std::iter::repeat(None));
        let note = |(phase, health): (&Phase, _)| PhaseNote {
            what: phase.stretch.what.clone(),
            from: phase.stretch.from.as_secs_f64(),
            to: phase.stretch.to.as_secs_f64(),
            operations: phase.operations(),
            health,
        };
        self.0.iter().zip(health).map(note).collect()
    }
}

impl Phase {
    fn operations(&self) -> BTreeMap<String, PhaseOp> {
        let of = |(verb, of): (Verb, &Option<Of>)| {
            let of = of.as_ref()?;
            let op = PhaseOp {
                count: of.latencies.len(),
                failed: of.failed,
                intended: percentiles(&of.latencies),
            };
            Some((verb.name().to_owned(), op))
        };
        let verbs = Verb::ALL.into_iter().zip(&self.verbs);
        verbs.filter_map(of).collect()
    }
}

/// What the store's clients did about its nodes' health in each stretch, and in all the time up to `end`.
pub(crate) async fn watch(
    clients: &[Target],
    stretches: &[Stretch],
    begin: Instant,
    end: Instant,
) -> (Vec<Option<HealthNote>>, Option<HealthNote>) {
    let each = async {
        let mut notes = Vec::new();
        for stretch in stretches {
            notes.push(over(clients, begin + stretch.from, begin + stretch.to).await);
        }
        notes
    };
    tokio::join!(each, over(clients, begin, end))
}

async fn over(clients: &[Target], from: Instant, to: Instant) -> Option<HealthNote> {
    sleep_until(from).await;
    let before = health(clients).await?;
    sleep_until(to).await;
    Some(health(clients).await?.since(before))
}

/// What all clients did so far.
async fn health(clients: &[Target]) -> Option<HealthNote> {
    let mut sum = HealthNote::default();
    for client in clients {
        sum = sum.plus(client.health().await?);
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::fault::Act;
    use crate::run::figures::latencies;

    fn fault(at: f64, act: Act) -> Fault {
        Fault {
            at: Duration::from_secs_f64(at),
            act,
            node: 1,
        }
    }

    fn script() -> [Fault; 3] {
        let slow = Act::Slow(Duration::from_millis(200));
        // The last two are too close for a phase between them.
        [
            fault(6.0, slow),
            fault(14.0, Act::Heal),
            fault(14.5, Act::Kill),
        ]
    }

    #[test]
    fn there_is_a_phase_between_two_acts_without_the_first_second_of_it() {
        let found = stretches(&script(), Duration::from_secs(20));
        let found = found
            .iter()
            .map(|Stretch { what, from, to }| (&**what, from.as_secs_f64(), to.as_secs_f64()));
        let expected = [
            ("before slow n2 200ms", 0.0, 6.0),
            ("after slow n2 200ms", 7.0, 14.0),
            ("after kill n2", 15.5, 20.0),
        ];
        assert!(found.eq(expected));
        assert_eq!(stretches(&[], Duration::from_secs(20)), []);
    }

    #[test]
    fn an_operation_belongs_where_it_should_have_begun() {
        let mut phases = Phases::new(stretches(&script(), Duration::from_secs(20)));
        let empty = latencies().unwrap();
        for (at, micros) in [
            (5.9, Some(10)),
            (6.5, Some(9_999_999)),
            (7.0, Some(300)),
            (13.9, Some(5_000_000)),
            (13.9, None),
        ] {
            phases.record(Verb::Get, Duration::from_secs_f64(at), micros, &empty);
        }
        let notes = phases.notes(&[None]);
        let get = |phase: usize| notes[phase].operations.get("get");
        assert_eq!(get(0).unwrap().intended.max, 10);
        let slow = get(1).unwrap();
        assert_eq!((slow.count, slow.failed), (2, 1));
        assert!((5_000_000..5_010_000).contains(&slow.intended.max));
        assert!(get(2).is_none());
    }
}
