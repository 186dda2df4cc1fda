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

use quoit_ring::{Moment, NodeId};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::dispatcher::{Act, HintDispatcher};
use super::page::{Page, PageSize, load};
use super::usage::HintUsage;
use crate::engine::Engine;
use crate::env::Env;
use crate::peers::{Event, Peers};
use crate::write::{Destination, Write};

/// How often the dispatcher is called while something is kept.
const TICK: Duration = Duration::from_millis(100);
/// How often it is called while nothing is.
const IDLE: Duration = Duration::from_secs(1);

/// What delivers hints: the node's handles, the dispatcher that decides, and the links to other nodes.
pub(crate) struct Delivery<E, G> {
    pub(crate) env: Arc<E>,
    pub(crate) engine: Arc<G>,
    pub(crate) usage: Arc<HintUsage>,
    pub(crate) dispatcher: HintDispatcher,
    pub(crate) peers: Peers,
}

/// Delivers hints until the node leaves service.
pub(crate) async fn deliver<E: Env, G: Engine>(
    delivery: Delivery<E, G>,
    leaving: impl Future<Output = ()>,
) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut driver = Driver {
        delivery,
        pages: JoinSet::new(),
        reading: BTreeMap::new(),
        removals: Vec::new(),
        ticks,
    };

    tokio::select! {
        () = driver.run() => {}
        () = leaving => {}
    }
}

struct Driver<E: Env, G> {
    delivery: Delivery<E, G>,
    pages: JoinSet<Option<Page>>,
    /// Whose hints each of them reads.
    reading: BTreeMap<Id, NodeId>,
    removals: Vec<Write<E::Reply>>,
    ticks: Interval,
}

impl<E: Env, G: Engine> Driver<E, G> {
    async fn run(&mut self) {
        loop {
            tokio::select! {
                event = self.delivery.peers.next() => self.take_event(event),
                Some(read) = self.pages.join_next_with_id() => self.take_page(read),
                _instant = self.ticks.tick() => self.tick(),
            }
            self.act();
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        let Delivery {
            dispatcher, usage, ..
        } = &mut self.delivery;
        dispatcher.look_after(usage, now);
        if dispatcher.is_idle() {
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
            self.delivery.dispatcher.handle_page(target, page, now);
        }
    }

    fn take_event(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Answer(from, frame) => {
                self.delivery
                    .dispatcher
                    .handle_answer(from, frame.id, &frame.response, now);
            }
            Event::Lost(node) => self.delivery.dispatcher.handle_lost(node, now),
        }
    }

    /// Does all that the dispatcher wants done.
    fn act(&mut self) {
        while let Some(act) = self.delivery.dispatcher.poll() {
            match act {
                Act::Load { target, after } => {
                    let engine = Arc::clone(&self.delivery.engine);
                    let task = self.pages.spawn_blocking(move || {
                        let page =
                            load(&engine.snapshot(), target, after.as_deref(), PageSize::NODE);
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
                Act::Send { to, frame } => self.delivery.peers.send(to, &frame),
                Act::Remove(delivered) => self.removals.push(delivered.removal(self.now())),
            }
        }
        if let Err(rejected) = self.delivery.env.submit(&mut self.removals) {
            tracing::debug!(?rejected, "delivered hints stay for now");
            let now = self.now();
            for write in self.removals.drain(..) {
                if let Destination::Hint(target) = write.destination {
                    self.delivery.dispatcher.handle_unremoved(target, now);
                }
            }
        }
    }

    fn now(&self) -> Moment {
        self.delivery.env.now().mono
    }
}
