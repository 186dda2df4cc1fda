//! One connection: its four tasks, and how it ends.
//!
//! ```text
//!   lane   read --> session --> outbox --> write       small frames, one stream
//!   large  read --> session --> outbox --> write       one frame a stream
//!
//!   ends   the peer is gone           nothing more to do
//!          the peer is done, or the   answer what was accepted, wait for delivery, close
//!            node is stopping
//!          malformed bytes            close, with the reason in words
//! ```
//!
//! The caller's role is the one in the certificate that TLS has verified. A node that is no member of the map has a client's
//! seat and share: `guest` decides it before any byte is looked at. The lane comes first: the
//! dialler opens it, and nothing else is read before. Without one the connection is closed as malformed
//! after ten seconds.

use std::sync::Arc;

use quinn::Connection;
use quoit_ring::role::Role;
use quoit_transport::CloseCode;
use quoit_transport::lane::{FRAME_DEADLINE, Lane, LaneReader};
use quoit_transport::outbox::AnswerOutbox;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::answers::Answers;
use super::end::End;
use super::oversize::Oversize;
use super::{Phase, lane, large};
use crate::engine::Engine;
use crate::env::Env;
use crate::handlers::{Replica, Session};

/// Serves a `connection` until it ends: of a `caller` by its certificate, in the seat of another role perhaps.
pub(super) async fn serve<E: Env<Reply = Answers>, G: Engine>(
    connection: Connection,
    (caller, standing): (Role, Role),
    (replica, oversize): (Arc<Replica<E, G>>, Oversize),
    mut phase: watch::Receiver<Phase>,
) {
    tracing::debug!(peer = %connection.remote_address(), %caller, "connected");
    let Lane { send, receive } = match opened(&connection, &mut phase).await {
        Ok(lane) => lane,
        Err((code, reason)) => return close(&connection, code, &reason),
    };

    let oversize = match standing {
        Role::Node(_) => None,
        Role::Client | Role::Admin => Some(oversize),
    };
    let outbox = AnswerOutbox::new();
    let session = || {
        Session::new(
            Arc::clone(&replica),
            caller,
            Answers::new(Arc::clone(&outbox), oversize.clone()),
        )
    };
    let state = replica.state();
    let max = state
        .limits
        .max_frame(state.cluster.newest().topology().copies());
    let mut tasks = JoinSet::new();
    let reader = LaneReader::new(receive, Some(FRAME_DEADLINE));
    tasks.spawn(lane::read(reader, session(), Arc::clone(&outbox)));
    tasks.spawn(lane::write(send, Arc::clone(&outbox)));
    tasks.spawn(large::read(
        connection.clone(),
        session(),
        Arc::clone(&outbox),
        (max, oversize.clone()),
    ));
    tasks.spawn(large::write(connection.clone(), Arc::clone(&outbox)));

    let (code, reason) = attend(&mut tasks, &outbox, &mut phase).await;
    tracing::debug!(peer = %connection.remote_address(), %code, reason, "disconnected");
    close(&connection, code, &reason);
}

/// Waits for the lane; if there is none, or the node leaves service before, how to close the connection.
async fn opened(
    connection: &Connection,
    phase: &mut watch::Receiver<Phase>,
) -> Result<Lane, (CloseCode, String)> {
    let accepted = tokio::select! {
        biased;
        accepted = Lane::accept(connection) => accepted,
        () = leaving_service(phase) => {
            return Err((CloseCode::Draining, CloseCode::Draining.to_string()));
        }
    };
    accepted.map_err(|error| {
        let code = if error.is_lost() {
            CloseCode::Done
        } else {
            CloseCode::Malformed
        };
        (code, error.to_string())
    })
}

/// Waits for the end of a connection's tasks; how to close it.
async fn attend(
    tasks: &mut JoinSet<End>,
    outbox: &AnswerOutbox,
    phase: &mut watch::Receiver<Phase>,
) -> (CloseCode, String) {
    let mut code = CloseCode::Done;
    let mut writers = 2;
    while writers > 0 {
        let end = tokio::select! {
            biased;
            () = leaving_service(phase), if code == CloseCode::Done => {
                code = CloseCode::Draining;
                outbox.finish();
                continue;
            }
            end = tasks.join_next() => end,
        };
        match end {
            Some(Ok(End::Finished)) => outbox.finish(),
            Some(Ok(End::Delivered)) => writers -= 1,
            Some(Ok(End::Gone)) | None => break,
            Some(Ok(End::Malformed(reason))) => return (CloseCode::Malformed, reason),
            Some(Err(error)) => {
                tracing::error!(%error, "a connection's task broke off");
                return (
                    CloseCode::Malformed,
                    "the node could not make sense of this".to_owned(),
                );
            }
        }
    }
    (code, code.to_string())
}

/// Waits until the node leaves service.
pub(super) async fn leaving_service(phase: &mut watch::Receiver<Phase>) {
    // An error says that the server is gone, which is leaving service, too.
    let _left = phase
        .wait_for(|phase| *phase != Phase::Serving)
        .await
        .is_ok();
}

pub(super) fn close(connection: &Connection, code: CloseCode, reason: &str) {
    connection.close(code.code(), reason.as_bytes());
}
