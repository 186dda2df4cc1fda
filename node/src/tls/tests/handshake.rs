//! Real handshakes over loopback between a node's endpoint and a client made by hand.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint};
use quoit_ring::role::{SEED_SERVER_NAME, server_name};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use tempfile::TempDir;

use crate::config::TlsFiles;
use crate::provision::Authority;
use crate::tls::*;

pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// A cluster's authority and one node of it that accepts connections.
struct World {
    folder: TempDir,
    authority: Authority,
    node: NodeId,
    server: Endpoint,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(&folder.path().join("certs")).unwrap();
        let (node, files) = authority.issue_node("node-1").unwrap();
        let config = NodeTls::load(&files).unwrap().server_config();
        let server = Endpoint::server(config, loopback()).unwrap();
        Self {
            folder,
            authority,
            node,
            server,
        }
    }

    /// The two ends of a connection, each with the verdict that its side came to.
    async fn connect(&self, config: ClientConfig, name: &str) -> Ends {
        let client = Endpoint::client(loopback()).unwrap();
        let config = QuicClientConfig::try_from(config).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(config));
        let address = self.server.local_addr().unwrap();
        let connecting = client.connect_with(config, address, name).unwrap();
        let accepting = async { self.server.accept().await.unwrap().await };
        let ends = async { tokio::join!(connecting, accepting) };
        let (client_end, server_end) = tokio::time::timeout(TIMEOUT, ends).await.unwrap();
        Ends {
            client: client_end,
            server: server_end,
            _endpoint: client,
        }
    }

    /// What the node takes the holder of `files` to be.
    async fn role_of(&self, files: &TlsFiles) -> Role {
        let ends = self.connect(client_config(files), SEED_SERVER_NAME).await;
        ends.client.unwrap();
        peer_role(&ends.server.unwrap()).unwrap()
    }
}

struct Ends {
    client: Result<Connection, ConnectionError>,
    server: Result<Connection, ConnectionError>,
    _endpoint: Endpoint,
}

pub(super) fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn roots(ca: &std::path::Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).unwrap())
        .unwrap();
    roots
}

/// A client that proves itself by `files` and offers the right protocol.
pub(super) fn client_config(files: &TlsFiles) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(roots(&files.ca))
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_file(&files.certificate).unwrap()],
            PrivateKeyDer::from_pem_file(&files.key).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config
}

fn tls_refusal(end: Result<Connection, ConnectionError>) -> String {
    match end.expect_err("the handshake was accepted") {
        ConnectionError::TransportError(error) => error.to_string(),
        ConnectionError::ConnectionClosed(close) => close.to_string(),
        other => panic!("not refused by TLS: {other}"),
    }
}

#[tokio::test]
async fn every_role_is_let_in_and_recognised() {
    let world = World::new();
    let client = world.authority.issue_client("app").unwrap();
    let admin = world.authority.issue_admin("me").unwrap();
    let (id, node) = world.authority.issue_node("node-2").unwrap();
    assert_eq!(world.role_of(&client).await, Role::Client);
    assert_eq!(world.role_of(&admin).await, Role::Admin);
    assert_eq!(world.role_of(&node).await, Role::Node(id));
}

#[tokio::test]
async fn a_node_answers_to_its_own_name_and_to_no_other_nodes() {
    let world = World::new();
    let config = client_config(&world.authority.issue_client("app").unwrap());
    world
        .connect(config.clone(), &server_name(world.node))
        .await
        .client
        .unwrap();

    let other = server_name(NodeId(!world.node.0));
    let ends = world.connect(config, &other).await;
    let refusal = tls_refusal(ends.client);
    assert!(refusal.contains("not valid for name"), "{refusal}");
    tls_refusal(ends.server);
}

#[tokio::test]
async fn a_caller_of_another_cluster_is_refused() {
    let world = World::new();
    let stranger = Authority::create(&world.folder.path().join("other")).unwrap();
    let mut files = stranger.issue_client("app").unwrap();
    // It even knows whom to trust; its own certificate gives it away.
    files.ca = world.authority.dir().join("ca.pem");
    let ends = world.connect(client_config(&files), SEED_SERVER_NAME).await;
    let refusal = tls_refusal(ends.server);
    assert!(refusal.contains("UnknownIssuer"), "{refusal}");
}

#[tokio::test]
async fn a_caller_refuses_a_node_of_another_cluster() {
    let world = World::new();
    let stranger = Authority::create(&world.folder.path().join("other")).unwrap();
    let files = stranger.issue_client("app").unwrap();
    let ends = world.connect(client_config(&files), SEED_SERVER_NAME).await;
    let refusal = tls_refusal(ends.client);
    assert!(refusal.contains("UnknownIssuer"), "{refusal}");
}

#[tokio::test]
async fn a_client_cannot_pose_as_a_node() {
    let mut world = World::new();
    let client = world.authority.issue_client("app").unwrap();
    // The impostor skips the checks at the start that would stop an honest node.
    let material = Material {
        chain: vec![CertificateDer::from_pem_file(&client.certificate).unwrap()],
        key: PrivateKeyDer::from_pem_file(&client.key).unwrap(),
        roots: roots(&client.ca),
        node: NodeId(0),
        not_after: Millis(u64::MAX),
    };
    let crypto = QuicServerConfig::try_from(server_config(&material, &client).unwrap()).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    world.server = Endpoint::server(config, loopback()).unwrap();

    let ends = world
        .connect(client_config(&client), SEED_SERVER_NAME)
        .await;
    tls_refusal(ends.client);
    tls_refusal(ends.server);
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused() {
    let world = World::new();
    let files = world.authority.issue_client("app").unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(roots(&files.ca))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let ends = world.connect(config, SEED_SERVER_NAME).await;
    let refusal = tls_refusal(ends.server);
    assert!(refusal.contains("sent no certificates"), "{refusal}");
}

#[tokio::test]
async fn a_caller_of_another_protocol_or_none_is_refused() {
    let world = World::new();
    let files = world.authority.issue_client("app").unwrap();
    for offered in [vec![b"h3".to_vec()], vec![b"quoit/2".to_vec()], vec![]] {
        let mut config = client_config(&files);
        config.alpn_protocols = offered;
        let ends = world.connect(config, SEED_SERVER_NAME).await;
        tls_refusal(ends.client);
        tls_refusal(ends.server);
    }
}

#[tokio::test]
async fn a_certificate_of_the_cluster_without_a_role_gets_no_role() {
    let world = World::new();
    let ca = world.authority.dir().join("ca.pem");
    let key = std::fs::read_to_string(ca.with_extension("key")).unwrap();
    let key = rcgen::KeyPair::from_pem(&key).unwrap();
    let issuer =
        rcgen::Issuer::from_ca_cert_pem(&std::fs::read_to_string(&ca).unwrap(), key).unwrap();
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::default()
        .signed_by(&leaf_key, &issuer)
        .unwrap();
    let files = TlsFiles {
        ca,
        certificate: world.folder.path().join("bare.pem"),
        key: world.folder.path().join("bare.key"),
    };
    std::fs::write(&files.certificate, leaf.pem()).unwrap();
    std::fs::write(&files.key, leaf_key.serialize_pem()).unwrap();

    let ends = world.connect(client_config(&files), SEED_SERVER_NAME).await;
    let error = peer_role(&ends.server.unwrap()).unwrap_err();
    assert!(matches!(error, CertificateError::NoRole), "{error}");
}

#[tokio::test]
async fn a_node_offers_no_resumption_and_takes_no_early_data() {
    let world = World::new();
    let files = world.authority.issue_client("app").unwrap();
    let mut config = client_config(&files);
    config.enable_early_data = true;
    // A second connection with the same store would resume if a ticket had come with the first.
    let config = Arc::new(config);
    let client = Endpoint::client(loopback()).unwrap();
    let quic = QuicClientConfig::try_from(Arc::clone(&config)).unwrap();
    let quic = quinn::ClientConfig::new(Arc::new(quic));
    let address = world.server.local_addr().unwrap();
    for _ in 0..2 {
        let connecting = client
            .connect_with(quic.clone(), address, SEED_SERVER_NAME)
            .unwrap();
        let Err(connecting) = connecting.into_0rtt() else {
            panic!("early data was possible")
        };
        let accepting = async { world.server.accept().await.unwrap().await };
        let (ours, theirs) = tokio::join!(connecting, accepting);
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        // Whatever the server has to send after the handshake has come once this has.
        let mut stream = theirs.open_uni().await.unwrap();
        stream.write_all(b"done").await.unwrap();
        stream.finish().unwrap();
        let arrived = ours
            .accept_uni()
            .await
            .unwrap()
            .read_to_end(16)
            .await
            .unwrap();
        assert_eq!(arrived, b"done");
    }
}
