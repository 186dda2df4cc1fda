//! Loss of power: whatever a disk may then hold, it holds every write that was acknowledged.
//!
//! ```text
//!   node process, recorder.c preloaded --> record of its writes and syncs --> point of the crash
//!        ^                                                                           |
//!   puts, an orderly stop, kills                    images of the disk <-- synced + some of the rest
//!                                                     '--> opened: every put acknowledged by then is there
//! ```
//!
//! The recorder takes the place of the system's functions for files, so the binary that is shipped is tested as it is.
//! It needs Linux and a C compiler. Where it cannot work the test says so on standard error, and fails if `CI` is set.
//!
//! `QUOIT_IMAGES` is the number of images, 30 by default; from 100 on more is written, so that journals are sealed.
//!
//! Source: Pillai and others, *All File Systems Are Not Created Equal* (OSDI 2014).

mod image;
mod record;

use std::io::{BufRead as _, BufReader, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use quoit_node::Node;
use quoit_node::config::Config;
use quoit_node::engine::layout::{NAMESPACE, record_key};
use quoit_node::engine::{Engine as _, EngineOptions, FjallEngine, Keyspace};
use quoit_node::identity::{DataDir, Expected, IdentityError};
use quoit_node::provision::{LocalCluster, LocalOptions};
use quoit_ring::wire::Response;
use quoit_ring::{Delta, LeafBits};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;

use self::image::{Disk, Unsynced};
use self::record::{Operation, Record};
use crate::caller::{Caller, put, write};

/// How often, and how soon, a lock is looked at again that another test's child holds.
const LOOKS: u32 = 1_000;
const LOOK: Duration = Duration::from_millis(5);

/// A node whose operations on files are recorded.
struct Recorded {
    folder: TempDir,
    cluster: LocalCluster,
    recorder: PathBuf,
    /// Puts that were acknowledged: the key's number, and the length of the record by then.
    acknowledged: Vec<(usize, usize)>,
}

impl Recorded {
    /// A node that was initialised; `None` where nothing can be recorded.
    fn new() -> Option<Self> {
        let node = Self::not_initialised()?;
        node.init();
        Some(node)
    }

    fn not_initialised() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let recorder = folder.path().join("recorder.so");
        if let Err(why) = compile(&recorder) {
            cannot_run(&why);
            return None;
        }
        let options = LocalOptions {
            nodes: 1,
            replication: 1,
            leaf_bits: LeafBits::new(12).unwrap(),
            memory: 64 << 20, // small memtables: tables are written, too
            ..LocalOptions::default()
        };
        let home = folder.path().canonicalize().unwrap().join("c");
        let cluster = LocalCluster::create_or_open(&home, &options).unwrap();
        // Made before anything was recorded; it is made again.
        std::fs::remove_dir_all(home.join("node-1/data")).unwrap();
        Some(Self {
            folder,
            cluster,
            recorder,
            acknowledged: Vec::new(),
        })
    }

    /// The folder in which the node has all its files.
    fn root(&self) -> PathBuf {
        let config = &self.cluster.nodes()[0].config;
        config.parent().unwrap().canonicalize().unwrap()
    }

    fn record(&self) -> PathBuf {
        self.folder.path().join("record")
    }

    fn die(&self) -> PathBuf {
        self.folder.path().join("die")
    }

    fn init(&self) {
        let status = self.command(&["init"]).status().unwrap();
        assert!(status.success());
    }

    /// The node's program, recorded.
    fn command(&self, verb: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quoit-node"));
        command
            .args(verb)
            .arg("--config")
            .arg(&self.cluster.nodes()[0].config)
            .env("LD_PRELOAD", &self.recorder)
            .env("QUOIT_RECORD_ROOT", self.root())
            .env("QUOIT_RECORD_LOG", self.record())
            .env("QUOIT_RECORD_DIE", self.die())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    /// Starts the node; the first sync of a journal from the `failing` one on fails.
    fn start(&self, failing: Option<u32>) -> Running {
        let mut command = self.command(&[]);
        if let Some(failing) = failing {
            command.env("QUOIT_RECORD_FAIL", failing.to_string());
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let output = child.stdout.as_mut().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        Running {
            child,
            ready: line.contains("ready"),
        }
    }

    fn caller(&self) -> Caller {
        let address = self.cluster.nodes()[0].address;
        Caller::connect(&self.folder.path().join("c/certs"), "client", address).unwrap()
    }

    /// Puts one key; it counts once it is acknowledged.
    fn put(&mut self, caller: &mut Caller, number: usize, delta: &Delta) {
        assert_eq!(caller.ask(put(&key(number), delta)), Response::Joined);
        self.count(number);
    }

    fn count(&mut self, number: usize) {
        let record = std::fs::metadata(self.record()).map_or(0, |record| record.len());
        self.acknowledged
            .push((number, usize::try_from(record).unwrap()));
    }

    fn load(&self) -> Option<Record> {
        let record = Record::parse(std::fs::read(self.record()).unwrap_or_default());
        if !record.is_of_an_engine() {
            cannot_run("the recorder was not loaded into the node");
            return None;
        }
        Some(record)
    }

    /// Checks the disk `disk`, as it was when the record had `length` bytes.
    fn check(&self, disk: &Disk, record: &[u8], length: usize, how: (Unsynced, u64)) {
        let (unsynced, seed) = how;
        let image = tempfile::tempdir().unwrap();
        let mut rng = SmallRng::seed_from_u64(seed);
        disk.write(record, (&self.root(), image.path()), unsynced, &mut rng);

        let what = format!("{unsynced:?} of the rest, at byte {length} of the record, seed {seed}");
        let acknowledged: Vec<_> = (self.acknowledged.iter())
            .filter(|(_, by)| *by <= length)
            .collect();
        let data = image.path().join("data");
        let dir = match self.open(&data) {
            Ok(dir) => dir,
            Err(cut) if acknowledged.is_empty() && was_cut_short(&cut) => {
                self.init_again(data, &what);
                return;
            }
            Err(error) => panic!("{error}: {what}"),
        };
        let store = dir.store();
        let engine = FjallEngine::open(&store, EngineOptions::default());
        let engine = engine.unwrap_or_else(|error| panic!("{error:?}: {what}"));
        for (number, _) in acknowledged {
            let stored = engine.get(
                Keyspace::Records,
                &record_key(NAMESPACE, key(*number).as_bytes()),
            );
            let stored = stored
                .unwrap()
                .unwrap_or_else(|| panic!("{number} is lost: {what}"));
            let begin = begin(*number);
            let found = stored
                .windows(begin.len())
                .any(|part| part == begin.as_bytes());
            assert!(found, "{number} is another: {what}");
        }
    }
}

impl Recorded {
    fn open(&self, data: &Path) -> Result<DataDir, IdentityError> {
        let (cluster, node) = (None, self.cluster.nodes()[0].id);
        DataDir::open(data, Expected { cluster, node })
    }

    /// An initialisation that was cut short is gone on with.
    fn init_again(&self, data: PathBuf, what: &str) {
        let mut config = Config::load(&self.cluster.nodes()[0].config).unwrap();
        config.data = data;
        let done = Node::init(&config);
        done.unwrap_or_else(|error| panic!("{error:?}: {what}"));
        // A process that another test of this binary starts holds the lock, too, from its fork to its exec.
        let in_use =
            |opened: &Result<DataDir, _>| matches!(opened, Err(IdentityError::InUse { .. }));
        let mut opened = self.open(&config.data);
        for _ in 0..LOOKS {
            if !in_use(&opened) {
                break;
            }
            std::thread::sleep(LOOK);
            opened = self.open(&config.data);
        }
        opened.unwrap();
    }
}

/// Whether no node can have run: nothing is there, or it is not complete.
const fn was_cut_short(error: &IdentityError) -> bool {
    matches!(
        error,
        IdentityError::NoDirectory { .. }
            | IdentityError::NotInitialised { .. }
            | IdentityError::Incomplete { .. }
    )
}

/// A node's process; killed with the test, however that ends.
struct Running {
    child: Child,
    ready: bool,
}

impl Running {
    fn stop(self) -> Option<i32> {
        self.end("TERM")
    }

    /// Ends it at once, after an operation that is recorded: killed from outside, it could have made one that is not.
    fn kill(self) -> Option<i32> {
        self.end("USR2")
    }

    fn end(mut self, signal: &str) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.unwrap().success());
        self.child.wait().unwrap().code()
    }

    /// Waits until it ends by itself.
    fn wait(mut self) -> Option<i32> {
        for _ in 0..400 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the node goes on: no journal was synced");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill().is_ok() && self.child.wait().is_ok();
    }
}

fn compile(recorder: &Path) -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("the recorder is for Linux".to_owned());
    }
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/serving/power_loss/recorder.c"
    );
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(recorder)
        .arg(source)
        .output()
        .map_err(|error| format!("the C compiler `cc` cannot be started: {error}"))?;
    match compiled.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&compiled.stderr).into_owned()),
    }
}

fn cannot_run(why: &str) {
    // Not `eprintln!`: the test harness would keep it to itself.
    let said = format!("\nNOT TESTED: the loss of power: {why}\n\n");
    std::io::stderr().write_all(said.as_bytes()).unwrap();
    assert!(std::env::var_os("CI").is_none(), "not tested: {why}");
}

fn key(number: usize) -> String {
    format!("key-{number}")
}

/// How the value of a key begins.
fn begin(number: usize) -> String {
    format!("<value {number}>")
}

fn value(number: usize) -> Delta {
    // Small ones share a page, large ones take several writes.
    let length = [10, 300, 5_000, 100_000][number % 4];
    // The engine compresses; so each repeats little.
    let mut rng = SmallRng::seed_from_u64(number as u64);
    let text = (0..length).map(|_| char::from(rng.random_range(b'!'..=b'~')));
    write(&(begin(number) + &text.collect::<String>()), 0)
}

fn images() -> u64 {
    std::env::var("QUOIT_IMAGES").map_or(30, |images| images.parse().unwrap())
}

#[test]
fn no_loss_of_power_loses_an_acknowledged_write() {
    let Some(mut node) = Recorded::new() else {
        return;
    };
    let puts = if images() < 100 { 240 } else { 1_500 };
    let mut number = 0;
    for orderly in [true, false] {
        let running = node.start(None);
        assert!(running.ready);
        let mut caller = node.caller();
        for _ in 0..puts {
            let delta = value(number);
            node.put(&mut caller, number, &delta);
            number += 1;
        }
        match orderly {
            true => running.stop(),
            false => running.kill(),
        };
    }

    // Killed with a write in the system's cache and not on the disk; the client then repeats that write.
    let running = node.start(None);
    let mut caller = node.caller();
    std::fs::write(node.die(), "").unwrap();
    let delta = value(number);
    caller.send(put(&key(number), &delta));
    assert_eq!(running.wait(), None, "killed");
    std::fs::remove_file(node.die()).unwrap();
    let running = node.start(None);
    let mut caller = node.caller();
    node.put(&mut caller, number, &delta);
    running.kill();

    let Some(record) = node.load() else { return };
    let mut rng = SmallRng::seed_from_u64(1);
    let last = record.operations.len() - 1;
    let mut points: Vec<_> = (1..images()).map(|_| rng.random_range(0..=last)).collect();
    points.push(last);
    points.sort_unstable();
    let mut disk = Disk::default();
    let mut applied = 0;
    for (seed, point) in (0..).zip(points) {
        for (_, operation) in &record.operations[applied..=point] {
            disk.apply(operation);
        }
        applied = point + 1;
        let unsynced = match seed % 4 {
            _ if point == last => Unsynced::Nothing,
            0 => Unsynced::Nothing,
            1 => Unsynced::All,
            _ => Unsynced::Some,
        };
        node.check(
            &disk,
            &record.bytes,
            record.operations[point].0,
            (unsynced, seed),
        );
    }
    println!(
        "{} puts, {} operations, {} images: nothing is lost",
        node.acknowledged.len(),
        record.operations.len(),
        images()
    );
}

#[test]
fn an_initialisation_that_loses_power_anywhere_is_gone_on_with_and_a_finished_one_is_durable() {
    let Some(node) = Recorded::not_initialised() else {
        return;
    };
    node.init();
    let Some(record) = node.load() else { return };
    let last = record.operations.len() - 1;
    let step = (record.operations.len() as u64).div_ceil(images()).max(1);
    let mut disk = Disk::default();
    for (seed, (length, operation)) in (0..).zip(&record.operations) {
        disk.apply(operation);
        if seed % step == 0 {
            let unsynced = match seed / step % 3 {
                0 => Unsynced::Nothing,
                1 => Unsynced::All,
                _ => Unsynced::Some,
            };
            node.check(&disk, &record.bytes, *length, (unsynced, seed));
        }
    }

    let image = tempfile::tempdir().unwrap();
    let mut rng = SmallRng::seed_from_u64(0);
    let to = (&*node.root(), image.path());
    disk.write(&record.bytes, to, Unsynced::Nothing, &mut rng);
    let opened = node.open(&image.path().join("data"));
    assert!(opened.is_ok(), "{opened:?} after {last} operations");
}

#[test]
fn after_a_failed_sync_nothing_more_is_acknowledged() {
    // The first few fail the start, the rest a put.
    let failing = if images() < 100 {
        vec![1, 2, 4, 9]
    } else {
        (1..=50).collect()
    };
    for failing in failing {
        let Some(mut node) = Recorded::new() else {
            return;
        };
        let running = node.start(Some(failing));
        if !running.ready {
            assert_eq!(running.wait(), Some(2), "at sync {failing}");
            continue;
        }
        let mut caller = node.caller();
        let mut number = 0;
        loop {
            let delta = value(number);
            // If the sync of an idle node fails, the connection ends, which the caller takes for a panic.
            let ask = AssertUnwindSafe(|| caller.ask(put(&key(number), &delta)));
            match catch_unwind(ask) {
                Ok(Response::Joined) => node.count(number),
                Ok(Response::Refused(_)) | Err(_) => break,
                Ok(other) => panic!("{other:?}"),
            }
            number += 1;
            assert!(number <= 60, "no sync has failed");
        }
        assert_eq!(running.wait(), Some(1), "at sync {failing}");

        let Some(record) = node.load() else { return };
        let mut disk = Disk::default();
        for (_, operation) in &record.operations {
            disk.apply(operation);
        }
        node.check(
            &disk,
            &record.bytes,
            record.bytes.len(),
            (Unsynced::Nothing, 0),
        );
    }
}

#[test]
fn what_a_start_reads_back_is_synced_by_the_library_and_by_the_node() {
    // A repeated write is acknowledged as already stored, so what a start has read back must be durable. fjall 3.1 syncs
    // its last journal when it opens; it does not promise that, so the node syncs, too.
    let Some(mut node) = Recorded::new() else {
        return;
    };
    let running = node.start(None);
    let mut caller = node.caller();
    node.put(&mut caller, 0, &value(0));
    running.kill();
    let before = node.load().map_or(0, |record| record.operations.len());
    node.start(None).kill();
    let Some(record) = node.load() else { return };
    let syncs = record.operations[before..].iter().filter(|(_, one)| {
        matches!(one, Operation::SyncFile { path, .. } if path.extension().is_some_and(|e| e == "jnl"))
    });
    assert!(syncs.count() >= 2);
}
