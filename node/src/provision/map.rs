//! The first cluster map: the members, and the places of their vnodes.
//!
//! ```text
//! node-1  10.0.0.1:7440  zone a --+
//! node-2  10.0.0.2:7440  zone b --+-- ids from certificates, fresh keys, even placement --> cluster.map
//! node-3  10.0.0.3:7440  zone c --+
//! ```
//!
//! Written once per cluster, copied to every node, and needed by each once. The file also holds the key of
//! the nodes' Merkle sums, which clients must not have: it is readable by its owner only.

mod error;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use quoit_ring::cluster::DEFAULT_WEIGHT;
use quoit_ring::placement::{Newcomer, grow, settle};
use quoit_ring::wire::FirstMap;
use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, MerkleKey, NodeId, TokenKey};
use rand::rngs::{OsRng, StdRng};
use rand::{Rng as _, SeedableRng as _};

use super::files::{Readers, read_bounded, write_new};
use crate::tls::certificate_node;

pub use self::error::MapError;

/// Most bytes of a map's file; the largest map that the codec takes is smaller.
const MAX_MAP_BYTES: u64 = 64 << 20;
/// Most bytes of a certificate.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// A member of the first map. Its identity comes from its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMember {
    /// Its name, unique; its certificate is `<name>.pem`.
    pub name: String,
    /// `host:port` at which clients and other nodes reach it.
    pub address: String,
    /// Its failure domain; copies of a key go to distinct zones while there are enough.
    pub zone: String,
    /// Its share relative to others; 100 is ordinary.
    pub weight: u32,
}

impl NewMember {
    /// A member of ordinary weight.
    #[must_use]
    pub fn new(name: &str, address: &str, zone: &str) -> Self {
        Self {
            name: name.to_owned(),
            address: address.to_owned(),
            zone: zone.to_owned(),
            weight: DEFAULT_WEIGHT,
        }
    }
}

/// Makes the first map of a new cluster: `members`, whose certificates are in `certs`, with
/// `replication` copies of each key on a circle cut into 2^`leaf_bits` leaves.
///
/// The cluster's id and keys are drawn at random, so each call makes a different cluster.
///
/// # Errors
/// [`MapError`] names the member that does not fit.
pub fn first_map(
    certs: &Path,
    members: &[NewMember],
    replication: u8,
    leaf_bits: LeafBits,
) -> Result<FirstMap, MapError> {
    if members.is_empty() {
        return Err(MapError::NoMembers);
    }
    check_addresses(members)?;
    let newcomers = members
        .iter()
        .map(|member| newcomer(certs, member))
        .collect::<Result<Vec<_>, _>>()?;
    let mut rng = StdRng::try_from_rng(&mut OsRng)?;
    let empty = ClusterMap {
        cluster: ClusterId(rng.random()),
        epoch: Epoch(1),
        token_key: TokenKey(rng.random()),
        leaf_bits,
        replication,
        members: Vec::new(),
    };
    let mut map = grow(empty, newcomers, rng.random())?;
    settle(&mut map, rng.random())?; // nothing is stored yet, so all may still move
    Ok(FirstMap {
        map,
        merkle_key: MerkleKey(rng.random()),
    })
}

fn check_addresses(members: &[NewMember]) -> Result<(), MapError> {
    let mut owners = BTreeMap::new();
    for member in members {
        let NewMember { name, address, .. } = member;
        if !is_address(address) {
            return Err(MapError::Address {
                name: name.clone(),
                address: address.clone(),
            });
        }
        if let Some(first) = owners.insert(address, name) {
            let (first, second) = (first.clone(), name.clone());
            return Err(MapError::SharedAddress {
                first,
                second,
                address: address.clone(),
            });
        }
    }
    Ok(())
}

/// Whether `address` has a host and a port that can be dialled.
pub(super) fn is_address(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| {
        let host_fits = !host.is_empty() && !host.contains(char::is_whitespace);
        host_fits && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}

fn newcomer(certs: &Path, member: &NewMember) -> Result<Newcomer, MapError> {
    let NewMember {
        name,
        address,
        zone,
        weight,
    } = member.clone();
    let id = member_id(certs, &name)?;
    Ok(Newcomer {
        id,
        name,
        address,
        zone,
        weight,
    })
}

/// The identity in the certificate of the member `name`.
fn member_id(certs: &Path, name: &str) -> Result<NodeId, MapError> {
    let path = certs.join(format!("{name}.pem"));
    let pem = read(&path, MAX_PEM_BYTES)?;
    certificate_node(&pem).map_err(|source| MapError::Certificate {
        name: name.to_owned(),
        path,
        source,
    })
}

/// Writes a first map to a file that must not exist.
///
/// # Errors
/// [`MapError::Exists`] leaves the existing file as it was; [`MapError::Write`] may leave part of a new one.
pub fn write_map(path: &Path, map: &FirstMap) -> Result<(), MapError> {
    write_new(path, Readers::Owner, &map.to_bytes()).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => MapError::Exists {
            path: path.to_owned(),
        },
        _ => MapError::Write {
            path: path.to_owned(),
            source,
        },
    })
}

/// Reads a first map, as a node does at its first start.
///
/// # Errors
/// [`MapError::Read`] or [`MapError::Malformed`].
pub fn read_map(path: &Path) -> Result<FirstMap, MapError> {
    FirstMap::from_bytes(&read(path, MAX_MAP_BYTES)?).map_err(|source| MapError::Malformed {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, MapError> {
    read_bounded(path, most).map_err(|source| MapError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
