//! Who answers at a seed: a name that leads to a member whatever addresses the ring has.

use std::time::Duration;

use quoit_ring::NodeId;
use quoit_ring::role::SEED_SERVER_NAME;
use quoit_transport::CloseCode;
use quoit_transport::dial::Dialer;
use tokio::time::timeout;

use crate::tls::peer_role;

/// How long a seed has.
const DEADLINE: Duration = Duration::from_secs(2);

/// The node that its certificate names, if one answers there.
pub(crate) async fn who_is_at(dialer: &Dialer, seed: &str) -> Option<NodeId> {
    let dialled = timeout(DEADLINE, dialer.dial(seed, SEED_SERVER_NAME)).await;
    let failed = |reason: &dyn std::fmt::Display| {
        tracing::debug!(seed, %reason, "a seed does not answer");
    };
    let connection = match dialled {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            failed(&error);
            return None;
        }
        Err(elapsed) => {
            failed(&elapsed);
            return None;
        }
    };
    let role = peer_role(&connection);
    connection.close(CloseCode::Done.code(), b"");
    role.ok()?.node()
}
