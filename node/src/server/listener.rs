//! The listener: accepts connections, up to the limit.
//!
//! ```text
//!   incoming --> many handshakes under way?  the address is validated first (a retry)
//!            --> far too many?               refused without a handshake
//!            --> handshake, 10 s             then: over the limit? closed, with a code that says so
//! ```
//!
//! A connection over the limit gets its handshake all the same: only then can it be closed with a reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quinn::{Connection, ConnectionError, Endpoint, Incoming};
use quoit_ring::Moment;
use quoit_transport::CloseCode;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Phase;
use super::answers::Answers;
use super::connection::{close, leaving_service, serve};
use super::seldom::Seldom;
use crate::engine::Engine;
use crate::env::Env;
use crate::handlers::Replica;
use crate::state::ServiceState;

/// How long a handshake may take.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// How long a handshake may still take once the node is stopping: only after it can the connection be closed with the reason.
const LAST_HANDSHAKES: Duration = Duration::from_secs(1);
/// Handshakes under way above which an unvalidated address gets a retry packet first.
const RETRY_ABOVE: usize = 64;
/// Handshakes under way above which further ones are refused.
const REFUSE_ABOVE: usize = 256;
/// How long the last packets may take to be sent.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Accepts and serves connections until `phase` says otherwise.
pub(super) async fn listen<E: Env<Reply = Answers>, G: Engine>(
    endpoint: Endpoint,
    replica: Arc<Replica<E, G>>,
    max_connections: u32,
    mut phase: watch::Receiver<Phase>,
) {
    let handshakes = Arc::new(AtomicUsize::new(0));
    let complaints = Arc::new(Complaints::default());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _changed = phase.changed() => break,
            Some(_ended) = connections.join_next() => {}
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                let Some(incoming) = screen(incoming, handshakes.load(Ordering::Relaxed)) else {
                    continue;
                };
                let guest = Guest {
                    replica: Arc::clone(&replica),
                    handshakes: Arc::clone(&handshakes),
                    complaints: Arc::clone(&complaints),
                    phase: phase.clone(),
                    max_connections,
                };
                connections.spawn(guest.attend(incoming));
            }
        }
    }
    endpoint.set_server_config(None);
    tokio::select! {
        biased;
        _gone = phase.wait_for(|phase| *phase == Phase::Gone) => {}
        () = async { while connections.join_next().await.is_some() {} } => {
            endpoint.close(CloseCode::Draining.code(), b"the node is stopping");
            // Only close frames are still on their way out; waiting longer for them is of no use.
            let _idle = tokio::time::timeout(LAST_WORDS, endpoint.wait_idle()).await.is_ok();
        }
    }
}

/// Passes an incoming connection on, or refuses it.
fn screen(incoming: Incoming, handshakes: usize) -> Option<Incoming> {
    if handshakes >= REFUSE_ABOVE {
        incoming.refuse();
        return None;
    }
    if handshakes >= RETRY_ABOVE && !incoming.remote_address_validated() && incoming.may_retry() {
        if let Err(error) = incoming.retry() {
            tracing::debug!(%error, "a retry could not be sent");
        }
        return None;
    }
    Some(incoming)
}

/// One incoming connection and what it needs.
struct Guest<E: Env, G> {
    replica: Arc<Replica<E, G>>,
    handshakes: Arc<AtomicUsize>,
    complaints: Arc<Complaints>,
    phase: watch::Receiver<Phase>,
    max_connections: u32,
}

/// What is said of connections that were not served, each kind seldom.
#[derive(Debug, Default)]
struct Complaints {
    handshakes: Seldom,
    seats: Seldom,
}

impl<E: Env<Reply = Answers>, G: Engine> Guest<E, G> {
    async fn attend(mut self, incoming: Incoming) {
        let peer = incoming.remote_address();
        let connection = match self.handshake(incoming).await {
            Ok(connection) => connection,
            Err(reason) => {
                // An expired certificate or one of another cluster is seen nowhere else but at the caller.
                if let Some(left_out) = self.complaints.handshakes.may_say(self.now()) {
                    tracing::warn!(%peer, %reason, left_out, "a handshake failed");
                }
                return;
            }
        };
        let service = Arc::clone(&self.replica.state().service);
        let seat = Seat::take(&service);
        if seat.number > self.max_connections {
            if let Some(left_out) = self.complaints.seats.may_say(self.now()) {
                tracing::warn!(%peer, left_out, "refused: too many connections");
            }
            close(
                &connection,
                CloseCode::TooManyConnections,
                "the node has reached its limit of connections",
            );
            return;
        }
        serve(connection, self.replica, self.phase).await;
    }

    fn now(&self) -> Moment {
        self.replica.env().now().mono
    }

    /// The connection, or why there is none.
    async fn handshake(&mut self, incoming: Incoming) -> Result<Connection, Unconnected> {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        let _counted = Counted(&self.handshakes);
        let connecting = incoming.accept()?;
        let cut_short = async {
            leaving_service(&mut self.phase).await;
            tokio::time::sleep(LAST_HANDSHAKES).await;
        };
        tokio::select! {
            biased;
            connected = tokio::time::timeout(HANDSHAKE_DEADLINE, connecting) => match connected {
                Ok(connected) => Ok(connected?),
                Err(_elapsed) => Err(Unconnected::TookTooLong),
            },
            () = cut_short => Err(Unconnected::Stopping),
        }
    }
}

/// Why a caller did not become a connection.
#[derive(Debug, thiserror::Error)]
enum Unconnected {
    /// TLS or QUIC refused one side.
    #[error("{0}")]
    Refused(#[from] ConnectionError),
    #[error("it took longer than {HANDSHAKE_DEADLINE:?}")]
    TookTooLong,
    #[error("the node is stopping")]
    Stopping,
}

/// Counts a handshake out, however it ends.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One of the connections being served, counted out when dropped.
struct Seat<'a> {
    service: &'a ServiceState,
    number: u32,
}

impl<'a> Seat<'a> {
    fn take(service: &'a ServiceState) -> Self {
        Self {
            number: service.connected(),
            service,
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.service.disconnected();
    }
}
