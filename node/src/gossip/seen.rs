//! What this node sees of the others, for whoever asks: replaced twice a round, read without a wait.

use std::sync::{Arc, PoisonError, RwLock};

use quoit_gossip::{Facts, MemberView};
use quoit_ring::wire::{MemberFacts, MemberSeen, MembersSeen};

/// The latest view.
#[derive(Debug, Default)]
pub struct SeenMembers(RwLock<Arc<MembersSeen>>);

impl SeenMembers {
    /// What is seen.
    #[must_use]
    pub fn get(&self) -> Arc<MembersSeen> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set(&self, seen: MembersSeen) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(seen);
    }
}

/// The views as they are sent.
pub(super) fn seen<'a>(
    members: impl Iterator<Item = MemberView<'a>>,
    is_isolated: bool,
) -> MembersSeen {
    let member = |view: MemberView<'_>| MemberSeen {
        node: view.id,
        state: view.state,
        was_heard: view.was_heard,
        silence_ms: u64::try_from(view.silence.as_millis()).unwrap_or(u64::MAX),
        incarnation: view.pulse.incarnation.0,
        heartbeat: view.pulse.heartbeat,
        facts: view.facts.map(facts),
    };
    MembersSeen {
        is_isolated,
        members: members.map(member).collect(),
    }
}

fn facts(facts: &Facts) -> MemberFacts {
    MemberFacts {
        version: facts.build.as_str().to_owned(),
        epoch: facts.epoch,
        disk: facts.disk,
        free_bytes: facts.free_bytes,
        oldest_hint_s: facts.oldest_hint_s,
        address: facts.address.as_deref().map(str::to_owned),
    }
}
