//! The listener: accepts connections, within the bounds of `handshakes` and `seats`.
//!
//! ```text
//!   incoming --> handshakes: begin, Retry or refuse --> guest: handshake, seat, service
//! ```

use std::sync::Arc;

use quinn::{Endpoint, Incoming};
use quoit_transport::CloseCode;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::Phase;
use super::answers::Answers;
use super::guest::Guest;
use super::handshakes::{Decision, HandshakeId, Origin};
use super::intake::Intake;
use super::oversize::Oversize;
use super::seats::SeatBounds;
use crate::engine::Engine;
use crate::env::Env;
use crate::handlers::Replica;
use crate::state::ConnectionEvent;

/// How long the last packets may take to be sent.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(100);

/// Accepts and serves connections until `phase` says otherwise.
pub(super) async fn listen<E: Env<Reply = Answers>, G: Engine>(
    endpoint: Endpoint,
    replica: Arc<Replica<E, G>>,
    bounds: SeatBounds,
    mut phase: watch::Receiver<Phase>,
) {
    let state = replica.state();
    let oversize = Oversize::new(state.limits.max_value_bytes);
    let intake = Arc::new(Intake::new(bounds, oversize, &state.service));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _changed = phase.changed() => break,
            Some(ended) = connections.join_next() => report(ended),
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                let now = replica.env().now().mono;
                let Some((incoming, handshake)) = screen(incoming, &intake, now) else {
                    continue;
                };
                let guest = Guest {
                    replica: Arc::clone(&replica),
                    under_way: intake.under_way(handshake),
                    intake: Arc::clone(&intake),
                    phase: phase.clone(),
                };
                let task: AbortHandle = connections.spawn(guest.attend(incoming));
                intake.runs_in(handshake, task);
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

/// A panic in the task of one connection ends that connection only: others go on.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task broke off");
    }
}

/// Passes an incoming connection on whose handshake may begin; answers any other with a Retry or a refusal, neither of
/// which costs a signature.
fn screen(
    incoming: Incoming,
    intake: &Intake,
    now: quoit_ring::Moment,
) -> Option<(Incoming, HandshakeId)> {
    let peer = incoming.remote_address();
    let origin = Origin {
        address: peer.ip(),
        proven: incoming.remote_address_validated(),
    };
    match intake.decide(origin, now) {
        Decision::Begin(handshake) => Some((incoming, handshake)),
        Decision::BeginInsteadOf(handshake, oldest) => {
            intake.give_up(oldest, now);
            Some((incoming, handshake))
        }
        Decision::Retry => {
            intake.count(ConnectionEvent::Retry);
            if let Some(left_out) = intake.complaints.retries.may_say(now) {
                tracing::info!(%peer, left_out, "many handshakes are under way: addresses are validated first");
            }
            if let Err(error) = incoming.retry() {
                tracing::debug!(%error, "a retry could not be sent");
            }
            None
        }
        Decision::Refuse(reason) => {
            let total = intake.count(ConnectionEvent::HandshakeRefused);
            if let Some(left_out) = intake.complaints.refusals.may_say(now) {
                tracing::warn!(%peer, %reason, left_out, total, "a handshake was refused");
            }
            incoming.refuse();
            None
        }
    }
}
