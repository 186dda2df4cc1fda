//! Random histories of a correct store pass; what one of its reads returned, changed by chance, does not.
//!
//! ```text
//!   drop a sibling            add a replaced value          another put's bytes       always caught
//!   add a value not seen      see one more put              see one put less          always caught
//!   see one delete more       nothing else than a read that did meet it, if it was sent by then, all that
//!                             it had seen was seen, and nothing returned is replaced by it
//!   see one delete less       nothing else than a read that did not meet it, if nothing seen had seen it,
//!                             and all that it replaced was replaced by something else, too
//! ```
//!
//! So only changes about deletes have equivalents, as described there; they pass and are not counted.

use std::collections::BTreeMap;

use quoit_ring::{Dot, Seen};
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::history::{Call, Op};
use crate::invariants::testing::world::{Bug, Script, run};
use crate::invariants::{acked_never_lost, never_backwards};

const SCRIPTS: u64 = 300;

/// One change of each kind of as many reads of each history.
const READS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    DropSibling,
    AddReplaced,
    AddUnseen,
    OtherBytes,
    SeePutMore,
    SeePutLess,
    SeeDeleteMore,
    SeeDeleteLess,
}

const CHANGES: [Change; 8] = [
    Change::DropSibling,
    Change::AddReplaced,
    Change::AddUnseen,
    Change::OtherBytes,
    Change::SeePutMore,
    Change::SeePutLess,
    Change::SeeDeleteMore,
    Change::SeeDeleteLess,
];

fn script(seed: u64) -> Script {
    Script {
        bug: None,
        seed,
        replicas: if seed.is_multiple_of(3) { 5 } else { 3 },
        keys: 1 + usize::from(seed.is_multiple_of(2)),
        steps: 120,
    }
}

#[test]
fn random_histories_of_a_correct_store_pass() {
    let (mut siblings, mut reminted, mut deletes) = (0, 0, 0);
    for seed in 0..SCRIPTS {
        let history = run(script(seed));
        for invariant in [
            INVARIANT,
            never_backwards::INVARIANT,
            acked_never_lost::INVARIANT,
        ] {
            assert_eq!((invariant.check)(&history), Ok(()), "seed {seed}");
        }
        let count = |of: fn(&Op) -> bool| history.ops.iter().filter(|op| of(op)).count();
        siblings += count(|op| read(op).is_some_and(|(_, siblings, _)| siblings.len() > 1));
        deletes += count(|op| matches!(op.call, Call::Delete { .. }));
        reminted += history.minted.len() - count(Op::is_write);
    }

    let reached = (siblings, reminted, deletes);
    assert!(
        siblings > 2_000 && reminted > 500 && deletes > 2_000,
        "{reached:?}"
    );
}

#[test]
fn each_bug_of_a_store_is_caught_by_the_invariant_that_is_about_it() {
    let bugs = [
        (Bug::NoWriteBack, never_backwards::INVARIANT),
        (Bug::OneIsEnough, acked_never_lost::INVARIANT),
        (Bug::ForgetsAttempt, INVARIANT),
        (Bug::ForgetsPrevious, INVARIANT),
        (Bug::CoversTooMuch, INVARIANT),
        (Bug::OneSibling, INVARIANT),
        (Bug::ForgetsDeletes, acked_never_lost::INVARIANT),
    ];
    for (bug, invariant) in bugs {
        let caught = |&seed: &u64| {
            let mut script = script(seed);
            script.bug = Some(bug);
            (invariant.check)(&run(script)).is_err()
        };
        let caught = (0..100).filter(caught).count();
        assert!(caught >= 10, "{bug:?} was caught {caught} times");
    }
}

#[test]
fn a_read_that_was_changed_is_caught_unless_another_delete_explains_it() {
    let mut counts = BTreeMap::new();
    for seed in 0..SCRIPTS {
        let history = run(script(seed));
        let mut rng = SmallRng::seed_from_u64(seed);
        for change in CHANGES {
            for id in reads(&history).choose_multiple(&mut rng, READS) {
                let Some((changed, equivalent)) = changed(&history, id, change, &mut rng) else {
                    continue;
                };
                let verdict = check(&changed);
                let (caught, passed) = counts.entry(change).or_insert((0, 0));
                *if equivalent { passed } else { caught } += 1;
                if !equivalent {
                    assert!(
                        verdict.is_err(),
                        "seed {seed}: {change:?} of {id:?} was not caught"
                    );
                }
            }
        }
    }

    for change in CHANGES {
        let (caught, equivalent) = counts[&change];
        assert!(
            caught >= 100,
            "{change:?}: {caught} caught, {equivalent} equivalent"
        );
        let about_deletes = change >= Change::SeeDeleteMore;
        assert!(equivalent == 0 || about_deletes, "{change:?}");
    }
}

fn reads(history: &History) -> impl Iterator<Item = OpId> {
    let read = |(id, op)| read(op).map(|_| id);
    history.iter().filter_map(read)
}

fn read(op: &Op) -> Option<(Moment, &[Found], &Seen)> {
    match &op.returned {
        Some((at, Outcome::Read { siblings, seen })) => Some((*at, siblings, seen)),
        _ => None,
    }
}

/// The history with one read changed, and whether that might have happened as well; `None` if the read
/// cannot be changed so.
fn changed(
    history: &History,
    id: OpId,
    change: Change,
    rng: &mut SmallRng,
) -> Option<(History, bool)> {
    let op = history.op(id);
    let keyed = Keyed::all(history).swap_remove(op.key.0 as usize);
    let causal = Causal::of(history, &keyed);
    let (at, siblings, region) = read(op)?;
    let (mut siblings, mut region) = (siblings.to_vec(), region.clone());
    let seen = causal.events().seen(&region);
    let mut equivalent = false;
    match change {
        Change::DropSibling => {
            let dropped = (0..siblings.len()).choose(rng)?;
            siblings.remove(dropped);
        }
        Change::OtherBytes => {
            let changed = (0..siblings.len()).choose(rng)?;
            siblings[changed].value = format!("{} ", rng.random_range(0..100)).into();
        }
        Change::AddReplaced => {
            let replaced = causal.replaced(&seen);
            let put = pick(&causal, rng, |e| causal.is_value(e) && replaced.has(e))?;
            add(history, &causal, put, &mut siblings);
        }
        Change::AddUnseen => {
            let made = |e: usize| causal.events().list()[e].at <= at;
            let put = pick(&causal, rng, |e| {
                causal.is_value(e) && !seen.has(e) && made(e)
            })?;
            add(history, &causal, put, &mut siblings);
        }
        Change::SeePutMore => {
            let put = pick(&causal, rng, |e| causal.is_value(e) && !seen.has(e))?;
            region.union(&one(&causal, put));
        }
        Change::SeePutLess => {
            let put = pick(&causal, rng, |e| causal.is_value(e) && seen.has(e))?;
            region = all_but(&causal, &seen, put);
        }
        Change::SeeDeleteMore => {
            let delete = pick(&causal, rng, |e| !causal.is_value(e) && !seen.has(e))?;
            region.union(&one(&causal, delete));
            let before = causal.before(delete);
            equivalent = causal.events().list()[delete].at <= at
                && before.beyond(&seen).is_none()
                && !causal.returned(&siblings).iter().any(|e| before.has(e));
        }
        Change::SeeDeleteLess => {
            let delete = pick(&causal, rng, |e| !causal.is_value(e) && seen.has(e))?;
            region = all_but(&causal, &seen, delete);
            let mut fewer = seen;
            fewer.remove(delete);
            let replaced = causal.replaced(&fewer);
            let alive = causal.alive(&fewer, &replaced);
            equivalent = !replaced.has(delete) && alive == causal.returned(&siblings);
        }
    }

    let mut history = history.clone();
    let seen = region;
    history.ops[id.0 as usize].returned = Some((at, Outcome::Read { siblings, seen }));
    Some((history, equivalent))
}

fn pick(causal: &Causal<'_>, rng: &mut SmallRng, of: impl Fn(usize) -> bool) -> Option<usize> {
    let events = 0..causal.events().list().len();
    events.filter(|&event| of(event)).choose(rng)
}

fn add(history: &History, causal: &Causal<'_>, put: usize, siblings: &mut Vec<Found>) {
    let event = causal.events().list()[put];
    let Call::Put { value, .. } = &history.op(event.op).call else {
        panic!("it is a value");
    };
    siblings.push(Found {
        dot: event.dot,
        value: value.clone(),
        expiry: None,
    });
    siblings.sort_by_key(|found| found.dot);
}

fn one(causal: &Causal<'_>, event: usize) -> Seen {
    let Dot { actor, time } = causal.events().list()[event].dot;
    let mut seen = Seen::default();
    seen.add(actor, time.before(), time);
    seen
}

fn all_but(causal: &Causal<'_>, seen: &Set, event: usize) -> Seen {
    let mut region = Seen::default();
    for other in seen.iter().filter(|&other| other != event) {
        region.union(&one(causal, other));
    }
    region
}
