//! The comparison with peers as Markdown: many results in, one table and the goals out.
//!
//! ```text
//!   DIR/plan.tsv            run   ROW  TITLE  SYSTEM             in the order they are printed
//!                           goal  TEXT RULE...                   see `goals`
//!   DIR/ROW/SYSTEM/ROUND/result.json                             one run each
//!        '--> medians over the rounds, ratios within each round --> between two markers of a file
//! ```
//!
//! A row's first system is the one that the others are compared with. A ratio is taken between neighbours
//! in time, the two runs of one round, and only then is the median taken: what slows the whole machine
//! for a while slows both. Runs that are missing leave a dash, never a guess. Source of the habit: paired
//! designs, any text on statistics. Left out: running anything, which is `peers.sh`'s.

mod goals;
mod text;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use crate::result::RunResult;

use self::goals::Goal;

const BEGIN: &str = "<!-- peers: begin -->";
const END: &str = "<!-- peers: end -->";

/// What was to be run, and what was hoped for.
#[derive(Debug, Default)]
struct Plan {
    runs: Vec<Run>,
    goals: Vec<(String, Goal)>,
}

/// A system in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    row: String,
    title: String,
    system: String,
}

/// What one run found, in microseconds and operations a second.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    target: String,
    rate: f64,
    p50: f64,
    p99: f64,
    /// Processor time per operation: client, servers.
    cpu: Option<(f64, f64)>,
    failed: u64,
}

/// All samples by row and system, then by round.
#[derive(Debug, Default)]
struct Samples(BTreeMap<(String, String), BTreeMap<u32, Sample>>);

/// Writes the table of the results in `dir` to standard output, or between the markers of `into`.
///
/// # Errors
///
/// Fails, with `into` as it was, if the plan, a result or the markers cannot be read.
pub(crate) fn write(dir: &Path, into: Option<&Path>) -> anyhow::Result<()> {
    let plan = Plan::parse(&read(&dir.join("plan.tsv"))?)?;
    let samples = Samples::read(dir, &plan)?;
    let table = text::markdown(&plan, &samples);
    let Some(into) = into else {
        #[expect(clippy::print_stdout, reason = "the table is what was asked for")]
        {
            print!("{table}");
        }
        return Ok(());
    };
    let preface = fs::read_to_string(dir.join("preface.md")).unwrap_or_default();
    let filled = between(&read(into)?, &format!("{preface}{table}"))?;
    fs::write(into, filled).with_context(|| format!("cannot write {}", into.display()))
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn between(text: &str, table: &str) -> anyhow::Result<String> {
    let halves = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_old, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let Some((before, after)) = halves else {
        bail!("there is no place for the table: {BEGIN} and {END} are missing");
    };
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

impl Plan {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut plan = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split('\t').collect();
            match words.as_slice() {
                ["run", row, title, system] => plan.runs.push(Run {
                    row: (*row).to_owned(),
                    title: (*title).to_owned(),
                    system: (*system).to_owned(),
                }),
                ["goal", text, rule @ ..] => {
                    let goal = Goal::parse(rule).with_context(|| format!("goal `{text}`"))?;
                    plan.goals.push(((*text).to_owned(), goal));
                }
                _ => bail!("the plan has a line that means nothing: {line}"),
            }
        }
        Ok(plan)
    }

    /// The first system of a row.
    fn first(&self, row: &str) -> Option<&str> {
        let run = self.runs.iter().find(|run| run.row == row)?;
        Some(&run.system)
    }
}

impl Samples {
    fn read(dir: &Path, plan: &Plan) -> anyhow::Result<Self> {
        let mut samples = Self::default();
        for run in &plan.runs {
            let rounds = fs::read_dir(dir.join(&run.row).join(&run.system));
            for round in rounds.into_iter().flatten().flatten() {
                let number = round
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse().ok());
                let path = round.path().join("result.json");
                let Some(number) = number.filter(|_number: &u32| path.exists()) else {
                    continue;
                };
                let result = serde_json::from_str(&read(&path)?)
                    .with_context(|| format!("{} is no result", path.display()))?;
                if let Some(sample) = Sample::of(&result) {
                    samples.add(&run.row, &run.system, number, sample);
                }
            }
        }
        Ok(samples)
    }

    fn add(&mut self, row: &str, system: &str, round: u32, sample: Sample) {
        let key = (row.to_owned(), system.to_owned());
        self.0.entry(key).or_default().insert(round, sample);
    }

    fn rounds(&self, row: &str, system: &str) -> impl Iterator<Item = (u32, &Sample)> {
        let rounds = self.0.get(&(row.to_owned(), system.to_owned()));
        rounds
            .into_iter()
            .flatten()
            .map(|(round, sample)| (*round, sample))
    }

    /// A figure of every round.
    fn spread(&self, row: &str, system: &str, figure: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(
            self.rounds(row, system)
                .map(|(_, sample)| figure(sample))
                .collect(),
        )
    }

    /// A figure of one system over that of another, of the rounds that have both.
    fn ratio(
        &self,
        (row, system): (&str, &str),
        (than, other): (&str, &str),
        figure: impl Fn(&Sample) -> f64,
    ) -> Option<Spread> {
        let others: BTreeMap<u32, f64> = self
            .rounds(than, other)
            .map(|(round, sample)| (round, figure(sample)))
            .collect();
        let ratios = self.rounds(row, system).filter_map(|(round, sample)| {
            let other = others.get(&round).copied().filter(|other| *other > 0.0)?;
            Some(figure(sample) / other)
        });
        Spread::of(ratios.collect())
    }
}

impl Sample {
    /// The figures of a run of one verb; `None` if nothing succeeded.
    fn of(result: &RunResult) -> Option<Self> {
        let operations = result.operations.values();
        let most = operations.clone().max_by_key(|verb| verb.count)?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds stay far below 2^52"
        )]
        let (p50, p99) = (most.intended.p50 as f64, most.intended.p99 as f64);
        let cpu = result.cpu.as_ref();
        (most.count > 0).then(|| Self {
            target: result.target.clone(),
            rate: most.rate,
            p50,
            p99,
            cpu: cpu.map(|cpu| (cpu.client_us_per_op, cpu.servers_us_per_op)),
            failed: operations.flat_map(|verb| verb.errors.values()).sum(),
        })
    }
}

/// What several rounds say together.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let half = figures.len() / 2;
        let median = match figures.len() % 2 {
            1 => *figures.get(half)?,
            _ => f64::midpoint(*figures.get(half.checked_sub(1)?)?, *figures.get(half)?),
        };
        Some(Self {
            least: *figures.first()?,
            median,
            most: *figures.last()?,
        })
    }
}

#[cfg(test)]
mod tests;
