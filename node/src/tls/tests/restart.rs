//! A node that was killed and is back: clients of the old process must hear at once that it is gone.
//!
//! ```text
//! client ---- relay ----> first process      its goodbye never passes the relay, as after a kill
//!               `-------> second process     same data directory, or another
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint};
use quoit_ring::ClusterId;
use quoit_ring::role::SEED_SERVER_NAME;
use tempfile::TempDir;
use tokio::net::UdpSocket;

use super::handshake::{TIMEOUT, client_config, loopback};
use crate::identity::{DataDir, Expected};
use crate::provision::Authority;
use crate::tls::*;

/// Forwards datagrams between one client and whichever node is behind it now, if any.
struct Relay {
    front: UdpSocket,
    back: UdpSocket,
    node: Mutex<Option<SocketAddr>>,
}

impl Relay {
    async fn start() -> (Arc<Self>, SocketAddr) {
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
        let (front, back) = (bind().await.unwrap(), bind().await.unwrap());
        let address = front.local_addr().unwrap();
        let relay = Arc::new(Self {
            front,
            back,
            node: Mutex::new(None),
        });
        tokio::spawn(Arc::clone(&relay).run());
        (relay, address)
    }

    fn lead_to(&self, node: Option<SocketAddr>) {
        *self.node.lock().unwrap() = node;
    }

    fn node(&self) -> Option<SocketAddr> {
        *self.node.lock().unwrap()
    }

    async fn run(self: Arc<Self>) {
        let (mut there, mut here) = ([0; 65_536], [0; 65_536]);
        let mut client = None;
        loop {
            tokio::select! {
                biased;
                Ok((length, from)) = self.front.recv_from(&mut there) => {
                    client = Some(from);
                    if let Some(node) = self.node() {
                        self.back.send_to(&there[..length], node).await.unwrap();
                    }
                }
                Ok((length, from)) = self.back.recv_from(&mut here) => {
                    if let (Some(client), true) = (client, self.node() == Some(from)) {
                        self.front.send_to(&here[..length], client).await.unwrap();
                    }
                }
            }
        }
    }
}

/// Serves from the data directory `path` as a process of its own would.
fn serve(path: &Path, config: quinn::ServerConfig) -> Endpoint {
    let expected = Expected {
        cluster: Some(ClusterId(1)),
        node: NodeId(2),
    };
    // Never completed, it can be taken again and again, with the same keys.
    let data = DataDir::init(path, expected).unwrap();
    let socket = std::net::UdpSocket::bind(loopback()).unwrap();
    let runtime = Arc::new(quinn::TokioRuntime);
    Endpoint::new(data.endpoint_config(), Some(config), socket, runtime).unwrap()
}

/// A client's connection to a node at `first`, after the node was killed and is back at `second`.
async fn after_restart(folder: &TempDir, first: &str, second: &str) -> Connection {
    let authority = Authority::create(&folder.path().join("certs")).unwrap();
    let (_id, files) = authority.issue_node("node-1").unwrap();
    let config = NodeTls::load(&files).unwrap().server_config();
    let (relay, address) = Relay::start().await;

    let node = serve(&folder.path().join(first), config.clone());
    relay.lead_to(Some(node.local_addr().unwrap()));
    let mut client = Endpoint::client(loopback()).unwrap();
    let quic = QuicClientConfig::try_from(client_config(&files)).unwrap();
    client.set_default_client_config(quinn::ClientConfig::new(Arc::new(quic)));
    let connecting = client.connect(address, SEED_SERVER_NAME).unwrap();
    let accepting = async { node.accept().await.unwrap().await };
    let (ours, theirs) = tokio::join!(connecting, accepting);
    let (ours, _theirs) = (ours.unwrap(), theirs.unwrap());

    relay.lead_to(None);
    node.close(0_u8.into(), b"lost on the way");
    node.wait_idle().await;
    let node = serve(&folder.path().join(second), config);
    relay.lead_to(Some(node.local_addr().unwrap()));
    tokio::spawn(async move { node.accept().await.map(|_unexpected| ()) });
    tokio::spawn(async move { client.wait_idle().await });
    ours
}

/// How the connection ends once the client has said something, within `timeout`.
async fn end(connection: &Connection, timeout: Duration) -> Option<ConnectionError> {
    let mut stream = connection.open_uni().await.unwrap();
    stream.write_all(&[7; 200]).await.unwrap();
    tokio::time::timeout(timeout, connection.closed())
        .await
        .ok()
}

#[tokio::test]
async fn a_restarted_node_tells_old_connections_that_they_are_over() {
    let folder = tempfile::tempdir().unwrap();
    let connection = after_restart(&folder, "data", "data").await;
    let end = end(&connection, TIMEOUT).await;
    assert!(matches!(end, Some(ConnectionError::Reset)), "{end:?}");
}

#[tokio::test]
async fn with_the_keys_of_another_disk_old_connections_hear_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let connection = after_restart(&folder, "data", "other").await;
    let end = end(&connection, Duration::from_secs(1)).await;
    assert!(end.is_none(), "{end:?}");
}
