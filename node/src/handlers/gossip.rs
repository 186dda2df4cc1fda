//! Gossip: a member's message is taken in. What it leads to is a message of its own.

use quoit_gossip::Message;
use quoit_ring::role::Role;
use quoit_ring::wire::{Refusal, Response};

use crate::gossip::GossipInbox;

/// Takes a message in, which counts as that of the node in its sender's certificate.
///
/// # Errors
/// [`Refusal`]: the caller is no node, its build speaks another version, or too many messages wait.
pub(super) fn answer(
    inbox: &GossipInbox,
    caller: Role,
    message: &[u8],
) -> Result<Response, Refusal> {
    let from = caller.node().ok_or(Refusal::Forbidden)?;
    let message = Message::decode(message).map_err(|_junk| Refusal::NotReady)?;
    if inbox.push(from, message) {
        Ok(Response::Heard)
    } else {
        Err(Refusal::Overloaded { queue_ms: 0 })
    }
}
