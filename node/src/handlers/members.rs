//! Members: what this node sees of the others. Answered from memory, whatever the disk is doing.

use quoit_ring::wire::{MembersSeen, Response};

use crate::gossip::SeenMembers;

/// Answers with the latest view.
pub(super) fn answer(seen: &SeenMembers) -> Response {
    Response::Members(MembersSeen::clone(&seen.get()))
}
