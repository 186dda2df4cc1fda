//! How large a record may become, whoever sends what is joined; and that replicas can always agree again.

use proptest::collection::vec;
use proptest::prelude::*;
use quoit_ring::Record;
use quoit_ring::wire::{Refusal, record_len};

use super::super::bounds::RecordBounds;
use super::*;
use crate::engine::{Batch, Durability};
use crate::testing::{LIMITS, blind, dot, encoded, ring_of, state_of, unseeing};

/// Copies of each key.
const COPIES: usize = 3;

/// One of the three replicas of every key.
fn world() -> World<MemoryEngine> {
    World::with_state(MemoryEngine::new(), state_of(ring_of(3, 3)))
}

impl World<MemoryEngine> {
    fn only_repair(&mut self, key: &str, record: Record) -> Response {
        self.repair(key, record);
        self.commit().pop().unwrap()
    }

    /// Stores a record as it is, as a node without bounds once did.
    fn plant(&self, key: &str, record: &Record) {
        let mut batch = Batch::new();
        let row = record_key(NAMESPACE, key.as_bytes());
        batch.insert(Keyspace::Records, row, encoded(record));
        self.engine.commit(batch, Durability::Buffered).unwrap();
    }
}

/// A value that nothing else has seen.
fn sibling(actor: u64, bytes: usize) -> Record {
    unseeing(dot(actor, WALL), &"x".repeat(bytes)).into_record()
}

/// A delete of nothing: one interval more, and no sibling.
fn interval(actor: u64) -> Delta {
    Delta::causal(dot(actor, WALL), Time::ZERO, &Seen::default(), None)
}

fn joined(records: impl IntoIterator<Item = Record>) -> Record {
    records.into_iter().fold(Record::default(), |mut all, one| {
        all.join(&one);
        all
    })
}

#[test]
fn repairs_leave_no_more_siblings_than_all_replicas_hold_together() {
    let mut world = world();
    for actor in 1..=12 {
        let answer = world.only_repair("k", sibling(actor, 1));
        assert_eq!(answer, Response::Joined, "{actor}");
    }

    world.repair("k", sibling(13, 1));
    world.repair("other", sibling(13, 1));
    let refused = Response::Refused(Refusal::TooManySiblings { max: 12 });
    assert_eq!(world.commit(), [refused, Response::Joined]);
    assert_eq!(world.stored("k").unwrap().live().len(), 12);
    assert_eq!(world.state.stats.refused_repairs(), 1);
}

#[test]
fn repairs_leave_no_more_bytes_than_all_replicas_hold_together() {
    let mut world = world();
    let max = u64::try_from(COPIES * LIMITS.max_record_bytes).unwrap();
    for actor in 1..=4 {
        let answer = world.only_repair("k", sibling(actor, 1_400));
        assert_eq!(answer, Response::Joined, "{actor}");
    }

    let before = world.stored("k");
    let refused = world.only_repair("k", sibling(5, 1_400));
    assert!(
        matches!(refused, Response::Refused(Refusal::RecordTooLarge { bytes, max: at }) if bytes > max && at == max),
        "{refused:?}"
    );
    assert_eq!(world.stored("k"), before);
}

#[test]
fn nobody_makes_a_record_see_more_than_so_many_intervals() {
    let mut world = world();
    let most = u64::try_from(LIMITS.max_intervals).unwrap();
    for actor in 1..=most {
        assert_eq!(world.only("k", interval(actor)), Response::Joined);
    }
    let refused = |intervals, max| Response::Refused(Refusal::SeenTooLarge { intervals, max });
    let one_more = world.only("k", interval(most + 1));
    assert_eq!(one_more, refused(most + 1, most));

    for actor in most + 1..=3 * most {
        let answer = world.only_repair("k", interval(actor).into_record());
        assert_eq!(answer, Response::Joined, "{actor}");
    }
    let one_more = world.only_repair("k", interval(3 * most + 1).into_record());
    assert_eq!(one_more, refused(3 * most + 1, 3 * most));

    assert_eq!(
        world.only("k", blind(dot(1, WALL + 1), "v")),
        Response::Joined
    );
    assert_eq!(world.stored("k").unwrap().seen().intervals().len(), 1);
}

#[test]
fn replicas_that_refuse_each_others_records_agree_after_any_write_that_has_seen_both() {
    let merged = Some((Bytes::from_static(b"merged"), None));
    for causal in [true, false] {
        let mut replicas = [world(), world()];
        let records = [0, 100].map(|first| joined((1..=12).map(|n| sibling(first + n, 1))));
        for (world, record) in replicas.iter_mut().zip(&records) {
            assert_eq!(world.only_repair("k", record.clone()), Response::Joined);
        }

        let refused = Response::Refused(Refusal::TooManySiblings { max: 12 });
        let newest = joined(records);
        for world in &mut replicas {
            assert_eq!(world.only_repair("k", newest.clone()), refused);
        }

        let write = if causal {
            Delta::causal(dot(7, WALL + 1), Time::ZERO, newest.seen(), merged.clone())
        } else {
            blind(dot(7, WALL + 1), "merged")
        };
        for world in &mut replicas {
            assert_eq!(world.only("k", write.clone()), Response::Joined);
        }
        let [one, other] = replicas.map(|world| world.stored("k").unwrap());
        assert_eq!(values(&one), [b"merged"]);
        assert!(one.same_versions(&other), "{one:?}, {other:?}");
    }
}

#[test]
fn a_record_from_before_the_bounds_takes_what_leaves_it_no_larger() {
    let mut world = world();
    let old = joined((1..=30).map(|actor| sibling(actor, 400)));
    world.plant("k", &old);
    assert_eq!(world.only_repair("k", old.clone()), Response::Joined);
    assert_eq!(
        world.only_repair("k", sibling(31, 1)),
        Response::Refused(Refusal::TooManySiblings { max: 12 })
    );

    let context = joined((1..=29).map(|actor| sibling(actor, 400)));
    let nearly = Delta::causal(dot(40, WALL + 1), Time::ZERO, context.seen(), None);
    assert_eq!(
        world.only_repair("k", nearly.into_record()),
        Response::Joined
    );
    assert_eq!(world.stored("k").unwrap().live().len(), 1);
}

/// A write by one of few actors: siblings, overwrites and deletes.
fn write() -> impl Strategy<Value = Record> {
    (0..6_u64, 1..40_u64, 0..3_u8, 0..900_usize).prop_map(|(actor, ms, kind, bytes)| {
        let (dot, value) = (dot(actor, WALL + ms), Bytes::from("x".repeat(bytes)));
        let record = match kind {
            0 => Delta::causal(dot, Time::ZERO, &Seen::default(), Some((value, None))),
            1 => Delta::causal(dot, dot.time.before(), &Seen::default(), None),
            _ => Delta::blind(dot, Some((value, None))),
        };
        record.into_record()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_join_keeps_the_bounds_or_leaves_a_record_no_larger_or_changes_nothing(
        first in vec(write(), 0..12), others in vec(vec(write(), 1..4), 1..20),
    ) {
        let bounds = RecordBounds::of_puts(&LIMITS);
        let mut record = joined(first);
        for other in others.into_iter().map(joined) {
            let before = record.clone();
            let mut expected = before.clone();
            expected.join(&other);
            let size = |record: &Record| {
                [record.live().len(), record.seen().intervals().len(), record_len(record)]
            };
            let most = [LIMITS.max_siblings, LIMITS.max_intervals, LIMITS.max_record_bytes];
            let sizes = (size(&expected).into_iter()).zip(size(&before)).zip(most);
            let fits = sizes.into_iter().all(|((now, before), max)| now <= max || now <= before);
            prop_assert_eq!(bounds.join(&mut record, &other).is_ok(), fits);
            prop_assert_eq!(&record, if fits { &expected } else { &before });
        }
    }
}
