//! Markdown of the comparison: every run, then the goals.
//!
//! A median stands with the range of its rounds behind it, the range left out where there was one round.
//! Errors are counted below the table, since no figure of a run that had some may be read without them.

use std::fmt::Write as _;

use super::{Plan, Run, Samples, Spread};

/// Both tables.
pub(super) fn markdown(plan: &Plan, samples: &Samples) -> String {
    let mut text = String::from(
        "\n| what | system | ops/s | p50 µs | p99 µs | processor µs/op, client + servers | quoit does |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let mut row = "";
    for run in &plan.runs {
        let title = if run.row == row { "" } else { &run.title };
        row = &run.row;
        text.push_str(&line(plan, samples, run, title));
    }
    text.push_str(&failures(plan, samples));
    text.push_str(&goals(plan, samples));
    text
}

fn line(plan: &Plan, samples: &Samples, run: &Run, title: &str) -> String {
    let (row, system) = (run.row.as_str(), run.system.as_str());
    let name = samples.rounds(row, system).last();
    let name = name.map_or(system, |(_, sample)| &sample.target);
    let whole = |figure: f64| format!("{figure:.0}");
    let rate = samples.spread(row, system, |sample| sample.rate);
    let rate = rate.map_or_else(dash, |rate| rate.show(whole, ""));
    let median = |figure: Option<Spread>| figure.map_or_else(dash, |figure| whole(figure.median));
    let p50 = median(samples.spread(row, system, |sample| sample.p50));
    let p99 = median(samples.spread(row, system, |sample| sample.p99));
    let cpu = cpu(samples, row, system);
    let first = plan.first(row).unwrap_or(system);
    let ratio = match samples.ratio((row, first), (row, system), |sample| sample.rate) {
        _ if first == system => String::new(),
        Some(ratio) => ratio.times(),
        None => dash(),
    };
    format!("| {title} | {name} | {rate} | {p50} | {p99} | {cpu} | {ratio} |\n")
}

fn cpu(samples: &Samples, row: &str, system: &str) -> String {
    let part = |pick: fn((f64, f64)) -> f64| {
        let figures = samples
            .rounds(row, system)
            .filter_map(|(_, sample)| sample.cpu);
        Spread::of(figures.map(pick).collect())
    };
    match (part(|(client, _)| client), part(|(_, servers)| servers)) {
        (Some(client), Some(servers)) => format!("{:.1} + {:.1}", client.median, servers.median),
        _ => dash(),
    }
}

fn failures(plan: &Plan, samples: &Samples) -> String {
    let mut text = String::new();
    for run in &plan.runs {
        let rounds = samples.rounds(&run.row, &run.system);
        let failed: u64 = rounds.map(|(_, sample)| sample.failed).sum();
        if failed > 0 {
            let row = format!("{}: {}", run.title, run.system);
            writeln!(text, "- {row}: {failed} operations failed").unwrap_or_default();
        }
    }
    if text.is_empty() {
        text
    } else {
        format!("\n{text}")
    }
}

fn goals(plan: &Plan, samples: &Samples) -> String {
    let mut text = String::new();
    for (goal, rule) in &plan.goals {
        if let Some(verdict) = rule.judge(plan, samples) {
            let met = if verdict.met { "yes" } else { "**no**" };
            writeln!(text, "| {goal} | {} | {met} |", verdict.measured).unwrap_or_default();
        }
    }
    if text.is_empty() {
        return text;
    }
    format!("\n| goal | measured | met |\n| --- | ---: | --- |\n{text}")
}

fn dash() -> String {
    "–".to_owned()
}

impl Spread {
    /// `12 ms (10–15)`
    pub(super) fn show(&self, number: impl Fn(f64) -> String, unit: &str) -> String {
        let (least, most) = (number(self.least), number(self.most));
        let median = number(self.median);
        if least == most {
            format!("{median}{unit}")
        } else {
            format!("{median}{unit} ({least}–{most})")
        }
    }

    /// `1.25 × (1.20–1.31)`
    pub(super) fn times(&self) -> String {
        self.show(|ratio| format!("{ratio:.2}"), " ×")
    }
}
