//! The tiles and the plots with their legends.
//!
//! ```text
//!   +-----------+ +-----------+        +- Latency over time ------+
//!   | ops/s     | | p99       |        |  -- p50  -- p99  .. max  |  legend: HTML, so that it wraps
//!   | 41,152    | | 1.20 ms   |        |  [svg]                   |
//!   +-----------+ +-----------+        +--------------------------+
//! ```

use plotters::style::RGBColor;

use super::{escaped, joined, section};
use crate::report::plot::{self, Spread, colour};
use crate::report::points::Point;
use crate::report::units::{count, micros, short, trimmed};
use crate::result::{CpuNote, OpResult, RunResult};

/// The headline figures; `all` is the latencies of all verbs together.
pub(super) fn tiles(result: &RunResult, all: Option<&Spread>) -> String {
    let operations = || result.operations.values();
    let offered = result
        .offered
        .map(|offered| format!("of {} offered", short(offered)));
    let mut tiles = tile(
        "throughput, ops/s",
        &short(operations().map(|op| op.rate).sum()),
        &offered.unwrap_or_default(),
    );

    if let Some(all) = all {
        for (name, level) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let [intended, service] =
                [&all.intended, &all.service].map(|of| micros(of.value_at_quantile(level) as f64));
            let more = match result.offered {
                Some(_) => format!("from intended start; service {service}"),
                None => "from start to answer".to_owned(),
            };
            // A unit stays beside its number.
            let more = more.replace(" µs", "\u{a0}µs").replace(" ms", "\u{a0}ms");
            tiles += &tile(&format!("latency, {name}"), &intended, &more);
        }
    }

    let failed = operations().map(OpResult::failed).sum();
    let done = count(operations().map(|op| op.count).sum());
    tiles += &tile("failed", &count(failed), &format!("{done} succeeded"));
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

/// What a plot's legend shows: a colour, and what it stands for.
type Entry<'a> = (RGBColor, &'a str);

/// The four plots, as far as there is something to draw.
pub(super) fn plots(
    result: &RunResult,
    points: &[Point],
    spreads: &[Spread],
) -> anyhow::Result<String> {
    let mut plots = String::new();
    if !points.is_empty() {
        let each = points.iter().map(|point| point.length).fold(0.0, f64::max);
        let caption = format!(
            "Latency over time, from intended start, each {} s",
            trimmed(each, 1)
        );
        let entries = [(plot::P50, "p50"), (plot::P99, "p99"), (plot::MAX, "max")];
        plots += &figure(&caption, &entries, &plot::latency(result, points)?);

        let mut entries = vec![(plot::P50, "succeeded"), (plot::FAULT, "failed")];
        entries.extend(result.offered.map(|_| (plot::OFFERED, "offered (dashed)")));
        let picture = plot::throughput(result, points)?;
        plots += &figure("Throughput and failures over time", &entries, &picture);
    }

    if let Some(all) = joined(spreads)? {
        let verbs = spreads.iter().enumerate();
        let mut entries: Vec<Entry<'_>> = verbs
            .map(|(index, spread)| (colour(index), spread.verb.as_str()))
            .collect();
        entries.push((plot::OFFERED, "dashed: service"));
        let picture = plot::percentiles(spreads)?;
        plots += &figure("Latency by percentile", &entries, &picture);

        let entries = [
            (plot::P50, "from intended start"),
            (plot::P99, "service (dashed)"),
        ];
        let picture = plot::histogram(&all)?;
        plots += &figure("Histogram, all operations", &entries, &picture);
    }
    let plots = format!("<div class=\"plots\">\n{plots}</div>\n");
    Ok(section("Plots", &plots))
}

/// A picture with its caption, which a screen reader says too, and its legend.
fn figure(caption: &str, legend: &[Entry<'_>], svg: &str) -> String {
    let entry = |(colour, what): &Entry<'_>| {
        let RGBColor(red, green, blue) = colour;
        let what = escaped(what);
        format!("<li><i style=\"background:rgb({red},{green},{blue})\"></i>{what}</li>\n")
    };
    let legend = legend.iter().map(entry).collect::<String>();
    format!(
        "<figure>\n<figcaption>{caption}</figcaption>\n<ul class=\"legend\">\n{legend}</ul>\n\
         <div role=\"img\" aria-label=\"{caption}\">\n{svg}</div>\n</figure>\n"
    )
}
