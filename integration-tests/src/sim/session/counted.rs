//! A merge function that counts its calls.
//!
//! Merge functions change nothing if they are given a value twice, so a merge that is done twice, or over its own
//! result, shows in no value. It shows here.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use quoit_client::{Merge, Value};

/// A merge function, and how many values it was given at each call.
#[derive(Debug)]
pub(super) struct Counted<M> {
    merge: M,
    calls: Calls,
}

/// How many values each call was given.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls(Arc<Mutex<Vec<usize>>>);

impl<M: Merge> Counted<M> {
    /// The function, and where its calls are counted.
    pub(super) fn new(merge: M) -> (Self, Calls) {
        let calls = Calls::default();
        let counted = calls.clone();
        (
            Self {
                merge,
                calls: counted,
            },
            calls,
        )
    }
}

impl Calls {
    /// Takes what was counted.
    pub(super) fn take(&self) -> Vec<usize> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<M: Merge> Merge for Counted<M> {
    fn merge(&self, siblings: &[Value]) -> Option<Bytes> {
        let mut calls = self.calls.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(siblings.len());
        drop(calls);
        self.merge.merge(siblings)
    }
}
