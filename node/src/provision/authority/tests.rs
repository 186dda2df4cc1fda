//! What is issued, what is refused, and that nothing is ever written over.

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use tempfile::TempDir;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyUsage};

use super::*;
use crate::tls::certificate_node;

fn new() -> (TempDir, Authority) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(&folder.path().join("certs")).unwrap();
    (folder, authority)
}

fn read(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

/// Whether the authority vouches for the certificate `days` from now.
fn vouched_for(
    files: &TlsFiles,
    usage: impl ExtendedKeyUsageValidator,
    days: u32,
) -> Result<(), webpki::Error> {
    let (ca, certificate) = (read(&files.ca), read(&files.certificate));
    let anchors = [webpki::anchor_from_trusted_cert(&ca).unwrap()];
    let now = UnixTime::since_unix_epoch(
        SystemTime::UNIX_EPOCH.elapsed().unwrap() + DAY.saturating_mul(days),
    );
    EndEntityCert::try_from(&certificate)
        .unwrap()
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &[],
            now,
            usage,
            None,
            None,
        )
        .map(|_path| ())
}

#[test]
fn a_node_may_serve_and_call_and_others_may_only_call() {
    let (_folder, authority) = new();
    let (_id, node) = authority.issue_node("node-1").unwrap();
    let client = authority.issue_client("app").unwrap();
    let admin = authority.issue_admin("me").unwrap();
    for files in [&node, &client, &admin] {
        vouched_for(files, KeyUsage::client_auth(), 0).unwrap();
    }
    vouched_for(&node, KeyUsage::server_auth(), 0).unwrap();
    for files in [&client, &admin] {
        vouched_for(files, KeyUsage::server_auth(), 0).unwrap_err();
    }
}

#[test]
fn a_certificate_lasts_two_years() {
    let (_folder, authority) = new();
    let files = authority.issue_client("app").unwrap();
    vouched_for(&files, KeyUsage::client_auth(), 729).unwrap();
    let error = vouched_for(&files, KeyUsage::client_auth(), 731).unwrap_err();
    assert!(
        matches!(error, webpki::Error::CertExpired { .. }),
        "{error}"
    );
}

#[test]
fn the_identity_in_a_nodes_certificate_is_the_one_returned() {
    let (_folder, authority) = new();
    let (a, files) = authority.issue_node("a").unwrap();
    let (b, _files) = authority.issue_node("b").unwrap();
    assert_ne!(a, b);
    assert_eq!(
        certificate_node(&std::fs::read(files.certificate).unwrap()).unwrap(),
        a
    );
}

#[test]
fn a_renewed_certificate_keeps_the_identity() {
    let (_folder, authority) = new();
    let (id, _old) = authority.issue_node("a").unwrap();
    let new = authority.issue("a-2028", Role::Node(id)).unwrap();
    assert_eq!(
        certificate_node(&std::fs::read(new.certificate).unwrap()).unwrap(),
        id
    );
}

#[test]
fn an_authority_that_was_read_back_issues_as_before() {
    let (_folder, authority) = new();
    let again = Authority::open(authority.dir()).unwrap();
    let (_id, files) = again.issue_node("node-1").unwrap();
    vouched_for(&files, KeyUsage::server_auth(), 0).unwrap();
}

#[test]
fn another_authority_does_not_vouch() {
    let ((_a, a), (_b, b)) = (new(), new());
    let files = a.issue_client("app").unwrap();
    let mixed = TlsFiles {
        ca: b.dir().join("ca.pem"),
        ..files
    };
    vouched_for(&mixed, KeyUsage::client_auth(), 0).unwrap_err();
}

#[test]
fn an_existing_authority_is_not_overwritten() {
    let (_folder, authority) = new();
    let files = ["ca.pem", "ca.key"].map(|name| authority.dir().join(name));
    let before = files.clone().map(|path| std::fs::read(path).unwrap());
    let error = Authority::create(authority.dir()).unwrap_err();
    assert!(matches!(error, AuthorityError::Exists { .. }), "{error}");

    std::fs::remove_file(&files[0]).unwrap();
    let error = Authority::create(authority.dir()).unwrap_err();
    assert!(
        matches!(&error, AuthorityError::Exists { path } if *path == files[1]),
        "{error}"
    );
    assert_eq!(std::fs::read(&files[1]).unwrap(), before[1]);
}

#[test]
fn an_existing_certificate_is_not_overwritten() {
    let (_folder, authority) = new();
    let files = authority.issue_client("app").unwrap();
    let before = std::fs::read(&files.key).unwrap();
    let error = authority.issue_admin("app").unwrap_err();
    assert!(matches!(error, AuthorityError::Exists { .. }), "{error}");
    assert_eq!(std::fs::read(&files.key).unwrap(), before);
}

#[test]
fn a_folder_without_an_authority_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = Authority::open(folder.path()).unwrap_err();
    assert!(
        matches!(error, AuthorityError::NoAuthority { .. }),
        "{error}"
    );
}

#[test]
fn a_damaged_authority_is_refused_by_the_name_of_the_file() {
    for damaged in ["ca.pem", "ca.key"] {
        let (_folder, authority) = new();
        let expected = authority.dir().join(damaged);
        std::fs::write(&expected, "-----BEGIN NOTHING-----\n").unwrap();
        let error = Authority::open(authority.dir()).unwrap_err();
        assert!(
            matches!(&error, AuthorityError::Damaged { path, .. } if *path == expected),
            "{error}"
        );
    }
}

#[test]
fn names_that_could_leave_the_folder_or_hide_in_it_are_refused() {
    let (_folder, authority) = new();
    let long = "n".repeat(65);
    for name in [
        "", "ca", "CA", ".hidden", "..", "a/b", "a\\b", "a b", "ä", "a\0", &long,
    ] {
        let error = authority.issue_client(name).unwrap_err();
        assert!(
            matches!(error, AuthorityError::BadName { .. }),
            "{name:?}: {error}"
        );
    }
    authority.issue_client(&long[1..]).unwrap();
}

#[cfg(unix)]
#[test]
fn keys_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let (_folder, authority) = new();
    let files = authority.issue_client("app").unwrap();
    for key in [files.key, authority.dir().join("ca.key")] {
        assert_eq!(
            key.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            key.display()
        );
    }
}
