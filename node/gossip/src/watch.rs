//! Who is silent, and whether that is their fault: probes, then suspicion.
//!
//! ```text
//!   last growth      phi 3                                 5 s                            30 s
//!      |---------------|--- ping ---|--- 3 helpers ping ---|-- suspect -------------------|-- failed
//!                    1.5 to 3 s      half a round     a round
//!
//!   any growth of its heartbeat: alive
//! ```
//!
//! * **Phi** says when a silence is unusual in this cluster. It starts a probe and nothing else, and a probe starts two rounds
//!   before a suspicion at the latest: with the default silences that is the rule beyond a few members.
//! * **Probes** tell a lost message from a dead member: first a ping, then pings by [`helpers`](crate::Options::helpers) others,
//!   whose paths are not ours. Growth of the heartbeat is the answer, so whatever brings it will do.
//! * **The configured silences** say when somebody is to be blamed. Each node judges by what it heard itself. A suspicion is not
//!   spread, as in SWIM it is: news of a heartbeat refutes it everywhere, and no node can talk others into one.
//! * **A majority** must have been heard since the helpers were asked, and within two rounds: who is cut off gets no answer
//!   from anybody. Some of what is heard may be old news that still travels on this side of the cut, so suspicions can slip
//!   through in the first seconds. They are taken back as soon as it is isolated, long before they become failures.
//!
//! Invariant: nobody is suspect, or becomes failed, while this node is isolated.
//!
//! Source: Das, Gupta, Motivala, *SWIM* (2002); what Lifeguard (Dadgar et al., 2018) does for slow members by longer
//! timeouts, the [listening clock](crate::listening) does here.

use quoit_ring::{Moment, NodeId};

use crate::draw::Draw;
use crate::machine::{Gossip, Step};
use crate::message::Body;
use quoit_ring::wire::MemberState;

/// Most probes at once. So many members that go together (a rack, a zone) are suspect on time; of more the rest follow, a
/// few seconds later.
const MAX_PROBES: usize = 128;
/// How many looks helpers are given: there and back by way of another.
const HELP_LOOKS: u8 = 2;
/// After so many looks in which no majority was heard, a probe proves nothing and begins again.
const VOID_LOOKS: u8 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It was pinged.
    Direct,
    /// Others were asked to ping it.
    Helped,
    /// Nobody got an answer, while a majority was heard.
    Unanswered,
}

/// A member that is silent for unusually long.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) node: NodeId,
    phase: Phase,
    /// When this phase began.
    since: Moment,
    /// Looks in this phase.
    looks: u8,
}

impl Probe {
    const fn enter(&mut self, phase: Phase, now: Moment) {
        self.phase = phase;
        self.since = now;
        self.looks = 0;
    }
}

impl Gossip {
    /// Looks who is silent.
    pub(crate) fn watch(&mut self, draw: &mut Draw, now: Moment) {
        self.doubt_oneself(now);
        if self.is_isolated && self.options.doubts_itself {
            return;
        }
        self.go_on_with_probes(draw, now);

        let listened = self.clock.now();
        let hears_others =
            self.hears_majority_since(now.saturating_sub(self.options.longest_look()));
        let may_suspect = hears_others || !self.options.doubts_itself;
        let (least, most) = self.options.probe_bounds();
        for place in 0..self.members.len() {
            let entry = self.members.entry(place);
            let silence = entry.silence(listened);
            let state = entry.state;
            if silence < least {
                continue;
            }
            match state {
                MemberState::Alive => {
                    let probe_after = entry.pace.probe_after(self.options.round, least, most);
                    let node = self.members.id(place);
                    let is_due = silence >= self.options.suspect_after && may_suspect;
                    if is_due && self.is_proven(node) {
                        self.change(place, MemberState::Suspect);
                    } else if silence >= probe_after {
                        self.begin_probe(node, now);
                    }
                }
                MemberState::Suspect if silence >= self.options.failed_after => {
                    self.change(place, MemberState::Failed);
                }
                MemberState::Suspect | MemberState::Failed => {}
            }
        }
    }

    /// A node that hears fewer than a majority, itself included, takes the fault for its own.
    fn doubt_oneself(&mut self, now: Moment) {
        let since = now.saturating_sub(self.options.isolated_after());
        let is_isolated = !self.hears_majority_since(since);
        if is_isolated != self.is_isolated {
            self.is_isolated = is_isolated;
            self.probes.clear();
            self.push(Step::Isolation(is_isolated));
            if is_isolated && self.options.doubts_itself {
                self.take_back_suspicions();
            }
        }
    }

    /// What this node suspected while it was being cut off was its own fault, too. Silences stay as they are: a member that is
    /// dead all the same is suspect again two rounds after a majority is heard.
    fn take_back_suspicions(&mut self) {
        for place in 0..self.members.len() {
            let entry = self.members.entry_mut(place);
            if entry.state == MemberState::Suspect {
                entry.state = MemberState::Alive;
                self.push(Step::Changed {
                    member: self.members.id(place),
                    from: MemberState::Suspect,
                    to: MemberState::Alive,
                });
            }
        }
    }

    fn begin_probe(&mut self, node: NodeId, now: Moment) {
        let is_probed = self.probes.iter().any(|probe| probe.node == node);
        if is_probed || !self.options.probes || self.probes.len() >= MAX_PROBES {
            return;
        }
        self.probes.push(Probe {
            node,
            phase: Phase::Direct,
            since: now,
            looks: 0,
        });
        self.send(node, Body::Ping { origin: None });
    }

    fn go_on_with_probes(&mut self, draw: &mut Draw, now: Moment) {
        let mut probes = core::mem::take(&mut self.probes);
        for probe in &mut probes {
            probe.looks = probe.looks.saturating_add(1);
            match probe.phase {
                Phase::Direct => {
                    probe.enter(Phase::Helped, now);
                    self.ask_helpers(probe.node, draw);
                }
                Phase::Helped if probe.looks >= HELP_LOOKS => {
                    if self.hears_majority_since(probe.since) || !self.options.doubts_itself {
                        probe.enter(Phase::Unanswered, now);
                    } else if probe.looks >= VOID_LOOKS {
                        probe.enter(Phase::Direct, now);
                        self.send(probe.node, Body::Ping { origin: None });
                    }
                }
                Phase::Helped | Phase::Unanswered => {}
            }
        }
        self.probes = probes;
    }

    /// Asks some members that are alive, drawn without a list of all: the same one drawn twice is asked once.
    fn ask_helpers(&mut self, target: NodeId, draw: &mut Draw) {
        let alive = self.members.alive();
        let mut asked: Vec<NodeId> = Vec::new();
        for _ in 0..2 * self.options.helpers {
            if asked.len() == self.options.helpers {
                break;
            }
            let helper = self.members.pick(true, alive, draw);
            let is_new = |&helper: &NodeId| helper != target && !asked.contains(&helper);
            if let Some(helper) = helper.filter(is_new) {
                asked.push(helper);
                self.send(helper, Body::PingFor(target));
            }
        }
    }

    /// Whether a member's silence is its own fault, as far as one can tell.
    fn is_proven(&self, node: NodeId) -> bool {
        let unanswered = |probe: &Probe| probe.node == node && probe.phase == Phase::Unanswered;
        !self.options.probes || self.probes.iter().any(unanswered)
    }

    fn hears_majority_since(&self, since: Moment) -> bool {
        self.members.heard_since(since) >= self.others_needed()
    }

    fn change(&mut self, place: usize, to: MemberState) {
        let member = self.members.id(place);
        let entry = self.members.entry_mut(place);
        let from = core::mem::replace(&mut entry.state, to);
        debug_assert!(from < to, "only growth goes back");
        self.probes.retain(|probe| probe.node != member);
        self.push(Step::Changed { member, from, to });
    }
}
