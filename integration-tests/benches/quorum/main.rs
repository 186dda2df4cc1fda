//! Quorum reads and writes over three real nodes: rates, latencies, and processor time per operation.
//!
//! ```text
//!   this process                        three processes
//!   N tasks, each: one operation    --> quoit-test-node   fsync, then
//!   after the other (closed loop)   --> quoit-test-node   the same buffered
//!   client library                  --> quoit-test-node
//! ```
//!
//! The loop is closed: a slow operation delays the next one, so latencies under overload look better than an
//! application would see them. The figure to compare is processor time per operation with everything on one
//! core (`--pin`): rates on idle cores mostly measure how long a core takes to wake up.
//!
//! Prints a Markdown table and writes nothing.

mod load;
mod table;

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use quoit_integration_tests::cluster::{Clients as _, Cluster, program, settings};
use quoit_integration_tests::node_binary;
use quoit_node::config::Durability;
use quoit_ring::LeafBits;

use crate::load::{Keys, Shape, Verb};

/// Copies of a key, and nodes.
const NODES: usize = 3;
/// Says that this process is pinned already.
const PINNED: &str = "QUOIT_BENCH_PINNED";

/// Quorum gets and puts over three nodes with N = 3 and R = W = 2.
#[derive(Debug, Parser)]
struct Args {
    /// Put this process and the nodes on one core.
    #[arg(long)]
    pin: bool,
    /// Seconds that each row is measured, after a warm-up of a quarter of that.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Keys, written once before anything is measured.
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
    /// Operations in flight, one row for each.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    in_flight: Vec<usize>,
    /// Bytes of a value.
    #[arg(long, value_delimiter = ',', default_value = "100,1024")]
    bytes: Vec<usize>,
    /// Only rows whose name (`get`, `put fsync`, `put buffered`) holds this.
    #[arg(long, default_value = "")]
    rows: String,
    /// Passed by `cargo bench`; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.pin && std::env::var_os(PINNED).is_none() {
        return pinned();
    }
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            table::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Runs this very command again on one core; the nodes that it starts stay there too.
fn pinned() -> ExitCode {
    let again = std::env::current_exe().and_then(|program| {
        Command::new("taskset")
            .args(["-c", "0"])
            .arg(program)
            .args(std::env::args_os().skip(1))
            .env(PINNED, "1")
            .status()
    });
    match again {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_failed) => ExitCode::FAILURE,
        Err(error) => {
            table::complain(&anyhow::Error::new(error).context("starting `taskset`"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    table::header(args.pin, args.keys);
    for bytes in &args.bytes {
        for durability in [Durability::Fsync, Durability::Buffered] {
            let local = tokio::task::LocalSet::new();
            runtime.block_on(local.run_until(measure(args, *bytes, durability)))?;
        }
    }
    Ok(())
}

/// All rows of one cluster. Reads do not depend on durability, so they are measured once.
async fn measure(args: &Args, bytes: usize, durability: Durability) -> anyhow::Result<()> {
    let verbs = match durability {
        Durability::Fsync => vec![(Verb::Get, "get"), (Verb::Put, "put fsync")],
        Durability::Buffered => vec![(Verb::Put, "put buffered")],
    };
    let verbs: Vec<_> = verbs
        .into_iter()
        .filter(|(_, name)| name.contains(&args.rows))
        .collect();
    if verbs.is_empty() {
        return Ok(());
    }
    let mut options = settings(NODES);
    options.local.durability = durability;
    options.local.memory = 256 << 20;
    options.local.leaf_bits = LeafBits::FULL;
    let cluster = Cluster::start(program(node_binary!()), &options)
        .await
        .context("starting the nodes")?;
    let client = cluster.client().await?;
    let keys = Keys {
        count: args.keys,
        bytes,
    };
    keys.fill(&client).await.context("writing the keys")?;
    for (verb, name) in verbs {
        for &in_flight in &args.in_flight {
            let shape = Shape {
                verb,
                keys,
                in_flight,
                time: Duration::from_secs_f64(args.seconds),
            };
            let figures = shape.run(&client, &cluster).await?;
            table::row(name, &shape, &figures);
        }
    }
    client.close().await;
    cluster.shut_down().await.context("stopping the nodes")
}
