//! A connection made by hand, to send what no client would.
//!
//! ```text
//!   lane    one bidirectional stream: frames behind each other
//!   large   one unidirectional stream for each large frame
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::BytesMut;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use quoit_node::config::TlsFiles;
use quoit_ring::role::{ALPN, SEED_SERVER_NAME};
use quoit_ring::wire::{Frames, MAX_FRAME, Request, RequestFrame, Response, ResponseFrame};
use quoit_ring::{Epoch, Time};
use quoit_transport::lane::PREFACE;
use rustls::crypto::ring::default_provider;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::timeout;

use crate::support::SOON;

/// The epoch of a cluster's first map.
pub(crate) const EPOCH: Epoch = Epoch(1);

/// How a caller introduces itself.
pub(crate) enum Introduction<'a> {
    /// With the certificate in these files.
    As(&'a TlsFiles),
    /// Without any; it trusts the authority in these files.
    Nobody(&'a TlsFiles),
    /// With the certificate in the first, trusting the authority of the second.
    Stranger(&'a TlsFiles, &'a TlsFiles),
}

/// One connection to one node.
pub(crate) struct Raw {
    pub(crate) connection: Connection,
    send: SendStream,
    receive: RecvStream,
    frames: Frames,
    next: u64,
    // Keeps sending what is queued while it lives.
    _endpoint: Endpoint,
}

impl Raw {
    /// Connects. A node that turns a certificate away may do so only after this.
    pub(crate) async fn connect(
        address: SocketAddr,
        introduction: Introduction<'_>,
    ) -> Result<Self, ConnectionError> {
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(tls(&introduction)));
        let connecting = endpoint
            .connect_with(config, address, SEED_SERVER_NAME)
            .unwrap();
        let connection = timeout(SOON, connecting)
            .await
            .expect("a handshake that never ends")?;
        let (mut send, receive) = connection.open_bi().await?;
        // A node that turns the caller away does not wait for this.
        drop(send.write_all(&PREFACE).await);
        let frames = Frames::new(MAX_FRAME);
        Ok(Self {
            connection,
            send,
            receive,
            frames,
            next: 1,
            _endpoint: endpoint,
        })
    }

    /// Sends bytes on the lane as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.send.write_all(bytes).await.unwrap();
    }

    /// Ends the lane.
    pub(crate) fn finish(&mut self) {
        self.send.finish().unwrap();
    }

    /// Sends bytes on a stream of their own, and ends it.
    pub(crate) async fn write_large(&self, bytes: &[u8]) {
        let mut stream = self.connection.open_uni().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.finish().unwrap();
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&mut self, request: Request) -> Response {
        self.ask_as(request, EPOCH, 5_000).await.response
    }

    /// Asks with this epoch and budget.
    pub(crate) async fn ask_as(
        &mut self,
        request: Request,
        epoch: Epoch,
        budget_ms: u32,
    ) -> ResponseFrame {
        let id = self.next;
        self.next += 1;
        self.write(&encoded(&RequestFrame {
            id,
            epoch,
            budget_ms,
            request,
        }))
        .await;
        let answer = timeout(SOON, self.answer()).await.expect("no answer");
        assert_eq!(answer.id, id, "an answer to another question");
        answer
    }

    /// The node's clock.
    pub(crate) async fn clock(&mut self) -> Time {
        self.ask_as(Request::Status, EPOCH, 5_000).await.clock
    }

    async fn answer(&mut self) -> ResponseFrame {
        loop {
            if let Some(frame) = self.frames.next().unwrap() {
                return ResponseFrame::decode(frame).unwrap();
            }
            let chunk = self.receive.read_chunk(1 << 20, true).await.unwrap();
            self.frames
                .push(&chunk.expect("the node ended the lane").bytes);
        }
    }

    /// Why the node closed the connection; waits for it.
    pub(crate) async fn closed(&self) -> ConnectionError {
        timeout(SOON, self.connection.closed())
            .await
            .expect("the node keeps the connection open")
    }
}

/// A request's bytes, length field included.
pub(crate) fn encoded(frame: &RequestFrame) -> BytesMut {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    bytes
}

fn tls(introduction: &Introduction<'_>) -> QuicClientConfig {
    let (own, trusted) = match introduction {
        Introduction::As(files) => (Some(files), files),
        Introduction::Nobody(trusted) => (None, trusted),
        Introduction::Stranger(own, trusted) => (Some(own), trusted),
    };
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&trusted.ca).unwrap())
        .unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_file(&own.certificate).unwrap()];
            let key = PrivateKeyDer::from_pem_file(&own.key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    QuicClientConfig::try_from(config).unwrap()
}
