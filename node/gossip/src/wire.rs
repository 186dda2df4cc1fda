//! The bytes of a message.
//!
//! ```text
//!   version u8 | kind u8 | epoch | pulse | body
//!   pulse      incarnation | heartbeat | heartbeat - facts        3 to 19 bytes
//!   mark       id, 8 bytes | pulse                               11 to 27 bytes
//!   facts      mark | epoch | disk u8 | free bytes | hint age + 1, or 0 | build | address      17 to 337 bytes
//! ```
//!
//! Numbers are bincode's of variable length; lists and texts have their count in front. Invariants: at most [`MAX_MESSAGE`]
//! bytes and [`MAX_MEMBERS`] elements a list are taken; nothing is allocated for a list that its bytes cannot hold, so
//! decoding allocates at most ten times its input; junk is an error; within a version the bytes never change. Golden bytes in
//! `tests/codec` pin the format.

use bincode::config::{Configuration, Limit};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use bincode::{Decode, Encode};
use quoit_ring::cluster::{MAX_ADDRESS, MAX_MEMBERS};
use quoit_ring::wire::{DecodeError, DiskLevel};
use quoit_ring::{Epoch, NodeId};

use crate::facts::{Build, Facts, MAX_BUILD};
use crate::message::{Body, MAX_MESSAGE, Message};
use crate::pulse::{Incarnation, Mark, Pulse};

/// The version of the format. A reader refuses any other.
pub const VERSION: u8 = 1;

/// Fewest bytes of a mark, of facts with their mark, and of an id.
const MARK_MIN: usize = 11;
const FACTS_MIN: usize = MARK_MIN + 6;
const ID: usize = 8;
/// Most bytes in front of the lists of a message, their counts included.
pub(crate) const HEAD_MAX: usize = 2 + 9 + 19 + 3 * 3;

impl Message {
    /// Its bytes, at most [`MAX_MESSAGE`] if the machine made it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        put(&VERSION, &mut out);
        put(&self.body.kind(), &mut out);
        put(&self.epoch.0, &mut out);
        put_pulse(self.pulse, &mut out);
        match &self.body {
            Body::Digest(marks) => put_marks(marks, &mut out),
            Body::Reply {
                marks,
                facts,
                wants,
            } => {
                put_marks(marks, &mut out);
                put_facts(facts, &mut out);
                put(&wants.len(), &mut out);
                for want in wants {
                    put(&want.0.to_le_bytes(), &mut out);
                }
            }
            Body::Facts(facts) => put_facts(facts, &mut out),
            Body::PingFor(target) => put(&target.0.to_le_bytes(), &mut out),
            Body::Ping { origin } | Body::Ack { origin } => {
                put(&origin.map(|id| id.0.to_le_bytes()), &mut out);
            }
        }
        out
    }

    /// The message with these bytes.
    ///
    /// # Errors
    /// [`DecodeError`] if they are of another version, too many, or not a message. Nothing is changed by them.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(DecodeError::TooLarge {
                what: "gossip",
                bytes: bytes.len(),
                max: MAX_MESSAGE,
            });
        }
        let mut bytes = bytes;
        let found = take::<u8>(&mut bytes)?;
        if found != VERSION {
            return Err(DecodeError::Version {
                found,
                known: VERSION,
            });
        }
        let kind = take::<u8>(&mut bytes)?;
        let message = Self {
            epoch: Epoch(take(&mut bytes)?),
            pulse: take_pulse(&mut bytes)?,
            body: take_body(kind, &mut bytes)?,
        };
        if bytes.is_empty() {
            Ok(message)
        } else {
            Err(DecodeError::Malformed("trailing bytes"))
        }
    }
}

impl Body {
    const fn kind(&self) -> u8 {
        match self {
            Self::Digest(_) => 0,
            Self::Reply { .. } => 1,
            Self::Facts(_) => 2,
            Self::Ping { .. } => 3,
            Self::PingFor(_) => 4,
            Self::Ack { .. } => 5,
        }
    }
}

fn take_body(kind: u8, bytes: &mut &[u8]) -> Result<Body, DecodeError> {
    Ok(match kind {
        0 => Body::Digest(list(bytes, MARK_MIN, take_mark)?),
        1 => Body::Reply {
            marks: list(bytes, MARK_MIN, take_mark)?,
            facts: list(bytes, FACTS_MIN, take_facts)?,
            wants: list(bytes, ID, take_id)?,
        },
        2 => Body::Facts(list(bytes, FACTS_MIN, take_facts)?),
        3 => Body::Ping {
            origin: take_origin(bytes)?,
        },
        4 => Body::PingFor(take_id(bytes)?),
        5 => Body::Ack {
            origin: take_origin(bytes)?,
        },
        _ => return Err(DecodeError::Malformed("an unknown kind of gossip")),
    })
}

fn put_marks(marks: &[Mark], out: &mut Vec<u8>) {
    put(&marks.len(), out);
    for &mark in marks {
        put_mark(mark, out);
    }
}

fn put_mark(mark: Mark, out: &mut Vec<u8>) {
    put(&mark.node.0.to_le_bytes(), out);
    put_pulse(mark.pulse, out);
}

fn put_pulse(pulse: Pulse, out: &mut Vec<u8>) {
    debug_assert!(pulse.facts <= pulse.heartbeat, "facts change at a beat");
    put(&pulse.incarnation.0, out);
    put(&pulse.heartbeat, out);
    put(&pulse.heartbeat.saturating_sub(pulse.facts), out);
}

fn put_facts(list: &[(Mark, Facts)], out: &mut Vec<u8>) {
    put(&list.len(), out);
    for (mark, facts) in list {
        put_mark(*mark, out);
        put(&facts.epoch.0, out);
        put(&(facts.disk as u8), out);
        put(&facts.free_bytes, out);
        put(&hint_number(facts), out);
        put(&facts.build.as_str(), out);
        put(&facts.address.as_deref().unwrap_or_default(), out);
    }
}

fn take_mark(bytes: &mut &[u8]) -> Result<Mark, DecodeError> {
    Ok(Mark {
        node: take_id(bytes)?,
        pulse: take_pulse(bytes)?,
    })
}

fn take_id(bytes: &mut &[u8]) -> Result<NodeId, DecodeError> {
    Ok(NodeId(u64::from_le_bytes(take(bytes)?)))
}

fn take_origin(bytes: &mut &[u8]) -> Result<Option<NodeId>, DecodeError> {
    let origin = take::<Option<[u8; ID]>>(bytes)?;
    Ok(origin.map(|id| NodeId(u64::from_le_bytes(id))))
}

fn take_pulse(bytes: &mut &[u8]) -> Result<Pulse, DecodeError> {
    let incarnation = Incarnation(take(bytes)?);
    let heartbeat: u32 = take(bytes)?;
    let lag: u32 = take(bytes)?;
    let facts =
        (heartbeat.checked_sub(lag)).ok_or(DecodeError::Malformed("an impossible pulse"))?;
    Ok(Pulse {
        incarnation,
        heartbeat,
        facts,
    })
}

fn take_facts(bytes: &mut &[u8]) -> Result<(Mark, Facts), DecodeError> {
    let mark = take_mark(bytes)?;
    let epoch = Epoch(take(bytes)?);
    let disk = match take::<u8>(bytes)? {
        0 => DiskLevel::Full,
        1 => DiskLevel::Reserve,
        2 => DiskLevel::Low,
        3 => DiskLevel::Ample,
        _ => return Err(DecodeError::Malformed("an unknown level of a disk")),
    };
    let free_bytes = take(bytes)?;
    let age = take::<u64>(bytes)?.checked_sub(1);
    let oldest_hint_s = age.map(u32::try_from).transpose();
    let facts = Facts {
        epoch,
        disk,
        free_bytes,
        oldest_hint_s: oldest_hint_s
            .map_err(|_too_old| DecodeError::Malformed("an impossible age"))?,
        build: Build::new(take_text(bytes, "a build", MAX_BUILD)?),
        address: match take_text(bytes, "an address", MAX_ADDRESS)? {
            "" => None,
            address => Some(address.into()),
        },
    };
    Ok((mark, facts))
}

/// Takes a text of at most `max` bytes off the front of `bytes`, without a copy.
fn take_text<'a>(
    bytes: &mut &'a [u8],
    what: &'static str,
    max: usize,
) -> Result<&'a str, DecodeError> {
    let len = take::<usize>(bytes)?;
    if len > max {
        return Err(DecodeError::TooLarge {
            what,
            bytes: len,
            max,
        });
    }
    let (text, rest) = (bytes.split_at_checked(len)).ok_or(DecodeError::Malformed("too short"))?;
    *bytes = rest;
    core::str::from_utf8(text).map_err(|_junk| DecodeError::Malformed("text that is not UTF-8"))
}

/// Takes a list off the front of `bytes`; each element has at least `min` bytes.
fn list<T>(
    bytes: &mut &[u8],
    min: usize,
    element: impl Fn(&mut &[u8]) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = take::<usize>(bytes)?;
    if count > MAX_MEMBERS {
        return Err(DecodeError::TooLarge {
            what: "a list of members",
            bytes: count,
            max: MAX_MEMBERS,
        });
    }
    if count > bytes.len() / min {
        return Err(DecodeError::Malformed("a list longer than its bytes"));
    }
    (0..count).map(|_| element(bytes)).collect()
}

/// Bytes of a mark.
pub(crate) const fn mark_len(mark: Mark) -> usize {
    let pulse = mark.pulse;
    let lag = pulse.heartbeat.saturating_sub(pulse.facts);
    ID + number_len(pulse.incarnation.0)
        + number_len(pulse.heartbeat as u64)
        + number_len(lag as u64)
}

/// Bytes of facts with their mark, at most.
pub(crate) fn facts_len(mark: Mark, facts: &Facts) -> usize {
    let address = facts.address.as_deref().unwrap_or_default().len();
    mark_len(mark)
        + number_len(facts.epoch.0)
        + number_len(facts.free_bytes)
        + number_len(hint_number(facts))
        + 2 // disk, and the length of the build
        + facts.build.as_str().len()
        + 3 // the length of the address
        + address
}

/// The age of the oldest hint as one number: 0 if there is none.
fn hint_number(facts: &Facts) -> u64 {
    facts.oldest_hint_s.map_or(0, |age| u64::from(age) + 1)
}

/// Bytes of an encoded number.
const fn number_len(number: u64) -> usize {
    match number {
        0..=250 => 1,
        251..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

/// Appends to a buffer that grows.
struct Append<'a>(&'a mut Vec<u8>);

impl Writer for Append<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

fn put<T: Encode>(value: &T, out: &mut Vec<u8>) {
    let written = bincode::encode_into_writer(value, Append(out), bincode::config::standard());
    debug_assert!(written.is_ok(), "appending to memory cannot fail");
}

/// Little-endian, variable-length integers. Only numbers, ids and flags are decoded: the limit is that of the longest.
const fn config() -> Configuration<bincode::config::LittleEndian, bincode::config::Varint, Limit<16>>
{
    bincode::config::standard().with_limit::<16>()
}

fn take<T: Decode<()>>(bytes: &mut &[u8]) -> Result<T, DecodeError> {
    let (value, used) = bincode::decode_from_slice(bytes, config())
        .map_err(|_junk| DecodeError::Malformed("a field that ends too early, or is none"))?;
    *bytes = bytes.get(used..).unwrap_or_default();
    Ok(value)
}
