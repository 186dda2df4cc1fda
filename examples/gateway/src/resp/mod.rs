//! RESP, the protocol of Redis, versions 2 and 3: so that every language has a client.
//!
//! ```text
//!   bytes --parse--> command --session--> reply
//!                                '------> work --pipeline--> store --> reply, in the order of the commands
//! ```
//!
//! It is the protocol of Redis, not Redis: values are read and written by quorums, each key for itself. What cannot be
//! honest that way is refused by name (`commands`). docs/gateway.md has the table of what each command
//! promises beside Redis.

mod change;
mod commands;
mod connection;
mod glob;
mod life;
mod listing;
mod parse;
mod pipeline;
mod reply;
mod session;
mod work;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::debug;

use self::connection::Connection;
use self::session::Session;
use crate::gateway::Shared;
use crate::listener::{Protocol, Stop, Stream};

/// The RESP side of a gateway.
pub(crate) struct Resp {
    shared: Arc<Shared>,
    next_id: AtomicU64,
}

impl Resp {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            next_id: AtomicU64::new(1),
        }
    }
}

impl Protocol for Resp {
    const NAME: &'static str = "resp";

    async fn serve(self: Arc<Self>, stream: Stream, peer: SocketAddr, stop: Stop) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let session = Session::new(id, peer, &self.shared);
        debug!(%peer, id, "a RESP connection");
        let connection = Connection::new(session, Arc::clone(&self.shared));
        match connection.serve(stream, stop).await {
            Ok(()) => debug!(%peer, id, "the RESP connection ended"),
            Err(error) => debug!(%peer, id, %error, "a RESP connection ended early"),
        }
    }
}
