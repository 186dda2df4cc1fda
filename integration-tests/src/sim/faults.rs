//! What can go wrong, and when: a list made beforehand from the seed.
//!
//! ```text
//!   plan   | kill n2 -------|   | cut c0,c1 x n3 ----|
//!                | clock of n4 +400 ms --------------------|        begin, and end unless it is over at once
//! ```
//!
//! The list is data, so that a failing run can be tried again with fewer of them. A fault counts as fired only
//! if something felt it: a cut that no message ran into, or the crash of a node that was down, did nothing.

use std::fmt;

use quoit_ring::Moment;

/// The number of the first node among clients: a node that sends to another one.
pub const PEERS: usize = 1 << 14;

/// Some of the clients and some of the nodes, by number, as bits. Clients beyond the 64th are in no set. What
/// happens between some nodes and all clients happens between them and other nodes, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Links {
    /// Clients.
    pub clients: u64,
    /// Nodes.
    pub nodes: u64,
}

impl Links {
    /// Every client, with these nodes.
    #[must_use]
    pub const fn of_nodes(nodes: u64) -> Self {
        Self {
            clients: u64::MAX,
            nodes,
        }
    }

    /// Whether the way between the two is among them.
    #[must_use]
    pub fn contains(&self, client: usize, node: usize) -> bool {
        match client.checked_sub(PEERS) {
            None => has(self.clients, client) && has(self.nodes, node),
            Some(peer) => {
                self.clients == u64::MAX && (has(self.nodes, peer) || has(self.nodes, node))
            }
        }
    }
}

/// Whether number `index` is in the set.
#[must_use]
pub fn has(set: u64, index: usize) -> bool {
    u32::try_from(index)
        .ok()
        .and_then(|index| set.checked_shr(index))
        .is_some_and(|bits| bits & 1 == 1)
}

/// Which way messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// From client to node.
    ToNode,
    /// From node to client.
    ToClient,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fault {
    /// No message passes, in one direction or (`None`) in both.
    Cut {
        /// The client and the node.
        links: Links,
        /// In which direction only.
        only: Option<Way>,
    },
    /// Nodes are cut off one after the other and come back in another order.
    Swizzle {
        /// Each node with its begin and end, in microseconds after the fault's begin.
        nodes: Vec<(usize, u64, u64)>,
    },
    /// Messages are lost, come twice or late, each with a probability in 1,000.
    Noise {
        /// Lost.
        loss: u32,
        /// Twice.
        twice: u32,
        /// Late, by up to 100 ms, behind others that were sent after them.
        late: u32,
    },
    /// Messages wait at a clogged link and come all at once in the end.
    Clog {
        /// The client and the node.
        links: Links,
    },
    /// Messages take longer by so many microseconds.
    Slow {
        /// The client and the node.
        links: Links,
        /// By how much.
        micros: u64,
    },
    /// Connections break and may be made again at once.
    Break {
        /// The client and the node.
        links: Links,
    },
    /// The processes of these nodes die; the system keeps what they wrote.
    Kill {
        /// Which.
        nodes: u64,
    },
    /// These nodes lose power: what was not synced may be lost.
    PowerLoss {
        /// Which.
        nodes: u64,
    },
    /// A node is stopped in order.
    Stop {
        /// Which.
        node: usize,
    },
    /// A node stands still, then goes on as if nothing had been.
    PauseNode {
        /// Which.
        node: usize,
    },
    /// A node's disk is full, which the node notices in time or (`brim`) in the middle of one.
    DiskFull {
        /// Which.
        node: usize,
        /// Whether it is noticed too late.
        brim: bool,
    },
    /// A node's next commit fails; the batch is on the disk or not.
    DiskFails {
        /// Which.
        node: usize,
        /// Whether it is on the disk.
        kept: bool,
    },
    /// A node's commits take longer by so many microseconds.
    SlowDisk {
        /// Which.
        node: usize,
        /// By how much.
        micros: u64,
    },
    /// Some of a node's records cannot be read, so many in 1,000.
    BadSectors {
        /// Which.
        node: usize,
        /// How many in 1,000.
        permille: u32,
    },
    /// A node goes down and finds an empty disk in place of its own until it is over, as when a volume was not mounted:
    /// identity and store are gone at once, and now and then the store alone.
    Unmounted {
        /// Which.
        node: usize,
    },
    /// A node that is up loses its disk for ever, and never starts again. An operator writes it off some time later.
    LostDisk {
        /// Which.
        node: usize,
    },
    /// A node's wall clock is off by so many milliseconds.
    NodeClock {
        /// Which.
        node: usize,
        /// By how much.
        ms: i64,
    },
    /// A client's wall clock is off by so many milliseconds.
    ClientClock {
        /// Which.
        client: usize,
        /// By how much.
        ms: i64,
    },
    /// A client's process dies and comes back as a new one.
    ClientCrash {
        /// Which.
        client: usize,
    },
    /// A client stands still, then goes on as if nothing had been.
    PauseClient {
        /// Which.
        client: usize,
    },
    /// A client has no permits for repairs.
    Crowded {
        /// Which.
        client: usize,
    },
    /// A client sends repairs that no honest one would, of a key of their own, so that its records reach their bounds.
    Overfill {
        /// Which.
        client: usize,
    },
}

impl Fault {
    /// Its kind, for counting.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Cut { only: None, .. } => "cut",
            Self::Cut { only: Some(_), .. } => "one-way cut",
            Self::Swizzle { .. } => "swizzle",
            Self::Noise { .. } => "noise",
            Self::Clog { .. } => "clog",
            Self::Slow { .. } => "slow link",
            Self::Break { .. } => "broken connection",
            Self::Kill { .. } => "kill",
            Self::PowerLoss { .. } => "power loss",
            Self::Stop { .. } => "stop",
            Self::PauseNode { .. } => "paused node",
            Self::DiskFull { brim: false, .. } => "full disk",
            Self::DiskFull { brim: true, .. } => "disk full in a commit",
            Self::DiskFails { .. } => "failed commit",
            Self::SlowDisk { .. } => "slow disk",
            Self::BadSectors { .. } => "bad sectors",
            Self::Unmounted { .. } => "disk not mounted",
            Self::LostDisk { .. } => "lost disk",
            Self::NodeClock { .. } => "node clock",
            Self::ClientClock { .. } => "client clock",
            Self::ClientCrash { .. } => "client crash",
            Self::PauseClient { .. } => "paused client",
            Self::Crowded { .. } => "crowded client",
            Self::Overfill { .. } => "overfilling client",
        }
    }

    /// Every kind there is.
    pub const KINDS: [&'static str; 24] = [
        "cut",
        "one-way cut",
        "swizzle",
        "noise",
        "clog",
        "slow link",
        "broken connection",
        "kill",
        "power loss",
        "stop",
        "paused node",
        "full disk",
        "disk full in a commit",
        "failed commit",
        "slow disk",
        "bad sectors",
        "disk not mounted",
        "lost disk",
        "node clock",
        "client clock",
        "client crash",
        "paused client",
        "crowded client",
        "overfilling client",
    ];
}

/// A fault with its time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Planned {
    /// When it begins.
    pub at: Moment,
    /// How long it lasts, in microseconds.
    pub lasts: u64,
    /// What it is.
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.lasts / 1_000;
        write!(f, "{} +{millis} ms {}", self.at, Described(&self.fault))
    }
}

struct Described<'a>(&'a Fault);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.kind())?;
        match self.0 {
            Fault::Cut { links, only } => match only {
                None => write!(f, " {links}"),
                Some(Way::ToNode) => write!(f, " {links}, towards nodes"),
                Some(Way::ToClient) => write!(f, " {links}, towards clients"),
            },
            Fault::Clog { links } | Fault::Break { links } => write!(f, " {links}"),
            Fault::Slow { links, micros } => write!(f, " {links} by {micros} us"),
            Fault::Swizzle { nodes } => {
                for (node, begin, end) in nodes {
                    write!(f, " n{} {}-{} ms", node + 1, begin / 1_000, end / 1_000)?;
                }
                Ok(())
            }
            Fault::Noise { loss, twice, late } => {
                write!(f, ": of 1,000 {loss} lost, {twice} twice, {late} late")
            }
            Fault::Kill { nodes } | Fault::PowerLoss { nodes } => {
                write!(f, " {}", Numbers('n', *nodes))
            }
            Fault::Stop { node }
            | Fault::PauseNode { node }
            | Fault::Unmounted { node }
            | Fault::LostDisk { node }
            | Fault::DiskFull { node, .. } => write!(f, " n{}", node + 1),
            Fault::DiskFails { node, kept } => {
                let fate = if *kept { "kept" } else { "lost" };
                write!(f, " n{}, batch {fate}", node + 1)
            }
            Fault::SlowDisk { node, micros } => write!(f, " n{} by {micros} us", node + 1),
            Fault::BadSectors { node, permille } => {
                write!(f, " n{}, {permille} of 1,000", node + 1)
            }
            Fault::NodeClock { node, ms } => write!(f, " n{} by {ms} ms", node + 1),
            Fault::ClientClock { client, ms } => write!(f, " c{client} by {ms} ms"),
            Fault::ClientCrash { client }
            | Fault::PauseClient { client }
            | Fault::Crowded { client }
            | Fault::Overfill { client } => write!(f, " c{client}"),
        }
    }
}

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (clients, nodes) = (Numbers('c', self.clients), Numbers('n', self.nodes));
        write!(f, "{clients} x {nodes}")
    }
}

/// A set as people write it; nodes are counted from 1 as their ids are.
struct Numbers(char, u64);

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1 == u64::MAX {
            return write!(f, "all");
        }
        let first = usize::from(self.0 == 'n');
        let mut comma = "";
        for index in (0..64).filter(|&index| has(self.1, index)) {
            write!(f, "{comma}{}{}", self.0, index + first)?;
            comma = ",";
        }
        Ok(())
    }
}
