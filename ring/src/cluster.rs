//! The cluster map: members and settings that every node and client holds.
//!
//! ```text
//!   ClusterMap  cluster id, epoch, token key, leaf bits, N
//!     Member    id, name, address, zone, weight, vnodes [leaf, leaf, ...]
//!     Member    ...                                         |
//!                                                           v
//!                        Ring: the owners of each leaf, a pure function of the map
//! ```
//!
//! A map is one link of a chain of ring epochs. Ownership is a pure function of it. Liveness is not in
//! it: that steers routing, never ownership.
//!
//! These are plain values: [`Ring::new`](crate::Ring::new) checks a map as a whole. Left out: how one
//! epoch follows another, since a cluster has one static map for now; and a map's bytes
//! ([`wire::map`](crate::wire::map)).
//!
//! Source: Dynamo (2007), sections 4.8.1 and 4.9, whose membership is explicit too; the chain of epochs
//! in place of its gossiped history is our own.

use core::fmt;
use core::str::FromStr;

use crate::token::{Leaf, LeafBits, TokenKey};

/// Most members of one cluster: so many of the heaviest, at 600 vnodes each, still fit on 2^20 leaves.
pub const MAX_MEMBERS: usize = 1024;
/// Most copies of a key; 3 are ordinary.
pub const MAX_REPLICATION: u8 = 16;
/// Virtual nodes of a member of weight 100, the default weight. Fewer even out the load less; more cost
/// memory and gain nothing.
pub const VNODES: u32 = 150;
/// The weight of an ordinary member; one of weight 200 holds twice as much.
pub const DEFAULT_WEIGHT: u32 = 100;
/// Most weight of one member.
pub const MAX_WEIGHT: u32 = 10_000;
/// Most bytes of a member's name or zone.
pub const MAX_NAME: usize = 64;
/// Most bytes of a member's address: a DNS name and its port.
pub const MAX_ADDRESS: usize = 255;

/// Defines a 64-bit identity that reads and prints as 16 hexadecimal digits.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $digits:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{:0", $digits, "x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                if text.len() != $digits || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(ParseIdError { digits: $digits });
                }
                <$inner>::from_str_radix(text, 16)
                    .map(Self)
                    .map_err(|_not_hex| ParseIdError { digits: $digits })
            }
        }
    };
}

hex_id!(
    /// Names a node for ever: random, made with its certificate, never used again after removal.
    ///
    /// ```
    /// # use quoit_ring::NodeId;
    /// let node: NodeId = "00c0ffee00c0ffee".parse()?;
    /// assert_eq!(node, NodeId(0x00c0_ffee_00c0_ffee));
    /// assert_eq!(node.to_string(), "00c0ffee00c0ffee");
    /// assert!("c0ffee".parse::<NodeId>().is_err(), "all 16 digits, always");
    /// # Ok::<(), quoit_ring::ParseIdError>(())
    /// ```
    NodeId, u64, 16
);
hex_id!(
    /// Names a cluster: random, made by `quoit cluster init`. Reads and prints as 32 hexadecimal digits.
    ClusterId, u128, 32
);

/// A text that is not the hexadecimal form of an identity. Digits may be of either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an identity is exactly {digits} hexadecimal digits")]
pub struct ParseIdError {
    /// How many digits the identity has.
    pub digits: usize,
}

/// A link of the chain of cluster maps; each change of ownership is a new one. The first is 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct Epoch(pub u64);

/// One node of the cluster, as every node and client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its identity, the one in its certificate.
    pub id: NodeId,
    /// Its readable name, unique in the cluster, 1 to [`MAX_NAME`] bytes.
    pub name: String,
    /// `host:port` at which it serves QUIC, at most [`MAX_ADDRESS`] bytes.
    pub address: String,
    /// Its failure domain, at most [`MAX_NAME`] bytes; copies of a key go to distinct zones while there
    /// are enough. All members without a zone share the empty one.
    pub zone: String,
    /// Its share relative to others, 1 to [`MAX_WEIGHT`]; [`DEFAULT_WEIGHT`] is ordinary.
    pub weight: u32,
    /// Where its virtual nodes sit, ascending; each owns the leaves from its predecessor's
    /// position (exclusive) up to its own (inclusive).
    pub vnodes: Vec<Leaf>,
}

/// What everyone in a cluster agrees on in one epoch.
///
/// ```
/// use quoit_ring::placement::{Newcomer, Ring, join};
/// use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
///
/// let mut map = ClusterMap {
///     cluster: ClusterId(0x5eed),
///     epoch: Epoch(1),
///     token_key: TokenKey([7; 16]), // random, in a real cluster
///     leaf_bits: LeafBits::FULL,
///     replication: 3,
///     members: vec![],
/// };
/// let newcomer = Newcomer {
///     id: NodeId(1),
///     name: "n1".into(),
///     address: "10.0.0.1:7440".into(),
///     zone: "a".into(),
///     weight: 100,
/// };
/// join(&mut map, newcomer, 42)?; // gives it its vnodes
/// assert_eq!(Ring::new(&map)?.replication(), 1, "as many copies as members");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterMap {
    /// Which cluster this is the map of.
    pub cluster: ClusterId,
    /// Which link of the chain this is.
    pub epoch: Epoch,
    /// The key of the token hash.
    pub token_key: TokenKey,
    /// How finely the circle is cut. Fixed for a cluster's life.
    pub leaf_bits: LeafBits,
    /// N: how many members own each key, 1 to [`MAX_REPLICATION`]. A cluster of fewer members than N has
    /// as many copies as members.
    pub replication: u8,
    /// All members, ascending by id.
    pub members: Vec<Member>,
}
