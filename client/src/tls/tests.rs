//! Certificates that do not fit, and real handshakes with a server made by hand.
//!
//! `testdata/` holds a throw-away cluster's certificates (P-256, made with `openssl`, valid until 2126): an
//! authority `ca`, whose key no longer exists, with a `client`, the `node` 00c0ffee00c0ffee and a
//! `roleless` certificate, and another authority, `stranger`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, ConnectionError, Endpoint};
use quoit_ring::NodeId;
use quoit_ring::role::{ALPN, SEED_SERVER_NAME, server_name};
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, version};
use rustls_pki_types::pem::PemObject as _;

use super::*;

const CA: &[u8] = include_bytes!("testdata/ca.pem");
const STRANGER: &[u8] = include_bytes!("testdata/stranger.pem");
const CLIENT: [&[u8]; 2] = [
    include_bytes!("testdata/client.pem"),
    include_bytes!("testdata/client.key"),
];
const NODE: [&[u8]; 2] = [
    include_bytes!("testdata/node.pem"),
    include_bytes!("testdata/node.key"),
];
const ROLELESS: [&[u8]; 2] = [
    include_bytes!("testdata/roleless.pem"),
    include_bytes!("testdata/roleless.key"),
];
const NODE_ID: NodeId = NodeId(0x00c0_ffee_00c0_ffee);

fn client() -> ClientTls {
    ClientTls::from_pem(CA, CLIENT[0], CLIENT[1]).unwrap()
}

fn refused(ca: &[u8], certificate: &[u8], key: &[u8]) -> TlsError {
    ClientTls::from_pem(ca, certificate, key).expect_err("the certificates were accepted")
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/tls/testdata")
        .join(name)
}

fn files() -> TlsFiles {
    TlsFiles {
        ca: testdata("ca.pem"),
        certificate: testdata("client.pem"),
        key: testdata("client.key"),
    }
}

#[test]
fn proper_files_are_accepted_and_their_role_is_known() {
    assert_eq!(ClientTls::load(&files()).unwrap().role, Role::Client);
    let node = ClientTls::from_pem(CA, NODE[0], NODE[1]).unwrap();
    assert_eq!(node.role, Role::Node(NODE_ID));
}

#[test]
fn a_missing_file_is_named_with_its_part() {
    let absent = testdata("absent");
    let table = [
        (
            TlsFiles {
                ca: absent.clone(),
                ..files()
            },
            "the authority",
        ),
        (
            TlsFiles {
                certificate: absent.clone(),
                ..files()
            },
            "the certificate",
        ),
        (
            TlsFiles {
                key: absent.clone(),
                ..files()
            },
            "the private key",
        ),
    ];
    for (files, part) in table {
        let error = ClientTls::load(&files).unwrap_err();
        assert!(matches!(error, TlsError::Read { .. }));
        let expected = format!(
            "cannot read {part} {}; check its path and owner",
            absent.display()
        );
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn texts_that_hold_nothing_are_refused() {
    for junk in [&b""[..], b"junk", b"\0\xff"] {
        for (error, part) in [
            (refused(junk, CLIENT[0], CLIENT[1]), PemKind::Authority),
            (refused(CA, junk, CLIENT[1]), PemKind::Certificate),
            (refused(CA, CLIENT[0], junk), PemKind::Key),
        ] {
            assert!(
                matches!(&error, TlsError::Empty { place } if place.part == part),
                "{error}"
            );
        }
    }
}

#[test]
fn an_encrypted_key_is_refused_as_what_it_is() {
    let key = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let error = refused(CA, CLIENT[0], key);
    assert!(matches!(error, TlsError::EncryptedKey { .. }), "{error}");
}

#[test]
fn swapped_texts_are_refused() {
    let error = refused(CA, CLIENT[1], CLIENT[0]);
    assert!(matches!(error, TlsError::Empty { .. }), "{error}");
    let error = refused(CLIENT[0], CA, CLIENT[1]);
    assert!(
        matches!(
            error,
            TlsError::Untrusted { .. } | TlsError::BadAuthority { .. }
        ),
        "{error}"
    );
}

#[test]
fn damaged_texts_are_refused() {
    let half = |text: &'static [u8]| &text[..text.len() / 2];
    for error in [
        refused(half(CA), CLIENT[0], CLIENT[1]),
        refused(CA, half(CLIENT[0]), CLIENT[1]),
        refused(CA, CLIENT[0], half(CLIENT[1])),
    ] {
        assert!(matches!(error, TlsError::NotPem { .. }), "{error}");
    }
}

#[test]
fn pem_of_something_else_is_refused() {
    let certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let error = refused(certificate, CLIENT[0], CLIENT[1]);
    assert!(matches!(error, TlsError::BadAuthority { .. }), "{error}");
    let error = refused(CA, certificate, CLIENT[1]);
    assert!(matches!(error, TlsError::Untrusted { .. }), "{error}");
    let error = refused(CA, CLIENT[0], key);
    assert!(matches!(error, TlsError::BadKey { .. }), "{error}");
}

#[test]
fn a_key_that_belongs_to_another_certificate_is_refused() {
    let error = refused(CA, CLIENT[0], NODE[1]);
    assert!(matches!(error, TlsError::KeyMismatch { .. }));
    let sentence = "the private key does not belong to the certificate";
    assert!(error.to_string().starts_with(sentence), "{error}");
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let error = refused(STRANGER, CLIENT[0], CLIENT[1]);
    assert!(matches!(error, TlsError::Untrusted { .. }), "{error}");
}

#[test]
fn a_certificate_without_a_role_is_refused() {
    let error = refused(CA, ROLELESS[0], ROLELESS[1]);
    assert!(matches!(error, TlsError::NoRole { .. }), "{error}");
}

#[test]
fn a_certificate_out_of_its_time_is_refused() {
    let at = |years: u64| {
        let [ca, certificate, key] = [
            Source::read(PemKind::Authority, &files().ca).unwrap(),
            Source::read(PemKind::Certificate, &files().certificate).unwrap(),
            Source::read(PemKind::Key, &files().key).unwrap(),
        ];
        let now = UnixTime::since_unix_epoch(Duration::from_secs(years * 365 * 86_400));
        ClientTls::from_sources(&ca, &certificate, &key, now)
    };
    at(100).unwrap();
    assert!(matches!(at(200), Err(TlsError::Expired { .. })));
    assert!(matches!(at(1), Err(TlsError::NotYetValid { .. })));
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A server that shows `identity` and accepts clients of the authority.
fn serve(identity: [&[u8]; 2], protocol: &[u8]) -> Endpoint {
    let [certificate, key] = identity;
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(CA).unwrap())
        .unwrap();
    let provider = Arc::new(provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate).unwrap()],
            PrivateKeyDer::from_pem_slice(key).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.max_early_data_size = u32::MAX;
    let crypto = QuicServerConfig::try_from(config).unwrap();
    Endpoint::server(
        quinn::ServerConfig::with_crypto(Arc::new(crypto)),
        loopback(),
    )
    .unwrap()
}

/// The client's and the server's end of a connection under `name`.
async fn connect(
    endpoint: &Endpoint,
    server: &Endpoint,
    name: &str,
) -> (
    Result<Connection, ConnectionError>,
    Result<Connection, ConnectionError>,
) {
    let address = server.local_addr().unwrap();
    let connecting = endpoint
        .connect_with(client().client_config(), address, name)
        .unwrap();
    let accepting = async { server.accept().await.unwrap().await };
    let ends = async { tokio::join!(connecting, accepting) };
    tokio::time::timeout(Duration::from_secs(10), ends)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_node_is_accepted_under_both_of_its_names() {
    let (endpoint, server) = (Endpoint::client(loopback()).unwrap(), serve(NODE, ALPN));
    for name in [SEED_SERVER_NAME, &server_name(NODE_ID)] {
        let (ours, theirs) = connect(&endpoint, &server, name).await;
        ours.unwrap();
        assert!(
            theirs.unwrap().peer_identity().is_some(),
            "the client showed no certificate"
        );
    }
}

#[tokio::test]
async fn another_node_at_the_address_is_refused() {
    let (endpoint, server) = (Endpoint::client(loopback()).unwrap(), serve(NODE, ALPN));
    let (ours, _theirs) = connect(&endpoint, &server, &server_name(NodeId(1))).await;
    let error = ours.unwrap_err().to_string();
    assert!(error.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_no_node_is_refused() {
    let (endpoint, server) = (Endpoint::client(loopback()).unwrap(), serve(CLIENT, ALPN));
    let (ours, _theirs) = connect(&endpoint, &server, SEED_SERVER_NAME).await;
    assert!(
        matches!(ours, Err(ConnectionError::TransportError(_))),
        "{ours:?}"
    );
}

#[tokio::test]
async fn a_server_of_another_protocol_is_refused() {
    let (endpoint, server) = (Endpoint::client(loopback()).unwrap(), serve(NODE, b"h3"));
    let (ours, theirs) = connect(&endpoint, &server, SEED_SERVER_NAME).await;
    assert!(ours.is_err() && theirs.is_err());
}

#[tokio::test]
async fn a_session_is_never_resumed_and_no_data_is_sent_early() {
    let (endpoint, server) = (Endpoint::client(loopback()).unwrap(), serve(NODE, ALPN));
    let config = client().client_config();
    for _ in 0..2 {
        let address = server.local_addr().unwrap();
        let connecting = endpoint
            .connect_with(config.clone(), address, SEED_SERVER_NAME)
            .unwrap();
        let Err(connecting) = connecting.into_0rtt() else {
            panic!("early data was possible")
        };
        let accepting = async { server.accept().await.unwrap().await };
        let (ours, theirs) = tokio::join!(connecting, accepting);
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        // The server, which would allow it, has sent its tickets once this has arrived.
        let mut stream = theirs.open_uni().await.unwrap();
        stream.write_all(b"done").await.unwrap();
        stream.finish().unwrap();
        ours.accept_uni()
            .await
            .unwrap()
            .read_to_end(16)
            .await
            .unwrap();
    }
}
