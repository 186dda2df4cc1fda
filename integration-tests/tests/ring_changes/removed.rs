//! A member that is replaced while it is away, and comes back with what it knew before.
//!
//! ```text
//!   n1 dies --> replaced --> n1 starts: it knows nothing of that, and everybody refuses it
//!                             '--> ends with 2, its disk marked; never starts again
//! ```

use quoit_ring::placement::join;

use crate::TURNS;
use crate::support::{Scene, leave};

#[tokio::test]
async fn a_node_that_was_removed_while_it_was_away_ends_and_does_not_start_again() {
    let _turn = TURNS.acquire().await.unwrap();
    let mut scene = Scene::start(3).await;
    let other = scene.newcomer().await;
    let dead = scene.now().await.map.members[0].id;
    let node = scene.position(dead);
    assert!(scene.cluster.kill(node).unwrap());
    let now = scene
        .change(|map| {
            join(map, other.clone(), 1).unwrap();
            leave(map, dead);
        })
        .await;
    assert_eq!(now.removed, [dead]);

    let (status, log) = scene.start_in_vain(node).await;
    assert_eq!(status.code(), Some(2), "{log}");
    let says = "this node was removed from its cluster while it was away";
    assert!(log.contains(says), "{log}");

    let (status, again) = scene.start_in_vain(node).await;
    assert_eq!(status.code(), Some(2), "{again}");
    let again = again.strip_prefix(&log).unwrap_or(&again);
    assert!(again.contains("is of a node that was removed"), "{again}");
    scene.cluster.shut_down().await.unwrap();
}
