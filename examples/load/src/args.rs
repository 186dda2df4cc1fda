//! The command line: what to load, how, and for how long.
//!
//! ```text
//! quoit-load [store] [work] [pace] [what else] [output]     a run
//! quoit-load compare A B                                    two results side by side
//! quoit-load report DIR                                     the HTML report of a result, written again
//! ```
//!
//! Every flag has a default that makes sense by itself, so `quoit-load` alone is a run: three own nodes,
//! YCSB B, 10,000 operations a second for ten seconds. Flags that contradict each other are refused
//! before anything is started. Left out: what the values mean, which is [`values`] and the modules they
//! belong to.

mod check;
pub(crate) mod fault;
pub(crate) mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use self::values::{ClusterSpec, Ramp, count, limit, rate, seconds};
use crate::workload::{Distribution, Mix, Named, Sizes};

/// Puts a store under load and measures what its users would see.
#[derive(Debug, Parser)]
#[command(
    name = "quoit-load",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// What to do other than a run.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Compare two results, with a confidence interval for every difference
    Compare {
        /// The result to compare with: a folder of `--out`, a result.json, or a folder of repeats
        a: PathBuf,
        /// The result that is compared
        b: PathBuf,
        /// Compare even if the two were not measured alike; the differences are listed
        #[arg(long)]
        force: bool,
        /// What goes to standard output
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Write the HTML report of a result again
    Report {
        /// A folder of `--out`
        dir: PathBuf,
    },
    /// Write the table of a comparison with peers, as peers.sh leaves its results
    #[command(hide = true)]
    Table {
        /// The folder of the plan and the results
        dir: PathBuf,
        /// Write it between the markers of this file [default: to standard output]
        #[arg(long, value_name = "FILE")]
        into: Option<PathBuf>,
    },
    /// Be a node of an own cluster
    #[command(hide = true)]
    Node {
        /// The node's configuration
        #[arg(long)]
        config: PathBuf,
        /// End when standard input does: then the process that started this one is gone
        #[arg(long)]
        while_stdin_is_open: bool,
    },
}

/// A run.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(flatten)]
    pub(crate) work: Work,
    #[command(flatten)]
    pub(crate) pace: Pace,
    #[command(flatten)]
    pub(crate) script: Script,

    /// What goes to standard output
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Format,
    /// Folder for result.json, histograms (*.hlog) and report.html; made if need be
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// Tables, for people
    #[default]
    Text,
    /// The whole result, for programs
    Json,
}

/// Which store.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct Store {
    /// `quoit`, or a peer: etcd://HOST:PORT,... or redis://HOST:PORT,... if it was built in
    #[arg(long, default_value = "quoit", value_name = "TARGET")]
    pub(crate) target: String,
    /// Start an own cluster of real processes on this machine: dev:NODES[:fsync|:buffered]
    /// [default: dev:3, which is fsync]
    #[arg(long, value_name = "SPEC", conflicts_with = "profile")]
    pub(crate) cluster: Option<ClusterSpec>,
    /// Use the cluster of this profile, as `quoit dev` writes one
    #[arg(long, env = "QUOIT_PROFILE", value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    /// Run an own cluster's nodes with this `quoit-node` [default: this very program is the node]
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    pub(crate) node_binary: Option<PathBuf>,
    /// Memory for each node of an own cluster, in MiB: `memory` in its file
    #[arg(long, default_value_t = 256, value_name = "MIB", conflicts_with = "profile",
        value_parser = clap::value_parser!(u64).range(64..=1 << 20))]
    pub(crate) node_memory: u64,
    /// Put an own cluster's data into a new folder in this one, removed at the end [default: the
    /// system's folder for temporary files]
    #[arg(long, value_name = "DIR", conflicts_with = "profile")]
    pub(crate) data: Option<PathBuf>,
    /// Clients, each with connections of its own; the callers, as many as may be in flight, are dealt out to them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256), value_name = "N")]
    pub(crate) clients: u32,
    /// How long an operation may take
    #[arg(long, default_value = "5s", value_parser = limit, value_name = "TIME")]
    pub(crate) deadline: Duration,
}

/// Which operations.
#[derive(Debug, Args)]
#[command(next_help_heading = "Work")]
pub(crate) struct Work {
    /// ycsb-a, ycsb-b, ycsb-c, ycsb-d, ycsb-f, get, put, delete, cas or update
    #[arg(
        long,
        default_value = "ycsb-b",
        value_name = "NAME",
        conflicts_with = "mix"
    )]
    pub(crate) workload: Named,
    /// Shares of verbs instead, such as get=90,put=9,delete=1; also insert, read-modify-write, cas and update
    #[arg(long, value_name = "SHARES")]
    pub(crate) mix: Option<Mix>,
    /// How many keys there are, loaded beforehand
    #[arg(long, default_value = "100000", value_parser = count, value_name = "N")]
    pub(crate) keys: u64,
    /// Do not load the keys: an earlier run did
    #[arg(long, conflicts_with_all = ["verify", "cluster"])]
    pub(crate) no_load: bool,
    /// Which keys are used: uniform, zipfian, latest, sequential or hotspot:KEYS:OPERATIONS, two shares
    /// such as hotspot:0.1:0.9 [default: the workload's; uniform for plain verbs]
    #[arg(long, value_name = "NAME")]
    pub(crate) distribution: Option<Distribution>,
    /// Bytes of a value: SIZE, FROM..TO or lognormal:MEDIAN:SIGMA; up to 1MiB
    #[arg(long, default_value = "100", value_name = "SIZE")]
    pub(crate) value: Sizes,
    /// Seed of everything that is random
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
}

/// How fast, and how long.
#[derive(Debug, Args)]
#[command(next_help_heading = "Pace")]
pub(crate) struct Pace {
    /// Operations a second, begun whether earlier ones are done or not
    #[arg(long, default_value = "10000", value_parser = rate, value_name = "N")]
    pub(crate) rate: f64,
    /// How the starts of operations are spread
    #[arg(long, value_enum, default_value_t, conflicts_with = "closed")]
    pub(crate) arrivals: Spread,
    /// Most operations under way at once at a given rate; what is due beyond them waits, and its waiting
    /// is part of its latency
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=65_536), value_name = "N", conflicts_with = "closed")]
    pub(crate) max_in_flight: u32,
    /// No rate: begin an operation when another one ends
    #[arg(long, conflicts_with_all = ["rate", "ramp", "find_rate"])]
    pub(crate) closed: bool,
    /// Operations under way at once with --closed
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536), value_name = "N", requires = "closed")]
    pub(crate) in_flight: u32,
    /// Let the rate go evenly from one to the other: FROM:TO
    #[arg(long, value_name = "FROM:TO", conflicts_with_all = ["rate", "find_rate"])]
    pub(crate) ramp: Option<Ramp>,
    /// Search the highest rate that keeps --p99, beginning at --rate, then measure it
    #[arg(long, requires = "p99")]
    pub(crate) find_rate: bool,
    /// The 99th percentile to stay below, with its unit
    #[arg(long, value_parser = limit, value_name = "TIME", requires = "find_rate")]
    pub(crate) p99: Option<Duration>,
    /// How long each step of the search takes
    #[arg(long, default_value = "3", value_parser = seconds, value_name = "SECONDS", requires = "find_rate")]
    pub(crate) step: Duration,
    /// How long is measured
    #[arg(long, default_value = "10", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) seconds: Duration,
    /// How long the same load runs before, unmeasured; 0 for none
    #[arg(long, default_value = "2", value_parser = values::seconds_or_none, value_name = "SECONDS")]
    pub(crate) warm_up: Duration,
    /// Keep this program and an own cluster's nodes on one processor core: comparable figures of
    /// processor time, at the price of everything waiting for everything
    #[arg(long, value_name = "CORE")]
    pub(crate) pin: Option<usize>,
}

/// How starts are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Spread {
    /// As those of many independent users
    #[default]
    Poisson,
    /// At even distances
    Uniform,
}

/// What else happens.
#[derive(Debug, Args)]
#[command(next_help_heading = "Faults and checks")]
pub(crate) struct Script {
    /// Do something to a node of an own cluster while measuring: TIME kill|restart|pause|resume nI, such
    /// as 30s kill n2; or to the network before it: TIME slow nI 200ms, jitter nI 5ms, lose nI 5%, heal nI;
    /// may be given many times
    #[arg(long, num_args = 3..=4, value_names = ["TIME", "ACT", "NODE", "QUANTITY"], action = clap::ArgAction::Append, conflicts_with_all = ["profile", "find_rate"])]
    at: Vec<String>,
    /// Afterwards, read every key and count acknowledged writes that are lost, deletes that did not last
    /// and values that nobody wrote
    #[arg(long)]
    pub(crate) verify: bool,
}

#[cfg(test)]
mod tests;
