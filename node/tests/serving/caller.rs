//! A folder to run a node in, and a minimal client that speaks to it: no retries.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use quoit_ring::role::{ALPN, SEED_SERVER_NAME};
use quoit_ring::wire::{
    DecodeError, Frames, LANE_FRAME, MAX_FRAME, Request, RequestFrame, Response, ResponseFrame,
    decode_record, encode_record,
};
use quoit_ring::{Actor, Delta, Dot, Epoch, LeafBits, Millis, Time};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use quoit_node::config::Config;
use quoit_node::provision::{LocalCluster, LocalOptions};
use quoit_node::{CloseCode, Node};
use quoit_transport::lane::PREFACE;

/// Longer than anything here takes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// A cluster of one node in a folder of its own.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) config: Config,
}

pub(crate) fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let options = LocalOptions {
        nodes: 1,
        replication: 1,
        leaf_bits: LeafBits::new(12).unwrap(),
        memory: 64 << 20,
        ..LocalOptions::default()
    };
    let cluster = LocalCluster::create_or_open(&folder.path().join("c"), &options).unwrap();
    let mut config = Config::load(&cluster.nodes()[0].config).unwrap();
    config.listen.set_port(0); // whatever is free now, not what was free a moment ago
    Place { folder, config }
}

impl Place {
    pub(crate) fn start(&self) -> Node {
        Node::start(&self.config).unwrap()
    }

    pub(crate) fn certs(&self) -> PathBuf {
        self.folder.path().join("c/certs")
    }

    pub(crate) fn caller(&self, node: &Node, name: &str) -> Caller {
        Caller::connect(&self.certs(), name, node.address()).unwrap()
    }
}

/// A client without any of a client's cleverness.
pub(crate) struct Caller {
    pub(crate) runtime: Handle,
    /// Dropped, it ends the thread that drives the runtime.
    _running: oneshot::Sender<()>,
    _endpoint: Endpoint,
    pub(crate) connection: Connection,
    pub(crate) lane: (SendStream, RecvStream),
    frames: Frames,
    next: u64,
}

pub(crate) fn client_config(certs: &Path, name: &str) -> quinn::ClientConfig {
    let read = |file: String| std::fs::read(certs.join(file)).unwrap();
    let chain = |pem: &[u8]| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem)
            .map(Result::unwrap)
            .collect()
    };
    let mut roots = rustls::RootCertStore::empty();
    for authority in chain(&read("ca.pem".to_owned())) {
        roots.add(authority).unwrap();
    }
    let key = PrivateKeyDer::from_pem_slice(&read(format!("{name}.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain(&read(format!("{name}.pem"))), key)
        .unwrap();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut transport = quinn::TransportConfig::default();
    let mut mtu = quinn::MtuDiscoveryConfig::default();
    mtu.upper_bound(6400);
    transport.mtu_discovery_config(Some(mtu));
    config.transport_config(Arc::new(transport));
    config
}

impl Caller {
    pub(crate) fn connect(
        certs: &Path,
        name: &str,
        address: SocketAddr,
    ) -> Result<Self, ConnectionError> {
        Self::connect_with(certs, name, address, &PREFACE)
    }

    /// The same, but these are the first bytes of the lane.
    pub(crate) fn connect_with(
        certs: &Path,
        name: &str,
        address: SocketAddr,
        preface: &[u8],
    ) -> Result<Self, ConnectionError> {
        let driven = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let runtime = driven.handle().clone();
        let (running, end) = oneshot::channel::<()>();
        std::thread::spawn(move || driven.block_on(end).is_ok());
        let (endpoint, connection, lane) = runtime.block_on(async {
            let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
            let config = client_config(certs, name);
            let connecting = endpoint
                .connect_with(config, address, SEED_SERVER_NAME)
                .unwrap();
            let connection = connecting.await?;
            let mut lane = connection.open_bi().await?;
            // A caller over the limit is refused before or after it has written this.
            drop(lane.0.write_all(preface).await);
            Ok::<_, ConnectionError>((endpoint, connection, lane))
        })?;
        let frames = Frames::new(LANE_FRAME);
        Ok(Self {
            runtime,
            _running: running,
            _endpoint: endpoint,
            connection,
            lane,
            frames,
            next: 1,
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.runtime.block_on(self.lane.0.write_all(bytes)).unwrap();
    }

    pub(crate) fn send(&mut self, request: Request) -> u64 {
        self.send_in(Epoch(1), request)
    }

    fn send_in(&mut self, epoch: Epoch, request: Request) -> u64 {
        let id = self.next;
        self.next += 1;
        let mut out = BytesMut::new();
        RequestFrame {
            id,
            epoch,
            budget_ms: 5000,
            request,
        }
        .encode(&mut out);
        if out.len() <= LANE_FRAME {
            self.write(&out);
        } else {
            self.runtime.block_on(async {
                let mut stream = self.connection.open_uni().await.unwrap();
                stream.write_all(&out).await.unwrap();
                stream.finish().unwrap();
            });
        }
        id
    }

    /// The next answer on the lane.
    pub(crate) fn receive(&mut self) -> ResponseFrame {
        let Self {
            runtime,
            lane,
            frames,
            ..
        } = self;
        let next = async {
            loop {
                if let Some(frame) = frames.next()? {
                    return ResponseFrame::decode(frame);
                }
                let chunk = lane.1.read_chunk(1 << 16, true).await.unwrap().unwrap();
                frames.push(&chunk.bytes);
            }
        };
        let next: Result<ResponseFrame, DecodeError> =
            runtime.block_on(async { tokio::time::timeout(TIMEOUT, next).await.unwrap() });
        next.unwrap()
    }

    /// The next answer on a stream of its own.
    pub(crate) fn receive_large(&self) -> ResponseFrame {
        let bytes = self.runtime.block_on(async {
            let mut stream = self.connection.accept_uni().await.unwrap();
            stream.read_to_end(MAX_FRAME).await.unwrap()
        });
        let frame = ResponseFrame::decode(Bytes::from(bytes).slice(4..)).unwrap();
        ResponseFrame {
            response: without_floor(frame.response),
            ..frame
        }
    }

    pub(crate) fn ask(&mut self, request: Request) -> Response {
        self.ask_in(Epoch(1), request)
    }

    /// Asks in an epoch.
    pub(crate) fn ask_in(&mut self, epoch: Epoch, request: Request) -> Response {
        let id = self.send_in(epoch, request);
        let answer = self.receive();
        assert_eq!(answer.id, id);
        without_floor(answer.response)
    }

    /// Asks; the connection's end, if it ends before the answer.
    pub(crate) fn try_ask(&mut self, request: Request) -> Result<Response, ConnectionError> {
        let connection = self.connection.clone();
        let closed =
            async { tokio::time::timeout(Duration::from_millis(300), connection.closed()).await };
        match self.runtime.block_on(closed) {
            Ok(closed) => Err(closed),
            Err(_still_open) => Ok(self.ask(request)),
        }
    }

    /// Why the node closed the connection.
    pub(crate) fn closed(&self) -> (Option<CloseCode>, String) {
        let closed = async { tokio::time::timeout(TIMEOUT, self.connection.closed()).await };
        match self.runtime.block_on(closed).unwrap() {
            ConnectionError::ApplicationClosed(close) => (
                CloseCode::from_code(close.error_code.into_inner()),
                String::from_utf8(close.reason.to_vec()).unwrap(),
            ),
            other => panic!("{other}"),
        }
    }
}

/// The machine's wall time.
#[expect(clippy::disallowed_methods, reason = "a client has a clock of its own")]
pub(crate) fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Millis(u64::try_from(since.as_millis()).unwrap())
}

/// A write made just now, or `ahead` milliseconds later, that replaces whatever is older.
pub(crate) fn write(value: &str, ahead: u64) -> Delta {
    let time = Time::at(Millis(wall().0 + ahead));
    let dot = Dot {
        time,
        actor: Actor(9),
    };
    Delta::blind(dot, Some((Bytes::copy_from_slice(value.as_bytes()), None)))
}

pub(crate) fn put(key: &str, delta: &Delta) -> Request {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let mut record = BytesMut::new();
    encode_record(delta.record(), &mut record);
    Request::Put {
        key,
        dot: delta.dot(),
        record: record.freeze(),
    }
}

pub(crate) fn get(key: &str) -> Request {
    Request::Get {
        key: Bytes::copy_from_slice(key.as_bytes()),
        digest: false,
    }
}

pub(crate) fn value_of(response: &Response) -> Vec<u8> {
    let Some(bytes) = response.record() else {
        panic!("{response:?}")
    };
    decode_record(bytes).unwrap().live()[0]
        .value
        .clone()
        .unwrap()
        .to_vec()
}

/// An answer to a get as it is in a range without a floor: a node that is alone has one within a second.
fn without_floor(response: Response) -> Response {
    match response {
        Response::Above { record, .. } => Response::to_get(record, Time::ZERO),
        other => other,
    }
}
