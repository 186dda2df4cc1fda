//! The real side of the seam: clocks, randomness, links.
//!
//! The clocks are read once per batch of inputs ([`RealEnv::refresh`]): everything in a batch happens at
//! one moment, and reading a clock costs as much as routing a request.

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quoit_ring::change::Topology;
use quoit_ring::wire::RequestFrame;
use quoit_ring::{Millis, Moment, NodeId};
use quoit_transport::dial::Dialer;
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};
use tokio::task::JoinSet;

use super::io::Hub;
use crate::env::{Env, Now};
use crate::transport::{Bounds, LinkHandle};

/// The tasks of all links; one that ends by itself has panicked.
pub(super) type LinkTasks = Rc<RefCell<JoinSet<()>>>;

/// What it takes to open a link.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) dialer: Rc<Dialer>,
    pub(super) hub: Hub,
    pub(super) bounds: Bounds,
    pub(super) tasks: LinkTasks,
}

/// Real time, the system's randomness, QUIC.
#[derive(Debug)]
pub(super) struct RealEnv {
    start: Instant,
    at: Moment,
    wall: Millis,
    rng: SmallRng,
    links: BTreeMap<NodeId, LinkHandle>,
    opener: Opener,
}

impl RealEnv {
    pub(super) fn new(start: Instant, opener: Opener) -> Self {
        let mut env = Self {
            start,
            at: Moment::default(),
            wall: Millis::default(),
            rng: SmallRng::from_os_rng(),
            links: BTreeMap::new(),
            opener,
        };
        env.refresh();
        env
    }

    /// Reads the clocks.
    pub(super) fn refresh(&mut self) {
        let since = instant_now().saturating_duration_since(self.start);
        self.at = Moment(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        self.wall = wall_now();
    }

    /// Lets all links write what they have and close.
    pub(super) fn finish(&mut self) {
        for (_node, link) in core::mem::take(&mut self.links) {
            link.finish();
        }
    }
}

impl Env for RealEnv {
    fn now(&mut self) -> Now {
        Now {
            at: self.at,
            wall: self.wall,
            random: self.rng.next_u64(),
        }
    }

    fn send(&mut self, to: NodeId, frame: &RequestFrame) -> bool {
        // A node without a link is no member any more.
        self.links.get(&to).is_some_and(|link| link.send(frame))
    }

    fn sweep(&mut self, is_awaited: &mut dyn FnMut(u64) -> bool) -> Vec<(NodeId, u64)> {
        let mut swept = Vec::new();
        for (&node, link) in &self.links {
            let ids = link.sweep(is_awaited);
            swept.extend(ids.into_iter().map(|id| (node, id)));
        }
        swept
    }

    fn members(&mut self, topology: &Topology) {
        let mut before = core::mem::take(&mut self.links);
        for member in topology.members() {
            let link = match before.remove(&member.id) {
                Some(link) if link.address() == member.address => link,
                moved => {
                    before.extend(moved.map(|link| (member.id, link)));
                    let Opener {
                        dialer,
                        hub,
                        bounds,
                        tasks,
                    } = &self.opener;
                    let rng = SmallRng::seed_from_u64(self.rng.next_u64());
                    let tasks = &mut tasks.borrow_mut();
                    LinkHandle::open(member, dialer, hub.clone(), *bounds, rng, tasks)
                }
            };
            self.links.insert(member.id, link);
        }
        for link in before.values() {
            link.finish();
        }
    }
}

/// The monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the seam: the only place that reads the monotonic clock"
)]
pub(super) fn instant_now() -> Instant {
    Instant::now()
}

/// The wall clock; before 1970 it stands still.
#[expect(
    clippy::disallowed_methods,
    reason = "the seam: the only place that reads the wall clock"
)]
fn wall_now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.unwrap_or(Duration::ZERO).as_millis();
    Millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
