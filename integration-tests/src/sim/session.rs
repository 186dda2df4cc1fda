//! A session: how a workload's task uses its client, with everything recorded in the history.
//!
//! ```text
//!   task --> Session --begin--> history
//!               |--> Client::get, put, delete, scan     the public handle, as an application has it
//!               '--end----> history
//! ```
//!
//! A task lives as long as its client: if that crashes, the operation under way never returns. Nor does one that its
//! caller leaves.

mod ask;
mod conditional;
mod counted;
mod crew;
mod leave;
mod outcome;
mod retry;
mod scan;
mod shared;
mod site;

use std::rc::Rc;

use bytes::{BufMut as _, Bytes, BytesMut};
use quoit_client::{Client, Entry, Get, Merge, Put, Stored, WriteError, Written};
use rand::Rng as _;
use rand::rngs::SmallRng;

use super::chance::happens;
use super::coverage::CoverageEvent;
use crate::history::{Call, ClientId, Op, OpId};

use self::counted::Counted;

pub use self::ask::{Ask, KnownContext, Name};
pub use self::conditional::{Change, If};
pub use self::crew::{Crew, Work};
pub use self::site::{AckedWrite, Phase, Site};

/// How long a delete waits for an earlier one of its client on the key to be sent, in microseconds.
const UNSENT_PAUSE: u64 = 1_000;

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

    /// Waits a little, as long as the run lets tasks wait between operations; false once the fault phase is over.
    pub async fn pause(&mut self) -> bool {
        // In bursts: most operations follow at once, so that many are under way together.
        let longest = if happens(&mut self.rng, 700) || self.site.is_behind() {
            1_000
        } else {
            6 * self.site.pause()
        };
        let micros = self.rng.random_range(0..=longest);
        self.sleep(micros).await;
        self.phase() == Phase::FaultPhase
    }

    /// Waits for so many microseconds of virtual time.
    pub async fn sleep(&self, micros: u64) {
        self.site.timeline().sleep(micros).await;
    }

    /// A value that no other put of the run has: a number, and `filler` more bytes.
    pub fn fresh_value(&mut self, filler: usize) -> Bytes {
        let number = self.fresh_number();
        let mut bytes = BytesMut::with_capacity(8 + filler);
        bytes.put_u64(number);
        bytes.resize(8 + filler, b'.');
        bytes.freeze()
    }

    /// A number that was not drawn before in this run.
    #[must_use]
    pub fn fresh_number(&self) -> u64 {
        self.site.fresh_number()
    }

    /// Reads a key. `None` if that failed.
    pub async fn get(&mut self, name: &Name, ask: Ask) -> Option<(Entry, KnownContext)> {
        let op = self.begin(name, Call::Get, ask);
        let get = self.client.get(name.bytes.clone());
        self.read(name, (op, ask), get).await
    }

    /// Reads a key and merges its siblings: [`Entry::value`] is what they are together. `None` if that failed.
    pub async fn get_merged(
        &mut self,
        name: &Name,
        ask: Ask,
        merge: impl Merge + 'static,
    ) -> Option<(Entry, KnownContext)> {
        let op = self.begin(name, Call::Get, ask);
        let (merge, calls) = Counted::new(merge);
        let get = self.client.get(name.bytes.clone()).merge(merge);
        let read = self.read(name, (op, ask), get).await;
        if read.is_some() {
            self.site.merged(op, calls.take());
        }
        read
    }

    async fn read(
        &self,
        name: &Name,
        (op, ask): (OpId, Ask),
        mut get: Get,
    ) -> Option<(Entry, KnownContext)> {
        get = get.consistency(ask.consistency());
        if let Some(count) = ask.count {
            get = get.r(count);
        }
        if let Some(repair) = ask.repair {
            get = get.repair(repair);
            self.saw(Some(CoverageEvent::LooseRead));
        }

        match get.await {
            Ok(entry) => {
                self.saw(outcome::read_coverage(name.family, &entry));
                self.site.end(op, outcome::read(&entry));
                let known = KnownContext::of(op, entry.context().clone());
                Some((entry, known))
            }
            Err(error) => {
                let (outcome, event) = outcome::read_error(&error);
                self.saw(event);
                self.site.end(op, outcome);
                None
            }
        }
    }

    /// Looks at what its client has counted so far.
    pub async fn look_at_health(&self) {
        if let Some(report) = self.client.health().await {
            let mut coverage = self.site.coverage().borrow_mut();
            coverage.saw_times(CoverageEvent::RepairForgone, report.repairs_refused);
        }
    }

    /// Puts a value that no other put of the run has. Gives back what the writer knows now.
    ///
    /// # Errors
    /// Whether the write could exist.
    pub async fn put(
        &mut self,
        name: &Name,
        value: Bytes,
        known: Option<&KnownContext>,
        ask: Ask,
    ) -> Result<KnownContext, Stored> {
        let (op, put) = self.begin_put(name, value, known, ask);
        let result = put.await;
        let result = self.retried(op, result).await;
        self.written(name, op, result)
    }

    /// Begins to record a put, which has not been awaited yet.
    fn begin_put(
        &self,
        name: &Name,
        value: Bytes,
        known: Option<&KnownContext>,
        ask: Ask,
    ) -> (OpId, Put) {
        let call = Call::Put {
            value: value.clone(),
            basis: KnownContext::basis(known),
            ttl_ms: ask
                .ttl
                .map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        };
        let op = self.begin(name, call, ask);
        let mut put = self
            .client
            .put(name.bytes.clone(), value)
            .consistency(ask.consistency())
            .sloppy(ask.sloppy);
        if let Some(known) = known {
            put = put.context(&known.context);
        }
        if let Some(count) = ask.count {
            put = put.w(count);
        }
        if let Some(ttl) = ask.ttl {
            put = put.ttl(ttl);
        }
        (op, put)
    }

    /// Deletes a key. Gives back what the writer knows now.
    ///
    /// # Errors
    /// Whether the delete could exist.
    pub async fn delete(
        &mut self,
        name: &Name,
        known: Option<&KnownContext>,
        ask: Ask,
    ) -> Result<KnownContext, Stored> {
        while self.site.has_unsent_delete(self.id, &name.bytes) {
            self.sleep(UNSENT_PAUSE).await;
        }

        let basis = KnownContext::basis(known);
        let op = self.begin(name, Call::Delete { basis }, ask);
        let mut delete = self
            .client
            .delete(name.bytes.clone())
            .consistency(ask.consistency())
            .sloppy(ask.sloppy);
        if let Some(known) = known {
            delete = delete.context(&known.context);
        }
        if let Some(count) = ask.count {
            delete = delete.w(count);
        }

        let result = delete.await;
        let result = self.retried(op, result).await;
        self.written(name, op, result)
    }

    fn begin(&self, name: &Name, call: Call, ask: Ask) -> OpId {
        let demanding = ask.count.is_some();
        self.site.begin(name, demanding, |key| Op {
            client: self.id,
            key,
            call,
            mode: ask.promises(),
            count: ask.count,
            healed: self.phase() == Phase::RecoveryPhase,
            invoked: self.site.now(),
            returned: None,
        })
    }

    fn written(
        &self,
        name: &Name,
        op: OpId,
        result: Result<Written, WriteError>,
    ) -> Result<KnownContext, Stored> {
        match result {
            Ok(written) => {
                self.saw((written.hints > 0).then_some(CoverageEvent::Sloppy));
                self.site.end(op, outcome::written(&written));
                let (key, dot) = (name.bytes.clone(), written.dot);
                self.site.was_acked(AckedWrite { op, key, dot });
                Ok(KnownContext::of(op, written.context))
            }
            Err(error) => {
                if let WriteError::UnderReplicated { acked, .. } = error {
                    self.site.under_replicated(op, acked);
                }
                let (outcome, event) = outcome::write_error(&error);
                self.saw(event);
                self.site.end(op, outcome);
                Err(error.stored())
            }
        }
    }

    fn saw(&self, coverage: impl IntoIterator<Item = CoverageEvent>) {
        for event in coverage {
            self.site.saw(event);
        }
    }
}
