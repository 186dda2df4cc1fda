//! Who is alive in a quoit cluster, and who knows what: gossip and failure detection as one pure machine.
//!
//! ```text
//!   every second          digest, reply, facts                    every half second
//!   +--------+   heartbeats, epochs, what members say   +--------+    who is silent?
//!   | node 1 | <--------------------------------------> | node 2 |    phi -> ping -> helpers' pings
//!   +--------+          with a random member            +--------+    -> suspect -> failed
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | `machine` | [`Gossip`]: inputs and [`Step`]s |
//! | `exchange`, `message`, `wire` | what members say to each other, and its bytes |
//! | `rounds` | which members a round is made with |
//! | `watch`, `pace` | probes and suspicion; phi accrual |
//! | `listening` | the clock that stands still while this node could not hear anybody |
//! | `members`, `pulse`, `facts` | what is known of each member |
//! | `options` | settings, with the reasons for their defaults |
//!
//! Two machines, and what a driver does with them:
//!
//! ```
//! use quoit_gossip::{Facts, Gossip, Incarnation, Message, Options, Step};
//! use quoit_ring::wire::MemberState;
//! use quoit_ring::{Moment, NodeId};
//!
//! let ids = [NodeId(1), NodeId(2)];
//! let start = |id| {
//!     let mut gossip = Gossip::new(id, Incarnation(1), Facts::default(), Options::default(), Moment(0))?;
//!     gossip.handle_members(ids, Moment(0));
//!     Ok::<_, quoit_gossip::BadOptions>(gossip)
//! };
//! let (mut one, mut two) = (start(ids[0])?, start(ids[1])?);
//!
//! one.handle_time(Moment(0), 42); // and again at `one.next_wake()`, with another random number
//! let sent = core::iter::from_fn(|| one.poll_step()).find_map(|step| match step {
//!     Step::Send { to, message } => Some((to, message.encode())),
//!     _ => None,
//! });
//! let (to, bytes) = sent.expect("a digest");
//! assert_eq!(to, two.member(to).map_or(ids[1], |view| view.id));
//!
//! two.handle_message(ids[0], Message::decode(&bytes)?, Moment(500));
//! let seen = two.member(ids[0]).expect("a member");
//! assert!(seen.was_heard && seen.state == MemberState::Alive);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Invariants: it steers routing and what operators see, never ownership; only members that the
//! configuration names have an entry; whoever hears nobody blames nobody; the same inputs make the same steps. Left out: connections, addresses and names,
//! which belong to a driver, and who may speak at all, which certificates decide.
//!
//! Source: Dynamo (2007), section 4.8; each module names its own.

mod draw;
mod exchange;
mod facts;
mod listening;
mod machine;
mod members;
mod message;
mod options;
mod pace;
mod pulse;
mod rounds;
mod view;
mod watch;
mod wire;

use core::time::Duration;

pub use facts::{Build, Facts, MAX_BUILD};
pub use machine::{Gossip, Step};
pub use message::{Body, MAX_MESSAGE, Message};
pub use options::{BadOptions, Options};
pub use pulse::{Incarnation, Mark, Pulse};
pub use view::MemberView;
pub use wire::VERSION;

/// How often a member announces free bytes and the age of its oldest hint, at most.
pub const MINOR_FACTS_EVERY: Duration = Duration::from_secs(60);
