//! What a write counts, which owners get hints, and when it ends.

use proptest::prelude::*;
use quoit_ring::change::{OwnerSet, Quorums};
use quoit_ring::wire::{Fault, Refusal};

use super::*;

/// A write to one list.
fn quorum(n: usize, w: usize, sloppy: bool) -> WriteQuorum {
    WriteQuorum::new(Quorums::one(n).needs(|_n| w), sloppy)
}

/// A write whose sends are done.
fn sent(n: usize, w: usize) -> WriteQuorum {
    let mut write = quorum(n, w, false);
    let sends: Vec<_> = core::iter::from_fn(|| write.poll_step()).collect();
    assert_eq!(sends, (0..n).map(WriteStep::Send).collect::<Vec<_>>());
    write
}

fn verdict(write: &mut WriteQuorum) -> Result<usize, WriteFailure> {
    match write.poll_step() {
        Some(WriteStep::Return(verdict)) => verdict.map(|acked| acked.nodes).map_err(|it| *it),
        other => panic!("no verdict but {other:?}"),
    }
}

#[test]
fn w_acknowledgements_are_enough() {
    let mut write = sent(3, 2);
    write.acked(2);
    assert_eq!(write.poll_step(), None);
    write.acked(0);
    assert_eq!(verdict(&mut write), Ok(2));
}

#[test]
fn one_replica_counts_once() {
    let mut write = sent(3, 2);
    write.acked(1);
    write.acked(1);
    assert_eq!(write.poll_step(), None);
}

#[test]
fn a_covered_write_is_minted_above_what_covers_it() {
    let mut write = sent(3, 2);
    write.superseded(0, false, Time(50));
    write.acked(1);
    assert_eq!(write.poll_step(), None, "the third may still acknowledge");
    write.superseded(2, false, Time(70));
    assert_eq!(write.poll_step(), Some(WriteStep::Remint(Time(70))));
    write.reminted();
    let sends = core::iter::from_fn(|| write.poll_step()).count();
    assert_eq!(
        sends, 3,
        "everyone gets the new dot, so that it is the one that W hold"
    );
    write.acked(0);
    write.acked(2);
    assert_eq!(verdict(&mut write), Ok(2));
}

#[test]
fn a_renewed_write_is_never_minted_above_what_may_have_seen_it() {
    let mut write = sent(3, 2);
    write.acked(0);
    assert!(write.may_renew(1) && !write.may_renew(0));
    write.renewed(1);
    assert_eq!(core::iter::from_fn(|| write.poll_step()).count(), 3);
    write.superseded(2, false, Time(70));
    write.failed(0, Outcome::Lost);
    write.acked(1);
    let failure = verdict(&mut write).unwrap_err();
    assert!(failure.evidence.may_be_stored, "two had joined it before");
}

#[test]
fn an_acknowledgement_of_an_earlier_dot_is_not_forgotten() {
    let mut write = sent(3, 2);
    write.acked(0);
    write.superseded(1, false, Time(50));
    write.superseded(2, false, Time(50));
    assert_eq!(write.poll_step(), Some(WriteStep::Remint(Time(50))));
    write.reminted();
    while write.poll_step().is_some() {}
    for replica in 0..3 {
        write.failed(replica, Outcome::Unreachable);
    }
    let failure = verdict(&mut write).unwrap_err();
    let expected = Evidence {
        acked: 1,
        may_be_stored: false,
    };
    assert_eq!(failure.evidence, expected);
}

#[test]
fn a_lost_replica_does_not_keep_a_write_from_being_minted_anew_but_stays_in_its_outcome() {
    let mut write = sent(3, 2);
    write.superseded(0, false, Time(50));
    write.superseded(1, false, Time(50));
    write.failed(2, Outcome::Lost);
    assert_eq!(write.poll_step(), Some(WriteStep::Remint(Time(50))));
    write.reminted();
    let sent: Vec<_> = core::iter::from_fn(|| write.poll_step()).collect();
    assert_eq!(sent.len(), 2, "not to the lost one: {sent:?}");
    write.failed(0, Outcome::Unreachable);
    write.failed(1, Outcome::Unreachable);
    let failure = verdict(&mut write).unwrap_err();
    assert_eq!(failure.outcomes[2], Outcome::Lost);
    assert!(failure.evidence.may_be_stored);
}

#[test]
fn a_replica_that_can_name_the_dot_has_acknowledged() {
    let mut write = sent(3, 2);
    write.superseded(0, true, Time(50));
    write.acked(1);
    assert_eq!(verdict(&mut write), Ok(2));
}

#[test]
fn too_few_willing_replicas_fail_with_their_reasons() {
    let mut write = sent(3, 2);
    write.failed(0, Outcome::Unreachable);
    write.acked(1);
    write.failed(2, Outcome::Refused(Refusal::Storage(Fault::NoSpace)));
    assert_eq!(verdict(&mut write).unwrap_err().evidence.acked, 1);
}

#[test]
fn the_deadline_ends_it_and_names_the_silent() {
    let mut write = sent(3, 2);
    write.acked(0);
    write.expired();
    let failure = verdict(&mut write).unwrap_err();
    assert_eq!(
        failure.outcomes,
        [Outcome::Done, Outcome::TimedOut, Outcome::TimedOut]
    );
    write.acked(1);
    assert_eq!(
        write.poll_step(),
        Some(WriteStep::Finish),
        "an answer after the verdict changes nothing"
    );
}

#[test]
fn minting_anew_ends_after_a_bounded_number_of_times() {
    let mut write = sent(1, 1);
    let mut minted = 0;
    loop {
        write.superseded(0, false, Time(minted));
        match write.poll_step() {
            Some(WriteStep::Remint(_)) => write.reminted(),
            Some(WriteStep::Return(verdict)) => break assert!(verdict.is_err()),
            step => panic!("{step:?}"),
        }
        while write.poll_step().is_some() {}
        minted += 1;
    }
    assert_eq!(minted, u64::from(MAX_REMINTS));
}

/// All steps there are now.
fn steps(write: &mut WriteQuorum) -> Vec<WriteStep> {
    core::iter::from_fn(|| write.poll_step()).collect()
}

const fn returned(nodes: usize, hints: usize) -> WriteStep {
    WriteStep::Return(Ok(Acked { nodes, hints }))
}

#[test]
fn a_strict_write_is_kept_for_who_missed_it_once_w_owners_have_it() {
    let mut write = sent(3, 2);
    write.failed(0, Outcome::Unreachable);
    write.acked(1);
    assert_eq!(
        steps(&mut write),
        [],
        "it may fail, and must not come to life"
    );
    write.acked(2);
    assert_eq!(steps(&mut write), [returned(2, 0), WriteStep::Hint(0)]);
    write.hinted(0, Some(0));
    write.acked(3);
    assert_eq!(steps(&mut write), [WriteStep::Finish]);
    assert_eq!(write.forgone(), 0);
}

#[test]
fn a_strict_write_that_fails_is_kept_for_nobody() {
    let mut write = sent(3, 2);
    write.failed(0, Outcome::Unreachable);
    write.failed(1, Outcome::Lost);
    write.acked(2);
    let [WriteStep::Return(Err(_)), WriteStep::Finish] = &steps(&mut write)[..] else {
        panic!("it goes on");
    };
}

#[test]
fn a_sloppy_write_counts_who_keeps_it_if_that_is_another_node() {
    let mut write = quorum(3, 2, true);
    steps(&mut write);
    write.failed(0, Outcome::Unreachable);
    write.failed(1, Outcome::Unreachable);
    assert_eq!(steps(&mut write), [WriteStep::Hint(0), WriteStep::Hint(1)]);
    write.hinted(0, Some(0));
    write.hinted(1, Some(0));
    write.acked(4);
    write.acked(3);
    assert_eq!(steps(&mut write), [], "one node, though it keeps it twice");
    write.acked(2);
    assert_eq!(steps(&mut write), [returned(2, 1), WriteStep::Finish]);
}

#[test]
fn an_owner_and_who_keeps_the_write_for_it_count_once() {
    let mut write = quorum(3, 2, true);
    steps(&mut write);
    write.overdue(0);
    assert_eq!(steps(&mut write), [WriteStep::Hint(0)]);
    write.hinted(0, Some(0));
    write.acked(3);
    write.acked(0);
    assert_eq!(steps(&mut write), [], "delivered, they are one copy");
    write.acked(1);
    assert_eq!(steps(&mut write), [returned(2, 0)]);
}

#[test]
fn a_holder_that_does_not_take_its_hint_is_replaced_until_there_is_none() {
    let mut write = quorum(3, 2, true);
    steps(&mut write);
    write.failed(0, Outcome::Unreachable);
    steps(&mut write);
    write.hinted(0, Some(0));
    write.failed(3, Outcome::Refused(Refusal::HintsFull { bytes: 1, max: 1 }));
    assert_eq!(steps(&mut write), [WriteStep::Hint(0)]);
    write.no_holder(0);
    write.acked(1);
    write.acked(2);
    assert_eq!(
        steps(&mut write),
        [returned(2, 0), WriteStep::Hint(0)],
        "those who have it are asked, too"
    );
    write.no_holder(0);
    assert_eq!(steps(&mut write), [WriteStep::Finish]);
    assert_eq!(write.forgone(), 1);
}

#[test]
fn a_sloppy_write_that_fails_tells_what_became_of_its_hints() {
    let mut write = quorum(3, 3, true);
    steps(&mut write);
    write.failed(0, Outcome::Unreachable);
    steps(&mut write);
    write.hinted(0, Some(0));
    write.acked(1);
    write.expired();
    let [WriteStep::Return(Err(failure)), WriteStep::Finish] = &steps(&mut write)[..] else {
        panic!("no verdict");
    };
    let silent = Outcome::TimedOut;
    let expected = [Outcome::Unreachable, Outcome::Done, silent.clone(), silent];
    assert_eq!(failure.outcomes, expected, "the hint may be stored");
}

#[test]
fn a_sloppy_write_covered_at_an_owner_and_at_a_holder_is_minted_anew_and_kept_anew() {
    let mut write = quorum(3, 3, true);
    steps(&mut write);
    write.failed(0, Outcome::Unreachable);
    steps(&mut write);
    write.hinted(0, Some(0));
    write.superseded(3, false, Time(70));
    write.acked(1);
    write.superseded(2, false, Time(50));
    assert_eq!(steps(&mut write), [WriteStep::Remint(Time(70))]);
    write.reminted();
    let all = [WriteStep::Hint(0), WriteStep::Send(1), WriteStep::Send(2)];
    assert_eq!(steps(&mut write), all);
    write.hinted(0, Some(0));
    (1..=3).for_each(|replica| write.acked(replica));
    assert_eq!(steps(&mut write), [returned(3, 1), WriteStep::Finish]);
}

#[test]
fn an_owner_that_is_overdue_is_not_waited_for() {
    let mut write = sent(3, 2);
    write.acked(0);
    write.acked(1);
    assert_eq!(steps(&mut write), [returned(2, 0)]);
    assert_eq!(write.awaited().collect::<Vec<_>>(), [2]);
    write.overdue(2);
    write.overdue(2);
    assert_eq!(steps(&mut write), [WriteStep::Hint(2)], "once");
    write.hinted(2, Some(0));
    write.acked(2);
    assert_eq!(steps(&mut write), [], "the hint is on its way all the same");
    write.acked(3);
    assert_eq!(steps(&mut write), [WriteStep::Finish]);
}

#[test]
fn a_covered_write_is_minted_anew_without_an_owner_that_is_overdue() {
    let mut write = sent(3, 2);
    write.acked(0);
    write.superseded(1, false, Time(50));
    assert_eq!(steps(&mut write), [], "the third may acknowledge");
    write.overdue(2);
    write.overdue(2);
    assert_eq!(steps(&mut write), [WriteStep::Remint(Time(50))]);
    write.reminted();
    assert_eq!(steps(&mut write).len(), 3, "it gets the new dot, too");
    (0..3).for_each(|replica| write.failed(replica, Outcome::Refused(Refusal::NotReplica)));
    let [WriteStep::Return(Err(failure)), WriteStep::Finish] = &steps(&mut write)[..] else {
        panic!("no verdict");
    };
    assert!(
        failure.evidence.may_be_stored,
        "the first dot may have got there"
    );
}

#[test]
fn an_owner_that_is_overdue_may_still_bring_the_acknowledgement_that_is_missing() {
    let mut write = sent(3, 2);
    write.acked(0);
    write.overdue(2);
    write.failed(1, Outcome::Lost);
    assert_eq!(steps(&mut write), []);
    write.acked(2);
    assert_eq!(verdict(&mut write), Ok(2));
}

#[test]
fn what_an_owner_refused_for_what_it_is_or_for_want_of_room_is_kept_for_nobody() {
    let refusals = [
        Refusal::TooManySiblings { max: 4 },
        Refusal::Overloaded { queue_ms: 70 },
    ];
    for refusal in refusals {
        let mut write = sent(3, 2);
        write.failed(0, Outcome::Refused(refusal));
        write.acked(1);
        write.acked(2);
        assert_eq!(steps(&mut write), [returned(2, 0), WriteStep::Finish]);
    }
}

/// A sloppy write whose hint for an owner out of reach broke off, and which the other owners have superseded.
fn lost_hint() -> WriteQuorum {
    let mut write = quorum(3, 2, true);
    steps(&mut write);
    write.failed(0, Outcome::Unreachable);
    steps(&mut write);
    write.hinted(0, Some(0));
    write.failed(3, Outcome::Lost);
    assert_eq!(steps(&mut write), [WriteStep::Hint(0)]);
    write.no_holder(0);
    write.superseded(1, false, Time(50));
    write.superseded(2, false, Time(50));
    assert_eq!(steps(&mut write), [WriteStep::Remint(Time(50))]);
    write
}

#[test]
fn a_hint_that_may_have_arrived_is_not_forgotten_when_the_write_is_minted_anew() {
    let mut write = lost_hint();
    write.reminted();
    steps(&mut write);
    write.no_holder(0);
    (1..3).for_each(|owner| write.failed(owner, Outcome::Refused(Refusal::NotReplica)));
    let failure = verdict(&mut write).unwrap_err();
    assert!(failure.evidence.may_be_stored);
    assert!(
        !failure.outcomes.iter().any(Outcome::may_be_stored),
        "the last attempt does not show it"
    );
}

#[test]
fn an_overwritten_write_ends_with_those_that_have_it_or_what_came_after() {
    let mut write = lost_hint();
    write.overwritten();
    assert_eq!(steps(&mut write), [returned(2, 0), WriteStep::Finish]);
    assert_eq!(write.forgone(), 0, "nobody misses it");
}

proptest! {
    #[test]
    fn the_verdict_is_given_once_and_only_on_w_distinct_acknowledgements(
        n in 1_usize..6,
        w in 1_usize..6,
        sloppy: bool,
        holders in 0_usize..6,
        events in proptest::collection::vec((0_usize..10, 0_u8..5), 0..40),
    ) {
        let w = w.min(n);
        let mut write = quorum(n, w, sloppy);
        let (mut verdicts, mut finished) = (0, 0);
        // Of each owner, and of each hint: whose copy it is once delivered, and where it is now.
        let mut copies: Vec<(usize, usize)> = (0..n).map(|owner| (owner, owner)).collect();
        let mut acked: Vec<(usize, usize)> = Vec::new();
        let distinct = |of: Vec<usize>| of.into_iter().collect::<std::collections::BTreeSet<_>>().len();
        let mut ever_acked = false;
        // What one request left open stays open, whatever comes after it.
        let (mut ever_open, mut expired_with_pending) = (false, false);
        let mut events = events.into_iter().map(Some).chain([None, None]);
        loop {
            while let Some(step) = write.poll_step() {
                prop_assert_eq!(finished, 0, "nothing comes after the end");
                match step {
                    WriteStep::Return(verdict) => {
                        verdicts += 1;
                        let owners = distinct(acked.iter().map(|copy| copy.0).collect());
                        let nodes = distinct(acked.iter().map(|copy| copy.1).collect());
                        if verdict.is_ok() {
                            prop_assert!(owners >= w && nodes >= w);
                        } else {
                            prop_assert!(acked.iter().filter(|copy| copy.1 < n).count() < w);
                        }
                        if let Err(failure) = verdict {
                            prop_assert_eq!(failure.evidence.acked > 0, ever_acked);
                            let open = ever_open || expired_with_pending;
                            prop_assert_eq!(failure.evidence.may_be_stored, open);
                            prop_assert_eq!(failure.outcomes.len(), copies.len());
                        }
                    }
                    WriteStep::Remint(_) => {
                        ever_open |= (0..copies.len()).any(|replica| write.awaits(replica));
                        acked.clear();
                        copies.truncate(n);
                        write.reminted();
                    }
                    WriteStep::Hint(owner) => {
                        prop_assert!(sloppy || verdicts == 1);
                        let asked = copies.len() - n;
                        if asked < holders {
                            copies.push((owner, 100 + asked / 2));
                            write.hinted(owner, Some(asked / 2));
                        } else {
                            write.no_holder(owner);
                        }
                    }
                    WriteStep::Send(_) => {}
                    WriteStep::Finish => finished += 1,
                }
            }
            let Some(event) = events.next() else { break };
            let Some((replica, event)) = event else {
                expired_with_pending |= (0..copies.len()).any(|replica| write.awaits(replica));
                write.expired();
                continue;
            };
            if write.awaits(replica) && event == 0 && verdicts == 0 {
                acked.push(copies[replica]);
                ever_acked = true;
            }
            ever_open |= write.awaits(replica) && event == 3;
            match event {
                0 => write.acked(replica),
                1 => write.superseded(replica, false, Time(9)),
                2 => write.failed(replica, Outcome::Unreachable),
                3 => write.failed(replica, Outcome::Lost),
                _ => write.overdue(replica % n),
            }
        }
        prop_assert_eq!((verdicts, finished), (1, 1));
    }
}

#[test]
fn a_write_that_w_owners_have_by_a_newer_map_returns_at_once() {
    let again = |holders: &[usize]| {
        let mut quorum =
            quorum(3, 2, false).again(Evidence::default(), holders.iter().copied().collect(), true);
        core::iter::from_fn(|| quorum.poll_step()).collect::<Vec<_>>()
    };
    let acked = |nodes| WriteStep::Return(Ok(Acked { nodes, hints: 0 }));
    assert_eq!(again(&[0]), [WriteStep::Send(1), WriteStep::Send(2)]);
    assert_eq!(again(&[0, 2]), [WriteStep::Send(1), acked(2)]);
    assert_eq!(again(&[0, 1, 2]), [acked(3), WriteStep::Finish]);
}

/// Owners 0 1 2 before, 1 2 3 after: W is 2 of either.
fn joint(sloppy: bool) -> WriteQuorum {
    let list = |owners: [usize; 3]| owners.into_iter().collect::<OwnerSet>();
    let lists = Quorums::both(list([0, 1, 2]), list([1, 2, 3]));
    let mut write = WriteQuorum::new(lists.needs(|n| n / 2 + 1), sloppy);
    assert_eq!(steps(&mut write).len(), 4, "it goes to all of them");
    write
}

#[test]
fn while_a_range_moves_w_owners_of_either_list_are_needed() {
    let mut write = joint(false);
    write.acked(0);
    write.acked(1);
    assert_eq!(steps(&mut write), [], "one of the new owners");
    write.acked(3);
    assert_eq!(steps(&mut write), [returned(3, 0)]);

    let mut write = joint(false);
    write.acked(1);
    write.acked(2);
    assert_eq!(steps(&mut write), [returned(2, 0)], "they are in both");

    let mut write = joint(false);
    write.failed(2, Outcome::Unreachable);
    write.failed(3, Outcome::Unreachable);
    write.acked(0);
    write.acked(1);
    assert_eq!(verdict(&mut write).unwrap_err().evidence.acked, 2);
}

#[test]
fn while_a_range_moves_a_holder_counts_in_each_list_of_its_owner() {
    let mut write = joint(true);
    write.failed(1, Outcome::Unreachable);
    write.failed(2, Outcome::Unreachable);
    assert_eq!(steps(&mut write), [WriteStep::Hint(1), WriteStep::Hint(2)]);
    write.hinted(1, Some(0));
    write.hinted(2, Some(1));
    write.acked(0);
    write.acked(4);
    assert_eq!(steps(&mut write), [], "of the new list one hint alone");
    write.acked(3);
    assert_eq!(steps(&mut write), [returned(3, 1)]);
}

#[test]
fn while_a_range_moves_a_superseded_write_is_minted_above_what_either_list_has() {
    let mut write = joint(false);
    write.superseded(0, false, Time(50));
    write.superseded(1, false, Time(60));
    write.superseded(3, false, Time(70));
    assert_eq!(steps(&mut write), [], "owner 2 may acknowledge");
    write.failed(2, Outcome::Unreachable);
    assert_eq!(steps(&mut write), [WriteStep::Remint(Time(70))]);
}
