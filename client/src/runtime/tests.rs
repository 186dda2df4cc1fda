//! Whole clients, their threads included, against nodes made by hand.

mod outboxes;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::change::Configuration;
use quoit_ring::wire::configuration::encode_answer;
use quoit_ring::wire::{Request, Response};
use quoit_ring::{ClusterId, ClusterMap, Epoch, Leaf, LeafBits, Member, NodeId, TokenKey};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::client::Client;
use crate::config::ClientBuilder;
use crate::error::{ConnectError, Outcome, ReadError, Stored, WriteError};
use crate::transport::fake::{Act, Authority, FakeNode};

const SOON: Duration = Duration::from_secs(5);

/// Three nodes made by hand that all do the same.
struct Cluster {
    authority: Authority,
    nodes: Vec<FakeNode>,
    files: TempDir,
}

impl Cluster {
    fn start(behaviour: impl Fn(&Request) -> Act + Send + Sync + Clone + 'static) -> Self {
        let (authority, map) = (Authority::new(), Arc::new(OnceLock::<Bytes>::new()));
        let start = |id: u64| {
            let (map, behaviour) = (Arc::clone(&map), behaviour.clone());
            FakeNode::start(&authority, NodeId(id), move |request| match request {
                Request::Map => Act::Answer(Response::Map(map.get().unwrap().clone())),
                other => behaviour(other),
            })
        };
        let nodes: Vec<_> = (1..=3).map(start).collect();
        let first = Configuration::first(map_of(&nodes)).unwrap();
        map.set(encode_answer(None, &first).into()).unwrap();
        Self {
            authority,
            nodes,
            files: TempDir::new().unwrap(),
        }
    }

    fn client(&self) -> ClientBuilder {
        Client::builder()
            .seeds(self.nodes.iter().map(|node| node.address.to_string()))
            .tls(self.authority.client_files(self.files.path()))
    }
}

fn map_of(nodes: &[FakeNode]) -> ClusterMap {
    let members = (1_u64..).zip(nodes).map(|(id, node)| Member {
        id: NodeId(id),
        name: format!("n{id}"),
        address: node.address.to_string(),
        zone: "z".into(),
        weight: 100,
        vnodes: vec![Leaf(u32::try_from(id).unwrap())],
    });
    ClusterMap {
        cluster: ClusterId(7),
        epoch: Epoch(1),
        token_key: TokenKey([2; 16]),
        leaf_bits: LeafBits::FULL,
        replication: 3,
        members: members.collect(),
    }
}

/// Puts and deletes are joined, nothing is found.
fn empty_store(request: &Request) -> Act {
    match request {
        Request::Get { .. } => Act::Answer(Response::Absent),
        _write => Act::Answer(Response::Joined),
    }
}

fn silent(_request: &Request) -> Act {
    Act::Silence
}

#[tokio::test]
async fn operations_go_through_the_thread_and_come_back() {
    let cluster = Cluster::start(empty_store);
    let client = cluster.client().connect().await.unwrap();
    assert_eq!(client.map().members.len(), 3);
    let written = client.put("key", "value").await.unwrap();
    assert!(written.acked >= 2);
    assert!(client.get("key").await.unwrap().is_absent());
    timeout(SOON, client.close()).await.unwrap();
    for node in &cluster.nodes {
        assert_eq!(node.first_end().await, Some(0));
    }
}

#[tokio::test]
async fn many_operations_at_once_are_all_answered() {
    let cluster = Cluster::start(empty_store);
    let client = cluster.client().max_in_flight(64).connect().await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let client = client.clone();
        tasks.spawn(async move {
            for index in 0..50 {
                let key = format!("key {task} {index}");
                client.put(key.clone(), vec![1; 30_000]).await.unwrap();
                client.get(key).await.unwrap();
            }
        });
    }
    while let Some(done) = timeout(4 * SOON, tasks.join_next()).await.unwrap() {
        done.unwrap();
    }
}

/// A record longer than a client takes that allows small values, and nothing else.
fn long_record(request: &Request) -> Act {
    match request {
        Request::Get { key, .. } if key == "long" => {
            Act::Answer(Response::Record(vec![7; 10 << 20].into()))
        }
        other => empty_store(other),
    }
}

#[tokio::test]
async fn an_answer_too_long_for_this_client_fails_its_read_and_nothing_else() {
    let cluster = Cluster::start(long_record);
    let builder = cluster.client().max_value_bytes(64 << 10);
    let client = builder.connect().await.unwrap();
    for key in ["one", "two", "three"] {
        client.put(key, "value").w(3).await.unwrap();
    }
    let connections = || -> Vec<usize> {
        let nodes = cluster.nodes.iter();
        nodes
            .map(|node| node.log.lock().unwrap().connections.len())
            .collect()
    };
    let before = connections();

    let error = client.get("long").await.unwrap_err();
    let ReadError::Unavailable { attempts, .. } = &error else {
        panic!("{error:?}");
    };
    for attempt in attempts {
        assert!(
            matches!(attempt.outcome, Outcome::AnswerTooLong { bytes, max } if bytes > 10 << 20 && max == 9 << 20),
            "{attempt:?}"
        );
    }
    assert!(error.to_string().contains("raise `max_value_bytes`"));

    client.put("one", "value").w(3).await.unwrap();
    assert_eq!(connections(), before, "no connection was made again");
}

#[test]
fn a_client_works_without_any_runtime_of_its_callers() {
    // the nodes have one, on a thread that the client never sees
    let (started, cluster) = std::sync::mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let nodes = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            started.send(Cluster::start(empty_store)).unwrap();
            stopped.await.ok();
        });
    });
    let cluster = cluster.recv().unwrap();
    let waker = std::task::Waker::noop();
    let block_on = |future: core::pin::Pin<Box<dyn Future<Output = bool>>>| {
        let mut future = future;
        let mut context = std::task::Context::from_waker(waker);
        for _ in 0..1_000 {
            if let std::task::Poll::Ready(done) = future.as_mut().poll(&mut context) {
                return done;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it takes too long");
    };
    let builder = cluster.client();
    assert!(block_on(Box::pin(async {
        let client = builder.connect().await.unwrap();
        let written = client.put("key", "value").await.is_ok();
        client.close().await;
        written
    })));
    drop(stop);
    nodes.join().unwrap();
}

#[tokio::test]
async fn a_seed_of_another_cluster_is_told_from_one_that_is_not_there() {
    let (ours, theirs) = (Cluster::start(empty_store), Cluster::start(empty_store));
    let seeds = [
        theirs.nodes[0].address.to_string(),
        "127.0.0.1:9".into(),
        "no port".into(),
    ];
    let builder = ours
        .client()
        .seeds(seeds)
        .connect_timeout(Duration::from_secs(1));
    let error = builder.connect().await.unwrap_err();
    let ConnectError::NoSeedAnswered { tried } = &error else {
        panic!("{error}");
    };
    let said = |part: &str| tried.iter().filter(|(_, why)| why.contains(part)).count();
    assert_eq!(said("the node's certificate is not trusted"), 1, "{error}");
    assert_eq!(said("no answer from there"), 1, "{error}");
    assert_eq!(said("cannot be resolved"), 1, "{error}");
}

#[tokio::test]
async fn a_node_that_refuses_the_certificate_says_so() {
    let (ours, other) = (Authority::new(), Authority::new());
    let node = FakeNode::start_distrustful(&ours, &other, NodeId(1));
    let files = TempDir::new().unwrap();
    let builder = Client::builder()
        .seeds([node.address.to_string()])
        .tls(ours.client_files(files.path()));
    let error = timeout(SOON / 2, builder.connect())
        .await
        .unwrap()
        .unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("the node refused this client's certificate"),
        "{said}"
    );
}

#[tokio::test]
async fn one_live_seed_among_dead_ones_is_enough() {
    let cluster = Cluster::start(empty_store);
    let live = cluster.nodes[1].address.to_string();
    let builder = cluster.client().seeds(["127.0.0.1:9".into(), live]);
    let client = timeout(SOON / 2, builder.connect()).await.unwrap().unwrap();
    client.put("key", "value").await.unwrap();
}

#[tokio::test]
async fn certificates_that_are_not_there_are_a_typed_error() {
    let cluster = Cluster::start(empty_store);
    let builder = cluster.client();
    std::fs::remove_file(cluster.files.path().join("ca.pem")).unwrap();
    let error = builder.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)), "{error}");
    let error = Client::builder()
        .seeds(["127.0.0.1:9"])
        .connect()
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::NoCertificates), "{error}");
}

#[tokio::test]
async fn closing_waits_for_what_is_under_way_and_refuses_what_comes_later() {
    let cluster = Cluster::start(silent);
    let builder = cluster.client().deadline(Duration::from_millis(300));
    let client = builder.connect().await.unwrap();
    let under_way = tokio::spawn({
        let client = client.clone();
        async move { (client.get("key").await, client.put("key", "late").await) }
    });
    while cluster.nodes.iter().all(|node| node.requests() < 2) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (other, third) = (client.clone(), client.clone());
    timeout(SOON, async { tokio::join!(client.close(), other.close()) })
        .await
        .unwrap();
    let (read, written) = under_way.await.unwrap();
    assert!(
        matches!(read, Err(ReadError::Unavailable { .. })),
        "{read:?}"
    );
    assert!(matches!(written, Err(WriteError::Closed)), "{written:?}");
    assert!(matches!(third.get("key").await, Err(ReadError::Closed)));
    timeout(SOON, third.close()).await.unwrap();
}

#[tokio::test]
async fn the_last_clone_that_is_dropped_closes_the_client() {
    let cluster = Cluster::start(empty_store);
    let client = cluster.client().connect().await.unwrap();
    client.put("key", "value").await.unwrap();
    let clone = client.clone();
    drop(client);
    clone.put("key", "again").await.unwrap();
    drop(clone);
    for node in &cluster.nodes {
        assert_eq!(node.first_end().await, Some(0));
    }
}

#[tokio::test]
async fn a_future_that_is_dropped_gives_its_room_back_and_its_write_goes_on() {
    let cluster = Cluster::start(|request| match request {
        Request::Put { key, .. } if key == "silent" => Act::Silence,
        other => empty_store(other),
    });
    let builder = cluster
        .client()
        .max_in_flight(2)
        .deadline(Duration::from_millis(300));
    let client = builder.connect().await.unwrap();
    for round in 1..=5 {
        let puts = async {
            tokio::join!(
                client.put("silent", "a").into_future(),
                client.put("silent", "b").into_future()
            )
        };
        timeout(Duration::from_millis(100), puts).await.unwrap_err();
        // these need the permits of the dropped ones
        let puts = async {
            tokio::join!(
                client.put("key", "a").into_future(),
                client.put("key", "b").into_future()
            )
        };
        let (first, second) = timeout(SOON, puts).await.unwrap();
        assert!(first.is_ok() && second.is_ok());
        // dropping a future stops no write
        while silent_puts(&cluster.nodes[0]) < 2 * round {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn silent_puts(node: &FakeNode) -> usize {
    let silent = |frame: &&quoit_ring::wire::RequestFrame| matches!(&frame.request, Request::Put { key, .. } if key == "silent");
    let log = node.log.lock().unwrap();
    log.requests.iter().filter(silent).count()
}

#[tokio::test]
async fn a_node_that_goes_away_makes_writes_unknown_at_worst_never_hanging() {
    let cluster = Cluster::start(|request| match request {
        Request::Put { .. } => Act::Close(1),
        other => empty_store(other),
    });
    let client = cluster.client().connect().await.unwrap();
    let error = timeout(SOON / 2, client.put("key", "value"))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.stored(), Stored::Maybe, "{error}");
}

/// A caller that panics when it is woken: on the client's thread, which wakes it.
struct Bomb;

impl std::task::Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("on purpose");
    }
}

#[tokio::test]
async fn a_panic_on_the_clients_thread_fails_everybody_at_once_and_all_that_comes_later() {
    let cluster = Cluster::start(|request| match request {
        Request::Put { key, .. } | Request::Get { key, .. } if key == "silent" => Act::Silence,
        other => empty_store(other),
    });
    let client = cluster.client().max_in_flight(3).connect().await.unwrap();
    client.put("key", "value").await.unwrap();

    let (reader, writer, later) = (client.clone(), client.clone(), client.clone());
    let read = tokio::spawn(async move { reader.get("silent").await });
    let write = tokio::spawn(async move { writer.put("silent", "value").await });
    while client
        .health()
        .await
        .unwrap()
        .nodes
        .iter()
        .all(|node| node.in_flight < 2)
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut bomb = Box::pin(client.put("key", "value").into_future());
    let waker = std::task::Waker::from(Arc::new(Bomb));
    let polled = bomb
        .as_mut()
        .poll(&mut std::task::Context::from_waker(&waker));
    assert!(polled.is_pending());
    // There is no permit left for this one.
    let admitted = tokio::spawn(async move { later.get("key").await });

    // Long before the deadline.
    let ended = async {
        (
            read.await.unwrap(),
            write.await.unwrap(),
            admitted.await.unwrap(),
        )
    };
    let (read, write, admitted) = timeout(SOON / 2, ended).await.unwrap();
    assert_eq!(read.unwrap_err(), ReadError::Closed);
    let write = write.unwrap_err();
    assert!(matches!(write, WriteError::Abandoned), "{write}");
    assert_eq!(write.stored(), Stored::Maybe);
    // It may have been before the panic: then it was answered.
    assert!(matches!(admitted, Err(ReadError::Closed) | Ok(_)));

    assert_eq!(client.get("key").await.unwrap_err(), ReadError::Closed);
    let error = client.put("key", "value").await.unwrap_err();
    assert!(matches!(error, WriteError::Closed), "{error}");
    assert!(client.health().await.is_none());
    timeout(SOON / 2, client.close()).await.unwrap();
}
