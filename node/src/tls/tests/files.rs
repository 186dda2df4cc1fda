//! Every way in which a node's files can be wrong; each is refused by the name of the file.

use std::path::Path;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, SanType};
use tempfile::TempDir;

use crate::config::TlsFiles;
use crate::provision::Authority;
use crate::tls::*;

/// An authority with a node's certificate.
fn node() -> (TempDir, Authority, TlsFiles, NodeId) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(folder.path()).unwrap();
    let (id, files) = authority.issue_node("node-1").unwrap();
    (folder, authority, files, id)
}

fn days_from_now(days: u64) -> UnixTime {
    let now = UnixTime::now().as_secs();
    UnixTime::since_unix_epoch(Duration::from_secs(now + days * 86_400))
}

fn refused(files: &TlsFiles) -> TlsError {
    NodeTls::load(files).expect_err("the files were accepted")
}

/// Loads with `text` in place of one of the files.
fn with(files: &TlsFiles, path: &Path, text: &[u8]) -> TlsError {
    let before = std::fs::read(path).unwrap();
    std::fs::write(path, text).unwrap();
    let error = refused(files);
    std::fs::write(path, before).unwrap();
    error
}

#[test]
fn proper_files_give_the_nodes_identity() {
    let (_folder, _authority, files, id) = node();
    let tls = NodeTls::load(&files).unwrap();
    assert_eq!(tls.node(), id);
    tls.expect_node(id, &files).unwrap();
}

#[test]
fn another_nodes_certificate_is_refused() {
    let (_folder, _authority, files, id) = node();
    let tls = NodeTls::load(&files).unwrap();
    let error = tls.expect_node(NodeId(!id.0), &files).unwrap_err();
    assert!(
        matches!(error, TlsError::WrongNode { found, .. } if found == id),
        "{error}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let (_folder, _authority, files, _id) = node();
    let absent = files.ca.with_file_name("absent.pem");
    for missing in [
        TlsFiles {
            ca: absent.clone(),
            ..files.clone()
        },
        TlsFiles {
            certificate: absent.clone(),
            ..files.clone()
        },
        TlsFiles {
            key: absent.clone(),
            ..files.clone()
        },
    ] {
        let error = refused(&missing);
        assert!(
            matches!(&error, TlsError::Read { path, .. } if *path == absent),
            "{error}"
        );
    }
}

#[test]
fn a_file_without_pem_is_refused() {
    let (_folder, _authority, files, _id) = node();
    for junk in [&b""[..], b"junk", b"\0\xff\xfe", &[b'x'; 2 << 20]] {
        for path in [&files.ca, &files.certificate] {
            let error = with(&files, path, junk);
            assert!(
                matches!(&error, TlsError::NoCertificate { path: p } if p == path),
                "{error}"
            );
        }
        let error = with(&files, &files.key, junk);
        assert!(matches!(error, TlsError::NoKey { .. }), "{error}");
    }
}

#[test]
fn an_encrypted_key_is_refused_as_what_it_is() {
    let (_folder, _authority, files, _id) = node();
    let text = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let error = with(&files, &files.key, text.as_bytes());
    assert!(matches!(error, TlsError::EncryptedKey { .. }), "{error}");
}

#[test]
fn damaged_pem_is_refused() {
    let (_folder, _authority, files, _id) = node();
    for path in [&files.ca, &files.certificate, &files.key] {
        let whole = std::fs::read(path).unwrap();
        let error = with(&files, path, &whole[..whole.len() / 2]);
        assert!(
            matches!(&error, TlsError::NotPem { path: p, .. } if p == path),
            "{error}"
        );
    }
}

#[test]
fn swapped_certificate_and_key_are_refused() {
    let (_folder, _authority, files, _id) = node();
    let TlsFiles {
        ca,
        certificate,
        key,
    } = files;
    let error = refused(&TlsFiles {
        ca,
        certificate: key.clone(),
        key: certificate,
    });
    assert!(
        matches!(&error, TlsError::NoCertificate { path } if *path == key),
        "{error}"
    );
}

#[test]
fn pem_of_something_that_is_no_certificate_is_refused() {
    let (_folder, _authority, files, _id) = node();
    let fake = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = with(&files, &files.ca, fake);
    assert!(matches!(error, TlsError::BadAuthority { .. }), "{error}");
    let error = with(&files, &files.certificate, fake);
    let TlsError::NoRole { source, .. } = error else {
        panic!("{error}")
    };
    assert!(
        matches!(source, CertificateError::Unreadable(_)),
        "{source}"
    );
}

#[test]
fn a_key_of_an_unknown_kind_is_refused() {
    let (_folder, _authority, files, _id) = node();
    let fake = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let error = with(&files, &files.key, fake);
    assert!(matches!(error, TlsError::BadKey { .. }), "{error}");
}

#[test]
fn a_key_that_belongs_to_another_certificate_is_refused() {
    let (_folder, authority, files, _id) = node();
    let (_other_id, other) = authority.issue_node("node-2").unwrap();
    let error = refused(&TlsFiles {
        key: other.key,
        ..files
    });
    assert!(matches!(error, TlsError::KeyMismatch { .. }), "{error}");
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let (_folder, _authority, files, _id) = node();
    let (_other_folder, other, _files, _id) = node();
    let error = refused(&TlsFiles {
        ca: other.dir().join("ca.pem"),
        ..files
    });
    assert!(matches!(error, TlsError::Untrusted { .. }), "{error}");
}

#[test]
fn a_certificate_out_of_its_time_is_refused() {
    let (_folder, _authority, files, _id) = node();
    let tls = NodeTls::load_at(&files, days_from_now(729)).unwrap();
    let millis = |days| days_from_now(days).as_secs() * 1000;
    assert!((millis(729)..=millis(731)).contains(&tls.not_after().0));
    let error = NodeTls::load_at(&files, days_from_now(731)).unwrap_err();
    assert!(matches!(error, TlsError::Expired { .. }), "{error}");
    let long_ago = UnixTime::since_unix_epoch(Duration::from_secs(1));
    let error = NodeTls::load_at(&files, long_ago).unwrap_err();
    assert!(matches!(error, TlsError::NotYetValid { .. }), "{error}");
}

#[test]
fn a_client_or_an_operator_cannot_pass_for_a_node() {
    let (_folder, authority, _files, _id) = node();
    for files in [
        authority.issue_client("app").unwrap(),
        authority.issue_admin("me").unwrap(),
    ] {
        let error = refused(&files);
        assert!(matches!(error, TlsError::NotANode { .. }), "{error}");
    }
}

/// The role that a certificate with these URIs has.
fn role(uris: &[&str]) -> Result<Role, CertificateError> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = uris
        .iter()
        .map(|uri| SanType::URI((*uri).try_into().unwrap()))
        .collect();
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    certificate_role(certificate.der())
}

#[test]
fn a_certificate_has_exactly_one_role() {
    assert_eq!(role(&["quoit:client"]).unwrap(), Role::Client);
    assert_eq!(role(&["spiffe://a/b", "quoit:admin"]).unwrap(), Role::Admin);
    assert!(matches!(role(&[]), Err(CertificateError::NoRole)));
    assert!(matches!(
        role(&["spiffe://a/b"]),
        Err(CertificateError::NoRole)
    ));
    for two in [
        ["quoit:client", "quoit:admin"],
        ["quoit:client", "quoit:client"],
        ["quoit:client", "quoit:x"],
    ] {
        assert!(
            matches!(role(&two), Err(CertificateError::SeveralRoles)),
            "{two:?}"
        );
    }
    assert!(matches!(
        role(&["quoit:root"]),
        Err(CertificateError::BadRole(_))
    ));
}

#[test]
fn a_nodes_certificate_without_its_server_names_is_refused() {
    let (folder, authority, files, id) = node();
    let ca_key =
        KeyPair::from_pem(&std::fs::read_to_string(authority.dir().join("ca.key")).unwrap());
    let ca_pem = std::fs::read_to_string(&files.ca).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&ca_pem, ca_key.unwrap()).unwrap();
    let other = quoit_ring::role::server_name(NodeId(!id.0));
    for names in [
        vec![],
        vec!["node.quoit".to_owned()],
        vec!["node.quoit".to_owned(), other],
    ] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        params
            .subject_alt_names
            .push(SanType::URI(Role::Node(id).to_uri().try_into().unwrap()));
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let files = TlsFiles {
            ca: files.ca.clone(),
            certificate: folder.path().join("bare.pem"),
            key: folder.path().join("bare.key"),
        };
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        let error = refused(&files);
        assert!(matches!(error, TlsError::NoServerName { .. }), "{error}");
    }
}

#[test]
fn the_identity_is_read_from_a_nodes_certificate_only() {
    let (_folder, authority, files, id) = node();
    let read = |path: &Path| certificate_node(&std::fs::read(path).unwrap());
    assert_eq!(read(&files.certificate).unwrap(), id);
    assert!(matches!(
        read(&files.ca),
        Err(CertificateError::Unreadable(_) | CertificateError::NoRole)
    ));
    assert!(matches!(read(&files.key), Err(CertificateError::NotPem(_))));
    let client = authority.issue_client("app").unwrap();
    let error = read(&client.certificate).unwrap_err();
    assert!(
        matches!(error, CertificateError::NotANode(Role::Client)),
        "{error}"
    );
}
