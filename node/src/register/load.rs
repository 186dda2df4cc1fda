//! What is pending when a node starts: read from the disk before it serves.
//!
//! A register that cannot be read is damage: steps on it are refused. What was pending there is not known, so until the node is
//! replaced no floor rises here.

use std::error::Error;
use std::ops::Bound;

use bytes::Bytes;
use quoit_ring::Time;
use quoit_ring::wire::decode_accepted;

use super::Registers;
use crate::engine::layout::parse_record_key;
use crate::engine::{Engine, Keyspace, Snapshot as _, skip_unreadable};

impl Registers {
    /// Finds what is pending in `engine`.
    pub(crate) fn load<G: Engine>(&self, engine: &G) {
        let (snapshot, mut start) = (engine.snapshot(), Bound::Unbounded);
        let mut last = Bytes::new();
        loop {
            let mut damaged = None;
            for row in snapshot.range(Keyspace::Ballots, (start.clone(), Bound::Unbounded)) {
                match row {
                    Ok((stored, row)) => {
                        self.load_row(&stored, row);
                        last = stored;
                    }
                    Err(error) => damaged = Some(error),
                }
            }
            let Some(error) = damaged else { return };

            tracing::error!(
                error = &error as &dyn Error,
                "registers cannot be read: no delete is forgotten here until this node is replaced"
            );
            self.set_pending(&Bytes::new(), Some(Time::ZERO));
            let end = Bound::Unbounded;
            match skip_unreadable(&snapshot, Keyspace::Ballots, &last, &end, &error) {
                Some(next) => start = Bound::Included(next),
                None => return,
            }
        }
    }

    fn load_row(&self, stored: &Bytes, row: Bytes) {
        let Ok((_, key)) = parse_record_key(stored) else {
            return; // none was written so
        };
        match decode_accepted(row) {
            Ok(accepted) if accepted.value.is_none() => {}
            Ok(accepted) => self.set_pending(&stored.slice_ref(key), Some(accepted.since)),
            Err(error) => {
                tracing::error!(error = &error as &dyn Error, "a register cannot be read");
                self.set_pending(&stored.slice_ref(key), Some(Time::ZERO));
            }
        }
    }
}
