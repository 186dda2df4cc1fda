//! One child process that never outlives its owner.
//!
//! ```text
//!   owner dropped            SIGKILL, and waited for
//!   owner itself killed      the child's standard input ends, and quoit-test-node ends with it
//! ```
//!
//! What the child prints goes to a file, behind what earlier children printed there. Signals are sent by the
//! program `kill`: the standard library knows one signal only.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How often the end of a process is looked for.
const PAUSE: Duration = Duration::from_millis(5);

/// What to run, and where its output goes.
#[derive(Debug, Clone)]
pub struct Program {
    /// What comes before the binary on its command line, such as `taskset -c 0`; must become the binary
    /// (by exec), so that signals reach it.
    pub launcher: Vec<OsString>,
    /// The program.
    pub binary: PathBuf,
    /// Its one argument.
    pub config: PathBuf,
    /// The file that its output is added to.
    pub log: PathBuf,
}

/// A signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Stop in order.
    Terminate,
    /// Stand still.
    Pause,
    /// Go on.
    Resume,
}

impl Signal {
    const fn name(self) -> &'static str {
        match self {
            Self::Terminate => "-TERM",
            Self::Pause => "-STOP",
            Self::Resume => "-CONT",
        }
    }
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `program`.
    ///
    /// # Errors
    /// If it or its log cannot be opened.
    pub fn start(program: &Program) -> io::Result<Self> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&program.log)?;
        let mut line = program
            .launcher
            .iter()
            .map(OsString::as_os_str)
            .chain([program.binary.as_os_str(), program.config.as_os_str()]);
        let child = Command::new(line.next().unwrap_or_default())
            .args(line)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { child })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let number = self.id().to_string();
        let sent = Command::new("kill")
            .args([signal.name(), &number])
            .status()?;
        if sent.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!(
                "kill {} {number}: {sent}",
                signal.name()
            )))
        }
    }

    /// Ends it at once with SIGKILL, even if it stands still, and waits for its end.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_killed| ())
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its end, for `bound` at most; `None` if it runs on.
    ///
    /// # Errors
    /// If the system does not say.
    pub async fn end(&mut self, bound: Duration) -> io::Result<Option<ExitStatus>> {
        let begin = tokio::time::Instant::now();
        loop {
            match self.ended()? {
                None if begin.elapsed() < bound => tokio::time::sleep(PAUSE).await,
                ended => return Ok(ended),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        if let Ok(None) = self.ended() {
            let _killed = self.kill().is_ok();
        }
    }
}
