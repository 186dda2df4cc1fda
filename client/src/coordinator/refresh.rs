//! A newer ring: noticed by the epoch of an answer, fetched from the node that gave it.
//!
//! One question at a time, a second for each. What comes is taken if it is a map of this cluster and newer than the
//! one in force; operations under way go on with the one they began with.

use std::sync::Arc;
use std::time::Duration;

use quoit_ring::NodeId;
use quoit_ring::placement::Ring;
use quoit_ring::wire::map::decode_map;
use quoit_ring::wire::{Request, Response};
use smallvec::smallvec;

use crate::coordinator::slab::Key;
use crate::coordinator::{Coordinator, Purpose, Work};
use crate::env::Now;

impl<T, G> Coordinator<T, G> {
    /// Asks a node that answered from a newer epoch for its map, one question at a time.
    pub(super) fn refresh(&mut self, from: NodeId, now: Now) {
        if core::mem::replace(&mut self.refreshing, true) {
            return;
        }
        let deadline = Duration::from_secs(1);
        let running = self.running_for(None, smallvec![from], deadline, Work::Refresh, now);
        let key = self.running.insert(running);
        self.send(key, 0, Purpose::Ask, Request::Map, now);
        self.wind_clock(now);
    }

    pub(super) fn refreshed(&mut self, key: Key, response: &Response) {
        self.give_up_refresh(key);
        let Response::Map(bytes) = response else {
            return;
        };
        let ring = decode_map(bytes).ok().and_then(|map| Ring::new(&map).ok());
        let newer = |ring: &Ring| {
            ring.epoch() > self.ring.epoch() && ring.map().cluster == self.ring.map().cluster
        };
        if let Some(ring) = ring.filter(newer) {
            self.ring = Arc::new(ring);
            self.ring_is_new = true;
        }
    }

    pub(super) fn give_up_refresh(&mut self, key: Key) {
        self.running.remove(key);
        self.refreshing = false;
    }
}
