//! Driving the cluster from one epoch to the next.
//!
//! ```text
//!   learn     every member hears of the epoch                         at once, and again until it has
//!   fence     once all have, or after a while most of each list       what is older is refused
//!   wait      until each range is fenced, and its new owners complete
//!   decide    the next epoch, by the voters of this one               Decision
//! ```
//!
//! All that is known of a step is in the chain and at the nodes that are asked, so any voter can do this, and goes on where
//! another has stopped: the first of them at once, each further one a little later. Two at a time do no harm, since an
//! epoch is decided once. Without a change under way only the first two lines are left: whoever was away hears of the
//! newest epoch.
//!
//! **Who leaves.** A step waits for more than the rules ask if a member that leaves still answers: until all that comes
//! from it is pulled, and before the last step until its hints are delivered and its former rows are with their owners.
//! Its id is refused from the last step on.
//!
//! Left out: what is pulled and cleaned up, which each node does by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::change::{Change, Configuration, Decision, DecisionStep, Known, MovingRange};
use quoit_ring::consensus::Ballot;
use quoit_ring::wire::configuration::encode_answer;
use quoit_ring::wire::{MembershipAnswer, MembershipRequest, Progress};
use quoit_ring::{Epoch, Moment, NodeId};
use rand::Rng as _;
use rand::rngs::SmallRng;

use super::under_way::{About, UnderWay};
use super::waiting::{Waiting, WaitingFor};

/// How long each further voter waits for the ones before it.
const TURN: Duration = Duration::from_millis(1_500);
/// How long all members may take to learn of an epoch before it is fenced at those who have.
const TO_LEARN: Duration = Duration::from_millis(200);
/// How soon members are asked again that are not ready, at first and later on.
const SOON: Duration = Duration::from_millis(20);
const LATER: Duration = Duration::from_millis(250);
/// For how long they are asked often.
const EAGER: Duration = Duration::from_secs(1);
/// How soon a member is asked again that did not answer, at most.
const UNREACHED: Duration = Duration::from_secs(2);
/// How soon a vote is begun again that too few have answered, at first; it doubles to 8 s.
const REVOTE: Duration = Duration::from_millis(500);
/// For how long after its last answer a member that leaves is waited for: it may only be starting again.
const LEAVER: Duration = Duration::from_secs(60);
/// The same for one that this node has not heard in this change: it is being replaced since it is dead.
const DEAD_LEAVER: Duration = Duration::from_secs(3);
/// For how long it is waited for at most once all else is there.
const LONGEST_LEAVER: Duration = Duration::from_secs(120);
/// How often members are asked while no change is under way: one may know more than the voters do.
const IDLE: Duration = Duration::from_secs(10);
/// The longest pause between two attempts at a vote.
const LONGEST_REVOTE: Duration = Duration::from_secs(8);
/// How long deciding may take to come back from this node's own disk.
const OWN_LEARN: Duration = Duration::from_secs(2);
/// For how long its hints and leftovers are waited for: those whose target is away, or that cannot be read, may stay for ever.
const LEAVERS_HINTS: Duration = Duration::from_secs(30);

/// What is known of one member in this epoch.
#[derive(Debug, Clone, Default)]
struct Peer {
    /// The newest epoch that it has on its disk, if it has said so.
    newest: Option<Epoch>,
    progress: Option<Progress>,
    /// Whether it knows something else of the epoch before: it has to get all of this one.
    is_apart: bool,
    is_asked: bool,
    ask_at: Moment,
    failures: u32,
}

impl Peer {
    fn knows(&self, epoch: Epoch) -> bool {
        self.newest >= Some(epoch)
    }

    fn is_fenced(&self, epoch: Epoch) -> bool {
        let fence = self.progress.as_ref().map(|progress| progress.fence);
        fence >= Some(epoch)
    }
}

/// One attempt after the other to have the next epoch decided.
#[derive(Debug)]
struct Attempt {
    decision: Decision,
    pause: Duration,
    /// When the next one begins.
    again: Moment,
}

/// One node's part in driving the epoch that it knows.
#[derive(Debug)]
pub(super) struct Steps {
    node: NodeId,
    known: Known,
    /// How the members who knew the epoch before hear of this one.
    update: Bytes,
    /// It is all of it: this node does not know the epoch before.
    update_is_whole: bool,
    /// Ranges that change their owners.
    moving: Vec<MovingRange>,
    leavers: Vec<NodeId>,
    peers: BTreeMap<NodeId, Peer>,
    /// When each member was heard last, in any epoch of this change.
    heard: BTreeMap<NodeId, Moment>,
    /// Since when this node knows of this change.
    changing_since: Moment,
    entered: Moment,
    /// When it is this node's turn, if it is a voter, or has decided this epoch.
    turn: Option<Moment>,
    is_voter: bool,
    decision: Option<Attempt>,
    /// When this node decided the epoch that comes next, if it did.
    decided_at: Option<Moment>,
    /// Since when what a leaver has is all that is waited for.
    leaving_since: Option<Moment>,
    /// Who was sent the epoch since it was behind, and when.
    taught: BTreeMap<NodeId, Moment>,
    rng: SmallRng,
}

impl Steps {
    pub(super) fn new(node: NodeId, known: Known, rng: SmallRng, now: Moment) -> Self {
        let mut steps = Self {
            node,
            update: Bytes::new(),
            update_is_whole: true,
            moving: Vec::new(),
            leavers: Vec::new(),
            peers: BTreeMap::new(),
            heard: BTreeMap::new(),
            changing_since: now,
            entered: now,
            turn: None,
            is_voter: false,
            decision: None,
            decided_at: None,
            leaving_since: None,
            taught: BTreeMap::new(),
            known: known.clone(),
            rng,
        };
        steps.enter(known, now);
        steps
    }

    /// The node has learned of a newer epoch.
    pub(super) fn enter(&mut self, known: Known, now: Moment) {
        let before = std::mem::replace(&mut self.known, known);
        let (old, new) = (before.configuration(), self.known.configuration());
        let base = (old.epoch < new.epoch).then_some(old);
        self.update_is_whole = base.is_none();
        self.update = encode_answer(base, new).into();
        // Where nothing changes, any majority of any epoch meets any other.
        self.moving = self.known.moving();
        self.moving.retain(|range| range.old != range.new);
        self.leavers = leavers(new);
        // Who is written off is asked for nothing any more, and nothing waits for it.
        let members = self.known.topology().members().map(|member| member.id);
        let members = members.filter(|id| new.removed.binary_search(id).is_err());
        self.peers = members.map(|id| (id, Peer::default())).collect();
        if old.change.is_none() {
            self.heard.clear();
            self.changing_since = now;
        }

        let turn = rank(new, self.node).map(|rank| now + TURN.saturating_mul(rank));
        let is_decider = self.decided_at.take().is_some() && self.peers.contains_key(&self.node);
        self.is_voter = new.voters.contains(&self.node);
        self.turn = if is_decider { Some(now) } else { turn };
        self.leaving_since = None;
        self.taught.clear();
        self.decision = None;
        self.entered = now;
    }

    fn epoch(&self) -> Epoch {
        self.known.epoch()
    }

    /// Whether a change is under way, or members have not heard of the last one that could.
    pub(super) fn is_busy(&self) -> bool {
        let is_behind = |peer: &Peer| peer.failures == 0 && !peer.is_fenced(self.epoch());
        let is_ours = self.is_voter;
        let change = self.known.configuration().change.as_ref();
        change.is_some() || (is_ours && self.peers.values().any(is_behind))
    }

    /// Goes as far as it may.
    pub(super) fn act(&mut self, out: &mut UnderWay, now: Moment) {
        if self.turn.is_none_or(|turn| now < turn) {
            return;
        }
        self.ask_members(out, now);

        let comes = self.decided_at.is_some_and(|at| now < at + OWN_LEARN);
        if self.known.configuration().change.is_none() || !self.is_voter || comes {
            return;
        }
        let Some(attempt) = &mut self.decision else {
            let waits = self.waits(now);
            let is_leaver = |waits: &Waiting| waits.what == WaitingFor::Leaver;
            if waits.as_ref().is_some_and(is_leaver) {
                self.leaving_since.get_or_insert(now);
            }
            if waits.is_none() {
                self.decide(out, now);
            }
            return;
        };
        if attempt.again <= now {
            attempt.pause = (2 * attempt.pause).min(LONGEST_REVOTE);
            let ask = attempt.decision.again();
            attempt.again = now + jittered(attempt.pause, &mut self.rng);
            self.ask_voters(&ask, out, now);
        }
    }

    /// Lets every member learn, then has them fenced, then asks how far they are.
    fn ask_members(&mut self, out: &mut UnderWay, now: Moment) {
        let (epoch, may_fence) = (self.epoch(), self.may_fence(now));
        let is_new = self.update_is_whole;
        for (&node, peer) in &mut self.peers {
            if peer.is_asked || now < peer.ask_at {
                continue;
            }
            let fence = || (MembershipRequest::Fence, About::Progress(epoch));
            let ask = if peer.knows(epoch) {
                may_fence.then(fence)
            } else if is_new && peer.newest.is_none() {
                Some(fence()) // it says what it knows, which may be all
            } else {
                let is_one_behind = peer.newest.is_none_or(|it| it.0 + 1 == epoch.0);
                let decided = if is_one_behind && !peer.is_apart {
                    self.update.clone()
                } else {
                    encode_answer(None, self.known.configuration()).into()
                };
                Some((MembershipRequest::Learn { decided }, About::Learn))
            };
            if let Some(ask) = ask {
                peer.is_asked = true;
                out.ask(node, epoch, ask, now);
            }
        }
    }

    /// Fences make a node refuse what clients of the epoch before ask: not before the others can serve the new one.
    fn may_fence(&self, now: Moment) -> bool {
        let knows = |node: &NodeId| {
            let peer = self.peers.get(node);
            peer.is_some_and(|peer| peer.knows(self.epoch()))
        };
        if self.peers.keys().all(knows) {
            return true;
        }
        let enough = |nodes: &[NodeId]| {
            let left = nodes.iter().filter(|it| self.peers.contains_key(it));
            let needed = (nodes.len() / 2 + 1).min(left.count());
            nodes.iter().filter(|it| knows(it)).count() >= needed
        };
        let members: Vec<NodeId> = self.peers.keys().copied().collect();
        let mut ranges = self.moving.iter().map(MovingRange::change);
        now >= self.entered + TO_LEARN
            && enough(&members)
            && ranges.all(|range| enough(range.old) && enough(range.new))
    }

    /// What the change waits for; none if there is none, or it is another node's turn.
    pub(super) fn waiting(&self, now: Moment) -> Option<Waiting> {
        let is_turn = self.is_voter && self.turn.is_some_and(|turn| now >= turn);
        let change = self.known.configuration().change.as_ref();
        change.filter(|_| is_turn)?;
        let votes = || Waiting {
            what: WaitingFor::Votes,
            nodes: self.known.configuration().voters.clone(),
            since: self.entered,
        };
        Some(self.waits(now).unwrap_or_else(votes))
    }

    /// Why the step is not over.
    fn waits(&self, now: Moment) -> Option<Waiting> {
        let (epoch, since) = (self.epoch(), self.entered);
        let waiting = |what, nodes| Waiting { what, nodes, since };
        let not = |is: &dyn Fn(&Peer) -> bool| -> Vec<NodeId> {
            let not = self.peers.iter().filter(|(_, peer)| !is(peer));
            not.map(|(&node, _)| node).collect()
        };
        if !self.may_fence(now) {
            return Some(waiting(WaitingFor::Learning, not(&|it| it.knows(epoch))));
        }
        let is_fenced = |node| self.peers.get(&node).is_some_and(|it| it.is_fenced(epoch));
        if !self
            .moving
            .iter()
            .all(|it| it.change().is_fenced(is_fenced))
        {
            return Some(waiting(WaitingFor::Fence, not(&|it| it.is_fenced(epoch))));
        }
        let incomplete = self.incomplete();
        if !incomplete.is_empty() {
            return Some(waiting(WaitingFor::Pull, incomplete));
        }
        let leaving = self.leaving(now);
        if !leaving.is_empty() {
            return Some(waiting(WaitingFor::Leaver, leaving));
        }
        None
    }

    /// The receivers that have not pulled from enough old owners.
    fn incomplete(&self) -> Vec<NodeId> {
        let has_pulled = |receiver, source| self.has_pulled(receiver, source);
        let ranges = self.moving.iter().map(MovingRange::change);
        let open = ranges.filter(|range| !range.is_complete(has_pulled));
        let mut receivers: Vec<NodeId> = open.flat_map(|range| range.receivers()).collect();
        receivers.sort_unstable();
        receivers.dedup();
        receivers
    }

    fn has_pulled(&self, receiver: NodeId, source: NodeId) -> bool {
        let progress = |peer: &Peer| {
            let progress = peer.progress.as_ref();
            progress.is_some_and(|it| it.pulled.contains(&source))
        };
        self.peers.get(&receiver).is_some_and(progress)
    }

    /// The members that leave, still answer, and have something that nobody else may have.
    fn leaving(&self, now: Moment) -> Vec<NodeId> {
        let is_last = |change: &Change| change.hand.next().is_none();
        let is_last = (self.known.configuration().change.as_ref()).is_some_and(is_last);
        let has_all = |leaver: NodeId| {
            let mut ranges = self.moving.iter().map(MovingRange::change);
            ranges.all(|range| {
                let pulled = |receiver| receiver == leaver || self.has_pulled(receiver, leaver);
                !range.old.contains(&leaver) || range.receivers().all(pulled)
            })
        };
        let has_left_nothing = |progress: &Progress| {
            let is_patient = now < self.entered + LEAVERS_HINTS;
            !is_patient || (!progress.has_leftovers && progress.hints == Some(0))
        };
        let leavers = self.leavers.iter().copied();
        let leaving = leavers.filter(|leaver| {
            let patience = match self.heard.get(leaver) {
                Some(&heard) => heard + LEAVER,
                None => self.changing_since + DEAD_LEAVER,
            };
            let progress = self.peers.get(leaver).and_then(|it| it.progress.as_ref());
            let is_done = has_all(*leaver) && (!is_last || progress.is_some_and(has_left_nothing));
            !is_done && now < patience
        });
        let is_over = |since: Moment| now >= since + LONGEST_LEAVER;
        if self.leaving_since.is_some_and(is_over) {
            return Vec::new();
        }
        leaving.collect()
    }

    fn decide(&mut self, out: &mut UnderWay, now: Moment) {
        let configuration = self.known.configuration();
        let Some(next) = configuration.step() else {
            return;
        };
        // A name of its own for each decision: a node that restarts must not use a ballot again.
        let proposer = NodeId(self.rng.random());
        let decision = Decision::new(Arc::new(configuration.clone()), next, proposer);
        let first = decision.first();
        self.decision = Some(Attempt {
            decision,
            pause: REVOTE,
            again: now + jittered(REVOTE, &mut self.rng),
        });
        self.ask_voters(&first, out, now);
    }

    fn ask_voters(&self, request: &MembershipRequest, out: &mut UnderWay, now: Moment) {
        let Some(Attempt { decision, .. }) = &self.decision else {
            return;
        };
        let about = About::Vote(decision.ballot());
        for &voter in decision.voters() {
            let ask = (request.clone(), about);
            out.ask(voter, decision.after(), ask, now);
        }
    }

    /// A voter has answered.
    pub(super) fn voted(
        &mut self,
        from: NodeId,
        (ballot, answer): (Ballot, MembershipAnswer),
        out: &mut UnderWay,
        now: Moment,
    ) {
        self.heard.insert(from, now);
        let Some(attempt) = &mut self.decision else {
            return;
        };
        match attempt.decision.answered(from, ballot, answer) {
            Ok(None) => {}
            Ok(Some(DecisionStep::Ask(request))) => {
                attempt.again = now + jittered(attempt.pause, &mut self.rng);
                self.ask_voters(&request, out, now);
            }
            Ok(Some(DecisionStep::Teach(learn))) => {
                let epoch = attempt.decision.after();
                out.ask(from, epoch, (learn, About::Learn), now);
            }
            Ok(Some(DecisionStep::Beaten)) => {
                let pause = self.rng.random_range(20..200);
                attempt.again = now + Duration::from_millis(pause);
            }
            Ok(Some(DecisionStep::Decided(next))) => self.decided(&next, out, now),
            Ok(Some(DecisionStep::Overtaken(next))) => {
                let decided = encode_answer(None, &next).into();
                let learn = MembershipRequest::Learn { decided };
                out.ask(self.node, self.known.epoch(), (learn, About::Learn), now);
            }
            Err(error) => tracing::warn!(%from, %error, "a vote cannot be read"),
        }
    }

    /// Everybody hears of it at once, those who leave with it among them.
    fn decided(&mut self, next: &Configuration, out: &mut UnderWay, now: Moment) {
        self.decision = None;
        self.decided_at = Some(now);
        let configuration = self.known.configuration();
        let decided: Bytes = encode_answer(Some(configuration), next).into();
        for &member in self.peers.keys() {
            let learn = MembershipRequest::Learn {
                decided: decided.clone(),
            };
            out.ask(member, configuration.epoch, (learn, About::Learn), now);
        }
    }

    /// A member has said which epoch is its newest.
    pub(super) fn learned(&mut self, from: NodeId, newest: Epoch, out: &mut UnderWay, now: Moment) {
        self.heard.insert(from, now);
        let epoch = self.epoch();
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        let has_come = !peer.knows(epoch) && newest >= epoch;
        peer.newest = peer.newest.max(Some(newest));
        peer.is_asked = false;
        peer.failures = 0;
        peer.ask_at = if peer.knows(epoch) { now } else { now + SOON };

        // A voter that was behind may vote now.
        if let (true, Some(Attempt { decision, .. })) = (has_come, &self.decision)
            && decision.voters().contains(&from)
        {
            let about = About::Vote(decision.ballot());
            let ask = (decision.asking().clone(), about);
            out.ask(from, epoch, ask, now);
        }
    }

    /// Somebody does not serve the epoch that it was asked in: it has not heard of it, perhaps from nobody.
    pub(super) fn is_behind(
        &mut self,
        node: NodeId,
        announced: Epoch,
        out: &mut UnderWay,
        now: Moment,
    ) {
        let epoch = self.epoch();
        let last = self.taught.get(&node);
        if announced >= epoch || last.is_some_and(|&last| now < last + LATER) {
            return;
        }
        self.taught.insert(node, now);
        let decided = encode_answer(None, self.known.configuration()).into();
        let learn = MembershipRequest::Learn { decided };
        out.ask(node, epoch, (learn, About::Learn), now);
    }

    /// A member cannot make the newest epoch out of what changed since the one before.
    pub(super) fn is_apart(&mut self, from: NodeId, newest: Epoch, now: Moment) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.newest = Some(newest);
            peer.is_apart = true;
            peer.is_asked = false;
            peer.ask_at = now;
        }
    }

    /// A member has said how far it is.
    pub(super) fn progressed(
        &mut self,
        from: NodeId,
        (of, progress): (Epoch, Progress),
        out: &mut UnderWay,
        now: Moment,
    ) {
        self.learned(from, progress.newest, out, now);
        if of != self.epoch() {
            return; // what it has pulled is of an earlier epoch
        }
        let is_receiver = |range: &MovingRange| range.change().receivers().any(|it| it == from);
        let is_awaited = self.leavers.contains(&from) || self.moving.iter().any(is_receiver);
        let is_done = progress.fence >= self.epoch() && !is_awaited;
        let pause = match now < self.entered + EAGER {
            _ if is_done => IDLE,
            true => SOON,
            false => LATER,
        };
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.ask_at = now + pause;
            peer.progress = Some(progress);
        }
    }

    /// A member did not answer, or not what it was asked.
    pub(super) fn failed(&mut self, node: NodeId, now: Moment) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.is_asked = false;
            peer.failures += 1;
            let doubled = SOON.saturating_mul(1 << peer.failures.min(10));
            peer.ask_at = now + doubled.min(UNREACHED);
        }
    }
}

/// The members of the map before a change that are none of the map after it.
fn leavers(configuration: &Configuration) -> Vec<NodeId> {
    let Some(change) = &configuration.change else {
        return Vec::new();
    };
    let stays = |node: NodeId| change.target.members.iter().any(|it| it.id == node);
    let is_left = |node: NodeId| configuration.removed.binary_search(&node).is_err();
    let before = configuration.map.members.iter().map(|it| it.id);
    before
        .filter(|&node| !stays(node) && is_left(node))
        .collect()
}

/// Up to a fifth longer, so that two do not meet again and again.
fn jittered(pause: Duration, rng: &mut SmallRng) -> Duration {
    let more = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX) / 5;
    pause + Duration::from_millis(rng.random_range(0..=more))
}

/// How many voters come before this one: those first who stay.
fn rank(configuration: &Configuration, node: NodeId) -> Option<u32> {
    let leavers = leavers(configuration);
    let mut voters = configuration.voters.clone();
    voters.sort_by_key(|voter| (leavers.contains(voter), *voter));
    let rank = voters.iter().position(|&voter| voter == node)?;
    u32::try_from(rank).ok()
}
