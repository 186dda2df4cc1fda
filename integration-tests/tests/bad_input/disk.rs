//! A disk that is full: 64 MiB of it, in a mount namespace that only the node sees.
//!
//! ```text
//!   holder   unshare -m: mounts a tmpfs with the initialised node over its data directory, then keeps it alive
//!   node     nsenter -t HOLDER -m: sees the tmpfs, started any number of times
//!   more     nsenter ... mount -o remount,size=...: there is space again
//! ```
//!
//! Where this is not permitted the tests say so and are skipped.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use quoit_client::{Client, Consistency, Outcome, Stored, WriteError};
use quoit_integration_tests::cluster::{Clients as _, Cluster, program, settings};
use quoit_integration_tests::node_binary;
use quoit_node::config::Durability;
use quoit_ring::wire::{Fault, Refusal, Warning, WarningKind};
use tokio::time::sleep;

/// Bytes of one value: a few hundred of them fill the disk.
const VALUE: usize = 64 << 10;

/// What the nodes keep of their disks for removals: a part that fits a small one.
const RESERVE_MIB: u32 = 8;

/// A small disk; only programs started through [`Disk::launcher`] see its mount.
struct Disk {
    holder: Child,
    mounted: String,
}

impl Disk {
    /// Mounts one over `folder`, or returns why that is impossible.
    fn mount(folder: &Path, mib: u32) -> Result<Self, String> {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let mounted = folder.display().to_string();
        // The node was initialised in the folder; its disk begins with what that made.
        let script = format!(
            "cp -a '{mounted}' '{mounted}.first' && mount -t tmpfs -o size={mib}m tmpfs '{mounted}' \
             && cp -a '{mounted}.first/.' '{mounted}' && echo ready && exec sleep 600"
        );
        let mut holder = Command::new("unshare")
            .args(["-m", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        let said = holder.stdout.take().ok_or("no output")?;
        let read = std::io::BufRead::read_line(&mut std::io::BufReader::new(said), &mut line);
        let disk = Self { holder, mounted };
        match read {
            Ok(_) if line == "ready\n" => Ok(disk),
            _ => Err("mounting is not permitted here".to_owned()),
        }
    }

    /// The command line in front of a program that has to see the disk.
    fn launcher(&self) -> Vec<OsString> {
        let holder = self.holder.id().to_string();
        ["nsenter", "-t", &holder, "-m", "--"]
            .map(OsString::from)
            .to_vec()
    }

    fn resize(&self, mib: u32) {
        self.remount(&format!("size={mib}m"));
    }

    fn remount(&self, options: &str) {
        let launcher = self.launcher();
        let status = Command::new(&launcher[0])
            .args(&launcher[1..])
            .args(["mount", "-o", &format!("remount,{options}"), &self.mounted])
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ended = self.holder.kill().is_ok() && self.holder.wait().is_ok();
    }
}

/// A cluster whose first node has a small disk. Where that is impossible it says why and returns `None`, and fails if `CI`
/// is set.
async fn with_small_disk(nodes: usize, copies: u8) -> Option<(Cluster, Disk)> {
    let mut options = settings(nodes);
    options.local.replication = copies;
    options.local.durability = Durability::Fsync;
    options.node_settings = format!("disk_reserve = \"{RESERVE_MIB}MiB\"\n");
    let mut cluster = Cluster::new(program(node_binary!()), &options).unwrap();
    let disk = match Disk::mount(&cluster.folder(0).join("data"), 64) {
        Ok(disk) => disk,
        Err(why) => {
            eprintln!("not tested, a small disk cannot be mounted: {why}");
            assert!(std::env::var_os("CI").is_none(), "not tested: {why}");
            return None;
        }
    };
    cluster.launch_with(0, disk.launcher());
    cluster.start_all().await.unwrap();
    Some((cluster, disk))
}

fn value(number: usize) -> Vec<u8> {
    let mut state = u64::try_from(number).unwrap() + 1;
    (0..VALUE)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .collect()
}

/// Writes until a write fails, and small ones, too: a little space may be left for those when there is none for a large
/// one. Returns how many large ones were acknowledged, and their last failure.
async fn fill(client: &Client, w: u8) -> (usize, WriteError) {
    let mut number = 0;
    for _ in 0..4_000 {
        let large = client.put(format!("key-{number}"), value(number)).w(w);
        let Err(error) = large.await else {
            number += 1;
            continue;
        };
        if !says_no_space(&error) || client.put("small", "v").w(w).await.is_err() {
            return (number, error);
        }
    }
    panic!("the disk holds more than 250 MiB");
}

async fn assert_readable(client: &Client, count: usize) {
    for number in 0..count {
        let entry = client.get(format!("key-{number}")).await.unwrap();
        assert!(
            entry.value().is_some_and(|found| found == &value(number)),
            "key-{number}"
        );
    }
}

fn says_no_space(error: &WriteError) -> bool {
    let full = |outcome: &Outcome| *outcome == Outcome::Refused(Refusal::Storage(Fault::NoSpace));
    match error {
        WriteError::Unknown { attempts, .. }
        | WriteError::NotStored { attempts, .. }
        | WriteError::UnderReplicated { attempts, .. } => attempts.iter().any(|a| full(&a.outcome)),
        _ => false,
    }
}

/// Writes until the node of the disk that was full takes writes again: it looks about once a second.
async fn write_again(client: &Client, w: u8) {
    let mut back = client.put("after", "space again").w(w).await;
    for _ in 0..100 {
        if back.is_ok() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
        back = client.put("after", "space again").w(w).await;
    }
    back.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_writes_by_name_and_loses_nothing_acknowledged() {
    let Some((cluster, disk)) = with_small_disk(1, 1).await else {
        return;
    };
    let client = cluster.client().await.unwrap();
    let (acked, error) = fill(&client, 1).await;
    println!("{acked} values of 64 KiB were acknowledged on 64 MiB; then: {error}");
    assert!(acked > 100, "only {acked} values fit");
    assert!(says_no_space(&error), "{error:?}");
    assert_eq!(error.stored(), Stored::No, "no write was begun");
    assert!(
        error.to_string().contains("the disk is full: free space"),
        "{error}"
    );
    // Refused before the disk is quite full, so the node lives: reads go on, every write gets the same refusal.
    assert_readable(&client, acked).await;
    let again = client.put("small", "v").await.unwrap_err();
    assert!(says_no_space(&again), "{again:?}");
    assert!(
        cluster.log(0).contains("no space is left on the disk"),
        "{}",
        cluster.log(0)
    );

    disk.resize(512);
    write_again(&client, 1).await;
    assert_readable(&client, acked).await;
    assert_eq!(
        client.get("after").await.unwrap().value().unwrap(),
        "space again"
    );
    client.close().await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn while_one_of_three_disks_is_full_reads_and_quorum_writes_go_on() {
    let Some((cluster, disk)) = with_small_disk(3, 3).await else {
        return;
    };
    let client = cluster.client().await.unwrap();
    let (acked, error) = fill(&client, 3).await;
    assert!(says_no_space(&error), "{error:?}");
    for number in 0..50 {
        client.put(format!("more-{number}"), "v").await.unwrap();
    }
    assert_readable(&client, acked).await;

    disk.resize(512);
    write_again(&client, 3).await;
    assert_readable(&client, acked).await;
    client.close().await;
    cluster.shut_down().await.unwrap();
}

/// How many hints the first node keeps.
async fn kept(client: &Client, cluster: &Cluster) -> u64 {
    let reports = client.hints().await;
    let of_first = reports
        .iter()
        .find(|report| cluster.position(report.member.id) == Some(0));
    let kept = of_first.unwrap().kept.as_ref().unwrap();
    kept.iter().map(|kept| kept.count).sum()
}

/// Deletes a key. While tables are merged even the reserve may be in use.
async fn delete(client: &Client, number: usize) {
    let mut done = client.delete(format!("key-{number}")).await;
    for _ in 0..100 {
        let Err(error) = &done else { break };
        assert!(says_no_space(error), "{error:?}");
        sleep(Duration::from_millis(100)).await;
        done = client.delete(format!("key-{number}")).await;
    }
    done.unwrap();
}

/// What the first node warns of.
async fn warnings(client: &Client, cluster: &Cluster) -> Vec<Warning> {
    let reports = client.status().await;
    let of_first = (reports.into_iter())
        .find(|report| cluster.position(report.member.id) == Some(0))
        .unwrap();
    of_first.status.unwrap().warnings
}

/// The node whose disk fills up keeps hints for the other one, which is away.
#[tokio::test]
async fn a_disk_that_fills_up_stops_with_hints_and_goes_on_with_deletes_and_deliveries() {
    let Some((mut cluster, disk)) = with_small_disk(2, 2).await else {
        return;
    };
    let one = (cluster.client_builder()).consistency(Consistency::One);
    let client = one.connect().await.unwrap();
    cluster.kill(1).unwrap();
    // The client notices after a second or two; from then on it has hints kept.
    for _ in 0..100 {
        client.put("first", "v").await.unwrap();
        if kept(&client, &cluster).await > 0 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let (acked, error) = fill(&client, 1).await;
    assert!(says_no_space(&error), "{error:?}");

    let hints = kept(&client, &cluster).await;
    println!("{acked} values of 64 KiB were acknowledged, {hints} hints kept");
    assert!(hints > 10 && hints < acked as u64, "{hints} of {acked}");
    let log = cluster.log(0);
    let at = |line| log.find(line).unwrap_or_else(|| panic!("{line}: {log}"));
    assert!(at("no hints are kept") < at("no space is left on the disk"));

    for number in 0..20 {
        delete(&client, number).await;
    }
    let shown = warnings(&client, &cluster).await;
    let full = |warning: &&Warning| warning.kind == WarningKind::DiskSpace;
    let warning = shown.iter().find(full).unwrap();
    assert!(
        warning.count > 0 && warning.text.contains("are refused"),
        "{warning:?}"
    );
    let again = client.put("small", "v").w(1).await.unwrap_err();
    assert!(says_no_space(&again), "{again:?}");

    cluster.start_node(1).unwrap();
    for _ in 0..600 {
        if kept(&client, &cluster).await == 0 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(kept(&client, &cluster).await, 0, "all are delivered");
    let reader = cluster.client().await.unwrap();
    for number in 0..acked {
        let entry = reader.get(format!("key-{number}")).await.unwrap();
        let expected = (number >= 20).then(|| value(number));
        assert_eq!(
            entry.value().map(|found| found.to_vec()),
            expected,
            "{number}"
        );
    }

    disk.resize(512);
    write_again(&client, 2).await;
    let shown = warnings(&client, &cluster).await;
    assert!(!shown.iter().any(|w| full(&w)), "{shown:?}");
    reader.close().await;
    client.close().await;
    cluster.shut_down().await.unwrap();
}

/// As Linux leaves a file system in which it found damage.
#[tokio::test]
async fn a_node_does_not_start_on_a_disk_that_has_become_read_only_and_loses_nothing() {
    let Some((mut cluster, disk)) = with_small_disk(1, 1).await else {
        return;
    };
    let client = cluster.client().await.unwrap();
    for number in 0..50 {
        let put = client.put(format!("key-{number}"), value(number));
        put.await.unwrap();
    }
    client.close().await;

    // While files are open for writing no mount can be made read-only by hand.
    cluster.kill(0).unwrap();
    disk.remount("ro");
    let refused = cluster.restart(0).await;
    assert!(refused.is_err(), "it has nothing to write to");
    assert!(
        cluster.log(0).contains("Read-only file system"),
        "{}",
        cluster.log(0)
    );

    disk.remount("rw");
    cluster.restart(0).await.unwrap();
    let client = cluster.client().await.unwrap();
    assert_readable(&client, 50).await;
    client.put("after", "writable again").await.unwrap();
    client.close().await;
    cluster.shut_down().await.unwrap();
}
