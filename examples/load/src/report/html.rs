//! The report for the browser: one file that needs no other, and no script.
//!
//! ```text
//!   heading     what was run on what, when, at which pace
//!   verdicts    what the figures must not be read without, before any figure
//!   tiles       the six figures that everyone asks for
//!   operations  the table by verb        plots  over time, percentiles, histogram
//!   faults, verification, settings, and the time line as a table
//! ```
//!
//! The page follows the reader's preference for light or dark, fits a phone, and prints light. Whatever stands
//! in the result is escaped. A result whose histograms cannot be read has a report without the plots that need
//! them, and says so. Left out: comparing results, and anything that can be clicked but the time line.

mod figures;
mod tables;

use super::plot::distribution::Spread;
use super::plot::{escaped, points};
use super::units::{moment, rate, trimmed};
use crate::hlog::{HlogError, curve::Curve, decode};
use crate::result::{OpResult, RunResult};

const STYLE: &str = include_str!("html/page.css");

/// The report of a run, a whole HTML document.
pub(crate) fn html(result: &RunResult) -> String {
    let spreads = Spreads::of(result);
    let points = points::points(result);
    let title = escaped(&format!("{} on {}", result.workload, result.target));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} · quoit-load</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    let parts = [
        heading(result, &title),
        verdicts(&result.verdicts),
        figures::tiles(result, &spreads),
        tables::operations(result),
        figures::plots(result, &points, &spreads),
        tables::faults(&result.faults),
        tables::phases(&result.phases),
        format!(
            "<div class=\"columns\">\n{}{}</div>\n",
            tables::costs(result),
            tables::settings(result)
        ),
        tables::timeline(&points),
    ];
    page.extend(parts);
    page.push_str(FOOTER);
    page
}

const FOOTER: &str = "<footer>Intended latency counts from the moment an operation should have begun, service \
    latency from the moment it did. A store that stalls makes later operations begin late: only the intended \
    latency shows that. Failed operations are in no latency.</footer>\n</body>\n</html>\n";

/// The distributions of a run's latencies.
#[derive(Debug)]
struct Spreads {
    verbs: Vec<Spread>,
    /// All verbs together.
    all: Option<Spread>,
    /// Verbs whose histograms cannot be read.
    unreadable: Vec<String>,
}

impl Spreads {
    fn of(result: &RunResult) -> Self {
        let mut spreads = Self {
            verbs: Vec::new(),
            all: None,
            unreadable: Vec::new(),
        };
        let mut sums = [None, None];
        for (verb, op) in result.operations.iter().filter(|(_, op)| op.count > 0) {
            match spread(verb, op, &mut sums) {
                Ok(Some(spread)) => spreads.verbs.push(spread),
                Ok(None) => {}
                Err(_) => spreads.unreadable.push(verb.clone()),
            }
        }
        let [intended, service] = sums.map(|sum| sum.as_ref().and_then(Curve::new));
        let named = |(intended, service)| Spread {
            verb: "all".to_owned(),
            intended,
            service,
        };
        spreads.all = intended.zip(service).map(named);
        spreads
    }
}

type Sum = Option<hdrhistogram::Histogram<u64>>;

/// A verb's distributions, which are added to the sums; `None` if nothing was measured.
fn spread(verb: &str, op: &OpResult, sums: &mut [Sum; 2]) -> Result<Option<Spread>, HlogError> {
    let both = [decode(&op.intended_hlog)?, decode(&op.service_hlog)?];
    let [intended, service] = both.each_ref().map(Curve::new);
    for (sum, one) in sums.iter_mut().zip(both) {
        match sum {
            None => *sum = Some(one),
            Some(sum) => {
                sum.auto(true);
                sum.add(one)
                    .map_err(|error| HlogError::Unwritable(error.to_string()))?;
            }
        }
    }
    let named = |(intended, service)| Spread {
        verb: verb.to_owned(),
        intended,
        service,
    };
    Ok(intended.zip(service).map(named))
}

fn heading(result: &RunResult, title: &str) -> String {
    let pace = match result.offered {
        Some(offered) => format!("open loop, {} offered", rate(offered)),
        None => "closed loop, which waits for the store: latencies are kinder than an open loop's"
            .to_owned(),
    };
    format!(
        "<header>\n<p class=\"eyebrow\">quoit-load</p>\n<h1>{title}</h1>\n\
         <p class=\"soft\">{} s measured from {}, warm-up left out · {pace}</p>\n</header>\n",
        trimmed(result.seconds, 1),
        moment(result.started_unix_ms),
    )
}

fn verdicts(verdicts: &[String]) -> String {
    if verdicts.is_empty() {
        return String::new();
    }
    let items = verdicts
        .iter()
        .map(|verdict| format!("<li>{}</li>\n", escaped(verdict)));
    format!(
        "<ul class=\"verdicts\">\n{}</ul>\n",
        items.collect::<String>()
    )
}

/// A section with its heading.
fn section(heading: &str, body: &str) -> String {
    format!(
        "<section>\n<h2>{}</h2>\n{body}</section>\n",
        escaped(heading)
    )
}

#[cfg(test)]
mod tests;
