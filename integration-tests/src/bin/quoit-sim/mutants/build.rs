//! Builds the simulation in the scratch copy, and runs what was built.
//!
//! ```text
//!   target/mutants/source/     the copy of the workspace
//!   target/mutants/build/      cargo's own files: dependencies are built once, the rest incrementally
//!   target/mutants/quoit-sim   the last build with a mutant      target/mutants/quoit-sim-clean   without any
//! ```

use std::env;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use quoit_integration_tests::mutants::{Hunt, Mutant, ScratchCopy, TestName};
use quoit_integration_tests::sim::campaign::all_cores;

/// The profile of the root `Cargo.toml`: simulation checks on, quick to build.
const PROFILE: &str = "mutants";

/// Builds programs with a mutant.
#[derive(Debug)]
pub(crate) struct Builder {
    copy: ScratchCopy,
    /// Everything lies below it.
    folder: PathBuf,
    seeds: u64,
    threads: NonZeroUsize,
}

/// A `quoit-sim` with a mutant, or without any.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    seeds: u64,
    threads: NonZeroUsize,
}

/// The run without a mutant.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) seeds: u64,
    /// What it printed, if it violated an invariant.
    pub(crate) violation: Option<String>,
}

impl Builder {
    /// Programs that hunt for so many seeds.
    pub(crate) fn new(seeds: u64, threads: Option<NonZeroUsize>) -> Self {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let folder = root.join("target/mutants");
        Self {
            copy: ScratchCopy::new(root.to_owned(), folder.join("source")),
            folder,
            seeds,
            threads: threads.unwrap_or_else(all_cores),
        }
    }

    /// Builds with `mutant`, or without any.
    pub(crate) fn build(&self, mutant: Option<&Mutant>) -> anyhow::Result<Program> {
        self.copy.update(mutant.map(|mutant| &mutant.patch))?;

        let build = ["--package", "quoit-integration-tests", "--bin", "quoit-sim"];
        self.must_build(self.cargo("build").args(build))?;

        // The next build replaces cargo's own file; the clean program must outlive them all.
        let name = match mutant {
            Some(_) => "quoit-sim",
            None => "quoit-sim-clean",
        };
        let path = self.folder.join(name);
        let from = self.target().join(PROFILE).join("quoit-sim");
        fs::copy(&from, &path).with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(Program {
            path,
            seeds: self.seeds,
            threads: self.threads,
        })
    }

    /// Builds `test` with `mutant`.
    pub(crate) fn build_test(&self, mutant: &Mutant, test: &TestName) -> anyhow::Result<()> {
        self.copy.update(Some(&mutant.patch))?;
        self.must_build(self.test(test).arg("--no-run"))
    }

    /// Runs `test` as it was built.
    pub(crate) fn run_test(&self, test: &TestName) -> anyhow::Result<Hunt> {
        let mut run = self.test(test);
        let done = run.args(["--", "--exact", &test.name]).output();
        let done = done.context("cannot start the test")?;
        let printed = String::from_utf8_lossy(&done.stdout);
        let failed = printed.contains("1 failed;");
        if !failed && !printed.contains("1 passed;") {
            bail!("the test {} did not run:\n{printed}", test.name);
        }
        Ok(Hunt::of_test(&test.name, failed))
    }

    fn test(&self, test: &TestName) -> Command {
        let mut command = self.cargo("test");
        command.args(["--package", &test.package]);
        match test.target.as_str() {
            "lib" => command.arg("--lib"),
            target => command.args(["--test", target]),
        };
        command
    }

    fn cargo(&self, verb: &str) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .args([
                verb,
                "--locked",
                "--quiet",
                "--profile",
                PROFILE,
                "--target-dir",
            ])
            .arg(self.target())
            .current_dir(self.copy.folder());
        command
    }

    fn target(&self) -> PathBuf {
        self.folder.join("build")
    }

    fn must_build(&self, command: &mut Command) -> anyhow::Result<()> {
        let built = command.output().context("cannot start cargo")?;
        if !built.status.success() {
            let errors = String::from_utf8_lossy(&built.stderr);
            bail!("the copy of the source does not build:\n{errors}");
        }
        Ok(())
    }
}

impl Program {
    /// Runs seeds until `invariant` is violated.
    pub(crate) fn hunt(&self, invariant: &str) -> anyhow::Result<Hunt> {
        let (seeds, threads) = (self.seeds.to_string(), self.threads.to_string());
        let done = Command::new(&self.path)
            .args(["hunt", invariant, "--output", "json"])
            .args(["--seeds", &seeds, "--threads", &threads])
            .stderr(Stdio::inherit()) // progress
            .output()
            .context("cannot start the hunt")?;
        serde_json::from_slice(&done.stdout)
            .with_context(|| format!("the hunt ended without a result: {}", done.status))
    }

    /// Runs `seeds`, of which none may violate an invariant.
    pub(crate) fn control(&self, seeds: u64) -> anyhow::Result<Control> {
        let (count, threads) = (seeds.to_string(), self.threads.to_string());
        let done = Command::new(&self.path)
            .args(["--seeds", &count, "--threads", &threads])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start the run without a mutant")?;
        // 3 says that the set is too small to have seen everything, which is not asked here.
        let violation = match done.status.code() {
            Some(0 | 3) => None,
            Some(1) => Some(String::from_utf8_lossy(&done.stdout).into_owned()),
            _ => bail!(
                "the run without a mutant ended without a result: {}",
                done.status
            ),
        };
        Ok(Control { seeds, violation })
    }
}
