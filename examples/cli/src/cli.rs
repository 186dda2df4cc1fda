//! The command line's grammar: every verb, and nothing about what it does.
//!
//! ```text
//! quoit [--output json] VERB ...
//!        data:     put  get  delete  cas  outcome  import  verify
//!        look:     status  members  ring  hints  sync  locate  explain
//!        run:      dev  demo  node
//!        set up:   certs  cluster
//! ```
//!
//! The arguments of a verb stand in the verb's own module, beside the code that reads them; those that
//! several verbs share are in [`args`](crate::args).

use clap::{Parser, Subcommand};

use crate::output::Format;
use crate::verbs::{
    cas, certs, cluster, delete, dev, explain, export, get, hints, import, locate, members, node,
    outcome, put, ring, scan, status, sync, verify, watch,
};
use crate::{demo, exit};

/// The quoit command line: a cluster in one command, and every verb on a real one.
#[derive(Debug, Parser)]
#[command(name = "quoit", version, after_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// How results are written; with `json`, errors on standard error are JSON, too
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub(crate) output: Format,

    /// Profile of the cluster; may also stand behind the verb, where it is read
    #[arg(long, global = true, env = "QUOIT_PROFILE", value_name = "FILE")]
    profile: Option<std::path::PathBuf>,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Write a key
    Put(put::Args),
    /// Read a key: its value, and nothing else, goes to standard output
    Get(get::Args),
    /// Delete a key, or all that begin with a prefix
    Delete(delete::Args),
    /// Write or delete a key if a condition holds, linearizably
    Cas(cas::Args),
    /// Find out what became of a conditional write, and bar it if it has not happened
    Outcome(outcome::Args),
    /// Read all keys that begin with a prefix, in order
    Scan(scan::Args),
    /// Show what a key or a prefix holds, and then each change of it, until stopped
    Watch(watch::Args),
    /// Write all pairs whose keys begin with a prefix to standard output, as JSON lines for `import`
    Export(export::Args),
    /// Write every pair of a file
    Import(import::Args),
    /// Read every pair of a file back and compare
    Verify(verify::Args),
    /// Show how every node is
    Status(status::Args),
    /// Show which members are heard by the others, and what they say of themselves
    Members(members::Args),
    /// Show who holds how much of the ring, and which arc of it moves
    Ring(ring::Args),
    /// Show which writes are kept for nodes that are away
    #[command(subcommand)]
    Hints(hints::Verb),
    /// Show how nodes repair what differs between them, or give orders about that
    #[command(subcommand)]
    Sync(sync::Verb),
    /// Show where a key lives and what each of its replicas holds
    Locate(locate::Args),
    /// Show what a read of a key does, and why: plan, replicas, versions, requests, repairs
    Explain(explain::Args),
    /// Run a whole cluster in this process, on loopback
    Dev(dev::Args),
    /// Take the two-minute tour: five processes, a text, a conflict, a kill -9
    Demo(demo::Args),
    /// Run one storage node, or initialise it before its first start
    Node(node::Args),
    /// Make certificates for a cluster
    #[command(subcommand)]
    Certs(certs::Verb),
    /// Make or show a cluster's first map
    #[command(subcommand)]
    Cluster(cluster::Verb),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_lists_the_exit_codes() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("5  outcome unknown"), "{help}");
    }

    #[test]
    fn lines_that_make_no_sense_are_refused() {
        let table = [
            (vec!["put", "k"], ErrorKind::MissingRequiredArgument),
            (
                vec!["put", "k", "v", "--ttl", "10"],
                ErrorKind::ValueValidation,
            ),
            (
                vec!["put", "k", "v", "--context", "!"],
                ErrorKind::ValueValidation,
            ),
            (
                vec!["put", "k", "v", "--r", "2"],
                ErrorKind::UnknownArgument,
            ),
            (vec!["get", "k", "--r", "0"], ErrorKind::ValueValidation),
            (
                vec!["get", "k", "--merge", "newest"],
                ErrorKind::InvalidValue,
            ),
            (
                vec!["get", "k", "--merge", "lww", "--all"],
                ErrorKind::ArgumentConflict,
            ),
            (
                vec!["import", "f.csv", "--in-flight", "0"],
                ErrorKind::ValueValidation,
            ),
            (
                vec!["certs", "init", "d"],
                ErrorKind::MissingRequiredArgument,
            ),
            (
                vec![
                    "cluster", "init", "--certs", "d", "--out", "m", "--member", "n1",
                ],
                ErrorKind::ValueValidation,
            ),
            (vec!["delete"], ErrorKind::MissingRequiredArgument),
            (
                vec!["delete", "k", "--prefix", "p"],
                ErrorKind::ArgumentConflict,
            ),
            (
                vec!["scan", "p", "--limit", "0"],
                ErrorKind::ValueValidation,
            ),
            (
                vec!["scan", "p", "--keys", "--count"],
                ErrorKind::ArgumentConflict,
            ),
            (vec!["watch"], ErrorKind::MissingRequiredArgument),
            (
                vec!["watch", "k", "--prefix", "p"],
                ErrorKind::ArgumentConflict,
            ),
            (vec!["fetch", "k"], ErrorKind::InvalidSubcommand),
        ];
        for (line, kind) in table {
            let error = Cli::try_parse_from(["quoit"].iter().chain(&line)).unwrap_err();
            assert_eq!(error.kind(), kind, "{line:?}");
        }
    }
}
