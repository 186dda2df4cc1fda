//! The summary on the terminal: at most 80 columns.
//!
//! ```text
//! operation      count   ops/s failed latency      p50     p99   p99.9     max
//! get           41,152   4,115      0 intended  420 µs 1.20 ms 3.40 ms 12.3 ms
//!                                     service   400 µs ...
//! ```
//!
//! *Intended* counts from when an operation should have begun, so it is the line to judge a store by; the
//! *service* line below it shows how much of that was waiting for a turn. Left out: colours, so that the
//! text can be pasted anywhere.

mod conditional;

pub(super) use self::conditional::{attempts, mismatches};
use super::units::{count, micros, moment, plural, rate, short, trimmed};
use crate::result::{
    CpuNote, FaultNote, HealthNote, OpResult, Percentiles, PhaseNote, RunResult, VerifyNote,
};

/// Columns of a common terminal.
const WIDTH: usize = 80;
/// Columns of a verb; longer ones are cut.
const VERB: usize = 14;
/// Columns of the names of what stands below the table.
const NAME: usize = 10;

/// The summary of a run, lines of at most 80 columns, a line end last.
pub(crate) fn text(result: &RunResult) -> String {
    let mut lines = heading(result);
    lines.push(String::new());
    lines.extend(table(result));
    lines.push(String::new());
    lines.extend(failures(result).flat_map(|line| named("failed", &line)));
    lines.extend(mismatches(result).flat_map(|line| named("mismatches", &line)));
    lines.extend(attempts(result).flat_map(|line| named("attempts", &line)));
    lines.extend(result.cpu.iter().flat_map(costs));
    lines.extend(result.health.iter().flat_map(health));
    lines.extend(result.faults.iter().flat_map(fault));
    lines.extend(result.phases.iter().flat_map(phase));
    lines.extend(result.verify.iter().flat_map(verified));
    if !result.verdicts.is_empty() {
        lines.push(String::new());
    }
    let verdicts = result.verdicts.iter();
    lines.extend(verdicts.flat_map(|verdict| wrapped("! ", verdict, WIDTH)));
    let mut text = lines.join("\n");
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn heading(result: &RunResult) -> Vec<String> {
    let pace = match result.offered {
        Some(offered) => format!("open loop, {} offered", rate(offered)),
        None => "closed loop".to_owned(),
    };
    let seconds = trimmed(result.seconds, 1);
    let began = moment(result.started_unix_ms);
    let mut lines = wrapped(
        "",
        &format!("{}: {}", result.target, result.workload),
        WIDTH,
    );
    lines.extend(wrapped(
        "",
        &format!("{seconds} s from {began}, {pace}"),
        WIDTH,
    ));
    lines
}

fn table(result: &RunResult) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<VERB$} {:>9} {:>7} {:>6} {:<8} {:>7} {:>7} {:>7} {:>7}",
        "operation", "count", "ops/s", "failed", "latency", "p50", "p99", "p99.9", "max"
    )];
    for (verb, op) in &result.operations {
        let what = figures(verb, op.count, op.rate, op.failed());
        lines.push(format!("{what} intended {}", latencies(&op.intended)));
        lines.push(format!("{:39} service  {}", "", latencies(&op.service)));
    }
    if result.operations.len() > 1 {
        let ops = || result.operations.values();
        let done = ops().map(|op| op.count).sum();
        let failed = ops().map(OpResult::failed).sum();
        lines.push(figures("all", done, ops().map(|op| op.rate).sum(), failed));
    }
    lines
}

/// A verb's name, successes, rate and failures.
fn figures(verb: &str, done: u64, rate: f64, failed: u64) -> String {
    let verb = cut(verb, VERB);
    let (done, rate, failed) = (fit(done, 9), short(rate), fit(failed, 6));
    format!("{verb:<VERB$} {done:>9} {rate:>7} {failed:>6}")
}

fn latencies(of: &Percentiles) -> String {
    let columns = [of.p50, of.p99, of.p999, of.max].map(|us| format!("{:>7}", micros(us as f64)));
    columns.join(" ")
}

/// What failed, a line for each verb: every kind with its number.
pub(super) fn failures(result: &RunResult) -> impl Iterator<Item = String> {
    let failing = result
        .operations
        .iter()
        .filter(|(_, op)| !op.errors.is_empty());
    failing.map(|(verb, op)| {
        let kinds = op.errors.iter().map(|(kind, number)| {
            let after = op.failed_after.get(kind).map(failed_after);
            format!("{kind} {}{}", count(*number), after.unwrap_or_default())
        });
        format!("{verb}: {}", kinds.collect::<Vec<_>>().join(", "))
    })
}

/// How long failures of one kind took.
fn failed_after(of: &Percentiles) -> String {
    let [p50, p99] = [of.p50, of.p99].map(|us| micros(us as f64));
    format!(" (after {p50}, p99 {p99})")
}

fn health(note: &HealthNote) -> Vec<String> {
    named("health", &health_summary(note))
}

/// What a client did about its nodes, in a line.
pub(super) fn health_summary(note: &HealthNote) -> String {
    let HealthNote {
        hedges,
        won,
        refused,
        ejections,
        probes,
    } = *note;
    let hedges = match hedges {
        0 => "no hedges".to_owned(),
        _ => format!("{} ({} won)", plural(hedges, "hedge", "hedges"), count(won)),
    };
    let refused = count(refused);
    let ejections = plural(ejections, "ejection", "ejections");
    let probes = plural(probes, "probe", "probes");
    format!("{hedges}, {refused} refused, {ejections}, {probes}")
}

/// What a phase was like: each verb, then what the client did.
fn phase(note: &PhaseNote) -> Vec<String> {
    let (from, to) = (trimmed(note.from, 1), trimmed(note.to, 1));
    let mut lines = named("phase", &format!("{from} to {to} s, {}", note.what));
    for (verb, op) in &note.operations {
        let Percentiles { p50, p99, p999, .. } = op.intended;
        let [p50, p99, p999] = [p50, p99, p999].map(|us| micros(us as f64));
        let (done, failed) = (count(op.count), count(op.failed));
        let figures =
            format!("{verb}: {done}, {failed} failed, p50 {p50}, p99 {p99}, p99.9 {p999}");
        lines.extend(wrapped(&" ".repeat(NAME + 1), &figures, WIDTH));
    }
    let health = note.health.iter();
    lines.extend(
        health.flat_map(|note| wrapped(&" ".repeat(NAME + 1), &health_summary(note), WIDTH)),
    );
    lines
}

fn costs(cpu: &CpuNote) -> Vec<String> {
    let (client, servers) = (cpu.client_us_per_op, cpu.servers_us_per_op);
    let together = trimmed(client + servers, 1);
    let (client, servers) = (trimmed(client, 1), trimmed(servers, 1));
    let time = format!("{together} µs per operation: client {client}, servers {servers}");
    let each = cpu
        .servers_rss_mib
        .iter()
        .map(|mib| trimmed(*mib, 0))
        .collect::<Vec<_>>();
    let mut memory = format!(
        "at most {} MiB in the client",
        trimmed(cpu.client_rss_mib, 0)
    );
    if !each.is_empty() {
        memory += &format!(", {} MiB in the servers", each.join(", "));
    }
    [named("processor", &time), named("memory", &memory)].concat()
}

fn fault(note: &FaultNote) -> Vec<String> {
    let recovered = match note.recovered_after {
        Some(seconds) => format!("recovered after {} s", trimmed(seconds, 1)),
        None => "did not recover".to_owned(),
    };
    let (at, failed) = (
        trimmed(note.at, 1),
        plural(note.failed, "operation", "operations"),
    );
    named(
        "fault",
        &format!("at {at} s {}: {failed} failed, {recovered}", note.what),
    )
}

fn verified(note: &VerifyNote) -> Vec<String> {
    named("verified", &verification(note))
}

/// What reading everything back showed, in a line.
pub(super) fn verification(note: &VerifyNote) -> String {
    let VerifyNote {
        checked,
        lost,
        resurrected,
        wrong,
        unknown,
    } = *note;
    let bad = [
        (lost, "lost"),
        (resurrected, "resurrected"),
        (wrong, "wrong"),
        (unknown, "unread"),
    ];
    let bad = bad.map(|(number, what)| format!("{} {what}", count(number)));
    format!("{}: {}", plural(checked, "key", "keys"), bad.join(", "))
}

fn named(name: &str, what: &str) -> Vec<String> {
    wrapped(&format!("{name:<NAME$} "), what, WIDTH)
}

/// `text` in lines of at most `width` columns, `first` before the first and its width before the others.
/// A word that is too long for a line is cut.
pub(crate) fn wrapped(first: &str, text: &str, width: usize) -> Vec<String> {
    let indent = first.chars().count();
    let room = width.saturating_sub(indent).max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let word = cut(word, room);
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += &word;
    }
    lines.push(line);
    let before = |index| {
        if index == 0 {
            first.to_owned()
        } else {
            " ".repeat(indent)
        }
    };
    let lines = lines.into_iter().enumerate();
    lines.map(|(index, line)| before(index) + &line).collect()
}

/// At most so many characters, the last an ellipsis if there were more.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept = text.chars().take(width.saturating_sub(1));
    kept.chain(['…']).collect()
}

fn fit(number: u64, width: usize) -> String {
    let exact = count(number);
    if exact.len() <= width {
        exact
    } else {
        short(number as f64)
    }
}

#[cfg(test)]
mod tests;
