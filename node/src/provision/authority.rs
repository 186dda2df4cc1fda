//! The cluster's certificate authority: a folder with its key, from which every other certificate comes.
//!
//! ```text
//! DIR/ca.pem   ca.key        10 years; ca.key can impersonate anyone
//! DIR/node-1.pem  .key       2 years; role in a URI, server names, may serve and call
//! DIR/app.pem  app.key       2 years; role in a URI, may call only
//! ```
//!
//! A node's id is drawn here, once, and is part of its certificate. Keys are ECDSA on P-256. A certificate is valid
//! from an hour before its making, so that a clock which is slightly behind does not refuse it.
//!
//! Left out: revocation. Against a stolen key, issue all certificates again from a new authority.

mod error;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use quoit_ring::NodeId;
use quoit_ring::role::{Role, SEED_SERVER_NAME, server_name};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::files::{Readers, write_new};
use crate::config::TlsFiles;

pub use self::error::AuthorityError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an authority lives: 10 years.
const AUTHORITY_AGE: Duration = DAY.saturating_mul(3650);
/// How long a certificate lives: 2 years.
const CERTIFICATE_AGE: Duration = DAY.saturating_mul(730);
/// How much earlier than now a certificate's time begins.
const BACKDATED: Duration = Duration::from_secs(60 * 60);
/// The authority's own name, which no certificate can take.
const CA_NAME: &str = "ca";
/// Most bytes of a certificate's name.
const MAX_NAME: usize = 64;

/// A cluster's authority: issues the certificates that all members, clients and operators need.
///
/// ```
/// # use quoit_node::provision::Authority;
/// # use quoit_node::tls::certificate_node;
/// # let folder = tempfile::tempdir()?;
/// let authority = Authority::create(folder.path())?;
/// let (id, files) = authority.issue_node("node-1")?;
/// assert_eq!(certificate_node(&std::fs::read(files.certificate)?)?, id);
/// authority.issue_client("app")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority in `dir`, which is created if absent.
    ///
    /// # Errors
    /// [`AuthorityError::Exists`] if an authority, or part of one, is there already.
    pub fn create(dir: &Path) -> Result<Self, AuthorityError> {
        let write = |path: &Path| {
            let path = path.to_owned();
            move |source| AuthorityError::Write { path, source }
        };
        std::fs::create_dir_all(dir).map_err(write(dir))?;
        let key = KeyPair::generate()?;
        let params = authority_params(OsRng.try_next_u64()?);
        let certificate = params.self_signed(&key)?;
        write_pair(dir, CA_NAME, &key.serialize_pem(), &certificate.pem())?;
        Ok(Self {
            dir: dir.to_owned(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Reads the authority in `dir`.
    ///
    /// # Errors
    /// [`AuthorityError::NoAuthority`] if there is none; others name the file that is unreadable or damaged.
    pub fn open(dir: &Path) -> Result<Self, AuthorityError> {
        let certificate = pem_path(dir, CA_NAME);
        let key = key_path(dir, CA_NAME);
        let pair = KeyPair::from_pem(&read_authority(&key, dir)?)
            .map_err(|source| AuthorityError::Damaged { path: key, source })?;
        let issuer = Issuer::from_ca_cert_pem(&read_authority(&certificate, dir)?, pair).map_err(
            |source| AuthorityError::Damaged {
                path: certificate,
                source,
            },
        )?;
        Ok(Self {
            dir: dir.to_owned(),
            issuer,
        })
    }

    /// The folder of the authority and of all it has issued.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The files of the certificate `name`, if it was issued here.
    #[must_use]
    pub fn issued(&self, name: &str) -> Option<TlsFiles> {
        check_name(name).ok()?;
        let files = self.files(name);
        files.certificate.exists().then_some(files)
    }

    fn files(&self, name: &str) -> TlsFiles {
        TlsFiles {
            ca: pem_path(&self.dir, CA_NAME),
            certificate: pem_path(&self.dir, name),
            key: key_path(&self.dir, name),
        }
    }

    /// Issues a certificate for a new node, which gets a fresh random identity.
    ///
    /// # Errors
    /// [`AuthorityError::Exists`] if the name is taken, [`AuthorityError::BadName`] if it is no name.
    pub fn issue_node(&self, name: &str) -> Result<(NodeId, TlsFiles), AuthorityError> {
        let id = NodeId(OsRng.try_next_u64()?);
        Ok((id, self.issue(name, Role::Node(id))?))
    }

    /// Issues a certificate for an application.
    ///
    /// # Errors
    /// As [`Authority::issue_node`].
    pub fn issue_client(&self, name: &str) -> Result<TlsFiles, AuthorityError> {
        self.issue(name, Role::Client)
    }

    /// Issues a certificate for an operator.
    ///
    /// # Errors
    /// As [`Authority::issue_node`].
    pub fn issue_admin(&self, name: &str) -> Result<TlsFiles, AuthorityError> {
        self.issue(name, Role::Admin)
    }

    /// Issues a certificate for `role`: a node's when its identity is to stay, for a renewed
    /// certificate under a new name.
    ///
    /// # Errors
    /// As [`Authority::issue_node`].
    pub fn issue(&self, name: &str, role: Role) -> Result<TlsFiles, AuthorityError> {
        check_name(name)?;
        let key = KeyPair::generate()?;
        let params = certificate_params(name, role, today())?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        write_pair(&self.dir, name, &key.serialize_pem(), &certificate.pem())?;
        Ok(self.files(name))
    }
}

fn pem_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.pem"))
}

fn key_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.key"))
}

/// Writes key and certificate, neither of which may exist; the key first, so that a certificate that
/// is there has its key.
fn write_pair(dir: &Path, name: &str, key: &str, certificate: &str) -> Result<(), AuthorityError> {
    let certificate_path = pem_path(dir, name);
    if certificate_path.exists() {
        return Err(AuthorityError::Exists {
            path: certificate_path,
        });
    }
    for (path, readers, text) in [
        (key_path(dir, name), Readers::Owner, key),
        (certificate_path, Readers::All, certificate),
    ] {
        write_new(&path, readers, text.as_bytes()).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => AuthorityError::Exists { path },
            _ => AuthorityError::Write { path, source },
        })?;
    }
    Ok(())
}

/// Reads one of the authority's two files.
fn read_authority(path: &Path, dir: &Path) -> Result<String, AuthorityError> {
    std::fs::read_to_string(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => AuthorityError::NoAuthority {
            dir: dir.to_owned(),
        },
        _ => AuthorityError::Read {
            path: path.to_owned(),
            source,
        },
    })
}

/// Accepts names that are a file's name on every system and nothing more, such as no path.
fn check_name(name: &str) -> Result<(), AuthorityError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let fine = !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.starts_with('.')
        && !name.eq_ignore_ascii_case(CA_NAME)
        && name.bytes().all(plain);
    if fine {
        Ok(())
    } else {
        Err(AuthorityError::BadName {
            name: name.to_owned(),
        })
    }
}

/// From when a new certificate is valid.
#[expect(
    clippy::disallowed_methods,
    reason = "provisioning is an operator's tool, no part of a running node"
)]
fn today() -> SystemTime {
    SystemTime::now()
}

/// The certificate of an authority, distinguished from others by `number`.
fn authority_params(number: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    let name = format!("quoit authority {number:016x}");
    params.distinguished_name.push(DnType::CommonName, name);
    set_age(&mut params, today(), AUTHORITY_AGE);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// The certificate of `role`, whose time begins a little before `now`.
fn certificate_params(
    name: &str,
    role: Role,
    now: SystemTime,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(match role {
        Role::Node(id) => vec![SEED_SERVER_NAME.to_owned(), server_name(id)],
        Role::Client | Role::Admin => Vec::new(),
    })?;
    params
        .subject_alt_names
        .push(SanType::URI(role.to_uri().try_into()?));
    params.distinguished_name.push(DnType::CommonName, name);
    set_age(&mut params, now, CERTIFICATE_AGE);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
        .extended_key_usages
        .push(ExtendedKeyUsagePurpose::ClientAuth);
    if role.node().is_some() {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    Ok(params)
}

fn set_age(params: &mut CertificateParams, now: SystemTime, age: Duration) {
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + age).into();
}

#[cfg(test)]
mod tests;
