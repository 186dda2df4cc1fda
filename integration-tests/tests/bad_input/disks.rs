//! A disk that was restored or copied: the other members know of runs that it does not.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use quoit_client::Client;
use quoit_integration_tests::cluster::Cluster;
use quoit_node::config::Config;
use quoit_node::{Node, StartError};
use tokio::time::sleep;

use crate::support::{SOON, assert_unharmed, cluster_of, sentence};

/// How long members have to answer a node that starts: they do so at once, on any machine that is not starved.
const PATIENT: Duration = Duration::from_secs(5);
/// How often it is looked whether a run is heard: for minutes.
const LOOKS: usize = 1_200;

fn config(cluster: &Cluster, node: usize) -> Config {
    Config {
        ask_within: PATIENT,
        ..Config::load(&cluster.local().nodes()[node].config).unwrap()
    }
}

/// Starts a node in this process and stops it; why it did not start otherwise. On a thread of its own: starting blocks.
fn run_once(config: Config) -> Result<(), Box<StartError>> {
    let run = move || {
        let node = Node::start(&config).map_err(Box::new)?;
        node.stop(SOON).unwrap();
        Ok(())
    };
    thread::spawn(run).join().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Waits until both others have heard that run of the first node.
async fn until_heard(client: &Client, cluster: &Cluster, run: u64) {
    for _ in 0..LOOKS {
        let reports = client.members().await;
        let heard = reports.iter().filter(|report| {
            let seen = report.seen.as_ref().map(|seen| &seen.members[..]);
            seen.unwrap_or_default().iter().any(|member| {
                cluster.position(member.node) == Some(0)
                    && member.was_heard
                    && member.incarnation == run
            })
        });
        if heard.count() == 2 {
            return;
        }
        sleep(SOON / 100).await;
    }
    panic!("run {run} is not heard");
}

#[tokio::test]
async fn a_disk_restored_from_before_the_last_run_is_refused_and_the_latest_one_is_not() {
    let (mut cluster, client) = cluster_of(3, "").await;
    until_heard(&client, &cluster, 1).await;
    cluster.stop(0).await.unwrap();
    let (original, folder) = (config(&cluster, 0), tempfile::tempdir().unwrap());
    let restored = Config {
        data: folder.path().join("restored"),
        ..original.clone()
    };
    copy(&original.data, &restored.data);
    cluster.start_node(0).unwrap();
    until_heard(&client, &cluster, 2).await;
    cluster.kill(0).unwrap();

    let error = run_once(restored.clone()).unwrap_err();
    assert!(
        matches!(
            *error,
            StartError::RanElsewhere {
                run: 2,
                latest: 2,
                ..
            }
        ),
        "{error:?}"
    );
    let said = sentence(&*error);
    assert!(said.contains("start it on its latest disk"), "{said}");

    // The latest disk is not the worse for it, though its last run was killed.
    cluster.restart(0).await.unwrap();
    until_heard(&client, &cluster, 3).await;
    cluster.stop(0).await.unwrap();
    let accepted = Config {
        accept_older_disk: true,
        ..restored.clone()
    };
    let (stop, stopped) = mpsc::channel::<()>();
    let accepted = thread::spawn(move || {
        let node = Node::start(&accepted).unwrap();
        let _awaited = stopped.recv();
        node.stop(SOON).unwrap();
    });
    until_heard(&client, &cluster, 4).await;
    drop(stop);
    accepted.join().unwrap();
    let later = run_once(original).unwrap_err();
    assert!(
        matches!(*later, StartError::RanElsewhere { latest: 4, .. }),
        "now that one is the older: {later:?}"
    );

    run_once(restored).expect("what was accepted once is the latest");
    client.close().await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_copy_of_a_disk_that_is_served_is_refused() {
    let (cluster, client) = cluster_of(3, "").await;
    until_heard(&client, &cluster, 1).await;
    let folder = tempfile::tempdir().unwrap();
    let mut second = config(&cluster, 0);
    let copied = folder.path().join("copied");
    copy(&second.data, &copied);
    second.data = copied;
    second.listen.set_port(0);

    let error = run_once(second.clone()).unwrap_err();
    assert!(
        matches!(*error, StartError::RunsElsewhere { .. }),
        "{error:?}"
    );
    let said = sentence(&*error);
    assert!(said.contains("delete this copy"), "{said}");
    client.close().await;
    assert_unharmed(cluster).await;
}
