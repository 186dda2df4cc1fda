//! A naive store of one counter: what a correct one may do, by chance, and what a flawed one does.
//!
//! ```text
//!   increment   read a majority, write back, merge, put   to some replicas now, to others late or never
//! ```

use bytes::Bytes;
use quoit_client::{Merge as _, Value};
use quoit_ring::{Actor, Delta, Dot, Moment, Record, Time};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::history::{
    Basis, Call, ClientId, Family, Final, Found, GCounter, History, KeyId, MergeCounters, Mode, Op,
    OpId, Outcome, Recorder,
};

/// What the store does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    ReadsOneReplica,
    AcknowledgesOne,
    KeepsOneSibling,
    SaysRefusedForUnknown,
    ContextNamesEverything,
}

impl Flaw {
    pub(super) const ALL: [Self; 5] = [
        Self::ReadsOneReplica,
        Self::AcknowledgesOne,
        Self::KeepsOneSibling,
        Self::SaysRefusedForUnknown,
        Self::ContextNamesEverything,
    ];
}

/// Each two of them are one actor, as tasks of one client are.
const WRITERS: u16 = 4;

struct Store {
    rng: SmallRng,
    flaw: Flaw,
    recorder: Recorder,
    key: KeyId,
    replicas: Vec<Record>,
    late: Vec<(usize, Record)>,
    now: Moment,
    /// Each actor's last dot.
    last: [Time; WRITERS as usize / 2],
    time: u64,
}

/// Forty increments of four writers, and some more.
pub(super) fn run(seed: u64, flaw: Flaw) -> History {
    let mut recorder = Recorder::new();
    let key = recorder.key(&Bytes::from_static(b"k"), Family::Counter);
    let mut store = Store {
        rng: SmallRng::seed_from_u64(seed),
        flaw,
        recorder,
        key,
        replicas: vec![Record::default(); 3],
        late: Vec::new(),
        now: Moment(0),
        last: [Time::ZERO; WRITERS as usize / 2],
        time: 0,
    };

    for _ in 0..40 {
        let client = store.rng.random_range(0..WRITERS);
        let (read, record) = store.read(client);
        if store.rng.random_bool(0.3) {
            let other = client ^ 1; // between the first one's read and its put
            let (theirs, found) = store.read(other);
            store.increment(other, theirs, &found);
        }
        store.increment(client, read, &record);
    }

    store.end()
}

impl Store {
    fn read(&mut self, client: u16) -> (OpId, Record) {
        self.deliver_late();
        let op = self.begin(client, Call::Get);
        let first = self.rng.random_range(0..3);
        let mut record = self.replicas[first].clone();
        if self.flaw != Flaw::ReadsOneReplica {
            record.join(&self.replicas[(first + 1) % 3]);
            self.replicas[first] = record.clone();
            self.replicas[(first + 1) % 3] = record.clone();
        }
        self.found(op, &record);
        (op, record)
    }

    fn found(&mut self, op: OpId, record: &Record) {
        let mut siblings: Vec<_> = values(record).into_iter().map(found).collect();
        if self.flaw == Flaw::KeepsOneSibling {
            siblings.truncate(1);
        }
        let seen = record.seen().clone();
        self.finish(op, Outcome::Read { siblings, seen });
    }

    fn increment(&mut self, client: u16, read: OpId, record: &Record) {
        let mut siblings = values(record);
        if self.flaw == Flaw::KeepsOneSibling {
            siblings.truncate(1);
        }

        let merged = MergeCounters.merge(&siblings).unwrap();
        let mut counter = GCounter::parse(&merged).unwrap();
        counter.increment(u64::from(client));
        self.time += 1;
        let value = counter.to_value(self.time);
        let dot = Dot {
            time: Time(self.time),
            actor: Actor(u64::from(client / 2)),
        };
        let prev = core::mem::replace(&mut self.last[usize::from(client / 2)], dot.time);
        let prev = if self.flaw == Flaw::ContextNamesEverything {
            Time::ZERO
        } else {
            prev
        };
        let basis = Basis::Seen(vec![read]);
        let op = self.begin(
            client,
            Call::Put {
                value: value.clone(),
                basis,
                ttl_ms: None,
            },
        );
        let now = self.now;
        self.recorder.mint(op, dot, now);
        let delta = Delta::causal(dot, prev, record.seen(), Some((value, None)));
        self.spread(op, &delta);
    }

    /// Some replicas join it at once, some late, some never.
    fn spread(&mut self, op: OpId, delta: &Delta) {
        let mut acked = 0;
        for replica in 0..3 {
            match self.rng.random_range(0..10) {
                0..6 => {
                    self.replicas[replica].join(delta.record());
                    acked += 1;
                }
                6..9 => self.late.push((replica, delta.record().clone())),
                _ => {}
            }
        }

        let needed = if self.flaw == Flaw::AcknowledgesOne {
            1
        } else {
            2
        };
        let outcome = if acked >= needed {
            let (dot, seen) = (delta.dot(), delta.record().seen().clone());
            Outcome::Written { dot, acked, seen }
        } else if self.flaw == Flaw::SaysRefusedForUnknown {
            Outcome::Refused("not written")
        } else {
            Outcome::Unknown("no answer")
        };
        self.finish(op, outcome);
    }

    fn deliver_late(&mut self) {
        while self.rng.random_bool(0.3) && !self.late.is_empty() {
            let which = self.rng.random_range(0..self.late.len());
            let (replica, record) = self.late.swap_remove(which);
            self.replicas[replica].join(&record);
        }
    }

    fn end(mut self) -> History {
        for (replica, record) in core::mem::take(&mut self.late) {
            self.replicas[replica].join(&record);
        }

        let mut all = Record::default();
        self.replicas.iter().for_each(|record| all.join(record));
        let read = self.begin(WRITERS, Call::Get);
        self.found(read, &all);
        let key = self.key;
        let replicas = Vec::new();
        let end = Final {
            key,
            replicas,
            floor: Time::ZERO,
            read,
        };
        self.recorder.history_mut().finals.push(end);
        self.recorder.finish()
    }

    fn begin(&mut self, slot: u16, call: Call) -> OpId {
        self.now = self.now.after(7);
        self.recorder.begin(Op {
            client: ClientId { slot, life: 0 },
            key: self.key,
            call,
            mode: Mode::Quorum,
            count: None,
            healed: false,
            invoked: self.now,
            returned: None,
        })
    }

    fn finish(&mut self, op: OpId, outcome: Outcome) {
        self.now = self.now.after(7);
        self.recorder.end(op, self.now, outcome);
    }
}

fn values(record: &Record) -> Vec<Value> {
    let value = |s: &quoit_ring::Sibling| Value {
        bytes: s.value.clone().unwrap(),
        dot: s.dot,
        expiry: s.expiry,
    };
    record.live().iter().map(value).collect()
}

fn found(value: Value) -> Found {
    Found {
        dot: value.dot,
        value: value.bytes,
        expiry: value.expiry,
    }
}
