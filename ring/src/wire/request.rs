//! Requests: what a client or a peer sends to a node.
//!
//! ```text
//!   head   epoch, budget in ms, variant        body
//!          Map | Status                        -
//!          Get     digest                      key
//!          Put     dot, key length             key, record
//!          Repair  key length                  key, record
//!          Sums    level, index                -
//!          Hint    target, dot, key length     key, record
//!          Hints                               -
//!          Membership                          a message about the ring
//!          Gossip                              a message of gossip
//!          Members                             -
//!          Sync                                a message of a sync
//!          Register                            a message about a key's register
//!          Scan                                a range of keys, and how it is read
//!          Watch                               a poll for changes of a key or prefix
//! ```
//!
//! Every request carries the sender's ring epoch and what is left of its deadline. `Put` and `Repair`
//! are one operation, join; they differ in what is checked: a put's dot must be fresh and its record one
//! write within the bounds, a repair's dots may be old, and the bounds are those on what all replicas hold together.
//! Neither may be stamped far ahead of the node's clock. A `Hint` is a put that the node keeps for another one, the target, and
//! delivers to it as a repair.
//!
//! Invariant: variants keep their number; new ones go last. Left out: how a node carries them out.

use bincode::{Decode, Encode};
use bytes::{Bytes, BytesMut};

use crate::cluster::{Epoch, NodeId};
use crate::role::Privilege;
use crate::version::Dot;
use crate::wire::codec::DecodeError;
use crate::wire::frame::{self, Kind};
use crate::wire::membership::MembershipRequest;
use crate::wire::register::RegisterRequest;
use crate::wire::scan::ScanRequest;
use crate::wire::sync::SyncRequest;
use crate::wire::watch::WatchRequest;

/// Most bytes of a key: 32 KiB, half of what the engine can hold, since it stores keys behind prefixes.
pub const MAX_KEY: usize = 32 << 10;

/// One request to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// The cluster map.
    Map,
    /// The state of the node.
    Status,
    /// The record under a key.
    Get {
        /// The key.
        key: Bytes,
        /// Values may be left out; a node sends a record of up to 1 KiB whole all the same.
        digest: bool,
    },
    /// Join one write by a client.
    Put {
        /// The key.
        key: Bytes,
        /// The write's name.
        dot: Dot,
        /// Its encoded record.
        record: Bytes,
    },
    /// Join what other replicas hold: read repair, the delivery of hints, and later sync and transfers.
    Repair {
        /// The key.
        key: Bytes,
        /// The encoded record.
        record: Bytes,
    },
    /// The Merkle sums below one node of the tree. Peers only: they reveal what a node holds.
    Sums {
        /// Level of the parent; 0 is the root.
        level: u8,
        /// Index of the parent on its level.
        index: u32,
    },
    /// Join one write into the hints for a node that missed it.
    Hint {
        /// The node that missed it: an owner of the key, other than the receiver.
        target: NodeId,
        /// The key.
        key: Bytes,
        /// The write's name.
        dot: Dot,
        /// Its encoded record.
        record: Bytes,
    },
    /// How many hints are kept, by target.
    Hints,
    /// Votes on the ring, its fence, and what moves when it changes.
    Membership(MembershipRequest),
    /// A message of gossip, in a format of its own: who is alive, and who knows what. Peers only.
    Gossip(Bytes),
    /// What the node sees of the other members.
    Members,
    /// What is there of the leaves that sender and receiver both own, or how that was compared. The former for peers only: it
    /// reveals what a node holds.
    Sync(SyncRequest),
    /// A step of a conditional write, or of a linearizable read.
    Register(RegisterRequest),
    /// A page of the keys of a range, in their order.
    Scan(ScanRequest),
    /// Which keys have changed; answered once some have, or after a second or two.
    Watch(WatchRequest),
}

impl Request {
    /// The privilege that the sender needs.
    ///
    /// ```
    /// # use quoit_ring::role::Role;
    /// # use quoit_ring::wire::Request;
    /// let sums = Request::Sums { level: 0, index: 0 };
    /// assert!(!Role::Client.may(sums.privilege()));
    /// assert!(Role::Client.may(Request::Map.privilege()));
    /// ```
    #[must_use]
    pub const fn privilege(&self) -> Privilege {
        match self {
            Self::Map
            | Self::Status
            | Self::Get { .. }
            | Self::Put { .. }
            | Self::Repair { .. }
            | Self::Hint { .. }
            | Self::Hints
            | Self::Members
            | Self::Register(_)
            | Self::Scan(_)
            | Self::Watch(_) => Privilege::Client,
            Self::Sums { .. } | Self::Gossip(_) => Privilege::Peer,
            Self::Sync(request) => request.privilege(),
            Self::Membership(request) => request.privilege(),
        }
    }

    /// Bytes of key and record: the part of its frame without a fixed bound.
    ///
    /// ```
    /// # use quoit_ring::wire::Request;
    /// assert_eq!(Request::Get { key: "cart:42".into(), digest: false }.body_bytes(), 7);
    /// assert_eq!(Request::Map.body_bytes(), 0);
    /// ```
    #[must_use]
    pub const fn body_bytes(&self) -> usize {
        match self {
            Self::Map | Self::Status | Self::Sums { .. } | Self::Hints | Self::Members => 0,
            Self::Get { key, .. } => key.len(),
            Self::Put { key, record, .. }
            | Self::Repair { key, record }
            | Self::Hint { key, record, .. } => key.len() + record.len(),
            Self::Membership(request) => request.body_bytes(),
            Self::Gossip(message) => message.len(),
            Self::Sync(request) => request.body_bytes(),
            Self::Register(request) => request.body_bytes(),
            Self::Scan(request) => request.body_bytes(),
            Self::Watch(request) => request.body_bytes(),
        }
    }
}

/// A request with what every request carries.
///
/// ```
/// # use bytes::BytesMut;
/// # use quoit_ring::Epoch;
/// # use quoit_ring::wire::{Frames, MAX_FRAME, Request, RequestFrame};
/// let request = Request::Get { key: "cart:42".into(), digest: false };
/// let frame = RequestFrame { id: 1, epoch: Epoch(1), budget_ms: 5_000, request };
/// let mut sent = BytesMut::new();
/// frame.encode(&mut sent);
///
/// let mut received = Frames::new(MAX_FRAME);
/// received.push(&sent);
/// let bytes = received.next()?.unwrap();
/// assert_eq!(RequestFrame::decode(bytes)?, frame);
/// # Ok::<(), quoit_ring::wire::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFrame {
    /// Names the request on its connection; the response repeats it.
    pub id: u64,
    /// The sender's ring epoch.
    pub epoch: Epoch,
    /// Milliseconds left until the sender stops waiting; at 0 a node does not begin.
    pub budget_ms: u32,
    /// The request.
    pub request: Request,
}

#[derive(Encode, Decode)]
struct Head {
    epoch: Epoch,
    budget_ms: u32,
    ask: Ask,
}

/// A request without its raw parts. Variants keep their order; new ones go last.
#[derive(Encode, Decode)]
enum Ask {
    Map,
    Status,
    Get { digest: bool },
    Put { dot: Dot, key: u32 },
    Repair { key: u32 },
    Sums { level: u8, index: u32 },
    Hint { target: NodeId, dot: Dot, key: u32 },
    Hints,
    Membership,
    Gossip,
    Members,
    Sync,
    Register,
    Scan,
    Watch,
}

impl RequestFrame {
    /// Appends the whole frame, its length field included, to `out`. Key and record are copied; the caller
    /// keeps the frame below [`MAX_FRAME`](crate::wire::MAX_FRAME).
    pub fn encode(&self, out: &mut BytesMut) {
        let message;
        let length = |key: &Bytes| u32::try_from(key.len()).unwrap_or(u32::MAX);
        let (ask, body): (Ask, [&[u8]; 2]) = match &self.request {
            Request::Map => (Ask::Map, [&[], &[]]),
            Request::Status => (Ask::Status, [&[], &[]]),
            Request::Get { key, digest } => (Ask::Get { digest: *digest }, [key, &[]]),
            Request::Put { key, dot, record } => (
                Ask::Put {
                    dot: *dot,
                    key: length(key),
                },
                [key, record],
            ),
            Request::Repair { key, record } => (Ask::Repair { key: length(key) }, [key, record]),
            &Request::Sums { level, index } => (Ask::Sums { level, index }, [&[], &[]]),
            Request::Hint {
                target,
                key,
                dot,
                record,
            } => (
                Ask::Hint {
                    target: *target,
                    dot: *dot,
                    key: length(key),
                },
                [key, record],
            ),
            Request::Hints => (Ask::Hints, [&[], &[]]),
            Request::Membership(request) => {
                message = request.encode();
                (Ask::Membership, [&message, &[]])
            }
            Request::Gossip(message) => (Ask::Gossip, [message, &[]]),
            Request::Members => (Ask::Members, [&[], &[]]),
            Request::Sync(request) => {
                message = request.encode();
                (Ask::Sync, [&message, &[]])
            }
            Request::Register(request) => {
                message = request.encode();
                (Ask::Register, [&message, &[]])
            }
            Request::Scan(request) => {
                message = request.encode();
                (Ask::Scan, [&message, &[]])
            }
            Request::Watch(request) => {
                message = request.encode();
                (Ask::Watch, [&message, &[]])
            }
        };

        let head = Head {
            epoch: self.epoch,
            budget_ms: self.budget_ms,
            ask,
        };
        frame::build(
            Kind::Request,
            self.id,
            out,
            |out| crate::wire::codec::put(&head, out),
            &body,
        );
    }

    /// Reads a frame that [`Frames`](crate::wire::Frames) cut off; key and record are slices of it.
    ///
    /// # Errors
    /// [`DecodeError`] if it is not exactly one request; the frame is dropped. Keys are checked for their
    /// length only in that they fit the frame: a key out of bounds is answered, not cut off.
    pub fn decode(frame: Bytes) -> Result<Self, DecodeError> {
        let parts = frame::open(Kind::Request, frame)?;
        let head: Head = frame::head(&parts.head)?;
        let body = parts.body;

        let request = match head.ask {
            Ask::Map => empty(&body, Request::Map)?,
            Ask::Status => empty(&body, Request::Status)?,
            Ask::Get { digest } => Request::Get { key: body, digest },
            Ask::Put { dot, key } => {
                let (key, record) = split(body, key)?;
                Request::Put { key, dot, record }
            }
            Ask::Repair { key } => {
                let (key, record) = split(body, key)?;
                Request::Repair { key, record }
            }
            Ask::Sums { level, index } => empty(&body, Request::Sums { level, index })?,
            Ask::Hint { target, dot, key } => {
                let (key, record) = split(body, key)?;
                Request::Hint {
                    target,
                    key,
                    dot,
                    record,
                }
            }
            Ask::Hints => empty(&body, Request::Hints)?,
            Ask::Membership => Request::Membership(MembershipRequest::decode(body)?),
            Ask::Gossip => Request::Gossip(body),
            Ask::Members => empty(&body, Request::Members)?,
            Ask::Sync => Request::Sync(SyncRequest::decode(body)?),
            Ask::Register => Request::Register(RegisterRequest::decode(body)?),
            Ask::Scan => Request::Scan(ScanRequest::decode(body)?),
            Ask::Watch => Request::Watch(WatchRequest::decode(body)?),
        };
        Ok(Self {
            id: parts.id,
            epoch: head.epoch,
            budget_ms: head.budget_ms,
            request,
        })
    }
}

fn empty<T>(body: &Bytes, value: T) -> Result<T, DecodeError> {
    if body.is_empty() {
        Ok(value)
    } else {
        Err(DecodeError::Malformed("an unexpected body"))
    }
}

fn split(mut body: Bytes, key: u32) -> Result<(Bytes, Bytes), DecodeError> {
    let key = key as usize;
    if key > body.len() {
        return Err(DecodeError::Malformed("a key longer than its frame"));
    }
    let key = body.split_to(key);
    Ok((key, body))
}
