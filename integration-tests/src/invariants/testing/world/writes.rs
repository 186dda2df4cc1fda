//! The writes of the naive store: begun, spread by chance, and ended.

use bytes::Bytes;
use quoit_ring::{Actor, Delta, Dot, Record, Seen, Time};
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use super::{Bug, KeyState, Open, World, Writer};
use crate::history::{Basis, Call, Outcome};

impl World {
    pub(super) fn begin_write(&mut self, key: usize) {
        let writer = self.rng.random_range(0..self.writers.len());
        let (basis, context) = self.basis(key);
        self.values += 1;
        let call = if self.rng.random_bool(0.15) {
            Call::Delete { basis }
        } else {
            Call::Put {
                value: Bytes::from(self.values.to_string()),
                basis,
                ttl_ms: None,
            }
        };
        let mode = self.mode();
        let op = self.begin(key, self.writers[writer].id, call.clone(), mode);
        let place = &self.places[key];
        let latest = context.as_ref().map_or(Time::ZERO, Seen::max_time);
        let Writer { actor, skew, .. } = self.writers[writer];
        let (dot, prev) = mint(place, actor, latest, self.now.0 / 100 + skew);
        let record = self.delta(&call, dot, prev, context.as_ref());
        let open = Open {
            op,
            mode,
            call,
            dot,
            record,
        };
        self.send(key, open);
    }

    /// Any contexts of the key, joined, or none at all.
    fn basis(&mut self, key: usize) -> (Basis, Option<Seen>) {
        if self.rng.random_bool(0.2) {
            return (Basis::Blind, None);
        }

        let contexts = &self.places[key].contexts;
        let count = self.rng.random_range(0..4_usize).min(contexts.len());
        let recent = contexts.len().saturating_sub(self.rng.random_range(1..20));
        let (mut ops, mut joined) = (Vec::new(), Seen::default());

        for (op, seen) in contexts[recent..].choose_multiple(&mut self.rng, count) {
            ops.push(*op);
            joined.union(seen);
        }

        (Basis::Seen(ops), Some(joined))
    }

    fn send(&mut self, key: usize, open: Open) {
        let at = self.now;
        self.recorder.mint(open.op, open.dot, at);
        let place = &mut self.places[key];
        place.dots.push(open.dot);
        for to in 0..place.replicas.len() {
            let way = self.rng.random_range(0..6);
            if way < 2 {
                place.replicas[to].join(&open.record);
            }
            if way == 1 || way == 2 {
                place.late.push((to, open.record.clone()));
            }
        }

        place.open.push(open);
    }

    pub(super) fn end_write(&mut self, key: usize) {
        let place = &mut self.places[key];
        if place.open.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..place.open.len());
        let open = place.open.swap_remove(at);
        match self.rng.random_range(0..10) {
            0 => {} // its client crashed
            1 => self.end(open.op, Outcome::Unknown("deadline")),
            _ => self.acknowledge(key, open),
        }
    }

    /// Enough replicas join a write, or it is superseded somewhere and cannot be acknowledged like this.
    fn acknowledge(&mut self, key: usize, open: Open) {
        let targets = self.targets(key, open.mode);
        let place = &mut self.places[key];
        let superseded = |&to: &usize| {
            let record: &Record = &place.replicas[to];
            record.seen().contains(open.dot) && !record.seen().names(open.dot)
        };
        if targets.iter().any(superseded) {
            return self.mint_anew(key, open);
        }

        let joining = if self.bug == Some(Bug::OneIsEnough) {
            1
        } else {
            targets.len()
        };
        for &to in &targets[..joining] {
            place.replicas[to].join(&open.record);
        }

        let seen = open.record.seen().clone();
        place.contexts.push((open.op, seen.clone()));
        let (dot, acked) = (open.dot, 1);
        self.end(open.op, Outcome::Written { dot, acked, seen });
    }

    fn mint_anew(&mut self, key: usize, open: Open) {
        if self.rng.random_bool(0.2) {
            return self.end(open.op, Outcome::Unknown("superseded"));
        }

        let place = &self.places[key];
        let above = place.replicas.iter().map(Record::max_time).max();
        let (dot, prev) = mint(place, open.dot.actor, above.unwrap_or(open.dot.time), 0);
        let blind = open.call.basis() == Some(&Basis::Blind);
        let nothing = Seen::default();
        let context = if self.bug == Some(Bug::ForgetsAttempt) {
            &nothing
        } else {
            open.record.seen()
        };
        let record = self.delta(&open.call, dot, prev, (!blind).then_some(context));
        self.tick();
        self.send(
            key,
            Open {
                dot,
                record,
                ..open
            },
        );
    }

    fn delta(&self, call: &Call, dot: Dot, prev: Time, context: Option<&Seen>) -> Record {
        let value = match call {
            Call::Put { value, .. } => Some((value.clone(), None)),
            Call::Get | Call::Delete { .. } => None,
        };
        if value.is_none() && self.bug == Some(Bug::ForgetsDeletes) {
            return Record::default();
        }

        let prev = if self.bug == Some(Bug::ForgetsPrevious) {
            Time::ZERO
        } else {
            prev
        };
        match context {
            Some(context) if self.bug != Some(Bug::CoversTooMuch) => {
                Delta::causal(dot, prev, context, value)
            }
            _ => Delta::blind(dot, value),
        }
        .into_record()
    }
}

/// A dot above all that its writer knows of, and its previous one on the key.
fn mint(place: &KeyState, actor: Actor, latest: Time, clock: u64) -> (Dot, Time) {
    let own = place.dots.iter().filter(|dot| dot.actor == actor);
    let prev = own.map(|dot| dot.time).max().unwrap_or(Time::ZERO);
    let time = Time(clock.max(latest.max(prev).0 + 1));
    (Dot { time, actor }, prev)
}
