//! Mutants: deliberate defects in the shipped source, to see whether the tests would notice.
//!
//! ```text
//!   mutants/NAME.patch --apply--> scratch copy of the workspace --build--> quoit-sim hunt INVARIANT
//!                                                                    seeds 1, 2, 3, ... until it is violated
//! ```
//!
//! A checker that has never failed proves little. Each mutant is an error that an engineer could have made, in the line
//! where it would have been made, and the invariant that must catch it is named in advance. A mutant that only another
//! invariant catches shows a gap in what we know of the defect or of the checker, and fails the hunt.
//!
//! A patch file is a header and a unified diff, as `git diff` writes it and `git apply` reads it:
//!
//! ```text
//!   A write is acknowledged once a single replica has it.
//!   Caught by: acked-never-lost
//!
//!   --- a/client/src/quorum/write.rs
//!   ...
//! ```
//!
//! What the simulation replaces, such as the real disk, no invariant can judge. Such a defect names the test that must
//! fail instead, and so does one that only costs time: `Caught by test: PACKAGE TARGET NAME`. The target `lib` is that of
//! the units.
//!
//! Invariant: no build of this workspace contains a mutant. The defects are text until `cargo sim-mutants` applies one
//! to its own copy under `target/`.
//!
//! Source: `DeMillo`, Lipton and Sayward, *Hints on Test Data Selection* (1978).

mod catcher;
mod hunt;
mod patch;
mod scratch;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use self::catcher::{Catcher, TestName};
pub use self::hunt::{Hunt, Sighting};
pub use self::patch::{ApplyError, FilePatch, ParseError, Patch};
pub use self::scratch::{ScratchCopy, ScratchError};

/// One deliberate defect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// Its name in kebab case: the patch file's, without the extension.
    pub name: String,
    /// What the defect does, in one sentence.
    pub description: String,
    /// What must catch it.
    pub caught_by: Catcher,
    /// The change to the source.
    pub patch: Patch,
}

/// Why a mutant cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MutantError {
    /// The folder or a file in it cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The header is incomplete or names an unknown invariant.
    #[error("{name}: {reason}")]
    Header {
        /// The mutant.
        name: String,
        /// What is wrong with the header.
        reason: String,
    },
    /// The diff is malformed.
    #[error("{name}: the diff cannot be read")]
    Diff {
        /// The mutant.
        name: String,
        /// Why.
        source: ParseError,
    },
}

impl Mutant {
    /// The mutants of this workspace.
    ///
    /// # Errors
    /// If a patch file cannot be read or is malformed.
    pub fn all() -> Result<Vec<Self>, MutantError> {
        Self::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/mutants")))
    }

    /// The mutants of a folder, ordered by the file that they change and then by name. Neighbours change the same
    /// crate, which keeps rebuilds short.
    ///
    /// # Errors
    /// If a patch file cannot be read or is malformed.
    pub fn load(folder: &Path) -> Result<Vec<Self>, MutantError> {
        let read = |path: &Path, source| MutantError::Read {
            path: path.to_owned(),
            source,
        };

        let mut mutants = Vec::new();
        for entry in fs::read_dir(folder).map_err(|error| read(folder, error))? {
            let path = entry.map_err(|error| read(folder, error))?.path();
            let (Some(stem), Some("patch")) = (
                path.file_stem().and_then(|stem| stem.to_str()),
                path.extension().and_then(|extension| extension.to_str()),
            ) else {
                continue;
            };
            let text = fs::read_to_string(&path).map_err(|error| read(&path, error))?;
            mutants.push(Self::parse(stem, &text)?);
        }

        mutants.sort_by(|a, b| (a.first_file(), &a.name).cmp(&(b.first_file(), &b.name)));
        Ok(mutants)
    }

    /// Reads a patch file.
    ///
    /// # Errors
    /// If the header or the diff is malformed.
    pub fn parse(name: &str, text: &str) -> Result<Self, MutantError> {
        let header_error = |reason: &str| MutantError::Header {
            name: name.to_owned(),
            reason: reason.to_owned(),
        };

        let (header, diff) = patch::split_header(text);
        let mut lines = header.lines().filter(|line| !line.is_empty());
        let description = lines
            .next()
            .filter(|line| line.ends_with('.'))
            .ok_or_else(|| {
                header_error("the first line must be a sentence that ends with a period")
            })?;
        let named = lines.next().unwrap_or_default();
        let caught_by = Catcher::parse(named).map_err(|reason| header_error(&reason))?;

        let patch = Patch::parse(diff).map_err(|source| MutantError::Diff {
            name: name.to_owned(),
            source,
        })?;
        Ok(Self {
            name: name.to_owned(),
            description: description.to_owned(),
            caught_by,
            patch,
        })
    }

    fn first_file(&self) -> Option<&Path> {
        self.patch.files.first().map(|file| file.path.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "--- a/x.rs\n+++ b/x.rs\n@@ -1 +1 @@\n-a\n+b\n";

    /// The root of the workspace.
    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    #[test]
    fn every_patch_applies_to_the_source() {
        let mutants = Mutant::all().unwrap();
        assert!(!mutants.is_empty());
        for mutant in mutants {
            for file in &mutant.patch.files {
                let source = fs::read_to_string(root().join(&file.path)).unwrap();
                let patched = file.apply(&source);
                let patched = patched.unwrap_or_else(|error| panic!("{}: {error}", mutant.name));
                assert_ne!(patched, source, "{} changes nothing", mutant.name);
            }
        }
    }

    #[test]
    fn a_mutant_is_named_in_kebab_case_and_changes_the_shipped_crates_only() {
        for mutant in Mutant::all().unwrap() {
            let name = &mutant.name;
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{name}"
            );
            for file in &mutant.patch.files {
                let shipped = ["client/src", "node/src", "ring/src", "ring/transport/src"];
                assert!(
                    shipped.iter().any(|folder| file.path.starts_with(folder)),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn a_test_that_must_catch_a_mutant_exists() {
        for mutant in Mutant::all().unwrap() {
            let Catcher::Test(test) = &mutant.caught_by else {
                continue;
            };
            let folder = test.package.strip_prefix("quoit-").unwrap();
            let function = test.name.rsplit("::").next().unwrap();
            let begin = format!("fn {function}(");
            let tests = match test.target.as_str() {
                "lib" => {
                    let module: Vec<&str> = test.name.split("::").collect();
                    let parent = &module[..module.len() - 2];
                    root().join(folder).join("src").join(parent.join("/"))
                }
                target => root().join(folder).join("tests").join(target),
            };
            // In a file of their own, or in that of what they test.
            let beside = fs::read_dir(&tests).into_iter().flatten();
            let beside = beside.map(|file| file.unwrap().path());
            let mut files = beside.chain([tests.with_extension("rs")]);
            let found =
                files.any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(&begin)));
            assert!(found, "{}: there is no test {}", mutant.name, test.name);
        }
    }

    #[test]
    fn a_patch_file_names_its_defect_and_the_invariant_that_must_catch_it() {
        let text = format!("It forgets.\nCaught by: convergence\n\n{DIFF}");
        let mutant = Mutant::parse("forgets", &text).unwrap();
        assert_eq!(mutant.description, "It forgets.");
        assert_eq!(mutant.caught_by, Catcher::Invariant("convergence"));
        assert_eq!(mutant.patch.files.len(), 1);
    }

    #[test]
    fn an_incomplete_header_is_an_error() {
        for header in [
            "",
            "It forgets\nCaught by: convergence\n",
            "It forgets.\n",
            "It forgets.\nCaught by: nobody\n",
            "It forgets.\nCaught by test: quoit-node serving\n",
        ] {
            let text = format!("{header}\n{DIFF}");
            let error = Mutant::parse("forgets", &text).unwrap_err();
            assert!(matches!(error, MutantError::Header { .. }), "{error:?}");
        }
    }
}
