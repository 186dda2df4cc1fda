//! `quoit verify FILE`: reads every pair of a file back and compares.
//!
//! ```text
//! pairs --get, up to --in-flight at once--> ok | different | missing | siblings | error
//! ```
//!
//! Nothing is written, and nothing ends it early but a file that cannot be read: the counts cover the
//! whole file. A difference, a missing key, siblings and a line without a pair end with 1; if all that went wrong
//! is that keys could not be read, with what the first of them would end `get` with, mostly 6.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use indicatif::ProgressBar;
use quoit_client::{Client, Entry, ReadError};
use serde_json::json;

use super::import::{FileArgs, MAX_SHOWN, show_progress};
use crate::args::{ClusterArgs, ReadArgs};
use crate::escape::one_line;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::in_flight::InFlight;
use crate::output::Output;
use crate::pairs::{BadLine, Feed, Pair, Permit};
use crate::units;

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    file: FileArgs,

    #[command(flatten)]
    read: ReadArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What became of the pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) ok: u64,
    pub(crate) different: u64,
    pub(crate) missing: u64,
    pub(crate) siblings: u64,
    /// Keys that could not be read, and lines that hold no pair.
    pub(crate) errors: u64,
    /// Of these the lines.
    bad_lines: u64,
    /// How the first key ends that could not be read.
    unread: Option<Exit>,
    /// The first pairs that were not ok.
    pub(crate) shown: Vec<String>,
    pub(crate) elapsed: Duration,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let bar = out.progress(0, "verify");
    let pairs = args.file.pairs(&bar)?;
    let counts = args
        .cluster
        .with_client(
            |builder| args.read.apply(builder),
            async |client| {
                // Or every line of the file would say that R is out of range.
                client.quorum_sizes()?;
                Ok(check(client, pairs, args.file.in_flight.into(), &bar).await)
            },
        )
        .await;
    bar.finish_and_clear();
    counts?.print(out)
}

/// Reads every pair back.
pub(crate) async fn check(
    client: &Client,
    mut pairs: Feed,
    in_flight: usize,
    bar: &ProgressBar,
) -> Counts {
    let started = Instant::now();
    let mut counts = Counts::default();
    let mut flight = InFlight::new(in_flight);
    loop {
        tokio::select! {
            biased;
            ended = flight.next(), if !flight.is_empty() => counts.add(ended),
            line = pairs.next(), if flight.has_room() => match line {
                None => break,
                Some((Ok(pair), permit)) => flight.start(read(client.clone(), pair, permit)),
                Some((Err(bad), _permit)) => counts.bad_line(&bad),
            },
        }
        show_progress(bar, counts.seen(), started);
    }
    while let Some(ended) = flight.next().await {
        counts.add(Some(ended));
    }
    counts.elapsed = started.elapsed();
    counts
}

/// A pair's line and key, and what was read.
type Ended = (u64, Bytes, Result<Verdict, ReadError>);

async fn read(client: Client, pair: Pair, _permit: Permit) -> Ended {
    let result = client.get(pair.key.clone()).await;
    (
        pair.line,
        pair.key,
        result.map(|entry| verdict(&entry, &pair.value)),
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Different,
    Missing,
    Siblings,
}

fn verdict(entry: &Entry, expected: &Bytes) -> Verdict {
    match entry.value() {
        Some(value) if value == expected => Verdict::Ok,
        Some(_other) => Verdict::Different,
        None if entry.is_conflict() => Verdict::Siblings,
        None => Verdict::Missing,
    }
}

impl Counts {
    fn add(&mut self, ended: Option<Ended>) {
        let Some((line, key, result)) = ended else {
            return;
        };
        let (counter, what) = match result {
            Ok(Verdict::Ok) => {
                self.ok += 1;
                return;
            }
            Ok(Verdict::Different) => (&mut self.different, "another value is stored".to_owned()),
            Ok(Verdict::Missing) => (&mut self.missing, "nothing is stored".to_owned()),
            Ok(Verdict::Siblings) => (&mut self.siblings, "there are siblings".to_owned()),
            Err(error) => {
                let what = error.to_string();
                self.unread.get_or_insert_with(|| Failure::from(error).exit);
                (&mut self.errors, what)
            }
        };
        *counter += 1;
        self.mention(&format!("line {line}: `{}`: {what}", one_line(&key)));
    }

    fn bad_line(&mut self, bad: &BadLine) {
        self.errors += 1;
        self.bad_lines += 1;
        self.mention(&bad.to_string());
    }

    /// Keeps one of the first problems, as one line: messages quote what stands in the file, line ends and all.
    fn mention(&mut self, what: &str) {
        if self.shown.len() < MAX_SHOWN {
            self.shown.push(one_line(what.as_bytes()));
        }
    }

    /// All that were looked at.
    pub(crate) const fn seen(&self) -> u64 {
        self.ok + self.different + self.missing + self.siblings + self.errors
    }

    /// Those that do not hold what they should.
    pub(crate) const fn wrong(&self) -> u64 {
        self.different + self.missing + self.siblings
    }

    fn print(&self, out: Output) -> Result<Exit, Failure> {
        if out.is_json() {
            out.outcome_json(&json!({
                "ok": self.ok, "different": self.different, "missing": self.missing,
                "siblings": self.siblings, "errors": self.errors,
                "elapsed_ms": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            }));
        } else {
            out.outcome(format!("verified {self}"));
        }
        self.shown.iter().for_each(|what| out.note(what));
        self.verdict()
    }

    /// How the program ends.
    fn verdict(&self) -> Result<Exit, Failure> {
        match (self.wrong(), self.errors) {
            (0, 0) => Ok(Exit::Ok),
            (0, _) if self.bad_lines > 0 => {
                let what = format!(
                    "{} no pair",
                    units::plural(self.bad_lines, "line holds", "lines hold")
                );
                Err(Failure::new(Exit::Error, what))
            }
            (0, errors) => {
                let what = format!(
                    "{} not be read",
                    units::plural(errors, "pair could", "pairs could")
                );
                Err(Failure::new(self.unread.unwrap_or(Exit::Unavailable), what))
            }
            (wrong, _) => {
                let what = format!(
                    "{} from the file",
                    units::plural(wrong, "key differs", "keys differ")
                );
                Err(Failure::new(Exit::Error, what))
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ok, different, missing, siblings, errors] = [
            self.ok,
            self.different,
            self.missing,
            self.siblings,
            self.errors,
        ]
        .map(units::count);
        write!(
            f,
            "{ok} ok, {different} different, {missing} missing, {siblings} siblings, {errors} errors"
        )?;
        let rate = units::count(units::rate(self.seen(), self.elapsed));
        write!(f, " in {} ({rate}/s)", units::duration(self.elapsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(results: Vec<Result<Verdict, ReadError>>) -> Counts {
        let mut counts = Counts::default();
        for (line, result) in (2..).zip(results) {
            counts.add(Some((line, Bytes::from_static(b"k"), result)));
        }
        counts
    }

    fn exit(results: Vec<Result<Verdict, ReadError>>) -> Exit {
        counted(results)
            .verdict()
            .unwrap_or_else(|failure| failure.exit)
    }

    #[test]
    fn every_verdict_is_counted_and_what_is_wrong_is_named_with_its_line() {
        let verdicts = [
            Verdict::Ok,
            Verdict::Different,
            Verdict::Missing,
            Verdict::Siblings,
        ];
        let counts = counted(verdicts.map(Ok).to_vec());
        assert_eq!((counts.seen(), counts.wrong()), (4, 3));
        assert_eq!(counts.shown[0], "line 3: `k`: another value is stored");
        assert!(
            counts
                .to_string()
                .starts_with("1 ok, 1 different, 1 missing, 1 siblings, 0 errors in")
        );
    }

    #[test]
    fn a_bad_line_is_mentioned_in_one_line() {
        let mut counts = Counts::default();
        counts.bad_line(&BadLine {
            line: 1,
            what: "unknown field `x\nerror: forged`".into(),
            last: false,
        });
        assert_eq!(counts.shown, ["line 1: unknown field `x\\nerror: forged`"]);
    }

    #[test]
    fn a_difference_ends_with_1_and_mere_unavailability_with_6() {
        assert_eq!(exit(vec![Ok(Verdict::Ok)]), Exit::Ok);
        for wrong in [Verdict::Different, Verdict::Missing, Verdict::Siblings] {
            assert_eq!(exit(vec![Ok(wrong), Err(ReadError::Closed)]), Exit::Error);
        }
        let unavailable = ReadError::Unavailable {
            answered: 1,
            needed: 2,
            attempts: Vec::new(),
        };
        assert_eq!(
            exit(vec![Ok(Verdict::Ok), Err(unavailable)]),
            Exit::Unavailable
        );
        let mut counts = counted(vec![Err(ReadError::Closed)]);
        counts.bad_line(&BadLine {
            line: 2,
            what: "no".into(),
            last: false,
        });
        assert_eq!(counts.verdict().unwrap_err().exit, Exit::Error);
        assert_eq!(counts.errors, 2);
    }
}
