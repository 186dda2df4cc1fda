//! The effects of a node's part in a change: frames sent, orders given, rows read.
//!
//! ```text
//!   ChangeDriver --Send--> Peers              --> answer, or the link is lost
//!           --Order-> the committer's queue   --> Finished
//!           --Look--> a blocking thread       --> a page of rows
//!           <-- a hundred times a second while a change is under way, or twice
//! ```
//!
//! It runs on the I/O thread, beside the delivery of hints, over the same links.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::wire::{Refusal, Response, ResponseFrame, WarningKind};
use quoit_ring::{Epoch, Leaf, Moment, NodeId};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::waiting::names;
use super::{Act, ChangeDriver, LeftRows, Waiting, read_leftovers, unowned_runs};
use crate::commit::{Asker, Order};
use crate::engine::Engine;
use crate::env::Env;
use crate::peers::Peers;
use crate::state::NodeState;

/// How often the driver is called while a change is under way.
const TICK: Duration = Duration::from_millis(10);
/// How often it is called while there is none.
const IDLE: Duration = Duration::from_millis(500);

/// After what time a step that waits is shown in the status.
const STUCK: Duration = Duration::from_secs(5);

/// The leaves that this node does not own in an epoch.
type Runs = Arc<Vec<RangeInclusive<Leaf>>>;

/// A page that was read, in its epoch.
type Looked = (Epoch, Runs, Option<LeftRows>);

/// What carries a node's part in changes out.
pub(crate) struct Changes<E, G> {
    env: Arc<E>,
    engine: Arc<G>,
    state: NodeState,
    driver: ChangeDriver,
    looks: JoinSet<Looked>,
    runs: Option<(Epoch, Runs)>,
    ticks: Interval,
}

impl<E: Env, G: Engine> Changes<E, G> {
    /// Inside a runtime.
    pub(crate) fn new(env: Arc<E>, engine: Arc<G>, state: NodeState, driver: ChangeDriver) -> Self {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            env,
            engine,
            state,
            driver,
            looks: JoinSet::new(),
            runs: None,
            ticks,
        }
    }

    /// Takes whatever comes next, but for what comes from other nodes. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            () = self.state.finished.wait() => {
                let now = self.now();
                for (ticket, response) in self.state.finished.take() {
                    self.driver.handle_done(ticket, response, now);
                }
            }
            Some(looked) = self.looks.join_next() => self.take_page(looked.ok()),
            _instant = self.ticks.tick() => {
                let now = self.now();
                self.driver.handle_time(now);
                self.warn(now);
                self.warn_incomplete(now);
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

    /// A node has answered somebody else here, in this epoch.
    pub(crate) fn take_announced(&mut self, from: NodeId, announced: Epoch) {
        let now = self.now();
        self.driver.handle_announced(from, announced, now);
    }

    pub(crate) fn catch_up(&mut self, from: NodeId) {
        let now = self.now();
        self.driver.handle_newer(from, now);
    }

    fn take_page(&mut self, looked: Option<Looked>) {
        let now = self.now();
        match looked {
            Some((epoch, runs, page)) => {
                self.runs = Some((epoch, runs));
                self.driver.handle_leftovers(epoch, page, now);
            }
            // It broke off, as after a panic.
            None => self
                .driver
                .handle_leftovers(self.state.cluster.newest().epoch(), None, now),
        }
    }

    /// Shows what a step waits for, once that has taken a while.
    fn warn(&self, now: Moment) {
        let (kind, warnings) = (WarningKind::Change, &self.state.warnings);
        let is_stuck = |waiting: &Waiting| now.saturating_since(waiting.since) > STUCK;
        match self.driver.waits(now).filter(is_stuck) {
            Some(waiting) => {
                let text = || waiting.describe(&self.state.cluster.newest());
                warnings.note(kind, 0, now, text);
            }
            None => warnings.clear(kind),
        }
    }

    /// Shows that the node has lost writes, how many rows are back, and for whom it waits.
    fn warn_incomplete(&self, now: Moment) {
        let (kind, state) = (WarningKind::Incomplete, &self.state);
        if state.completeness.is_complete() {
            return state.warnings.clear(kind);
        }
        state.warnings.note(kind, 0, now, || {
            let names = names(&self.driver.refills_from(), &state.cluster.newest());
            let rows = state.completeness.refilled_rows();
            let left = state.completeness.settles_at().saturating_since(now);
            let waits = match left.as_secs() {
                _ if names.is_empty() => "its own disk".to_owned(),
                0 => names,
                seconds => format!("{names}, after {seconds} s, when writes from before are over"),
            };
            format!(
                "incomplete: it lost its last writes with the power, and answers no reads; {rows} rows came back, it waits for {waits}"
            )
        });
    }

    /// Does all that the driver wants done.
    pub(crate) fn act(&mut self, peers: &mut Peers) {
        while let Some(act) = self.driver.poll() {
            match act {
                Act::Send { to, frame } => peers.send(to, &frame),
                Act::Order { ticket, task } => {
                    let from = Asker::Node { ticket };
                    if self.env.order(Order { from, task }).is_err() {
                        let now = self.now();
                        let refused = Response::Refused(Refusal::Overloaded { queue_ms: 0 });
                        self.driver.handle_done(ticket, refused, now);
                    }
                }
                Act::Look { epoch, after } => self.look(epoch, after),
            }
        }
        if let Some(epoch) = self.driver.clean_in() {
            self.state.leftovers.set_clean(epoch);
        }
    }

    fn look(&mut self, epoch: Epoch, after: Option<Bytes>) {
        let (engine, state) = (Arc::clone(&self.engine), self.state.clone());
        let known = self.runs.as_ref().filter(|(of, _)| *of == epoch);
        let runs = known.map(|(_, runs)| Arc::clone(runs));
        self.looks.spawn_blocking(move || {
            let runs = runs.unwrap_or_else(|| Arc::new(unowned_runs(&state, epoch)));
            let page = read_leftovers(&engine.snapshot(), &state.sums, &runs, after.as_ref());
            let failed = |error: &_| {
                tracing::error!(
                    error = error as &dyn std::error::Error,
                    "rows of other nodes' leaves cannot be looked at"
                );
            };
            (epoch, runs, page.inspect_err(failed).ok())
        });
    }

    fn now(&self) -> Moment {
        self.env.now().mono
    }
}
