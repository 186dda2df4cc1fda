//! Everybody hears of a new epoch: members learn of it, a client hears from the first node that serves it.
//!
//! ```text
//!   begun     the first arc moves: a newcomer owns keys
//!   over      the map is another one
//! ```
//!
//! Once all nodes refuse older epochs, no request can be answered in one, so a client's next request brings it up to date. How
//! long it takes is printed, and not judged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quoit_client::Client;
use quoit_integration_tests::cluster::Clients as _;
use quoit_ring::NodeId;
use quoit_ring::change::{Configuration, Topology};
use quoit_ring::placement::join;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, sleep};

use crate::TURNS;
use crate::support::{Scene, until};

const BUSY: usize = 10;
const IDLE: usize = 10;
/// How long a busy client rests between two requests.
const REST: Duration = Duration::from_millis(5);

/// Twenty clients, half of which read all the time.
struct Clients {
    busy: Vec<Client>,
    idle: Vec<Client>,
    stop: Arc<AtomicBool>,
    at_work: Vec<JoinHandle<()>>,
}

impl Clients {
    async fn start(scene: &Scene) -> Self {
        let mut all = Vec::new();
        for _ in 0..BUSY + IDLE {
            all.push(scene.cluster.client().await.unwrap());
        }
        let idle = all.split_off(BUSY);
        let stop = Arc::new(AtomicBool::new(false));
        let work = |client: &Client| tokio::spawn(read_on(client.clone(), Arc::clone(&stop)));
        Self {
            at_work: all.iter().map(work).collect(),
            busy: all,
            idle,
            stop,
        }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for work in self.at_work {
            work.await.unwrap();
        }
        for client in self.busy.iter().chain(&self.idle) {
            client.close().await;
        }
    }
}

async fn read_on(client: Client, stop: Arc<AtomicBool>) {
    for number in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        client.get(format!("key-{number}")).await.unwrap();
        sleep(REST).await;
    }
}

#[tokio::test]
async fn every_node_and_client_hears_of_a_new_epoch_and_a_client_by_its_next_request() {
    let _turn = TURNS.acquire().await.unwrap();
    let mut scene = Scene::start(3).await;
    let newcomer = scene.newcomer().await;
    let clients = Clients::start(&scene).await;

    let begun = scene
        .begin(|map| join(map, newcomer.clone(), 1).unwrap())
        .await;
    let key = first_key_of(newcomer.id, &begun);
    let knows = |client: &Client| {
        let owners = client.locate(key.as_bytes()).owners;
        owners.iter().any(|owner| owner.id == newcomer.id)
    };
    heard("begun", &scene, (&clients, &begun), knows).await;

    let ended = scene.end().await;
    let knows = |client: &Client| client.map().epoch == ended.map.epoch;
    heard("over", &scene, (&clients, &ended), knows).await;

    clients.stop().await;
    scene.cluster.shut_down().await.unwrap();
}

/// A key that the newcomer owns from the beginning of the change on.
fn first_key_of(newcomer: NodeId, begun: &Configuration) -> String {
    let topology = Topology::new(begun, None).unwrap();
    let mut keys = (0..).map(|number| format!("key-{number}"));
    let is_its = |key: &String| {
        let lists = topology.lists(topology.token_of(key.as_bytes()));
        lists.is_owner(newcomer)
    };
    keys.find(is_its).unwrap()
}

/// Waits until all know an epoch that was just decided, and prints how long that took.
async fn heard(
    what: &str,
    scene: &Scene,
    (clients, epoch): (&Clients, &Configuration),
    knows: impl Fn(&Client) -> bool + Copy,
) {
    let decided = Instant::now();
    let change = epoch.change.as_ref().map(|change| &change.target);
    let members = &change.unwrap_or(&epoch.map).members;
    let nodes = async {
        for member in members {
            until("the node serves the epoch", async || {
                let client = scene.client_of(&member.address).await;
                client.is_some_and(|client| knows(&client))
            })
            .await;
        }
        decided.elapsed()
    };
    let busy = async {
        let all = async || clients.busy.iter().all(knows);
        until("the busy clients hear of it", all).await;
        decided.elapsed()
    };
    let (nodes, busy) = tokio::join!(nodes, busy);
    let unasked = clients.idle.iter().filter(|client| knows(client)).count();

    let mut answered = BTreeMap::new();
    for (number, client) in clients.busy.iter().chain(&clients.idle).enumerate() {
        let asked = Instant::now();
        client.get("any").await.unwrap();
        answered.insert(asked.elapsed(), number);
        assert!(
            knows(client),
            "client {number} was answered in an older epoch"
        );
    }
    let slowest = answered.keys().next_back();
    println!(
        "{what}, epoch {}: {} nodes after {nodes:?}, {BUSY} busy clients after {busy:?}, {unasked} of {IDLE} idle clients \
         unasked, the slowest next request took {slowest:?}",
        epoch.epoch.0,
        members.len(),
    );
}
