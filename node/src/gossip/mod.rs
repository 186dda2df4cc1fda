//! A node's part in gossip: who is alive, and who knows of a newer ring. Pure.
//!
//! ```text
//!   members, disk, hints ---.                          .--> Send        a message of gossip
//!   messages of members ----+--> GossipDriver ---------+--> CatchUp     with a member that knows a newer epoch
//!   time -------------------'      | quoit_gossip      +--> IsBack      hints may go there again
//!                                  v                   '--> Resolve     the seeds' names
//!                            SeenMembers, warnings: for operators
//! ```
//!
//! It feeds [`quoit_gossip::Gossip`], which decides, with what this node knows of itself, and turns its steps into frames.
//!
//! Invariant: nothing that it finds changes who owns a key. Left out: connections, names and clocks, which belong to the
//! driver.

mod addresses;
pub(crate) mod driver;
mod inbox;
pub(crate) mod seeds;
mod seen;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use quoit_gossip::{Build, Facts, Gossip, Message, Step};
pub use quoit_gossip::{Incarnation, Options};
use quoit_ring::change::Branch;
use quoit_ring::wire::{MemberState, MembersSeen, Request, RequestFrame, WarningKind};
use quoit_ring::{Epoch, Moment, NodeId};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

pub(crate) use self::addresses::{Addresses, is_elsewhere};
pub use self::inbox::GossipInbox;
pub use self::seen::SeenMembers;
use crate::cluster::ClusterView;
use crate::state::NodeState;

/// Ids of these requests have this bit, and those of hints and of changes, which share the links, have not.
const OURS: u64 = 1 << 62;
/// How long the receiver may take; nothing waits for the answer.
const BUDGET: Duration = Duration::from_secs(2);

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Send a frame to a member, over a connection that is made if there is none. Its answer says nothing.
    Send {
        /// The receiver.
        to: NodeId,
        /// The frame.
        frame: RequestFrame,
    },
    /// This member knows a newer epoch of the ring than this node.
    CatchUp(NodeId),
    /// This member is there again: what waited for it need not wait longer.
    IsBack(NodeId),
    /// Resolve the seeds' names and ask who answers there, for [`GossipDriver::handle_seed`].
    Resolve,
}

/// A node's part in gossip; see the [module](self).
pub struct GossipDriver {
    state: NodeState,
    gossip: Gossip,
    /// Whose members the machine knows.
    epoch: Epoch,
    keeps_hints_since: Option<Moment>,
    /// Whether the log names a member that follows another recovery.
    is_apart: bool,
    rng: SmallRng,
    last_id: u64,
    acts: VecDeque<Act>,
}

impl fmt::Debug for GossipDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GossipDriver")
            .field("node", &self.state.cluster.node)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl GossipDriver {
    /// The part of the node with this state in its life `incarnation`, which must be higher than those before. `seed` is
    /// random.
    ///
    /// # Panics
    /// If `options` are out of their ranges; [`Config::check`](crate::config::Config::check) refuses such.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a configuration that was checked")]
    pub fn new(
        state: &NodeState,
        (incarnation, options): (Incarnation, Options),
        seed: u64,
        now: Moment,
    ) -> Self {
        let node = state.cluster.node;
        let gossip = Gossip::new(node, incarnation, Facts::default(), options, now)
            .expect("options within their ranges");
        let mut driver = Self {
            state: state.clone(),
            gossip,
            epoch: Epoch(0),
            keeps_hints_since: None,
            is_apart: false,
            rng: SmallRng::seed_from_u64(seed),
            last_id: OURS,
            acts: VecDeque::new(),
        };
        driver.follow_ring(now);
        driver.publish();
        driver
    }

    /// Whether an answer with this id is to a message of gossip.
    #[must_use]
    pub const fn is_ours(id: u64) -> bool {
        id & (OURS | OURS << 1) == OURS
    }

    /// When [`Self::handle_time`] is to be called next.
    #[must_use]
    pub const fn next_wake(&self) -> Moment {
        self.gossip.next_wake()
    }

    /// Goes on with what is due.
    pub fn handle_time(&mut self, now: Moment) {
        self.follow_ring(now);
        let facts = self.facts(now);
        self.gossip.handle_facts(facts, now);
        let random = self.rng.random();
        self.gossip.handle_time(now, random);
        self.take_steps(now);
        self.publish();
        self.warn(now);
    }

    /// Takes the messages that have come.
    pub fn handle_inbox(&mut self, now: Moment) {
        self.follow_ring(now);
        for (from, message) in self.state.gossip.take() {
            self.gossip.handle_message(from, message, now);
        }
        self.take_steps(now);
    }

    /// This member has answered at an address of the seeds.
    pub fn handle_seed(&mut self, seed: NodeId, now: Moment) {
        self.gossip.handle_seed(seed, now);
        self.take_steps(now);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// The members are those of the newest epoch, in either of its maps, but for those that are written off.
    fn follow_ring(&mut self, now: Moment) {
        let cluster: &ClusterView = &self.state.cluster;
        let newest = cluster.newest();
        if newest.epoch() > self.epoch {
            self.epoch = newest.epoch();
            let removed = &newest.configuration().removed;
            let members = newest.topology().members().map(|member| member.id);
            let members = members.filter(|id| removed.binary_search(id).is_err());
            self.gossip.handle_members(members, now);
            let facts = self.facts(now);
            self.gossip.handle_facts(facts, now);
        }
    }

    /// What this node says of itself.
    fn facts(&mut self, now: Moment) -> Facts {
        let kept = self.state.hints.kept().unwrap_or_default();
        self.keeps_hints_since = match self.keeps_hints_since {
            _ if kept.is_empty() => None,
            Some(since) => Some(since),
            None => Some(now),
        };
        let age = |since| now.saturating_since(since).as_secs();
        let (disk, free_bytes) = self.state.stats.disk();
        Facts {
            build: Build::new(env!("CARGO_PKG_VERSION")),
            epoch: self.epoch,
            disk,
            free_bytes,
            oldest_hint_s: (self.keeps_hints_since)
                .map(|since| u32::try_from(age(since)).unwrap_or(u32::MAX)),
            address: self.address(),
        }
    }

    /// Where this node serves, if its ring's address does not lead there.
    fn address(&self) -> Option<Box<str>> {
        let cluster = &self.state.cluster;
        let newest = cluster.newest();
        let own = newest.topology().member(cluster.node)?;
        let address = self.state.addresses.to_announce(&own.address)?;
        Some(address.into())
    }

    /// The members that serve elsewhere than the ring says, by their own word.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (NodeId, &str)> {
        self.gossip.members().filter_map(|member| {
            let address = member.facts?.address.as_deref()?;
            Some((member.id, address))
        })
    }

    fn take_steps(&mut self, now: Moment) {
        while let Some(step) = self.gossip.poll_step() {
            match step {
                Step::Send { to, message } => self.send(to, &message),
                Step::Changed { member, from, to } => self.changed(member, from, to),
                Step::Isolation(is_isolated) => note_isolation(is_isolated),
                // That one can never be caught up with; the status names it.
                Step::Behind { epoch, .. } if self.is_foreign(epoch) => {}
                Step::Behind { from, .. } => self.acts.push_back(Act::CatchUp(from)),
                Step::Resolve => self.acts.push_back(Act::Resolve),
                Step::Twin(incarnation) => self.runs_elsewhere(incarnation, now),
            }
        }
    }

    fn send(&mut self, to: NodeId, message: &Message) {
        self.last_id += 1;
        let frame = RequestFrame {
            id: self.last_id,
            epoch: self.epoch,
            budget_ms: u32::try_from(BUDGET.as_millis()).unwrap_or(u32::MAX),
            request: Request::Gossip(Bytes::from(message.encode())),
        };
        self.acts.push_back(Act::Send { to, frame });
    }

    fn changed(&mut self, member: NodeId, from: MemberState, to: MemberState) {
        let name = self.name(member);
        let [before, state] = [from, to].map(MemberState::name);
        if to == MemberState::Alive {
            tracing::info!(%member, name, before, state, "a member is heard again");
            self.acts.push_back(Act::IsBack(member));
        } else {
            tracing::warn!(%member, name, before, state, "a member is silent");
        }
    }

    /// A later life of this node is heard of. It is for an operator to decide which of the two goes on: one that stopped by
    /// itself could be stopped by whoever says so.
    fn runs_elsewhere(&self, later: Incarnation, now: Moment) {
        let (node, later) = (self.state.cluster.node, later.0);
        tracing::error!(%node, later, "this node runs elsewhere, too, or this is an older state of its disk");
        let text = || RUNS_ELSEWHERE.to_owned();
        (self.state.warnings).note(WarningKind::RunsElsewhere, 1, now, text);
    }

    /// Whether an epoch comes from another recovery of the cluster.
    fn is_foreign(&self, epoch: Epoch) -> bool {
        Branch::of(epoch).is_foreign(Branch::of(self.epoch))
    }

    fn name(&self, member: NodeId) -> String {
        let newest = self.state.cluster.newest();
        let known = newest.topology().member(member);
        known.map_or_else(|| member.to_string(), |member| member.name.clone())
    }

    /// Lets operators see what this node sees.
    fn publish(&self) {
        let (members, is_isolated) = (self.gossip.members(), self.gossip.is_isolated());
        self.state.members.set(seen::seen(members, is_isolated));
    }

    /// Names in the status who is silent or in another recovery, or that this node hears too few.
    fn warn(&mut self, now: Moment) {
        let (warnings, seen) = (&self.state.warnings, self.state.members.get());
        let silent = || {
            seen.members
                .iter()
                .filter(|it| it.state != MemberState::Alive)
        };
        match silent().max_by_key(|member| member.silence_ms) {
            Some(longest) => warnings.note(WarningKind::SilentMembers, 0, now, || {
                let (name, state) = (self.name(longest.node), longest.state.name());
                let (seconds, more) = (longest.silence_ms / 1_000, silent().count() - 1);
                let more = match more {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                };
                format!("{name} has not been heard for {seconds} s: {state}{more}")
            }),
            None => warnings.clear(WarningKind::SilentMembers),
        }

        // A node that has just started has heard nobody yet, and one that is no member need not.
        let is_new = now < Moment(0) + STARTING || !self.is_member();
        if seen.is_isolated && !is_new {
            warnings.note(WarningKind::Isolated, 0, now, || ISOLATED.to_owned());
        } else {
            warnings.clear(WarningKind::Isolated);
        }
        self.warn_of_other_recovery(&seen, now);
    }

    /// Names a member that follows another recovery of the cluster. The two are two clusters, so a person has to choose.
    fn warn_of_other_recovery(&mut self, seen: &MembersSeen, now: Moment) {
        let mut foreign = seen.members.iter().filter_map(|member| {
            let epoch = member.facts.as_ref()?.epoch;
            self.is_foreign(epoch).then_some((member.node, epoch))
        });
        let Some((member, epoch)) = foreign.next() else {
            self.is_apart = false;
            return self.state.warnings.clear(WarningKind::OtherRecovery);
        };
        let (name, more) = (self.name(member), foreign.count());
        let [own, other] = [self.epoch, epoch].map(Branch::of);
        let text = || {
            let more = match more {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            format!(
                "{name}{more} follows {other} of the cluster, this node {own}: {TWO_RECOVERIES}"
            )
        };
        (self.state.warnings).note(WarningKind::OtherRecovery, 0, now, text);
        if !core::mem::replace(&mut self.is_apart, true) {
            let (own, other) = (own.to_string(), other.to_string());
            tracing::error!(%member, name, own, other, "{TWO_RECOVERIES}");
        }
    }

    fn is_member(&self) -> bool {
        self.state.cluster.is_member(self.state.cluster.node)
    }
}

/// How long a node that starts may take to hear a majority.
const STARTING: Duration = Duration::from_secs(5);

const RUNS_ELSEWHERE: &str = "a later life of it is heard of: its data directory was copied, or an older state of it was brought \
                              back; stop the one that holds the older state";

const TWO_RECOVERIES: &str = "it was recovered twice and is two clusters since, which nothing joins again; let one of them \
                              go, see \"Recovered twice\" in docs/operations.md";

const ISOLATED: &str = "it hears fewer than a majority of the members: is it cut off, or are they down? What it says of \
                        others is what it knew before";

fn note_isolation(is_isolated: bool) {
    if is_isolated {
        tracing::warn!(
            "fewer than a majority of the members are heard: this node blames nobody until they are"
        );
    } else {
        tracing::info!("a majority of the members is heard");
    }
}
