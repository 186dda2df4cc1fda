//! A bundle: all that a new node needs to find its way into a cluster, in one file.
//!
//! ```text
//!   operator, has ca.key     Authority::bundle --> n4.quoit, readable by its owner alone
//!   the new machine          quoit-node --join n4.quoit
//! ```
//!
//! It holds a private key, so whoever has it is that node: copy it over a channel that nobody else reads, to one machine.
//! What nodes alone may know, the key of their Merkle sums, is not in it: the new node asks a member.
//!
//! Invariant: the certificate in it is for the id in it. Left out: whether its authority has signed it, and its time,
//! which are looked at when it is used.

mod error;

use std::path::Path;

use quoit_ring::cluster::DEFAULT_WEIGHT;
use quoit_ring::placement::Newcomer;
use quoit_ring::{ClusterId, NodeId};
use serde::{Deserialize, Serialize};

use super::authority::Authority;
use super::files::{Readers, read_bounded, write_new};
use super::map::is_address;
use crate::tls::certificate_node;

pub use self::error::BundleError;

/// Most bytes of a bundle: three PEM texts of 1 MiB at most, and some addresses.
const MAX_BYTES: u64 = 4 << 20;

/// A new node's way into a cluster.
///
/// ```
/// # use quoit_node::provision::{Authority, Bundle, JoinRequest};
/// # use quoit_ring::ClusterId;
/// # let folder = tempfile::tempdir()?;
/// let authority = Authority::create(&folder.path().join("certs"))?;
/// let request = JoinRequest {
///     cluster: ClusterId(7),
///     address: "10.0.0.4:7440".into(),
///     zone: "b".into(),
///     weight: 100,
///     seeds: vec!["10.0.0.1:7440".into()],
/// };
/// let bundle = authority.bundle("n4", request)?;
/// let file = folder.path().join("n4.quoit");
/// bundle.write(&file)?;
/// assert_eq!(Bundle::load(&file)?, bundle);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The cluster that the node is to join.
    pub cluster: ClusterId,
    /// Its identity, the one in its certificate.
    pub node: NodeId,
    /// Its name, unique in the cluster.
    pub name: String,
    /// `host:port` at which clients and other nodes will reach it.
    pub address: String,
    /// Its failure domain.
    pub zone: String,
    /// Its share relative to others; 100 is ordinary.
    pub weight: u32,
    /// Addresses of members, one of which lets it in.
    pub seeds: Vec<String>,
    /// The certificate of the cluster's authority, in PEM.
    pub ca: String,
    /// The node's certificate, in PEM.
    pub certificate: String,
    /// Its private key, in PEM.
    pub key: String,
}

/// Where a new node is to join, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// The cluster.
    pub cluster: ClusterId,
    /// `host:port` at which it will be reached.
    pub address: String,
    /// Its failure domain; may be empty.
    pub zone: String,
    /// Its share relative to others; 100 is ordinary.
    pub weight: u32,
    /// Addresses of members.
    pub seeds: Vec<String>,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    cluster: String,
    node: String,
    name: String,
    address: String,
    #[serde(default)]
    zone: String,
    #[serde(default = "ordinary")]
    weight: u32,
    seeds: Vec<String>,
    ca: String,
    certificate: String,
    key: String,
}

const fn ordinary() -> u32 {
    DEFAULT_WEIGHT
}

impl core::fmt::Debug for Bundle {
    /// Without the key, which must get into no log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Bundle")
            .field("cluster", &self.cluster)
            .field("node", &self.node)
            .field("name", &self.name)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes the bundle of the node `name`, with a certificate for a new random id. If its certificate is here already,
    /// as after a call that ended before its bundle was written, that one is taken.
    ///
    /// # Errors
    /// [`BundleError`]: the certificate may have been issued.
    pub fn bundle(&self, name: &str, request: JoinRequest) -> Result<Bundle, BundleError> {
        if !is_address(&request.address) {
            let address = request.address;
            return Err(BundleError::Address { address });
        }
        let files = match self.issued(name) {
            Some(files) => files,
            None => self.issue_node(name)?.1,
        };
        let read = |path: &Path| {
            let failed = |source| BundleError::Read {
                path: path.to_owned(),
                source,
            };
            std::fs::read_to_string(path).map_err(failed)
        };
        let certificate = read(&files.certificate)?;
        let failed = |source| BundleError::Certificate {
            path: files.certificate.clone(),
            source,
        };
        let JoinRequest {
            cluster,
            address,
            zone,
            weight,
            seeds,
        } = request;
        Ok(Bundle {
            cluster,
            node: certificate_node(certificate.as_bytes()).map_err(failed)?,
            name: name.to_owned(),
            address,
            zone,
            weight,
            seeds,
            ca: read(&files.ca)?,
            key: read(&files.key)?,
            certificate,
        })
    }
}

impl Bundle {
    /// Reads a bundle's file.
    ///
    /// # Errors
    /// [`BundleError`] if it cannot be read, is no bundle, or its certificate is another node's.
    pub fn load(path: &Path) -> Result<Self, BundleError> {
        let bytes = read_bounded(path, MAX_BYTES).map_err(|source| BundleError::Read {
            path: path.to_owned(),
            source,
        })?;
        let malformed = |why: String| BundleError::Malformed {
            path: path.to_owned(),
            why,
        };
        let text = String::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?;
        let text: Text =
            toml::from_str(&text).map_err(|error| malformed(error.message().to_owned()))?;
        let bundle = Self {
            cluster: parsed(&text.cluster).map_err(malformed)?,
            node: parsed(&text.node).map_err(malformed)?,
            name: text.name,
            address: text.address,
            zone: text.zone,
            weight: text.weight,
            seeds: text.seeds,
            ca: text.ca,
            certificate: text.certificate,
            key: text.key,
        };
        if bundle.seeds.is_empty() {
            return Err(malformed("it names no seed".to_owned()));
        }
        let found = certificate_node(bundle.certificate.as_bytes()).map_err(|source| {
            BundleError::Certificate {
                path: path.to_owned(),
                source,
            }
        })?;
        if found == bundle.node {
            Ok(bundle)
        } else {
            Err(malformed(format!(
                "it is for node {}, and its certificate for {found}",
                bundle.node
            )))
        }
    }

    /// Writes it to a file that must not exist, readable by its owner alone.
    ///
    /// # Errors
    /// [`BundleError::Exists`] leaves the existing file as it was, [`BundleError::Write`] may leave part of a new one.
    pub fn write(&self, path: &Path) -> Result<(), BundleError> {
        let text = Text {
            cluster: self.cluster.to_string(),
            node: self.node.to_string(),
            name: self.name.clone(),
            address: self.address.clone(),
            zone: self.zone.clone(),
            weight: self.weight,
            seeds: self.seeds.clone(),
            ca: self.ca.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone(),
        };
        let text = toml::to_string_pretty(&text).map_err(|error| BundleError::Malformed {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        let text = format!(
            "# Lets {} into a cluster: keep it secret, and use it on one machine.\n{text}",
            self.node
        );
        write_new(path, Readers::Owner, text.as_bytes()).map_err(|source| {
            let path = path.to_owned();
            match source.kind() {
                std::io::ErrorKind::AlreadyExists => BundleError::Exists { path },
                _ => BundleError::Write { path, source },
            }
        })
    }

    /// The node as one that gets its places on the ring.
    #[must_use]
    pub fn newcomer(&self) -> Newcomer {
        Newcomer {
            id: self.node,
            name: self.name.clone(),
            address: self.address.clone(),
            zone: self.zone.clone(),
            weight: self.weight,
        }
    }
}

fn parsed<T>(text: &str) -> Result<T, String>
where
    T: core::str::FromStr<Err = quoit_ring::ParseIdError>,
{
    text.parse()
        .map_err(|error: quoit_ring::ParseIdError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> JoinRequest {
        JoinRequest {
            cluster: ClusterId(7),
            address: "10.0.0.4:7440".into(),
            zone: "b \"quoted\"".into(),
            weight: 100,
            seeds: vec!["10.0.0.1:7440".into()],
        }
    }

    #[test]
    fn a_bundle_is_written_once_and_made_again_for_the_same_node() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(&folder.path().join("certs")).unwrap();
        let bundle = authority.bundle("n4", request()).unwrap();
        let again = authority.bundle("n4", request()).unwrap();
        assert_eq!(again, bundle, "its certificate is there");

        let path = folder.path().join("n4.quoit");
        bundle.write(&path).unwrap();
        assert_eq!(Bundle::load(&path).unwrap(), bundle);
        let error = bundle.write(&path).unwrap_err();
        assert!(matches!(error, BundleError::Exists { .. }), "{error}");
        assert!(!format!("{bundle:?}").contains("PRIVATE"));
    }

    #[test]
    fn what_is_no_bundle_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(&folder.path().join("certs")).unwrap();
        let good = authority.bundle("n4", request()).unwrap();
        let other = authority.bundle("n5", request()).unwrap();
        let path = folder.path().join("x.quoit");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Bundle::load(&path).unwrap_err().to_string()
        };
        assert!(load("seeds = 3").contains("x.quoit is no bundle"));
        assert!(load("").contains("missing field"));

        let mixed = Bundle {
            node: other.node,
            ..good
        };
        let file = folder.path().join("mixed");
        mixed.write(&file).unwrap();
        let error = Bundle::load(&file).unwrap_err().to_string();
        assert!(error.contains("its certificate for"), "{error}");
        let missing = Bundle::load(&folder.path().join("none")).unwrap_err();
        assert!(matches!(missing, BundleError::Read { .. }), "{missing}");
    }

    #[test]
    fn an_address_that_cannot_be_dialled_is_refused_before_anything_is_issued() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(&folder.path().join("certs")).unwrap();
        let request = JoinRequest {
            address: "nowhere".into(),
            ..request()
        };
        let error = authority.bundle("n4", request).unwrap_err();
        assert!(matches!(error, BundleError::Address { .. }), "{error}");
        assert!(authority.issued("n4").is_none());
    }
}
