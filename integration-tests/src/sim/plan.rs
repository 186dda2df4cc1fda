//! The plan of a run: everything that is decided before it begins, from the seed alone.
//!
//! ```text
//!   seed --> cluster: 5 nodes, N, limits      --> the world
//!        --> clients, deadline, pace          --> the world
//!        --> faults: what, when, how long     --> the world, as many of them as are kept
//! ```
//!
//! A run is held to what the store promises, so a plan must not break more than its promises allow: one power loss at a time
//! where durability is `buffered`, one disk lost for ever, and no clock that is far ahead on nodes and clients at once (a stamp that
//! both believe stays ahead of all others until its time has come, and cannot be spread until then).

mod cluster;
mod nemesis;

use std::ops::Range;
use std::time::Duration;

use quoit_node::config::{Limits, WriteQueue};
use quoit_node::hints::PageSize;
use quoit_ring::change::Arcs;
use quoit_ring::wire::Durability;
use quoit_ring::{Millis, Moment};
use rand::Rng as _;
use rand::rngs::SmallRng;

use self::nemesis::Nemesis;
use super::chance::{Seed, happens};
use super::faults::{Fault, Planned};
use super::machine::{RECORD_BYTES, SIBLINGS, Settings, SmallLimits};
use super::overfill;

pub use self::cluster::{Cluster, Target};

/// Nodes of every run.
pub const NODES: usize = 5;
/// Operations that a run has at least.
pub const OPERATIONS: u64 = 2_000;
/// Nodes that may join, in runs in which the ring changes.
const SPARES: usize = 2;
/// The same and one more, which joins for nobody but a node that has lost its disk.
const SPARES_FOR_LOSS: usize = SPARES + 1;
/// When operators change the ring, at the earliest and at the latest.
const CHANGES: Range<u64> = 100_000..2_200_000;
/// When faults begin, at the earliest and at the latest.
/// How old a put may be, in milliseconds.
const MAX_WRITE_AGE_MS: u64 = 60_000;
const STORM: Range<u64> = 100_000..2_500_000;

/// Everything that is decided beforehand.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: Seed,
    /// The ring and the map that every node starts with.
    pub cluster: Cluster,
    /// The settings of the nodes.
    pub settings: Settings,
    /// The one node that takes no longer frames than so many bytes, if it is that sort of run.
    pub short_frames: Option<(usize, usize)>,
    /// How many clients.
    pub clients: usize,
    /// How long an operation may take.
    pub deadline: Duration,
    /// How many bytes a client may leave behind for nodes that are late, if few.
    pub max_background_bytes: Option<usize>,
    /// How many bytes of repairs a client may send in a second, if few.
    pub repair_bytes_per_second: Option<u64>,
    /// Of how many keys a client remembers what it wrote last, if few.
    pub max_minted_keys: Option<usize>,
    /// How long tasks wait between two operations, in microseconds, about.
    pub pause: u64,
    /// How long a message takes, in microseconds, about.
    pub travel: u64,
    /// How long a commit takes, in microseconds, about.
    pub commit: u64,
    /// How far each client's clock is off from the beginning, in milliseconds.
    pub client_clocks: Vec<i64>,
    /// How far each node's clock is off from the beginning, in milliseconds.
    pub node_clocks: Vec<i64>,
    /// When a client is cloned in the act of a put.
    pub twins: Vec<Moment>,
    /// When an operator changes the ring, and how, if it is that sort of run.
    pub changes: Vec<(Moment, Target)>,
    /// On how many arcs the circle is cut for a change.
    pub arcs: Arcs,
    /// Whether the nodes gossip.
    pub gossips: bool,
    /// Whether the nodes compare themselves with each other.
    pub syncs: bool,
    /// Whether the nodes remove what has expired. They know each other's clocks from gossip, or from syncs.
    pub sweeps: bool,
    /// The one node that everything goes wrong with, if it is that sort of run: then no operation may fail.
    pub victim: Option<usize>,
    /// What goes wrong.
    pub faults: Vec<Planned>,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let seed = Seed(seed);
        let mut rng = seed.stream("plan", 0);
        let cluster = match rng.random_range(0..10) {
            0..6 => Cluster::of(3, 5),
            6..8 => Cluster::of(3, 3),
            _ => Cluster::of(5, 5),
        };
        let durability = if happens(&mut rng, 800) {
            Durability::Fsync
        } else {
            Durability::Buffered
        };
        let clients = rng.random_range(3..=5);
        let mut settings = settings(&mut rng, durability);
        let deadline = Duration::from_millis(rng.random_range(400..=1_500));
        let pause = rng.random_range(8_000..=20_000);
        let travel = *pick(&mut rng, &[100, 200, 500, 2_000]);
        let commit = *pick(&mut rng, &[100, 500, 2_000, 8_000]);
        let client_clocks = (0..clients).map(|_| small_error(&mut rng)).collect();
        let node_clocks: Vec<i64> = (0..NODES).map(|_| small_error(&mut rng)).collect();
        let twins = (0..rng.random_range(0..=3))
            .map(|_| Moment(rng.random_range(STORM)))
            .collect();
        let nemesis = Nemesis::new(seed, clients, durability);
        let victim = nemesis.victim();
        let mut small = seed.stream("small limits", 0);
        let short_frames = short_frames(&mut small);
        settings.small.page = page_size(&mut small);
        if happens(&mut small, 100) {
            settings.limits.max_hint_bytes = 2_500;
        }
        let (changes, arcs) = changes(seed);
        let max_background_bytes = happens(&mut small, 200).then_some(4 << 10);
        let [gossips, syncs, sweeps] =
            ["gossip", "sync", "sweep"].map(|stream| happens(&mut seed.stream(stream, 0), 500));
        let mut plan = Self {
            seed,
            cluster,
            settings,
            short_frames,
            clients,
            deadline,
            max_background_bytes,
            repair_bytes_per_second: None,
            max_minted_keys: None,
            pause,
            travel,
            commit,
            client_clocks,
            node_clocks,
            twins,
            changes,
            arcs,
            gossips: gossips || (sweeps && !syncs),
            syncs,
            sweeps,
            victim,
            faults: nemesis.faults(),
        };
        plan.make_small(&mut small);
        plan.forget();
        if victim.is_some() {
            plan.be_fair();
        } else {
            plan.overfill();
            plan.lose_disk();
        }
        plan.node_clocks.resize(NODES + plan.spares(), 0);

        plan
    }

    /// How many nodes there are that may join.
    #[must_use]
    pub fn spares(&self) -> usize {
        let is_loss = |planned: &Planned| matches!(planned.fault, Fault::LostDisk { .. });
        if self.faults.iter().any(is_loss) {
            SPARES_FOR_LOSS
        } else if self.changes.is_empty() {
            0
        } else {
            SPARES
        }
    }

    /// In some runs limits are so small that they are met.
    fn make_small(&mut self, rng: &mut SmallRng) {
        let settings = &mut self.settings;
        if happens(rng, 150) {
            settings.limits.max_record_bytes = *pick(rng, &[1_500, 3_000, 6_000]);
        }
        if happens(rng, 150) {
            settings.small.batch = rng.random_range(1..=4);
        }
        if happens(rng, 250) {
            settings.small.hint_window = rng.random_range(2..=4);
        }
        if happens(rng, 200) {
            self.repair_bytes_per_second = Some(1 << 10);
        }
        if happens(rng, 150) {
            self.max_minted_keys = Some(rng.random_range(2..=12));
        }
    }

    /// In half of the runs that sync writes are soon too old: so tombstones are forgotten while everything goes wrong. Not where a
    /// disk fills up or fails, on which the clock's mark stays behind: it leads by a quarter of that age, and is caught up with.
    fn forget(&mut self) {
        let mut rng = self.seed.stream("forget", 0);
        let stops_the_mark = |planned: &Planned| {
            matches!(
                planned.fault,
                Fault::DiskFull { .. } | Fault::DiskFails { .. }
            )
        };
        let stays_behind = self.faults.iter().any(stops_the_mark);
        if self.syncs && !stays_behind && happens(&mut rng, 500) {
            self.settings.limits.max_write_age_ms = rng.random_range(1_000..2_000);
        }
    }

    /// In some runs a client sends repairs that fill records up to their bounds. Not where the ring changes: its owners refuse
    /// such a record of each other, so a former owner may keep it until somebody writes the key.
    fn overfill(&mut self) {
        let mut rng = self.seed.stream("overfill", 0);
        if !happens(&mut rng, 150) || !self.changes.is_empty() {
            return;
        }
        self.settings.limits.max_intervals = overfill::MAX_INTERVALS;
        self.faults.push(Planned {
            at: Moment(rng.random_range(STORM)),
            lasts: rng.random_range(500_000..1_500_000),
            fault: Fault::Overfill {
                client: rng.random_range(0..self.clients),
            },
        });
    }

    /// In some runs a node loses its disk for ever, and an operator writes it off later: one, since with N = 3 no more may be
    /// lost of what two have acknowledged. Not where records are filled up: leaving the node out is a change of the ring.
    fn lose_disk(&mut self) {
        let mut rng = self.seed.stream("lost disk", 0);
        let fills_up = |planned: &Planned| matches!(planned.fault, Fault::Overfill { .. });
        if !happens(&mut rng, 150) || self.faults.iter().any(fills_up) {
            return;
        }
        self.faults.push(Planned {
            at: Moment(rng.random_range(STORM)),
            lasts: rng.random_range(300_000..2_000_000),
            fault: Fault::LostDisk {
                node: rng.random_range(0..NODES),
            },
        });
    }

    /// Leaves nothing but the one node that fails to blame if an operation does.
    fn be_fair(&mut self) {
        self.settings.queue = WriteQueue::default();
        self.short_frames = None;
        self.settings.limits.max_siblings = SIBLINGS;
        self.settings.limits.max_write_age_ms = MAX_WRITE_AGE_MS;
        self.changes.clear();
        self.settings.limits.max_record_bytes = RECORD_BYTES;
        self.settings.small.batch = SmallLimits::default().batch;
        self.max_minted_keys = None;
        self.deadline = Duration::from_millis(2_000);
        self.travel = self.travel.min(500);
        self.commit = self.commit.min(2_000);
        self.client_clocks.fill(0);
        self.node_clocks.fill(0);
    }
}

fn settings(rng: &mut SmallRng, durability: Durability) -> Settings {
    let few = happens(rng, 200);
    Settings {
        limits: Limits {
            max_value_bytes: 1 << 20,
            max_siblings: if happens(rng, 100) { 8 } else { SIBLINGS },
            max_intervals: 1 << 16,
            max_record_bytes: RECORD_BYTES,
            max_write_age_ms: MAX_WRITE_AGE_MS,
            max_clock_drift_ms: 500,
            max_hint_bytes: 1 << 30,
            max_hint_bytes_per_node: if happens(rng, 100) { 1_500 } else { 1 << 28 },
            disk_reserve: 64 << 20,
        },
        durability,
        queue: if few {
            WriteQueue {
                requests: 3,
                bytes: 2 << 20,
            }
        } else {
            WriteQueue::default()
        },
        base: Millis(1_700_000_000_000 + rng.random_range(0..1_000_000)),
        small: SmallLimits::default(),
    }
}

/// In some runs operators change the ring, up to four times, some of them two at a time.
fn changes(seed: Seed) -> (Vec<(Moment, Target)>, Arcs) {
    let mut rng = seed.stream("changes", 0);
    let arcs = pick(&mut rng, &[1, 1, 2, 4]);
    let arcs = Arcs::new(*arcs).unwrap_or(Arcs::FULL);
    if !happens(&mut rng, 400) {
        return (Vec::new(), arcs);
    }
    let count = rng.random_range(1..=4);
    let mut changes: Vec<(Moment, Target)> = (0..count)
        .map(|_| {
            let at = Moment(rng.random_range(CHANGES));
            (at, *pick(&mut rng, &Target::ALL))
        })
        .collect();
    changes.sort_unstable();
    if happens(&mut rng, 300) && count > 1 {
        changes[1].0 = changes[0].0.after(rng.random_range(0..3_000));
    }
    (changes, arcs)
}

/// In some runs one node takes no long frames, so that it refuses hints which others keep for it, again and again.
fn short_frames(rng: &mut SmallRng) -> Option<(usize, usize)> {
    let (node, bytes) = (rng.random_range(0..NODES), *pick(rng, &[200, 300, 600]));
    happens(rng, 150).then_some((node, bytes))
}

/// In some runs few hints are read at a time, so that there are several pages of them.
fn page_size(rng: &mut SmallRng) -> PageSize {
    let hints = rng.random_range(1..=4);
    if happens(rng, 250) {
        PageSize {
            hints,
            ..PageSize::NODE
        }
    } else {
        PageSize::NODE
    }
}

/// A clock that is kept in order is a few milliseconds off; one in four is off by more.
fn small_error(rng: &mut SmallRng) -> i64 {
    let most = if happens(rng, 250) { 200 } else { 10 };
    rng.random_range(-most..=most)
}

fn pick<'a, T>(rng: &mut SmallRng, from: &'a [T]) -> &'a T {
    &from[rng.random_range(0..from.len())]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_makes_one_plan_and_another_seed_another() {
        let text = |seed| format!("{:?}", Plan::of(seed).faults);
        assert_eq!(text(3), text(3));
        assert_ne!(text(3), text(4));
    }

    #[test]
    fn every_plan_has_five_faults_and_more_that_are_hard_to_miss() {
        let hard_to_miss = |planned: &&Planned| {
            let Planned { fault, .. } = planned;
            matches!(
                fault,
                Fault::Break { .. }
                    | Fault::Kill { .. }
                    | Fault::PowerLoss { .. }
                    | Fault::Stop { .. }
                    | Fault::PauseNode { .. }
                    | Fault::Unmounted { .. }
                    | Fault::NodeClock { .. }
                    | Fault::ClientClock { .. }
                    | Fault::ClientCrash { .. }
                    | Fault::PauseClient { .. }
            )
        };
        for plan in (0..1_000).map(Plan::of) {
            let hard = plan.faults.iter().filter(hard_to_miss).count();
            assert!(hard >= 5, "seed {}: {hard}", plan.seed.0);
        }
    }

    #[test]
    fn every_kind_of_fault_is_drawn_within_two_hundred_seeds() {
        let kinds: BTreeSet<_> = (0..200)
            .flat_map(|seed| Plan::of(seed).faults)
            .map(|planned| planned.fault.kind())
            .collect();
        assert_eq!(kinds, BTreeSet::from(Fault::KINDS));
    }

    #[test]
    fn one_disk_at_most_is_lost_for_ever_and_there_is_a_spare_for_its_node() {
        let mut losses = 0;
        for plan in (0..300).map(Plan::of) {
            let is_loss = |planned: &&Planned| matches!(planned.fault, Fault::LostDisk { .. });
            let lost = plan.faults.iter().filter(is_loss).count();
            assert!(lost == 0 || (lost == 1 && plan.victim.is_none()));
            assert_eq!(plan.spares() == SPARES_FOR_LOSS, lost == 1);
            assert_eq!(plan.node_clocks.len(), NODES + plan.spares());
            losses += lost;
        }
        assert!(losses > 20, "only {losses}");
    }

    #[test]
    fn nodes_that_may_lose_buffered_writes_lose_power_one_at_a_time() {
        let mut losses = 0;
        for plan in (0..300).map(Plan::of) {
            if plan.settings.durability != Durability::Buffered {
                continue;
            }
            for planned in &plan.faults {
                if let Fault::PowerLoss { nodes } = planned.fault {
                    assert_eq!(nodes.count_ones(), 1);
                    losses += 1;
                }
            }
        }
        assert!(losses > 20, "only {losses}");
    }
}
