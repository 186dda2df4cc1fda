//! Hints: how many are kept, by target. Answered from memory.

use quoit_ring::wire::{Refusal, Response};

use crate::hints::HintUsage;

/// Answers with one entry for each node for which anything is kept.
///
/// # Errors
/// [`Refusal::NotReady`] while it is being counted after a start.
pub(super) fn answer(hint_usage: &HintUsage) -> Result<Response, Refusal> {
    hint_usage
        .kept()
        .map(Response::Hints)
        .ok_or(Refusal::NotReady)
}
