//! The wire: versioned messages and frames, bytes in and bytes out.
//!
//! ```text
//!   frame    length u32 | kind u8 | version u8 | id u64 | head length u32 | head | body
//!                         `---------------------- length counts these ----------------'
//!   head     bincode: small fixed fields and the message
//!   body     raw: key, record, map; read as slices of the frame, opaque to the codec
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`codec`] | the one place that calls bincode, with its limits |
//! | [`frame`] | cutting a byte stream into frames, building frames |
//! | [`request`], [`response`] | what a client or peer sends, what a node sends back |
//! | [`refusal`] | why a node did not carry a request out |
//! | [`warning`] | what is not as it should be at a node, a part of its status |
//! | [`record`] | a record's bytes, on the wire and on disk alike |
//! | [`map`] | a cluster map's bytes, and the file that starts a cluster |
//! | [`configuration`] | a configuration's bytes, and those of an update |
//! | [`membership`] | votes on the ring, its fence, pages of what moves |
//! | [`members`] | what a node sees of the other members |
//! | [`register`] | the messages of conditional writes |
//! | [`sync`] | the messages by which two nodes find what differs |
//! | [`scan`] | keys in their order, page by page |
//! | [`sync_status`] | how a node stands with the others |
//! | [`watch`] | which keys have changed |
//! | `lengths` | lengths in front of lists and of bytes |
//!
//! Invariants: every length is checked before anything of that length is allocated; junk is an error,
//! never a panic; within a version the bytes of a message never change, and new variants go last. Left
//! out: connections and streams, which belong to client and node. The format is our own; golden bytes
//! in `ring/tests/codec` pin it.

pub mod codec;
pub mod configuration;
pub mod frame;
mod lengths;
pub mod map;
pub mod members;
pub mod membership;
pub mod record;
pub mod refusal;
pub mod register;
pub mod request;
pub mod response;
pub mod scan;
pub mod sync;
pub mod sync_status;
pub mod warning;
pub mod watch;

pub use codec::DecodeError;
pub use configuration::{ConfigurationAnswer, MAX_UPDATE};
pub use frame::{Frames, LANE_FRAME, MAX_FRAME};
pub use map::FirstMap;
pub use members::{DiskLevel, MemberFacts, MemberSeen, MemberState, MembersSeen};
pub use membership::{MembershipAnswer, MembershipRequest, Page, Progress};
pub use record::{decode_record, encode_record, record_bytes, record_len};
pub use refusal::{Fault, Refusal, RefusalScope};
pub use register::{
    RegisterAnswer, RegisterAsk, RegisterRequest, RegisterState, decode_accepted, encode_accepted,
};
pub use request::{MAX_KEY, Request, RequestFrame};
pub use response::{Durability, Kept, NodeStatus, RefusedHints, Response, ResponseFrame};
pub use scan::{
    MAX_SCAN_BOUND, MAX_SCAN_BYTES, MAX_SCAN_ROWS, MAX_SCAN_WITHOUT, ScanPage, ScanRequest, ScanRow,
};
pub use sync::{
    BadNodes, KeyPage, MAX_SYNC_NODES, MAX_SYNC_ROWS, Promised, SyncAnswer, SyncOrder, SyncRequest,
};
pub use sync_status::{MAX_SYNC_REASON, PeerSyncStatus, StabilityStatus, SyncEnd, SyncStatus};
pub use warning::{MAX_WARNING_TEXT, MAX_WARNINGS, Warning, WarningKind};
pub use watch::{MAX_WATCH_BYTES, MAX_WATCH_KEYS, WatchAnswer, WatchChanges, WatchRequest};

/// The version of every format in this module: frames, records, maps, configurations. A reader refuses any other with
/// [`DecodeError::Version`].
pub const VERSION: u8 = 1;
