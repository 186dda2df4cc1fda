//! The effects of a node's part in gossip: frames sent, and seeds asked.
//!
//! ```text
//!   GossipDriver --Send-----> Peers       nothing waits for it
//!          --CatchUp--> Changes     asks that member for the newer epoch
//!          --IsBack---> Delivery    hints go there at once
//!          --Resolve--> a task per seed --> who answers there
//!   addresses that members come from or announce --> Peers
//! ```
//!
//! It runs on the I/O thread, beside the delivery of hints and changes of the ring, over the same links.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use quoit_ring::{Moment, NodeId};
use quoit_transport::dial::Dialer;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Act, GossipDriver, seeds};
use crate::env::Env;
use crate::peers::Peers;
use crate::state::NodeState;

/// What gossip has found that others act on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// This member knows a newer epoch.
    CatchUp(NodeId),
    /// This member is there again.
    IsBack(NodeId),
}

/// What carries a node's part in gossip out.
pub(crate) struct Gossiping<E> {
    env: Arc<E>,
    state: NodeState,
    driver: GossipDriver,
    dialer: Rc<Dialer>,
    seeds: Vec<String>,
    asked: JoinSet<Option<(NodeId, String)>>,
    /// Members that answered at a seed, were heard from an address or have named one, which their links do not know yet.
    found: Vec<(NodeId, String)>,
}

impl<E: Env> Gossiping<E> {
    /// Inside a [`LocalSet`](tokio::task::LocalSet).
    pub(crate) fn new(
        (env, state): (Arc<E>, NodeState),
        driver: GossipDriver,
        (dialer, seeds): (Rc<Dialer>, Vec<String>),
    ) -> Self {
        Self {
            env,
            state,
            driver,
            dialer,
            seeds,
            asked: JoinSet::new(),
            found: Vec::new(),
        }
    }

    /// Takes whatever comes next. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        // Looked at here, since whatever else comes drops the timer below: under much other work it would never end.
        let now = self.now();
        let wait = self.driver.next_wake().saturating_since(now);
        if wait.is_zero() {
            return self.handle_time(now);
        }
        tokio::select! {
            () = self.state.gossip.wait() => {
                let now = self.now();
                self.driver.handle_inbox(now);
            }
            Some(asked) = self.asked.join_next() => {
                if let Ok(Some((node, seed))) = asked {
                    let now = self.now();
                    self.found.push((node, seed));
                    self.driver.handle_seed(node, now);
                }
            }
            () = sleep(wait.max(SHORTEST)) => {
                let now = self.now();
                self.handle_time(now);
            }
        }
    }

    /// Lets the driver go on, and takes up where members were heard or say that they are.
    fn handle_time(&mut self, now: Moment) {
        self.driver.handle_time(now);
        let addresses = &self.state.addresses;
        if addresses.are_followed() {
            let said = self.driver.addresses();
            (self.found).extend(said.map(|(node, address)| (node, address.to_owned())));
            let heard = addresses.take_heard().into_iter();
            (self.found).extend(heard.map(|(node, from)| (node, from.to_string())));
        }
    }

    /// Does all that the driver wants done; the rest is for others.
    pub(crate) fn act(&mut self, peers: &mut Peers) -> Vec<Finding> {
        for (node, seed) in self.found.drain(..) {
            peers.note_address(node, seed);
        }
        let mut findings = Vec::new();
        while let Some(act) = self.driver.poll() {
            match act {
                Act::Send { to, frame } => peers.send(to, &frame),
                Act::CatchUp(from) => findings.push(Finding::CatchUp(from)),
                Act::IsBack(member) => findings.push(Finding::IsBack(member)),
                Act::Resolve => self.ask_seeds(),
            }
        }
        findings
    }

    /// Asks who is at the seeds, unless that is under way.
    fn ask_seeds(&mut self) {
        if self.asked.is_empty() {
            for seed in &self.seeds {
                let (dialer, seed) = (Rc::clone(&self.dialer), seed.clone());
                self.asked.spawn_local(async move {
                    let node = seeds::who_is_at(&dialer, &seed).await?;
                    Some((node, seed))
                });
            }
        }
    }

    fn now(&self) -> Moment {
        self.env.now().mono
    }
}

/// The clock counts in microseconds, timers in milliseconds: one that is early would be set again and again.
const SHORTEST: Duration = Duration::from_millis(1);
