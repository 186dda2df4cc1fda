//! The changes that hold, and the defects that do not.

use quoit_ring::change::{OwnerSet, Quorums};

use super::scheme::{Counts, Need, Scheme};
use super::search::{Client, explore};

const ONE_MOVES: ([u64; 3], [u64; 3]) = ([1, 2, 3], [4, 2, 3]);

/// The states of every client, or what one of them finds missing.
fn check(scheme: &Scheme) -> Result<usize, (Client, usize, OwnerSet)> {
    let writers = [&[0][..], &[1], &[2]].map(Client::Writer);
    let readers = (0..3).flat_map(|written| (0..3).map(move |read| Client::Reader(written, read)));
    let mut states = 0;
    for client in writers.into_iter().chain(readers) {
        let (searched, missed) = explore(scheme, client);
        if let Some((epoch, quorum)) = missed {
            return Err((client, epoch, quorum));
        }
        states += searched;
    }
    Ok(states)
}

#[test]
fn a_change_loses_nothing_whichever_owners_move() {
    let changes: [(&str, &[u64], &[u64]); 8] = [
        ("one moves", &[1, 2, 3], &[4, 2, 3]),
        ("both move at once", &[1, 2], &[3, 4]),
        ("one moves, one more", &[1, 2], &[3, 2, 4]),
        ("from 2 to 3", &[1, 2], &[1, 2, 3]),
        ("from 1 to 2", &[1], &[1, 2]),
        ("from 3 to 2", &[1, 2, 3], &[1, 2]),
        ("from 3 to 2, one moves", &[1, 2, 3], &[4, 2]),
        ("one by one", &[1], &[2]),
    ];
    for (what, old, new) in changes {
        let states = check(&Scheme::of(old, new)).unwrap_or_else(|lost| panic!("{what}: {lost:?}"));
        println!("{what}: {states} states");
        assert!(states > 50, "{what}: {states} states are no search");
    }
}

/// The epoch in which both lists count, with this in place of one of its counts.
fn defective(change: impl FnOnce(&mut Counts, Quorums, Quorums)) -> Scheme {
    let (old, new) = ONE_MOVES;
    let mut scheme = Scheme::of(&old, &new);
    let (old, new) = (scheme.epochs[0].read, scheme.epochs[2].read);
    change(&mut scheme.epochs[1], old, new);
    scheme
}

fn with_rules(change: impl FnOnce(&mut Scheme)) -> Scheme {
    let (old, new) = ONE_MOVES;
    let mut scheme = Scheme::of(&old, &new);
    change(&mut scheme);
    scheme
}

#[test]
fn without_any_of_the_rules_something_is_lost() {
    let defects = [
        (
            "the fence is checked on arrival",
            with_rules(|it| it.checks_at_join = false),
        ),
        (
            "no fence, and pulls from who has none",
            with_rules(|it| (it.fence, it.pulls_behind_fences) = (Need::Only(0), false)),
        ),
        (
            "one fence is enough",
            with_rules(|it| (it.fence, it.pulls_behind_fences) = (Need::Only(1), false)),
        ),
        ("a pull from one", with_rules(|it| it.pulls = Need::Only(1))),
        (
            "reads of the old list alone",
            defective(|it, old, _new| it.read = old),
        ),
        (
            "reads of the new list alone",
            defective(|it, _old, new| it.read = new),
        ),
        (
            "holders of the old list alone",
            defective(|it, old, _new| it.hold = old),
        ),
        (
            "acknowledgements of the new list alone",
            defective(|it, _old, new| it.write = new),
        ),
    ];
    for (defect, scheme) in defects {
        assert!(check(&scheme).is_err(), "{defect}: nothing is lost");
    }
}

#[test]
fn acknowledgements_of_two_epochs_are_no_quorum_together() {
    let (old, new) = ONE_MOVES;
    let scheme = Scheme::of(&old, &new);
    let lost = |epochs| explore(&scheme, Client::Writer(epochs)).1.is_some();
    assert!(lost(&[0, 1]) || lost(&[1, 2]));
}
