//! What a change of the ring leaves in meta, beside the configuration itself: three rows, encoded by hand. And one that says
//! that the node has lost writes.
//!
//! ```text
//!   vote     epoch | promised ballot | nothing, or: ballot, accepted configuration      on what follows that epoch
//!   taken    epoch                                       what the node is to own in it was empty, and is owned since
//!   pulled   epoch | source, cursor length, cursor | ...                     length ffffffff: all of it is here
//!
//!   incomplete  a byte, 1                            of no epoch: there until what was lost is here again
//!
//!   a ballot is its round and its proposer; numbers are big-endian, u64 but for the length, a u32
//! ```
//!
//! Each of the three names its epoch, so one of an earlier epoch is known to be out of date.
//!
//! Invariant: reading gives back what was written, and refuses everything else.

use std::collections::BTreeMap;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use quoit_ring::change::Configuration;
use quoit_ring::consensus::{Acceptor, Ballot};
use quoit_ring::wire::DecodeError;
use quoit_ring::wire::configuration::{decode_configuration, encode_configuration};
use quoit_ring::{Epoch, NodeId};

use crate::engine::layout::{META_INCOMPLETE, META_PULLED, META_TAKEN, META_VOTE};
use crate::engine::{Batch, Durability, Engine, EngineError, Keyspace};

/// Bytes of an epoch, or another number.
const NUMBER: usize = size_of::<u64>();
/// Bytes of a ballot.
const BALLOT: usize = 2 * NUMBER;
/// The length of a cursor that has reached the end.
const DONE: u32 = u32::MAX;

/// What a node remembers of the change that is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeRows {
    /// Its vote on what follows an epoch.
    pub(super) vote: Option<(Epoch, Acceptor<Configuration>)>,
    /// The last epoch in which it has taken what it is to own.
    pub(super) taken: Option<Epoch>,
    /// What it has pulled.
    pub(super) pulled: Pulled,
    /// Whether it has lost writes with its power, and has not got them back.
    pub(super) is_incomplete: bool,
}

impl ChangeRows {
    /// Reads them: nothing of it is there before the first change.
    ///
    /// # Errors
    /// The engine's, or within it [`DecodeError`] if a row is damaged.
    pub(crate) fn load<G: Engine>(engine: &G) -> Result<Result<Self, DecodeError>, EngineError> {
        let get = |name| engine.get(Keyspace::Meta, name);
        let [vote, taken, pulled] = [get(META_VOTE)?, get(META_TAKEN)?, get(META_PULLED)?];
        // Whatever it holds: a damaged row must not make the node complete.
        let is_incomplete = get(META_INCOMPLETE)?.is_some();
        let rows = Self::parse(vote, taken, pulled);
        Ok(rows.map(|rows| Self {
            is_incomplete,
            ..rows
        }))
    }

    /// Whether the node has lost writes, and has not got them back.
    pub(crate) const fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    /// Stores that the node has lost writes; synced.
    ///
    /// # Errors
    /// The engine's: it may be stored or not.
    pub(crate) fn lose<G: Engine>(&mut self, engine: &G) -> Result<(), EngineError> {
        let mut batch = Batch::with_capacity(1);
        batch.insert(Keyspace::Meta, META_INCOMPLETE, &[1][..]);
        engine.commit(batch, Durability::Fsync)?;
        self.is_incomplete = true;
        Ok(())
    }

    fn parse(
        vote: Option<Bytes>,
        taken: Option<Bytes>,
        pulled: Option<Bytes>,
    ) -> Result<Self, DecodeError> {
        Ok(Self {
            vote: vote.map(decode_vote).transpose()?,
            taken: taken.map(decode_taken).transpose()?,
            pulled: pulled.map_or_else(|| Ok(Pulled::default()), Pulled::decode)?,
            is_incomplete: false,
        })
    }
}

/// How far a node is with what it pulls in one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pulled {
    pub(super) epoch: Epoch,
    pub(super) sources: BTreeMap<NodeId, Option<Bytes>>,
}

impl Default for Pulled {
    fn default() -> Self {
        Self::in_epoch(Epoch(0))
    }
}

impl Pulled {
    /// Nothing yet.
    pub(super) const fn in_epoch(epoch: Epoch) -> Self {
        Self {
            epoch,
            sources: BTreeMap::new(),
        }
    }

    /// Where the next page of `source` begins; `None` if this was its last.
    pub(super) fn advance(&mut self, source: NodeId, next: Option<Bytes>) {
        self.sources.insert(source, next);
    }

    /// Sources of which all is here.
    pub(super) fn done(&self) -> Vec<NodeId> {
        let done = self.sources.iter().filter(|(_, next)| next.is_none());
        done.map(|(&source, _)| source).collect()
    }

    /// Where the pull from `source` goes on; empty at its beginning, `None` once all is here.
    pub(super) fn cursor(&self, source: NodeId) -> Option<Bytes> {
        let found = self.sources.get(&source).cloned();
        found.unwrap_or_else(|| Some(Bytes::new()))
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u64(self.epoch.0);
        for (source, next) in &self.sources {
            out.put_u64(source.0);
            let length = next
                .as_ref()
                .map_or(Ok(DONE), |next| u32::try_from(next.len()));
            out.put_u32(length.unwrap_or(DONE));
            out.put_slice(next.as_deref().unwrap_or_default());
        }
        out.freeze()
    }

    fn decode(mut bytes: Bytes) -> Result<Self, DecodeError> {
        let mut pulled = Self::in_epoch(take_epoch(&mut bytes)?);
        while !bytes.is_empty() {
            let source = NodeId(take_number(&mut bytes)?);
            let length = bytes.try_get_u32().map_err(|_short| DAMAGED)?;
            let next = match length {
                DONE => None,
                length if length as usize > bytes.len() => return Err(DAMAGED),
                length => Some(bytes.split_to(length as usize)),
            };
            pulled.sources.insert(source, next);
        }
        Ok(pulled)
    }
}

const DAMAGED: DecodeError = DecodeError::Malformed("a row about a change that was cut off");

pub(super) fn encode_vote(after: Epoch, vote: &Acceptor<Configuration>) -> Bytes {
    let mut out = BytesMut::with_capacity(NUMBER + 2 * BALLOT);
    out.put_u64(after.0);
    put_ballot(vote.promised(), &mut out);
    if let Some((ballot, accepted)) = vote.accepted() {
        put_ballot(*ballot, &mut out);
        out.put_slice(&encode_configuration(accepted));
    }
    out.freeze()
}

fn decode_vote(mut bytes: Bytes) -> Result<(Epoch, Acceptor<Configuration>), DecodeError> {
    let after = take_epoch(&mut bytes)?;
    let promised = take_ballot(&mut bytes)?;
    let accepted = if bytes.is_empty() {
        None
    } else {
        let ballot = take_ballot(&mut bytes)?;
        Some((ballot, decode_configuration(&bytes)?))
    };
    Ok((after, Acceptor::restored(promised, accepted)))
}

pub(super) fn encode_taken(epoch: Epoch) -> Bytes {
    Bytes::copy_from_slice(&epoch.0.to_be_bytes())
}

fn decode_taken(mut bytes: Bytes) -> Result<Epoch, DecodeError> {
    let epoch = take_epoch(&mut bytes)?;
    if bytes.is_empty() {
        Ok(epoch)
    } else {
        Err(DecodeError::Malformed("an epoch has 8 bytes"))
    }
}

fn put_ballot(ballot: Ballot, out: &mut BytesMut) {
    out.put_u64(ballot.round);
    out.put_u64(ballot.proposer.0);
}

fn take_ballot(bytes: &mut Bytes) -> Result<Ballot, DecodeError> {
    Ok(Ballot {
        round: take_number(bytes)?,
        proposer: NodeId(take_number(bytes)?),
    })
}

fn take_epoch(bytes: &mut Bytes) -> Result<Epoch, DecodeError> {
    take_number(bytes).map(Epoch)
}

fn take_number(bytes: &mut Bytes) -> Result<u64, DecodeError> {
    bytes.try_get_u64().map_err(|_short| DAMAGED)
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;
    use quoit_ring::change::Known;

    use super::*;
    use crate::testing::ring;

    fn ballots() -> impl Strategy<Value = Ballot> {
        any::<(u64, u64)>().prop_map(|(round, proposer)| Ballot {
            round,
            proposer: NodeId(proposer),
        })
    }

    proptest! {
        #[test]
        fn a_vote_comes_back_from_its_bytes(
            after: u64, promised in ballots(), accepted in option::of((ballots(), 1_u64..4)),
        ) {
            let of = |members| Known::of(ring(members)).configuration().clone();
            let vote = Acceptor::restored(promised, accepted.map(|(ballot, members)| (ballot, of(members))));
            let read = decode_vote(encode_vote(Epoch(after), &vote));
            prop_assert_eq!(read, Ok((Epoch(after), vote)));
        }

        #[test]
        fn what_was_pulled_comes_back_from_its_bytes_and_junk_is_an_error(
            epoch: u64, sources in btree_map(any::<u64>(), option::of(vec(any::<u8>(), 0..9)), 0..5),
            junk in vec(any::<u8>(), 0..40),
        ) {
            let mut pulled = Pulled::in_epoch(Epoch(epoch));
            for (source, next) in sources {
                pulled.advance(NodeId(source), next.map(Bytes::from));
            }
            prop_assert_eq!(Pulled::decode(pulled.encode()), Ok(pulled));
            let junk = Bytes::from(junk);
            let _any = (Pulled::decode(junk.clone()).is_ok(), decode_vote(junk).is_ok());
        }
    }

    #[test]
    fn a_taken_epoch_has_eight_bytes() {
        assert_eq!(decode_taken(encode_taken(Epoch(7))), Ok(Epoch(7)));
        for bytes in [&[0; 7][..], &[0; 9]] {
            assert!(decode_taken(Bytes::copy_from_slice(bytes)).is_err());
        }
    }

    #[test]
    fn a_pull_begins_at_the_start_goes_on_at_its_cursor_and_ends() {
        let (mut pulled, source) = (Pulled::in_epoch(Epoch(3)), NodeId(2));
        assert_eq!(pulled.cursor(source), Some(Bytes::new()));
        pulled.advance(source, Some("k".into()));
        assert_eq!(
            (pulled.cursor(source), pulled.done()),
            (Some("k".into()), vec![])
        );
        pulled.advance(source, None);
        assert_eq!((pulled.cursor(source), pulled.done()), (None, vec![source]));
    }
}
