//! `quoit demo`: the two-minute tour, on five real processes.
//!
//! ```text
//! start five nodes -> import a text -> read it back -> two writers, one key, siblings, a merge
//!      -> kill -9 one node under load -> bring it back -> read everything again -> what happened
//! ```
//!
//! The nodes are this program running itself, each with its own folder, disk and QUIC endpoint, and all
//! are gone when the tour ends, however it ends. Every step checks what it claims: the last table says
//! what was found, and the exit code is 1 if anything that was acknowledged is missing.

mod conflict;
mod loss;
mod story;
mod tally;
mod text;
mod traffic;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use quoit_client::Client;
use quoit_local::{ClusterSettings, NodeProgram, ProcessCluster};
use quoit_node::provision::LocalOptions;
use tempfile::TempDir;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::pairs::{self, Feed};
use crate::signals;
use crate::units::{count, duration};
use crate::verbs::import::{self, Limits};
use crate::verbs::verify;
use story::Story;
use text::{TEXT, verses};

const NODES: usize = 5;
/// Operations under way at once while the text is written and read.
const IN_FLIGHT: usize = 256;
/// How long the cluster may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The cluster's folder; it stays [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Leave the temporary folder there, to go on with `quoit dev --data DIR`
    #[arg(long)]
    keep: bool,
}

/// Where the tour takes place.
enum Folder {
    Named(PathBuf),
    Temporary(TempDir),
}

impl Folder {
    fn of(args: &Args) -> Result<Self, Failure> {
        if let Some(dir) = &args.data {
            return Ok(Self::Named(dir.clone()));
        }
        let made = tempfile::Builder::new().prefix("quoit-demo-").tempdir();
        let folder = made.map_err(|error| Failure::caused(&error))?;
        Ok(if args.keep {
            Self::Named(folder.keep())
        } else {
            Self::Temporary(folder)
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Named(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let folder = Folder::of(&args)?;
    let exit = tokio::select! {
        biased;
        _asked = signals::stop_requested() => {
            Err(Failure::new(Exit::Error, "the tour was stopped; its nodes are gone, too"))
        }
        result = Box::pin(tour(folder.path(), out)) => result,
    };
    if let Folder::Named(path) = &folder {
        out.note(format!(
            "the cluster stays; run it: quoit dev --data {}",
            path.display()
        ));
    }
    exit
}

async fn tour(folder: &Path, out: Output) -> Result<Exit, Failure> {
    let mut story = Story::new(out);
    story.line(&format!(
        "{NODES} processes on this machine, 3 copies of every key, {} verses.",
        count(verses().len() as u64)
    ))?;

    let settings = ClusterSettings {
        local: LocalOptions {
            nodes: NODES,
            ..LocalOptions::default()
        },
        folder: Some(folder.to_owned()),
        ..ClusterSettings::default()
    };
    let program = NodeProgram::this_one().map_err(|error| Failure::caused(&error))?;
    let mut nodes = ProcessCluster::new(program, &settings)?;

    story.heading("Start five nodes")?;
    let client = start(&story, &mut nodes).await?;
    story.heading("Write the King James Bible, a verse a key")?;
    write(&mut story, &client).await?;
    story.heading("Read it back and compare")?;
    read_back(&mut story, &client, "verses read back").await?;
    story.heading("Two clients write one key at once")?;
    conflict::show(&mut story, &nodes, &client).await?;
    story.heading("Kill a node while clients read and write")?;
    let traffic = loss::lose_a_node(&mut story, &client, &mut nodes).await?;
    story.heading("Bring it back and read everything again")?;
    loss::bring_it_back(&story, &client, &mut nodes).await?;
    read_back(&mut story, &client, "verses read again after the loss").await?;
    loss::read_traffic(&mut story, &client, traffic).await?;
    client.close().await;
    drop(nodes);
    story.end()
}

async fn start(story: &Story, nodes: &mut ProcessCluster) -> Result<Client, Failure> {
    let started = Instant::now();
    nodes.start_all().await?;
    let client = connect(nodes).await?;
    wait_for(&client, nodes, NODES).await?;

    for node in 0..NODES {
        story.line(&describe(nodes, node))?;
    }
    let ready = duration(started.elapsed());
    story.line(&format!(
        "Certificates, map and processes: all five answer after {ready}."
    ))?;
    Ok(client)
}

/// `node-1 at 127.0.0.1:7440, process 4711`
fn describe(nodes: &ProcessCluster, node: usize) -> String {
    let laid_out = &nodes.local().nodes()[node];
    let id = nodes
        .id(node)
        .map_or_else(|| "none".to_owned(), |id| id.to_string());
    format!("{} at {}, process {id}", laid_out.name, laid_out.address)
}

/// A client of its own, with its own connections.
async fn connect(nodes: &ProcessCluster) -> Result<Client, Failure> {
    let builder = Client::builder()
        .profile(nodes.client_profile())
        .connect_timeout(ANSWER_WITHIN);
    Ok(builder.connect().await?)
}

/// Waits until `wanted` nodes answer.
async fn wait_for(
    client: &Client,
    nodes: &mut ProcessCluster,
    wanted: usize,
) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        nodes.check()?;
        let up = client
            .status()
            .await
            .iter()
            .filter(|report| report.status.is_ok())
            .count();
        if up >= wanted {
            return Ok(());
        }

        if started.elapsed() > ANSWER_WITHIN {
            let what = format!(
                "only {up} of {wanted} nodes answer after {}",
                duration(ANSWER_WITHIN)
            );
            return Err(Failure::new(Exit::Unavailable, what));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn write(story: &mut Story, client: &Client) -> Result<(), Failure> {
    let bar = story.progress(TEXT.len() as u64, "import");
    let pairs = feed(&bar)?;
    let limits = Limits {
        in_flight: IN_FLIGHT,
        keep_going: false,
    };
    let report = import::load(client, pairs, limits, &bar).await;
    bar.finish_and_clear();
    if let Some(failure) = report.first_problem() {
        return Err(failure.clone());
    }
    let (summary, written) = (report.summary(), report.written);
    story.line(&format!(
        "{summary}; each acknowledged by a majority of its 3 replicas."
    ))?;
    story.found(
        "verses written",
        count(written),
        written == verses().len() as u64,
    );
    Ok(())
}

/// The pairs of the text, moving `bar` as they are read.
fn feed(bar: &ProgressBar) -> Result<Feed, Failure> {
    let pairs = pairs::read(pairs::Format::Csv, bar.wrap_read(TEXT));
    Feed::start(pairs).map_err(|error| Failure::caused(&error))
}

/// Reads the text and compares; what is found goes into the last table as `what`.
async fn read_back(story: &mut Story, client: &Client, what: &str) -> Result<(), Failure> {
    let bar = story.progress(TEXT.len() as u64, "verify");
    let pairs = feed(&bar)?;
    let counts = verify::check(client, pairs, IN_FLIGHT, &bar).await;
    bar.finish_and_clear();
    story.line(&format!("{counts}."))?;
    let not = counts.wrong() + counts.errors;
    let result = format!("{} as written, {} not", count(counts.ok), count(not));
    story.found(what, result, not == 0);
    Ok(())
}
