//! What is said of conditional operations below the table: mismatches, and attempts.
//!
//! ```text
//! mismatches cas: 1,204 of 5,000 answers (24.1 %), p50 900 µs, p99 2.50 ms
//! attempts   update: p50 1, p99 3, at most 7; longest wait 45.1 ms
//! ```

use super::super::units::{count, micros, trimmed};
use crate::result::{OpResult, RunResult};

/// Mismatches, a line for each verb that had some.
pub(in super::super) fn mismatches(result: &RunResult) -> impl Iterator<Item = String> {
    let operations = result.operations.iter();
    operations.filter_map(|(verb, op)| {
        let mismatches = op.mismatches.as_ref()?;
        let answers = op.count + mismatches.count;
        let percent = trimmed(100.0 * mismatches.count as f64 / answers.max(1) as f64, 1);
        let [p50, p99] = [mismatches.after.p50, mismatches.after.p99].map(|us| micros(us as f64));
        let (found, answers) = (count(mismatches.count), count(answers));
        Some(format!(
            "{verb}: {found} of {answers} answers ({percent} %), p50 {p50}, p99 {p99}"
        ))
    })
}

/// Attempts, a line for each verb that goes on until it succeeds.
pub(in super::super) fn attempts(result: &RunResult) -> impl Iterator<Item = String> {
    let operations = result.operations.iter();
    operations.filter_map(|(verb, op)| Some(format!("{verb}: {}", attempts_of(op)?)))
}

fn attempts_of(op: &OpResult) -> Option<String> {
    let attempts = op.attempts.as_ref()?;
    let [p50, p99, most] = [attempts.p50, attempts.p99, attempts.max].map(count);
    let longest = micros(op.intended.max as f64);
    Some(format!(
        "p50 {p50}, p99 {p99}, at most {most}; longest wait {longest}"
    ))
}

#[cfg(test)]
mod tests {
    use crate::report::{html, sample, text};
    use crate::result::{Attempts, Mismatches, Percentiles, RunResult};

    fn conditional() -> RunResult {
        let mut result = sample::tiny();
        let get = result.operations.get_mut("get").unwrap();
        get.mismatches = Some(Mismatches {
            count: 81,
            after: Percentiles {
                p50: 900,
                p99: 2500,
                ..Percentiles::default()
            },
        });
        get.attempts = Some(Attempts {
            p50: 1,
            p99: 3,
            max: 1200,
        });
        result
    }

    #[test]
    fn mismatches_and_attempts_have_lines_of_their_own() {
        let result = conditional();
        let text = text(&result);
        let page = html(&result).unwrap();
        for line in [
            "mismatches get: 81 of 200 answers (40.5 %), p50 900 µs, p99 2.50 ms",
            "attempts   get: p50 1, p99 3, at most 1,200; longest wait 149 ms",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
            let (_, figures) = line.split_once(": ").unwrap();
            assert!(page.contains(figures), "{figures}");
        }
    }

    #[test]
    fn a_result_with_mismatches_reads_back_as_it_was_written() {
        let written = conditional();
        let json = serde_json::to_string(&written).unwrap();
        let read: RunResult = serde_json::from_str(&json).unwrap();
        let (written, read) = (&written.operations["get"], &read.operations["get"]);
        assert_eq!(
            (read.mismatches, read.attempts),
            (written.mismatches, written.attempts)
        );
        let older = serde_json::to_string(&sample::tiny()).unwrap();
        assert!(!older.contains("attempts") && !older.contains("mismatches"));
    }
}
