//! A client's requests that have not reached their nodes: what it may take back.
//!
//! ```text
//!   sent --> in transit --arrives--> read by its node
//!                `--sweep, and nobody waits for it--> taken back: never arrives
//! ```
//!
//! A real client takes back what still waits in its outbox. Frames are not queued here, so any that has not arrived
//! counts as one that waits, as it may behind a link that is clogged. Repairs and hints stay.

use std::collections::BTreeSet;

use quoit_ring::{Moment, NodeId};

/// So many are kept before those that have arrived are dropped.
const MANY: usize = 256;

/// One request on its way.
#[derive(Debug, Clone, Copy)]
struct Transit {
    to: NodeId,
    id: u64,
    arrives: Moment,
}

/// The requests of one client.
#[derive(Debug, Default)]
pub struct InTransit {
    requests: Vec<Transit>,
    taken_back: BTreeSet<(NodeId, u64)>,
}

impl InTransit {
    /// A request is sent and will arrive then.
    pub fn sent(&mut self, (to, id): (NodeId, u64), arrives: Moment, now: Moment) {
        if self.requests.len() >= MANY {
            self.requests.retain(|request| request.arrives > now);
        }
        self.requests.push(Transit { to, id, arrives });
    }

    /// Takes back all that has not arrived and is not awaited.
    pub fn sweep(
        &mut self,
        now: Moment,
        is_awaited: &mut dyn FnMut(u64) -> bool,
    ) -> Vec<(NodeId, u64)> {
        let left = |request: &mut Transit| request.arrives > now && !is_awaited(request.id);
        let swept: Vec<_> = self.requests.extract_if(.., left).collect();
        let swept: Vec<_> = swept
            .iter()
            .map(|request| (request.to, request.id))
            .collect();
        self.taken_back.extend(&swept);
        swept
    }

    /// Whether nothing was taken back: then every request arrives.
    #[must_use]
    pub fn all_arrive(&self) -> bool {
        self.taken_back.is_empty()
    }

    /// Whether this request was taken back.
    #[must_use]
    pub fn was_taken_back(&self, to: NodeId, id: u64) -> bool {
        self.taken_back.contains(&(to, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_takes_what_has_not_arrived_and_nobody_waits_for() {
        let to = NodeId(3);
        let mut transit = InTransit::default();
        for (id, arrives) in [(1, 5), (2, 20), (3, 30)] {
            transit.sent((to, id), Moment(arrives), Moment(0));
        }
        assert!(transit.all_arrive());
        assert_eq!(transit.sweep(Moment(10), &mut |id| id == 3), [(to, 2)]);
        assert!(transit.was_taken_back(to, 2) && !transit.was_taken_back(to, 3));
        assert_eq!(transit.sweep(Moment(10), &mut |_| false), [(to, 3)]);
    }

    #[test]
    fn requests_that_have_arrived_are_dropped() {
        let mut transit = InTransit::default();
        for id in 0..10 * MANY as u64 {
            transit.sent((NodeId(1), id), Moment(id + 1), Moment(id));
        }
        assert!(transit.requests.len() <= MANY);
    }
}
