//! Messages about the ring itself: votes on the next epoch, what is decided, the fence, and pages of what moves.
//!
//! ```text
//!   Prepare  ballot                    -> Promised | Beaten | Decided | Behind | NoVoter
//!   Accept   ballot, next epoch        -> Accepted | Beaten | Decided | Behind | NoVoter | NoSuccessor
//!   Learn    a decided epoch           -> Learned
//!   Fence                              -> Progress
//!   Pull     behind which row          -> Page
//!   Join                               -> Welcome
//!   Refill   behind which row          -> Refill
//! ```
//!
//! All are about the epoch that their frame names: a vote is on what follows it, a page holds what its receiver pulls in
//! it. Configurations travel as answers do ([`configuration`](crate::wire::configuration)): a few bytes for a side that
//! knows that epoch.
//!
//! ```text
//!   message  variant u8 | fields       a list, or bytes, stand behind their length: u32
//!   page     rows: key, record | 0, or 1 and where the next one begins
//! ```
//!
//! Invariant: a list or a length is held against the bytes that are left before anything is allocated for it; long parts
//! are slices of the frame. Left out: whether a configuration is valid, a row is a record, and who may ask.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::cluster::{Epoch, NodeId};
use crate::consensus::Ballot;
use crate::merkle::MerkleKey;
use crate::role::Privilege;
use crate::wire::codec::{self, DecodeError};
use crate::wire::lengths::{put_length, take_length};

/// Most bytes that decoding a number or a ballot may read.
const SMALL: usize = 24;

/// One message about the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MembershipRequest {
    /// A proposer asks a voter for a promise on what follows the frame's epoch.
    Prepare {
        /// Its attempt.
        ballot: Ballot,
    },
    /// A proposer asks a voter to accept what shall follow the frame's epoch.
    Accept {
        /// Its attempt.
        ballot: Ballot,
        /// What shall follow, as an encoded answer for a side that knows the frame's epoch.
        next: Bytes,
    },
    /// An epoch is decided.
    Learn {
        /// Which, as an encoded answer.
        decided: Bytes,
    },
    /// Refuse all epochs before the frame's, and say how far the node is in it.
    Fence,
    /// A page of what the sender pulls from this node in the frame's epoch.
    Pull {
        /// Behind which row, as the page before said; empty for the first page.
        after: Bytes,
    },
    /// A node asks for what it needs before it can be one: it need not be a member, and must not have been removed.
    Join,
    /// A page of what the sender and this node both own in the frame's epoch: the sender has lost writes with its power.
    Refill {
        /// Behind which row, as the page before said; empty for the first page.
        after: Bytes,
    },
}

impl MembershipRequest {
    /// The privilege that its sender needs. An operator proposes changes as a node does; it fences nothing, and no data
    /// goes to it.
    #[must_use]
    pub const fn privilege(&self) -> Privilege {
        match self {
            Self::Prepare { .. } | Self::Accept { .. } | Self::Learn { .. } => Privilege::Propose,
            Self::Fence | Self::Pull { .. } | Self::Refill { .. } => Privilege::Peer,
            // Whoever holds a certificate may ask; it is answered to a node's.
            Self::Join => Privilege::Client,
        }
    }

    /// Bytes of its configuration or its row: the part without a fixed bound.
    #[must_use]
    pub const fn body_bytes(&self) -> usize {
        match self {
            Self::Accept { next: bytes, .. }
            | Self::Learn { decided: bytes }
            | Self::Pull { after: bytes }
            | Self::Refill { after: bytes } => bytes.len(),
            Self::Prepare { .. } | Self::Fence | Self::Join => 0,
        }
    }
}

/// What a node answers to a message about the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MembershipAnswer {
    /// It answers nothing below that ballot any more.
    Promised {
        /// What it accepted last, and by which ballot; the value as an encoded answer for a side that knows the frame's
        /// epoch.
        accepted: Option<(Ballot, Bytes)>,
    },
    /// It has accepted what was proposed.
    Accepted,
    /// A higher ballot has its promise.
    Beaten {
        /// That ballot.
        promised: Ballot,
    },
    /// The sender is behind: this epoch is decided, as an encoded answer.
    Decided(Bytes),
    /// This node is behind: it knows no later epoch than this one.
    Behind(Epoch),
    /// It is no voter of the frame's epoch.
    NoVoter,
    /// What was proposed cannot follow the frame's epoch.
    NoSuccessor,
    /// The newest epoch that this node has on its disk.
    Learned(Epoch),
    /// How far it is.
    Progress(Progress),
    /// A page of rows.
    Page(Page),
    /// What a node needs that is to join.
    Welcome {
        /// The key of the Merkle sums.
        merkle_key: MerkleKey,
        /// The newest epoch that the member knows, as an encoded answer for a side that knows none.
        configuration: Bytes,
    },
    /// A page of rows for a node that has lost writes.
    Refill {
        /// Whether this node has lost none itself, or has them back.
        is_complete: bool,
        /// The rows.
        page: Page,
    },
}

/// How far a node is in the epoch that it was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The newest epoch that it has on its disk.
    pub newest: Epoch,
    /// Earlier epochs than this are refused, for good.
    pub fence: Epoch,
    /// Old owners of which it has all that it pulls in that epoch, on its disk.
    pub pulled: Vec<NodeId>,
    /// Whether it holds rows that it does not own, or may not own yet.
    pub has_leftovers: bool,
    /// How many hints it keeps for others; `None` while they are counted.
    pub hints: Option<u64>,
}

/// A page of what moves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Keys and their encoded records.
    pub rows: Vec<(Bytes, Bytes)>,
    /// Keys and what the sender has accepted of their registers, encoded. Those of a record are in its page.
    pub registers: Vec<(Bytes, Bytes)>,
    /// Where the next page begins; `None` if this is the last one.
    pub next: Option<Bytes>,
}

impl MembershipRequest {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::Prepare { ballot } => {
                out.put_u8(0);
                codec::put(ballot, &mut out);
            }
            Self::Accept { ballot, next } => {
                out.put_u8(1);
                codec::put(ballot, &mut out);
                out.put_slice(next);
            }
            Self::Learn { decided } => {
                out.put_u8(2);
                out.put_slice(decided);
            }
            Self::Fence => out.put_u8(3),
            Self::Pull { after } => {
                out.put_u8(4);
                out.put_slice(after);
            }
            Self::Join => out.put_u8(5),
            Self::Refill { after } => {
                out.put_u8(6);
                out.put_slice(after);
            }
        }
        out.freeze()
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, DecodeError> {
        let variant = take_u8(&mut bytes)?;
        let request = match variant {
            0 => {
                let ballot = take(&mut bytes)?;
                codec::end(&bytes)?;
                Self::Prepare { ballot }
            }
            1 => Self::Accept {
                ballot: take(&mut bytes)?,
                next: bytes,
            },
            2 => Self::Learn { decided: bytes },
            3 => {
                codec::end(&bytes)?;
                Self::Fence
            }
            4 => Self::Pull { after: bytes },
            5 => {
                codec::end(&bytes)?;
                Self::Join
            }
            6 => Self::Refill { after: bytes },
            _ => return Err(DecodeError::Malformed("an unknown message about the ring")),
        };
        Ok(request)
    }
}

impl MembershipAnswer {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::Promised { accepted } => {
                out.put_u8(0);
                if let Some((ballot, value)) = accepted {
                    codec::put(ballot, &mut out);
                    out.put_slice(value);
                }
            }
            Self::Accepted => out.put_u8(1),
            Self::Beaten { promised } => {
                out.put_u8(2);
                codec::put(promised, &mut out);
            }
            Self::Decided(decided) => {
                out.put_u8(3);
                out.put_slice(decided);
            }
            Self::Behind(newest) => {
                out.put_u8(4);
                codec::put(newest, &mut out);
            }
            Self::NoVoter => out.put_u8(5),
            Self::NoSuccessor => out.put_u8(6),
            Self::Learned(newest) => {
                out.put_u8(7);
                codec::put(newest, &mut out);
            }
            Self::Progress(progress) => {
                out.put_u8(8);
                progress.put(&mut out);
            }
            Self::Page(page) => {
                out.put_u8(9);
                page.put(&mut out);
            }
            Self::Welcome {
                merkle_key,
                configuration,
            } => {
                out.put_u8(10);
                out.put_slice(&merkle_key.0);
                out.put_slice(configuration);
            }
            Self::Refill { is_complete, page } => {
                out.put_u8(11);
                out.put_u8(u8::from(*is_complete));
                page.put(&mut out);
            }
        }
        out.freeze()
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, DecodeError> {
        let variant = take_u8(&mut bytes)?;
        let answer = match variant {
            0 if bytes.is_empty() => Self::Promised { accepted: None },
            0 => {
                let ballot = take(&mut bytes)?;
                let value = core::mem::take(&mut bytes);
                Self::Promised {
                    accepted: Some((ballot, value)),
                }
            }
            1 => Self::Accepted,
            2 => Self::Beaten {
                promised: take(&mut bytes)?,
            },
            3 => Self::Decided(core::mem::take(&mut bytes)),
            4 => Self::Behind(take(&mut bytes)?),
            5 => Self::NoVoter,
            6 => Self::NoSuccessor,
            7 => Self::Learned(take(&mut bytes)?),
            8 => Self::Progress(Progress::take(&mut bytes)?),
            9 => Self::Page(Page::take(&mut bytes)?),
            10 => {
                let Some((key, _)) = bytes.split_first_chunk() else {
                    return Err(DecodeError::Malformed("a welcome without a key"));
                };
                let merkle_key = MerkleKey(*key);
                bytes.advance(merkle_key.0.len());
                Self::Welcome {
                    merkle_key,
                    configuration: core::mem::take(&mut bytes),
                }
            }
            11 => Self::Refill {
                is_complete: take(&mut bytes)?,
                page: Page::take(&mut bytes)?,
            },
            _ => return Err(DecodeError::Malformed("an unknown answer about the ring")),
        };
        codec::end(&bytes)?;
        Ok(answer)
    }
}

impl Progress {
    fn put(&self, out: &mut BytesMut) {
        codec::put(&(self.newest, self.fence, self.has_leftovers), out);
        codec::put(&self.hints, out);
        put_length(self.pulled.len(), out);
        for source in &self.pulled {
            out.put_u64_le(source.0);
        }
    }

    fn take(bytes: &mut Bytes) -> Result<Self, DecodeError> {
        let (newest, fence, has_leftovers) = take(bytes)?;
        let hints = take(bytes)?;
        let count = take_length(bytes, size_of::<u64>())?;
        Ok(Self {
            newest,
            fence,
            has_leftovers,
            hints,
            pulled: (0..count).map(|_| NodeId(bytes.get_u64_le())).collect(),
        })
    }
}

impl Page {
    fn put(&self, out: &mut BytesMut) {
        for rows in [&self.rows, &self.registers] {
            put_length(rows.len(), out);
            for part in rows.iter().flat_map(|(key, row)| [key, row]) {
                put_length(part.len(), out);
                out.put_slice(part);
            }
        }
        out.put_u8(self.next.is_some().into());
        out.put_slice(self.next.as_deref().unwrap_or_default());
    }

    fn take(bytes: &mut Bytes) -> Result<Self, DecodeError> {
        let (rows, registers) = (take_rows(bytes)?, take_rows(bytes)?);
        let has_next = take::<bool>(bytes)?;
        let next = has_next.then(|| core::mem::take(bytes));
        Ok(Self {
            rows,
            registers,
            next,
        })
    }
}

fn take_rows(bytes: &mut Bytes) -> Result<Vec<(Bytes, Bytes)>, DecodeError> {
    // A row has two lengths at least.
    let count = take_length(bytes, 2 * size_of::<u32>())?;
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        let mut part = || {
            let length = take_length(bytes, 1)?;
            Ok::<_, DecodeError>(bytes.split_to(length))
        };
        rows.push((part()?, part()?));
    }
    Ok(rows)
}

fn take<T: bincode::Decode<()>>(bytes: &mut Bytes) -> Result<T, DecodeError> {
    let mut rest = &bytes[..];
    let value = codec::take::<T, SMALL>(&mut rest)?;
    let used = bytes.len() - rest.len();
    bytes.advance(used);
    Ok(value)
}

fn take_u8(bytes: &mut Bytes) -> Result<u8, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Malformed("an empty message about the ring"));
    }
    Ok(bytes.get_u8())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..40).prop_map(Bytes::from)
    }

    fn ballots() -> impl Strategy<Value = Ballot> {
        any::<(u64, u64)>().prop_map(|(round, proposer)| Ballot {
            round,
            proposer: NodeId(proposer),
        })
    }

    fn requests() -> impl Strategy<Value = MembershipRequest> {
        prop_oneof![
            ballots().prop_map(|ballot| MembershipRequest::Prepare { ballot }),
            (ballots(), bytes())
                .prop_map(|(ballot, next)| MembershipRequest::Accept { ballot, next }),
            bytes().prop_map(|decided| MembershipRequest::Learn { decided }),
            Just(MembershipRequest::Fence),
            bytes().prop_map(|after| MembershipRequest::Pull { after }),
            Just(MembershipRequest::Join),
            bytes().prop_map(|after| MembershipRequest::Refill { after }),
        ]
    }

    fn progress() -> impl Strategy<Value = Progress> {
        let fields = (any::<(u64, u64, bool)>(), any::<Option<u64>>());
        (fields, vec(any::<u64>(), 0..5)).prop_map(|(((newest, fence, left), hints), pulled)| {
            Progress {
                newest: Epoch(newest),
                fence: Epoch(fence),
                pulled: pulled.into_iter().map(NodeId).collect(),
                has_leftovers: left,
                hints,
            }
        })
    }

    fn pages() -> impl Strategy<Value = Page> {
        let rows = || vec((bytes(), bytes()), 0..5);
        let page = (rows(), rows(), option::of(bytes()));
        page.prop_map(|(rows, registers, next)| Page {
            rows,
            registers,
            next,
        })
    }

    fn answers() -> impl Strategy<Value = MembershipAnswer> {
        prop_oneof![
            option::of((ballots(), bytes()))
                .prop_map(|accepted| MembershipAnswer::Promised { accepted }),
            Just(MembershipAnswer::Accepted),
            ballots().prop_map(|promised| MembershipAnswer::Beaten { promised }),
            bytes().prop_map(MembershipAnswer::Decided),
            any::<u64>().prop_map(|epoch| MembershipAnswer::Behind(Epoch(epoch))),
            Just(MembershipAnswer::NoVoter),
            Just(MembershipAnswer::NoSuccessor),
            any::<u64>().prop_map(|epoch| MembershipAnswer::Learned(Epoch(epoch))),
            progress().prop_map(MembershipAnswer::Progress),
            (any::<[u8; 16]>(), bytes()).prop_map(|(key, configuration)| {
                MembershipAnswer::Welcome {
                    merkle_key: MerkleKey(key),
                    configuration,
                }
            }),
            pages().prop_map(MembershipAnswer::Page),
            (any::<bool>(), pages())
                .prop_map(|(is_complete, page)| MembershipAnswer::Refill { is_complete, page }),
        ]
    }

    proptest! {
        #[test]
        fn a_request_comes_back_from_its_bytes(request in requests()) {
            prop_assert_eq!(MembershipRequest::decode(request.encode()), Ok(request));
        }

        #[test]
        fn an_answer_comes_back_from_its_bytes(answer in answers()) {
            prop_assert_eq!(MembershipAnswer::decode(answer.encode()), Ok(answer));
        }

        #[test]
        fn what_was_cut_off_is_an_error_or_another_message_and_never_a_panic(
            request in requests(), answer in answers(), at in any::<prop::sample::Index>(), junk in vec(any::<u8>(), 0..60),
        ) {
            for whole in [request.encode(), answer.encode(), junk.into()] {
                let cut = whole.slice(..at.index(whole.len() + 1));
                if let Ok(request) = MembershipRequest::decode(cut.clone()) {
                    prop_assert!(request.body_bytes() <= cut.len());
                }
                if let Ok(MembershipAnswer::Page(page)) = MembershipAnswer::decode(cut.clone()) {
                    prop_assert!(page.rows.len() <= cut.len() / 8);
                }
            }
        }
    }

    #[test]
    fn a_count_that_its_bytes_do_not_hold_is_refused_before_anything_is_allocated() {
        let mut page = BytesMut::from(&[9][..]);
        page.put_u32_le(u32::MAX);
        let page = MembershipAnswer::decode(page.freeze());
        assert!(matches!(page, Err(DecodeError::Malformed(_))), "{page:?}");
    }

    #[test]
    fn operators_propose_and_nodes_do_all() {
        let fence = MembershipRequest::Fence.privilege();
        let learn = MembershipRequest::Learn {
            decided: Bytes::new(),
        };
        let propose = learn.privilege();
        use crate::role::Role;
        let node = Role::Node(NodeId(1));
        let may =
            [Role::Client, Role::Admin, node].map(|role| (role.may(propose), role.may(fence)));
        assert_eq!(may, [(false, false), (true, false), (true, true)]);
    }
}
