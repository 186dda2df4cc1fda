//! What a machine keeps, and what its node tells, when it dies at a bad moment.

use quoit_node::StartError;
use quoit_node::identity::IdentityError;
use quoit_ring::consensus::Ballot;
use quoit_ring::wire::{MembershipAnswer, MembershipRequest, Refusal, Response};
use quoit_ring::{Moment, NodeId};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::testing::{answers, ask_about_ring, put, put_through, running, start, stored};

fn random(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

#[test]
fn a_write_is_answered_once_its_commit_has_ended_and_not_before() {
    let mut machine = running();
    put(&mut machine, "a", None);
    assert!(machine.begin_commit(Moment(0)).unwrap());
    assert!(answers(&mut machine).is_empty());
    assert!(
        !machine.begin_commit(Moment(0)).unwrap(),
        "one commit is under way at a time"
    );
    machine.end_commit().unwrap();
    assert_eq!(answers(&mut machine), [Response::Joined]);
}

#[test]
fn a_batch_whose_commit_was_cut_short_is_stored_or_not_and_never_acknowledged() {
    let mut kept = 0;
    for seed in 0..64 {
        let mut machine = running();
        let dot = put(&mut machine, "a", None);
        assert!(machine.begin_commit(Moment(0)).unwrap());
        machine.kill(&mut random(seed));
        assert!(answers(&mut machine).is_empty(), "nobody is there to tell");
        start(&mut machine);
        assert!(answers(&mut machine).is_empty(), "nor is the next process");
        match stored(&machine, "a") {
            Some(record) => {
                assert!(record.seen().contains(dot), "whole or not at all");
                kept += 1;
            }
            None => assert_eq!(put_through(&mut machine, "a"), [Response::Joined]),
        }
    }
    assert!((16..=48).contains(&kept), "{kept} of 64: each is as likely");
}

#[test]
fn a_vote_survives_a_loss_of_power_once_it_is_answered() {
    let prepare = |round| MembershipRequest::Prepare {
        ballot: Ballot {
            round,
            proposer: NodeId(9),
        },
    };
    let said = |answer| [Response::Membership(Box::new(answer))];
    let promised = || said(MembershipAnswer::Promised { accepted: None });
    for seed in 0..8 {
        let mut machine = running();
        assert_eq!(ask_about_ring(&mut machine, prepare(4)), promised());
        machine.lose_power(&mut random(seed), Moment(0));
        start(&mut machine);
        let MembershipRequest::Prepare { ballot } = prepare(4) else {
            unreachable!();
        };
        let beaten = said(MembershipAnswer::Beaten { promised: ballot });
        assert_eq!(ask_about_ring(&mut machine, prepare(3)), beaten);
        assert_eq!(ask_about_ring(&mut machine, prepare(5)), promised());
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill_and_with_fsync_a_loss_of_power() {
    for seed in 0..16 {
        let mut machine = running();
        assert_eq!(put_through(&mut machine, "a"), [Response::Joined]);
        machine.kill(&mut random(seed));
        start(&mut machine);
        assert_eq!(put_through(&mut machine, "b"), [Response::Joined]);
        assert_eq!(machine.lose_power(&mut random(seed), Moment(0)), 0);
        start(&mut machine);
        assert!(stored(&machine, "a").is_some() && stored(&machine, "b").is_some());
    }
}

#[test]
fn a_node_does_not_start_without_its_disk_and_has_all_of_it_when_that_is_back() {
    let (mut bare, mut identified) = (0, 0);
    for seed in 0..16 {
        let mut machine = running();
        assert_eq!(put_through(&mut machine, "a"), [Response::Joined]);
        machine.unmount(&mut random(seed));
        match machine.start(Moment(0)) {
            Err(StartError::Identity(IdentityError::NotInitialised { .. })) => bare += 1,
            Err(StartError::Identity(IdentityError::StoreGone { .. })) => identified += 1,
            other => panic!("{other:?}"),
        }
        assert!(!machine.is_up());
        assert!(stored(&machine, "a").is_some(), "its own disk is elsewhere");

        machine.remount(&mut random(1));
        start(&mut machine);
        assert!(stored(&machine, "a").is_some());
        assert_eq!(put_through(&mut machine, "b"), [Response::Joined]);
    }
    assert!(bare > identified && identified > 0, "{bare}, {identified}");
}

#[test]
fn a_stop_in_order_commits_and_answers_what_waits_and_refuses_what_comes() {
    let mut machine = running();
    put(&mut machine, "a", None);
    machine.drain();
    put(&mut machine, "b", None);
    assert_eq!(
        answers(&mut machine),
        [Response::Refused(Refusal::Draining)],
        "the second put"
    );
    machine.stop(Moment(0), &mut Vec::new()).unwrap();
    assert!(!machine.is_up());
    assert!(stored(&machine, "a").is_some());
    assert_eq!(stored(&machine, "b"), None);
}

#[test]
fn after_a_failed_commit_nothing_is_acknowledged_until_the_next_start() {
    let mut machine = running();
    put(&mut machine, "a", None);
    machine.disk().fail_next_commit(false);
    assert!(machine.begin_commit(Moment(0)).unwrap());
    put(&mut machine, "b", None);
    assert!(machine.end_commit().is_err());
    let told = answers(&mut machine);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|told| matches!(told, Response::Refused(_))));
    put(&mut machine, "c", None);
    assert!(
        !machine.begin_commit(Moment(0)).unwrap(),
        "it serves nothing"
    );
    machine.kill(&mut random(1));
    start(&mut machine);
    assert_eq!(put_through(&mut machine, "a"), [Response::Joined]);
}
