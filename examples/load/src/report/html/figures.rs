//! The tiles and the plots with their legends.
//!
//! ```text
//!   +-----------+ +-----------+        +- Latency over time ------+
//!   | ops/s     | | p99       |        |  -- p50  -- p99  .. max  |  legend: HTML, so that it wraps
//!   | 41,152    | | 1.20 ms   |        |  [svg]                   |
//!   +-----------+ +-----------+        +--------------------------+
//! ```
//!
//! The percentiles of the tiles are those of all verbs together, from the joined histograms, since
//! percentiles themselves cannot be joined.

use super::{Spreads, section};
use crate::report::plot::distribution::{self, colour};
use crate::report::plot::{escaped, points::Point, time};
use crate::report::units::{count, micros, short, trimmed};
use crate::result::{CpuNote, RunResult};

pub(super) fn tiles(result: &RunResult, spreads: &Spreads) -> String {
    let rate: f64 = result.operations.values().map(|op| op.rate).sum();
    let done = result
        .operations
        .values()
        .map(|op| op.count)
        .fold(0, u64::saturating_add);
    let offered = result
        .offered
        .map(|offered| format!("of {} offered", short(offered)));
    let mut tiles = tile(
        "throughput, ops/s",
        &short(rate),
        &offered.unwrap_or_default(),
    );
    if let Some(all) = &spreads.all {
        for (name, level) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let service = micros(all.service.value(level));
            let more = match result.offered {
                Some(_) => format!("from intended start; service {service}"),
                None => "from start to answer".to_owned(),
            };
            // a unit stays beside its number
            let more = more.replace(" µs", "\u{a0}µs").replace(" ms", "\u{a0}ms");
            let intended = micros(all.intended.value(level));
            tiles += &tile(&format!("latency, {name}"), &intended, &more);
        }
    }
    let errors = result.operations.values().flat_map(|op| op.errors.values());
    let failed = errors.fold(0, |sum: u64, errors| sum.saturating_add(*errors));
    tiles += &tile(
        "failed",
        &count(failed),
        &format!("{} succeeded", count(done)),
    );
    tiles += &result.cpu.as_ref().map(cpu).unwrap_or_default();
    format!("<dl class=\"tiles\">\n{tiles}</dl>\n")
}

fn cpu(note: &CpuNote) -> String {
    let (client, servers) = (note.client_us_per_op, note.servers_us_per_op);
    let parts = format!(
        "client {}, servers {}",
        trimmed(client, 1),
        trimmed(servers, 1)
    );
    let together = format!("{} µs", trimmed(client + servers, 1));
    tile("CPU per operation", &together, &parts)
}

fn tile(name: &str, figure: &str, more: &str) -> String {
    let [name, figure, more] = [name, figure, more].map(escaped);
    format!(
        "<div class=\"tile\"><dt>{name}</dt><dd>{figure}<div class=\"soft\">{more}</div></dd></div>\n"
    )
}

pub(super) fn plots(result: &RunResult, points: &[Point], spreads: &Spreads) -> String {
    let mut plots = String::new();
    if !points.is_empty() {
        let most = points.iter().map(|point| point.length).fold(0.0, f64::max);
        let each = format!(
            "Latency over time, from intended start, each {} s",
            trimmed(most, 1)
        );
        let legend = legend(&[
            ("line p50", "p50"),
            ("line p99", "p99"),
            ("line max", "max"),
        ]);
        plots += &figure(&each, &legend, &time::latency(result, points));
        let mut lines = vec![("line p50", "succeeded")];
        lines.extend(result.offered.map(|_| ("line offered", "offered")));
        lines.push(("bar", "failed"));
        let picture = time::throughput(result, points);
        plots += &figure(
            "Throughput and failures over time",
            &self::legend(&lines),
            &picture,
        );
    }
    if !spreads.verbs.is_empty() {
        let picture = distribution::percentiles(&spreads.verbs);
        plots += &figure("Latency by percentile", &verbs(spreads), &picture);
    }
    if let Some(all) = &spreads.all {
        let entries = [
            ("bin", "from intended start"),
            ("line service c2", "service"),
        ];
        let picture = distribution::histogram(all);
        plots += &figure("Histogram, all operations", &legend(&entries), &picture);
    }
    let mut body = format!("<div class=\"plots\">\n{plots}</div>\n");
    if !spreads.unreadable.is_empty() {
        let verbs = escaped(&spreads.unreadable.join(", "));
        body +=
            &format!("<p class=\"soft\">Histograms that cannot be read, left out: {verbs}.</p>\n");
    }
    section("Plots", &body)
}

fn verbs(spreads: &Spreads) -> String {
    let classes = (0..spreads.verbs.len()).map(|index| format!("line {}", colour(index)));
    let classes: Vec<_> = classes.collect();
    let verbs = spreads.verbs.iter().map(|spread| spread.verb.as_str());
    let mut entries: Vec<_> = classes.iter().map(String::as_str).zip(verbs).collect();
    entries.push(("line service axis", "dashed: service"));
    legend(&entries)
}

/// Samples of lines and areas with what they are.
fn legend(entries: &[(&str, &str)]) -> String {
    let sample = |class: &str| match class {
        "bar" | "bin" => format!("<rect class=\"{class}\" x=\"2\" width=\"22\" height=\"10\"/>"),
        _ => format!("<path class=\"{class}\" d=\"M1 5H25\"/>"),
    };
    let items = entries.iter().map(|(class, what)| {
        let (sample, what) = (sample(class), escaped(what));
        format!("<li><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\">{sample}</svg>{what}</li>\n")
    });
    format!(
        "<ul class=\"legend\">\n{}</ul>\n",
        items.collect::<String>()
    )
}

fn figure(caption: &str, legend: &str, svg: &str) -> String {
    let caption = escaped(caption);
    format!("<figure>\n<figcaption>{caption}</figcaption>\n{legend}{svg}</figure>\n")
}
