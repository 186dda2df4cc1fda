//! Values that live as long as they were put to, and every way in which they may not.

use quoit_ring::{Actor, Delta, Time};

use super::*;
use crate::history::{Basis, ClientId, ClockOff, Recorder, Side};
use crate::invariants::testing::world::{self, Bug, Script};
use crate::invariants::testing::{assert_fails, assert_holds, over};

/// Wall time when a run begins.
const BASE: u64 = 1_000_000;

/// A put at 1 s that lives 10 s, so that it expires at 11 s by a right clock.
struct Run {
    recorder: Recorder,
    put: OpId,
    dot: Dot,
    seen: Seen,
}

impl Run {
    fn new() -> Self {
        let mut recorder = Recorder::new();
        recorder.history_mut().base = Millis(BASE);
        recorder.key(&Bytes::from_static(b"k"), Family::Expiring);
        let mut run = Self {
            recorder,
            put: OpId(0),
            dot: dot(1_000, 1),
            seen: Seen::default(),
        };
        run.put = run.write(1_000, Basis::Blind, "v", Some(10_000));
        run
    }

    fn write(&mut self, ms: u64, basis: Basis, value: &'static str, ttl_ms: Option<u64>) -> OpId {
        let dot = dot(ms, 1);
        let value = value.into();
        let call = Call::Put {
            value,
            basis,
            ttl_ms,
        };
        let op = self.begin(ms, call);
        self.recorder.mint(op, dot, Moment(ms * 1_000));
        if let Some(ttl) = ttl_ms {
            let expiries = &mut self.recorder.history_mut().expiries;
            expiries.insert(dot, Millis(BASE + ms + ttl));
        }
        let seen = Delta::blind(dot, None).record().seen().clone();
        self.seen.union(&seen);
        let acked = 2;
        self.end(op, ms + 10, Outcome::Written { dot, acked, seen });
        op
    }

    /// A read from `ms` to 10 ms later that finds these, and has seen all that was written.
    fn read(&mut self, ms: u64, siblings: Vec<Found>) -> OpId {
        let op = self.begin(ms, Call::Get);
        let seen = self.seen.clone();
        self.end(op, ms + 10, Outcome::Read { siblings, seen });
        op
    }

    /// The value, as it expires when its writer's clock was `ahead` ms ahead.
    fn value(&self, ahead: i64) -> Found {
        let expiry = (BASE + 11_000).checked_add_signed(ahead).unwrap();
        Found {
            dot: self.dot,
            value: "v".into(),
            expiry: Some(Millis(expiry)),
        }
    }

    fn begin(&mut self, ms: u64, call: Call) -> OpId {
        let client = ClientId { slot: 1, life: 0 };
        self.recorder.begin(Op {
            client,
            key: KeyId(0),
            call,
            mode: Mode::Quorum,
            count: None,
            healed: false,
            invoked: Moment(ms * 1_000),
            returned: None,
        })
    }

    fn end(&mut self, op: OpId, ms: u64, outcome: Outcome) {
        self.recorder.end(op, Moment(ms * 1_000), outcome);
    }

    fn finish(self) -> History {
        self.recorder.finish()
    }
}

fn dot(ms: u64, actor: u64) -> Dot {
    Dot {
        time: Time::at(Millis(BASE + ms)),
        actor: Actor(actor),
    }
}

/// A clock of a side, off from 2 s to 20 s.
fn off(side: Side, by_ms: i64) -> ClockOff {
    ClockOff {
        side,
        number: 0,
        from: Moment(2_000_000),
        until: Moment(20_000_000),
        by_ms,
    }
}

#[test]
fn a_value_that_is_found_until_it_expires_and_then_never_is_as_it_should_be() {
    let mut run = Run::new();
    for ms in [1_500, 9_000, 10_995] {
        let value = run.value(0);
        run.read(ms, vec![value]);
    }
    run.read(10_995, vec![]);
    run.read(12_000, vec![]);
    assert_holds(&INVARIANT, &run.finish());
}

#[test]
fn a_value_found_after_its_expiry_by_every_clock_is_found_out() {
    let mut run = Run::new();
    let value = run.value(0);
    let read = run.read(11_020, vec![value]);
    let mut history = run.finish();
    let violation = assert_fails(&INVARIANT, &history, "20 ms after its expiry");
    assert_eq!(violation.ops, [read]);
    history.ops[1].mode = Mode::One;
    assert_holds(&INVARIANT, &history);
}

#[test]
fn nodes_that_are_behind_let_a_value_live_longer_and_one_alone_or_a_reader_never() {
    let mut run = Run::new();
    let value = run.value(0);
    run.read(11_020, vec![value]);
    let mut history = run.finish();
    for (side, by_ms, holds) in [
        (Side::Node, -21, true),
        (Side::Node, -20, false),
        (Side::Node, 3_600_000, false),
        (Side::Client, -3_600_000, false),
    ] {
        let other = ClockOff {
            number: 1,
            ..off(side, by_ms)
        };
        history.clocks_off = vec![off(side, by_ms), other];
        let held = (INVARIANT.check)(&history).is_ok();
        assert_eq!(held, holds, "{side:?} {by_ms}");
        history.clocks_off = vec![off(side, by_ms), off(side, by_ms)];
        assert_fails(&INVARIANT, &history, "20 ms after its expiry");
    }
}

#[test]
fn a_value_found_again_after_it_was_dead_is_found_out() {
    let mut run = Run::new();
    let dead = run.read(10_800, vec![]);
    let value = run.value(0);
    let read = run.read(10_900, vec![value]);
    let mut history = run.finish();
    history.clocks_off = vec![off(Side::Node, 400)];
    let violation = assert_fails(&INVARIANT, &history, "had seen dead");
    assert_eq!(violation.ops, [dead, read]);
}

#[test]
fn a_reader_whose_clock_is_behind_has_to_find_it_dead_too() {
    let mut run = Run::new();
    run.read(10_800, vec![]);
    let value = run.value(0);
    run.read(10_900, vec![value]);
    let mut history = run.finish();
    history.clocks_off = vec![off(Side::Node, 400), off(Side::Client, -50_000)];
    assert_fails(&INVARIANT, &history, "had seen dead");
}

#[test]
fn reads_at_the_same_time_may_disagree() {
    let mut run = Run::new();
    run.read(10_991, vec![]);
    let value = run.value(0);
    run.read(10_995, vec![value]);
    assert_holds(&INVARIANT, &run.finish());
}

#[test]
fn a_read_that_had_not_seen_the_value_says_nothing_of_its_death() {
    let mut run = Run::new();
    let seen = core::mem::take(&mut run.seen);
    run.read(10_800, vec![]);
    run.seen = seen;
    let value = run.value(0);
    run.read(10_900, vec![value]);
    let mut history = run.finish();
    history.clocks_off = vec![off(Side::Node, 400)];
    assert_holds(&INVARIANT, &history);
}

#[test]
fn a_value_that_is_gone_before_its_expiry_is_found_out() {
    let mut run = Run::new();
    let read = run.read(10_980, vec![]);
    let mut history = run.finish();
    let violation = assert_fails(&INVARIANT, &history, "did not find \"v\"");
    assert_eq!(violation.ops, [OpId(0), read]);
    history.clocks_off = vec![off(Side::Node, 10)];
    assert_holds(&INVARIANT, &history);
    history.clocks_off = vec![off(Side::Node, -3_600_000)];
    assert_fails(&INVARIANT, &history, "did not find");
}

#[test]
fn a_lifetime_by_a_clock_far_behind_is_found_out_though_nobody_reads() {
    let mut history = Run::new().finish();
    let right = BASE + 11_000;
    history.clocks_off = vec![ClockOff {
        from: Moment(0),
        ..off(Side::Client, -50_000)
    }];
    for (expiry, holds) in [(right, true), (right - 3_000, true), (right - 3_001, false)] {
        history.expiries.insert(dot(1_000, 1), Millis(expiry));
        assert_eq!((INVARIANT.check)(&history).is_ok(), holds, "{expiry}");
    }
    history.ops[0].returned = None;
    assert_holds(&INVARIANT, &history);
}

#[test]
fn one_node_or_all_clients_far_ahead_end_nothing_earlier_than_the_drift_allows() {
    for (side, drift) in [(Side::Node, 1_000), (Side::Client, 500)] {
        let mut run = Run::new();
        run.read(10_980 - drift, vec![]);
        let mut history = run.finish();
        history.clocks_off = vec![off(side, 3_600_000)];
        assert_fails(&INVARIANT, &history, "did not find");
        history
            .expiries
            .insert(dot(1_000, 1), Millis(BASE + 10_990));
        history.clocks_off.push(ClockOff {
            by_ms: -10,
            from: Moment(0),
            ..off(Side::Client, 0)
        });
        assert_holds(&INVARIANT, &history);
    }
}

#[test]
fn a_value_lives_as_long_as_its_expiry_says_whatever_its_writers_clock_said() {
    let mut run = Run::new();
    run.read(10_980, vec![]);
    let mut history = run.finish();
    // Its lifetime counted from the nodes' clocks: its writer's was far behind.
    history.clocks_off = vec![ClockOff {
        from: Moment(0),
        ..off(Side::Client, -50_000)
    }];
    assert_fails(&INVARIANT, &history, "did not find \"v\"");
}

#[test]
fn a_value_that_was_put_to_live_for_ever_is_never_gone() {
    let mut run = Run::new();
    run.recorder.history_mut().ops.clear();
    run.recorder.history_mut().minted.clear();
    run.write(1_000, Basis::Blind, "v", None);
    run.read(90_000_000, vec![]);
    assert_fails(&INVARIANT, &run.finish(), "replaced by nothing");
}

#[test]
fn a_value_that_may_have_been_replaced_may_be_gone() {
    let mut run = Run::new();
    run.write(3_000, Basis::Blind, "w", Some(1));
    run.read(5_000, vec![]);
    assert_holds(&INVARIANT, &run.finish());

    let mut run = Run::new();
    run.write(3_000, over(&[run.put]), "w", Some(1));
    run.read(5_000, vec![]);
    assert_holds(&INVARIANT, &run.finish());
}

#[test]
fn a_write_that_did_not_see_it_replaces_nothing() {
    let mut run = Run::new();
    run.write(3_000, over(&[]), "w", Some(1));
    run.read(5_000, vec![]);
    assert_fails(&INVARIANT, &run.finish(), "did not find \"v\"");
}

#[test]
fn a_write_that_came_later_replaces_nothing_before() {
    let mut run = Run::new();
    run.read(2_000, vec![]);
    run.write(3_000, Basis::Blind, "w", Some(1));
    assert_fails(&INVARIANT, &run.finish(), "did not find \"v\"");
}

#[test]
fn a_value_that_lost_its_expiry_or_got_another_is_found_out() {
    for (expiry, expected) in [
        (None, "expiry never"),
        (Some(Millis(BASE + 11_011)), "put to live 10000 ms"),
    ] {
        let mut run = Run::new();
        let value = Found {
            expiry,
            ..run.value(0)
        };
        run.read(2_000, vec![value]);
        assert_fails(&INVARIANT, &run.finish(), expected);
    }

    let mut run = Run::new();
    run.write(3_000, over(&[]), "w", None);
    let (v, mut w) = (run.value(10), run.value(0));
    (w.dot, w.value) = (dot(3_000, 1), "w".into());
    run.read(4_000, vec![v, w]);
    assert_fails(&INVARIANT, &run.finish(), "put to live for ever");
}

/// A random run on keys whose values may expire, but were put to live for ever.
fn random(seed: u64, bug: Option<Bug>) -> History {
    let mut history = world::run(Script {
        bug,
        seed,
        replicas: 3,
        keys: 10,
        steps: 200,
    });
    for key in &mut history.keys {
        key.family = Family::Expiring;
    }
    history
}

#[test]
fn nothing_is_gone_too_early_in_random_runs_of_a_correct_store() {
    for seed in 0..300 {
        assert_holds(&INVARIANT, &random(seed, None));
    }
}

#[test]
fn a_store_that_acknowledges_too_soon_is_found_out() {
    let found = |seed| (INVARIANT.check)(&random(seed, Some(Bug::OneIsEnough))).is_err();
    assert!((0..300).any(found));
}
