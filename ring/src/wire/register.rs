//! Messages about the register of one key: conditional writes.
//!
//! ```text
//!   Look                    -> State                  what the owner holds
//!   Prepare  ballot         -> State, or Outbid       and nothing below the ballot is taken any more
//!   Accept   ballot, value  -> Accepted, or Outbid
//!   Commit   ballot         -> Joined                 with the value for an owner that did not accept it
//!   Extend   ballot, value  -> Accepted, Outbid, or Unseen
//!   AwaitTurn               -> Turn                   once no other proposer has its turn; at most some milliseconds each
//!   EndTurn                 -> Turn                   of one that has nothing to commit
//!
//!   number u8 | ballot | key length u16 | key | rest: a record, or nothing
//!   State    0 | floor | bits: row, ballot, pending | ballot | row length u32 | row | value
//!   Accepted 1
//!   Outbid   2 | ballot
//!   Unseen   3
//!   Turn     4 | contended u8
//!
//!   what an owner accepted, on the disk and when the ring changes    ballot | since | the value while it is pending
//! ```
//!
//! A ballot is its time and what makes it unique: a u64 each, little-endian like all numbers here.
//!
//! Invariant: numbers stay. Left out: what an owner does (`register`).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::clock::{Millis, Time};
use crate::register::{Accepted, Ballot, OwnerState};
use crate::version::Held;
use crate::wire::codec::{self, DecodeError};
use crate::wire::lengths::{put_length, take_length};
use crate::wire::record::{decode_record, encode_record};

const CUT_OFF: DecodeError = DecodeError::Malformed("a message about a register that was cut off");

/// Asks one owner about the register of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterRequest {
    /// The key.
    pub key: Bytes,
    /// What is asked.
    pub ask: RegisterAsk,
}

/// What one owner is asked to do with a register.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterAsk {
    /// Say what it holds.
    Look,
    /// Promise to take nothing below this ballot, and say what it holds.
    Prepare {
        /// The ballot.
        ballot: Ballot,
    },
    /// Take this value, unless a higher ballot has the promise.
    Accept {
        /// The ballot.
        ballot: Ballot,
        /// An encoded record.
        value: Bytes,
    },
    /// A majority has accepted by this ballot: join the value.
    Commit {
        /// The ballot.
        ballot: Ballot,
        /// The encoded record, for an owner that has not accepted it; empty for one that has.
        value: Bytes,
    },
    /// Take this value, which extends what the proposer's last ballot chose, unless a higher ballot has the promise or the record
    /// holds what the value has not seen.
    Extend {
        /// The ballot: the next of the last one.
        ballot: Ballot,
        /// An encoded record.
        value: Bytes,
    },
    /// Answer once it is this proposer's turn. It promises nothing and decides nothing: proposers that have met on a key delay
    /// each other less in turn than by chance.
    AwaitTurn,
    /// The turn of this proposer is over. A commit says so, too.
    EndTurn,
}

/// What an owner answers about a register; a commit is answered as joined.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterAnswer {
    /// What it holds, all of one instant.
    State(RegisterState),
    /// It has taken the value, synced.
    Accepted,
    /// A ballot at or above has the promise. Nothing has changed.
    Outbid {
        /// That ballot.
        promised: Ballot,
    },
    /// The record holds what the value has not seen. Nothing has changed.
    Unseen,
    /// It is the proposer's turn, or no more.
    Turn {
        /// It has waited for another one's.
        contended: bool,
    },
}

/// What an owner holds of a key and its register.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegisterState {
    /// The floor of the key's leaf.
    pub floor: Time,
    /// The encoded record, if there is a row.
    pub row: Option<Bytes>,
    /// The ballot of what it accepted last.
    pub ballot: Option<Ballot>,
    /// The encoded value of that ballot, while it is pending.
    pub pending: Option<Bytes>,
}

impl RegisterRequest {
    /// Bytes of key and value.
    #[must_use]
    pub const fn body_bytes(&self) -> usize {
        self.key.len()
            + match &self.ask {
                RegisterAsk::Look
                | RegisterAsk::Prepare { .. }
                | RegisterAsk::AwaitTurn
                | RegisterAsk::EndTurn => 0,
                RegisterAsk::Accept { value, .. }
                | RegisterAsk::Commit { value, .. }
                | RegisterAsk::Extend { value, .. } => value.len(),
            }
    }

    pub(super) fn encode(&self) -> Bytes {
        let nothing = Bytes::new();
        let (number, ballot, value) = match &self.ask {
            RegisterAsk::Look => (0, Ballot::ZERO, &nothing),
            RegisterAsk::Prepare { ballot } => (1, *ballot, &nothing),
            RegisterAsk::Accept { ballot, value } => (2, *ballot, value),
            RegisterAsk::Commit { ballot, value } => (3, *ballot, value),
            RegisterAsk::Extend { ballot, value } => (4, *ballot, value),
            RegisterAsk::AwaitTurn => (5, Ballot::ZERO, &nothing),
            RegisterAsk::EndTurn => (6, Ballot::ZERO, &nothing),
        };
        let mut out = BytesMut::with_capacity(self.body_bytes() + 19);
        out.put_u8(number);
        put_ballot(ballot, &mut out);
        out.put_u16_le(u16::try_from(self.key.len()).unwrap_or(u16::MAX));
        out.put_slice(&self.key);
        out.put_slice(value);
        out.freeze()
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, DecodeError> {
        let number = bytes.try_get_u8().map_err(|_short| CUT_OFF)?;
        let ballot = take_ballot(&mut bytes)?;
        let length = usize::from(bytes.try_get_u16_le().map_err(|_short| CUT_OFF)?);
        if length > bytes.len() {
            return Err(CUT_OFF);
        }
        let (key, value) = (bytes.split_to(length), bytes);
        let ask = match number {
            0 | 1 | 5 | 6 if !value.is_empty() => {
                return Err(DecodeError::Malformed("a value where none belongs"));
            }
            0 | 5 | 6 if ballot != Ballot::ZERO => {
                return Err(DecodeError::Malformed("a ballot where none belongs"));
            }
            0 => RegisterAsk::Look,
            1 => RegisterAsk::Prepare { ballot },
            2 => RegisterAsk::Accept { ballot, value },
            3 => RegisterAsk::Commit { ballot, value },
            4 => RegisterAsk::Extend { ballot, value },
            5 => RegisterAsk::AwaitTurn,
            6 => RegisterAsk::EndTurn,
            _ => {
                return Err(DecodeError::Malformed(
                    "an unknown message about a register",
                ));
            }
        };
        Ok(Self { key, ask })
    }
}

impl RegisterAnswer {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::State(state) => {
                out.put_u8(0);
                state.put(&mut out);
            }
            Self::Accepted => out.put_u8(1),
            Self::Outbid { promised } => {
                out.put_u8(2);
                put_ballot(*promised, &mut out);
            }
            Self::Unseen => out.put_u8(3),
            Self::Turn { contended } => {
                out.put_u8(4);
                out.put_u8(u8::from(*contended));
            }
        }
        out.freeze()
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, DecodeError> {
        match bytes.try_get_u8().map_err(|_short| CUT_OFF)? {
            0 => RegisterState::take(bytes).map(Self::State),
            1 => codec::end(&bytes).map(|()| Self::Accepted),
            3 => codec::end(&bytes).map(|()| Self::Unseen),
            2 => {
                let promised = take_ballot(&mut bytes)?;
                codec::end(&bytes)?;
                Ok(Self::Outbid { promised })
            }
            4 => {
                let contended = bytes.try_get_u8().map_err(|_short| CUT_OFF)?;
                codec::end(&bytes)?;
                match contended {
                    0 | 1 => Ok(Self::Turn {
                        contended: contended == 1,
                    }),
                    _ => Err(DecodeError::Malformed("a turn that cannot be")),
                }
            }
            _ => Err(DecodeError::Malformed("an unknown answer about a register")),
        }
    }
}

impl RegisterState {
    const ROW: u8 = 1;
    const BALLOT: u8 = 2;
    const PENDING: u8 = 4;

    /// What the owner holds, whose clock read `clock`.
    ///
    /// # Errors
    /// [`DecodeError`] if the row or the value is no record.
    pub fn owner_state(&self, clock: Millis) -> Result<OwnerState, DecodeError> {
        let record = |bytes: &Option<Bytes>| bytes.as_ref().map(decode_record).transpose();
        let (row, pending) = (record(&self.row)?, record(&self.pending)?);
        Ok(OwnerState {
            held: Held::new(row, self.floor),
            accepted: self.ballot.map(|ballot| (ballot, pending)),
            clock,
        })
    }

    fn put(&self, out: &mut BytesMut) {
        debug_assert!(
            self.ballot.is_some() || self.pending.is_none(),
            "a value has its ballot"
        );
        let bit = |is_there: bool, bit: u8| if is_there { bit } else { 0 };
        out.put_u64_le(self.floor.0);
        out.put_u8(
            bit(self.row.is_some(), Self::ROW)
                | bit(self.ballot.is_some(), Self::BALLOT)
                | bit(self.pending.is_some(), Self::PENDING),
        );
        put_ballot(self.ballot.unwrap_or_default(), out);
        let row = self.row.as_deref().unwrap_or_default();
        put_length(row.len(), out);
        out.put_slice(row);
        out.put_slice(self.pending.as_deref().unwrap_or_default());
    }

    fn take(mut bytes: Bytes) -> Result<Self, DecodeError> {
        let floor = Time(bytes.try_get_u64_le().map_err(|_short| CUT_OFF)?);
        let bits = bytes.try_get_u8().map_err(|_short| CUT_OFF)?;
        let ballot = take_ballot(&mut bytes)?;
        let length = take_length(&mut bytes, 1)?;
        let (row, value) = (bytes.split_to(length), bytes);

        let has = |bit: u8| bits & bit != 0;
        let is_known = bits < 8 && (has(Self::BALLOT) || !has(Self::PENDING));
        let are_empty = (has(Self::ROW) || row.is_empty())
            && (has(Self::BALLOT) || ballot == Ballot::ZERO)
            && (has(Self::PENDING) || value.is_empty());
        if !is_known || !are_empty {
            return Err(DecodeError::Malformed(
                "a state of a register that cannot be",
            ));
        }
        Ok(Self {
            floor,
            row: has(Self::ROW).then_some(row),
            ballot: has(Self::BALLOT).then_some(ballot),
            pending: has(Self::PENDING).then_some(value),
        })
    }
}

/// Appends what an owner has accepted, as it is stored and handed over.
///
/// ```
/// # use bytes::BytesMut;
/// # use quoit_ring::register::{Accepted, Ballot};
/// # use quoit_ring::wire::{decode_accepted, encode_accepted};
/// # use quoit_ring::{Record, Time};
/// for value in [None, Some(Record::default())] {
///     let ballot = Ballot { time: Time(7), unique: 9 };
///     let accepted = Accepted { ballot, since: Time(7), value };
///     let mut bytes = BytesMut::new();
///     encode_accepted(&accepted, &mut bytes);
///     assert_eq!(decode_accepted(bytes.freeze()), Ok(accepted));
/// }
/// ```
pub fn encode_accepted(accepted: &Accepted, out: &mut BytesMut) {
    put_ballot(accepted.ballot, out);
    out.put_u64_le(accepted.since.0);
    if let Some(value) = &accepted.value {
        encode_record(value, out);
    }
}

/// Reads what an owner has accepted.
///
/// # Errors
/// [`DecodeError`] if it is junk.
pub fn decode_accepted(mut bytes: Bytes) -> Result<Accepted, DecodeError> {
    let ballot = take_ballot(&mut bytes)?;
    let since = Time(bytes.try_get_u64_le().map_err(|_short| CUT_OFF)?);
    let value = (!bytes.is_empty()).then(|| decode_record(&bytes));
    Ok(Accepted {
        ballot,
        since,
        value: value.transpose()?,
    })
}

fn put_ballot(ballot: Ballot, out: &mut BytesMut) {
    out.put_u64_le(ballot.time.0);
    out.put_u64_le(ballot.unique);
}

fn take_ballot(bytes: &mut Bytes) -> Result<Ballot, DecodeError> {
    let mut number = || bytes.try_get_u64_le().map_err(|_short| CUT_OFF);
    Ok(Ballot {
        time: Time(number()?),
        unique: number()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BALLOT: Ballot = Ballot {
        time: Time(7),
        unique: 9,
    };

    #[test]
    fn whatever_is_cut_off_or_cannot_be_is_an_error() {
        let request = RegisterRequest {
            key: "key".into(),
            ask: RegisterAsk::Prepare { ballot: BALLOT },
        };
        let whole = request.encode();
        for end in 0..whole.len() {
            assert!(
                RegisterRequest::decode(whole.slice(..end)).is_err(),
                "{end}"
            );
        }
        let more = [&whole[..], b"x"].concat();
        assert!(RegisterRequest::decode(more.into()).is_err());

        let state = RegisterAnswer::State(RegisterState {
            row: Some("row".into()),
            ..RegisterState::default()
        });
        let whole = state.encode();
        for end in 0..whole.len() {
            assert!(RegisterAnswer::decode(whole.slice(..end)).is_err(), "{end}");
        }
        for bits in [0, 4, 5, 9, 255] {
            let mut junk = whole.to_vec();
            junk[9] = bits;
            assert!(RegisterAnswer::decode(junk.into()).is_err(), "{bits}");
        }
    }
}
