//! One machine by hand: what it asks its driver for, and when.

use quoit_gossip::{
    BadOptions, Body, Facts, Gossip, Incarnation, MINOR_FACTS_EVERY, Message, Options, Pulse, Step,
};
use quoit_ring::wire::DiskLevel;
use quoit_ring::{Epoch, Moment, NodeId};

const ME: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);

fn machine() -> Gossip {
    let (facts, options) = (Facts::default(), Options::default());
    let mut gossip = Gossip::new(ME, Incarnation(1), facts, options, Moment(0)).unwrap();
    gossip.handle_members([ME, OTHER], Moment(0));
    gossip
}

const fn second(secs: u64) -> Moment {
    Moment(secs * 1_000_000)
}

fn steps(gossip: &mut Gossip) -> Vec<Step> {
    core::iter::from_fn(|| gossip.poll_step()).collect()
}

/// The other member says that it is alive, and which epoch it holds.
fn hear(gossip: &mut Gossip, heartbeat: u32, epoch: u64, now: Moment) {
    let message = Message {
        epoch: Epoch(epoch),
        pulse: Pulse {
            incarnation: Incarnation(1),
            heartbeat,
            facts: 0,
        },
        body: Body::Ack { origin: None },
    };
    gossip.handle_message(OTHER, message, now);
}

/// In how many of so many seconds seeds are to be resolved.
fn resolves(gossip: &mut Gossip, seconds: core::ops::Range<u64>, hears: bool) -> usize {
    let mut count = 0;
    for at in seconds {
        if hears {
            hear(gossip, u32::try_from(at).unwrap() + 1, 0, second(at));
        }
        gossip.handle_time(second(at), at);
        count += steps(gossip)
            .iter()
            .filter(|step| matches!(step, Step::Resolve))
            .count();
    }
    count
}

#[test]
fn seeds_are_resolved_for_ever_and_more_often_by_who_hears_nobody() {
    let mut gossip = machine();
    assert_eq!(resolves(&mut gossip, 0..60, false), 12, "every 5 seconds");
    assert_eq!(resolves(&mut gossip, 60..660, true), 10, "every minute");
    let again = resolves(&mut gossip, 660..720, false);
    assert!((10..=12).contains(&again), "{again}");
}

#[test]
fn a_newer_epoch_is_reported_once_a_round_until_it_is_there() {
    let mut gossip = machine();
    let behind = |gossip: &mut Gossip| {
        let is_behind = |step: &Step| matches!(step, Step::Behind { .. });
        steps(gossip).iter().filter(|step| is_behind(step)).count()
    };
    hear(&mut gossip, 1, 3, Moment(0));
    hear(&mut gossip, 2, 3, Moment(900_000));
    assert_eq!(behind(&mut gossip), 1);
    hear(&mut gossip, 3, 4, Moment(900_000));
    assert_eq!(behind(&mut gossip), 1, "a still newer one at once");
    hear(&mut gossip, 4, 4, Moment(1_900_000));
    assert_eq!(behind(&mut gossip), 1, "it is not there yet");
    let facts = Facts {
        epoch: Epoch(4),
        ..Facts::default()
    };
    gossip.handle_facts(facts, Moment(2_000_000));
    hear(&mut gossip, 5, 4, second(9));
    assert_eq!(behind(&mut gossip), 0);
}

#[test]
fn what_changes_all_the_time_is_announced_once_a_minute() {
    let mut gossip = machine();
    let announced = |gossip: &Gossip| gossip.pulse().facts;
    let with = |free_bytes, disk| Facts {
        free_bytes,
        disk,
        ..Facts::default()
    };
    let unknown = announced(&gossip);
    gossip.handle_facts(with(9, DiskLevel::Ample), Moment(500_000));
    let first = announced(&gossip);
    assert!(first > unknown, "that it is known at all, at once");
    gossip.handle_facts(with(1, DiskLevel::Ample), second(1));
    assert_eq!(announced(&gossip), first, "only free bytes");
    gossip.handle_facts(with(2, DiskLevel::Low), second(2));
    let second_time = announced(&gossip);
    assert!(second_time > first, "a level at once");
    gossip.handle_facts(with(3, DiskLevel::Low), second(61));
    assert_eq!(announced(&gossip), second_time);
    gossip.handle_facts(with(3, DiskLevel::Low), second(2) + MINOR_FACTS_EVERY);
    assert!(announced(&gossip) > second_time);
}

#[test]
fn who_is_no_member_says_nothing() {
    let mut gossip = machine();
    gossip.handle_members([OTHER, NodeId(3)], second(1));
    gossip.handle_time(second(2), 7);
    gossip.handle_seed(NodeId(9), second(2));
    assert_eq!(steps(&mut gossip), []);
}

#[test]
fn a_setting_out_of_range_is_refused_with_its_reason() -> Result<(), BadOptions> {
    let options = Options {
        failed_after: Options::default().suspect_after,
        ..Options::default()
    };
    let refused = Gossip::new(ME, Incarnation(1), Facts::default(), options, Moment(0));
    let reason = refused.map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        reason,
        "gossip settings: members fail before they are suspect"
    );
    Options::default().check()
}
