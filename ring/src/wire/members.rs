//! What a node sees of the other members: who is alive, and what each says of itself.
//!
//! ```text
//!   isolated u8 | entries, in the order of their ids, at most MAX_MEMBERS
//!   entry       length u16 | id, state, heard?, silence, incarnation, heartbeat, facts?     bincode
//!   facts       version, epoch, disk, free bytes, oldest hint, address
//! ```
//!
//! For operators, and for what routes by it. Nothing that must be right is decided by it: two nodes may see a third one
//! differently. Invariant: an entry is bounded, and nothing is allocated for entries that have not come. Left out: how a node
//! comes to see it, which is gossip's.

use bincode::{Decode, Encode};
use bytes::{BufMut as _, Bytes, BytesMut};

use crate::cluster::{Epoch, MAX_ADDRESS, MAX_MEMBERS, NodeId};
use crate::wire::codec::{self, DecodeError};

/// Most bytes of an entry: its numbers, a version and an address.
const MAX_ENTRY: usize = 512;
/// Most bytes of a version.
const MAX_VERSION: usize = 64;

/// Whether a member is there, as another one sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum MemberState {
    /// It is heard of, or was not yet silent for long.
    Alive,
    /// It is silent, and did not answer probes.
    Suspect,
    /// It was silent for so long that somebody should look.
    Failed,
}

impl MemberState {
    /// Its name, for people and programs: it never changes.
    ///
    /// ```
    /// # use quoit_ring::wire::MemberState;
    /// assert_eq!(MemberState::Suspect.name(), "suspect");
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Failed => "failed",
        }
    }
}

/// Which writes a member's disk has space for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Encode, Decode)]
pub enum DiskLevel {
    /// None at all: the engine is left alone.
    Full,
    /// Those that remove something, out of the reserve.
    Reserve,
    /// All but hints.
    Low,
    /// All.
    #[default]
    Ample,
}

impl DiskLevel {
    /// Its name, for people and programs: it never changes.
    ///
    /// ```
    /// # use quoit_ring::wire::DiskLevel;
    /// assert_eq!(DiskLevel::default().name(), "ample");
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Reserve => "reserve",
            Self::Low => "low",
            Self::Ample => "ample",
        }
    }
}

/// What one node sees of the others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MembersSeen {
    /// Whether it hears fewer than a majority of the members, itself included: then it is likely to be cut off itself, and
    /// what it says of others is what it knew before.
    pub is_isolated: bool,
    /// The others, ascending by id.
    pub members: Vec<MemberSeen>,
}

/// A member, as another one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MemberSeen {
    /// Its id.
    pub node: NodeId,
    /// Whether it is there.
    pub state: MemberState,
    /// Whether it was ever heard of since the other one started. Until then it counts as alive.
    pub was_heard: bool,
    /// Milliseconds in which nothing was heard of it, without those in which the other one slept or was isolated.
    pub silence_ms: u64,
    /// Which of its lives this is.
    pub incarnation: u64,
    /// How far it has come in it.
    pub heartbeat: u32,
    /// What it says of itself, or said in its last life; `None` until that is known.
    pub facts: Option<MemberFacts>,
}

/// What a member says of itself, as of when it last changed in more than free bytes and the age of hints, or a minute ago.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MemberFacts {
    /// The version of its build, at most 64 bytes.
    pub version: String,
    /// The newest epoch of the ring that it holds.
    pub epoch: Epoch,
    /// Which writes its disk has space for.
    pub disk: DiskLevel,
    /// Bytes free on its disk; 0 if it does not know.
    pub free_bytes: u64,
    /// Seconds for which it has kept hints; `None` if it keeps none.
    pub oldest_hint_s: Option<u32>,
    /// Where it serves, if the ring's address is wrong, at most [`MAX_ADDRESS`] bytes.
    pub address: Option<String>,
}

impl MemberSeen {
    fn is_within_bounds(&self) -> bool {
        self.facts.as_ref().is_none_or(|facts| {
            let address = facts.address.as_deref().unwrap_or_default();
            facts.version.len() <= MAX_VERSION && address.len() <= MAX_ADDRESS
        })
    }
}

/// The bytes of what a node sees.
pub(super) fn encode_members(seen: &MembersSeen) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(u8::from(seen.is_isolated));
    let mut entry = BytesMut::new();
    for member in &seen.members {
        debug_assert!(member.is_within_bounds(), "as the node's own bounds are");
        entry.clear();
        codec::put(member, &mut entry);
        out.put_u16_le(u16::try_from(entry.len()).unwrap_or(u16::MAX));
        out.put_slice(&entry);
    }
    out.freeze()
}

/// Reads them.
///
/// # Errors
/// [`DecodeError`] if they are something else.
pub(super) fn decode_members(bytes: &[u8]) -> Result<MembersSeen, DecodeError> {
    let is_isolated = match bytes.first() {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(DecodeError::Malformed("neither isolated nor not")),
    };
    let mut rest = &bytes[1..];
    let mut members = Vec::new();
    while !rest.is_empty() {
        if members.len() == MAX_MEMBERS {
            return Err(DecodeError::Malformed("more members than there may be"));
        }
        members.push(take_entry(&mut rest)?);
    }
    let seen = MembersSeen {
        is_isolated,
        members,
    };
    Ok(seen)
}

fn take_entry(rest: &mut &[u8]) -> Result<MemberSeen, DecodeError> {
    const SHORT: DecodeError = DecodeError::Malformed("an entry that ends too early");
    let (length, behind) = rest.split_first_chunk().ok_or(SHORT)?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (entry, behind) = behind.split_at_checked(length).ok_or(SHORT)?;
    *rest = behind;

    let member: MemberSeen = codec::whole::<_, MAX_ENTRY>(entry)?;
    if member.is_within_bounds() {
        Ok(member)
    } else {
        Err(DecodeError::Malformed("a text over its limit"))
    }
}
