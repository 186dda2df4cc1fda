//! Runs the program: single commands with a bound on their time, and dev clusters that end with the test.

mod nodes;
mod terminal;

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) use nodes::Nodes;

/// How long anything may take.
pub(crate) const SOON: Duration = Duration::from_secs(120);

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A user's home without any cluster.
#[derive(Debug)]
pub(crate) struct Home {
    folder: TempDir,
    /// The user's data directory.
    data: PathBuf,
}

/// A dev cluster. It is the last one of its home.
#[derive(Debug)]
pub(crate) struct Dev {
    child: Child,
    pub(crate) ready: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            data: folder.path().join("share"),
            folder,
        }
    }

    /// A user's home in which no data directory can be made, not even by root.
    pub(crate) fn with_unwritable_data(self) -> Self {
        let data = PathBuf::from(self.file("not-a-folder", ""));
        Self { data, ..self }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = hearing_hangups(env!("CARGO_BIN_EXE_quoit"));
        command
            .args(args)
            .env_remove("QUOIT_PROFILE")
            .env_remove("QUOIT_LOG");
        command
            .env("HOME", self.folder.path())
            .env("XDG_DATA_HOME", &self.data);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a command; whoever does so waits for its end.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    /// The same with arguments that need not be UTF-8.
    pub(crate) fn spawn_os(&self, args: &[&OsStr]) -> Child {
        self.command(&[]).args(args).spawn().unwrap()
    }

    /// Runs a command to its end, with these as standard output and error.
    pub(crate) fn run_into(&self, args: &[&str], out: Stdio, err: Stdio) -> Output {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        command.spawn().unwrap().wait_with_output().unwrap()
    }

    /// The same for one that logs much.
    pub(crate) fn run_into_logging(&self, args: &[&str], out: Stdio, err: Stdio) -> Output {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        command.env("QUOIT_LOG", "trace");
        command.spawn().unwrap().wait_with_output().unwrap()
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, b"")
    }

    /// Runs a command that reads `input`.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Ended {
        let mut child = self.command(args).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        // What these commands print fits a pipe, so nobody has to read it before they end.
        let code = wait(&mut child).expect("the command ends in time");
        let output = child.wait_with_output().unwrap();
        Ended {
            code,
            out: output.stdout,
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts a cluster and waits until it is ready.
    pub(crate) fn dev(&self, data: &Path, args: &[&str]) -> Dev {
        let data = data.display().to_string();
        let all = [&["dev", "--data", &data], args].concat();
        let mut command = self.command(&all);
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            sender.send(line).ok();
        });
        let mut dev = Dev {
            child,
            ready: String::new(),
        };
        dev.ready = receiver
            .recv_timeout(SOON)
            .expect("the cluster is ready in time");
        dev
    }
}

impl Dev {
    /// Stops it as a service manager would; its exit code.
    pub(crate) fn terminate(self) -> i32 {
        self.signalled("TERM")
    }

    /// Sends it a signal that stops it; its exit code.
    pub(crate) fn signalled(mut self, name: &str) -> i32 {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
        wait(&mut self.child).expect("the cluster stops in time")
    }

    /// Stops it as a power switch would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

/// The exit code of `child`, which is killed if it takes too long; -1 if a signal ended it.
fn wait(child: &mut Child) -> Option<i32> {
    let started = Instant::now();
    while started.elapsed() < SOON {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code().unwrap_or(-1));
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    None
}

/// A program that hears SIGHUP, though these tests may run under `nohup` and ignore it.
fn hearing_hangups(program: &str) -> Command {
    if cfg!(target_os = "linux") {
        let mut command = Command::new("env");
        command.arg("--default-signal=HUP").arg(program);
        command
    } else {
        Command::new(program)
    }
}
