//! A session: how a workload's task uses its client, with everything put down in the history.
//!
//! ```text
//!   task --> Session --begin--> history
//!               |--> Client::get, put, delete           the public handle, as an application has it
//!               '--end----> history
//! ```
//!
//! A task lives as long as its client: if that crashes, the operation under way never returns.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use quoit_client::{
    Client, Consistency, Context, Entry, Get, Merge, ReadError, Stored, WriteError,
};
use quoit_ring::wire::decode_record;
use quoit_ring::{Dot, Seen};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::chance::happens;
use super::plan::OPERATIONS;
use super::sights::{Sight, Sights};
use super::tasks::Timeline;
use crate::history::{
    Basis, Call, ClientId, Family, Found, KeyId, Micros, Mode, Op, OpId, Outcome, Recorder,
};

/// How long the operations of a run should take, in microseconds of virtual time: as long as faults happen.
const LOAD_LASTS: u64 = 3_000_000;

/// In which part of a run tasks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Faults happen; operations may fail.
    Storm,
    /// Faults have ended and connections come back; tasks of the storm end.
    Mending,
    /// The world is healed; operations must succeed.
    Calm,
    /// Tasks end with what they are doing.
    Over,
}

/// A write that was just acknowledged.
#[derive(Debug)]
pub struct Acked {
    /// Which.
    pub op: OpId,
    /// Its key.
    pub key: Bytes,
    /// Under which dot.
    pub dot: Dot,
}

/// What all tasks of a world share.
#[derive(Debug)]
pub struct Site {
    timeline: Rc<Timeline>,
    recorder: RefCell<Recorder>,
    sights: RefCell<Sights>,
    phase: Cell<Phase>,
    succeeded: Cell<u64>,
    /// Writes whose callers were just told that they are stored.
    acked: RefCell<Vec<Acked>>,
    values: Cell<u64>,
    /// How long a task waits between two operations, in microseconds, about.
    pause: u64,
}

impl Site {
    /// A world's site at time 0.
    #[must_use]
    pub fn new(pause: u64) -> Self {
        Self {
            timeline: Rc::default(),
            recorder: RefCell::default(),
            sights: RefCell::default(),
            phase: Cell::new(Phase::Storm),
            succeeded: Cell::new(0),
            acked: RefCell::default(),
            values: Cell::new(0),
            pause,
        }
    }

    /// The time, and who sleeps.
    #[must_use]
    pub const fn timeline(&self) -> &Rc<Timeline> {
        &self.timeline
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.timeline.now()
    }

    /// The part of the run.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Begins another part of the run.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// How many operations have returned what was asked for.
    #[must_use]
    pub const fn succeeded(&self) -> u64 {
        self.succeeded.get()
    }

    /// Takes the writes that were acknowledged since the last call.
    #[must_use]
    pub fn take_acked(&self) -> Vec<Acked> {
        self.acked.take()
    }

    /// Whether operations are fewer by now than they must be for the load to last as long as the faults, and
    /// not much longer.
    fn is_behind(&self) -> bool {
        let due = OPERATIONS.saturating_mul(self.now().0) / LOAD_LASTS;
        self.succeeded() < due
    }

    /// The history so far.
    #[must_use]
    pub const fn recorder(&self) -> &RefCell<Recorder> {
        &self.recorder
    }

    /// Something remarkable was seen.
    pub fn saw(&self, sight: Sight) {
        self.sights.borrow_mut().saw(sight);
    }

    /// What was seen so far.
    #[must_use]
    pub const fn sights(&self) -> &RefCell<Sights> {
        &self.sights
    }

    /// A frame with a put goes out; whether its write has another dot than before.
    pub(super) fn sent(
        &self,
        client: ClientId,
        request: u64,
        (key, record): (&Bytes, &Bytes),
        dot: Dot,
    ) -> bool {
        let value = || decode_record(record).ok()?.live().first()?.value.clone();
        let sent = (dot, self.now());
        let mut recorder = self.recorder.borrow_mut();
        recorder.sent(client, request, key, value, sent)
    }
}

/// What a task knows of a key: a context, and the operations it came from.
#[derive(Debug, Clone, Default)]
pub struct Known {
    context: Context,
    ops: Vec<OpId>,
}

impl Known {
    /// Adds what another has seen of the same key.
    pub fn join(&mut self, other: &Self) {
        self.context.join(&other.context);
        self.ops.extend(&other.ops);
    }
}

/// How to ask.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// Under what promise.
    pub mode: Mode,
    /// How many replicas; `None` is what the mode says.
    pub count: Option<u8>,
    /// How long a put's value lives.
    pub ttl: Option<Duration>,
}

impl Ask {
    /// In quorum mode with majorities.
    pub const QUORUM: Self = Self {
        mode: Mode::Quorum,
        count: None,
        ttl: None,
    };

    /// With one replica.
    pub const ONE: Self = Self {
        mode: Mode::One,
        ..Self::QUORUM
    };

    const fn consistency(self) -> Consistency {
        match self.mode {
            Mode::One => Consistency::One,
            Mode::Quorum => Consistency::Quorum,
        }
    }
}

/// A key of a workload.
#[derive(Debug, Clone)]
pub struct Name {
    /// Its bytes.
    pub bytes: Bytes,
    /// What it is used for.
    pub family: Family,
}

impl Name {
    /// Key number `index` of a family.
    #[must_use]
    pub fn of(family: Family, index: u64) -> Self {
        let bytes = format!("{}/{index}", family.name()).into();
        Self { bytes, family }
    }
}

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// Where the tasks of one client are collected before they run.
pub struct Crew {
    site: Rc<Site>,
    client: Client,
    id: ClientId,
    rng: SmallRng,
    tasks: Vec<Work>,
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Crew {
    /// An empty crew for a client.
    #[must_use]
    pub const fn new(site: Rc<Site>, client: Client, id: ClientId, rng: SmallRng) -> Self {
        Self {
            site,
            client,
            id,
            rng,
            tasks: Vec::new(),
        }
    }

    /// Whose crew it is.
    #[must_use]
    pub const fn id(&self) -> ClientId {
        self.id
    }

    /// Adds a task.
    pub fn spawn<F: Future<Output = ()> + 'static>(&mut self, task: impl FnOnce(Session) -> F) {
        let session = Session {
            site: Rc::clone(&self.site),
            client: self.client.clone(),
            id: self.id,
            task: u16::try_from(self.tasks.len()).unwrap_or(u16::MAX),
            rng: SmallRng::seed_from_u64(self.rng.random()),
        };
        self.tasks.push(Box::pin(task(session)));
    }

    /// The tasks.
    #[must_use]
    pub fn into_tasks(self) -> Vec<Work> {
        self.tasks
    }
}

/// One task's use of its client.
#[derive(Debug)]
pub struct Session {
    site: Rc<Site>,
    client: Client,
    id: ClientId,
    task: u16,
    rng: SmallRng,
}

impl Session {
    /// Whose it is.
    #[must_use]
    pub const fn id(&self) -> ClientId {
        self.id
    }

    /// A number that no other task has at the same time.
    #[must_use]
    pub fn writer(&self) -> u64 {
        let ClientId { slot, life } = self.id;
        u64::from(slot) << 32 | u64::from(life) << 16 | u64::from(self.task)
    }

    /// The task's own randomness.
    pub const fn rng(&mut self) -> &mut SmallRng {
        &mut self.rng
    }

    /// The part of the run.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.site.phase()
    }

    /// Waits a little, as long as the run lets tasks wait between operations; false once the storm is over.
    pub async fn pause(&mut self) -> bool {
        // In bursts: most operations follow at once, so that many are under way together.
        let longest = if happens(&mut self.rng, 700) || self.site.is_behind() {
            1_000
        } else {
            6 * self.site.pause
        };
        let micros = self.rng.random_range(0..=longest);
        self.sleep(micros).await;
        self.phase() == Phase::Storm
    }

    /// Waits for so many microseconds of virtual time.
    pub async fn sleep(&self, micros: u64) {
        self.site.timeline.sleep(micros).await;
    }

    /// A value that no other put of the run has: a number, and `filler` more bytes.
    pub fn fresh_value(&mut self, filler: usize) -> Bytes {
        let number = self.fresh_number();
        let mut bytes = BytesMut::with_capacity(8 + filler);
        bytes.put_u64(number);
        bytes.resize(8 + filler, b'.');
        bytes.freeze()
    }

    /// A number that nobody in the run has drawn before.
    #[must_use]
    pub fn fresh_number(&self) -> u64 {
        let number = self.site.values.get() + 1;
        self.site.values.set(number);
        number
    }

    /// Reads a key. `None` if that failed.
    pub async fn get(&mut self, name: &Name, ask: Ask) -> Option<(Entry, Known)> {
        let get = self.client.get(name.bytes.clone());
        self.read(name, ask, get).await
    }

    /// Reads a key and merges its siblings: [`Entry::value`] is what they are together. `None` if that failed.
    pub async fn get_merged(
        &mut self,
        name: &Name,
        ask: Ask,
        merge: impl Merge + 'static,
    ) -> Option<(Entry, Known)> {
        let get = self.client.get(name.bytes.clone()).merge(merge);
        self.read(name, ask, get).await
    }

    async fn read(&self, name: &Name, ask: Ask, mut get: Get) -> Option<(Entry, Known)> {
        let op = self.begin(name, Call::Get, ask);
        get = get.consistency(ask.consistency());
        if let Some(count) = ask.count {
            get = get.r(count);
        }
        match get.await {
            Ok(entry) => {
                let outcome = read_outcome(&entry);
                self.see_read(name, &entry);
                self.end(op, outcome);
                let context = entry.context().clone();
                let ops = vec![op];
                Some((entry, Known { context, ops }))
            }
            Err(error) => {
                self.end(op, Outcome::ReadFailed(self.see_read_error(&error)));
                None
            }
        }
    }

    /// Puts a value that no other put of the run has. Gives back what the writer knows now, or whether the
    /// write could exist.
    ///
    /// # Errors
    /// Whether the write could exist.
    pub async fn put(
        &mut self,
        name: &Name,
        value: Bytes,
        known: Option<&Known>,
        ask: Ask,
    ) -> Result<Known, Stored> {
        let call = Call::Put {
            value: value.clone(),
            basis: basis_of(known),
            ttl_ms: ask
                .ttl
                .map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        };
        let op = self.begin(name, call, ask);
        let mut put = self
            .client
            .put(name.bytes.clone(), value)
            .consistency(ask.consistency());
        if let Some(known) = known {
            put = put.context(&known.context);
        }
        if let Some(count) = ask.count {
            put = put.w(count);
        }
        if let Some(ttl) = ask.ttl {
            put = put.ttl(ttl);
        }
        let result = put.await;
        self.written(name, op, result)
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// Whether the delete could exist.
    pub async fn delete(
        &mut self,
        name: &Name,
        known: Option<&Known>,
        ask: Ask,
    ) -> Result<Known, Stored> {
        let basis = basis_of(known);
        let op = self.begin(name, Call::Delete { basis }, ask);
        let mut delete = self
            .client
            .delete(name.bytes.clone())
            .consistency(ask.consistency());
        if let Some(known) = known {
            delete = delete.context(&known.context);
        }
        if let Some(count) = ask.count {
            delete = delete.w(count);
        }
        let result = delete.await;
        self.written(name, op, result)
    }

    fn begin(&self, name: &Name, call: Call, ask: Ask) -> OpId {
        let mut recorder = self.site.recorder.borrow_mut();
        let key: KeyId = recorder.key(&name.bytes, name.family);
        recorder.begin(Op {
            client: self.id,
            key,
            call,
            mode: ask.mode,
            healed: self.phase() == Phase::Calm,
            invoked: self.site.now(),
            returned: None,
        })
    }

    fn end(&self, op: OpId, outcome: Outcome) {
        if matches!(outcome, Outcome::Read { .. } | Outcome::Written { .. }) {
            self.site.succeeded.set(self.site.succeeded.get() + 1);
        }
        self.site
            .recorder
            .borrow_mut()
            .end(op, self.site.now(), outcome);
    }

    fn written(
        &self,
        name: &Name,
        op: OpId,
        result: Result<quoit_client::Written, WriteError>,
    ) -> Result<Known, Stored> {
        match result {
            Ok(written) => {
                let seen = seen_of(&written.context);
                let (dot, acked) = (written.dot, written.acked);
                self.end(op, Outcome::Written { dot, acked, seen });
                let key = name.bytes.clone();
                self.site.acked.borrow_mut().push(Acked { op, key, dot });
                let ops = vec![op];
                Ok(Known {
                    context: written.context,
                    ops,
                })
            }
            Err(error) => {
                let (what, sight) = match &error {
                    WriteError::Invalid(_) => ("invalid", None),
                    WriteError::NotStored { .. } => ("not stored", Some(Sight::NotStored)),
                    WriteError::TooThin { .. } => ("too thin", Some(Sight::TooThin)),
                    WriteError::Unknown { .. } => ("unknown", Some(Sight::Unknown)),
                    WriteError::Closed => ("closed", None),
                    _ => ("abandoned", None),
                };
                if let Some(sight) = sight {
                    self.site.saw(sight);
                }
                let stored = error.stored();
                self.end(
                    op,
                    match stored {
                        Stored::No => Outcome::Refused(what),
                        Stored::Maybe | Stored::TooThin => Outcome::Unknown(what),
                    },
                );
                Err(stored)
            }
        }
    }

    fn see_read(&self, name: &Name, entry: &Entry) {
        if entry.siblings().len() > 1 {
            self.site.saw(Sight::Siblings);
        }
        if entry.is_absent() && *entry.context() != Context::default() {
            self.site.saw(match name.family {
                Family::Expiring => Sight::ExpiredValue, // nobody deletes there
                _ => Sight::Tombstone,
            });
        }
    }

    fn see_read_error(&self, error: &ReadError) -> &'static str {
        let (what, sight) = match error {
            ReadError::Unavailable { .. } => ("unavailable", Some(Sight::Unavailable)),
            ReadError::Unstable { .. } => ("unstable", Some(Sight::Unstable)),
            ReadError::Invalid(_) => ("invalid", None),
            _ => ("closed", None),
        };
        if let Some(sight) = sight {
            self.site.saw(sight);
        }
        what
    }
}

fn basis_of(known: Option<&Known>) -> Basis {
    known.map_or(Basis::Blind, |known| Basis::Seen(known.ops.clone()))
}

fn read_outcome(entry: &Entry) -> Outcome {
    let found = |value: &quoit_client::Value| Found {
        dot: value.dot,
        value: value.bytes.clone(),
        expiry: value.expiry,
    };
    Outcome::Read {
        siblings: entry.siblings().iter().map(found).collect(),
        seen: seen_of(entry.context()),
    }
}

/// A context's region: its bytes are those of a record without values.
fn seen_of(context: &Context) -> Seen {
    let record = decode_record(&context.to_bytes().into());
    record.map_or_else(|_| Seen::default(), |record| record.seen().clone())
}
