//! Map: what is agreed on in the epoch that this node announces. Asked for by clients that know none or an older one, so
//! it is answered whatever epoch they name, and by a node that is stopping, too.

use quoit_ring::Epoch;
use quoit_ring::wire::Response;

use crate::cluster::ClusterView;

/// Answers with all of it, or with what leads to it from the epoch that the sender knows.
pub(super) fn answer(cluster: &ClusterView, known: Epoch) -> Response {
    Response::Map(cluster.answer(known))
}
