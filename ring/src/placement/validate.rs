//! The rules of a cluster map that the rest of the code relies on.
//!
//! A map arrives from a file or from another node, so it is checked as a whole before a ring is built
//! on it: members sorted and within bounds, vnodes sorted, inside the circle, and no two on one leaf.
//! The checks cost one sort of the vnodes. What a map *says* is not judged here: whether its load is
//! even, or whether its addresses answer.
//!
//! ```text
//!   check          each member by itself, then ids ascending, names distinct
//!   check_circle   all vnodes sorted: neighbours on distinct leaves
//! ```
//!
//! Invariant: what passes both, and has a member, makes a ring; building it cannot fail after that.

use super::walk::Vnode;
use crate::cluster::{
    ClusterMap, MAX_ADDRESS, MAX_MEMBERS, MAX_NAME, MAX_REPLICATION, MAX_WEIGHT, Member, NodeId,
};
use crate::token::{Leaf, LeafBits};

/// Why a cluster map makes no ring. Nothing was built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// A ring needs at least one member.
    #[error("the map has no members")]
    NoMembers,
    /// More than [`MAX_MEMBERS`].
    #[error("the map has {found} members, more than {MAX_MEMBERS}")]
    TooManyMembers {
        /// How many it has.
        found: usize,
    },
    /// N is 0 or more than [`MAX_REPLICATION`].
    #[error("replication is {found}, not 1 to {MAX_REPLICATION}")]
    Replication {
        /// The N of the map.
        found: u8,
    },
    /// Members must ascend by id.
    #[error("member {node} stands behind a larger id")]
    MembersNotAscending {
        /// The member out of order.
        node: NodeId,
    },
    /// Two members have one id.
    #[error("two members have the id {node}")]
    DuplicateId {
        /// The id of both.
        node: NodeId,
    },
    /// Two members have one name.
    #[error("two members have the name {name:?}")]
    DuplicateName {
        /// The name of both.
        name: String,
    },
    /// A name is empty or longer than [`MAX_NAME`].
    #[error("the name of member {node} has {bytes} bytes, not 1 to {MAX_NAME}")]
    NameLength {
        /// Whose name it is.
        node: NodeId,
        /// Its length.
        bytes: usize,
    },
    /// An address is empty or longer than [`MAX_ADDRESS`].
    #[error("the address of member {node} has {bytes} bytes, not 1 to {MAX_ADDRESS}")]
    AddressLength {
        /// Whose address it is.
        node: NodeId,
        /// Its length.
        bytes: usize,
    },
    /// A zone is longer than [`MAX_NAME`]; empty is the zone of those that named none.
    #[error("the zone of member {node} has {bytes} bytes, more than {MAX_NAME}")]
    ZoneLength {
        /// Whose zone it is.
        node: NodeId,
        /// Its length.
        bytes: usize,
    },
    /// A weight is 0 or more than [`MAX_WEIGHT`].
    #[error("the weight of member {node} is {weight}, not 1 to {MAX_WEIGHT}")]
    Weight {
        /// Whose weight it is.
        node: NodeId,
        /// The weight.
        weight: u32,
    },
    /// A member without vnodes could never own a key.
    #[error("member {node} has no virtual nodes")]
    NoVnodes {
        /// The member.
        node: NodeId,
    },
    /// A vnode lies outside the circle.
    #[error("a virtual node of member {node} sits on leaf {}, outside the circle", leaf.0)]
    VnodeOutOfRange {
        /// Whose vnode it is.
        node: NodeId,
        /// Its position.
        leaf: Leaf,
    },
    /// A member's vnodes must ascend.
    #[error("the virtual nodes of member {node} do not ascend at leaf {}", leaf.0)]
    VnodesNotAscending {
        /// Whose vnodes they are.
        node: NodeId,
        /// The first position that is not above its predecessor.
        leaf: Leaf,
    },
    /// Two members' vnodes sit on one leaf.
    #[error("members {first} and {second} both have a virtual node on leaf {}", leaf.0)]
    SharedLeaf {
        /// The leaf.
        leaf: Leaf,
        /// The member with the smaller id.
        first: NodeId,
        /// The other.
        second: NodeId,
    },
}

/// Checks all of `map` but its vnodes' distinctness; a map without members passes.
pub(super) fn check(map: &ClusterMap) -> Result<(), RingError> {
    if map.replication == 0 || map.replication > MAX_REPLICATION {
        return Err(RingError::Replication {
            found: map.replication,
        });
    }
    if map.members.len() > MAX_MEMBERS {
        return Err(RingError::TooManyMembers {
            found: map.members.len(),
        });
    }
    for member in &map.members {
        check_member(member)?;
        check_vnodes(member, map.leaf_bits)?;
    }
    check_ids(&map.members)?;
    check_names(&map.members)
}

/// Checks a member's entry, vnodes aside.
pub(super) fn check_member(member: &Member) -> Result<(), RingError> {
    let node = member.id;
    let (name, address, zone) = (member.name.len(), member.address.len(), member.zone.len());
    if name == 0 || name > MAX_NAME {
        return Err(RingError::NameLength { node, bytes: name });
    }
    if address == 0 || address > MAX_ADDRESS {
        return Err(RingError::AddressLength {
            node,
            bytes: address,
        });
    }
    if zone > MAX_NAME {
        return Err(RingError::ZoneLength { node, bytes: zone });
    }
    if member.weight == 0 || member.weight > MAX_WEIGHT {
        return Err(RingError::Weight {
            node,
            weight: member.weight,
        });
    }
    Ok(())
}

fn check_vnodes(member: &Member, bits: LeafBits) -> Result<(), RingError> {
    let node = member.id;
    if member.vnodes.is_empty() {
        return Err(RingError::NoVnodes { node });
    }
    if let Some(&leaf) = member.vnodes.iter().find(|leaf| leaf.0 >= bits.count()) {
        return Err(RingError::VnodeOutOfRange { node, leaf });
    }
    match member.vnodes.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) => Err(RingError::VnodesNotAscending {
            node,
            leaf: pair[1],
        }),
        None => Ok(()),
    }
}

fn check_ids(members: &[Member]) -> Result<(), RingError> {
    for pair in members.windows(2) {
        let node = pair[1].id;
        if pair[0].id == node {
            return Err(RingError::DuplicateId { node });
        }
        if pair[0].id > node {
            return Err(RingError::MembersNotAscending { node });
        }
    }
    Ok(())
}

fn check_names(members: &[Member]) -> Result<(), RingError> {
    let mut names: Vec<&str> = members.iter().map(|m| m.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(RingError::DuplicateName {
            name: pair[0].to_owned(),
        }),
        None => Ok(()),
    }
}

/// Checks that no two of `circle`, sorted by leaf, sit on one leaf.
pub(super) fn check_circle(circle: &[Vnode], members: &[Member]) -> Result<(), RingError> {
    let id = |vnode: &Vnode| members[usize::from(vnode.node)].id;
    match circle.windows(2).find(|pair| pair[0].leaf == pair[1].leaf) {
        Some(pair) => Err(RingError::SharedLeaf {
            leaf: pair[0].leaf,
            first: id(&pair[0]),
            second: id(&pair[1]),
        }),
        None => Ok(()),
    }
}
