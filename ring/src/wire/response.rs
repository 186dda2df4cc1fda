//! Responses: what a node sends back.
//!
//! ```text
//!   head   epoch, clock, variant                            body
//!          Map                                              map
//!          Record                                           record
//!          Above, Unsettled, with a floor                   record, if there is one
//!          Absent | Joined | Superseded | Status | Sums | Heard        -
//!          Refused   why, with the numbers behind it        -
//!          Hints                                            target, count, bytes: u64 each, again and again
//!          Membership                                       an answer about the ring
//!          Members                                          what the node sees of the others
//!          Sync                                             an answer of a sync
//!          Register                                         an answer about a key's register
//!          Scan                                             a page of rows
//!          Watch                                            keys that have changed
//! ```
//!
//! Every response carries the node's ring epoch and its clock, so a stale ring or clock is noticed at
//! once. A refusal is evidence: it says what the node found, and whether the refused write
//! could be stored there.
//!
//! Invariant: variants keep their number; new ones go last. Left out: when a node sends which.

use bincode::{Decode, Encode};
use bytes::{Bytes, BytesMut};

use crate::clock::Time;
use crate::cluster::{Epoch, NodeId};
use crate::merkle::{FAN_OUT, Sum};
use crate::version::Held;
use crate::wire::codec::{self, DecodeError};
use crate::wire::frame::{self, Kind};
use crate::wire::members::{MembersSeen, decode_members, encode_members};
use crate::wire::membership::MembershipAnswer;
use crate::wire::record::decode_record;
use crate::wire::refusal::Refusal;
use crate::wire::register::RegisterAnswer;
use crate::wire::scan::ScanPage;
use crate::wire::sync::SyncAnswer;
use crate::wire::warning::{Warning, are_within_bounds};
use crate::wire::watch::WatchAnswer;

/// Most bytes of the free text in a status; more is refused.
const MAX_TEXT: usize = 64;

/// One response of one node: `Map`, `Status` and `Sums` to the request of that name, `Record`, `Absent`, `Above` or
/// `Unsettled` to a get, `Joined` to a put, repair, hint or commit, `Superseded` to a put or hint, `Heard` to gossip, `Hints`, `Membership`,
/// `Members`, `Sync`, `Register`, `Scan` and `Watch` to the request of that name, `Refused` to any.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Response {
    /// The encoded cluster map.
    Map(Bytes),
    /// The state of the node.
    Status(Box<NodeStatus>),
    /// The encoded record, possibly without its values; expired siblings are in it until they are killed.
    Record(Bytes),
    /// There is no record under the key.
    Absent,
    /// The record was joined, as durably as the node is configured to.
    Joined,
    /// A later write superseded this one: its dot was seen already. Nothing was changed.
    Superseded {
        /// The replica can name this very dot: it, or a write that built on it, was joined earlier.
        named: bool,
        /// A dot minted above this is not superseded here.
        above: Time,
    },
    /// The Merkle sums asked for, at most 16.
    Sums(Vec<Sum>),
    /// The request was not carried out.
    Refused(Refusal),
    /// The hints kept, at most one entry per target; targets without hints are left out.
    Hints(Vec<Kept>),
    /// A vote on the ring, how far a node is in a change, or a page of what moves.
    Membership(Box<MembershipAnswer>),
    /// A message of gossip was taken; what it leads to is a message of its own.
    Heard,
    /// What the node sees of the other members.
    Members(MembersSeen),
    /// Sums or keys of the leaves that both nodes own.
    Sync(SyncAnswer),
    /// [`Record`](Self::Record) or [`Absent`](Self::Absent), in a range with a floor above zero ([`Held`]).
    Above {
        /// The node's `stable` of the range.
        floor: Time,
        /// The encoded record, if there is one.
        record: Option<Bytes>,
    },
    /// As [`Above`](Self::Above), with any floor, and a conditional write is pending here: it may have happened, and the record
    /// has not seen it. So the answer is one to a read that promises nothing; others ask again.
    Unsettled {
        /// The node's `stable` of the range.
        floor: Time,
        /// The encoded record, if there is one.
        record: Option<Bytes>,
    },
    /// A step of a conditional write, or of a linearizable read.
    Register(Box<RegisterAnswer>),
    /// A page of the keys of a range.
    Scan(ScanPage),
    /// Which keys have changed.
    Watch(WatchAnswer),
}

impl Response {
    /// The answer to a get: the encoded record or none, in a range with this floor.
    #[must_use]
    pub fn to_get(record: Option<Bytes>, floor: Time) -> Self {
        match (record, floor) {
            (Some(record), Time::ZERO) => Self::Record(record),
            (None, Time::ZERO) => Self::Absent,
            (record, floor) => Self::Above { floor, record },
        }
    }

    /// An answer to a get where a conditional write is pending.
    #[must_use]
    pub fn unsettled(self, floor: Time) -> Self {
        let record = match self {
            Self::Record(record) => Some(record),
            Self::Above { record, .. } | Self::Unsettled { record, .. } => record,
            _ => None,
        };
        Self::Unsettled { floor, record }
    }

    /// The encoded record in an answer to a get, if there is one.
    #[must_use]
    pub const fn record(&self) -> Option<&Bytes> {
        match self {
            Self::Record(record) => Some(record),
            Self::Above { record, .. } | Self::Unsettled { record, .. } => record.as_ref(),
            _ => None,
        }
    }

    /// What the node holds, by its answer to a get; none if it is no such answer.
    ///
    /// ```
    /// # use quoit_ring::wire::Response;
    /// # use quoit_ring::{Held, Time};
    /// let held = Response::to_get(None, Time(10)).held().unwrap().unwrap();
    /// assert_eq!(held, Held::new(None, Time(10)));
    /// assert!(Response::Joined.held().is_none());
    /// ```
    ///
    /// # Errors
    /// [`DecodeError`] if the record is junk.
    #[must_use]
    pub fn held(&self) -> Option<Result<Held, DecodeError>> {
        let (record, floor) = match self {
            Self::Record(record) => (Some(record), Time::ZERO),
            Self::Absent => (None, Time::ZERO),
            Self::Above { floor, record } | Self::Unsettled { floor, record } => {
                (record.as_ref(), *floor)
            }
            _ => return None,
        };
        let row = record.map(decode_record).transpose();
        Some(row.map(|row| Held::new(row, floor)))
    }
}

/// The hints that one node keeps for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// The node that missed the writes.
    pub target: NodeId,
    /// How many: one for each key, however often it was written.
    pub count: u64,
    /// Their keys and records, in bytes.
    pub bytes: u64,
}

/// When a node acknowledges a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Durability {
    /// Once it is on the disk: survives a power loss.
    Fsync,
    /// Once the operating system has it: survives the node's own death.
    Buffered,
}

/// The state of a node. Counts start at 0 with the process, except those of data on disk.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NodeStatus {
    /// Its identity.
    pub node: NodeId,
    /// The version of its build, at most 64 bytes.
    pub version: String,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// When it acknowledges a write.
    pub durability: Durability,
    /// About how many records it stores.
    pub records: u64,
    /// Bytes of its data on disk.
    pub disk_bytes: u64,
    /// Bytes free on its disk; 0 if it does not know.
    pub free_bytes: u64,
    /// Most bytes that it pulls in a second while leaves move to it.
    pub pull_bytes_per_second: u64,
    /// Connections it serves.
    pub connections: u32,
    /// Writes waiting for their commit.
    pub queued_writes: u32,
    /// The sum over its live data; `None` while it is being rebuilt after a start.
    pub merkle_root: Option<Sum>,
    /// Dots seen with two contents since the start: a client's state was cloned.
    pub dot_collisions: u64,
    /// Records that the walk after the start has summed up so far; it ends near [`records`](Self::records).
    pub summed_records: u64,
    /// Records, or places among them, that this walk could not read.
    pub unreadable_records: u64,
    /// The hints that their targets refuse; `None` if there are none.
    pub refused_hints: Option<RefusedHints>,
    /// Repairs and delivered hints refused since the start because the record would be over its bounds: until somebody
    /// puts or deletes the key, its replicas differ.
    pub refused_repairs: u64,
    /// Values that had expired and that it removed since the start, without a reader.
    pub swept_values: u64,
    /// When the value expires, or has expired, that it will remove next, in milliseconds since 1970; `None` if it knows of none
    /// that expires.
    pub next_expiry_ms: Option<u64>,
    /// What is not as it should be, at most one of each kind.
    pub warnings: Vec<Warning>,
}

/// The hints of one node that their targets refuse. They are kept, and tried again ever less often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct RefusedHints {
    /// How many; at least so many if it is 4,096 or more.
    pub count: u64,
    /// The target that was the last to refuse one.
    pub target: NodeId,
    /// Its reason.
    pub reason: Refusal,
}

/// A response with what every response carries.
///
/// ```
/// # use bytes::{Buf, BytesMut};
/// # use quoit_ring::wire::{Refusal, Response, ResponseFrame};
/// # use quoit_ring::{Epoch, Millis, Time};
/// let response = Response::Refused(Refusal::TooOld { age_ms: 90_000, max_ms: 60_000 });
/// let clock = Time::at(Millis(1_700_000_000_000));
/// let frame = ResponseFrame { id: 1, epoch: Epoch(1), clock, response };
/// let mut bytes = BytesMut::new();
/// frame.encode(&mut bytes);
/// let length = bytes.get_u32_le() as usize; // `Frames` does this for a stream
/// assert_eq!(length, bytes.len());
/// assert_eq!(ResponseFrame::decode(bytes.freeze()), Ok(frame));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseFrame {
    /// The request's id.
    pub id: u64,
    /// The epoch that the node announces: it refuses older ones.
    pub epoch: Epoch,
    /// The node's clock.
    pub clock: Time,
    /// The answer.
    pub response: Response,
}

#[derive(Encode, Decode)]
struct Head {
    epoch: Epoch,
    clock: Time,
    answer: Answer,
}

/// A response without its raw parts. Variants keep their order; new ones go last.
#[derive(Encode, Decode)]
enum Answer {
    Map,
    /// In a box, or each answer would be moved about as if it were as large.
    Status(Box<NodeStatus>),
    Record,
    Absent,
    Joined,
    Superseded {
        named: bool,
        above: Time,
    },
    Sums(Vec<Sum>),
    Refused(Refusal),
    Hints,
    Membership,
    Heard,
    Members,
    Sync,
    Above {
        floor: Time,
        has_record: bool,
    },
    Unsettled {
        floor: Time,
        has_record: bool,
    },
    Register,
    Scan,
    Watch,
}

impl ResponseFrame {
    /// Appends the whole frame, its length field included, to `out`; raw parts are copied. At most 16 sums
    /// and 64 bytes of version can be read back.
    pub fn encode(&self, out: &mut BytesMut) {
        let (list, message);
        let (answer, body): (Answer, &[u8]) = match &self.response {
            Response::Map(map) => (Answer::Map, map),
            Response::Status(status) => {
                debug_assert!(status.version.len() <= MAX_TEXT, "a version is short");
                debug_assert!(are_within_bounds(&status.warnings), "few, and short");
                (Answer::Status(status.clone()), &[])
            }
            Response::Record(record) => (Answer::Record, record),
            Response::Absent => (Answer::Absent, &[]),
            Response::Joined => (Answer::Joined, &[]),
            &Response::Superseded { named, above } => (Answer::Superseded { named, above }, &[]),
            Response::Sums(sums) => {
                debug_assert!(sums.len() <= FAN_OUT, "the children of one sum");
                (Answer::Sums(sums.clone()), &[])
            }
            &Response::Refused(refusal) => (Answer::Refused(refusal), &[]),
            Response::Hints(kept) => {
                list = encode_kept(kept);
                (Answer::Hints, &list)
            }
            Response::Membership(answer) => {
                message = answer.encode();
                (Answer::Membership, &message)
            }
            Response::Heard => (Answer::Heard, &[]),
            Response::Members(seen) => {
                message = encode_members(seen);
                (Answer::Members, &message)
            }
            Response::Sync(answer) => {
                message = answer.encode();
                (Answer::Sync, &message)
            }
            &Response::Above { floor, ref record } => {
                let has_record = record.is_some();
                let body = record.as_deref().unwrap_or_default();
                (Answer::Above { floor, has_record }, body)
            }
            &Response::Unsettled { floor, ref record } => {
                let has_record = record.is_some();
                let body = record.as_deref().unwrap_or_default();
                (Answer::Unsettled { floor, has_record }, body)
            }
            Response::Register(answer) => {
                message = answer.encode();
                (Answer::Register, &message)
            }
            Response::Scan(page) => {
                message = page.encode();
                (Answer::Scan, &message)
            }
            Response::Watch(answer) => {
                message = answer.encode();
                (Answer::Watch, &message)
            }
        };

        let head = Head {
            epoch: self.epoch,
            clock: self.clock,
            answer,
        };
        frame::build(
            Kind::Response,
            self.id,
            out,
            |out| codec::put(&head, out),
            &[body],
        );
    }

    /// Reads a frame that [`Frames`](crate::wire::Frames) cut off; raw parts are slices of it.
    ///
    /// # Errors
    /// [`DecodeError`] if it is not exactly one response; the frame is dropped.
    pub fn decode(frame: Bytes) -> Result<Self, DecodeError> {
        let parts = frame::open(Kind::Response, frame)?;
        let head: Head = frame::head(&parts.head)?;
        let body = parts.body;
        let has_body = matches!(
            head.answer,
            Answer::Map
                | Answer::Record
                | Answer::Hints
                | Answer::Membership
                | Answer::Members
                | Answer::Sync
                | Answer::Register
                | Answer::Scan
                | Answer::Watch
                | Answer::Above {
                    has_record: true,
                    ..
                }
                | Answer::Unsettled {
                    has_record: true,
                    ..
                }
        );
        if !has_body && !body.is_empty() {
            return Err(DecodeError::Malformed("an unexpected body"));
        }

        let response = match head.answer {
            Answer::Map => Response::Map(body),
            Answer::Status(status) if status.version.len() > MAX_TEXT => {
                return Err(DecodeError::Malformed("a text over its limit"));
            }
            Answer::Status(status) if !are_within_bounds(&status.warnings) => {
                return Err(DecodeError::Malformed("warnings over their limit"));
            }
            Answer::Status(status) => Response::Status(status),
            Answer::Record => Response::Record(body),
            Answer::Absent => Response::Absent,
            Answer::Joined => Response::Joined,
            Answer::Superseded { named, above } => Response::Superseded { named, above },
            Answer::Sums(sums) if sums.len() > FAN_OUT => {
                return Err(DecodeError::Malformed("more sums than an inner sum has"));
            }
            Answer::Sums(sums) => Response::Sums(sums),
            Answer::Refused(refusal) => Response::Refused(refusal),
            Answer::Hints => Response::Hints(decode_kept(&body)?),
            Answer::Membership => Response::Membership(Box::new(MembershipAnswer::decode(body)?)),
            Answer::Heard => Response::Heard,
            Answer::Members => Response::Members(decode_members(&body)?),
            Answer::Sync => Response::Sync(SyncAnswer::decode(body)?),
            Answer::Above { floor, has_record } => Response::Above {
                floor,
                record: has_record.then_some(body),
            },
            Answer::Unsettled { floor, has_record } => Response::Unsettled {
                floor,
                record: has_record.then_some(body),
            },
            Answer::Register => Response::Register(Box::new(RegisterAnswer::decode(body)?)),
            Answer::Scan => Response::Scan(ScanPage::decode(body)?),
            Answer::Watch => Response::Watch(WatchAnswer::decode(body)?),
        };
        Ok(Self {
            id: parts.id,
            epoch: head.epoch,
            clock: head.clock,
            response,
        })
    }
}

/// Bytes of one entry of the list.
const KEPT: usize = 3 * size_of::<u64>();

fn encode_kept(kept: &[Kept]) -> Vec<u8> {
    let numbers = kept.iter().flat_map(|of| [of.target.0, of.count, of.bytes]);
    numbers.flat_map(u64::to_le_bytes).collect()
}

/// Reads a list that is as long as its bytes say: what is allocated for it is no more than came.
fn decode_kept(body: &[u8]) -> Result<Vec<Kept>, DecodeError> {
    let (entries, []) = body.as_chunks::<KEPT>() else {
        return Err(DecodeError::Malformed("a list that ends inside an entry"));
    };
    Ok(entries.iter().map(kept_of).collect())
}

fn kept_of(entry: &[u8; KEPT]) -> Kept {
    let (numbers, _none) = entry.as_chunks::<8>();
    let number = |at: usize| numbers.get(at).copied().map_or(0, u64::from_le_bytes);
    Kept {
        target: NodeId(number(0)),
        count: number(1),
        bytes: number(2),
    }
}
