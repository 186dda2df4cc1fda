//! What a watch does when: single steps. `world` has the properties.

mod world;

use quoit_ring::wire::WatchChanges;

use super::*;

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

fn key(name: &'static str) -> Bytes {
    Bytes::from_static(name.as_bytes())
}

fn found(version: u64) -> Found {
    Found {
        version,
        is_absent: version == 0,
        expiry: None,
    }
}

fn answer(through: u64, changes: WatchChanges) -> (WatchAnswer, Millis) {
    let answer = WatchAnswer {
        incarnation: 9,
        through,
        changes,
    };
    (answer, Millis(1_000_000))
}

fn keys(names: &[&'static str]) -> WatchChanges {
    WatchChanges::Keys(names.iter().map(|name| key(name)).collect())
}

fn at(ms: u64) -> Moment {
    Moment(ms * 1_000)
}

/// The polls that are to be made, and what comes behind them.
fn step(machine: &mut Machine) -> (Vec<PollAsk>, Step) {
    let mut polls = Vec::new();
    loop {
        match machine.poll() {
            Step::Poll(ask) => polls.push(ask),
            other => return (polls, other),
        }
    }
}

/// A watch that has come as far as the first read or scan, with all nodes heard.
fn begun(target: Target, known: Option<u64>) -> Machine {
    let mut machine = Machine::new(target, (NODES, 1), known);
    let (polls, next) = step(&mut machine);
    assert_eq!((polls.len(), next), (3, Step::Wait));
    for node in NODES {
        machine.heard((0, node), answer(0, WatchChanges::Begun), at(1));
    }
    machine
}

fn of_key() -> Machine {
    let mut machine = begun(Target::Key(key("k")), None);
    assert_eq!(step(&mut machine).1, Step::Read(key("k")));
    assert!(machine.read(&key("k"), Some(&found(1))));
    assert_eq!(step(&mut machine).1, Step::Notify(Notice::Current));
    machine
}

fn of_prefix() -> Machine {
    let mut machine = begun(Target::Prefix(key("")), None);
    assert_eq!(step(&mut machine).1, Step::Scan);
    for name in ["a", "b"] {
        assert!(machine.row(&key(name), &found(1)));
    }
    machine.scanned(true);
    assert_eq!(step(&mut machine).1, Step::Notify(Notice::Current));
    machine
}

#[test]
fn nothing_is_read_before_every_node_has_answered_or_failed() {
    let mut machine = Machine::new(Target::Key(key("k")), (NODES, 1), None);
    step(&mut machine);
    for node in &NODES[..2] {
        machine.heard((0, *node), answer(0, WatchChanges::Begun), at(1));
        assert_eq!(step(&mut machine).1, Step::Wait);
    }
    machine.failed((0, NODES[2]), false, at(2));
    assert_eq!(step(&mut machine).1, Step::Read(key("k")));
}

#[test]
fn a_change_is_read_and_yielded_once_though_every_owner_reports_it() {
    let mut machine = of_key();
    machine.heard((0, NODES[0]), answer(1, keys(&["k"])), at(5));
    let (polls, next) = step(&mut machine);
    assert_eq!(next, Step::Read(key("k")));
    let last = polls
        .last()
        .map(|ask| (ask.node, ask.after, ask.incarnation));
    assert_eq!(last, Some((NODES[0], 1, 9)));
    machine.heard((0, NODES[1]), answer(1, keys(&["k"])), at(6));
    assert_eq!(step(&mut machine).1, Step::Wait, "it is being read");
    assert!(machine.read(&key("k"), Some(&found(2))));
    assert_eq!(
        step(&mut machine).1,
        Step::Read(key("k")),
        "what was reported meanwhile"
    );
    assert!(!machine.read(&key("k"), Some(&found(2))));
    assert_eq!(step(&mut machine).1, Step::Wait);
    assert_eq!(machine.version(), Some(2));
}

#[test]
fn an_overflow_is_reported_and_followed_by_a_pass_that_finds_what_is_gone() {
    let mut machine = of_prefix();
    machine.heard((0, NODES[0]), answer(7, WatchChanges::Overflow), at(5));
    assert_eq!(
        step(&mut machine).1,
        Step::Notify(Notice::Lagged(Lag::TooMany))
    );
    assert_eq!(step(&mut machine).1, Step::Scan);
    assert!(!machine.row(&key("a"), &found(2)), "it is read");
    assert!(machine.row(&key("c"), &found(1)));
    machine.scanned(true);
    assert_eq!(step(&mut machine).1, Step::Read(key("a")));
    assert_eq!(
        step(&mut machine).1,
        Step::Read(key("b")),
        "no row of it came"
    );
    assert!(machine.read(&key("a"), Some(&found(2))));
    assert!(machine.read(&key("b"), Some(&found(0))));
    assert_eq!(step(&mut machine).1, Step::Notify(Notice::Current));
}

#[test]
fn a_node_that_restarted_says_why_the_state_is_read_again() {
    let renewed = WatchAnswer {
        incarnation: 10,
        through: 0,
        changes: WatchChanges::Begun,
    };
    for (ms, lag) in [(100, Lag::Owners), (9_000, Lag::NotPolled)] {
        let mut machine = of_key();
        machine.heard((0, NODES[0]), (renewed.clone(), Millis(1)), at(ms));
        assert_eq!(step(&mut machine).1, Step::Notify(Notice::Lagged(lag)));
        assert_eq!(step(&mut machine).1, Step::Read(key("k")));
        assert!(!machine.read(&key("k"), Some(&found(1))));
        assert_eq!(step(&mut machine).1, Step::Notify(Notice::Current));
    }
}

#[test]
fn a_node_that_is_silent_for_a_moment_is_no_reason_to_read_and_one_that_stays_away_is() {
    let mut machine = of_key();
    machine.failed((0, NODES[0]), false, at(10));
    machine.heard((0, NODES[0]), answer(0, keys(&[])), at(900));
    assert_eq!(step(&mut machine).1, Step::Wait);
    for ms in [1_000, 2_000, 4_000] {
        machine.failed((0, NODES[0]), false, at(ms));
    }
    assert_eq!(
        step(&mut machine).1,
        Step::Notify(Notice::Lagged(Lag::Owners))
    );
    assert_eq!(step(&mut machine).1, Step::Read(key("k")));
    machine.read(&key("k"), Some(&found(1)));
    assert_eq!(
        step(&mut machine).1,
        Step::Notify(Notice::Current),
        "a majority is heard"
    );
    assert_eq!(machine.again, None);

    // Who reported this may have had it before a majority did.
    machine.heard((0, NODES[1]), answer(1, keys(&["k"])), at(5_000));
    assert_eq!(step(&mut machine).1, Step::Read(key("k")));
    machine.read(&key("k"), Some(&found(1)));
    machine.pass_time(at(35_999));
    machine.failed((0, NODES[0]), false, at(35_999));
    assert_eq!(step(&mut machine).1, Step::Wait);
    machine.pass_time(at(36_000));
    assert_eq!(step(&mut machine).1, Step::Read(key("k")));
}

#[test]
fn while_too_few_are_heard_the_key_is_read_each_second_and_nothing_is_current() {
    let mut machine = Machine::new(Target::Key(key("k")), (NODES, 1), None);
    step(&mut machine);
    machine.heard((0, NODES[0]), answer(0, WatchChanges::Begun), at(1));
    machine.failed((0, NODES[1]), true, at(1));
    machine.failed((0, NODES[2]), false, at(1));
    assert_eq!(step(&mut machine).1, Step::Read(key("k")));
    assert!(machine.read(&key("k"), Some(&found(1))));
    assert_eq!(
        step(&mut machine).1,
        Step::Notify(Notice::Lagged(Lag::Refused))
    );
    assert_eq!(step(&mut machine).1, Step::Wait);
    machine.pass_time(at(1_002));
    assert_eq!(step(&mut machine).1, Step::Read(key("k")));
    assert!(machine.read(&key("k"), Some(&found(2))));
    machine.heard((0, NODES[1]), answer(0, WatchChanges::Begun), at(1_500));
    assert_eq!(step(&mut machine).1, Step::Read(key("k")));
    machine.read(&key("k"), Some(&found(2)));
    assert_eq!(step(&mut machine).1, Step::Notify(Notice::Current));
}

#[test]
fn what_expires_is_read_when_it_does() {
    let mut machine = of_key();
    machine.heard((0, NODES[0]), answer(1, keys(&["k"])), at(5));
    step(&mut machine);
    let clock = machine.clock().0;
    let expiring = Found {
        expiry: Some(Millis(clock + 700)),
        ..found(2)
    };
    assert!(machine.read(&key("k"), Some(&expiring)));
    assert_eq!(step(&mut machine).1, Step::Wait);
    let due = machine.due().unwrap();
    assert!((at(700)..=at(710)).contains(&due), "{due}");
    machine.pass_time(due);
    assert_eq!(step(&mut machine).1, Step::Read(key("k")));
    assert!(machine.read(&key("k"), Some(&found(0))));
}

#[test]
fn a_read_that_fails_is_reported_once_and_made_again() {
    let mut machine = of_key();
    machine.heard((0, NODES[0]), answer(1, keys(&["k"])), at(5));
    step(&mut machine);
    assert!(!machine.read(&key("k"), None));
    assert_eq!(
        step(&mut machine).1,
        Step::Notify(Notice::Lagged(Lag::Unread))
    );
    assert_eq!(step(&mut machine).1, Step::Wait);
    machine.pass_time(at(205));
    assert_eq!(step(&mut machine).1, Step::Read(key("k")));
    assert!(!machine.read(&key("k"), None));
    assert_eq!(step(&mut machine).1, Step::Wait);
    machine.pass_time(at(606));
    assert_eq!(step(&mut machine).1, Step::Read(key("k")));
    assert!(machine.read(&key("k"), Some(&found(2))));
    assert_eq!(step(&mut machine).1, Step::Notify(Notice::Current));
}

#[test]
fn a_watch_that_goes_on_yields_a_known_version_no_second_time_and_a_prefix_from_the_start() {
    let mut machine = begun(Target::Key(key("k")), Some(7));
    assert_eq!(step(&mut machine).1, Step::Read(key("k")));
    assert!(!machine.read(&key("k"), Some(&found(7))));
    assert_eq!(step(&mut machine).1, Step::Notify(Notice::Current));

    let mut machine = begun(Target::Prefix(key("p")), Some(0));
    assert_eq!(step(&mut machine).1, Step::Notify(Notice::Reset));
    assert_eq!(step(&mut machine).1, Step::Scan);
    assert!(machine.row(&key("p"), &found(7)));
}

#[test]
fn another_epoch_asks_its_own_nodes_and_reads_again() {
    let mut machine = of_key();
    machine.moved(([NodeId(4), NodeId(5), NodeId(6)], 1));
    assert_eq!(machine.poll(), Step::Notify(Notice::Lagged(Lag::Ring)));
    let (polls, next) = step(&mut machine);
    assert_eq!((polls.len(), next), (3, Step::Wait));
    assert!(
        polls
            .iter()
            .all(|ask| ask.generation == 1 && ask.incarnation == 0)
    );
    machine.failed((0, NodeId(4)), false, at(7));
    for node in [4, 5, 6] {
        machine.heard((1, NodeId(node)), answer(0, WatchChanges::Begun), at(8));
    }
    assert_eq!(step(&mut machine).1, Step::Read(key("k")));
}

#[test]
fn more_keys_than_may_wait_become_a_pass() {
    let mut machine = of_prefix();
    for number in 0..=MOST_DIRTY {
        machine.mark_dirty(&number.to_be_bytes().to_vec().into());
    }
    assert_eq!(
        step(&mut machine).1,
        Step::Notify(Notice::Lagged(Lag::TooMany))
    );
    assert!(machine.dirty.is_empty() && machine.dirty_bytes == 0);
    assert_eq!(step(&mut machine).1, Step::Scan);
}
