//! The nemesis: draws which faults happen, when, and for how long.
//!
//! ```text
//!   0 s   0.1 ............... 2.5        2.55   2.7    2.85        3.0
//!   |     |  12 to 18 faults  |          break  kill   pause       break
//!   start '-- any kind, any --'          all    a node a node      all
//! ```
//!
//! The last four come when most of the others are over, so that they are almost surely felt:
//! a run whose faults all missed shows nothing. Only nodes or only clients have clocks that are far off in one
//! run, see [`plan`](super).

use quoit_ring::Moment;
use quoit_ring::wire::Durability;
use rand::Rng as _;
use rand::rngs::SmallRng;

use super::{NODES, STORM, pick};
use crate::sim::chance::{Seed, happens};
use crate::sim::faults::{Fault, Links, Planned, Way, has};

/// How long most of the nodes may be down together, in microseconds.
const MOST_DOWN: u64 = 200_000;

/// How long a cut lasts at least that every client notices, in microseconds.
const SILENT: u64 = 1_400_000;

/// Whose clocks may be far off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Liars {
    Nodes,
    Clients,
}

/// Draws the faults.
pub(super) struct Nemesis {
    rng: SmallRng,
    clients: usize,
    durability: Durability,
    liars: Liars,
    victim: Option<usize>,
}

impl Nemesis {
    pub(super) fn new(seed: Seed, clients: usize, durability: Durability) -> Self {
        let mut rng = seed.stream("faults", 0);
        let liars = if happens(&mut rng, 500) {
            Liars::Nodes
        } else {
            Liars::Clients
        };
        let victim = happens(&mut rng, 150).then(|| rng.random_range(0..NODES));
        Self {
            rng,
            clients,
            durability,
            liars,
            victim,
        }
    }

    /// The one node that everything happens to, if it is that sort of run.
    pub(super) const fn victim(&self) -> Option<usize> {
        self.victim
    }

    pub(super) fn faults(mut self) -> Vec<Planned> {
        let count = self.rng.random_range(12..=18);
        if let Some(node) = self.victim {
            let mut faults: Vec<Planned> = (0..count).map(|_| self.planned_for(node)).collect();
            faults.extend(last_ones_for(node));
            faults.sort_by_key(|planned| planned.at);
            return faults;
        }

        let mut faults: Vec<Planned> = (0..count).map(|_| self.planned()).collect();
        if self.liars == Liars::Nodes && happens(&mut self.rng, 100) {
            faults.extend(self.dead_battery());
        }

        if self.liars == Liars::Clients && happens(&mut self.rng, 400) {
            faults.push(self.slow_client());
        }
        faults.extend(self.last_ones());
        faults.sort_by_key(|planned| planned.at);
        faults
    }

    /// A client whose clock is seconds to a minute behind, or ahead, for nearly all of the run.
    fn slow_client(&mut self) -> Planned {
        let most = *pick(&mut self.rng, &[3_000, 60_000]);
        let behind = self.rng.random_range(600..=most);
        let is_ahead = happens(&mut self.rng, 200);
        Planned {
            at: Moment(STORM.start + self.rng.random_range(0..200_000)),
            lasts: self.rng.random_range(1_500_000..2_300_000),
            fault: Fault::ClientClock {
                client: self.client(),
                ms: if is_ahead { behind } else { -behind },
            },
        }
    }

    /// Faults that hardly anything can keep from being felt: whatever the others did, a run has some.
    fn last_ones(&mut self) -> [Planned; 4] {
        let nodes = 1 << self.node();
        let links = Links::of_nodes(u64::MAX);
        let planned = |(after, lasts, fault)| Planned {
            at: Moment(STORM.end + after),
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
            at: Moment(at + after),
            lasts,
            fault,
        };
        [(10_000, 900_000, clock), (0, 50_000, kill)].map(planned)
    }

    /// Anything that can happen to one node and the links to it.
    fn planned_for(&mut self, node: usize) -> Planned {
        let at = Moment(self.rng.random_range(STORM));
        let mut lasts = self.rng.random_range(5_000..1_500_000);
        let links = Links::of_nodes(1 << node);
        let nodes = 1 << node;
        let kept = happens(&mut self.rng, 500);
        let fault = match self.rng.random_range(0..13) {
            0 => Fault::Cut { links, only: None },
            1 => Fault::Cut {
                links,
                only: Some(*pick(&mut self.rng, &[Way::ToNode, Way::ToClient])),
            },
            2 => Fault::Clog { links },
            3 => Fault::Slow {
                links,
                micros: self.rng.random_range(1_000..300_000),
            },
            4 => Fault::Break { links },
            5 | 6 => Fault::Kill { nodes },
            7 => Fault::Stop { node },
            8 => Fault::PauseNode { node },
            9 => Fault::DiskFull { node, brim: kept },
            10 => Fault::DiskFails { node, kept },
            11 => Fault::SlowDisk {
                node,
                micros: self.rng.random_range(5_000..250_000),
            },
            _ => Fault::BadSectors {
                node,
                permille: *pick(&mut self.rng, &[300, 1_000]),
            },
        };
        // What a shorter cut swallows, QUIC sends again when it is over; a longer one breaks the connection.
        if let Fault::Cut { .. } = fault {
            lasts = self.rng.random_range(SILENT..SILENT + 500_000);
        }

        Planned { at, lasts, fault }
    }

    fn planned(&mut self) -> Planned {
        let at = Moment(self.rng.random_range(STORM));
        // Short ones are over before anybody has given up, long ones are noticed by all.
        let longest = *pick(&mut self.rng, &[50_000, 400_000, 2_000_000]);
        let mut lasts = self.rng.random_range(5_000..longest);
        let fault = self.fault(lasts);
        if let Fault::Kill { nodes } | Fault::PowerLoss { nodes } = &fault
            && nodes.count_ones() > 2
        {
            lasts = lasts.min(MOST_DOWN); // nothing can be felt where every node is down
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
                Durability::Buffered => Fault::PowerLoss { nodes: 1 << node },
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
        for node in (0..NODES).filter(|&node| has(all, node)) {
            let begin = self.rng.random_range(0..lasts / 2);
            let end = self.rng.random_range(lasts / 2..lasts);
            nodes.push((node, begin, end));
        }
        Fault::Swizzle { nodes }
    }

    /// Off by up to nearly the drift that is allowed, or, for those with a wrong clock in this run, by up to an hour.
    fn clock_error(&mut self, whose: Liars) -> i64 {
        if self.liars == whose && happens(&mut self.rng, 400) {
            let most = *pick(&mut self.rng, &[2_000, 60_000, 3_600_000]);
            return self.rng.random_range(-most..=most);
        }
        self.rng.random_range(-480..=480)
    }
}

/// As [`Nemesis::last_ones`], for the one node that everything happens to, once the rest is over for certain.
fn last_ones_for(node: usize) -> [Planned; 5] {
    let nodes = 1 << node;
    let links = Links::of_nodes(nodes);
    let planned = |(after, lasts, fault)| Planned {
        at: Moment(STORM.end + 3_000_000 + after),
        lasts,
        fault,
    };
    [
        (0, 1_000, Fault::Break { links }),
        (300_000, 50_000, Fault::Kill { nodes }),
        (1_500_000, 1_000, Fault::Break { links }),
        (1_800_000, 50_000, Fault::PauseNode { node }),
        (2_000_000, 1_000, Fault::Break { links }),
    ]
    .map(planned)
}
