//! What was counted before: a text file that lies beside the benchmark.
//!
//! ```text
//!   rustc 1.95.0 (59807616e 2026-04-14)        the compiler that made the counted program
//!   1234 look up owners                        instructions of one operation, and its name
//! ```
//!
//! Left out: what a difference means, which is for the report.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::{fs, io};

use crate::meter::Case;

/// Counts of an earlier run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Baseline {
    compiler: String,
    counts: Vec<(String, u64)>,
}

impl Baseline {
    /// What was counted now.
    pub(crate) fn of(cases: &[Case], counts: &[u64]) -> Result<Self, Box<dyn Error>> {
        let names = cases.iter().map(|case| case.name.to_owned());
        Ok(Self {
            compiler: compiler()?,
            counts: names.zip(counts.iter().copied()).collect(),
        })
    }

    /// Reads a file; none is an empty baseline.
    pub(crate) fn load(file: &Path) -> Result<Self, Box<dyn Error>> {
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read?,
        };
        let mut lines = text.lines();
        let compiler = lines.next().unwrap_or_default().to_owned();
        let count = |line: &str| -> Result<_, Box<dyn Error>> {
            let (count, name) = line.split_once(' ').ok_or("a line is `count name`")?;
            Ok((name.to_owned(), count.parse()?))
        };
        let counts = lines.map(count).collect::<Result<_, _>>()?;
        Ok(Self { compiler, counts })
    }

    /// Writes the file.
    pub(crate) fn save(&self, file: &Path) -> Result<(), Box<dyn Error>> {
        let mut text = format!("{}\n", self.compiler);
        for (name, count) in &self.counts {
            writeln!(text, "{count} {name}")?;
        }
        Ok(fs::write(file, text)?)
    }

    /// Whether both come from one compiler, so that counts can be compared.
    pub(crate) fn is_of_the_compiler_of(&self, other: &Self) -> bool {
        self.compiler == other.compiler
    }

    /// The compiler's name and version.
    pub(crate) fn compiler(&self) -> &str {
        &self.compiler
    }

    /// Names and counts.
    pub(crate) fn counts(&self) -> &[(String, u64)] {
        &self.counts
    }

    /// What was counted under this name.
    pub(crate) fn count(&self, name: &str) -> Option<u64> {
        let found = self.counts.iter().find(|(known, _)| known == name);
        found.map(|(_, count)| *count)
    }
}

/// The compiler that cargo uses here.
fn compiler() -> Result<String, Box<dyn Error>> {
    let version = Command::new("rustc").arg("--version").output()?;
    Ok(String::from_utf8(version.stdout)?.trim().to_owned())
}
