//! Map: what is agreed on in the epoch that this node announces. Asked for by clients that know none or an older one, so
//! it is answered whatever epoch they name, and by a node that is stopping, too.

use quoit_ring::Epoch;
use quoit_ring::role::Role;
use quoit_ring::wire::Response;

use crate::cluster::ClusterView;

/// Answers with all of it, or with what leads to it from the epoch that the sender knows. A node gets the newest one, which
/// may not be announced to clients yet.
pub(super) fn answer(cluster: &ClusterView, caller: Role, known: Epoch) -> Response {
    Response::Map(match caller {
        Role::Node(_) => cluster.newest_answer(known),
        Role::Client | Role::Admin => cluster.answer(known),
    })
}
