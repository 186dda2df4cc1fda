//! The ports of a local cluster, and the checks of its options.
//!
//! A free port is found by binding and releasing it: another program may take it before the node does, and then the
//! node fails to bind. The choice is made once, when the cluster is made, and is part of its map.

use core::ops::RangeInclusive;
use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use quoit_ring::cluster::MAX_REPLICATION;

use super::{LocalError, LocalOptions};
use crate::config::{MAX_MEMORY, MIN_MEMORY};

/// Most nodes of a local cluster: more than one machine can usefully run.
const MAX_NODES: usize = 64;

/// Where the nodes of a local cluster listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ports {
    /// Any that are free when the cluster is made.
    Free,
    /// This one and those that follow.
    From(u16),
    /// These, one per node.
    Exactly(Vec<u16>),
}

/// Refuses numbers that make no cluster, before anything is made of them.
pub(super) fn check(options: &LocalOptions) -> Result<(), LocalError> {
    let nodes = options.nodes;
    check_size(nodes)?;
    let copies = 1..=u64::from(MAX_REPLICATION);
    range(
        "the number of copies",
        u64::from(options.replication),
        copies,
    )?;
    range(
        "the memory of a node",
        options.memory,
        MIN_MEMORY..=MAX_MEMORY,
    )?;
    match &options.ports {
        Ports::Free => Ok(()),
        Ports::From(base) => range(
            "the first port",
            usize::from(*base),
            1..=usize::from(u16::MAX) + 1 - nodes,
        ),
        Ports::Exactly(ports) => {
            range("the number of ports", ports.len(), nodes..=nodes)?;
            check_distinct(ports)
        }
    }
}

/// Refuses a number of nodes that no machine should run.
pub(super) fn check_size(nodes: usize) -> Result<(), LocalError> {
    range("the number of nodes", nodes, 1..=MAX_NODES)
}

fn range<T>(what: &'static str, found: T, allowed: RangeInclusive<T>) -> Result<(), LocalError>
where
    T: TryInto<u64> + PartialOrd + Copy,
{
    if allowed.contains(&found) {
        return Ok(());
    }
    // No target has a usize beyond 64 bits; saturating keeps this total.
    let [found, min, max] =
        [found, *allowed.start(), *allowed.end()].map(|n| n.try_into().unwrap_or(u64::MAX));
    Err(LocalError::OutOfRange {
        what,
        found,
        min,
        max,
    })
}

fn check_distinct(ports: &[u16]) -> Result<(), LocalError> {
    let mut seen = BTreeSet::from([0]);
    match ports.iter().find(|port| !seen.insert(**port)) {
        Some(&port) => Err(LocalError::Port { port }),
        None => Ok(()),
    }
}

/// The ports that were asked for, or `None` for any.
pub(super) fn fixed(options: &LocalOptions) -> Option<Vec<u16>> {
    match &options.ports {
        Ports::Free => None,
        Ports::From(base) => Some((*base..=u16::MAX).take(options.nodes).collect()),
        Ports::Exactly(ports) => Some(ports.clone()),
    }
}

pub(super) fn addresses(options: &LocalOptions) -> Result<Vec<SocketAddr>, LocalError> {
    match fixed(options) {
        Some(ports) => Ok(ports
            .into_iter()
            .map(|p| (Ipv4Addr::LOCALHOST, p).into())
            .collect()),
        None => free(options.nodes).map_err(LocalError::NoPort),
    }
}

/// `count` addresses that nobody has bound. All sockets are held until the last is, so no two are alike.
pub(super) fn free(count: usize) -> io::Result<Vec<SocketAddr>> {
    let sockets = (0..count)
        .map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<io::Result<Vec<_>>>()?;
    sockets.iter().map(UdpSocket::local_addr).collect()
}
