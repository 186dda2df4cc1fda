//! A cluster with a gateway, and the plainest clients of both protocols: bytes out, bytes in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use quoit_client::{Client, ClientBuilder};
use quoit_gateway::{Gateway, Settings};
use quoit_local::{ClusterSettings, InProcessCluster};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long anything may take.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A cluster of three, a client of it, and a gateway with both ports.
pub(crate) struct Served {
    pub(crate) cluster: InProcessCluster,
    pub(crate) client: Client,
    pub(crate) gateway: Gateway,
}

/// Settings of a gateway on two free ports.
pub(crate) fn settings() -> Settings {
    Settings {
        http: Some(([127, 0, 0, 1], 0).into()),
        resp: Some(([127, 0, 0, 1], 0).into()),
        ..Settings::default()
    }
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::with(
            settings(),
            |builder| builder,
            &ClusterSettings::for_tests(3),
        )
        .await
    }

    pub(crate) async fn with(
        settings: Settings,
        change: impl FnOnce(ClientBuilder) -> ClientBuilder,
        cluster: &ClusterSettings,
    ) -> Self {
        let cluster = InProcessCluster::start(cluster).await.unwrap();
        let builder = settings.limits.client(Client::builder());
        let builder = change(builder.profile(cluster.client_profile()));
        let client = builder.connect().await.unwrap();
        let gateway = Gateway::start(client.clone(), settings).await.unwrap();
        Self {
            cluster,
            client,
            gateway,
        }
    }

    pub(crate) async fn stop(self) {
        self.gateway.shut_down().await;
        self.client.close().await;
        self.cluster.shut_down().await.unwrap();
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.gateway.http_address().unwrap()
    }

    pub(crate) fn resp(&self) -> SocketAddr {
        self.gateway.resp_address().unwrap()
    }

    /// One request: `line` is a method and a target.
    pub(crate) async fn send(&self, line: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut head = format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        for header in headers {
            head = format!("{head}{header}\r\n");
        }
        if !body.is_empty() {
            head = format!("{head}content-length: {}\r\n", body.len());
        }
        let bytes = [head.as_bytes(), b"\r\n", body].concat();
        let raw = exchange(self.http(), &bytes).await;
        Answer::parse(&raw, line.starts_with("HEAD"))
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send(&format!("GET {target}"), &[], b"").await
    }

    /// RESP bytes in, RESP bytes out; the connection is half closed behind them.
    pub(crate) async fn resp_raw(&self, bytes: &[u8]) -> String {
        let raw = exchange(self.resp(), bytes).await;
        let text = raw.escape_ascii().to_string();
        text.replace("\\r\\n", "|").replace("\\'", "'")
    }
}

/// Sends all of `bytes` and reads to the end of the connection.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let exchange = async {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let (mut reader, mut writer) = socket.split();
        let mut answer = Vec::new();
        let write = async {
            // A server that refuses need not read to the end.
            writer.write_all(bytes).await.ok();
            writer.shutdown().await.ok();
        };
        let ((), _read) = tokio::join!(write, reader.read_to_end(&mut answer));
        answer
    };
    tokio::time::timeout(SOON, exchange).await.unwrap()
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn parse(raw: &[u8], is_head: bool) -> Self {
        let end = raw.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head in {}", raw.escape_ascii()));
        let head = str::from_utf8(&raw[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let pair = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        };
        let headers: BTreeMap<String, String> = lines.map(pair).collect();
        let body = raw[end + 4..].to_vec();
        if let Some(length) = headers.get("content-length").filter(|_| !is_head) {
            assert_eq!(length.parse(), Ok(body.len()), "{head}");
        }
        Self {
            status: status.parse().unwrap(),
            headers,
            body,
        }
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The kind of a problem and what it says of the write.
    pub(crate) fn problem(&self) -> (String, Option<String>) {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let json = self.json();
        assert_eq!(json["status"], self.status, "{json}");
        assert_eq!(json["request_id"], self.header("x-request-id"));
        let kind = json["type"].as_str().unwrap();
        let kind = kind.strip_prefix("urn:quoit:problem:").unwrap().to_owned();
        (kind, json["applied"].as_str().map(str::to_owned))
    }
}
