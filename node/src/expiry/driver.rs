//! The effects of a node's sweep: orders given, pages read.
//!
//! ```text
//!   ExpiryDriver --Order--> the committer's queue   --> ExpiryView, once it is carried out
//!           --Look---> a blocking thread       --> a page of entries
//!           <-- a hundred times a second while the pace holds it, or twice
//! ```
//!
//! It runs on the I/O thread, beside all that talks to other nodes, since it takes the clocks of their answers.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use quoit_ring::NodeId;
use quoit_ring::wire::{Refusal, Response, ResponseFrame};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Act, DuePage, ExpiryDriver, Look, look};
use crate::commit::{Asker, Order};
use crate::engine::Engine;
use crate::env::Env;
use crate::state::NodeState;

/// How often the driver is called during a pass.
const TICK: Duration = Duration::from_millis(10);
/// How often it is called while there is none.
const IDLE: Duration = Duration::from_millis(500);

/// What carries a node's sweep out.
pub(crate) struct Sweeping<E, G> {
    env: Arc<E>,
    engine: Arc<G>,
    state: NodeState,
    driver: ExpiryDriver,
    looks: JoinSet<Option<DuePage>>,
    ticks: Interval,
}

impl<E: Env, G: Engine> Sweeping<E, G> {
    /// Inside a runtime.
    pub(crate) fn new(env: Arc<E>, engine: Arc<G>, state: NodeState, driver: ExpiryDriver) -> Self {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            env,
            engine,
            state,
            driver,
            looks: JoinSet::new(),
            ticks,
        }
    }

    /// Takes whatever comes next, but for what comes from other nodes. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            response = self.state.expiry.wait() => {
                self.driver.handle_answer(&response, self.env.now().mono);
            }
            Some(looked) = self.looks.join_next() => {
                let page = looked.unwrap_or_else(|error| {
                    tracing::error!(%error, "looking for what has expired broke off");
                    None
                });
                self.driver.handle_page(page, self.env.now().mono);
            }
            _instant = self.ticks.tick() => {
                self.driver.handle_time(self.env.queued_writes(), self.env.now());
                if !self.driver.is_busy() {
                    self.ticks.reset_after(IDLE);
                }
            }
        }
    }

    /// Another node has answered somebody here.
    pub(crate) fn take_clock(&mut self, from: NodeId, frame: &ResponseFrame) {
        let now = self.env.now().mono;
        self.driver.handle_clock(from, frame.clock, now);
    }

    /// Does all that the driver wants done.
    pub(crate) fn act(&mut self) {
        while let Some(act) = self.driver.poll() {
            match act {
                Act::Order(task) => {
                    let from = Asker::Sweep;
                    if self.env.order(Order { from, task }).is_err() {
                        let refused = Response::Refused(Refusal::Overloaded { queue_ms: 0 });
                        (self.driver).handle_answer(&refused, self.env.now().mono);
                    }
                }
                Act::Look(wanted) => self.look(wanted),
            }
        }
    }

    fn look(&mut self, wanted: Look) {
        let (engine, state) = (Arc::clone(&self.engine), self.state.clone());
        let now = self.env.now().mono;
        self.looks.spawn_blocking(move || {
            let page = look(&engine.snapshot(), &state, &wanted, now);
            let failed = |error: &_| {
                tracing::error!(
                    error = error as &dyn Error,
                    "what has expired cannot be looked for"
                );
            };
            page.inspect_err(failed).ok()
        });
    }
}
