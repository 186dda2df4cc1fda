//! A node made by hand, for tests: it speaks the contract of the transport and breaks it on demand.
//!
//! It has a real certificate of a throw-away authority and a real QUIC endpoint on loopback. The test
//! decides what it does with each request.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, ConnectionError, Endpoint, EndpointConfig, RecvStream, SendStream, ServerConfig,
};
use quoit_ring::role::{ALPN, Role, SEED_SERVER_NAME, server_name};
use quoit_ring::wire::{
    Frames, LANE_FRAME, MAX_FRAME, Request, RequestFrame, Response, ResponseFrame,
};
use quoit_ring::{Epoch, NodeId, Time};
use quoit_transport::lane::Lane;
use quoit_transport::quic::{Side, accept_long_packets, transport};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls::TlsFiles;

/// An authority that lives as long as its test.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let certificate = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    fn issue(&self, role: Role) -> (rcgen::Certificate, KeyPair) {
        let names = role.node().map_or_else(Vec::new, |id| {
            vec![SEED_SERVER_NAME.to_owned(), server_name(id)]
        });
        let mut params = CertificateParams::new(names).unwrap();
        let uri = role.to_uri().try_into().unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Writes a client's files into `folder`.
    pub(crate) fn client_files(&self, folder: &Path) -> TlsFiles {
        let (certificate, key) = self.issue(Role::Client);
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        TlsFiles {
            ca: write("ca.pem", self.certificate.pem()),
            certificate: write("client.pem", certificate.pem()),
            key: write("client.key", key.serialize_pem()),
        }
    }

    fn server_config(&self, node: NodeId, trusted: &Self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(trusted.certificate.der().clone()).unwrap();
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
        let (certificate, key) = self.issue(Role::Node(node));
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![ALPN.to_vec()];
        let config = QuicServerConfig::try_from(config).unwrap();
        let mut config = ServerConfig::with_crypto(Arc::new(config));
        let mut transport = transport(Side::Client);
        transport.max_concurrent_bidi_streams(1_u32.into());
        config.transport_config(Arc::new(transport));
        config
    }
}

/// What the fake node does with a request.
#[derive(Debug)]
pub(crate) enum Act {
    /// Answers, on the lane or by a stream of its own as the size demands.
    Answer(Response),
    /// Answers on the lane in pieces of so many bytes, each in a packet of its own.
    InPieces(Response, usize),
    /// Writes these bytes on the lane.
    OnLane(Bytes),
    /// Writes these bytes on the lane and ends it.
    CutLane(Bytes),
    /// Writes these bytes on a stream of their own and ends it.
    OnStream(Bytes),
    /// Ends the lane, answers on a stream of its own a moment later and then closes as stopping.
    Leave(Response),
    /// Closes the connection with this code.
    Close(u32),
    /// Does not answer.
    Silence,
}

type Behaviour = Arc<dyn Fn(&Request) -> Act + Send + Sync>;

/// What happened at the fake node.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// All requests, in the order they came.
    pub(crate) requests: Vec<RequestFrame>,
    /// All connections, the first one first.
    pub(crate) connections: Vec<Connection>,
    /// How each connection ended.
    pub(crate) ends: Vec<ConnectionError>,
}

/// A node made by hand; its tasks run on the test's runtime. Dropping it closes it.
pub(crate) struct FakeNode {
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<Mutex<Log>>,
    endpoint: Endpoint,
}

impl FakeNode {
    /// A node of `authority`'s that accepts its clients.
    pub(crate) fn start(
        authority: &Authority,
        id: NodeId,
        behaviour: impl Fn(&Request) -> Act + Send + Sync + 'static,
    ) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let endpoint = open(authority.server_config(id, authority), any).unwrap();
        Self::serve_on(endpoint, behaviour)
    }

    /// The same at an address that another has just left.
    pub(crate) async fn start_again(
        address: SocketAddr,
        authority: &Authority,
        id: NodeId,
        behaviour: impl Fn(&Request) -> Act + Send + Sync + 'static,
    ) -> Self {
        let config = authority.server_config(id, authority);
        loop {
            match open(config.clone(), address) {
                Ok(endpoint) => return Self::serve_on(endpoint, behaviour),
                Err(_in_use) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// A node of `authority`'s that accepts only clients of `trusted`'s.
    pub(crate) fn start_distrustful(
        authority: &Authority,
        trusted: &Authority,
        id: NodeId,
    ) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let endpoint = open(authority.server_config(id, trusted), any).unwrap();
        Self::serve_on(endpoint, |_| Act::Silence)
    }

    fn serve_on(
        endpoint: Endpoint,
        behaviour: impl Fn(&Request) -> Act + Send + Sync + 'static,
    ) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let node = Self {
            address: endpoint.local_addr().unwrap(),
            log: Arc::clone(&log),
            endpoint: endpoint.clone(),
        };
        let behaviour: Behaviour = Arc::new(behaviour);
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let Ok(connection) = incoming.await else {
                    continue;
                };
                let (log, behaviour) = (Arc::clone(&log), Arc::clone(&behaviour));
                log.lock().unwrap().connections.push(connection.clone());
                tokio::spawn(async move {
                    serve(&connection, &log, &behaviour).await;
                    let end = connection.closed().await;
                    log.lock().unwrap().ends.push(end);
                });
            }
        });
        node
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> usize {
        self.log.lock().unwrap().requests.len()
    }

    /// The application's code of the first connection's end, once it has ended.
    pub(crate) async fn first_end(&self) -> Option<u64> {
        for _ in 0..200 {
            if let Some(end) = self.log.lock().unwrap().ends.first() {
                return match end {
                    ConnectionError::ApplicationClosed(close) => Some(close.error_code.into()),
                    _other => None,
                };
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no connection has ended");
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.endpoint.close(0_u32.into(), b"");
    }
}

fn open(config: ServerConfig, address: SocketAddr) -> std::io::Result<Endpoint> {
    let socket = std::net::UdpSocket::bind(address)?;
    let runtime = Arc::new(quinn::TokioRuntime);
    let mut endpoint = EndpointConfig::default();
    accept_long_packets(&mut endpoint);
    Endpoint::new(endpoint, Some(config), socket, runtime)
}

/// Serves one connection: the lane, and streams of large requests.
async fn serve(connection: &Connection, log: &Mutex<Log>, behaviour: &Behaviour) {
    let Ok(Lane { send, receive }) = Lane::accept(connection).await else {
        return;
    };
    let lane_out = tokio::sync::Mutex::new(send);
    let lane = serve_stream(connection, &lane_out, receive, LANE_FRAME, (log, behaviour));
    let large = async {
        while let Ok(stream) = connection.accept_uni().await {
            serve_stream(connection, &lane_out, stream, MAX_FRAME, (log, behaviour)).await;
        }
    };
    tokio::join!(lane, large);
}

async fn serve_stream(
    connection: &Connection,
    lane: &tokio::sync::Mutex<SendStream>,
    mut stream: RecvStream,
    max_frame: usize,
    (log, behaviour): (&Mutex<Log>, &Behaviour),
) {
    let mut frames = Frames::new(max_frame);
    while let Ok(Some(chunk)) = stream.read_chunk(usize::MAX, true).await {
        frames.push(&chunk.bytes);
        while let Some(frame) = frames.next().expect("frames of the right size") {
            let frame = RequestFrame::decode(frame).expect("frames that can be read");
            let (id, act) = (frame.id, behaviour(&frame.request));
            log.lock().unwrap().requests.push(frame);
            act_out(connection, &mut *lane.lock().await, id, act).await;
        }
    }
}

async fn act_out(connection: &Connection, lane: &mut SendStream, id: u64, act: Act) {
    match act {
        Act::Answer(response) => {
            let bytes = response_bytes(id, response);
            if bytes.len() <= LANE_FRAME {
                lane.write_chunk(bytes).await.ok();
            } else {
                write_stream(connection, bytes).await;
            }
        }
        Act::InPieces(response, piece) => {
            for piece in response_bytes(id, response).chunks(piece) {
                lane.write_all(piece).await.ok();
                // lets the packet go
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Act::OnLane(bytes) => drop(lane.write_chunk(bytes).await),
        Act::CutLane(bytes) => {
            lane.write_chunk(bytes).await.ok();
            lane.finish().ok();
        }
        Act::OnStream(bytes) => write_stream(connection, bytes).await,
        Act::Leave(response) => {
            lane.finish().ok();
            tokio::time::sleep(Duration::from_millis(50)).await;
            write_stream(connection, response_bytes(id, response)).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            connection.close(1_u32.into(), b"");
        }
        Act::Close(code) => connection.close(code.into(), b""),
        Act::Silence => {}
    }
}

async fn write_stream(connection: &Connection, bytes: Bytes) {
    if let Ok(mut stream) = connection.open_uni().await {
        stream.write_chunk(bytes).await.ok();
        stream.finish().ok();
    }
}

/// A whole response frame.
pub(crate) fn response_bytes(id: u64, response: Response) -> Bytes {
    let mut out = BytesMut::new();
    let frame = ResponseFrame {
        id,
        epoch: Epoch(1),
        clock: Time(0),
        response,
    };
    frame.encode(&mut out);
    out.freeze()
}
