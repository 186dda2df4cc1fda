//! How the tour is printed: numbered headings, short lines, and a last table of what was found.
//!
//! Colours and progress bars are for terminals; elsewhere the same lines come plain.

use indicatif::ProgressBar;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, Text, Tone, painted};

/// The output of one tour.
#[derive(Debug)]
pub(super) struct Story {
    out: Output,
    steps: u32,
    findings: Vec<Finding>,
}

/// What a step found.
#[derive(Debug)]
struct Finding {
    what: String,
    result: String,
    fine: bool,
}

impl Story {
    pub(super) const fn new(out: Output) -> Self {
        Self {
            out,
            steps: 0,
            findings: Vec::new(),
        }
    }

    /// Begins the next step.
    pub(super) fn heading(&mut self, text: &str) -> Result<(), Failure> {
        self.steps += 1;
        if self.out.is_json() {
            return Ok(());
        }
        let heading = format!("{}. {text}", self.steps);
        self.out
            .line(Text::from("\n").then(painted(Tone::Strong, heading)))
    }

    /// Prints a line; in JSON only the findings count.
    pub(super) fn line(&self, text: &str) -> Result<(), Failure> {
        if self.out.is_json() {
            Ok(())
        } else {
            self.out.line(indented(text))
        }
    }

    pub(super) fn progress(&self, bytes: u64, what: &'static str) -> ProgressBar {
        self.out.progress(bytes, what)
    }

    /// Keeps a finding for the last table.
    pub(super) fn found(&mut self, what: impl Into<String>, result: impl Into<String>, fine: bool) {
        self.findings.push(Finding {
            what: what.into(),
            result: result.into(),
            fine,
        });
    }

    /// Shows what was found, and ends with an error if something was lost.
    pub(super) fn end(mut self) -> Result<Exit, Failure> {
        if self.out.is_json() {
            let finding =
                |f: &Finding| json!({ "what": f.what, "result": f.result, "fine": f.fine });
            self.out
                .json(&self.findings.iter().map(finding).collect::<Vec<_>>())?;
        } else {
            self.heading("What happened")?;
            self.out.table(self.findings.iter().map(row).collect())?;
        }
        self.verdict()
    }

    /// How the program ends.
    fn verdict(&self) -> Result<Exit, Failure> {
        if self.findings.iter().all(|finding| finding.fine) {
            return Ok(Exit::Ok);
        }
        Err(Failure::new(
            Exit::Error,
            "something was lost or wrong; the table says what",
        ))
    }
}

fn row(finding: &Finding) -> Vec<Text> {
    let verdict = if finding.fine {
        painted(Tone::Good, "ok")
    } else {
        painted(Tone::Bad, "NOT OK")
    };
    vec![(&finding.what).into(), (&finding.result).into(), verdict]
}

/// Every line three blanks in, below its heading.
fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("   {line}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn a_tour_ends_well_only_if_every_finding_is_fine() {
        let mut story = Story::new(Output::new(Format::Json));
        story.found("verses", "31,102", true);
        story.found("lost", "0", true);
        assert_eq!(story.verdict(), Ok(Exit::Ok));

        let mut story = Story::new(Output::new(Format::Json));
        story.found("verses", "31,102", true);
        story.found("lost", "1", false);
        assert_eq!(story.verdict().unwrap_err().exit, Exit::Error);
    }

    #[test]
    fn every_line_of_a_text_is_indented() {
        assert_eq!(indented("a\nb"), "   a\n   b");
    }
}
