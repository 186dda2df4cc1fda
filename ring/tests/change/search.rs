//! The search: every order of events, breadth first.

use std::collections::{BTreeSet, VecDeque};

use quoit_ring::change::rules::majority;
use quoit_ring::change::{OwnerSet, Quorums};

use super::scheme::{Counts, Scheme};

/// Most states of one search.
const LIMIT: usize = 3_000_000;

/// By what a write comes under an obligation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Client {
    /// It is acknowledged: the writer counts acknowledgements of these epochs.
    Writer(&'static [usize]),
    /// It was sent in the first epoch, and a reader in the second one returns it.
    Reader(usize, usize),
}

/// What a pull has read: nothing yet, nothing, the write; and whether that has been joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pull {
    NotYet,
    Read(bool),
    Done,
}

/// All there is at one moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    /// The last epoch that was decided.
    epoch: usize,
    /// Who has the write.
    has: OwnerSet,
    /// The least epoch that each node serves.
    fences: [u8; 6],
    /// By receiver and source.
    pulls: [[Pull; 6]; 6],
    /// Where the write has arrived and is not joined yet.
    queued: OwnerSet,
    acked: OwnerSet,
    answered: OwnerSet,
    /// Who is known to the reader to have it.
    holders: OwnerSet,
    has_seen: bool,
    queued_back: OwnerSet,
    is_obliged: bool,
}

impl State {
    fn first(scheme: &Scheme) -> Self {
        let mut pulls = [[Pull::NotYet; 6]; 6];
        for (node, row) in pulls.iter_mut().enumerate().take(scheme.nodes.len()) {
            row[node] = Pull::Done; // of itself
        }
        Self {
            epoch: 0,
            has: OwnerSet::NONE,
            fences: [0; 6],
            pulls,
            queued: OwnerSet::NONE,
            acked: OwnerSet::NONE,
            answered: OwnerSet::NONE,
            holders: OwnerSet::NONE,
            has_seen: false,
            queued_back: OwnerSet::NONE,
            is_obliged: false,
        }
    }

    fn serves(&self, node: usize, epoch: usize) -> bool {
        usize::from(self.fences[node]) <= epoch
    }
}

/// The number of states, and the read quorum that could miss what it must not, if there is one.
pub(crate) fn explore(scheme: &Scheme, client: Client) -> (usize, Option<(usize, OwnerSet)>) {
    let quorums = scheme.epochs.map(|counts| read_quorums(scheme, counts));
    let mut todo = VecDeque::from([State::first(scheme)]);
    let mut seen: BTreeSet<State> = todo.iter().cloned().collect();
    while let Some(state) = todo.pop_front() {
        for next in successors(scheme, client, &state) {
            if !seen.insert(next.clone()) {
                continue;
            }
            if next.is_obliged
                && let Some(missed) = missed(&next, &quorums)
            {
                return (seen.len(), Some(missed));
            }
            todo.push_back(next);
            assert!(seen.len() <= LIMIT, "too many states");
        }
    }
    (seen.len(), None)
}

/// Every smallest set of nodes that is a read quorum.
fn read_quorums(scheme: &Scheme, counts: Counts) -> Vec<OwnerSet> {
    let all = 1_u32 << scheme.nodes.len();
    let set = |bits: u32| -> OwnerSet { (0..6).filter(|node| bits >> node & 1 == 1).collect() };
    let mut quorums: Vec<OwnerSet> = (1..all).map(set).collect();
    quorums.retain(|&set| counts.read.reached(set, majority));
    let smaller = |set: OwnerSet, than: OwnerSet| set != than && (set - than).is_empty();
    let smallest = |&set: &OwnerSet| !quorums.iter().any(|&other| smaller(other, set));
    quorums.iter().copied().filter(smallest).collect()
}

/// A read quorum that would still be served, and has nobody who has the write.
fn missed(state: &State, quorums: &[Vec<OwnerSet>; 3]) -> Option<(usize, OwnerSet)> {
    (0..=state.epoch).find_map(|epoch| {
        let is_missed = |&&quorum: &&OwnerSet| {
            (quorum & state.has).is_empty() && quorum.iter().all(|node| state.serves(node, epoch))
        };
        let quorum = quorums[epoch].iter().find(is_missed)?;
        Some((epoch, *quorum))
    })
}

fn successors(scheme: &Scheme, client: Client, state: &State) -> Vec<State> {
    let mut next = Vec::new();
    decide(scheme, state, &mut next);
    fence(scheme, state, &mut next);
    pull(scheme, state, &mut next);
    match client {
        Client::Writer(epochs) => {
            write(scheme, epochs, state, &mut next);
            acknowledge(scheme, epochs, state, &mut next);
        }
        Client::Reader(written, read) => {
            write(scheme, &[written], state, &mut next);
            self::read(scheme, read, state, &mut next);
        }
    }
    next
}

fn with(state: &State, change: impl FnOnce(&mut State)) -> State {
    let mut next = state.clone();
    change(&mut next);
    next
}

fn decide(scheme: &Scheme, state: &State, next: &mut Vec<State>) {
    let epoch = state.epoch + 1;
    let may = match epoch {
        1 => true,
        2 => {
            let pulled =
                |receiver: usize, source: usize| state.pulls[receiver][source] == Pull::Done;
            scheme.is_fenced(|node| state.fences[node] >= 1) && scheme.is_complete(pulled)
        }
        _ => false,
    };
    if may {
        next.push(with(state, |it| it.epoch = epoch));
    }
}

/// Old owners raise their fences, no more of them than are needed: that is the worst case.
fn fence(scheme: &Scheme, state: &State, next: &mut Vec<State>) {
    if state.epoch == 0 {
        return;
    }
    let old = 0..scheme.old.len();
    let fenced = old.clone().filter(|&node| state.fences[node] >= 1).count();
    let for_pulls = scheme.pulls_behind_fences && fenced < scheme.sources_needed();
    let for_epoch = !scheme.is_fenced(|node| state.fences[node] >= 1);
    if for_pulls || for_epoch {
        for node in old.filter(|&node| state.fences[node] == 0) {
            next.push(with(state, |it| it.fences[node] = 1));
        }
    }
}

fn pull(scheme: &Scheme, state: &State, next: &mut Vec<State>) {
    if state.epoch != 1 {
        return;
    }
    for receiver in scheme.range().receivers().map(|node| scheme.place(node)) {
        let row = &state.pulls[receiver];
        let begun = (0..scheme.old.len()).filter(|&source| row[source] != Pull::NotYet);
        let is_enough = begun.count() >= scheme.sources_needed();
        for (source, &pull) in row.iter().enumerate().take(scheme.old.len()) {
            match pull {
                Pull::NotYet => {
                    let is_ready = !scheme.pulls_behind_fences || state.fences[source] >= 1;
                    if is_ready && !is_enough {
                        let found = state.has.contains(source);
                        next.push(with(state, |it| {
                            it.pulls[receiver][source] = Pull::Read(found);
                        }));
                    }
                }
                Pull::Read(found) => next.push(with(state, |it| {
                    it.pulls[receiver][source] = Pull::Done;
                    if found {
                        it.has.insert(receiver);
                    }
                })),
                Pull::Done => {}
            }
        }
    }
}

fn write(scheme: &Scheme, epochs: &[usize], state: &State, next: &mut Vec<State>) {
    for &epoch in epochs.iter().filter(|&&epoch| epoch <= state.epoch) {
        for node in scheme.epochs[epoch].write.all().iter() {
            if !state.serves(node, epoch) || state.acked.contains(node) {
                continue;
            }
            if scheme.checks_at_join {
                next.push(with(state, |it| {
                    it.has.insert(node);
                    it.acked.insert(node);
                }));
            } else if !state.queued.contains(node) {
                next.push(with(state, |it| it.queued.insert(node)));
            }
        }
    }
    for node in state.queued.iter() {
        next.push(with(state, |it| {
            it.queued.remove(node);
            it.has.insert(node);
            it.acked.insert(node);
        }));
    }
}

fn acknowledge(scheme: &Scheme, epochs: &[usize], state: &State, next: &mut Vec<State>) {
    let is_acked = |&epoch: &usize| {
        epoch <= state.epoch && scheme.epochs[epoch].write.reached(state.acked, majority)
    };
    if !state.is_obliged && epochs.iter().any(is_acked) {
        next.push(with(state, |it| it.is_obliged = true));
    }
}

fn read(scheme: &Scheme, epoch: usize, state: &State, next: &mut Vec<State>) {
    if state.is_obliged || epoch > state.epoch {
        return;
    }
    let Counts { read, hold, .. } = scheme.epochs[epoch];
    let holds = |quorums: Quorums| quorums.reached(state.holders, |n| n - majority(n) + 1);
    if !read.reached(state.answered, majority) {
        for node in (read.all() - state.answered).iter() {
            if state.serves(node, epoch) {
                next.push(with(state, |it| {
                    it.answered.insert(node);
                    if it.has.contains(node) {
                        it.holders.insert(node);
                        it.has_seen = true;
                    }
                }));
            }
        }
    } else if state.has_seen && holds(hold) {
        next.push(with(state, |it| it.is_obliged = true));
    } else if state.has_seen {
        for node in (hold.all() - state.holders).iter() {
            if !state.serves(node, epoch) {
                continue;
            }
            if scheme.checks_at_join {
                next.push(with(state, |it| {
                    it.has.insert(node);
                    it.holders.insert(node);
                }));
            } else if !state.queued_back.contains(node) {
                next.push(with(state, |it| it.queued_back.insert(node)));
            }
        }
    }
    for node in state.queued_back.iter() {
        next.push(with(state, |it| {
            it.queued_back.remove(node);
            it.has.insert(node);
            it.holders.insert(node);
        }));
    }
}
