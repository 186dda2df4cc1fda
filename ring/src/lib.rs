//! What a quoit client and a quoit node must agree on.
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`token`] | where a key falls on the circle, and how the circle is cut into leaves |
//! | [`cluster`] | identities, members, the map with its epoch |
//! | [`change`] | a change of the ring, arc by arc: owners of both maps, counts in both lists |
//! | [`placement`] | who owns a key: the ring, preference lists, where virtual nodes sit |
//! | [`clock`] | the hybrid logical clock |
//! | [`consensus`] | one decision by a majority of voters |
//! | [`register`] | conditional writes: a linearizable register per key |
//! | [`version`] | dots, what has seen what, records and their join |
//! | [`moment`] | monotonic time |
//! | [`merkle`] | sums over live data, leaf by leaf |
//! | [`role`] | who may ask what: the role in a certificate |
//! | [`wire`] | messages, frames and the one codec: bytes in, bytes out |
//!
//! Two replicas that have joined the same writes are equal, in whatever order these came:
//!
//! ```
//! use quoit_ring::{Actor, Clock, Delta, Dot, Millis, Record, Time};
//!
//! let clock = Clock::starting_at(Time::ZERO);
//! let write = |actor, value: &'static str| {
//!     let dot = Dot { time: clock.mint(Millis(1_000), 7), actor: Actor(actor) };
//!     Delta::blind(dot, Some((value.into(), None)))
//! };
//! let (first, second) = (write(1, "red"), write(2, "blue"));
//! let (mut here, mut there) = (Record::default(), Record::default());
//! for write in [&first, &second, &first] {
//!     here.join(write.record()); // a retry
//! }
//! for write in [&second, &first] {
//!     there.join(write.record());
//! }
//! assert_eq!(here, there);
//! assert_eq!(here.live()[0].value.as_deref(), Some(&b"blue"[..]), "the last writer won");
//! ```
//!
//! Invariant: everything here is pure: no clock, randomness, input or output, and no order that depends
//! on a hash seed. Time and randomness are arguments; `clippy.toml` bans the rest by name. Left out:
//! sending and receiving, which is the job of client and node.
//!
//! Source: `DeCandia` et al., *Dynamo: Amazon's Highly Available Key-value Store* (2007), cited as Dynamo
//! below; each module names its own.

pub mod change;
pub mod clock;
pub mod cluster;
pub mod consensus;
pub mod merkle;
pub mod moment;
pub mod placement;
pub mod register;
pub mod role;
pub mod token;
pub mod version;
pub mod wire;

pub use clock::{Clock, Drift, Millis, Time, check_drift};
pub use cluster::{ClusterId, ClusterMap, Epoch, Member, NodeId, ParseIdError};
pub use merkle::{MerkleKey, MerkleTree, Sum};
pub use moment::Moment;
pub use placement::{PreferenceList, Ring, RingError};
pub use token::{Leaf, LeafBits, Token, TokenKey, token_of};
pub use version::{
    Actor, BadDelta, Delta, Dot, Held, Interval, Record, Seen, Sibling, content_hash,
};
