//! The plan of a run: everything that is decided before it begins, from the seed alone.
//!
//! ```text
//!   seed --> cluster: 5 nodes, N, limits      --> the world
//!        --> clients, deadline, pace          --> the world
//!        --> faults: what, when, how long     --> the world, as many of them as are kept
//! ```
//!
//! A run is held to what the store promises, so a plan must not break more than its promises allow: no power loss
//! where durability is `buffered`, and no clock that is far ahead on nodes and clients at once (a stamp that
//! both believe stays ahead of everybody until its time has come, and cannot be spread until then).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use quoit_node::commit::Limits;
use quoit_node::config::WriteQueue;
use quoit_ring::placement::{Newcomer, Ring, grow};
use quoit_ring::wire::{Durability, FirstMap};
use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, MerkleKey, Millis, NodeId, TokenKey};
use rand::Rng as _;
use rand::rngs::SmallRng;

use super::chance::{Seed, happens};
use super::faults::{Fault, Links, Planned, Way};
use super::machine::Settings;
use crate::history::Micros;

/// Nodes of every run.
pub const NODES: usize = 5;
/// Operations that a run has at least.
pub const OPERATIONS: u64 = 2_000;
/// How long most of the nodes may be down together, in microseconds.
const MOST_DOWN: u64 = 200_000;
/// When faults begin, at the earliest and at the latest.
const STORM: std::ops::Range<u64> = 100_000..2_500_000;

/// Everything that is decided beforehand.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: Seed,
    /// The ring and the map that every node starts with.
    pub cluster: Cluster,
    /// What nodes go by.
    pub settings: Settings,
    /// How many clients.
    pub clients: usize,
    /// How long an operation may take.
    pub deadline: Duration,
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
    pub twins: Vec<Micros>,
    /// What goes wrong.
    pub faults: Vec<Planned>,
}

/// A ring with its first map.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The ring.
    pub ring: Arc<Ring>,
    /// The map.
    pub first: Arc<FirstMap>,
}

impl Cluster {
    /// Five nodes with so many copies of each key, in as many zones. Rings are made once in a process.
    ///
    /// # Panics
    /// Never: the maps are fixed and make rings.
    #[must_use]
    pub fn of(replication: u8, zones: u64) -> Self {
        static MADE: OnceLock<Vec<((u8, u64), Cluster)>> = OnceLock::new();
        let all = MADE.get_or_init(|| {
            let variants = [(3, 5), (3, 3), (5, 5)];
            variants
                .into_iter()
                .map(|(n, zones)| ((n, zones), make(n, zones)))
                .collect()
        });
        let found = all
            .iter()
            .find(|(variant, _)| *variant == (replication, zones));
        found.map_or_else(|| make(replication, zones), |(_, cluster)| cluster.clone())
    }
}

#[expect(clippy::expect_used, reason = "a fixed map, covered by a test")]
fn make(replication: u8, zones: u64) -> Cluster {
    let empty = ClusterMap {
        cluster: ClusterId(7),
        epoch: Epoch(1),
        token_key: TokenKey([3; 16]),
        leaf_bits: LeafBits::new(8).expect("8 bits are in range"),
        replication,
        members: Vec::new(),
    };
    let newcomer = |index: u64| Newcomer {
        id: NodeId(index + 1),
        name: format!("n{}", index + 1),
        address: format!("n{}:7440", index + 1),
        zone: format!("z{}", index % zones),
        weight: 10,
    };
    let newcomers = (0..NODES as u64).map(newcomer);
    let map = grow(empty, newcomers, 11).expect("the newcomers fit");
    Cluster {
        ring: Arc::new(Ring::new(&map).expect("the map makes a ring")),
        first: Arc::new(FirstMap {
            map,
            merkle_key: MerkleKey([5; 16]),
        }),
    }
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
        let settings = settings(&mut rng, durability);
        let deadline = Duration::from_millis(rng.random_range(400..=1_500));
        let pause = rng.random_range(8_000..=20_000);
        let travel = *pick(&mut rng, &[100, 200, 500, 2_000]);
        let commit = *pick(&mut rng, &[100, 500, 2_000, 8_000]);
        let client_clocks = (0..clients).map(|_| small_error(&mut rng)).collect();
        let node_clocks = (0..NODES).map(|_| small_error(&mut rng)).collect();
        let twins = (0..rng.random_range(0..=3))
            .map(|_| Micros(rng.random_range(STORM)))
            .collect();
        let faults = Gremlin::new(seed, clients, durability).faults();
        Self {
            seed,
            cluster,
            settings,
            clients,
            deadline,
            pause,
            travel,
            commit,
            client_clocks,
            node_clocks,
            twins,
            faults,
        }
    }
}

fn settings(rng: &mut SmallRng, durability: Durability) -> Settings {
    let few = happens(rng, 200);
    Settings {
        limits: Limits {
            max_value_bytes: 1 << 20,
            max_siblings: if happens(rng, 100) { 8 } else { 64 },
            max_record_bytes: 4 << 20,
            max_write_age_ms: 60_000,
            max_clock_drift_ms: 500,
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

/// Whose clocks may be far off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Liars {
    Nodes,
    Clients,
}

/// Who draws the faults.
struct Gremlin {
    rng: SmallRng,
    clients: usize,
    durability: Durability,
    liars: Liars,
}

impl Gremlin {
    fn new(seed: Seed, clients: usize, durability: Durability) -> Self {
        let mut rng = seed.stream("faults", 0);
        let liars = if happens(&mut rng, 500) {
            Liars::Nodes
        } else {
            Liars::Clients
        };
        Self {
            rng,
            clients,
            durability,
            liars,
        }
    }

    fn faults(mut self) -> Vec<Planned> {
        let count = self.rng.random_range(12..=18);
        let mut faults: Vec<Planned> = (0..count).map(|_| self.planned()).collect();
        if self.liars == Liars::Nodes && happens(&mut self.rng, 100) {
            faults.extend(self.dead_battery());
        }
        faults.extend(self.last_ones());
        faults.sort_by_key(|planned| planned.at);
        faults
    }

    /// Faults that hardly anything can keep from being felt: whatever the others did, a run has some.
    fn last_ones(&mut self) -> [Planned; 4] {
        let nodes = 1 << self.node();
        let links = Links::of_nodes(u64::MAX);
        let planned = |(after, lasts, fault)| Planned {
            at: Micros(STORM.end + after),
            lasts,
            fault,
        };
        [
            (50_000, 1_000, Fault::Break { links }),
            (200_000, 100_000, Fault::Kill { nodes }),
            (350_000, 50_000, Fault::PauseNode { node: self.node() }),
            (500_000, 1_000, Fault::Break { links }),
        ]
        .map(planned)
    }

    /// A machine that loses its clock with its power, and starts with it far behind.
    fn dead_battery(&mut self) -> [Planned; 2] {
        let (node, at) = (self.node(), self.rng.random_range(STORM));
        let ms = self.rng.random_range(-3_600_000..-70_000);
        let clock = Fault::NodeClock { node, ms };
        let kill = Fault::Kill { nodes: 1 << node };
        let planned = |(after, lasts, fault)| Planned {
            at: Micros(at + after),
            lasts,
            fault,
        };
        [(10_000, 900_000, clock), (0, 50_000, kill)].map(planned)
    }

    fn planned(&mut self) -> Planned {
        let at = Micros(self.rng.random_range(STORM));
        // Short ones are over before anybody has given up, long ones are noticed by all.
        let longest = *pick(&mut self.rng, &[50_000, 400_000, 2_000_000]);
        let mut lasts = self.rng.random_range(5_000..longest);
        let fault = self.fault(lasts);
        if let Fault::Kill { nodes } | Fault::PowerLoss { nodes } = &fault
            && nodes.count_ones() > 2
        {
            lasts = lasts.min(MOST_DOWN); // nothing can be felt where nobody is
        }
        Planned { at, lasts, fault }
    }

    fn fault(&mut self, lasts: u64) -> Fault {
        let (node, client) = (self.node(), self.client());
        match self.rng.random_range(0..100) {
            0..10 => Fault::Cut {
                links: self.links(),
                only: None,
            },
            10..16 => Fault::Cut {
                links: self.links(),
                only: Some(*pick(&mut self.rng, &[Way::ToNode, Way::ToClient])),
            },
            16..19 => self.swizzle(lasts),
            19..21 => Fault::Unmounted { node },
            21..29 => Fault::Noise {
                loss: *pick(&mut self.rng, &[0, 20, 100, 300]),
                twice: *pick(&mut self.rng, &[20, 100, 500]),
                late: *pick(&mut self.rng, &[20, 100, 300]),
            },
            29..34 => Fault::Clog {
                links: self.links(),
            },
            34..38 => Fault::Slow {
                links: self.links(),
                micros: self.rng.random_range(1_000..300_000),
            },
            38..42 => Fault::Break {
                links: self.links(),
            },
            42..50 => Fault::Kill {
                nodes: self.nodes(),
            },
            50..58 => match self.durability {
                Durability::Fsync => Fault::PowerLoss {
                    nodes: self.nodes(),
                },
                Durability::Buffered => Fault::Kill {
                    nodes: self.nodes(),
                },
            },
            58..61 => Fault::Stop { node },
            61..65 => Fault::PauseNode { node },
            65..68 => Fault::DiskFull { node, brim: false },
            68..70 => Fault::DiskFull { node, brim: true },
            70..74 => Fault::DiskFails {
                node,
                kept: happens(&mut self.rng, 500),
            },
            74..78 => Fault::SlowDisk {
                node,
                micros: self.rng.random_range(5_000..250_000),
            },
            78..82 => Fault::BadSectors {
                node,
                permille: *pick(&mut self.rng, &[50, 300, 1_000]),
            },
            82..87 => Fault::NodeClock {
                node,
                ms: self.clock_error(Liars::Nodes),
            },
            87..92 => Fault::ClientClock {
                client,
                ms: self.clock_error(Liars::Clients),
            },
            92..95 => Fault::ClientCrash { client },
            95..98 => Fault::PauseClient { client },
            _ => Fault::Crowded { client },
        }
    }

    fn node(&mut self) -> usize {
        self.rng.random_range(0..NODES)
    }

    fn client(&mut self) -> usize {
        self.rng.random_range(0..self.clients)
    }

    /// Mostly one node, sometimes several or all.
    fn nodes(&mut self) -> u64 {
        let all = (1 << NODES) - 1;
        match self.rng.random_range(0..10) {
            0..6 => 1 << self.node(),
            6..9 => self.rng.random_range(1..=all),
            _ => all,
        }
    }

    fn links(&mut self) -> Links {
        let clients = match self.rng.random_range(0..3) {
            0 => u64::MAX,
            1 => 1 << self.client(),
            _ => self.rng.random_range(1..1 << self.clients),
        };
        Links {
            clients,
            nodes: self.nodes(),
        }
    }

    fn swizzle(&mut self, lasts: u64) -> Fault {
        let all = self.nodes();
        let mut nodes = Vec::new();
        for node in (0..NODES).filter(|&node| super::faults::has(all, node)) {
            let begin = self.rng.random_range(0..lasts / 2);
            let end = self.rng.random_range(lasts / 2..lasts);
            nodes.push((node, begin, end));
        }
        Fault::Swizzle { nodes }
    }

    /// Off by up to nearly the drift that is allowed, or, for those who lie in this run, by up to an hour.
    fn clock_error(&mut self, whose: Liars) -> i64 {
        if self.liars == whose && happens(&mut self.rng, 400) {
            let most = *pick(&mut self.rng, &[2_000, 60_000, 3_600_000]);
            return self.rng.random_range(-most..=most);
        }
        self.rng.random_range(-480..=480)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_makes_one_plan_and_another_seed_another() {
        let told = |seed| format!("{:?}", Plan::of(seed).faults);
        assert_eq!(told(3), told(3));
        assert_ne!(told(3), told(4));
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
    fn a_node_that_may_lose_buffered_writes_never_loses_power() {
        for plan in (0..300).map(Plan::of) {
            let loses = |planned: &Planned| matches!(planned.fault, Fault::PowerLoss { .. });
            let buffered = plan.settings.durability == Durability::Buffered;
            assert!(!(buffered && plan.faults.iter().any(loses)));
        }
    }
}
