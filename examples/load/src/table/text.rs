//! Markdown of the comparison: every run, then the goals.
//!
//! A median stands with the range of its rounds behind it, the range left out where there was one round.
//! Errors, mismatches and attempts are counted below the table, since no figure of a run that had some may be read
//! without them.

use std::fmt::Write as _;

use super::{Plan, Row, Spread, System};

/// Both tables.
pub(super) fn markdown(plan: &Plan) -> String {
    let mut text = String::from(
        "\n| what | system | ops/s | p50 µs | p99 µs | processor µs/op, client + servers | quoit does |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in &plan.rows {
        let mut title = row.title.as_str();
        for system in &row.systems {
            text.push_str(&line(title, row, system));
            title = "";
        }
    }
    text.push_str(&below(plan));
    text.push_str(&goals(plan));
    text
}

fn line(title: &str, row: &Row, system: &System) -> String {
    let target = system.rounds.values().last();
    let target = target.map_or(&system.name, |sample| &sample.target);
    let whole = |figure: f64| format!("{figure:.0}");
    let rate = system.spread(|sample| sample.rate);
    let rate = rate.map_or_else(dash, |rate| rate.show(whole, ""));
    let median = |figure: Option<Spread>| figure.map_or_else(dash, |figure| whole(figure.median));
    let p50 = median(system.spread(|sample| sample.p50));
    let p99 = median(system.spread(|sample| sample.p99));
    let cpu = cpu(system);
    let first = row
        .systems
        .first()
        .filter(|first| first.name != system.name);
    let ratio = first.map_or_else(String::new, |first| {
        let ratio = first.ratio(system, |sample| sample.rate);
        ratio.map_or_else(dash, Spread::times)
    });
    format!("| {title} | {target} | {rate} | {p50} | {p99} | {cpu} | {ratio} |\n")
}

fn cpu(system: &System) -> String {
    let part = |pick: fn((f64, f64)) -> f64| {
        let figures = system.rounds.values().filter_map(|sample| sample.cpu);
        Spread::of(figures.map(pick).collect())
    };
    match (part(|(client, _)| client), part(|(_, servers)| servers)) {
        (Some(client), Some(servers)) => format!("{:.1} + {:.1}", client.median, servers.median),
        _ => dash(),
    }
}

fn below(plan: &Plan) -> String {
    let mut text = String::new();
    for row in &plan.rows {
        for system in &row.systems {
            for note in notes(system) {
                let what = format!("{}: {}", row.title, system.name);
                writeln!(text, "- {what}: {note}").unwrap_or_default();
            }
        }
    }
    if text.is_empty() {
        text
    } else {
        format!("\n{text}")
    }
}

/// What the figures of a system must not be read without.
fn notes(system: &System) -> Vec<String> {
    let rounds = || system.rounds.values();
    let mut notes = Vec::new();
    let failed: u64 = rounds().map(|sample| sample.failed).sum();
    if failed > 0 {
        notes.push(format!("{failed} operations failed"));
    }
    let applied: u64 = rounds().map(|sample| sample.answers.0).sum();
    let found: u64 = rounds().map(|sample| sample.answers.1).sum();
    if found > 0 {
        #[expect(clippy::cast_precision_loss, reason = "counts lie far below 2^53")]
        let percent = 100.0 * found as f64 / (applied + found) as f64;
        notes.push(format!(
            "{percent:.1} % of the answers were mismatches, which are not in the rate"
        ));
    }
    if let (Some(p99), Some(longest)) = (system.attempts(), system.spread(|sample| sample.longest))
    {
        let most = rounds().filter_map(|sample| sample.attempts);
        let most = most.map(|attempts| attempts.max).max().unwrap_or(0);
        let longest = longest.most / 1000.0;
        notes.push(format!(
            "attempts p99 {:.0}, at most {most}; longest wait {longest:.1} ms",
            p99.median
        ));
    }
    notes
}

fn goals(plan: &Plan) -> String {
    let mut text = String::new();
    for (goal, rule) in &plan.goals {
        if let Some(verdict) = rule.judge(plan) {
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
    pub(super) fn times(self) -> String {
        self.show(|ratio| format!("{ratio:.2}"), " ×")
    }
}
