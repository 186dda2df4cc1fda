//! The binary: its ready line, signals, exit codes, and how clients notice a `kill -9`.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use quinn::ConnectionError;
use quoit_node::config::Config;
use quoit_node::engine::layout::META_CLOCK;
use quoit_node::engine::{Batch, Durability, Engine as _, EngineOptions, FjallEngine, Keyspace};
use quoit_node::provision::{LocalCluster, LocalOptions};
use quoit_ring::wire::Response;
use quoit_ring::{LeafBits, Millis, Time};
use tempfile::TempDir;

use crate::caller::{Caller, TIMEOUT, get, put, value_of, wall, write};

/// A cluster of one node, run as a process at a port of its own.
pub(crate) struct Home {
    folder: TempDir,
    cluster: LocalCluster,
}

pub(crate) fn home() -> Home {
    let folder = tempfile::tempdir().unwrap();
    let leaf_bits = LeafBits::new(12).unwrap();
    let options = LocalOptions {
        nodes: 1,
        replication: 1,
        leaf_bits,
        ..LocalOptions::default()
    };
    let cluster = LocalCluster::create_or_open(&folder.path().join("c"), &options).unwrap();
    Home { folder, cluster }
}

impl Home {
    pub(crate) fn config(&self) -> &Path {
        &self.cluster.nodes()[0].config
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.cluster.nodes()[0].address
    }

    pub(crate) fn certs(&self) -> PathBuf {
        self.folder.path().join("c/certs")
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller::connect(&self.certs(), "client", self.address()).unwrap()
    }
}

fn command(config: &Path) -> Command {
    let mut command = hearing_hangups(env!("CARGO_BIN_EXE_quoit-node"));
    command
        .arg("--config")
        .arg(config)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
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

/// A node's process; ended with the test, however that ends.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a node and waits for its ready line.
    pub(crate) fn start(config: &Path) -> (Self, String) {
        let mut command = command(config);
        command.stderr(Stdio::null());
        Self::of(command)
    }

    fn of(mut command: Command) -> (Self, String) {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        (Self(child), line)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    fn wait(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; there is nothing more to do then.
        let _ended = self.0.kill().is_ok() && self.0.wait().is_ok();
    }
}

#[test]
fn a_signal_stops_the_node_in_order_and_it_starts_again() {
    let home = home();
    for name in ["TERM", "INT", "HUP"] {
        let (process, line) = Process::start(home.config());
        let node = &home.cluster.nodes()[0];
        assert_eq!(
            line,
            format!("quoit-node {} ready at {}\n", node.id, node.address)
        );
        assert_eq!(
            home.caller().ask(put("k", &write(name, 0))),
            Response::Joined
        );
        process.signal(name);
        assert_eq!(process.wait().code(), Some(0));
    }
    let (_process, _line) = Process::start(home.config());
    assert_eq!(value_of(&home.caller().ask(get("k"))), b"HUP");
}

/// A standard error that takes nothing: a full disk, or a pipe whose reader has gone.
fn unwilling() -> [Stdio; 2] {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    [full.into(), writer.into()]
}

#[test]
fn a_node_whose_log_goes_nowhere_serves_and_stops_in_order() {
    let home = home();
    for (round, errors) in unwilling().into_iter().enumerate() {
        let mut loud = command(home.config());
        loud.env("QUOIT_LOG", "trace").stderr(errors);
        let (process, line) = Process::of(loud);
        assert!(line.contains(" ready at "), "{line}");
        let value = round.to_string();
        assert_eq!(
            home.caller().ask(put("k", &write(&value, 0))),
            Response::Joined
        );
        assert_eq!(value_of(&home.caller().ask(get("k"))), value.as_bytes());
        process.signal("TERM");
        assert_eq!(process.wait().code(), Some(0));
    }
}

#[test]
fn what_the_engine_says_itself_is_in_the_log_of_whoever_asks() {
    let home = home();
    for (asked, is_there) in [(None, false), (Some("info"), true)] {
        let log = home.folder.path().join("log");
        let mut plain = command(home.config());
        plain
            .env_remove("QUOIT_LOG")
            .envs(asked.map(|filter| ("QUOIT_LOG", filter)))
            .stderr(File::create(&log).unwrap());
        let (process, _line) = Process::of(plain);
        process.signal("TERM");
        assert_eq!(process.wait().code(), Some(0));
        let said = std::fs::read_to_string(log).unwrap();
        assert!(said.contains("serving"), "the node's own lines: {said}");
        let mut lines = said.lines();
        let engine = lines.any(|line| line.contains("fjall") && line.contains("database"));
        assert_eq!(engine, is_there, "{asked:?}: {said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_node_that_was_started_to_outlive_its_terminal_does() {
    let home = home();
    let mut deaf = Command::new("nohup");
    deaf.arg(env!("CARGO_BIN_EXE_quoit-node"))
        .arg("--config")
        .arg(home.config());
    deaf.stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let (process, _line) = Process::of(deaf);
    process.signal("HUP");
    assert_eq!(
        home.caller().ask(put("k", &write("v", 0))),
        Response::Joined
    );
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn a_killed_node_keeps_what_it_acknowledged_and_resets_old_connections_once_it_is_back() {
    let home = home();
    let (process, _line) = Process::start(home.config());
    let mut caller = home.caller();
    assert_eq!(caller.ask(put("k", &write("kept", 0))), Response::Joined);
    process.signal("KILL");
    assert_eq!(process.wait().code(), None);

    let (_process, _line) = Process::start(home.config());
    caller.send(get("k"));
    let closed = async { tokio::time::timeout(TIMEOUT / 4, caller.connection.closed()).await };
    let end = caller.runtime.block_on(closed).unwrap();
    assert!(
        matches!(end, ConnectionError::Reset),
        "{end}: noticed only by a timeout"
    );
    assert_eq!(value_of(&home.caller().ask(get("k"))), b"kept");
}

/// How the binary ends with `config`, and what it says.
fn refused(config: &Path) -> (Option<i32>, String) {
    let output = command(config).output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_node_that_cannot_start_says_why_and_returns_2_or_7_if_it_may_later() {
    let home = home();
    let (code, printed) = refused(&PathBuf::from("/no/such/node.toml"));
    assert_eq!(code, Some(2));
    assert!(
        printed.contains("cannot read the configuration /no/such/node.toml"),
        "{printed}"
    );

    let (_process, _line) = Process::start(home.config());
    let (code, printed) = refused(home.config());
    assert_eq!(code, Some(7));
    assert!(
        printed.contains("another node is running on the data directory"),
        "{printed}"
    );
    assert!(!printed.contains('\u{1b}'), "no colours for a pipe");
}

#[test]
fn a_clock_behind_the_stored_mark_is_no_reason_to_give_up() {
    let home = home();
    let config = Config::load(home.config()).unwrap();
    let year = Millis(wall().0 + 365 * 86_400_000);
    let engine = FjallEngine::open(&config.data.join("store"), EngineOptions::default()).unwrap();
    let mut batch = Batch::new();
    let mark = Time::at(year).0.to_be_bytes().to_vec();
    batch.insert(Keyspace::Meta, META_CLOCK, mark);
    engine.commit(batch, Durability::Fsync).unwrap();
    drop(engine);

    let (code, printed) = refused(home.config());
    assert_eq!(code, Some(7), "{printed}");
    assert!(printed.contains("set the clock"), "{printed}");
}

#[test]
fn a_taken_port_is_no_reason_to_give_up() {
    let home = home();
    let _taken = std::net::UdpSocket::bind(home.cluster.nodes()[0].address).unwrap();
    let (code, printed) = refused(home.config());
    assert_eq!(code, Some(7), "{printed}");
    assert!(printed.contains("is in use"), "{printed}");
}
