//! One node's process, which never outlives its owner.
//!
//! ```text
//!   dropped              SIGKILL, and waited for: also on the way out of a panic
//!   owner killed         standard input ends, and a node that watches it ends as well
//!   Ctrl-C               reaches the owner alone: the process has a group of its own
//! ```
//!
//! What it prints is added to a file. Invariant: a signal is sent only while the process was not waited for,
//! since its number belongs to no other process until then.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How often the end of a process is looked for.
const PAUSE: Duration = Duration::from_millis(5);

/// The program that runs one node: `LAUNCHER.. BINARY ARGUMENTS.. --config FILE`, or with `--join BUNDLE --data DIR` in place
/// of the file if it is to join.
///
/// It must print a line with ` ready at ` on standard output once it serves, and should end when its standard
/// input does. [`quoit_node::run()`] does the first; the programs `quoit` and `quoit-node` are such programs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeProgram {
    /// What comes before the binary, such as `taskset -c 0`; it must become the binary (by exec), so that
    /// signals reach that. Default nothing.
    pub launcher: Vec<OsString>,
    /// The file to run.
    pub binary: PathBuf,
    /// What comes before `--config FILE` or `--join BUNDLE`; default nothing.
    pub arguments: Vec<OsString>,
    /// Variables that are set besides those of this process; default none.
    pub variables: Vec<(OsString, OsString)>,
}

impl NodeProgram {
    /// A program that takes `--config FILE` alone, such as `quoit-node`.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            ..Self::default()
        }
    }

    /// A program that is a node when asked to: `BINARY node --while-stdin-is-open --config FILE`, as `quoit`.
    #[must_use]
    pub fn of_quoit(binary: impl Into<PathBuf>) -> Self {
        Self {
            arguments: ["node", "--while-stdin-is-open"].map(Into::into).to_vec(),
            ..Self::new(binary)
        }
    }

    /// This very program, asked to be a node as [`of_quoit`](Self::of_quoit) does.
    ///
    /// # Errors
    /// If the system does not say which file that is.
    pub fn this_one() -> io::Result<Self> {
        std::env::current_exe().map(Self::of_quoit)
    }

    fn command(&self) -> Command {
        let mut line = self.launcher.clone();
        line.push(self.binary.clone().into_os_string());
        line.extend(self.arguments.iter().cloned());
        let mut line = line.into_iter();
        // There is one at least: the binary.
        let mut command = Command::new(line.next().unwrap_or_default());
        command.args(line).envs(self.variables.iter().cloned());
        command
    }
}

/// A signal to a node's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Stop in order (SIGTERM).
    Terminate,
    /// Stand still (SIGSTOP).
    Pause,
    /// Go on (SIGCONT).
    Resume,
}

/// A running process; dropping it kills it.
#[derive(Debug)]
pub struct NodeProcess(Child);

impl NodeProcess {
    /// Starts a node with the configuration at `config`; what it prints is added to `log`.
    ///
    /// # Errors
    /// If the program cannot be run or the log not be opened.
    pub fn start(program: &NodeProgram, config: &Path, log: &Path) -> io::Result<Self> {
        let mut command = program.command();
        command.arg("--config").arg(config);
        Self::spawn(command, log)
    }

    /// Starts a node that joins by the bundle at `bundle`, or has joined by it; its data is in `data`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn join(program: &NodeProgram, bundle: &Path, data: &Path, log: &Path) -> io::Result<Self> {
        let mut command = program.command();
        command.arg("--join").arg(bundle).arg("--data").arg(data);
        Self::spawn(command, log)
    }

    fn spawn(mut command: Command, log: &Path) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        command
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
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// `NotFound` if the process has ended; `Unsupported` where there are no such signals.
    #[cfg(unix)]
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        use rustix::process::{Pid, Signal as Number, kill_process};

        let number = match signal {
            Signal::Terminate => Number::TERM,
            Signal::Pause => Number::STOP,
            Signal::Resume => Number::CONT,
        };
        // Once it was waited for, its number may be another process's.
        if self.ended()?.is_some() {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(kill_process(pid, number)?)
    }

    /// There are no such signals here.
    #[cfg(not(unix))]
    pub fn signal(&mut self, _signal: Signal) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// Ends it at once with SIGKILL, even if it stands still, and waits for its end.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill(&mut self) -> io::Result<()> {
        self.0.kill()?;
        self.0.wait().map(drop)
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
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

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // It may be gone already, which is all that is wanted.
        let _gone = self.kill().is_ok();
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    /// Stands still instead of serving, which is all that ending it needs.
    fn sleeper(folder: &Path) -> NodeProcess {
        let mut command = Command::new("sleep");
        command.arg("60");
        NodeProcess::spawn(command, &folder.join("log.txt")).unwrap()
    }

    fn lives(pid: u32) -> bool {
        crate::usage::of(pid).is_ok()
    }

    #[test]
    fn a_process_ends_with_its_owner_even_when_that_panics() {
        let folder = tempfile::tempdir().unwrap();
        let process = sleeper(folder.path());
        let pid = process.id();
        assert!(lives(pid));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _owned = process;
            panic!("the owner fails");
        }));
        assert!(panicked.is_err() && !lives(pid));
    }

    #[test]
    fn a_paused_process_can_be_killed_and_gets_no_signal_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = sleeper(folder.path());
        process.signal(Signal::Pause).unwrap();
        process.kill().unwrap();
        assert!(!lives(process.id()));
        let error = process.signal(Signal::Resume).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_process_that_is_asked_to_stop_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = sleeper(folder.path());
        assert!(process.end(Duration::ZERO).await.unwrap().is_none());
        process.signal(Signal::Terminate).unwrap();
        assert!(
            process
                .end(Duration::from_secs(10))
                .await
                .unwrap()
                .is_some()
        );
    }
}
