//! Watches: every row that changes is noted, once it is committed.

use quoit_ring::wire::{WatchAnswer, WatchChanges, WatchRequest};

use super::*;
use crate::clock::Now;
use crate::testing::{blind, dot};

/// Everything that changes, heard of by polls under the id 99.
struct Watch {
    sink: Sink,
    request: WatchRequest,
}

impl Watch {
    fn all() -> Self {
        Self {
            sink: Sink::default(),
            request: WatchRequest {
                id: 5,
                incarnation: 0,
                after: 0,
                is_prefix: true,
                key: Bytes::new(),
            },
        }
    }

    fn poll<G: Engine>(&mut self, world: &World<G>, now: Now) -> Option<WatchChanges> {
        let stamp = (world.state.cluster.epoch(), world.state.clock.reading(now));
        let poll = (99, &self.request);
        let answer = world.state.watches.poll(poll, &self.sink, (stamp, now))?;
        Some(self.heard(answer))
    }

    fn heard(&mut self, answer: Response) -> WatchChanges {
        let Response::Watch(WatchAnswer {
            incarnation,
            through,
            changes,
        }) = answer
        else {
            panic!("{answer:?}");
        };
        self.request.incarnation = incarnation;
        self.request.after = self.request.after.max(through);
        changes
    }

    /// What the poll that waits was answered.
    fn changed(&mut self) -> Vec<String> {
        let mut answers = self.sink.answers();
        assert!(answers.len() <= 1, "{answers:?}");
        let Some((99, answer)) = answers.pop() else {
            return vec![];
        };
        match self.heard(answer) {
            WatchChanges::Keys(keys) => (keys.iter())
                .map(|key| String::from_utf8(key.to_vec()).unwrap())
                .collect(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_put_a_repair_a_delete_and_a_sweep_reach_who_waits_and_a_retry_does_not() {
    let (mut world, mut watch) = (world(), Watch::all());
    let begun = watch.poll(&world, at(WALL));
    assert_eq!(begun, Some(WatchChanges::Begun));
    assert_eq!(watch.poll(&world, at(WALL)), None);

    let written = blind(dot(1, WALL), "v");
    world.only("put", written.clone());
    assert_eq!(watch.changed(), ["put"]);
    assert_eq!(watch.poll(&world, at(WALL)), None);
    world.only("put", written.clone());
    assert!(watch.changed().is_empty(), "it was there already");
    world.repair("repaired", written.into_record());
    world.commit();
    assert_eq!(watch.changed(), ["repaired"]);

    assert_eq!(watch.poll(&world, at(WALL)), None);
    // It never had the value: the death alone is news.
    world.only("never", delete(dot(1, WALL + 1)));
    assert_eq!(watch.changed(), ["never"]);

    world.put("expires", expiring(dot(1, WALL), "v", WALL + 9));
    world.commit();
    let expires = WatchChanges::Keys(vec!["expires".into()]);
    assert_eq!(watch.poll(&world, at(WALL)), Some(expires));
    assert_eq!(watch.poll(&world, at(WALL)), None);
    let (mark, key) = (Millis(WALL + 9), Bytes::from_static(b"expires"));
    let due = vec![(mark, key)];
    world.order(Task::Sweep { mark, due });
    assert_eq!(watch.changed(), ["expires"]);
}

#[test]
fn a_poll_that_nothing_comes_for_is_let_go_by_an_idle_committer() {
    let (mut world, mut watch) = (world(), Watch::all());
    watch.poll(&world, at(WALL));
    assert_eq!(watch.poll(&world, at(WALL)), None);
    world.committer.idle(at(WALL + 900)).unwrap();
    assert!(watch.sink.answers().is_empty());
    world.committer.idle(at(WALL + 1_000)).unwrap();
    let answers = watch.sink.answers();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(world.state.watches.count(), 1);
    world.committer.idle(at(WALL + 10_000)).unwrap();
    assert_eq!(world.state.watches.count(), 0);
}
