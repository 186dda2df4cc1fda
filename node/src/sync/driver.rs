//! The effects of a node's anti-entropy: frames sent, keys read, records joined.
//!
//! ```text
//!   SyncDriver --Send--> Peers              --> answer, or the link is lost
//!         --Look--> a blocking thread       --> a page of keys
//!         --Write-> the commit's queue
//!         <-- a hundred times a second during a sync, or twice
//! ```
//!
//! It runs on the I/O thread, beside the delivery of hints, over the same links.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use quoit_ring::wire::{Refusal, Response, ResponseFrame};
use quoit_ring::{Moment, NodeId};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Act, Look, SyncDriver, look};
use crate::commit::{Asker, Order};
use crate::engine::Engine;
use crate::env::Env;
use crate::peers::Peers;
use crate::state::NodeState;
use crate::storage::LeafPage;
use crate::write::Write;

/// How often the driver is called during a sync.
const TICK: Duration = Duration::from_millis(10);
/// How often it is called while there is none.
const IDLE: Duration = Duration::from_millis(500);

/// What carries a node's anti-entropy out.
pub(crate) struct Syncing<E: Env, G> {
    env: Arc<E>,
    engine: Arc<G>,
    state: NodeState,
    driver: SyncDriver,
    looks: JoinSet<(u64, Option<LeafPage>)>,
    /// For which sync a page is being read.
    looking: u64,
    writes: Vec<Write<E::Reply>>,
    ticks: Interval,
}

impl<E: Env, G: Engine> Syncing<E, G> {
    /// Inside a runtime.
    pub(crate) fn new(env: Arc<E>, engine: Arc<G>, state: NodeState, driver: SyncDriver) -> Self {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            env,
            engine,
            state,
            driver,
            looks: JoinSet::new(),
            looking: 0,
            writes: Vec::new(),
            ticks,
        }
    }

    /// Takes whatever comes next, but for what comes from other nodes. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            Some(looked) = self.looks.join_next() => {
                let (session, page) = looked.unwrap_or_else(|error| {
                    tracing::error!(%error, "listing keys broke off");
                    (self.looking, None)
                });
                let now = self.now();
                self.driver.handle_page(session, page, now);
            }
            _instant = self.ticks.tick() => {
                self.driver.handle_time(self.env.queued_writes(), self.env.now());
                if !self.driver.is_busy() {
                    self.ticks.reset_after(IDLE);
                }
            }
        }
    }

    pub(crate) fn take_answer(&mut self, from: NodeId, frame: ResponseFrame) {
        let now = self.now();
        self.driver.handle_answer(from, frame, now);
    }

    pub(crate) fn take_loss(&mut self, node: NodeId) {
        let now = self.now();
        self.driver.handle_lost(node, now);
    }

    pub(crate) fn take_return(&mut self, node: NodeId) {
        let now = self.now();
        self.driver.handle_back(node, now);
    }

    /// Does all that the driver wants done.
    pub(crate) fn act(&mut self, peers: &mut Peers) {
        let now = self.now();
        while let Some(act) = self.driver.poll() {
            match act {
                Act::Send { to, frame } => peers.send(to, &frame),
                Act::Look(wanted) => self.look(wanted),
                Act::Write(repair) => self.writes.push(repair.write(&self.state, now)),
                Act::Order { ticket, task } => {
                    let from = Asker::Rounds { ticket };
                    if self.env.order(Order { from, task }).is_err() {
                        let refused = Response::Refused(Refusal::Overloaded { queue_ms: 0 });
                        self.driver.handle_done(ticket, refused, now);
                    }
                }
            }
        }
        if !self.writes.is_empty() && self.env.submit(&mut self.writes).is_err() {
            self.writes.clear();
            self.driver.handle_refused(now);
        }
    }

    fn look(&mut self, wanted: Look) {
        self.looking = wanted.session;
        let (engine, state) = (Arc::clone(&self.engine), self.state.clone());
        self.looks.spawn_blocking(move || {
            let page = look(&engine.snapshot(), &state, &wanted);
            let failed = |error: &_| {
                tracing::error!(
                    error = error as &dyn Error,
                    "keys cannot be listed for a sync"
                );
            };
            (wanted.session, page.inspect_err(failed).ok())
        });
    }

    fn now(&self) -> Moment {
        self.env.now().mono
    }
}
