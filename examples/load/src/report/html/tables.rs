//! The tables of the page: by verb, faults, costs, settings, and the time line.
//!
//! Every cell is escaped by [`row`], so no table can forget to. Columns of numbers are set right, in digits of
//! one width. A table that would be empty is left out with its heading.

use super::{escaped, section};
use crate::report::points::Point;
use crate::report::text::{attempts, failures, health_summary, mismatches, verification};
use crate::report::units::{count, micros, short, trimmed};
use crate::result::{FaultNote, Percentiles, PhaseNote, RunResult};

/// How a column is set.
#[derive(Debug, Clone, Copy)]
enum Column {
    /// The row's name.
    Name,
    Number,
    Text,
    /// Text that stays in one line.
    Word,
}
use Column::{Name, Number, Text, Word};

pub(super) fn operations(result: &RunResult) -> String {
    let names = [
        "operation",
        "succeeded",
        "ops/s",
        "failed",
        "latency from",
        "min",
        "mean",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
    ];
    let mut columns = [Number; 12];
    (columns[0], columns[4]) = (Name, Word);
    let mut rows = String::new();
    for (verb, op) in &result.operations {
        let first = [
            verb.clone(),
            count(op.count),
            short(op.rate),
            count(op.failed()),
        ];
        let [intended, service] = [&op.intended, &op.service].map(latencies);
        let cells = first
            .into_iter()
            .chain(["intended start".to_owned()])
            .chain(intended);
        rows += &row(" class=\"second\"", &columns, cells);
        let blank = std::iter::repeat_n(String::new(), 4);
        rows += &row(
            " class=\"real\"",
            &columns,
            blank.chain(["real start".to_owned()]).chain(service),
        );
    }
    let below = failures(result)
        .map(|line| ("Failed", line))
        .chain(mismatches(result).map(|line| ("Mismatches of", line)))
        .chain(attempts(result).map(|line| ("Attempts of", line)));
    let below = below
        .map(|(what, line)| format!("<p class=\"soft\">{what} {}.</p>\n", escaped(&line)))
        .collect::<String>();
    section("Operations", &(table(&names, &columns, &rows) + &below))
}

fn latencies(of: &Percentiles) -> [String; 7] {
    let Percentiles {
        min,
        mean,
        p50,
        p90,
        p99,
        p999,
        max,
        ..
    } = *of;
    let [min, p50, p90, p99, p999, max] = [min, p50, p90, p99, p999, max].map(|us| us as f64);
    [min, mean, p50, p90, p99, p999, max].map(micros)
}

pub(super) fn faults(faults: &[FaultNote]) -> String {
    if faults.is_empty() {
        return String::new();
    }
    let columns = [Name, Number, Text, Number, Number];
    let names = [
        "",
        "at, s",
        "what was done",
        "recovered after, s",
        "operations failed until then",
    ];
    let rows = faults.iter().enumerate().map(|(index, fault)| {
        let recovered = fault.recovered_after.map(|seconds| trimmed(seconds, 2));
        let cells = [
            (index + 1).to_string(),
            trimmed(fault.at, 2),
            fault.what.clone(),
            recovered.unwrap_or_else(|| "did not recover".to_owned()),
            count(fault.failed),
        ];
        row("", &columns, cells)
    });
    section(
        "Faults",
        &table(&names, &columns, &rows.collect::<String>()),
    )
}

/// The time between the faults, by verb.
pub(super) fn phases(phases: &[PhaseNote]) -> String {
    if phases.is_empty() {
        return String::new();
    }
    let columns = [Text, Name, Number, Number, Number, Number, Number, Text];
    let names = [
        "phase",
        "operation",
        "succeeded",
        "failed",
        "p50",
        "p99",
        "p99.9",
        "what the client did",
    ];
    let mut rows = String::new();
    for phase in phases {
        let (from, to) = (trimmed(phase.from, 1), trimmed(phase.to, 1));
        let mut first = [
            format!("{from} to {to} s, {}", phase.what),
            phase
                .health
                .as_ref()
                .map(health_summary)
                .unwrap_or_default(),
        ];
        for (verb, op) in &phase.operations {
            let Percentiles { p50, p99, p999, .. } = op.intended;
            let [p50, p99, p999] = [p50, p99, p999].map(|us| micros(us as f64));
            let [what, health] = core::mem::take(&mut first);
            let (done, failed) = (count(op.count), count(op.failed));
            let cells = [what, verb.clone(), done, failed, p50, p99, p999, health];
            rows += &row("", &columns, cells);
        }
    }
    section("Between the faults", &table(&names, &columns, &rows))
}

/// Memory, processor time and verification.
pub(super) fn costs(result: &RunResult) -> String {
    let mut pairs = Vec::new();
    if let Some(cpu) = &result.cpu {
        let us = |us: f64| format!("{} µs per operation", trimmed(us, 2));
        let mib = |mib: f64| format!("at most {} MiB", trimmed(mib, 1));
        pairs.push(("client, processor".to_owned(), us(cpu.client_us_per_op)));
        pairs.push((
            "servers together, processor".to_owned(),
            us(cpu.servers_us_per_op),
        ));
        pairs.push(("client, memory".to_owned(), mib(cpu.client_rss_mib)));
        for (index, each) in cpu.servers_rss_mib.iter().enumerate() {
            pairs.push((format!("server {}, memory", index + 1), mib(*each)));
        }
    }
    if let Some(note) = &result.health {
        pairs.push(("client, health of nodes".to_owned(), health_summary(note)));
    }
    if let Some(note) = &result.verify {
        pairs.push(("read back after the run".to_owned(), verification(note)));
    }
    named_pairs("Costs and verification", pairs)
}

pub(super) fn settings(result: &RunResult) -> String {
    let settings = result.settings.iter();
    named_pairs(
        "Settings",
        settings
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

fn named_pairs(heading: &str, pairs: Vec<(String, String)>) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let rows = pairs
        .into_iter()
        .map(|(name, value)| row("", &[Name, Text], [name, value]));
    let rows = rows.collect::<String>();
    section(
        heading,
        &format!(
            "<div class=\"wide\"><table class=\"pairs\">\n<tbody>\n{rows}</tbody>\n</table></div>\n"
        ),
    )
}

/// The figures behind the plots over time, folded away.
pub(super) fn timeline(points: &[Point]) -> String {
    if points.is_empty() {
        return String::new();
    }
    let columns = [Number; 6];
    let names = ["until, s", "ops/s", "failed/s", "p50", "p99", "max"];
    let rows = points.iter().map(|point| {
        let until = trimmed(point.at + point.length / 2.0, 2);
        let latencies = point.latencies.map_or_else(
            || std::array::from_fn(|_| "–".to_owned()),
            |latencies: [f64; 3]| latencies.map(micros),
        );
        let rates = [until, short(point.rate), short(point.errors)];
        row("", &columns, rates.into_iter().chain(latencies))
    });
    let table = table(&names, &columns, &rows.collect::<String>());
    let summary = "<summary>The time line as a table</summary>";
    format!("<details>\n{summary}\n{table}</details>\n")
}

fn table(names: &[&str], columns: &[Column], rows: &str) -> String {
    let heads = names.iter().zip(columns).map(|(name, column)| {
        let class = if matches!(column, Number) {
            " class=\"n\""
        } else {
            ""
        };
        format!("<th scope=\"col\"{class}>{}</th>", escaped(name))
    });
    let heads = heads.collect::<String>();
    format!(
        "<div class=\"wide\"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

fn row(attributes: &str, columns: &[Column], cells: impl IntoIterator<Item = String>) -> String {
    let cells = cells.into_iter().zip(columns).map(|(cell, column)| {
        let cell = escaped(&cell);
        match column {
            Name => format!("<th scope=\"row\">{cell}</th>"),
            Number => format!("<td class=\"n\">{cell}</td>"),
            Word => format!("<td class=\"word\">{cell}</td>"),
            Text => format!("<td class=\"any\">{cell}</td>"),
        }
    });
    format!("<tr{attributes}>{}</tr>\n", cells.collect::<String>())
}
