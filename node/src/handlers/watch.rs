//! Watch: a poll for changes, of a key that this node owns, or of all that it has with a prefix.
//!
//! ```text
//!   poll --> an epoch that is served, an owner of the key --> Watches: answered at once, or kept until a commit changes the key
//! ```
//!
//! A node that is incomplete serves a watch all the same: what it has lost came before the subscription. Left out: what waits
//! ([`Watches`](crate::watches::Watches)).

use quoit_ring::Epoch;
use quoit_ring::wire::{Refusal, WatchRequest};

use super::replica::{Handled, Replica};
use crate::engine::Engine;
use crate::env::Env;

impl<E: Env, G: Engine> Replica<E, G> {
    /// Lets a poll through that this node can answer.
    pub(super) fn watch(&self, request: WatchRequest, epoch: Epoch) -> Result<Handled, Refusal> {
        if request.is_prefix {
            if self.state().service.is_draining() {
                return Err(Refusal::Draining);
            }
            self.state().cluster.serves(epoch)?;
        } else {
            self.locate(&request.key, epoch)?;
        }
        Ok(Handled::Watch(request))
    }
}
