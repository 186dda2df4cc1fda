//! Watches: what a key or a prefix holds, and then each change of it, as a quorum of its owners has it.
//!
//! ```text
//!   nodes --"k has changed"--> the watch --quorum read of k--> another version than was yielded: yielded
//! ```
//!
//! A node reports which keys have changed, and no values: what is yielded comes from reads like any other, so a watch sees what a get
//! would see, and never goes back.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `event`, `error`, `token` | what is yielded, why it ends, where it goes on |
//! | `feeds` | which nodes are heard, and up to where. Pure |
//! | `memory` | what was yielded of each key. Pure |
//! | `machine` | what is read when. Pure |
//! | `stream` | polls, reads, yields |
//!
//! Left out: what a node keeps of a subscription (`quoit_node`), and how it is polled (`operation::poll`).

mod error;
mod event;
mod feeds;
mod machine;
mod memory;
mod stream;
mod token;

use core::fmt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::NodeId;
use quoit_ring::change::Topology;
use quoit_ring::wire::MAX_KEY;

pub use self::error::{BadWatchToken, WatchError};
pub use self::event::{Lag, WatchEntry, WatchEvent};
pub use self::stream::WatchStream;
pub use self::token::WatchToken;

use self::machine::Target;
use self::stream::Parts;
use crate::client::Client;
use crate::consistency::{Consistency, DEADLINES, ReadRepair};
use crate::error::InvalidRequest;
use crate::merge::Merge;
use crate::operation::plan::{Plan, majority};
use crate::scan::has_tag;

/// The changes of a key or prefix; made by [`Client::watch`] and [`Client::watch_prefix`].
///
/// ```no_run
/// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use quoit_client::WatchEvent;
///
/// let mut carts = client.watch_prefix("cart:").stream()?;
/// while let Some(event) = carts.next().await {
///     match event? {
///         WatchEvent::Changed(cart) if cart.entry().is_absent() => println!("{:?} is gone", cart.key()),
///         WatchEvent::Changed(cart) => println!("{:?}: {:?}", cart.key(), cart.value()),
///         WatchEvent::Current => println!("all that was there has come"),
///         WatchEvent::Lagged(why) => println!("behind: {why}"),
///         _ => {} // a reset: only after a resumption, or with very many keys
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing happens before its stream is polled"]
pub struct Watch {
    client: Client,
    target: Target,
    plan: Plan,
    token: Option<WatchToken>,
    merge: Option<Arc<dyn Merge>>,
}

impl Client {
    /// Yields what a key of 1 to 32,768 bytes holds, and then each newer version. [`Watch`] has the options.
    ///
    /// Versions are coalesced: of several in quick succession only the last may come. That one always comes, once an
    /// operation has been acknowledged, as do deletes and the ends of values with a time to live; a write that failed, and may be
    /// stored, comes if it is. What comes is what a quorum read returns, and never an older version than before.
    ///
    /// Each owner of the key is polled, and answers when the key changes. An owner that fails is done without; while a majority
    /// of the owners is heard, nothing is missed. While fewer are, the key is read once a second, and the watch says that it
    /// [lags](WatchEvent::Lagged).
    ///
    /// A watch has no task of its own: nothing happens while its stream is not polled. If that takes long, nodes forget
    /// it (after ten seconds) and the watch says that it has lagged. Under way it counts as one operation for each node, one for each read
    /// and one for its timer, of [`max_in_flight`](crate::ClientBuilder::max_in_flight). A node takes 1,024 subscriptions; one that has
    /// as many refuses, and counts as one that is not heard.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use quoit_client::WatchEvent;
    ///
    /// let mut settings = client.watch("settings").stream()?;
    /// while let Some(event) = settings.next().await {
    ///     if let WatchEvent::Changed(entry) = event? {
    ///         println!("{:?}", entry.value());
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self, key: impl Into<Bytes>) -> Watch {
        self.watch_target(Target::Key(key.into()))
    }

    /// Yields all keys that begin with `prefix`, up to 32,768 bytes, with their values, then [`Current`](WatchEvent::Current),
    /// and then each change of such a key. An empty prefix is that of all. [`Client::watch`] has the promises.
    ///
    /// What is there is read by a [scan](Client::scan), in order; changes come in none. All nodes are polled, or the owners
    /// of the tag alone if the prefix holds a whole `{tag}`. After a loss of changes, of which it yields [`Lagged`](WatchEvent::Lagged), all is scanned again, and
    /// what differs is yielded. While fewer than a majority of the owners of some key are heard it is scanned every ten seconds,
    /// and with one node away once more half a minute after the last change. So a prefix of very many keys is costly to watch where nodes fail often.
    ///
    /// It remembers which versions it has yielded of 65,536 keys (16 MiB). With more, a key may come again unchanged, and a
    /// scan begins with [`Reset`](WatchEvent::Reset).
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut cart = client.watch_prefix("cart:{42}:").stream()?; // a whole tag: three nodes are asked, not all
    /// while let Some(event) = cart.next().await {
    ///     println!("{:?}", event?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch_prefix(&self, prefix: impl Into<Bytes>) -> Watch {
        self.watch_target(Target::Prefix(prefix.into()))
    }

    fn watch_target(&self, target: Target) -> Watch {
        let plan = Plan {
            consistency: Consistency::Quorum,
            count: None,
            repair: Some(ReadRepair::BeforeAnswer),
            ..self.read_plan()
        };
        Watch {
            client: self.clone(),
            target,
            plan,
            token: None,
            merge: None,
        }
    }
}

impl Watch {
    /// Goes on where the watch was that gave out this [token](WatchStream::token): of the same key or prefix, in the same cluster.
    ///
    /// A watch of a key yields nothing before there is another version than the last one. A watch of a prefix cannot know
    /// what was yielded of each key: it begins with [`Reset`](WatchEvent::Reset), and yields all that is there.
    pub fn resume(mut self, token: WatchToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Merges the siblings of a key with `merge` into one value, as in a [get](crate::Get::merge).
    pub fn merge(mut self, merge: impl Merge + 'static) -> Self {
        self.merge = Some(Arc::new(merge));
        self
    }

    /// How long each read may take, 1 ms to 30 s; default is the client's [`deadline`](crate::ClientBuilder::deadline). One that
    /// takes longer is made again. The watch as a whole has none.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.plan.deadline = deadline;
        self
    }

    /// The stream of its events. Nothing is sent before that is polled.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut settings = client.watch("settings").stream()?;
    /// let first = settings.next().await;
    /// # drop(first);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`WatchError::Invalid`] if key, prefix or deadline are out of bounds, and [`WatchError::Token`] if the token is not one
    /// of this watch. Nothing was sent.
    pub fn stream(self) -> Result<WatchStream, WatchError> {
        let name = match &self.target {
            Target::Key(key) if key.is_empty() => return Err(InvalidRequest::EmptyKey.into()),
            Target::Key(name) | Target::Prefix(name) => name,
        };
        if name.len() > MAX_KEY {
            let bytes = name.len();
            return Err(InvalidRequest::LongKey { bytes }.into());
        }
        if !DEADLINES.contains(&self.plan.deadline) {
            return Err(InvalidRequest::Deadline(self.plan.deadline).into());
        }
        let cluster = self.client.topology().source().map().cluster;
        let known = match self.token {
            Some(token) => token.known(cluster, &self.target)?,
            None => None,
        };
        Ok(WatchStream::new(Parts {
            client: self.client,
            target: self.target,
            plan: self.plan,
            merge: self.merge,
            known,
        }))
    }
}

/// The nodes that report a target's changes, and how many of them may be lost while a majority of every key's owners is heard.
fn nodes_of(topology: &Topology, target: &Target) -> (BTreeSet<NodeId>, usize) {
    let of_key = |key: &Bytes| topology.lists(topology.token_of(key)).owners().collect();
    let nodes = match target {
        Target::Key(key) => of_key(key),
        Target::Prefix(prefix) if has_tag(prefix) => of_key(prefix),
        Target::Prefix(_) => topology.members().map(|member| member.id).collect(),
    };
    // The shortest list: while the ring changes there are two.
    let members = topology.source().members().len();
    let copies = topology
        .source()
        .replication()
        .min(members)
        .min(topology.copies());
    (nodes, copies.saturating_sub(majority(copies)))
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("target", &self.target)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}
