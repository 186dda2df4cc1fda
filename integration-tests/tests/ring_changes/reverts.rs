//! A change is turned round half way.

use quoit_client::Proposed;
use quoit_ring::placement::join;

use crate::TURNS;
use crate::load::Load;
use crate::support::{Scene, leave};

const KEYS: usize = 600;
/// The arc at which it is turned round, of 16.
const HALF_WAY: u8 = 6;

#[tokio::test]
async fn a_change_that_is_reverted_half_way_leaves_the_map_as_it_was_and_no_request_fails() {
    let _turn = TURNS.acquire().await.unwrap();
    let mut scene = Scene::start_slow(4).await;
    let load = Load::start(&scene.cluster, KEYS).await;
    let newcomer = scene.slow_newcomer().await;
    let before = scene.now().await;
    let leaver = before.map.members[3].id;
    scene
        .begin(|map| {
            leave(map, leaver);
            join(map, newcomer.clone(), 1).unwrap();
        })
        .await;

    let arc = scene.arc(HALF_WAY).await;
    assert!(arc.is_some(), "the change was over too early");
    revert(&scene).await;
    let after = scene.end().await;
    assert_eq!(after.map, before.map);
    assert_eq!((after.voters, after.removed), (before.voters, vec![]));

    let keys = load
        .stop(&scene.cluster, "one joins, one leaves, reverted")
        .await;
    scene.until_rows_lie_where_they_belong(&keys).await;
    scene.cluster.shut_down().await.unwrap();
}

/// Turns the change round; again if the nodes were quicker with a step.
async fn revert(scene: &Scene) {
    loop {
        let now = scene.now().await;
        let next = now.revert().expect("the change is under way");
        let proposed = scene.operator.propose(&now, next).await.unwrap();
        if matches!(proposed, Proposed::Decided(_)) {
            return;
        }
        let change = proposed.configuration().change.as_ref();
        if change.is_some_and(|it| it.hand.is_turned()) {
            return;
        }
    }
}
