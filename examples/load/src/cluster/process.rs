//! One node's process, which never outlives its owner.
//!
//! ```text
//!   dropped              SIGKILL, and waited for: also on the way out of a panic
//!   owner killed         standard input ends, and the node with it (not a foreign `quoit-node`)
//!   Ctrl-C               reaches the owner alone: the process has a group of its own
//! ```
//!
//! What it prints is added to a file, where its readiness is read from.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// What is run.
#[derive(Debug)]
pub(super) struct Program {
    /// The file.
    pub(super) binary: PathBuf,
    /// What it is told before `--config FILE`.
    pub(super) arguments: Vec<OsString>,
}

/// A signal that has an opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// Stand still.
    Pause,
    /// Go on.
    Resume,
}

/// A running process.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    /// Starts a node with its configuration.
    pub(super) fn start(program: &Program, config: &Path, log: &Path) -> io::Result<Self> {
        Self::bare(program, &[OsStr::new("--config"), config.as_os_str()], log)
    }

    /// Starts the program with whatever arguments.
    pub(super) fn bare(
        program: &Program,
        arguments: &[impl AsRef<OsStr>],
        log: &Path,
    ) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(&program.binary);
        command
            .args(&program.arguments)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log);
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt as _;
            command.process_group(0);
        }
        command.spawn().map(Self)
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Ends it at once, even if it stands still, and waits for its end.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.0.kill()?;
        self.0.wait().map(drop)
    }

    /// How it ended, or `None` while it runs.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }

    /// Sends a signal.
    #[cfg(unix)]
    pub(super) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        use rustix::process::{Pid, Signal as Number, kill_process};

        let number = match signal {
            Signal::Pause => Number::STOP,
            Signal::Resume => Number::CONT,
        };
        // Once it has ended, its number may be somebody else's.
        if self.ended().is_some() {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(kill_process(pid, number)?)
    }

    /// There are no such signals here.
    #[cfg(not(unix))]
    pub(super) fn signal(&mut self, _signal: Signal) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already, which is all that is wanted.
        let _gone = self.kill().is_ok();
    }
}
