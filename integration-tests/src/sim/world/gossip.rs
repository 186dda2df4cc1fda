//! Gossip between machines: a node's driver is called when it wants to be, and its messages travel as frames.
//!
//! ```text
//!   look --> GossipDriver --> frame --> another machine: its inbox, then its driver
//!                       '--> asks a member for a newer epoch; wakes the hints for one that is back
//! ```
//!
//! There are no names to resolve. Half of the runs have gossip, so that a change of the ring is also seen without its net.

use quoit_node::gossip::Act;
use quoit_ring::wire::MemberState;

use super::World;
use super::event::Event;
use crate::sim::coverage::CoverageEvent;

/// How long a message waits in the inbox until the driver takes it, in microseconds.
const TAKEN: u64 = 50;
/// How soon a node that does not serve yet is looked at again.
const SOON: u64 = 50_000;

impl World {
    /// A node's part in gossip is called.
    pub(super) fn look_after_gossip(&mut self, node: usize, life: u32) {
        if self.machines[node].life() != life || !self.machines[node].is_up() {
            return;
        }
        let now = self.now();
        if let Some(resumes) = self.paused_node(node) {
            return self.schedule.at(resumes, Event::Gossip { node, life });
        }
        let pause = if self.machines[node].is_serving() {
            self.machines[node].handle_gossip_time(now).max(1)
        } else {
            SOON
        };
        self.schedule
            .at(now.after(pause), Event::Gossip { node, life });
        self.carry_gossip_out(node);
    }

    /// A node has got a message: its driver takes it from the inbox.
    pub(super) fn note_gossip(&mut self, node: usize) {
        let life = self.machines[node].life();
        let at = self.now().after(TAKEN);
        self.schedule.at(at, Event::GossipCame { node, life });
    }

    /// A node's driver takes what is in the inbox.
    pub(super) fn take_gossip(&mut self, node: usize, life: u32) {
        if self.machines[node].life() != life {
            return;
        }
        if let Some(resumes) = self.paused_node(node) {
            return self.schedule.at(resumes, Event::GossipCame { node, life });
        }
        let now = self.now();
        self.machines[node].take_gossip(now);
        self.carry_gossip_out(node);
    }

    fn carry_gossip_out(&mut self, node: usize) {
        let now = self.now();
        let (mut has_newer, mut is_back) = (false, false);
        while let Some(act) = self.machines[node].poll_gossip() {
            match act {
                Act::Send { to, frame } => self.send_to_peer(node, to, &frame),
                Act::CatchUp(from) => {
                    self.site.saw(CoverageEvent::GossipNewer);
                    self.machines[node].catch_up(from, now);
                    has_newer = true;
                }
                Act::IsBack(member) => {
                    self.site.saw(CoverageEvent::MemberBack);
                    self.machines[node].member_back(member, now);
                    is_back = true;
                }
                Act::Resolve => {}
            }
        }
        if has_newer {
            self.carry_change_out(node);
        }
        if is_back {
            self.do_errands(node);
        }
    }

    /// Whether every member hears every other one, if there is gossip.
    #[must_use]
    pub fn all_are_heard(&self) -> bool {
        let Some(newest) = self.newest().filter(|_| self.plan.gossips) else {
            return true;
        };
        let others = newest.topology().members().count() - 1;
        let is_member = |id| newest.topology().member(id).is_some();
        let mut members = self.machines.iter().filter(|it| is_member(it.id()));
        members.all(|machine| {
            machine.members_seen().is_some_and(|seen| {
                let alive = |state| state == MemberState::Alive;
                let mut seen_members = seen.members.iter();
                !seen.is_isolated
                    && seen.members.len() == others
                    && seen_members.all(|it| it.was_heard && alive(it.state))
            })
        })
    }
}
