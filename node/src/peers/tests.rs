//! Links to a node made by hand, over real QUIC on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::Endpoint;
use quoit_ring::change::Known;
use quoit_ring::placement::Ring;
use quoit_ring::wire::{MAX_FRAME, Request, Response};
use quoit_ring::{
    Actor, ClusterId, ClusterMap, Dot, Epoch, Leaf, LeafBits, Member, Time, TokenKey,
};
use quoit_transport::lane::Lane;
use quoit_transport::large::{self, Large};
use quoit_transport::quic::bound_server;
use tempfile::TempDir;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use super::*;
use crate::gossip::seeds;
use crate::provision::Authority;
use crate::tls::NodeTls;

/// Another node, which answers large requests on the lane and counts the connections made to it.
struct OtherNode {
    endpoint: Endpoint,
    connections: Arc<AtomicUsize>,
}

impl OtherNode {
    fn start(tls: &NodeTls) -> Self {
        let mut config = tls.server_config();
        bound_server(&mut config);
        let endpoint = Endpoint::server(config, loopback()).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let node = Self {
            endpoint: endpoint.clone(),
            connections: Arc::clone(&connections),
        };
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                let connection = incoming.await.unwrap();
                tokio::spawn(async move {
                    let mut lane = Lane::accept(&connection).await.unwrap();
                    while let Ok(mut stream) = connection.accept_uni().await {
                        let Ok(Large::Frame(frame)) =
                            large::read(&mut stream, MAX_FRAME, None).await
                        else {
                            return;
                        };
                        let request = RequestFrame::decode(frame).unwrap();
                        lane.send.write_chunk(joined(request.id)).await.unwrap();
                    }
                });
            }
        });
        node
    }
}

fn joined(id: u64) -> Bytes {
    let mut out = BytesMut::new();
    let frame = ResponseFrame {
        id,
        epoch: Epoch(1),
        clock: Time(1),
        response: Response::Joined,
    };
    frame.encode(&mut out);
    out.freeze()
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A hint that is too long for the lane.
fn large_hint(id: u64, target: NodeId) -> RequestFrame {
    RequestFrame {
        id,
        epoch: Epoch(1),
        budget_ms: 5_000,
        request: Request::Hint {
            target,
            key: Bytes::from_static(b"key"),
            dot: Dot {
                time: Time(1),
                actor: Actor(1),
            },
            record: vec![7; 100 << 10].into(),
        },
    }
}

fn view(this: NodeId, other: NodeId, address: SocketAddr) -> Arc<ClusterView> {
    let member = |id: NodeId, leaf| Member {
        id,
        name: format!("n{leaf}"),
        address: address.to_string(),
        zone: "z".into(),
        weight: 100,
        vnodes: vec![Leaf(leaf)],
    };
    let mut members = vec![member(this, 1), member(other, 2)];
    members.sort_by_key(|member| member.id);
    let map = ClusterMap {
        cluster: ClusterId(7),
        epoch: Epoch(1),
        token_key: TokenKey([2; 16]),
        leaf_bits: LeafBits::FULL,
        replication: 1,
        members,
    };
    Arc::new(ClusterView::new(this, Known::of(Ring::new(&map).unwrap())))
}

/// Two nodes of one cluster: the links of the first, and the second made by hand.
struct Bench {
    peers: Peers,
    dialer: Rc<Dialer>,
    other: OtherNode,
    node: NodeId,
    _certificates: TempDir,
}

impl Bench {
    fn start() -> Self {
        Self::with_address(|address| address)
    }

    /// With this address in the ring for the other node, which serves at the given one.
    fn with_address(in_ring: impl Fn(SocketAddr) -> SocketAddr) -> Self {
        let certificates = tempfile::tempdir().unwrap();
        let authority = Authority::create(certificates.path()).unwrap();
        let [(this, this_files), (node, files)] =
            ["n1", "n2"].map(|name| authority.issue_node(name).unwrap());
        let other = OtherNode::start(&NodeTls::load(&files).unwrap());
        let tls = NodeTls::load(&this_files).unwrap();
        let own = Endpoint::server(tls.server_config(), loopback()).unwrap();
        let address = other.endpoint.local_addr().unwrap();
        let dialer = Rc::new(Dialer::from_endpoint(own, tls.client_config()));
        Self {
            peers: Peers::new(view(this, node, in_ring(address)), Rc::clone(&dialer)),
            dialer,
            other,
            node,
            _certificates: certificates,
        }
    }

    async fn next(&mut self) -> Event {
        timeout(Duration::from_secs(10), self.peers.next())
            .await
            .unwrap()
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(LocalSet::new().run_until(test));
}

#[test]
fn a_link_that_carries_only_large_hints_stays_and_is_answered_on_its_lane() {
    run(async {
        let mut bench = Bench::start();
        // Three times as long as a link without frames is kept.
        for id in 0..30 {
            bench.peers.send(bench.node, &large_hint(id, bench.node));
            let event = bench.next().await;
            assert!(
                matches!(&event, Event::Answer(from, answer) if *from == bench.node && answer.id == id),
                "{event:?}"
            );
            sleep(link::UNUSED / 10).await;
        }
        assert_eq!(bench.other.connections.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_link_without_frames_is_closed_and_made_again_when_there_are_some() {
    run(async {
        let mut bench = Bench::start();
        for connection in 1..=2 {
            bench.peers.send(bench.node, &large_hint(1, bench.node));
            assert!(matches!(bench.next().await, Event::Answer(..)));
            assert!(matches!(bench.next().await, Event::Lost(node) if node == bench.node));
            assert_eq!(bench.other.connections.load(Ordering::Relaxed), connection);
        }
    });
}

#[test]
fn a_request_to_a_node_that_is_in_no_ring_is_lost() {
    run(async {
        let mut bench = Bench::start();
        let stranger = NodeId(bench.node.0 ^ 1);
        bench.peers.send(stranger, &large_hint(1, stranger));
        assert!(matches!(bench.next().await, Event::Lost(node) if node == stranger));
    });
}

#[test]
fn requests_beyond_what_may_wait_are_refused_and_take_no_memory() {
    run(async {
        let mut bench = Bench::start();
        let mut hint = large_hint(1, bench.node);
        if let Request::Hint { record, .. } = &mut hint.request {
            *record = vec![7; 60 << 20].into(); // shared by all of them
        }
        for _ in 0..3 {
            bench.peers.send(bench.node, &hint);
        }
        let Event::Answer(_, answer) = bench.next().await else {
            panic!("the link is well");
        };
        let refused = Response::Refused(Refusal::Overloaded { queue_ms: 0 });
        assert_eq!(answer.response, refused);
    });
}

#[test]
fn a_member_is_reached_where_a_seed_leads_if_the_rings_address_leads_nowhere() {
    run(async {
        // Nobody answers there: it is bound, and not served.
        let nobody = std::net::UdpSocket::bind(loopback()).unwrap();
        let elsewhere = nobody.local_addr().unwrap();
        let mut bench = Bench::with_address(|_| elsewhere);
        let seed = bench.other.endpoint.local_addr().unwrap().to_string();
        let found = seeds::who_is_at(&bench.dialer, &seed).await;
        assert_eq!(found, Some(bench.node), "its certificate says so");

        bench.peers.note_address(bench.node, seed);
        // Heard later from where nobody is any more: the one before is still tried.
        let left = std::net::UdpSocket::bind(loopback()).unwrap();
        let left = left.local_addr().unwrap().to_string();
        bench.peers.note_address(bench.node, left);
        bench.peers.send(bench.node, &large_hint(1, bench.node));
        let event = bench.next().await;
        assert!(
            matches!(event, Event::Answer(from, _) if from == bench.node),
            "{event:?}"
        );
    });
}
