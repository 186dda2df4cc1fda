//! The machine: inputs in, steps out.
//!
//! ```text
//!   handle_members  handle_facts  handle_message  handle_seed  handle_time
//!          \              |             |              |            /
//!           +-------->  Gossip: a table of the others, what it says of itself, probes
//!                         |
//!                    poll_step: Send | Changed | Isolation | Behind | Resolve | Twin
//! ```
//!
//! What happens with a message is in `exchange.rs`, what happens by time in `rounds.rs` and `watch.rs`. The driver takes all
//! steps after each input; an input makes a few, and one for each member at most.

use std::collections::VecDeque;

use quoit_ring::change::rules::majority;
use quoit_ring::wire::MemberState;
use quoit_ring::{Epoch, Moment, NodeId};

use crate::facts::Facts;
use crate::listening::ListeningClock;
use crate::members::{Entry, Growth, Members, Present};
use crate::message::{Body, Message};
use crate::options::{BadOptions, Options};
use crate::pulse::{Incarnation, Mark, Pulse};
use crate::view::MemberView;
use crate::watch::Probe;

/// Most seeds that are remembered; the last ones found count.
const MAX_SEEDS: usize = 8;

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send a message to a member, over a connection that is made if there is none. Nothing waits for it: if it cannot be
    /// sent it is dropped.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: Message,
    },
    /// This node sees a member in another state. It steers routing and what operators see, never ownership.
    Changed {
        /// Which member.
        member: NodeId,
        /// Its state until now.
        from: MemberState,
        /// Its state from now on.
        to: MemberState,
    },
    /// This node hears fewer than a majority of the members (`true`), or does again. In between nobody becomes suspect or
    /// failed, and whoever was suspect is taken for alive. A node that has just started is isolated, without this step.
    Isolation(bool),
    /// A member holds a newer epoch: fetch it there. Repeated once a round until [`Gossip::handle_facts`] has an epoch as new.
    Behind {
        /// The epoch.
        epoch: Epoch,
        /// Who holds it.
        from: NodeId,
    },
    /// Resolve the seeds' names again and dial what they say; whoever answers is given to [`Gossip::handle_seed`].
    Resolve,
    /// Somebody else has this node's id, with an incarnation or heartbeat above its own: its disk was copied, or is an older
    /// state of itself. The node must stop.
    Twin(Incarnation),
}

/// What this node says of itself.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) id: NodeId,
    pub(crate) pulse: Pulse,
    pub(crate) facts: Facts,
    /// When all of these were announced.
    pub(crate) announced: Moment,
}

/// One node's part in gossip; see the [crate].
#[derive(Debug)]
pub struct Gossip {
    pub(crate) options: Options,
    pub(crate) own: Own,
    /// Whether the configuration names this node.
    pub(crate) is_member: bool,
    pub(crate) members: Members,
    pub(crate) clock: ListeningClock,
    pub(crate) probes: Vec<Probe>,
    pub(crate) seeds: VecDeque<NodeId>,
    pub(crate) is_isolated: bool,
    pub(crate) looks: u64,
    pub(crate) next_look: Moment,
    pub(crate) last_resolve: Option<Moment>,
    /// The newest epoch that was reported, and when.
    behind: Option<(Epoch, Moment)>,
    /// The highest pulse of a twin.
    twin: Pulse,
    /// Where the next digest begins, and the next list of facts, after one that was cut.
    pub(crate) digest_from: NodeId,
    pub(crate) facts_from: NodeId,
    steps: VecDeque<Step>,
}

impl Gossip {
    /// The machine of node `me`, which has just started for the time that `incarnation` says. It knows no members yet.
    ///
    /// # Errors
    /// [`BadOptions`] if a setting is out of its range.
    pub fn new(
        me: NodeId,
        incarnation: Incarnation,
        facts: Facts,
        options: Options,
        now: Moment,
    ) -> Result<Self, BadOptions> {
        options.check()?;
        let pulse = Pulse {
            incarnation,
            heartbeat: 1,
            facts: 1,
        };
        Ok(Self {
            options,
            own: Own {
                id: me,
                pulse,
                facts: facts.bounded(),
                announced: now,
            },
            is_member: false,
            members: Members::default(),
            clock: ListeningClock::starting(now),
            probes: Vec::new(),
            seeds: VecDeque::new(),
            is_isolated: true,
            looks: 0,
            next_look: now,
            last_resolve: None,
            behind: None,
            twin: Pulse::default(),
            digest_from: NodeId(0),
            facts_from: NodeId(0),
            steps: VecDeque::new(),
        })
    }

    /// Takes the members that the configuration names now, this node among them. Whoever is not named any more is forgotten,
    /// and what others say of it is ignored; whoever is new counts as alive, and its silence begins now.
    pub fn handle_members(&mut self, members: impl IntoIterator<Item = NodeId>, now: Moment) {
        self.advance(now);
        let mut ids: Vec<NodeId> = members.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        self.is_member = ids.contains(&self.own.id);
        ids.retain(|&id| id != self.own.id);

        self.members.set(ids, self.clock.now());
        let members = &self.members;
        (self.probes).retain(|probe| members.position(probe.node).is_some());
        (self.seeds).retain(|&seed| members.position(seed).is_some());
    }

    /// Takes what this node says of itself from now on; to be called once a round. A new build, epoch, disk level or address is
    /// announced at once. If only free bytes or the age of the oldest hint differ, that waits until all was announced a minute
    /// ago: a thousand members that change both every second would fill every message.
    pub fn handle_facts(&mut self, facts: Facts, now: Moment) {
        self.advance(now);
        let facts = facts.bounded();
        let own = &mut self.own;
        let is_due = now.saturating_since(own.announced) >= crate::MINOR_FACTS_EVERY;
        if own.facts.differs_at_once(&facts) || (is_due && own.facts != facts) {
            own.facts = facts;
            own.announced = now;
            own.beat();
            own.pulse.facts = own.pulse.heartbeat;
        }
    }

    /// Takes a member that answered at an address of the seeds, and sends it a digest. A node whose id the configuration does
    /// not name is ignored.
    pub fn handle_seed(&mut self, seed: NodeId, now: Moment) {
        self.advance(now);
        if self.members.position(seed).is_none() {
            return;
        }
        self.seeds.retain(|&known| known != seed);
        self.seeds.push_back(seed);
        if self.seeds.len() > MAX_SEEDS {
            self.seeds.pop_front();
        }
        self.send_digest(seed);
    }

    /// The next thing to do.
    pub fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// When [`Self::handle_time`] is to be called next, at the latest. It is called late without harm: a process that slept
    /// blames nobody for it.
    #[must_use]
    pub const fn next_wake(&self) -> Moment {
        self.next_look
    }

    /// Whether this node hears fewer than a majority of the members, itself included.
    #[must_use]
    pub const fn is_isolated(&self) -> bool {
        self.is_isolated
    }

    /// This node's own pulse, as the others see it.
    #[must_use]
    pub const fn pulse(&self) -> Pulse {
        self.own.pulse
    }

    /// What is known of another member; `None` of an id that the configuration does not name.
    #[must_use]
    pub fn member(&self, id: NodeId) -> Option<MemberView<'_>> {
        let place = self.members.position(id)?;
        Some(self.view(id, self.members.entry(place)))
    }

    /// What is known of all other members, ascending by id.
    pub fn members(&self) -> impl Iterator<Item = MemberView<'_>> {
        (self.members.iter()).map(|(id, entry)| self.view(id, entry))
    }

    fn view<'a>(&self, id: NodeId, entry: &'a Entry) -> MemberView<'a> {
        let silence = entry.silence(self.clock.now());
        MemberView {
            id,
            state: entry.state,
            was_heard: entry.heard.is_some(),
            silence,
            phi: entry.pace.phi(silence, self.options.round),
            pulse: entry.pulse,
            facts: entry.facts.as_ref(),
        }
    }

    /// How many others make a majority together with this node.
    pub(crate) const fn others_needed(&self) -> usize {
        majority(self.members.len() + 1) - 1
    }

    /// Goes on to `now`. Probes that a sleep has interrupted begin again.
    pub(crate) fn advance(&mut self, now: Moment) {
        let doubts = self.options.doubts_itself;
        let longest = if doubts {
            self.options.longest_look()
        } else {
            core::time::Duration::MAX
        };
        let is_deaf = doubts && self.is_isolated;
        if self.clock.advance(now, is_deaf, longest) {
            self.probes.clear();
        }
    }

    /// Takes a pulse that was seen in a message of `is_direct`: the member's own.
    pub(crate) fn observe(&mut self, mark: Mark, is_direct: bool, now: Moment) {
        let Some(place) = self.members.position(mark.node) else {
            if mark.node == self.own.id
                && mark.pulse.beats(self.own.pulse)
                && mark.pulse.beats(self.twin)
            {
                self.twin = mark.pulse;
                self.push(Step::Twin(mark.pulse.incarnation));
            }
            return;
        };
        let present = Present {
            now,
            listened: self.clock.now(),
            round: self.options.round,
        };
        let entry = self.members.entry_mut(place);
        if let Growth::From(from) = entry.observe(mark.pulse, is_direct, present) {
            self.probes.retain(|probe| probe.node != mark.node);
            if from != MemberState::Alive {
                self.push(Step::Changed {
                    member: mark.node,
                    from,
                    to: MemberState::Alive,
                });
            }
        }
    }

    /// A member has shown that it holds this epoch.
    pub(crate) fn compare_epochs(&mut self, epoch: Epoch, from: NodeId, now: Moment) {
        if epoch <= self.own.facts.epoch {
            return;
        }
        let is_known =
            |(known, at): (Epoch, Moment)| epoch <= known && now < at + self.options.round;
        if !self.behind.is_some_and(is_known) {
            self.behind = Some((epoch, now));
            self.push(Step::Behind { epoch, from });
        }
    }

    pub(crate) fn send(&mut self, to: NodeId, body: Body) {
        let message = Message {
            epoch: self.own.facts.epoch,
            pulse: self.own.pulse,
            body,
        };
        self.push(Step::Send { to, message });
    }

    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push_back(step);
    }
}

impl Own {
    /// Shows that this node is alive.
    pub(crate) const fn beat(&mut self) {
        self.pulse.heartbeat = self.pulse.heartbeat.saturating_add(1);
    }
}
