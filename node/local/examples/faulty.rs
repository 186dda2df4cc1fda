//! What a put does while nodes are cut off or stopped, on a cluster in this process.
//!
//! ```text
//!   3 nodes, N = 3, W = 2     one cut off: fine     two cut off: fails, and says that the write may exist
//! ```
//!
//! `cargo run -p quoit-local --example faulty`; the crate's documentation shows what it prints.

use std::time::Duration;

use quoit_client::{Client, WriteError, Written};
use quoit_local::{ClusterSettings, InProcessCluster};

const KEY: &str = "cart/42";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut cluster = InProcessCluster::start(&ClusterSettings::for_tests(3).proxied()).await?;
    let client = Client::builder()
        .profile(cluster.client_profile())
        .deadline(Duration::from_secs(2))
        .connect()
        .await?;
    say("3 nodes, 3 copies of every key", "");

    cluster.proxy(0)?.cut();
    say("node-1 cut off:", &outcome(client.put(KEY, "tea").await));
    cluster.proxy(1)?.cut();
    say(
        "node-1 and node-2 cut:",
        &outcome(client.put(KEY, "tea").await),
    );
    cluster.proxy(0)?.heal();
    cluster.proxy(1)?.heal();
    say("healed:", &read(&client).await?);

    cluster.stop(2).await?;
    say("node-3 stopped:", &outcome(client.put(KEY, "milk").await));
    cluster.start_node(2).await?;
    say("node-3 started again:", &read(&client).await?);

    client.close().await;
    Ok(cluster.shut_down().await?)
}

fn outcome(put: Result<Written, WriteError>) -> String {
    match put {
        Ok(written) => format!("written, {} of 3 copies acknowledged", written.acked),
        Err(error) => format!("not written; stored: {:?}", error.stored()),
    }
}

/// Reads the key until the client is connected again, for 20 s at most.
async fn read(client: &Client) -> anyhow::Result<String> {
    for _ in 0..200 {
        if let Ok(entry) = client.get(KEY).await {
            let value = entry.value().cloned().unwrap_or_default();
            return Ok(format!("read back `{}`", String::from_utf8_lossy(&value)));
        }
        // Without a connection a read fails at once, and dialling takes its time.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the cluster does not answer")
}

#[expect(clippy::print_stdout, reason = "an example shows its results")]
fn say(when: &str, what: &str) {
    println!("{when:<24} {what}");
}
