//! Strangers who begin handshakes and never end one, and callers who take more seats than are theirs: others are served.
//!
//! ```text
//!   127.0.0.2 .. 9   begin, and either leave the Retry unanswered or answer it, and go no further
//!   127.0.0.1        an honest client, which must be served within a second
//! ```

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn::{ClientConfig, ConnectionError, EndpointConfig};
use quinn_proto::{Connection, ConnectionHandle, DatagramEvent, Endpoint};
use quoit_node::state::ConnectionEvent;
use quoit_node::{CloseCode, Node};
use quoit_ring::role::SEED_SERVER_NAME;
use quoit_ring::wire::Response;

use crate::caller::{Caller, Place, client_config, get, place, wall};
use crate::process::{Process, home};

/// What a client allows one attempt to connect.
const ATTEMPT: u64 = 1_000;
/// Most handshakes that a node has under way.
const UNDER_WAY: usize = 256;
/// What each of them may cost in memory.
const HANDSHAKE: u64 = 128 << 10;

/// One address from which handshakes are begun and never ended.
struct Stranger {
    socket: UdpSocket,
    endpoint: Endpoint,
    config: ClientConfig,
    begun: Vec<(ConnectionHandle, Connection)>,
}

impl Stranger {
    /// The stranger at 127.0.0.`last`.
    fn at(certs: &Path, last: u8) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, last), 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        Self {
            socket,
            endpoint: Endpoint::new(Arc::new(EndpointConfig::default()), None, false, None),
            config: client_config(certs, "client"),
            begun: Vec::new(),
        }
    }

    /// Sends the first packet of so many handshakes, each under a connection id of its own.
    fn begin(&mut self, handshakes: usize, node: SocketAddr) {
        for _ in 0..handshakes {
            let (handle, mut connection) = self
                .endpoint
                .connect(now(), self.config.clone(), node, SEED_SERVER_NAME)
                .unwrap();
            send(&self.socket, node, &mut connection);
            self.begun.push((handle, connection));
        }
    }

    /// Answers every Retry that comes, and nothing else; how many there were.
    fn prove_address(&mut self, node: SocketAddr) -> usize {
        let mut proved = 0;
        let mut packet = [0; 2048];
        loop {
            let length = match self.socket.recv(&mut packet) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return proved,
                Err(error) => panic!("{error}"),
            };
            if packet[0] & 0xb0 != 0xb0 {
                continue; // no long header of type Retry
            }
            let data = BytesMut::from(&packet[..length]);
            let event = self
                .endpoint
                .handle(now(), node, None, None, data, &mut Vec::new());
            let Some(DatagramEvent::ConnectionEvent(handle, event)) = event else {
                continue;
            };
            let (_, connection) = self
                .begun
                .iter_mut()
                .find(|(begun, _)| *begun == handle)
                .unwrap();
            connection.handle_event(event);
            send(&self.socket, node, connection);
            proved += 1;
        }
    }
}

/// Sends the packets that a connection has to send now.
fn send(socket: &UdpSocket, node: SocketAddr, connection: &mut Connection) {
    let mut packet = Vec::new();
    while let Some(transmit) = connection.poll_transmit(now(), 1, &mut packet) {
        socket.send_to(&packet[..transmit.size], node).unwrap();
        packet.clear();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "strangers have clocks of their own"
)]
fn now() -> Instant {
    Instant::now()
}

/// An honest client is served, and within what it allows one attempt to connect.
fn assert_served(place: &Place, node: SocketAddr) {
    let began = wall();
    let mut caller = Caller::connect(&place.certs(), "client", node).unwrap();
    assert_eq!(caller.ask(get("k")), Response::Absent);
    let took = wall().0 - began.0;
    assert!(took < ATTEMPT, "it took {took} ms");
}

#[test]
fn first_packets_that_nobody_follows_up_keep_no_client_out() {
    let place = place();
    let node = place.start();
    let mut strangers: Vec<Stranger> = (2..10)
        .map(|last| Stranger::at(&place.certs(), last))
        .collect();
    for stranger in &mut strangers {
        stranger.begin(75, node.address());
    }
    assert_served(&place, node.address());
}

#[test]
fn handshakes_that_stop_behind_a_retry_keep_no_client_out() {
    let place = place();
    let node = place.start();
    let mut stranger = Stranger::at(&place.certs(), 2);
    for _ in 0..10 {
        stranger.begin(50, node.address());
        stranger.prove_address(node.address());
    }
    assert_served(&place, node.address());
}

#[test]
fn a_host_that_fills_its_part_with_handshakes_is_served_again_within_two_seconds() {
    let place = place();
    let node = place.start();
    let mut stranger = Stranger::at(&place.certs(), 1); // the honest client's own address
    for _ in 0..4 {
        stranger.begin(50, node.address());
        stranger.prove_address(node.address());
    }
    assert!(node.counted(ConnectionEvent::Retry) > 0);
    let began = wall();
    while Caller::connect(&place.certs(), "client", node.address()).is_err() {
        assert!(
            wall().0 - began.0 < 2 * ATTEMPT,
            "its own address shuts it out"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Why the node has closed a connection of `name`; `None` if it serves it.
fn turned_away(place: &Place, node: &Node, name: &str) -> Option<CloseCode> {
    let connected = Caller::connect(&place.certs(), name, node.address());
    let closed = match connected {
        Err(closed) => closed,
        Ok(mut caller) => caller.try_ask(get("k")).err()?,
    };
    match closed {
        ConnectionError::ApplicationClosed(close) => {
            Some(CloseCode::from_code(close.error_code.into_inner()).unwrap())
        }
        other => panic!("{other}"),
    }
}

#[test]
fn an_identity_with_all_its_connections_leaves_the_others_theirs() {
    let mut place = place();
    place.config.max_connections = 2;
    place.config.max_connections_per_identity = Some(1);
    let node = place.start();
    let mut held = vec![served(&place, &node, "client")];

    let refused = turned_away(&place, &node, "client");
    assert_eq!(refused, Some(CloseCode::TooManyOfIdentity));
    held.push(served(&place, &node, "admin"));
    let refused = turned_away(&place, &node, "client");
    assert_eq!(refused, Some(CloseCode::TooManyConnections));
    assert_eq!(node.counted(ConnectionEvent::SeatRefused), 2);

    // Operators and the nodes of the map have seats that no client can take.
    held.push(served(&place, &node, "admin"));
    for _ in 0..4 {
        held.push(served(&place, &node, "node-1"));
    }
    let refused = turned_away(&place, &node, "node-1");
    assert_eq!(refused, Some(CloseCode::TooManyOfIdentity));
}

/// A caller that has a seat.
fn served(place: &Place, node: &Node, name: &str) -> Caller {
    let mut caller = place.caller(node, name);
    assert_eq!(caller.ask(get("k")), Response::Absent);
    caller
}

/// Memory of a process by this line of its status, in bytes.
fn memory(process: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let found = status.lines().find_map(|it| it.strip_prefix(line)).unwrap();
    let kib: u64 = found.split_whitespace().next().unwrap().parse().unwrap();
    kib * 1024
}

/// Processor time that a process has used, in microseconds; whole ticks of 10 ms.
fn processor_time(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let behind_name = stat.rsplit_once(')').unwrap().1;
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    ticks
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum::<u64>()
        * 10_000
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn strangers_cost_little_processor_time() {
    let home = home();
    let (node, _ready) = Process::start(home.config());
    let mut stranger = Stranger::at(&home.certs(), 2);
    stranger.begin(100, home.address()); // from now on addresses are proven first

    let before = processor_time(node.id());
    for _ in 0..20 {
        stranger.begin(100, home.address());
    }
    assert_eq!(home.caller().ask(get("k")), Response::Absent); // behind them all
    let each = (processor_time(node.id()) - before) / 2_000;
    eprintln!("{each} us for a first packet that gets a Retry");
    assert!(each < 200, "{each} us");

    let before = processor_time(node.id());
    for _ in 0..100 {
        drop(home.caller());
    }
    let each = (processor_time(node.id()) - before) / 100;
    eprintln!("{each} us for a connection that is made and closed");
    assert!(each < 10_000, "{each} us");
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn handshakes_that_stop_behind_a_retry_cost_little_memory() {
    let home = home();
    let (node, _ready) = Process::start(home.config());
    assert_eq!(home.caller().ask(get("k")), Response::Absent);
    let before = memory(node.id(), "VmRSS:");

    // Five sources, since one of them may have 64 under way.
    let mut strangers: Vec<Stranger> = (2..7)
        .map(|last| Stranger::at(&home.certs(), last))
        .collect();
    let mut proved = 0;
    while proved < UNDER_WAY {
        for stranger in &mut strangers {
            stranger.begin(32, home.address());
            proved += stranger.prove_address(home.address());
        }
    }
    while Caller::connect(&home.certs(), "client", home.address()).is_err() {} // behind them all

    let held = memory(node.id(), "VmHWM:").saturating_sub(before);
    let each = held / UNDER_WAY as u64;
    eprintln!("{} KiB for each of {UNDER_WAY} handshakes", each / 1024);
    assert!(each <= HANDSHAKE, "{held} bytes");
}
