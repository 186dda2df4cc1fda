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
//! The page follows the reader's preference for light or dark, fits a phone, and prints light; plots are always
//! light. The percentiles of the tiles are those of all verbs together, from the joined histograms, since
//! percentiles themselves cannot be joined. Left out: comparing results, and anything that can be clicked but
//! the time line.

mod figures;
mod tables;

use super::points::points;
use super::units::{moment, rate, trimmed};
use crate::hlog;
use crate::report::plot::Spread;
use crate::result::RunResult;
use crate::terminal::acts;

const STYLE: &str = include_str!("html/page.css");

/// The report of a run, a whole HTML document.
///
/// # Errors
/// If a histogram cannot be read.
pub(crate) fn html(result: &RunResult) -> anyhow::Result<String> {
    let spreads = spreads(result)?;
    let points = points(result);
    let title = escaped(&format!("{} on {}", result.workload, result.target));

    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} · quoit-load</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    page += &heading(result, &title);
    page += &verdicts(&result.verdicts);
    page += &figures::tiles(result, joined(&spreads)?.as_ref());
    page += &tables::operations(result);
    page += &figures::plots(result, &points, &spreads)?;
    page += &tables::faults(&result.faults);
    page += &tables::phases(&result.phases);
    page += &format!(
        "<div class=\"columns\">\n{}{}</div>\n",
        tables::costs(result),
        tables::settings(result)
    );
    page += &tables::timeline(&points);
    page += FOOTER;
    Ok(page)
}

const FOOTER: &str = "<footer>Intended latency counts from the moment an operation should have begun, service \
    latency from the moment it did. A store that stalls makes later operations begin late: only the intended \
    latency shows that. Failed operations are in no latency.</footer>\n</body>\n</html>\n";

/// The latencies of each verb that has some.
fn spreads(result: &RunResult) -> anyhow::Result<Vec<Spread>> {
    let measured = result.operations.iter().filter(|(_, op)| op.count > 0);
    let spreads = measured.map(|(verb, op)| {
        Ok(Spread {
            verb: verb.clone(),
            intended: hlog::decode(&op.intended_hlog)?,
            service: hlog::decode(&op.service_hlog)?,
        })
    });
    spreads.collect()
}

/// All verbs together; `None` if there is none.
fn joined(spreads: &[Spread]) -> anyhow::Result<Option<Spread>> {
    let Some((first, others)) = spreads.split_first() else {
        return Ok(None);
    };
    let mut all = first.clone();
    all.intended.auto(true);
    all.service.auto(true);
    for other in others {
        all.intended.add(&other.intended)?;
        all.service.add(&other.service)?;
    }
    Ok(Some(all))
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
    format!("<section>\n<h2>{heading}</h2>\n{body}</section>\n")
}

/// Text as it may stand between tags and in quotes. What a browser may not show at all is replaced.
fn escaped(text: &str) -> String {
    text.replace(|c| acts(c) && c != '\n', "\u{fffd}")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests;
