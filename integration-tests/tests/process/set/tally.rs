//! What was added where with which outcome, and whether what is read is allowed.
//!
//! ```text
//!                  found          not found
//!   acknowledged   stable         LOST
//!   unknown        recovered      never seen
//!   refused        INVENTED       correct
//!   never tried    INVENTED
//! ```
//!
//! Source: the outcomes are those of Jepsen's *set-full* (Kingsbury).

use core::fmt;
use std::collections::BTreeMap;

use quoit_integration_tests::ledger::Outcome;

/// Broken promises that are reported in full.
const REPORTED: usize = 20;

/// Everything that was tried under one key: a fresh key holds one element, an OR-set many.
#[derive(Debug, Clone, Default)]
pub(crate) struct Added {
    key: String,
    elements: BTreeMap<String, Outcome>,
}

impl Added {
    pub(crate) const fn to(key: String) -> Self {
        Self {
            key,
            elements: BTreeMap::new(),
        }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn record(&mut self, element: String, outcome: Outcome) {
        let before = self.elements.insert(element, outcome);
        assert_eq!(before, None, "elements are unique");
    }

    /// Takes over what another adder did to the same key.
    pub(crate) fn unite(&mut self, other: Self) {
        for (element, outcome) in other.elements {
            self.record(element, outcome);
        }
    }
}

/// The verdict on all elements.
#[derive(Debug, Clone, Default)]
pub(crate) struct Judgement {
    pub(crate) acked: u64,
    lost: u64,
    recovered: u64,
    never_seen: u64,
    refused: u64,
    invented: u64,
    reported: Vec<String>,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acked,
            lost,
            recovered,
            never_seen,
            refused,
            invented,
            ..
        } = self;
        write!(
            f,
            "{acked} acked, of them {lost} lost; {} unknown, of them {recovered} there; {refused} refused; {invented} \
             there that must not be",
            recovered + never_seen
        )
    }
}

impl Judgement {
    /// Judges the lines that were found.
    pub(crate) fn judge(&mut self, added: &Added, found: &str) {
        let mut expected = added.elements.clone();
        for element in found.lines() {
            match expected.remove(element) {
                Some(Outcome::Ok) => self.acked += 1,
                Some(Outcome::Unknown) => self.recovered += 1,
                Some(Outcome::Fail) | None => {
                    self.invented += 1;
                    self.report("invented", element, added);
                }
            }
        }
        for (element, outcome) in expected {
            match outcome {
                Outcome::Ok => {
                    (self.acked, self.lost) = (self.acked + 1, self.lost + 1);
                    self.report("lost", &element, added);
                }
                Outcome::Unknown => self.never_seen += 1,
                Outcome::Fail => self.refused += 1,
            }
        }
    }

    /// Both together.
    pub(crate) fn plus(mut self, other: Self) -> Self {
        self.acked += other.acked;
        self.lost += other.lost;
        self.recovered += other.recovered;
        self.never_seen += other.never_seen;
        self.refused += other.refused;
        self.invented += other.invented;
        self.reported.extend(other.reported);
        self
    }

    /// Whether every promise was kept.
    pub(crate) const fn holds(&self) -> bool {
        self.lost == 0 && self.invented == 0
    }

    pub(crate) fn reported(&self) -> String {
        self.reported.join("\n")
    }

    fn report(&mut self, what: &str, element: &str, added: &Added) {
        if self.reported.len() < REPORTED {
            self.reported
                .push(format!("{what}: {element} in {}", added.key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(found: &str) -> Judgement {
        let mut added = Added::to("s".to_owned());
        for (element, outcome) in [
            ("a", Outcome::Ok),
            ("b", Outcome::Unknown),
            ("c", Outcome::Fail),
        ] {
            added.record(element.to_owned(), outcome);
        }
        let mut judgement = Judgement::default();
        judgement.judge(&added, found);
        judgement
    }

    #[test]
    fn only_what_was_acknowledged_must_be_there_and_only_what_was_tried_may() {
        assert!(judged("a").holds() && judged("a\nb").holds());
        for (found, lost, invented) in [
            ("", 1, 0),
            ("b", 1, 0),
            ("a\nc", 0, 1),
            ("a\nx", 0, 1),
            ("a\na", 0, 1),
        ] {
            let judgement = judged(found);
            assert!(!judgement.holds(), "{found:?}");
            assert_eq!(
                (judgement.lost, judgement.invented),
                (lost, invented),
                "{found:?}"
            );
        }
    }

    #[test]
    fn every_element_is_counted_once() {
        let sum = judged("a\nb").plus(judged(""));
        let summary = "2 acked, of them 1 lost; 2 unknown, of them 1 there; 2 refused; 0 there that must not be";
        assert_eq!(sum.to_string(), summary);
        assert_eq!(sum.reported(), "lost: a in s");
    }
}
