//! One seed, two runs: they must be one and the same.
//!
//! ```text
//!   run, run         numbers equal?  -- no -->  both again with lines: the first line that differs
//! ```
//!
//! Both runs are in one thread, one after the other, so that anything a run leaves behind in it shows as well.
//! The usual leaks are the order of a hash map, a real clock, and an address or thread used as a number.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use quoit_ring::Moment;

use super::judged::{Finding, Judged, SAME_TRACE};
use crate::sim::run::{FaultFilter, Options};
use crate::sim::trace::Lines;

impl Judged {
    /// Runs `seed` twice, with all faults; a difference is a finding.
    #[must_use]
    pub fn twice(seed: u64) -> Self {
        let (mut first, second) = (
            Self::of(seed, FaultFilter::All),
            Self::of(seed, FaultFilter::All),
        );
        if first.fingerprint() != second.fingerprint() {
            first.found.push(Finding {
                invariant: SAME_TRACE,
                what: difference(&first, &second),
                timeline: differing(seed),
            });
        }

        first
    }

    fn fingerprint(&self) -> (u64, u64, u64, Moment, &[Finding]) {
        let Self {
            trace,
            events,
            operations,
            simulated,
            ..
        } = *self;
        (trace, events, operations, simulated, &self.found)
    }
}

fn difference(first: &Judged, second: &Judged) -> String {
    let numbers = |run: &Judged| format!("trace {:016x} of {} events", run.trace, run.events);
    let (first, second) = (numbers(first), numbers(second));
    format!("two runs of one seed: {first}, then {second}")
}

/// Where two further runs differ, in words.
fn differing(seed: u64) -> String {
    let (first, second) = (lines(seed), lines(seed));
    match first_difference(&first, &second) {
        Some(difference) => difference.to_string(),
        None => "two further runs had the same lines".to_owned(),
    }
}

fn lines(seed: u64) -> Vec<String> {
    let all = Rc::new(RefCell::new(Vec::new()));
    let to = Rc::clone(&all);
    let lines: Lines = Box::new(move |at, words| to.borrow_mut().push(format!("{at}  {words}")));
    let options = Options {
        lines: Some(lines),
        ..Options::default()
    };
    // Only the lines are of interest.
    drop(Judged::with(seed, options));
    all.take()
}

/// The first place in which two traces differ.
struct Difference<'a> {
    line: usize,
    before: Option<&'a String>,
    first: Option<&'a String>,
    second: Option<&'a String>,
}

fn first_difference<'a>(first: &'a [String], second: &'a [String]) -> Option<Difference<'a>> {
    let longer = first.len().max(second.len());
    let line = (0..longer).find(|&line| first.get(line) != second.get(line))?;
    Some(Difference {
        line,
        before: line.checked_sub(1).map(|before| &first[before]),
        first: first.get(line),
        second: second.get(line),
    })
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn or_end(line: Option<&String>) -> &str {
            line.map_or("(the end)", String::as_str)
        }
        if let Some(before) = self.before {
            writeln!(f, "line {:>7}  both    {before}", self.line)?;
        }

        writeln!(
            f,
            "line {:>7}  first   {}",
            self.line + 1,
            or_end(self.first)
        )?;
        write!(
            f,
            "line {:>7}  second  {}",
            self.line + 1,
            or_end(self.second)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(first: &[&str], second: &[&str]) -> Option<String> {
        let owned = |lines: &[&str]| -> Vec<String> { lines.iter().map(|&l| l.into()).collect() };
        first_difference(&owned(first), &owned(second)).map(|difference| difference.to_string())
    }

    #[test]
    fn the_first_line_that_differs_is_shown_with_the_one_before() {
        let shown = differ(&["a", "b", "c"], &["a", "x", "c"]).unwrap();
        let words: Vec<Vec<&str>> = shown
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        assert_eq!(words[0], ["line", "1", "both", "a"]);
        assert_eq!(words[1], ["line", "2", "first", "b"]);
        assert_eq!(words[2], ["line", "2", "second", "x"]);
    }

    #[test]
    fn runs_are_the_same_only_if_all_their_numbers_and_findings_are() {
        let run = || Judged::empty(1);
        let found = Finding {
            invariant: "convergence",
            what: String::new(),
            timeline: String::new(),
        };
        let others = [
            Judged { trace: 1, ..run() },
            Judged { events: 1, ..run() },
            Judged {
                operations: 1,
                ..run()
            },
            Judged {
                simulated: Moment(1),
                ..run()
            },
            Judged {
                found: vec![found],
                ..run()
            },
        ];
        assert_eq!(run().fingerprint(), run().fingerprint());
        for other in &others {
            assert_ne!(run().fingerprint(), other.fingerprint(), "{other:?}");
        }

        assert!(difference(&run(), &others[0]).contains("trace 0000000000000001"));
    }

    #[test]
    fn a_trace_that_ends_early_differs_where_it_ends() {
        assert!(
            differ(&["a"], &["a", "b"])
                .unwrap()
                .contains("first   (the end)")
        );
        assert!(differ(&["a"], &[]).unwrap().contains("second  (the end)"));
        assert_eq!(differ(&["a", "b"], &["a", "b"]), None);
    }
}
