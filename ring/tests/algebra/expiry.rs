//! Expiry: a value whose time is over is a deleted one, wherever and whenever that is judged.
//!
//! A dot minted twice is the exception that the tests spell out: its contents may expire at different
//! times, and the dot lives while one of them does.

use quoit_ring::{Actor, Delta, Dot, Millis, Record, Seen, Time};
use smallvec::smallvec;

use crate::support::{arbitrary, property};
use crate::{has_collision, joined, kills};

#[test]
fn joining_a_view_in_is_a_delete_of_what_had_expired() {
    let reaches = [
        ("two or more siblings", 30),
        ("something expired", 25),
        ("one content of a dot expired, the other not", 3),
    ];
    property("expiry", reaches, |rng| {
        let (record, other) = (arbitrary::record(rng), arbitrary::record(rng));
        let now = Millis(rng.below(25));
        let view = record.at(now);
        assert_eq!(view.seen(), record.seen());
        let expired = |expiry: Option<Millis>| expiry.is_some_and(|at| at <= now);
        let (gone, left): (Vec<_>, Vec<_>) = record
            .live()
            .iter()
            .cloned()
            .partition(|s| expired(s.expiry));
        assert_eq!(view.live(), left);
        let shared = gone.iter().any(|g| left.iter().any(|l| l.dot == g.dot));
        if shared {
            // A dot lives while any of its contents does; a view shows that one only.
            assert_eq!(joined(&[&record, &view]).at(now), view);
        } else {
            let mut killed = Seen::default();
            for s in &gone {
                killed.add(s.dot.actor, s.dot.time.before(), s.dot.time);
            }
            check_kill(&record, &view, &killed, &other);
        }
        [record.live().len() > 1, !gone.is_empty(), shared]
    });
}

/// `view` is `record` without the dots in `killed`: joined in anywhere, it is their delete.
fn check_kill(record: &Record, view: &Record, killed: &Seen, other: &Record) {
    let kill = Record::from_parts(smallvec![], killed.clone()).expect("a tombstone");
    assert_eq!(&joined(&[record, view]), view);
    assert_eq!(&joined(&[record, &kill]), view);
    assert_eq!(
        joined(&[record, other, view]),
        joined(&[record, other, &kill])
    );
    let dot = Dot {
        time: Time(arbitrary::TIMES + 1),
        actor: Actor(arbitrary::ACTORS),
    };
    let delete = Delta::causal(dot, Time(arbitrary::TIMES), killed, None);
    assert_eq!(joined(&[record, delete.record()]).live(), view.live());
}

#[test]
fn a_joined_view_reads_like_a_view_of_the_joined() {
    let reaches = [
        ("two or more siblings", 40),
        ("something expired", 40),
        ("a join that kills", 20),
    ];
    property("expiry, joined", reaches, |rng| {
        let (a, b) = (arbitrary::record(rng), arbitrary::record(rng));
        let now = Millis(rng.below(25));
        let both = joined(&[&a, &b]);
        if !has_collision(&both) {
            assert_eq!(joined(&[&a.at(now), &b.at(now)]), both.at(now));
            assert_eq!(
                joined(&[&a.at(now), &b]).at(now),
                both.at(now),
                "swept here, not there"
            );
        }
        [both.live().len() > 1, both.at(now) != both, kills(&a, &b)]
    });
}
