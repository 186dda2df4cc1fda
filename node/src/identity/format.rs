//! The bytes of `DIR/identity`.
//!
//! ```text
//!   0  magic "quoit-id"        8
//!   8  version                 1
//!   9  state of the last run    1   0 running, 1 stopped in order, 2 not initialised to the end, 3 removed
//!  10  cluster id             16
//!  26  node id                 8   all integers little-endian
//!  34  disk id                16
//!  50  reset key              64
//! 114  connection-id key       8
//! 122  runs                    8   how often a node has begun to run on the directory
//! 130  boot id                16   of the machine when that run began; 0 if it was unknown
//! 146  durability              1   of that run: 0 fsync, 1 buffered
//! 147  SHA-256 of 0..147      32
//! ```
//!
//! A file is exactly these 179 bytes. The version is checked first, to distinguish a file of a later version from
//! a damaged one.

use quoit_ring::wire::Durability;
use quoit_ring::{ClusterId, NodeId};
use ring::digest::{SHA256, digest};

use super::last_run::LastRun;
use super::owner::{Identity, Secrets};
use crate::boot::BootId;

const MAGIC: &[u8; 8] = b"quoit-id";
/// The version that this program writes and the newest it reads.
pub(super) const VERSION: u8 = 3;
const CONTENT: usize = 147;
/// The length of the file.
pub(super) const LENGTH: usize = CONTENT + 32;

/// What is wrong with an identity's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Not an identity, or changed since it was written.
    Damaged,
    /// Of a later version.
    Newer(u8),
}

/// The state of the last run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// A node is running, or ended without a stop.
    Running = 0,
    /// The last node stopped in order, or none has run since the directory was initialised.
    Clean = 1,
    /// The store is not complete yet: no node has run.
    Incomplete = 2,
    /// The node was removed from its cluster: none runs here any more.
    Removed = 3,
}

impl Left {
    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Running),
            1 => Some(Self::Clean),
            2 => Some(Self::Incomplete),
            3 => Some(Self::Removed),
            _ => None,
        }
    }
}

/// The content of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) identity: Identity,
    pub(super) secrets: Secrets,
    pub(super) last: LastRun,
    pub(super) runs: u64,
}

pub(super) fn encode(content: &Content) -> Vec<u8> {
    let Content {
        identity,
        secrets,
        last,
        runs,
    } = content;
    let mut out = Vec::with_capacity(LENGTH);
    out.extend_from_slice(MAGIC);
    out.push(VERSION);
    out.push(last.left as u8);
    out.extend_from_slice(&identity.cluster.0.to_le_bytes());
    out.extend_from_slice(&identity.node.0.to_le_bytes());
    out.extend_from_slice(&identity.disk.to_le_bytes());
    out.extend_from_slice(&secrets.reset_key);
    out.extend_from_slice(&secrets.connection_id_key.to_le_bytes());
    out.extend_from_slice(&runs.to_le_bytes());
    let boot = last.boot.map_or(0, |BootId(id)| id);
    out.extend_from_slice(&boot.to_le_bytes());
    out.push(match last.durability {
        Durability::Fsync => 0,
        Durability::Buffered => 1,
    });

    debug_assert_eq!(out.len(), CONTENT, "the layout in the header");
    let sum = digest(&SHA256, &out);
    out.extend_from_slice(sum.as_ref());
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<Content, Flaw> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Flaw::Damaged)?;
    match rest.first() {
        Some(&VERSION) => {}
        Some(&version) if version > VERSION => return Err(Flaw::Newer(version)),
        Some(_) | None => return Err(Flaw::Damaged),
    }
    if bytes.len() != LENGTH {
        return Err(Flaw::Damaged);
    }
    let (content, sum) = bytes.split_at_checked(CONTENT).ok_or(Flaw::Damaged)?;
    if digest(&SHA256, content).as_ref() != sum {
        return Err(Flaw::Damaged);
    }
    decode_fields(rest).ok_or(Flaw::Damaged)
}

/// Reads the fields from the version on.
fn decode_fields(mut rest: &[u8]) -> Option<Content> {
    let [_version, left] = take(&mut rest)?;
    let identity = Identity {
        cluster: ClusterId(u128::from_le_bytes(take(&mut rest)?)),
        node: NodeId(u64::from_le_bytes(take(&mut rest)?)),
        disk: u128::from_le_bytes(take(&mut rest)?),
    };
    let secrets = Secrets {
        reset_key: take(&mut rest)?,
        connection_id_key: u64::from_le_bytes(take(&mut rest)?),
    };
    let runs = u64::from_le_bytes(take(&mut rest)?);
    let boot = u128::from_le_bytes(take(&mut rest)?);
    let last = LastRun {
        left: Left::from_byte(left)?,
        durability: match take(&mut rest)? {
            [0] => Durability::Fsync,
            [1] => Durability::Buffered,
            _ => return None,
        },
        boot: (boot != 0).then_some(BootId(boot)),
    };
    Some(Content {
        identity,
        secrets,
        last,
        runs,
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(seed: u8, left: Left) -> Content {
        let identity = Identity {
            cluster: ClusterId(u128::from_le_bytes([seed; 16])),
            node: NodeId(u64::from_le_bytes([seed ^ 1; 8])),
            disk: u128::from_le_bytes([seed ^ 2; 16]),
        };
        let secrets = Secrets {
            reset_key: [seed ^ 3; 64],
            connection_id_key: u64::from_le_bytes([seed ^ 4; 8]),
        };
        let last = LastRun {
            left,
            durability: [Durability::Fsync, Durability::Buffered][usize::from(seed % 2)],
            boot: (!seed.is_multiple_of(3))
                .then_some(BootId(u128::from_le_bytes([seed ^ 5 | 1; 16]))),
        };
        Content {
            identity,
            secrets,
            last,
            runs: u64::from(seed) << 40 | 5,
        }
    }

    #[test]
    fn an_identity_is_cut_off_nowhere_unnoticed() {
        let bytes = encode(&content(7, Left::Clean));
        assert_eq!(bytes.len(), LENGTH);
        for end in 0..LENGTH {
            assert_eq!(decode(&bytes[..end]), Err(Flaw::Damaged), "{end} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(decode(&longer), Err(Flaw::Damaged));
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed() {
        let bytes = encode(&content(7, Left::Clean));
        for bit in 0..LENGTH * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let flaw = decode(&flipped).expect_err("a flipped bit was accepted");
            // A changed version byte reads as a later version: refused all the same.
            let expected = if bit / 8 == MAGIC.len() && flipped[MAGIC.len()] > VERSION {
                Flaw::Newer(flipped[MAGIC.len()])
            } else {
                Flaw::Damaged
            };
            assert_eq!(flaw, expected, "bit {bit}");
        }
    }

    #[test]
    fn a_later_version_is_recognized_whatever_its_length() {
        for length in [9, 10, 400] {
            let mut bytes = encode(&content(7, Left::Clean));
            bytes.resize(length, 0);
            bytes[MAGIC.len()] = VERSION + 1;
            assert_eq!(decode(&bytes), Err(Flaw::Newer(VERSION + 1)));
        }
    }

    proptest! {
        #[test]
        fn an_identity_comes_back_whole(seed: u8, left in 0_u8..3) {
            let content = content(seed, Left::from_byte(left).unwrap());
            prop_assert_eq!(decode(&encode(&content)), Ok(content));
        }

        #[test]
        fn junk_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
