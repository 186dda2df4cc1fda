//! Writes that failed and are sent again, as what they are: for the history still one operation.
//!
//! ```text
//!   put --unknown, under-replicated--> a pause --Client::retry--> its outcome is that of the whole
//! ```

use quoit_client::{SentWrite, WriteError, Written};
use rand::Rng as _;

use super::{Phase, Session};
use crate::history::OpId;
use crate::sim::chance::happens;
use crate::sim::coverage::CoverageEvent;

/// How often a write that may be stored is sent again, in 1,000; at most twice.
const RETRIED: u32 = 600;
/// Longest pause before that, in microseconds.
const LONGEST_PAUSE: u64 = 200_000;

impl Session {
    /// Sends a write again that failed, now and then.
    pub(super) async fn retried(
        &mut self,
        op: OpId,
        mut result: Result<Written, WriteError>,
    ) -> Result<Written, WriteError> {
        for _ in 0..2 {
            match result {
                Err(error) if error.can_retry() && self.phase() == Phase::FaultPhase => {
                    if !happens(&mut self.rng, RETRIED) {
                        return Err(error);
                    }
                    let pause = self.rng.random_range(0..=LONGEST_PAUSE);
                    self.sleep(pause).await;
                    self.saw([CoverageEvent::Retried]);
                    if let Some(dot) = error.write().and_then(SentWrite::dot) {
                        self.site.again(op, dot);
                    }
                    result = self.client.retry(error).await;
                }
                other => return other,
            }
        }
        result
    }
}
