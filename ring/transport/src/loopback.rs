//! Two ends of a real connection on loopback, for tests.
//!
//! Certificates come from an authority that lives as long as the connection's making.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use quoit_ring::role::{ALPN, SEED_SERVER_NAME};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::task::LocalSet;

use crate::dial::Dialer;
use crate::quic::{accept_long_packets, bind, bound_server};
use crate::tls::{client_config, provider};

/// Both ends of one connection, and what they live on.
pub(crate) struct Pair {
    pub(crate) dialled: Connection,
    pub(crate) accepted: Connection,
    _dialer: Dialer,
    _server: Endpoint,
}

impl Pair {
    /// Connects two ends of this process.
    pub(crate) async fn connect() -> Self {
        let (server, client) = configs();
        let server = serve(server);
        let address = server.local_addr().unwrap().to_string();
        let dialer = Dialer::new(client);
        let accepting = async { server.accept().await.unwrap().await.unwrap() };
        let (dialled, accepted) = tokio::join!(dialer.dial(&address, SEED_SERVER_NAME), accepting);
        Self {
            dialled: dialled.unwrap(),
            accepted,
            _dialer: dialer,
            _server: server,
        }
    }
}

/// Runs a test on a runtime of its own, inside a local task set.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(LocalSet::new().run_until(test));
}

/// A server's endpoint at a free port; inside a runtime.
pub(crate) fn serve(mut config: ServerConfig) -> Endpoint {
    bound_server(&mut config);
    let mut endpoint = EndpointConfig::default();
    accept_long_packets(&mut endpoint);
    let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    Endpoint::new(endpoint, Some(config), socket, Arc::new(TokioRuntime)).unwrap()
}

/// The settings of a server and of a client that trust each other.
pub(crate) fn configs() -> (ServerConfig, ClientConfig) {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let issue = || {
        let params = CertificateParams::new([SEED_SERVER_NAME.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (chain, key)
    };
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();

    let (chain, key) = issue();
    let client = client_config(roots.clone(), chain, key).unwrap();
    let client = QuicClientConfig::try_from(client).unwrap();
    let provider = Arc::new(provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let (chain, key) = issue();
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    server.alpn_protocols = vec![ALPN.to_vec()];
    let server = QuicServerConfig::try_from(server).unwrap();
    (
        ServerConfig::with_crypto(Arc::new(server)),
        ClientConfig::new(Arc::new(client)),
    )
}
