//! The bytes of a configuration, and of what leads from one to a later one.
//!
//! ```text
//!   configuration  version u8 | epoch | map | 0, or 1, hand and target map | voters | removed
//!   update         version u8 | base epoch, epoch | map update | 0, or 1, hand and map update
//!                  0, or 1 and voters | newly removed | digest (8)
//!   map update     origin u8 | 0, or 1: epoch, N u8, members added or changed, ids left out
//!   answer         0 and a configuration, or 1 and an update
//! ```
//!
//! A map stands here without its version; an id is fixed, since ids are random; a list stands behind its count, which is
//! held against the bytes that are left, and against its own limit, before anything is allocated for it. A change has two
//! maps, so decoding may allocate twice the constant part: 4 times its input, and 128 KiB.
//!
//! An answer holds an update if that fits into a frame on the shared lane; adding some eighty members does not, and gets
//! the whole configuration, which has a stream of its own.
//!
//! | bytes, 150 vnodes a member | of 10 | of 100 | of 1,000 |
//! | --- | ---: | ---: | ---: |
//! | whole, no change | 7,666 | 76,066 | 763,050 |
//! | whole, one member joins | 16,048 | 152,850 | 1,526,819 |
//! | update: one member joins | 792 | 794 | 795 |
//! | update: a step, a revert | 26 | 26 | 26 |
//! | update: an end | 21 | 21 | 21 |
//!
//! An end has 41 bytes more if all voters change, and 8 for each member removed.
//!
//! Left out: whether what was read is a configuration, which [`Configuration::check`] says and every caller asks it.

use core::hash::Hasher as _;

use bytes::{BufMut as _, BytesMut};
use siphasher::sip::SipHasher13;

use crate::change::configuration::MAX_VOTERS;
use crate::change::hand::Hand;
use crate::change::update::{Edits, MapUpdate, Origin};
use crate::change::{Change, Configuration, Update, UpdateError};
use crate::cluster::{Epoch, MAX_MEMBERS, NodeId};
use crate::wire::VERSION;
use crate::wire::codec::{self, DecodeError};
use crate::wire::frame::LANE_FRAME;
use crate::wire::map::{put_map, put_members, take_map, take_members};

/// Most bytes of an update in an answer: with its frame's head it must fit into the shared lane.
pub const MAX_UPDATE: usize = LANE_FRAME - 1024;

/// Most bytes that decoding a number, a hand, an option's first byte may read.
const SMALL: usize = 9;
/// Bytes of an id.
const ID: usize = 8;

const WHOLE: u8 = 0;
const UPDATE: u8 = 1;

/// A configuration as it is stored, and sent to whoever does not know an earlier one. Any configuration has bytes, valid or
/// not.
///
/// ```
/// # use quoit_ring::change::Configuration;
/// # use quoit_ring::placement::{grow, Newcomer};
/// # use quoit_ring::wire::configuration::{decode_configuration, encode_configuration};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
/// # let newcomer = |id: u64| Newcomer {
/// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
/// # };
/// let first = Configuration::first(grow(empty, (1..=3).map(newcomer), 1)?)?;
/// let read = decode_configuration(&encode_configuration(&first))?;
/// read.check()?; // decoding does not
/// assert_eq!(read, first);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn encode_configuration(configuration: &Configuration) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_configuration(configuration, &mut out);
    out.into()
}

fn put_configuration(configuration: &Configuration, out: &mut BytesMut) {
    out.put_u8(VERSION);
    codec::put(&configuration.epoch, out);
    put_map(&configuration.map, out);
    put_option(
        configuration.change.as_ref(),
        out,
        |Change { target, hand }, out| {
            codec::put(hand, out);
            put_map(target, out);
        },
    );
    put_ids(&configuration.voters, out);
    put_ids(&configuration.removed, out);
}

/// Reads a configuration. Its hand is on one of its arcs; whether all else is as it must be is for
/// [`Configuration::check`] to say.
///
/// # Errors
/// [`DecodeError`] unless `bytes` are exactly one configuration, of at most [`MAX_MEMBERS`] members in either map and
/// [`MAX_VOTERS`] voters. Nothing is kept.
pub fn decode_configuration(bytes: &[u8]) -> Result<Configuration, DecodeError> {
    let mut rest = codec::versioned(bytes, "an empty configuration")?;
    let configuration = Configuration {
        epoch: codec::take::<Epoch, SMALL>(&mut rest)?,
        map: take_map(&mut rest)?,
        change: take_option(&mut rest, |rest| {
            Ok(Change {
                hand: codec::take::<Hand, SMALL>(rest)?,
                target: take_map(rest)?,
            })
        })?,
        voters: take_ids(&mut rest, MAX_VOTERS)?,
        removed: take_ids(&mut rest, usize::MAX)?,
    };
    codec::end(rest)?;
    Ok(configuration)
}

/// SipHash-1-3 without a key over a configuration's bytes: against mistakes, not against forgery.
pub(crate) fn digest(configuration: &Configuration) -> u64 {
    let mut bytes = BytesMut::new();
    put_configuration(configuration, &mut bytes);
    let mut hasher = SipHasher13::new();
    hasher.write(&bytes);
    hasher.finish()
}

/// An update as it travels.
#[must_use]
pub fn encode_update(update: &Update) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_update(update, &mut out);
    out.into()
}

fn put_update(update: &Update, out: &mut BytesMut) {
    out.put_u8(VERSION);
    codec::put(&(update.base, update.epoch), out);
    put_map_update(&update.map, out);
    put_option(update.change.as_ref(), out, |(target, hand), out| {
        codec::put(hand, out);
        put_map_update(target, out);
    });
    put_option(update.voters.as_ref(), out, |voters, out| {
        put_ids(voters, out);
    });
    put_ids(&update.removed, out);
    out.put_u64_le(update.digest);
}

/// Reads an update.
///
/// # Errors
/// [`DecodeError`] unless `bytes` are exactly one. Nothing is kept.
pub fn decode_update(bytes: &[u8]) -> Result<Update, DecodeError> {
    let mut rest = codec::versioned(bytes, "an empty update")?;
    let update = Update {
        base: codec::take::<Epoch, SMALL>(&mut rest)?,
        epoch: codec::take::<Epoch, SMALL>(&mut rest)?,
        map: take_map_update(&mut rest)?,
        change: take_option(&mut rest, |rest| {
            let hand = codec::take::<Hand, SMALL>(rest)?;
            Ok((take_map_update(rest)?, hand))
        })?,
        voters: take_option(&mut rest, |rest| take_ids(rest, MAX_VOTERS))?,
        removed: take_ids(&mut rest, usize::MAX)?,
        digest: u64::from_le_bytes(codec::take::<[u8; 8], SMALL>(&mut rest)?),
    };
    codec::end(rest)?;
    Ok(update)
}

fn put_map_update(update: &MapUpdate, out: &mut BytesMut) {
    out.put_u8(match update.origin {
        Origin::Map => 0,
        Origin::Target => 1,
        Origin::Result => 2,
    });
    put_option(update.edits.as_ref(), out, |edits, out| {
        codec::put(&(edits.epoch, edits.replication), out);
        put_members(&edits.members, out);
        put_ids(&edits.gone, out);
    });
}

fn take_map_update(rest: &mut &[u8]) -> Result<MapUpdate, DecodeError> {
    let origin = match codec::take::<u8, SMALL>(rest)? {
        0 => Origin::Map,
        1 => Origin::Target,
        2 => Origin::Result,
        _ => return Err(DecodeError::Malformed("an update of an unknown map")),
    };
    let edits = take_option(rest, |rest| {
        Ok(Edits {
            epoch: codec::take::<Epoch, SMALL>(rest)?,
            replication: codec::take::<u8, SMALL>(rest)?,
            members: take_members(rest)?,
            gone: take_ids(rest, MAX_MEMBERS)?,
        })
    })?;
    Ok(MapUpdate { origin, edits })
}

/// What a node answers to whoever is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigurationAnswer {
    /// All of it.
    Whole(Box<Configuration>),
    /// What leads to it from the one that is known.
    Update(Box<Update>),
}

impl ConfigurationAnswer {
    /// The epoch that it leads to.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        match self {
            Self::Whole(configuration) => configuration.epoch,
            Self::Update(update) => update.epoch(),
        }
    }

    /// The configuration that it leads to, for a side that knows `known`.
    ///
    /// # Errors
    /// [`UpdateError`] if `known` is not what it was made for: ask for the whole configuration.
    pub fn resolve(self, known: &Configuration) -> Result<Configuration, UpdateError> {
        match self {
            Self::Whole(configuration) => Ok(*configuration),
            Self::Update(update) => update.apply(known),
        }
    }
}

/// The answer for a side that knows `old`: what leads from there to `new` if that is short, else all of `new`.
///
/// ```
/// # use quoit_ring::change::{Arcs, Configuration};
/// # use quoit_ring::placement::{grow, join, Newcomer};
/// # use quoit_ring::wire::configuration::{decode_answer, encode_answer};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
/// # let newcomer = |id: u64| Newcomer {
/// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
/// # };
/// # let map = grow(empty, (1..=3).map(newcomer), 1)?;
/// # let mut grown = map.clone();
/// # join(&mut grown, newcomer(4), 2)?;
/// let first = Configuration::first(map)?;
/// let begun = first.begin(grown, Arcs::FULL)?;
///
/// let bytes = encode_answer(Some(&first), &begun);
/// assert!(bytes.len() < 1_000, "the new member, and little else");
/// let reached = decode_answer(&bytes)?.resolve(&first)?;
/// reached.check()?;
/// assert_eq!(reached, begun);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn encode_answer(old: Option<&Configuration>, new: &Configuration) -> Vec<u8> {
    let mut out = BytesMut::new();
    if let Some(update) = old.and_then(|old| Update::between(old, new)) {
        out.put_u8(UPDATE);
        put_update(&update, &mut out);
        if out.len() <= MAX_UPDATE {
            return out.into();
        }
    }
    out.clear();
    out.put_u8(WHOLE);
    put_configuration(new, &mut out);
    out.into()
}

/// Reads an answer.
///
/// # Errors
/// [`DecodeError`] unless `bytes` are exactly one. Nothing is kept.
pub fn decode_answer(bytes: &[u8]) -> Result<ConfigurationAnswer, DecodeError> {
    match bytes.split_first() {
        Some((&WHOLE, rest)) => {
            let configuration = decode_configuration(rest)?;
            Ok(ConfigurationAnswer::Whole(Box::new(configuration)))
        }
        Some((&UPDATE, rest)) => {
            let update = decode_update(rest)?;
            Ok(ConfigurationAnswer::Update(Box::new(update)))
        }
        _ => Err(DecodeError::Malformed("no answer with a configuration")),
    }
}

fn put_option<T>(option: Option<&T>, out: &mut BytesMut, put: impl FnOnce(&T, &mut BytesMut)) {
    out.put_u8(option.is_some().into());
    if let Some(value) = option {
        put(value, out);
    }
}

fn take_option<T>(
    rest: &mut &[u8],
    take: impl FnOnce(&mut &[u8]) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    let is_there = codec::take::<bool, SMALL>(rest)?;
    is_there.then(|| take(rest)).transpose()
}

fn put_ids(ids: &[NodeId], out: &mut BytesMut) {
    codec::put(&ids.len(), out);
    for id in ids {
        out.put_u64_le(id.0);
    }
}

fn take_ids(rest: &mut &[u8], most: usize) -> Result<Vec<NodeId>, DecodeError> {
    let count = codec::count(rest, ID)?;
    if count > most {
        return Err(DecodeError::Malformed("a longer list of ids than may be"));
    }
    let (ids, behind) = rest.split_at(count * ID);
    *rest = behind;
    let (ids, _) = ids.as_chunks::<ID>();
    Ok(ids
        .iter()
        .map(|id| NodeId(u64::from_le_bytes(*id)))
        .collect())
}
