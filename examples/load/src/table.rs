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

use crate::result::{Attempts, RunResult};
use crate::run::folder;

use self::goals::Goal;

const BEGIN: &str = "<!-- peers: begin -->";
const END: &str = "<!-- peers: end -->";

/// What was to be run, with what it found, and what was hoped for.
#[derive(Debug, Default)]
struct Plan {
    rows: Vec<Row>,
    goals: Vec<(String, Goal)>,
}

/// One load on several systems.
#[derive(Debug)]
struct Row {
    id: String,
    title: String,
    systems: Vec<System>,
}

/// A system in a row.
#[derive(Debug)]
struct System {
    name: String,
    rounds: BTreeMap<u32, Sample>,
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
    /// The longest latency of a success.
    longest: f64,
    /// Successes, and conditional writes that found something else than they expected.
    answers: (u64, u64),
    /// Attempts of operations that go on until they succeed.
    attempts: Option<Attempts>,
}

/// Writes the table of the results in `dir` to standard output, or between the markers of `into`.
///
/// # Errors
///
/// Fails, with `into` as it was, if the plan, a result or the markers cannot be read.
pub(crate) fn write(dir: &Path, into: Option<&Path>) -> anyhow::Result<()> {
    let mut plan = Plan::parse(&read(&dir.join("plan.tsv"))?)?;
    plan.read_rounds(dir)?;
    let table = text::markdown(&plan);
    let Some(into) = into else {
        return crate::terminal::print(&table);
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
                ["run", row, title, system] => plan.add(row, title, system),
                ["goal", text, rule @ ..] => {
                    let goal = Goal::parse(rule).with_context(|| format!("goal `{text}`"))?;
                    plan.goals.push(((*text).to_owned(), goal));
                }
                _ => bail!("the plan has a line that means nothing: {line}"),
            }
        }
        Ok(plan)
    }

    fn add(&mut self, row: &str, title: &str, system: &str) {
        let system = System {
            name: system.to_owned(),
            rounds: BTreeMap::new(),
        };
        match self.rows.last_mut().filter(|last| last.id == row) {
            Some(last) => last.systems.push(system),
            None => self.rows.push(Row {
                id: row.to_owned(),
                title: title.to_owned(),
                systems: vec![system],
            }),
        }
    }

    fn read_rounds(&mut self, dir: &Path) -> anyhow::Result<()> {
        for row in &mut self.rows {
            for system in &mut row.systems {
                system.read_rounds(&dir.join(&row.id).join(&system.name))?;
            }
        }
        Ok(())
    }

    fn system(&self, row: &str, name: &str) -> Option<&System> {
        let mut systems = self.row(row)?.systems.iter();
        systems.find(|system| system.name == name)
    }

    /// The first system of a row.
    fn first(&self, row: &str) -> Option<&System> {
        self.row(row)?.systems.first()
    }

    fn row(&self, id: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.id == id)
    }
}

impl System {
    /// Reads the rounds that are there; those that are missing, and those without a success, are left out.
    fn read_rounds(&mut self, dir: &Path) -> anyhow::Result<()> {
        for round in fs::read_dir(dir).into_iter().flatten().flatten() {
            let number = round
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            let path = round.path().join("result.json");
            let Some(number) = number.filter(|_| path.exists()) else {
                continue;
            };
            let sample = Sample::of(&folder::read(&path)?);
            self.rounds.extend(sample.map(|sample| (number, sample)));
        }
        Ok(())
    }

    /// A figure of every round.
    fn spread(&self, figure: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.rounds.values().map(figure).collect())
    }

    /// The 99th percentile of attempts in the rounds that have one.
    fn attempts(&self) -> Option<Spread> {
        let rounds = self.rounds.values();
        let attempts = rounds.filter_map(|sample| sample.attempts);
        #[expect(clippy::cast_precision_loss, reason = "attempts are few")]
        let p99 = attempts.map(|attempts| attempts.p99 as f64);
        Spread::of(p99.collect())
    }

    /// A figure of this system over that of another, of the rounds that have both.
    fn ratio(&self, other: &Self, figure: impl Fn(&Sample) -> f64) -> Option<Spread> {
        let ratios = self.rounds.iter().filter_map(|(round, sample)| {
            let other = other.rounds.get(round).map(&figure)?;
            (other > 0.0).then(|| figure(sample) / other)
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
        let [p50, p99, longest] =
            [most.intended.p50, most.intended.p99, most.intended.max].map(|us| us as f64);
        let cpu = result.cpu.as_ref();
        (most.count > 0).then(|| Self {
            target: result.target.clone(),
            rate: most.rate,
            p50,
            p99,
            cpu: cpu.map(|cpu| (cpu.client_us_per_op, cpu.servers_us_per_op)),
            failed: operations.flat_map(|verb| verb.errors.values()).sum(),
            longest,
            answers: (most.count, most.mismatches.map_or(0, |found| found.count)),
            attempts: most.attempts,
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
