//! One incoming connection: handshake, seat, service.
//!
//! ```text
//!   handshake, 5 s at most --> role, identity --> standing --> seat --> serve
//!                    |              |               '--> closed: too many connections, of this identity or in all
//!                    |              '--> closed: no role, or a node that was removed
//!                    '--> given up for another one, if it stands still while many come
//! ```
//!
//! A connection without a seat gets its handshake all the same: only then is its identity known, and only then can it be
//! closed with a reason.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, ConnectionError, Incoming};
use quoit_ring::change::Topology;
use quoit_ring::role::Role;
use quoit_ring::wire::WarningKind;
use quoit_transport::CloseCode;
use tokio::sync::watch;

use super::Phase;
use super::answers::Answers;
use super::connection::{close, leaving_service, serve};
use super::intake::{Intake, UnderWay};
use super::seats::Holder;
use crate::cluster::ClusterView;
use crate::engine::Engine;
use crate::env::Env;
use crate::handlers::Replica;
use crate::state::ConnectionEvent;
use crate::tls::{Identity, peer};

/// How long a handshake may take: several losses on a long path. Clients give up after one second.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// How long a handshake may still take once the node is stopping: only after it can the connection be closed with the reason.
const LAST_HANDSHAKES: Duration = Duration::from_secs(1);

/// One incoming connection and what it needs.
pub(super) struct Guest<E: Env, G> {
    pub(super) replica: Arc<Replica<E, G>>,
    pub(super) under_way: UnderWay,
    pub(super) intake: Arc<Intake>,
    pub(super) phase: watch::Receiver<Phase>,
}

impl<E: Env<Reply = Answers>, G: Engine> Guest<E, G> {
    pub(super) async fn attend(mut self, incoming: Incoming) {
        let address = incoming.remote_address();
        let connected = handshake(incoming, &mut self.phase).await;
        let Self {
            replica,
            under_way,
            intake,
            phase,
        } = self;
        drop(under_way);
        let now = || replica.env().now().mono;
        let warn = |reason: &dyn fmt::Display| {
            (replica.state().warnings).note(WarningKind::Handshakes, 1, now(), || {
                format!("callers could not connect, the last from {address}: {reason}")
            });
        };

        let connection = match connected {
            Ok(connection) => connection,
            Err(reason) => {
                // An expired certificate or one of another cluster is seen nowhere else but at the caller.
                let total = intake.count(ConnectionEvent::HandshakeFailed);
                warn(&reason);
                if let Some(left_out) = intake.complaints.failures.may_say(now()) {
                    tracing::warn!(peer = %address, %reason, left_out, total, "a handshake failed");
                }
                return;
            }
        };
        let (role, identity) = match peer(&connection) {
            Ok(caller) => caller,
            Err(error) => {
                warn(&error);
                if let Some(left_out) = intake.complaints.roles.may_say(now()) {
                    tracing::warn!(peer = %address, %error, left_out, "a caller without a role");
                }
                return close(&connection, CloseCode::Unauthorised, &error.to_string());
            }
        };

        if is_removed(&replica.state().cluster, role) {
            warn(&REMOVED);
            return close(&connection, CloseCode::Removed, REMOVED);
        }

        let standing = standing(replica.state().cluster.newest().topology(), role);
        match intake.seat(holder(standing, identity)) {
            Ok(_seat) => {
                if let Role::Node(member) = standing {
                    replica.state().addresses.heard(member, address);
                }
                let oversize = intake.oversize.clone();
                if standing != role {
                    tracing::debug!(peer = %address, %role, "no member of the map: seated as a client");
                }
                serve(connection, (role, standing), (replica, oversize), phase).await;
            }
            Err(full) => {
                let total = intake.count(ConnectionEvent::SeatRefused);
                warn(&full);
                if let Some(left_out) = intake.complaints.seats.may_say(now()) {
                    tracing::warn!(
                        peer = %address, %role, certificate = %identity, reason = %full, left_out, total,
                        "a connection was refused"
                    );
                }
                close(&connection, full.close_code(), &full.to_string());
            }
        }
    }
}

/// Why a removed node is let in no more.
const REMOVED: &str = "this node was removed from this cluster: it comes back under a new id only";

fn is_removed(cluster: &ClusterView, role: Role) -> bool {
    role.node().is_some_and(|node| cluster.is_removed(node))
}

/// The role in which a caller is seated. A node that is no member of the map is a client: in its seat, in what it may make
/// this node hold, and in its share of the write queue, for as long as it stays connected. What it may ask depends on whether it
/// is a member at that moment.
fn standing(topology: &Topology, role: Role) -> Role {
    match role {
        Role::Node(id) if topology.member(id).is_none() => Role::Client,
        Role::Node(_) | Role::Client | Role::Admin => role,
    }
}

/// The kind of seat that a caller may have.
const fn holder(standing: Role, identity: Identity) -> Holder {
    match standing {
        Role::Node(id) => Holder::Peer(id),
        Role::Admin => Holder::Operator(identity),
        Role::Client => Holder::Client(identity),
    }
}

/// The connection, or why there is none.
async fn handshake(
    incoming: Incoming,
    phase: &mut watch::Receiver<Phase>,
) -> Result<Connection, Unconnected> {
    let connecting = incoming.accept()?;
    let cut_short = async {
        leaving_service(phase).await;
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
