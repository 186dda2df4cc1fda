//! A node that is to join a cluster which is there: from a bundle to a data directory that waits.
//!
//! ```text
//!   bundle --> DIR/tls --> seeds: what is agreed on, and the Merkle key --> identity, store --> runs, and waits
//!      '------ DIR is this bundle's node already --------------------------------------------> runs
//! ```
//!
//! A node that is no member owns nothing: it answers for its status and the map, and refuses keys. An operator makes it a
//! member, and a member it stays wherever it is started.
//!
//! An empty directory is begun only for a node that is **no member yet**. To a node whose disk was wiped everything looks
//! as before its first start; but the cluster knows it, and it is refused. So is a second machine with the same bundle,
//! from when the first one is a member on; before that, the one that answers at the bundle's address is the one that joins.
//!
//! Left out: becoming a member, which nodes and an operator decide.

mod error;
mod welcome;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use quoit_ring::change::Configuration;
use quoit_ring::role::Role;

use crate::config::{Config, TlsFiles};
use crate::identity::disk::{create_private, replace};
use crate::identity::{DataDir, Expected, IdentityError, TLS};
use crate::node::opening;
use crate::provision::Bundle;
use crate::tls::NodeTls;

pub use self::error::JoinError;

/// How a node is to join, or to run after that.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// The bundle, from `quoit cluster add`.
    pub bundle: PathBuf,
    /// The data directory: absent, empty, or this node's.
    pub data: PathBuf,
    /// `host:port` at which others reach it; the bundle's if `None`. They must be the same: it is for a person to see.
    pub address: Option<String>,
    /// The UDP address to serve at; the bundle's address if `None`, and if that is a name, its port on all of this
    /// machine's addresses.
    pub listen: Option<SocketAddr>,
}

/// Makes the data directory of a bundle's node ready to run, if it is not; the configuration to run it with.
///
/// It asks the bundle's seeds, one of which must answer; a directory that is ready needs none. Blocks; must not be called
/// from an async runtime.
///
/// ```no_run
/// use quoit_node::{JoinOptions, prepare_to_join, run_with};
///
/// let options = JoinOptions {
///     bundle: "n4.quoit".into(),
///     data: "/var/lib/quoit".into(),
///     address: None,
///     listen: None,
/// };
/// run_with(&prepare_to_join(&options)?)?;
/// # Ok::<(), quoit_node::RunError>(())
/// ```
///
/// # Errors
/// [`JoinError`]. A directory that is another node's, or holds something else, is left as it was.
pub fn prepare_to_join(options: &JoinOptions) -> Result<Config, JoinError> {
    let bundle = Bundle::load(&options.bundle)?;
    if let Some(address) = options.address.as_ref().filter(|it| **it != bundle.address) {
        return Err(JoinError::OtherAddress {
            wanted: address.clone(),
            found: bundle.address,
        });
    }
    let config = config(options, &bundle)?;
    if is_ready(&config.data, &bundle)? {
        return Ok(config);
    }

    write_certificates(&config, &bundle)?;
    let tls = NodeTls::load(&config.tls).map_err(crate::StartError::from)?;
    let welcome = welcome::ask(&bundle, tls.client_config())?;
    check(&welcome.configuration, &bundle)?;
    let found = (&welcome.configuration, welcome.merkle_key);
    opening::init_joining(&config, bundle.node, found)?;
    tracing::info!(node = %bundle.node, data = %config.data.display(), "initialised, to join");
    Ok(config)
}

/// Whether the directory is that of this node, initialised to its end. One that holds something else is an error.
fn is_ready(data: &Path, bundle: &Bundle) -> Result<bool, JoinError> {
    let expected = Expected {
        cluster: Some(bundle.cluster),
        node: bundle.node,
    };
    match DataDir::open(data, expected) {
        Ok(_ready) => Ok(true),
        Err(
            IdentityError::NoDirectory { .. }
            | IdentityError::NotInitialised { .. }
            | IdentityError::Incomplete { .. },
        ) => Ok(false),
        Err(error) => Err(crate::StartError::from(error).into()),
    }
}

fn config(options: &JoinOptions, bundle: &Bundle) -> Result<Config, JoinError> {
    let folder = options.data.join(TLS);
    let tls = TlsFiles {
        ca: folder.join("ca.pem"),
        certificate: folder.join("node.pem"),
        key: folder.join("node.key"),
    };
    let listen = match options.listen {
        Some(listen) => listen,
        None => listen_at(&bundle.address).ok_or_else(|| JoinError::NoListen {
            address: bundle.address.clone(),
        })?,
    };
    Ok(Config {
        seeds: bundle.seeds.clone(),
        ..Config::new(options.data.clone(), listen, tls)
    })
}

/// Where a node serves that is reached at `address`: there, or if that is a name, at its port.
fn listen_at(address: &str) -> Option<SocketAddr> {
    if let Ok(address) = address.parse() {
        return Some(address);
    }
    let port = address.rsplit_once(':')?.1.parse().ok()?;
    let any = if address.starts_with('[') {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    Some(SocketAddr::new(any, port))
}

/// Writes what the bundle holds into the data directory. Where nothing else is, that begins nothing.
fn write_certificates(config: &Config, bundle: &Bundle) -> Result<(), JoinError> {
    let folder = config.data.join(TLS);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| JoinError::Write { path, source }
    };
    create_private(&config.data).map_err(failed(&config.data))?;
    create_private(&folder).map_err(failed(&folder))?;
    let TlsFiles {
        ca,
        certificate,
        key,
    } = &config.tls;
    for (path, text) in [
        (ca, &bundle.ca),
        (certificate, &bundle.certificate),
        (key, &bundle.key),
    ] {
        let new = path.with_extension("new");
        replace(path, &new, text.as_bytes()).map_err(failed(path))?;
    }
    Ok(())
}

/// Refuses a node that the cluster knows: it has been one, and whatever it held should be on its disk.
fn check(now: &Configuration, bundle: &Bundle) -> Result<(), JoinError> {
    let (node, cluster) = (bundle.node, now.map.cluster);
    if cluster != bundle.cluster {
        return Err(JoinError::OtherCluster {
            expected: bundle.cluster,
            found: cluster,
        });
    }
    if now.removed.binary_search(&node).is_ok() {
        return Err(crate::StartError::Removed { node, cluster }.into());
    }
    let target = now.change.iter().map(|change| &change.target);
    let mut maps = core::iter::once(&now.map).chain(target);
    if maps.any(|map| map.members.iter().any(|it| it.id == node)) {
        let role = Role::Node(node);
        tracing::warn!(%role, "a member's bundle was used on an empty data directory");
        return Err(JoinError::Member { node });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_serves_at_its_address_or_where_a_name_leads() {
        let table = [
            ("10.0.0.4:7440", Some("10.0.0.4:7440")),
            ("n4.example:7440", Some("0.0.0.0:7440")),
            ("[::1]:7440", Some("[::1]:7440")),
            ("n4", None),
        ];
        for (address, expected) in table {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(listen_at(address), expected, "{address}");
        }
    }
}
