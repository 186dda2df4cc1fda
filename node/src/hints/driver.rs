//! The dispatcher's effects: pages read, frames sent, rows removed.
//!
//! ```text
//!   HintDispatcher --Load--> a blocking thread --> page
//!           --Send--> Peers             --> answer, or the link is lost
//!           --Remove-> the commit's queue
//!           <-- ten times a second, or once while nothing is kept: what is kept
//! ```
//!
//! It runs on the I/O thread. Reading may wait for the disk, so a blocking thread does it. A removal that the queue
//! refuses is dropped: its hint is delivered once more after a rest, which changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::wire::ResponseFrame;
use quoit_ring::{Moment, NodeId};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::dispatcher::{Act, HintDispatcher};
use super::page::{Page, PageSize, load};
use super::usage::HintUsage;
use crate::engine::Engine;
use crate::env::Env;
use crate::peers::Peers;
use crate::write::{Destination, Write};

/// How often the dispatcher is called while something is kept.
const TICK: Duration = Duration::from_millis(100);
/// How often it is called while nothing is.
const IDLE: Duration = Duration::from_secs(1);

/// What delivers hints: the node's handles, and the dispatcher that decides.
pub(crate) struct Delivery<E: Env, G> {
    env: Arc<E>,
    engine: Arc<G>,
    usage: Arc<HintUsage>,
    dispatcher: HintDispatcher,
    pages: JoinSet<Option<Page>>,
    /// Whose hints each of them reads.
    reading: BTreeMap<Id, NodeId>,
    removals: Vec<Write<E::Reply>>,
    ticks: Interval,
}

impl<E: Env, G: Engine> Delivery<E, G> {
    /// Inside a runtime.
    pub(crate) fn new(
        env: Arc<E>,
        engine: Arc<G>,
        usage: Arc<HintUsage>,
        dispatcher: HintDispatcher,
    ) -> Self {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            env,
            engine,
            usage,
            dispatcher,
            pages: JoinSet::new(),
            reading: BTreeMap::new(),
            removals: Vec::new(),
            ticks,
        }
    }

    /// Takes whatever comes next, but for what comes from other nodes. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            Some(read) = self.pages.join_next_with_id() => self.take_page(read),
            _instant = self.ticks.tick() => self.tick(),
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        self.dispatcher.look_after(&self.usage, now);
        if self.dispatcher.is_idle() {
            self.ticks.reset_after(IDLE);
        }
    }

    /// Takes a page that was read; one that broke off counts as one that could not be.
    fn take_page(&mut self, read: Result<(Id, Option<Page>), JoinError>) {
        let (id, page) = read.unwrap_or_else(|error| {
            tracing::error!(%error, "reading hints broke off");
            (error.id(), None)
        });
        let now = self.now();
        if let Some(target) = self.reading.remove(&id) {
            self.dispatcher.handle_page(target, page, now);
        }
    }

    pub(crate) fn take_answer(&mut self, from: NodeId, frame: &ResponseFrame) {
        let now = self.now();
        self.dispatcher
            .handle_answer(from, frame.id, &frame.response, now);
    }

    pub(crate) fn take_loss(&mut self, node: NodeId) {
        let now = self.now();
        self.dispatcher.handle_lost(node, now);
    }

    pub(crate) fn take_return(&mut self, node: NodeId) {
        let now = self.now();
        self.dispatcher.handle_back(node, now);
    }

    /// Does all that the dispatcher wants done.
    pub(crate) fn act(&mut self, peers: &mut Peers) {
        while let Some(act) = self.dispatcher.poll() {
            match act {
                Act::Load { target, after } => self.load(target, after),
                Act::Send { to, frame } => peers.send(to, &frame),
                Act::Remove(delivered) => self.removals.push(delivered.removal(self.now())),
            }
        }
        if let Err(rejected) = self.env.submit(&mut self.removals) {
            tracing::debug!(?rejected, "delivered hints stay for now");
            let now = self.now();
            for write in self.removals.drain(..) {
                if let Destination::Hint(target) = write.destination {
                    self.dispatcher.handle_unremoved(target, now);
                }
            }
        }
    }

    fn load(&mut self, target: NodeId, after: Option<Bytes>) {
        let engine = Arc::clone(&self.engine);
        let task = self.pages.spawn_blocking(move || {
            let page = load(&engine.snapshot(), target, after.as_deref(), PageSize::NODE);
            let failed = |error: &_| {
                tracing::error!(
                    error = error as &dyn std::error::Error,
                    "reading hints failed"
                );
            };
            page.inspect_err(failed).ok()
        });
        self.reading.insert(task.id(), target);
    }

    fn now(&self) -> Moment {
        self.env.now().mono
    }
}
