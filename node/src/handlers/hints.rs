//! Hints: how much is kept, and for whom. Answered from memory.

use quoit_ring::wire::{Refusal, Response};

use crate::commit::Tally;

/// Answers with one entry for each node for which anything is kept.
///
/// # Errors
/// [`Refusal::NotReady`] while it is being counted after a start.
pub(super) fn answer(tally: &Tally) -> Result<Response, Refusal> {
    tally.kept().map(Response::Hints).ok_or(Refusal::NotReady)
}
