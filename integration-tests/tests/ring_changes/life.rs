//! The life of a cluster: it grows, shrinks, and loses a disk.
//!
//! ```text
//!   3 --two join in one change--> 5 --the newest leaves--> 4 --the oldest leaves--> 3 --kill -9, replaced--> 3
//! ```

use quoit_ring::NodeId;
use quoit_ring::placement::join;

use crate::TURNS;
use crate::load::Load;
use crate::support::{Scene, leave};

const KEYS: usize = 1_000;

#[tokio::test]
async fn a_ring_grows_shrinks_and_replaces_a_dead_node_under_load_and_no_request_fails() {
    let _turn = TURNS.acquire().await.unwrap();
    let mut scene = Scene::start(3).await;
    let load = Load::start(&scene.cluster, KEYS).await;

    let [fourth, fifth] = [scene.newcomer().await, scene.newcomer().await];
    let (oldest, newest) = (scene.now().await.map.members[0].id, fifth.id);
    let grown = scene
        .change(|map| {
            join(map, fourth.clone(), 1).unwrap();
            join(map, fifth.clone(), 2).unwrap();
        })
        .await;
    assert_eq!(grown.map.members.len(), 5);
    scene.change(|map| leave(map, newest)).await;
    let shrunk = scene.change(|map| leave(map, oldest)).await;
    assert_eq!(shrunk.map.members.len(), 3);

    let dead = fourth.id;
    let node = scene.position(dead);
    assert!(scene.cluster.kill(node).unwrap());
    let sixth = scene.newcomer().await;
    let replaced = scene
        .change(|map| {
            let old = map.members.iter().find(|it| it.id == dead).unwrap();
            let vnodes = old.vnodes.clone();
            leave(map, dead);
            map.members.push(sixth.clone().into_member(vnodes));
            map.members.sort_by_key(|it| it.id);
        })
        .await;

    let keys = load
        .stop(&scene.cluster, "3 -> 5 -> 4 -> 3, one replaced")
        .await;
    let mut gone = vec![newest, oldest, dead];
    gone.sort_unstable();
    assert_eq!(replaced.removed, gone);
    for node in gone {
        refuse_to_start(&mut scene, node).await;
    }
    scene.until_rows_lie_where_they_belong(&keys).await;
    scene.cluster.shut_down().await.unwrap();
}

/// One that was removed is let in no more, and says so.
async fn refuse_to_start(scene: &mut Scene, removed: NodeId) {
    let node = scene.position(removed);
    scene.cluster.stop(node).await.unwrap();
    let (status, log) = scene.start_in_vain(node).await;
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("was removed from cluster"), "{log}");
}
