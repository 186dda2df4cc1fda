//! Conditional writes and linearizable reads of a session, recorded for the checker of linearizability.
//!
//! ```text
//!   swap, look --begin: unknown--> history.registers --end--> returned, or left out if it surely did nothing
//! ```
//!
//! An operation counts as unknown from its beginning, so one whose client crashes stays so. Of some that end unknown the outcome is
//! asked: whoever is answered knows for certain.

use bytes::Bytes;
use quoit_client::{
    Client, Compared, ConditionalOp, Consistency, Entry, Settled, Stored, SwapError,
};

use super::Session;
use crate::history::RegisterCall;
use crate::invariants::linearizable::{End, RegisterOp, RegisterRet};
use crate::sim::chance::happens;
use crate::sim::coverage::CoverageEvent;

/// Under what condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum If {
    /// None.
    Any,
    /// Nothing is there.
    Absent,
    /// This value is there.
    Value(u64),
}

/// What becomes of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// This value; no two of a run are the same.
    Set(u64),
    /// Nothing.
    Delete,
}

/// How it ended.
enum Ended {
    Returned(RegisterRet<u64>),
    /// It surely did nothing.
    Nothing,
    Unknown,
}

impl Session {
    /// Reads a key: what is there now, if that is known.
    pub async fn look(&mut self, key: &Bytes, linearizable: bool) -> Option<Option<u64>> {
        let consistency = if linearizable {
            Consistency::Linearizable
        } else {
            Consistency::Quorum
        };
        let call = self.call(key, RegisterOp::Read);
        let read = self.client.get(key.clone()).consistency(consistency).await;
        let found = read.ok().map(|entry| value_of(&entry));
        let end = found.map_or(Ended::Nothing, |found| {
            Ended::Returned(RegisterRet::Value(found))
        });
        self.ended(key, call, end);
        found
    }

    /// Writes a key under a condition: what is there now, if that is known.
    pub async fn swap(
        &mut self,
        key: &Bytes,
        condition: If,
        change: Change,
    ) -> Option<Option<u64>> {
        let set = match change {
            Change::Set(value) => Some(value),
            Change::Delete => None,
        };
        let op = match (condition, set) {
            (If::Any, Some(value)) => RegisterOp::Write(value),
            (If::Any, None) => RegisterOp::Delete,
            (If::Absent, set) => RegisterOp::CompareAndSet { expect: None, set },
            (If::Value(value), set) => RegisterOp::CompareAndSet {
                expect: Some(value),
                set,
            },
        };
        let call = self.call(key, op);
        let result = swap(&self.client, key, condition, set).await;
        let is_conditional = condition != If::Any;
        let (end, found) = match result {
            Ok(Compared::Applied(_)) => (Ended::Returned(applied(is_conditional)), Some(set)),
            Ok(Compared::Mismatch(entry)) => {
                let found = value_of(&entry);
                (Ended::Returned(RegisterRet::Kept(found)), Some(found))
            }
            Err(SwapError::Unknown { operation, .. }) => {
                self.saw(Some(CoverageEvent::SwapUnknown));
                (self.settled(&operation, is_conditional).await, None)
            }
            Err(error) if error.stored() == Stored::Maybe => (Ended::Unknown, None),
            Err(_) => (Ended::Nothing, None),
        };
        self.ended(key, call, end);
        found
    }

    /// Asks for the outcome of an unknown one, or leaves it at that.
    async fn settled(&mut self, operation: &ConditionalOp, is_conditional: bool) -> Ended {
        if happens(&mut self.rng, 500) {
            return Ended::Unknown;
        }
        match self.client.outcome(operation).await {
            Ok(Settled::Applied(_)) => Ended::Returned(applied(is_conditional)),
            Ok(Settled::NotApplied) => {
                self.saw(Some(CoverageEvent::SwapBarred));
                Ended::Nothing
            }
            Ok(Settled::Forgotten) | Err(_) => Ended::Unknown,
        }
    }

    fn call(&self, key: &Bytes, op: RegisterOp<u64>) -> RegisterCall {
        let mut recorder = self.site.recorder().borrow_mut();
        let at = self.site.now();
        let healed = self.phase() == super::Phase::RecoveryPhase;
        recorder.register_called(key, (self.id, healed), op, at)
    }

    fn ended(&self, key: &Bytes, call: RegisterCall, ended: Ended) {
        let mut recorder = self.site.recorder().borrow_mut();
        let at = self.site.now().0;
        match ended {
            Ended::Returned(ret) => {
                recorder.register_ended(key, call, Some(End::Returned { at, ret }));
            }
            Ended::Nothing | Ended::Unknown if call.healed => {
                recorder.history_mut().unserved = Some(key.clone());
            }
            Ended::Nothing => recorder.register_ended(key, call, None),
            Ended::Unknown => {}
        }
    }
}

async fn swap(
    client: &Client,
    key: &Bytes,
    condition: If,
    set: Option<u64>,
) -> Result<Compared, SwapError> {
    let write = client.compare_and_set(key.clone());
    let bytes = |value: u64| Bytes::copy_from_slice(&value.to_be_bytes());
    let write = match condition {
        If::Any => write,
        If::Absent => write.if_absent(),
        If::Value(value) => write.if_value(bytes(value)),
    };
    match set {
        Some(value) => write.set(bytes(value)).await,
        None => write.delete().await,
    }
}

const fn applied(is_conditional: bool) -> RegisterRet<u64> {
    if is_conditional {
        RegisterRet::Swapped
    } else {
        RegisterRet::Done
    }
}

/// The value of a key; one that is no number of a workload, or several, is none that any operation wrote.
fn value_of(entry: &Entry) -> Option<u64> {
    if entry.is_absent() {
        return None;
    }
    let number = |value: &Bytes| Some(u64::from_be_bytes(value[..].try_into().ok()?));
    Some(entry.value().and_then(number).unwrap_or(u64::MAX))
}
