//! The table, and the one place that prints.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints its figures"
)]

use std::time::Duration;

use crate::load::{Figures, Shape};

/// Prints what is above the rows.
pub(crate) fn header(pinned: bool, keys: usize) {
    let place = if pinned {
        "everything on one core"
    } else {
        "on all cores"
    };
    println!("3 nodes, N = 3, R = W = 2, {keys} keys, closed loop, {place}\n");
    println!(
        "| operation | bytes | in flight | ops/s | p50 µs | p99 µs | client µs/op | nodes µs/op | together µs/op | node MiB |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
}

/// Prints one row.
pub(crate) fn row(name: &str, shape: &Shape, figures: &Figures) {
    let per_operation = |cpu: Duration| cpu.as_secs_f64() * 1e6 / figures.operations.max(1) as f64;
    let (client, nodes) = (
        per_operation(figures.client_cpu),
        per_operation(figures.nodes_cpu),
    );
    println!(
        "| {name} | {} | {} | {:.0} | {} | {} | {client:.1} | {nodes:.1} | {:.1} | {} |",
        shape.keys.bytes,
        shape.in_flight,
        figures.operations as f64 / figures.elapsed.as_secs_f64(),
        figures.latency.value_at_quantile(0.5),
        figures.latency.value_at_quantile(0.99),
        client + nodes,
        figures.node_memory >> 20,
    );
}

/// Says why there is no table.
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
