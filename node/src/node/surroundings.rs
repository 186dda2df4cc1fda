//! What is found at a start that the node can live with, and its operator should know.
//!
//! ```text
//! open files    fewer than the engine keeps open: a write will fail one day, and the node end
//! address       the map sends clients and nodes elsewhere: they reach a proxy, or nobody; nodes then go by what they hear
//! ```
//!
//! Each is a warning of the log, once, and of the status, as long as the node runs. Left out: whatever prevents a start; that is a
//! [`StartError`](crate::StartError).

use std::net::SocketAddr;

use quoit_ring::Moment;
use quoit_ring::wire::WarningKind;

use crate::gossip::is_elsewhere;
use crate::state::NodeState;

/// What the engine keeps open at most, its journals and this process's sockets.
const OPEN_FILES: u64 = 1024;

/// Logs and shows what is not as it should be around a node that serves at `address`.
pub(super) fn look(state: &NodeState, address: SocketAddr, now: Moment) {
    let (cluster, warnings) = (&state.cluster, &state.warnings);
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(limit) = open_files(&limits).filter(|limit| *limit < OPEN_FILES) {
        tracing::warn!(
            limit,
            needed = OPEN_FILES,
            "few files may be open at once; raise the limit: ulimit -n, or LimitNOFILE of systemd"
        );
        warnings.note(WarningKind::OpenFiles, 0, now, || {
            format!("only {limit} files may be open at once, {OPEN_FILES} are needed: raise ulimit -n or LimitNOFILE")
        });
    }

    let newest = cluster.newest();
    let member = newest.topology().member(cluster.node);
    if let Some(member) = member.filter(|member| is_elsewhere(address, &member.address)) {
        tracing::warn!(listening = %address, map = %member.address, "the cluster's map sends others to an address at which this node does not listen; unless something there passes on to it, clients will not find it, and nodes only by what they hear of it: correct `listen`");
        warnings.note(WarningKind::Address, 0, now, || {
            format!(
                "the node listens at {address}, the cluster's map has {}: correct `listen`",
                member.address
            )
        });
    }
}

/// The soft limit of open files, as `/proc/self/limits` says it; none elsewhere.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_read() {
        let limits = "Limit   Soft Limit   Hard Limit   Units\nMax open files            256                  4096                 files\n";
        assert_eq!(open_files(limits), Some(256));
        for none in [
            "",
            "Max open files",
            "Max open files unlimited unlimited files",
        ] {
            assert_eq!(open_files(none), None, "{none}");
        }
    }
}
