//! The node that drives a change is killed in the middle of it, again and again.
//!
//! ```text
//!   arc of the change   0 .. 2 .. 4 .. 6 .. 8 .. 10 ............ 16
//!   the driver          up   dead | up  dead | up   dead
//! ```
//!
//! A node joins, so the driver has nothing to pull: a change waits for a member that has. How long it takes until the
//! next arc begins is printed: the next voter waits 1.5 s for the driver, and the arc has to be pulled to its end.

use quoit_ring::placement::join;
use tokio::time::Instant;

use crate::TURNS;
use crate::load::Load;
use crate::support::{Scene, driver, until};

const KEYS: usize = 1_000;
/// When the driver is killed, and how many arcs later it is started again. The last time it stays dead to the end.
const KILLED_AT: [u8; 2] = [2, 6];
const DEAD_FOR: u8 = 2;
const KILLED_LAST_AT: u8 = 10;

#[tokio::test]
async fn a_change_goes_on_when_its_driver_is_killed_and_no_request_fails() {
    let _turn = TURNS.acquire().await.unwrap();
    let mut scene = Scene::start_slow(3).await;
    let newcomer = scene.slow_newcomer().await;
    let load = Load::start(&scene.cluster, KEYS).await;
    let begun = scene
        .begin(|map| join(map, newcomer.clone(), 1).unwrap())
        .await;
    let driver = driver(&begun);
    let node = scene.position(driver);

    let (mut struck, mut resumed) = (0, Vec::new());
    for arc in KILLED_AT {
        let Some(at) = scene.arc(arc).await else {
            break;
        };
        assert!(scene.cluster.kill(node).unwrap());
        struck += 1;
        let killed = Instant::now();
        if scene.arc(at + 1).await.is_some() {
            resumed.push(killed.elapsed());
        }
        scene.arc(at + DEAD_FOR).await;
        scene.cluster.start_all().await.unwrap();
    }
    let last = scene.arc(KILLED_LAST_AT).await;
    struck += usize::from(last.is_some());
    assert!(
        struck > 0,
        "the change was over before its driver was killed"
    );
    assert!(scene.cluster.kill(node).unwrap());
    let (requests, killed) = (load.requests(), Instant::now());
    if let Some(at) = last
        && scene.arc(at + 1).await.is_some()
    {
        resumed.push(killed.elapsed());
    }
    println!("after its driver was killed a change went on to the next arc within {resumed:.1?}");
    let ended = scene.end().await;
    assert_eq!(ended.map.members.len(), 4);
    until("requests are served without the driver", async || {
        load.requests() > requests
    })
    .await;

    // It was away when the change ended, and has to hear of that.
    scene.cluster.start_all().await.unwrap();
    let address = scene.cluster.local().nodes()[node].address.to_string();
    until("the driver hears of the end", async || {
        let client = scene.client_of(&address).await;
        client.is_some_and(|client| client.map() == ended.map)
    })
    .await;
    let keys = load
        .stop(
            &scene.cluster,
            &format!("3 -> 4, its driver killed {struck} times in the middle"),
        )
        .await;
    scene.until_rows_lie_where_they_belong(&keys).await;
    scene.cluster.shut_down().await.unwrap();
}
