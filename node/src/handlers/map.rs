//! Map: the cluster map this node goes by. Asked for by clients that have none or an older one, so it is
//! answered whatever epoch they have, and by a node that is stopping, too.

use quoit_ring::wire::Response;

use crate::commit::Shared;

/// Answers with the map.
pub(super) fn answer(shared: &Shared) -> Response {
    Response::Map(shared.map.clone())
}
