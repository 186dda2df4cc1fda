//! Clusters to watch, and what a watch yields.

use std::time::Duration;

use quoit_client::{Client, Lag, WatchEvent, WatchStream};
use quoit_local::{ClusterSettings, InProcessCluster};
use tokio::time::timeout;

/// Long enough for a node that is killed to be noticed, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn cluster_of(nodes: usize) -> (InProcessCluster, Client) {
    let settings = ClusterSettings::for_tests(nodes);
    let cluster = InProcessCluster::start(&settings).await.unwrap();
    let client = Client::builder().profile(cluster.client_profile());
    (cluster, client.connect().await.unwrap())
}

/// One event as a test compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Is(String, String),
    Gone(String),
    Current,
    Lagged(Lag),
    Reset,
}

pub(crate) fn is(key: &str, value: &str) -> Seen {
    Seen::Is(key.into(), value.into())
}

pub(crate) fn gone(key: &str) -> Seen {
    Seen::Gone(key.into())
}

pub(crate) async fn next(watch: &mut WatchStream) -> Seen {
    let event = timeout(PATIENCE, watch.next()).await.expect("an event");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match event.unwrap().unwrap() {
        WatchEvent::Changed(entry) => match entry.value() {
            Some(value) => Seen::Is(text(entry.key()), text(value)),
            None => Seen::Gone(text(entry.key())),
        },
        WatchEvent::Current => Seen::Current,
        WatchEvent::Lagged(lag) => Seen::Lagged(lag),
        WatchEvent::Reset => Seen::Reset,
        other => panic!("{other:?}"),
    }
}

/// The events up to this one, without it.
pub(crate) async fn until(watch: &mut WatchStream, last: &Seen) -> Vec<Seen> {
    let mut seen = Vec::new();
    loop {
        let event = next(watch).await;
        if event == *last {
            return seen;
        }
        seen.push(event);
    }
}
