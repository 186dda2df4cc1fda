//! Scan: a page of the rows that this node is to send, in the order of keys.
//!
//! ```text
//!   row --> its leaf --> among those who cover it?  no: passed over, and counted
//!                          the first  -> with its values
//!                          another    -> its version
//! ```
//!
//! The page is of one instant, by a snapshot that ends with it. Floors are read before: what is read later may have been
//! forgotten by a later floor. A node that is incomplete refuses, as it refuses gets.

use quoit_ring::wire::{Refusal, Response, ScanPage, ScanRequest};
use quoit_ring::{Epoch, Time};

use super::replica::Replica;
use crate::clock::Now;
use crate::engine::{Engine, EngineError};
use crate::env::Env;
use crate::storage::{Part, Unreadable, read_scan_page};

/// Why there is no page.
enum NoPage {
    Refused(Refusal),
    Unreadable(EngineError),
}

impl From<EngineError> for NoPage {
    fn from(error: EngineError) -> Self {
        Self::Unreadable(error)
    }
}

impl<E: Env, G: Engine> Replica<E, G> {
    /// Answers with one page.
    pub(super) fn scan(
        &self,
        request: &ScanRequest,
        epoch: Epoch,
        now: Now,
    ) -> Result<Response, Refusal> {
        let state = self.state();
        if state.service.is_draining() {
            return Err(Refusal::Draining);
        }
        let owners = state.cluster.owners(epoch)?;
        state.completeness.check()?;

        let floors = state.stability.floors();
        // What moves here has none, and a newcomer has it from the start.
        let floor = if owners.is_changing() {
            Time::ZERO
        } else {
            let own = || state.cluster.own_runs(epoch);
            (state.stability).least_owned((epoch, &floors), |floors| floors.least_of(&own()))
        };

        let senders = (usize::from(request.cover), &request.without[..]);
        let part = |key: &[u8]| {
            let leaf = state.cluster.leaf_of(key);
            let Some(is_first) = owners.sends(leaf, senders).map_err(NoPage::Refused)? else {
                return Ok(None);
            };
            let part = if is_first && request.values {
                Part::Whole
            } else {
                Part::Version
            };
            Ok(Some((part, floors.at(leaf))))
        };
        match read_scan_page(&self.engine().snapshot(), request, part) {
            Ok(page) => Ok(Response::Scan(ScanPage { floor, ..page })),
            Err(NoPage::Refused(refusal)) => Err(refusal),
            Err(NoPage::Unreadable(error)) => Err(self.refuse(&Unreadable::Engine(error), now)),
        }
    }
}
