//! What a hostile client can make a node hold: many connections that leave every answer unread and every frame unfinished.
//!
//! ```text
//!   lane            asks for 1 MiB again and again, reads nothing
//!   two streams     a put, all but its last byte: every second one of 1 MiB, the others of 4 MiB
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, TransportConfig, VarInt};
use quoit_ring::Epoch;
use quoit_ring::role::SEED_SERVER_NAME;
use quoit_ring::wire::{Request, RequestFrame, Response};
use quoit_transport::lane::PREFACE;

use crate::caller::{client_config, get, put, write};
use crate::process::{Process, home};

/// Hostile connections.
const CONNECTIONS: u64 = 100;
/// What each may cost, by `max_connections` in the configuration's documentation.
const EACH: u64 = 8 << 20;
/// What frames longer than a value may cost for all together.
const LONG: u64 = 128 << 20;
/// For how long each of them sends what it can.
const SENDING: Duration = Duration::from_secs(1);

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn a_hundred_connections_that_read_nothing_cost_eight_mebibytes_each() {
    let home = home();
    let (node, _ready) = Process::start(home.config());
    let mut honest = home.caller();
    let value = "x".repeat(1 << 20);
    assert_eq!(honest.ask(put("k", &write(&value, 0))), Response::Joined);
    let before = peak(node.id());

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let endpoint = runtime.block_on(async { Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()) });
    let (endpoint, certs) = (endpoint.unwrap(), home.certs());
    let begun: Vec<_> = (0..CONNECTIONS)
        .map(|n| {
            let value = "x".repeat(if n % 2 == 0 { 1 << 20 } else { 4 << 20 });
            let frame = frame(put("k", &write(&value, 0)));
            let (endpoint, config) = (endpoint.clone(), hostile_config(&certs));
            runtime.spawn(hold((endpoint, config), home.address(), frame))
        })
        .collect();
    let hostile: Vec<_> = begun
        .into_iter()
        .map(|task| runtime.block_on(task).unwrap())
        .collect();
    let held = peak(node.id()).saturating_sub(before);
    eprintln!(
        "{} KiB for each of {CONNECTIONS} connections",
        held / CONNECTIONS / 1024
    );

    assert_eq!(
        honest.ask(get("nothing")),
        Response::Absent,
        "others are served"
    );
    assert!(held <= CONNECTIONS * EACH + LONG, "{held} bytes");
    drop(hostile);
}

/// A connection that has sent all it can and reads nothing.
async fn hold(
    (endpoint, config): (Endpoint, ClientConfig),
    node: SocketAddr,
    unfinished: Vec<u8>,
) -> (Connection, (RecvStream, Vec<SendStream>)) {
    let connection = loop {
        let connecting = endpoint.connect_with(config.clone(), node, SEED_SERVER_NAME);
        match connecting.unwrap().await {
            Ok(connection) => break connection,
            Err(_refused) => tokio::time::sleep(SENDING).await,
        }
    };
    let (mut lane, unread) = connection.open_bi().await.unwrap();
    lane.write_all(&PREFACE).await.unwrap();
    let asks = frame(get("k")).repeat(20_000);
    let _stuck = tokio::time::timeout(SENDING, lane.write_all(&asks)).await;
    let mut streams = vec![lane];
    for _ in 0..2 {
        let mut stream = connection.open_uni().await.unwrap();
        let most = &unfinished[..unfinished.len() - 1];
        let _stuck = tokio::time::timeout(SENDING, stream.write_all(most)).await;
        streams.push(stream);
    }
    (connection, (unread, streams))
}

/// A client that takes no more than a kibibyte of any answer.
fn hostile_config(certs: &Path) -> ClientConfig {
    let mut config = client_config(certs, "client");
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(1024))
        .keep_alive_interval(Some(Duration::from_secs(1)));
    config.transport_config(Arc::new(transport));
    config
}

fn frame(request: Request) -> Vec<u8> {
    let mut out = BytesMut::new();
    RequestFrame {
        id: 1,
        epoch: Epoch(1),
        budget_ms: 60_000,
        request,
    }
    .encode(&mut out);
    out.to_vec()
}

/// The most bytes of memory that a process has had: on a busy machine some connections end, for their frames come too
/// slowly.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
