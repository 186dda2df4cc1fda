//! A cluster map's bytes, and the file that starts a cluster.
//!
//! ```text
//!   map         version u8 | cluster, epoch, token key (16), leaf bits u8, N u8
//!               member count, then for each: id (8), name, address, zone, weight,
//!                                            vnode count, then for each: leaf
//!   first map   "quoitmap" | version u8 | Merkle key (16) | map | checksum u64
//! ```
//!
//! Numbers are of variable length, texts stand behind their length. A count is held against the bytes that
//! are left before anything is allocated for its list.
//!
//! Clients fetch the map; only nodes get the first map, since it holds the Merkle key. Its checksum, a
//! SipHash-1-3 without a key over all that is before it, detects damage, not forgery. Left out: whether a
//! map makes a ring, which `Ring::new` checks.

use core::hash::Hasher as _;

use bincode::{Decode, Encode};
use bytes::{BufMut as _, BytesMut};
use siphasher::sip::SipHasher13;

use crate::cluster::{ClusterId, ClusterMap, Epoch, MAX_MEMBERS, Member, NodeId};
use crate::merkle::MerkleKey;
use crate::token::{Leaf, LeafBits, TokenKey};
use crate::wire::VERSION;
use crate::wire::codec::{self, DecodeError};

const MAGIC: &[u8; 8] = b"quoitmap";
const CHECKSUM: usize = 8;
/// Most bytes that decoding a head may read: the longest name, address and zone, and some numbers.
const HEAD: usize = 512;
/// Fewest bytes of an encoded member.
const MIN_MEMBER: usize = 13;
/// Most bytes that decoding a leaf may read, fewest that it has.
const LEAF: usize = 4;
const MIN_LEAF: usize = 1;

#[derive(Encode, Decode)]
struct MapHead {
    cluster: ClusterId,
    epoch: Epoch,
    token_key: TokenKey,
    leaf_bits: u8,
    replication: u8,
}

#[derive(Encode, Decode)]
struct MemberHead<Text> {
    id: [u8; 8],
    name: Text,
    address: Text,
    zone: Text,
    weight: u32,
}

/// A map as it travels and is stored. Any map has bytes, valid or not.
///
/// ```
/// # use quoit_ring::wire::map::{decode_map, encode_map};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, TokenKey};
/// # let map = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
/// # };
/// let bytes = encode_map(&map);
/// assert_eq!(decode_map(&bytes), Ok(map));
/// assert!(decode_map(&bytes[1..]).is_err());
/// ```
#[must_use]
pub fn encode_map(map: &ClusterMap) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    put_map(map, &mut out);
    out.into()
}

/// Appends a map without its version.
pub(super) fn put_map(map: &ClusterMap, out: &mut BytesMut) {
    let head = MapHead {
        cluster: map.cluster,
        epoch: map.epoch,
        token_key: map.token_key,
        leaf_bits: map.leaf_bits.bits(),
        replication: map.replication,
    };
    codec::put(&head, out);
    put_members(&map.members, out);
}

/// Appends a list of members.
pub(super) fn put_members(members: &[Member], out: &mut BytesMut) {
    codec::put(&members.len(), out);
    for member in members {
        put_member(member, out);
    }
}

fn put_member(member: &Member, out: &mut BytesMut) {
    let head = MemberHead {
        id: member.id.0.to_le_bytes(),
        name: member.name.as_str(),
        address: member.address.as_str(),
        zone: member.zone.as_str(),
        weight: member.weight,
    };
    codec::put(&head, out);
    codec::put(&member.vnodes, out);
}

/// Reads a map. Whether it makes a ring is for [`Ring::new`](crate::placement::Ring::new) to say. A text
/// may be longer than a member may have it, though never longer than 512 bytes.
///
/// # Errors
/// [`DecodeError`] unless `bytes` are exactly one map of at most [`MAX_MEMBERS`] members. Nothing is kept.
pub fn decode_map(bytes: &[u8]) -> Result<ClusterMap, DecodeError> {
    let mut rest = codec::versioned(bytes, "an empty map")?;
    let map = take_map(&mut rest)?;
    codec::end(rest)?;
    Ok(map)
}

/// Takes a map without its version off the front of `rest`.
pub(super) fn take_map(rest: &mut &[u8]) -> Result<ClusterMap, DecodeError> {
    let head = codec::take::<MapHead, HEAD>(rest)?;
    let leaf_bits = LeafBits::new(head.leaf_bits);
    Ok(ClusterMap {
        cluster: head.cluster,
        epoch: head.epoch,
        token_key: head.token_key,
        leaf_bits: leaf_bits.ok_or(DecodeError::Malformed("an impossible cut of the circle"))?,
        replication: head.replication,
        members: take_members(rest)?,
    })
}

/// Takes a list of at most [`MAX_MEMBERS`] members off the front of `rest`.
pub(super) fn take_members(rest: &mut &[u8]) -> Result<Vec<Member>, DecodeError> {
    let count = codec::count(rest, MIN_MEMBER)?;
    if count > MAX_MEMBERS {
        return Err(DecodeError::Malformed(
            "more members than a cluster may have",
        ));
    }
    let mut members = Vec::with_capacity(count);
    for _ in 0..count {
        let head = codec::take::<MemberHead<String>, HEAD>(rest)?;
        members.push(Member {
            id: NodeId(u64::from_le_bytes(head.id)),
            name: head.name,
            address: head.address,
            zone: head.zone,
            weight: head.weight,
            vnodes: take_vnodes(rest)?,
        });
    }
    Ok(members)
}

fn take_vnodes(rest: &mut &[u8]) -> Result<Vec<Leaf>, DecodeError> {
    let count = codec::count(rest, MIN_LEAF)?;
    let mut vnodes = Vec::with_capacity(count);
    for _ in 0..count {
        vnodes.push(codec::take::<Leaf, LEAF>(rest)?);
    }
    Ok(vnodes)
}

/// What `quoit cluster init` writes and each node takes once: the first map, and the secret of the nodes.
///
/// Its holder can craft two data sets with equal sums: give it to nodes, never to clients.
///
/// ```
/// # use quoit_ring::wire::{DecodeError, FirstMap};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, MerkleKey, TokenKey};
/// # let map = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
/// # };
/// let first = FirstMap { map, merkle_key: MerkleKey([9; 16]) };
/// let mut file = first.to_bytes();
/// assert_eq!(FirstMap::from_bytes(&file).as_ref(), Ok(&first));
/// file[20] ^= 1;
/// assert_eq!(FirstMap::from_bytes(&file), Err(DecodeError::Checksum));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstMap {
    /// The map of epoch 1.
    pub map: ClusterMap,
    /// The key of the Merkle sums.
    pub merkle_key: MerkleKey,
}

impl FirstMap {
    /// The file's bytes, magic and checksum included.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        out.extend_from_slice(&self.merkle_key.0);
        out.extend_from_slice(&encode_map(&self.map));
        let sum = checksum(&out);
        out.extend_from_slice(&sum);
        out
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// [`DecodeError`] if they are not a first map, of another version, or damaged. Nothing is kept.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let short = DecodeError::Malformed("not a cluster map file");
        let inner = bytes.strip_prefix(MAGIC).ok_or_else(|| short.clone())?;
        codec::versioned(inner, "not a cluster map file")?;

        // The whole file first: nothing of a damaged one is parsed.
        let (content, sum) = bytes
            .split_last_chunk::<CHECKSUM>()
            .ok_or_else(|| short.clone())?;
        if checksum(content) != *sum {
            return Err(DecodeError::Checksum);
        }

        let rest = content
            .get(MAGIC.len() + 1..)
            .ok_or_else(|| short.clone())?;
        let (key, map) = rest.split_first_chunk::<16>().ok_or(short)?;
        Ok(Self {
            map: decode_map(map)?,
            merkle_key: MerkleKey(*key),
        })
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first() -> FirstMap {
        let member = Member {
            id: NodeId(1),
            name: "n1".into(),
            address: "127.0.0.1:7440".into(),
            zone: "a".into(),
            weight: 100,
            vnodes: vec![Leaf(1), Leaf(9)],
        };
        let map = ClusterMap {
            cluster: ClusterId(7),
            epoch: Epoch(1),
            token_key: TokenKey([2; 16]),
            leaf_bits: LeafBits::FULL,
            replication: 3,
            members: vec![member],
        };
        FirstMap {
            map,
            merkle_key: MerkleKey([3; 16]),
        }
    }

    #[test]
    fn a_first_map_comes_back_whole() {
        assert_eq!(FirstMap::from_bytes(&first().to_bytes()), Ok(first()));
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut map = first().map;
        map.members.clear();
        let mut bytes = BytesMut::from(&encode_map(&map)[..]);
        bytes.truncate(bytes.len() - 1);
        codec::put(&(1_u64 << 40), &mut bytes);
        let error = decode_map(&bytes).unwrap_err();
        assert_eq!(
            error,
            DecodeError::Malformed("a list longer than its bytes")
        );
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_refused() {
        let bytes = first().to_bytes();
        for end in 0..bytes.len() {
            assert!(FirstMap::from_bytes(&bytes[..end]).is_err(), "cut at {end}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(FirstMap::from_bytes(&damaged).is_err(), "bit {bit}");
        }
    }
}
