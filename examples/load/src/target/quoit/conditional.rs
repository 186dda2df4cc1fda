//! Conditional writes of quoit, by its public client.
//!
//! ```text
//!   look     get, linearizable                     the context of what is there
//!   swap     compare_and_set(key).if_context(..)   Applied, or Mismatch with what is there
//!   update   client.update(key, ..)                a get, then swaps until one is applied
//! ```
//!
//! An attempt of an update is a call of its function. Rounds that the client takes for one attempt, where another
//! proposer was in its way, are not seen from here.

use bytes::Bytes;
use quoit_client::{Compared, Consistency, Context, Edit, Stored, SwapError};

use super::super::{Mark, OpError, Swapped};
use super::{Quoit, because, read_kind};

impl Quoit {
    pub(in super::super) async fn look(&self, key: &[u8]) -> Result<Mark, OpError> {
        let key = Bytes::copy_from_slice(key);
        let entry = self.client.get(key).consistency(Consistency::Linearizable);
        match entry.await {
            Ok(entry) => Ok(Mark::Quoit(entry.context().clone())),
            Err(error) => Err(OpError {
                kind: read_kind(&error),
                may_be_stored: false,
            }),
        }
    }

    pub(in super::super) async fn swap(
        &self,
        key: &[u8],
        expected: &Context,
        value: Bytes,
    ) -> Result<Swapped, OpError> {
        let write = self.client.compare_and_set(Bytes::copy_from_slice(key));
        match write.if_context(expected).set(value).await {
            Ok(Compared::Applied(applied)) => Ok(Swapped::Applied(Mark::Quoit(applied.context))),
            Ok(Compared::Mismatch(there)) => {
                Ok(Swapped::Mismatch(Mark::Quoit(there.context().clone())))
            }
            Err(error) => Err(swap_error(&error)),
        }
    }

    pub(in super::super) async fn update(&self, key: &[u8], value: &Bytes) -> Result<u32, OpError> {
        let mut attempts = 0;
        let key = Bytes::copy_from_slice(key);
        let updated = self.client.update(key, |_there| {
            attempts += 1;
            Edit::Set(value.clone())
        });
        let updated = updated.await;
        updated
            .map(|_applied| attempts)
            .map_err(|error| swap_error(&error))
    }
}

fn swap_error(error: &SwapError) -> OpError {
    let kind = match error {
        SwapError::NotApplied { attempts, .. } => because("not written", attempts),
        SwapError::Unknown { attempts, .. } => because("outcome unknown", attempts),
        SwapError::Replaced { .. } => "outcome unknown: replaced by a put".to_owned(),
        other => other.to_string(),
    };
    OpError {
        kind,
        may_be_stored: error.stored() != Stored::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_for_which_others_were_always_first_is_stored_nowhere() {
        let failure = swap_error(&SwapError::Contended);
        assert!(!failure.may_be_stored);
        let nobody = SwapError::NotApplied {
            needed: 2,
            attempts: Vec::new(),
        };
        assert_eq!(swap_error(&nobody).kind, "not written");
        assert!(swap_error(&SwapError::Abandoned).may_be_stored);
    }
}
