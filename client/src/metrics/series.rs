//! Every counter under its name, and its description.
//!
//! ```text
//!   Totals --visit--> quoit_client_attempts_total {kind: "read"} 812
//!                     quoit_client_attempts_total {kind: "hedge"} 3     always the same series,
//!                     ...                                               in the same order
//! ```
//!
//! The users' table of them is in the module above; a test compares the two.

use crate::health;
use crate::metrics::counters::{Counters, End, Kind};

/// All counters of a client, at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Totals<'a> {
    pub(crate) ended: &'a [[u64; End::COUNT]; Kind::COUNT],
    pub(crate) sent: &'a Counters,
    pub(crate) health: &'a health::Counters,
}

/// A label and its value.
pub(crate) type Label = (&'static str, &'static str);

const KINDS: [Kind; Kind::COUNT] = [
    Kind::Get,
    Kind::Put,
    Kind::Delete,
    Kind::Ask,
    Kind::CompareAndSet,
];
const ENDS: [End; End::COUNT] = [
    End::Ok,
    End::Invalid,
    End::Unavailable,
    End::Unstable,
    End::NotStored,
    End::UnderReplicated,
    End::Unknown,
    End::Failed,
];
const ATTEMPTS: [&str; 8] = [
    "read", "hedge", "write", "repair", "hint", "probe", "ask", "register",
];
const REASONS: [&str; 4] = ["overloaded", "expired", "unfit", "other"];

/// The histogram of latencies, labelled with the kind of operation.
pub(crate) const SECONDS: &str = "quoit_client_operation_seconds";

/// The counters' names and descriptions.
pub(crate) const COUNTERS: [(&str, &str); 13] = [
    (
        "quoit_client_operations_total",
        "operations that ended, by kind and outcome",
    ),
    (
        "quoit_client_attempts_total",
        "requests queued for a node, by what they are for",
    ),
    (
        "quoit_client_remints_total",
        "writes minted again, since a later write superseded them",
    ),
    (
        "quoit_client_hedges_won_total",
        "hedged reads that ended without one of the replicas asked first",
    ),
    (
        "quoit_client_hedges_refused_total",
        "hedges that did not go out since the budget had no token",
    ),
    (
        "quoit_client_repairs_refused_total",
        "repairs in the background that were not sent since their budget of bytes was used up",
    ),
    (
        "quoit_client_hints_total",
        "hints for replicas that did not answer, by outcome",
    ),
    (
        "quoit_client_refusals_total",
        "answers that were refusals, by reason",
    ),
    (
        "quoit_client_unreachable_total",
        "requests not made, since there was no connection to their node",
    ),
    (
        "quoit_client_unsent_total",
        "requests turned away, since too much waited for their node",
    ),
    (
        "quoit_client_taken_back_total",
        "requests taken back before they were sent, since nobody waited for them any more",
    ),
    (
        "quoit_client_connections_lost_total",
        "connections that broke",
    ),
    (
        "quoit_client_ejections_total",
        "ejections of nodes: asked last until they answer",
    ),
];

/// The kinds of operation, as the histogram is labelled.
pub(crate) fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.into_iter().map(Kind::name)
}

/// Calls `show` with each counter's name, labels and sum.
pub(crate) fn visit(totals: Totals<'_>, mut show: impl FnMut(&'static str, &[Label], u64)) {
    let Totals {
        ended,
        sent,
        health,
    } = totals;

    for (kind, ends) in KINDS.iter().zip(ended) {
        for (end, &count) in ENDS.iter().zip(ends) {
            let labels = [("kind", kind.name()), ("outcome", end.name())];
            show("quoit_client_operations_total", &labels, count);
        }
    }
    for (kind, count) in ATTEMPTS.into_iter().zip(sent.attempts) {
        show("quoit_client_attempts_total", &[("kind", kind)], count);
    }
    for (reason, count) in REASONS.into_iter().zip(sent.refusals) {
        show("quoit_client_refusals_total", &[("reason", reason)], count);
    }
    let hints = [("stored", health.hints), ("forgone", health.hints_forgone)];
    for (outcome, count) in hints {
        show("quoit_client_hints_total", &[("outcome", outcome)], count);
    }

    let plain = [
        ("quoit_client_remints_total", sent.remints),
        ("quoit_client_hedges_won_total", health.hedges_won),
        ("quoit_client_hedges_refused_total", health.hedges_refused),
        ("quoit_client_repairs_refused_total", sent.repairs_refused),
        ("quoit_client_unreachable_total", sent.unreachable),
        ("quoit_client_unsent_total", sent.unsent),
        ("quoit_client_taken_back_total", sent.taken_back),
        ("quoit_client_connections_lost_total", sent.connections_lost),
        ("quoit_client_ejections_total", health.ejections),
    ];
    for (name, count) in plain {
        show(name, &[], count);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metrics::counters::RequestKind;

    #[test]
    fn every_counter_is_described_and_in_the_table_for_users() {
        let nothing = Totals {
            ended: &[[0; End::COUNT]; Kind::COUNT],
            sent: &Counters::default(),
            health: &health::Counters::default(),
        };
        let mut shown = BTreeSet::new();
        visit(nothing, |name, _, _| {
            shown.insert(name);
        });
        let described: BTreeSet<_> = COUNTERS.iter().map(|(name, _)| *name).collect();
        assert_eq!(shown, described);
        let table = include_str!("../metrics.rs");
        for name in described.into_iter().chain([SECONDS]) {
            assert!(table.contains(&format!("//! | `{name}` |")), "{name}");
        }
        for label in ATTEMPTS.iter().chain(&REASONS) {
            assert!(table.contains(&format!("`{label}`")), "{label}");
        }
    }

    #[test]
    fn labels_are_in_the_order_of_their_counters() {
        for kind in [
            RequestKind::Read,
            RequestKind::Hedge,
            RequestKind::Write,
            RequestKind::Repair,
            RequestKind::Hint,
            RequestKind::Probe,
            RequestKind::Ask,
        ] {
            assert_eq!(ATTEMPTS[kind as usize], kind.name());
        }
        let in_order = |(index, kind): (usize, &Kind)| *kind as usize == index;
        assert!(KINDS.iter().enumerate().all(in_order));
        assert!(
            ENDS.iter()
                .enumerate()
                .all(|(index, end)| *end as usize == index)
        );
    }
}
