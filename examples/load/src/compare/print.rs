//! A comparison on the terminal, at most 80 columns.
//!
//! ```text
//! A  quoit, 3 nodes, fsync, TLS: ycsb-b, 3 runs, 30 s, out/before
//! B  ...
//!
//!                  A        B  B against A, 95 % interval
//! get
//!   rate      17,361   19,444  B is faster: +12 % (9..15)
//! ```

use super::{Comparison, Difference, Side};
use crate::report::units::{micros, plural, short, trimmed};
use crate::report::wrapped;

/// Columns of a common terminal.
const WIDTH: usize = 80;

/// The comparison for people, lines of at most 80 columns.
pub(crate) fn text(comparison: &Comparison) -> String {
    let mut lines = [side("A", &comparison.a), side("B", &comparison.b)].concat();
    if !comparison.differing.is_empty() {
        lines.push(String::new());
        lines.extend(wrapped(
            "",
            "Not measured alike; what differs below may come from this:",
            WIDTH,
        ));
    }
    for one in &comparison.differing {
        let line = format!("{}: {} / {}", one.setting, one.a, one.b);
        lines.extend(wrapped("  ", &line, WIDTH));
    }
    lines.push(String::new());
    lines.push(columns("", "A", "B") + "B against A, 95 % interval");
    for (verb, differences) in &comparison.operations {
        lines.extend(rows(verb, differences));
    }
    lines.extend(rows("processor time per operation", &comparison.cpu));
    lines.push(String::new());
    let notes = comparison.notes.iter();
    lines.extend(notes.flat_map(|note| wrapped("! ", note, WIDTH)));
    let text = lines.join("\n");
    format!("{}\n", text.trim_end())
}

fn side(name: &str, side: &Side) -> Vec<String> {
    let Side {
        from,
        target,
        workload,
        runs,
        seconds,
    } = side;
    let (runs, seconds) = (plural(*runs as u64, "run", "runs"), trimmed(*seconds, 1));
    let line = format!("{target}: {workload}, {runs}, {seconds} s, {from}");
    wrapped(&format!("{name}  "), &line, WIDTH)
}

/// A heading and a line for each figure.
fn rows(heading: &str, differences: &[Difference]) -> Vec<String> {
    if differences.is_empty() {
        return Vec::new();
    }
    let lines = differences.iter().flat_map(|one| {
        let shown = |figure| {
            if one.unit == "us" {
                micros(figure)
            } else {
                short(figure)
            }
        };
        let before = columns(one.figure, &shown(one.a), &shown(one.b));
        wrapped(&before, &one.sentence, WIDTH)
    });
    wrapped("", heading, WIDTH)
        .into_iter()
        .chain(lines)
        .collect()
}

/// The columns before the sentence.
fn columns(figure: &str, a: &str, b: &str) -> String {
    format!("  {figure:<8} {a:>8} {b:>8}  ")
}
