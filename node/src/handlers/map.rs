//! Map: the cluster map of this node. Asked for by clients that have none or an older one, so it is
//! answered whatever epoch they have, and by a node that is stopping, too.

use quoit_ring::wire::Response;

use crate::cluster::ClusterView;

/// Answers with the map.
pub(super) fn answer(cluster: &ClusterView) -> Response {
    Response::Map(cluster.current().encoded)
}
