//! A naive store of some keys, and random scripts over it: what a correct one may do, by chance.
//!
//! ```text
//!   begin a write ----> some replicas now, some late, some never ----> end it: enough joined it, or unknown
//!   read   join a majority, write it back to all of them; or read one replica
//!   drift  late and double messages, syncs between two replicas, clients that begin a new life
//! ```
//!
//! Writes are blind or build on any operations of the key that returned: fresh, stale, several, none. Clocks
//! are skewed and tie. A superseded write is re-minted or stays unknown. Records and deltas are the
//! real ones; what the sessions did is recorded in a [`Recorder`].

mod writes;

use bytes::Bytes;
use quoit_ring::{Actor, Dot, Moment, Record, Seen, Time};
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};

use crate::history::{
    Call, ClientId, Family, Final, Found, History, KeyId, Mode, Op, OpId, Outcome, Recorder,
};

/// What a store may do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Quorum reads do not write back.
    NoWriteBack,
    /// A quorum write is acknowledged when one replica has joined it.
    OneIsEnough,
    /// A re-minted write does not build on its first attempt.
    ForgetsAttempt,
    /// A causal write claims all times of its actor.
    ForgetsPrevious,
    /// A causal write claims to have seen all that is older.
    CoversTooMuch,
    /// Of two siblings a read returns one.
    OneSibling,
    /// A delete is not remembered by a replica that joins it.
    ForgetsDeletes,
}

/// What a script is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    /// What the store does wrong, `None` for nothing.
    pub(crate) bug: Option<Bug>,
    pub(crate) seed: u64,
    pub(crate) replicas: usize,
    pub(crate) keys: usize,
    pub(crate) steps: usize,
}

/// Runs a script to its end: all messages delivered, all replicas synced and read.
pub(crate) fn run(script: Script) -> History {
    let mut world = World::new(script);
    for _ in 0..script.steps {
        world.step();
    }
    for key in 0..world.places.len() {
        world.heal(key);
    }
    world.recorder.finish()
}

/// A client in one of its lives.
#[derive(Debug)]
struct Writer {
    id: ClientId,
    actor: Actor,
    /// How far its clock is ahead.
    skew: u64,
}

/// A key at its replicas.
#[derive(Debug)]
struct KeyState {
    key: KeyId,
    replicas: Vec<Record>,
    late: Vec<(usize, Record)>,
    open: Vec<Open>,
    /// What returned, with what it had seen.
    contexts: Vec<(OpId, Seen)>,
    /// Each dot that was minted.
    dots: Vec<Dot>,
}

/// A write under way.
#[derive(Debug)]
struct Open {
    op: OpId,
    mode: Mode,
    call: Call,
    dot: Dot,
    record: Record,
}

struct World {
    bug: Option<Bug>,
    rng: SmallRng,
    recorder: Recorder,
    places: Vec<KeyState>,
    writers: Vec<Writer>,
    actors: u64,
    now: Moment,
    values: u64,
}

impl World {
    fn new(script: Script) -> Self {
        let mut rng = SmallRng::seed_from_u64(script.seed);
        let mut recorder = Recorder::new();
        let place = |key: usize| KeyState {
            key: recorder.key(&Bytes::from(format!("key {key}")), Family::Siblings),
            replicas: vec![Record::default(); script.replicas],
            late: Vec::new(),
            open: Vec::new(),
            contexts: Vec::new(),
            dots: Vec::new(),
        };
        let places = (0..script.keys).map(place).collect();
        let writer = |slot: u16| Writer {
            id: ClientId { slot, life: 0 },
            actor: Actor(u64::from(slot)),
            skew: rng.random_range(0..8),
        };
        let writers: Vec<_> = (0..4).map(writer).collect();
        let actors = writers.len() as u64;
        Self {
            bug: script.bug,
            rng,
            recorder,
            places,
            writers,
            actors,
            now: Moment(0),
            values: 0,
        }
    }

    fn step(&mut self) {
        let key = self.rng.random_range(0..self.places.len());
        match self.rng.random_range(0..100) {
            0..40 => self.begin_write(key),
            40..65 => self.end_write(key),
            65..85 => self.read(key),
            85..90 => self.deliver_late(key),
            90..96 => self.sync(key),
            _ => self.new_life(),
        }
    }

    fn tick(&mut self) -> Moment {
        self.now = self.now.after(self.rng.random_range(1..50));
        self.now
    }

    fn mode(&mut self) -> Mode {
        let one = self.rng.random_bool(0.3);
        if one { Mode::One } else { Mode::Quorum }
    }

    fn begin(&mut self, key: usize, client: ClientId, call: Call, mode: Mode) -> OpId {
        let invoked = self.tick();
        self.recorder.begin(Op {
            client,
            key: self.places[key].key,
            call,
            mode,
            count: None,
            healed: false,
            invoked,
            returned: None,
        })
    }

    fn read(&mut self, key: usize) {
        let mode = self.mode();
        let targets = self.targets(key, mode);
        self.read_from(key, &targets, mode);
    }

    fn read_from(&mut self, key: usize, targets: &[usize], mode: Mode) -> OpId {
        let client = ClientId { slot: 9, life: 0 };
        let op = self.begin(key, client, Call::Get, mode);
        let place = &mut self.places[key];
        let mut newest = Record::default();

        for &from in targets {
            newest.join(&place.replicas[from]);
        }
        if mode == Mode::Quorum && self.bug != Some(Bug::NoWriteBack) {
            for &to in targets {
                place.replicas[to].join(&newest);
            }
        }

        let found = |sibling: &quoit_ring::Sibling| Found {
            dot: sibling.dot,
            value: sibling.value.clone().unwrap(),
            expiry: None,
        };
        let mut siblings: Vec<_> = newest.live().iter().map(found).collect();
        if self.bug == Some(Bug::OneSibling) {
            siblings.truncate(1);
        }

        let seen = newest.seen().clone();
        place.contexts.push((op, seen.clone()));
        self.end(op, Outcome::Read { siblings, seen });
        op
    }

    /// One replica or a majority.
    fn targets(&mut self, key: usize, mode: Mode) -> Vec<usize> {
        let n = self.places[key].replicas.len();
        let mut targets: Vec<_> = (0..n).collect();
        targets.shuffle(&mut self.rng);
        targets.truncate(if mode == Mode::One { 1 } else { n / 2 + 1 });
        targets
    }

    fn deliver_late(&mut self, key: usize) {
        let place = &mut self.places[key];
        if let Some(&(to, ref record)) = place.late.choose(&mut self.rng) {
            place.replicas[to].join(record); // it may come again
        }
    }

    fn sync(&mut self, key: usize) {
        let pair = self.targets(key, Mode::Quorum);
        let place = &mut self.places[key];
        let from = place.replicas[pair[0]].clone();
        place.replicas[pair[1]].join(&from);
    }

    fn new_life(&mut self) {
        self.actors += 1;
        let actor = Actor(self.actors);
        let writer = self.rng.random_range(0..self.writers.len());
        let writer = &mut self.writers[writer];
        writer.id.life += 1;
        writer.actor = actor;
    }

    fn heal(&mut self, key: usize) {
        let all: Vec<_> = (0..self.places[key].replicas.len()).collect();
        let read = self.read_from(key, &all, Mode::Quorum);
        let (key, replicas) = (self.places[key].key, Vec::new());
        let end = Final {
            key,
            replicas,
            floor: Time::ZERO,
            read,
        };
        self.recorder.history_mut().finals.push(end);
    }

    fn end(&mut self, op: OpId, outcome: Outcome) {
        let at = self.tick();
        self.recorder.end(op, at, outcome);
    }
}
