//! `quoit import FILE`: writes every pair of a file, or of standard input.
//!
//! ```text
//! lines --read--> pairs --put, up to --in-flight at once--> written | failed
//!            `--> bad lines
//! ```
//!
//! A pair is put when its line is there, not when the next one is: standard input may be a pipe that never ends.
//!
//! Every put is a blind one. An import that was stopped is resumed by running it again, and since that writes again
//! what is there already, it replaces whatever others wrote to these keys in between. A file should name each key
//! once; of several the last wins.
//!
//! The first problem ends the import, after what is under way has finished; with `--keep-going` problems
//! are counted and the rest is written.

mod report;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::ProgressBar;
use quoit_client::Client;

use crate::args::{ClusterArgs, WriteArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::in_flight::InFlight;
use crate::output::Output;
use crate::pairs::{self, Feed, Format, Pair, Permit};
use crate::units;
use report::Ended;
pub(crate) use report::{MAX_SHOWN, Report};

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An import that was stopped is resumed by running it again. It writes every pair again, which replaces
whatever was written to the keys of the file in between.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) file: FileArgs,

    /// Go on behind bad lines and failed writes, and count them
    #[arg(long)]
    keep_going: bool,

    #[command(flatten)]
    write: WriteArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// A file of pairs and how fast to go through it.
#[derive(Debug, clap::Args)]
pub(crate) struct FileArgs {
    /// CSV with the header `key,value`, or one JSON object {"key","value"} a line; `-` reads standard input
    pub(crate) file: PathBuf,

    /// What the file holds [default: what its extension says; standard input has none]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Operations under way at once, 1 to 4096
    #[arg(long, value_name = "COUNT", default_value_t = 256,
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) in_flight: u16,
}

impl FileArgs {
    /// Opens the file and moves `bar` as it is read; the bar's length becomes the file's, if it has one.
    pub(crate) fn pairs(&self, bar: &ProgressBar) -> Result<Feed, Failure> {
        let format = self.format.or_else(|| Format::of(&self.file));
        let format = format.ok_or_else(|| self.no_format())?;
        let pairs = if self.is_standard_input() {
            Output::unbounded(bar);
            pairs::read(format, bar.wrap_read(io::stdin()))
        } else {
            let (file, length) =
                pairs::open(&self.file).map_err(|error| unreadable(&self.file, &error))?;
            bar.set_length(length);
            pairs::read(format, bar.wrap_read(file))
        };
        Feed::start(pairs).map_err(|error| Failure::caused(&error))
    }

    fn is_standard_input(&self) -> bool {
        self.file.as_os_str() == "-"
    }

    fn no_format(&self) -> Failure {
        let what = if self.is_standard_input() {
            "standard input has no name that says its format".to_owned()
        } else {
            format!("the name {} does not say its format", self.file.display())
        };
        Failure::new(Exit::Usage, what).hint("say what it holds: --format csv or --format jsonl")
    }
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Error,
        format!("cannot read {}: {error}", file.display()),
    )
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let bar = out.progress(0, "import");
    let pairs = args.file.pairs(&bar)?;
    let limits = Limits {
        in_flight: args.file.in_flight.into(),
        keep_going: args.keep_going,
    };
    let report = args
        .cluster
        .with_client(
            |builder| args.write.apply(builder),
            async |client| {
                // Or every line of the file would say that W is out of range.
                client.quorum_sizes()?;
                Ok(load(client, pairs, limits, &bar).await)
            },
        )
        .await;
    bar.finish_and_clear();
    report?.print(out, args.keep_going)
}

/// How fast an import goes, and how far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) in_flight: usize,
    pub(crate) keep_going: bool,
}

/// Puts every pair.
pub(crate) async fn load(
    client: &Client,
    mut pairs: Feed,
    limits: Limits,
    bar: &ProgressBar,
) -> Report {
    let started = Instant::now();
    let mut report = Report::default();
    let mut flight = InFlight::new(limits.in_flight);
    loop {
        tokio::select! {
            biased;
            ended = flight.next(), if !flight.is_empty() => report.count_all(ended),
            line = pairs.next(), if flight.has_room() => match line {
                None => break,
                Some((Ok(pair), permit)) => flight.start(put(client.clone(), pair, permit)),
                Some((Err(bad), _permit)) => report.problem(bad.into()),
            },
        }
        if report.problems > 0 && !limits.keep_going {
            break;
        }
        show_progress(bar, report.written, started);
    }
    while let Some(ended) = flight.next().await {
        report.count_all(Some(ended));
    }
    report.elapsed = started.elapsed();
    report
}

/// Lets the bar say how many are done, and how fast.
pub(crate) fn show_progress(bar: &ProgressBar, done: u64, started: Instant) {
    if !bar.is_hidden() {
        let rate = units::count(units::rate(done, started.elapsed()));
        bar.set_message(format!("{} at {rate}/s", units::count(done)));
    }
}

async fn put(client: Client, pair: Pair, _permit: Permit) -> Ended {
    let bytes = pair.key.len() + pair.value.len();
    let result = client.put(pair.key, pair.value).await.map(drop);
    (pair.line, bytes, result)
}
