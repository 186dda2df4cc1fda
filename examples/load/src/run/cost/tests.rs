//! What a run is said to have cost.

use std::sync::Arc;

use super::*;
use crate::run::testing::Fake;

fn span(begin: u64, end: u64, memory: u64) -> Span {
    Span {
        begin: Duration::from_millis(begin),
        end: Duration::from_millis(end),
        memory,
        proxy: false,
    }
}

#[test]
fn what_killed_and_restarted_servers_used_is_added_up() {
    let cost = Cost {
        own_begin: Some(Duration::from_millis(10)),
        own_end: Some(Duration::from_millis(510)),
        threads: BTreeMap::from([(std::process::id(), span(0, 900, 0)), (1, span(0, 100, 0))]),
        servers: BTreeMap::from([(9, span(100, 300, 1 << 20)), (4, span(0, 800, 2 << 20))]),
        order: vec![9, 4],
        seconds: 1.0,
    };
    let note = cost.note(1000).unwrap();
    assert!((note.client_us_per_op - 500.0).abs() < 1e-6);
    assert!((note.servers_us_per_op - 1000.0).abs() < 1e-6);
    assert_eq!(note.servers_rss_mib, [1.0, 2.0]);
    assert!((cost.generator() - 0.9).abs() < 1e-6);
    assert!((cost.client() - 0.1).abs() < 1e-6);
    assert!((cost.everybody() - 1.5).abs() < 1e-6);
    assert!(
        (cost.note(0).unwrap().client_us_per_op).abs() < 1e-6,
        "no division by zero"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_busy_thread_is_seen_to_be_busy() {
    let target = Target::Fake(Arc::new(Fake::new(Duration::ZERO, None)));
    let busy = std::thread::spawn(|| {
        let begin = std::time::Instant::now();
        while begin.elapsed() < Duration::from_millis(400) {
            std::hint::spin_loop();
        }
    });
    let now = Instant::now();
    let cost = watch(target, now, now + Duration::from_millis(300))
        .await
        .unwrap();
    busy.join().unwrap();
    assert!(
        cost.note(1).unwrap().client_us_per_op > 20_000.0,
        "{cost:?}"
    );
}
