//! Cleaning up: rows of leaves that this node does not own any more.
//!
//! ```text
//!   look --a page--> compare sums with the present owners --what differs--> ask what they hold --what they lack--> push
//!                       a majority of each list has a row --> forget it
//!   no row is left: clean, or what comes to this node is taken
//! ```
//!
//! What was acknowledged is with a majority of the present owners already, since they pulled it; what only one node had
//! joined may be here alone. So a row goes once a majority of the present owners has it, by the sum of its leaf, by
//! what it holds, or because it has joined it. Sums say nothing of what a record has seen, so they count only for one that
//! has seen no more than its value.
//!
//! Who is **written off** has nothing and is not asked. A majority is one of all owners all the same, those included: else
//! a read that asks the others could miss the row. Where fewer are left, each of them must have it, and where nobody is, this
//! may be the last copy, and stays.
//!
//! A node that is to own a leaf again first empties it: what is left there from an earlier time does not count, and a value
//! that was deleted meanwhile must not come back. Its rows are pushed to the owners of the old list, from where it pulls.
//!
//! Invariant: nothing is pushed or deleted before this node itself refuses all earlier epochs, so no row is added behind
//! the walk. It waits for the driver of the change to raise that fence: the others may not serve the new epoch yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::change::rules::enough;
use quoit_ring::change::{Known, OwnerSet, Quorums, Threshold};
use quoit_ring::merkle::Place;
use quoit_ring::wire::{DecodeError, MembershipRequest, Request, Response, decode_record};
use quoit_ring::{Delta, Epoch, Held, Leaf, LeafBits, Moment, NodeId, Record, Sum};
use smallvec::SmallVec;

use super::under_way::{About, UnderWay};
use crate::cluster::ClusterView;
use crate::commit::Task;

/// Most requests under way.
const WINDOW: usize = 32;
/// The first rest after a walk that has left something; each further one in a row is twice as long.
const FIRST_REST: Duration = Duration::from_millis(100);
/// How long nobody may have raised this node's fence before it does so itself.
const UNFENCED: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// A page of rows that this node does not own, or may not own yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftRows {
    /// In the order of their leaves.
    pub rows: Vec<LeftRow>,
    /// This node's sums of those leaves; none for a leaf while they are being summed up.
    pub sums: BTreeMap<Leaf, Sum>,
    /// Rows that could not be read, and stay.
    pub unreadable: u64,
    /// Behind which row the next page begins; `None` if this is the last one.
    pub next: Option<Bytes>,
}

/// One such row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftRow {
    /// Its leaf.
    pub leaf: Leaf,
    /// Its user key.
    pub key: Bytes,
    /// Its record, as it is stored.
    pub record: Bytes,
}

/// Who has to have a row.
#[derive(Debug)]
struct Owners {
    all: SmallVec<[NodeId; 6]>,
    /// Those that are not written off.
    left: OwnerSet,
    /// How many of those, of each list.
    needs: Threshold,
}

impl Owners {
    fn new(
        all: SmallVec<[NodeId; 6]>,
        quorums: Quorums,
        is_left: impl Fn(&NodeId) -> bool,
    ) -> Self {
        let numbered = all.iter().enumerate();
        let left: OwnerSet = (numbered.filter(|(_, node)| is_left(node)))
            .map(|(number, _)| number)
            .collect();
        let needs = quorums.needs_of(|list| enough(list.len(), (list & left).len()));
        Self { all, left, needs }
    }

    /// The number of an owner that is not written off.
    fn number(&self, node: NodeId) -> Option<usize> {
        let place = self.all.iter().position(|&it| it == node);
        place.filter(|&place| self.left.contains(place))
    }

    /// Whether a row that these owners have may go: but for that, with nobody left this may be the last copy.
    fn suffice(&self, holders: OwnerSet) -> bool {
        !self.left.is_empty() && self.needs.reached(holders)
    }
}

/// A row that is being handed over.
#[derive(Debug)]
struct Row {
    left: LeftRow,
    record: Record,
    is_in_sums: bool,
    owners: Owners,
    holders: OwnerSet,
    asked: OwnerSet,
}

/// A request that waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    /// Ask an owner for its sums below this node of the tree.
    Compare(NodeId, u32),
    /// Ask an owner what it holds of the row with this number.
    LookUp(NodeId, usize),
    /// Push that row to an owner.
    Push(NodeId, usize),
}

#[derive(Debug)]
struct Page {
    bits: LeafBits,
    rows: Vec<Row>,
    sums: BTreeMap<Leaf, Sum>,
    next: Option<Bytes>,
    jobs: VecDeque<Job>,
    under_way: usize,
}

#[derive(Debug)]
enum Phase {
    /// Nothing is left.
    Clean,
    /// To be looked at, from then on, once older epochs are refused.
    Due(Moment),
    /// This node raises its own fence, since nobody else has.
    Fencing,
    Looking,
    Handing(Page),
    Forgetting(Option<Bytes>),
    Taking,
}

/// One node's leftovers in one epoch.
#[derive(Debug)]
pub(super) struct Clean {
    node: NodeId,
    known: Known,
    phase: Phase,
    /// Whether leaves come to this node that it does not own yet.
    is_newcomer: bool,
    /// Whether the walk has left a row, or could not look at one.
    has_left: bool,
    failures: u32,
    entered: Moment,
}

impl Clean {
    pub(super) fn new(node: NodeId, known: Known, now: Moment) -> Self {
        let moving = known.moving();
        let is_newcomer = moving.iter().any(|range| range.is_newcomer(node));
        Self {
            node,
            known,
            phase: Phase::Due(now),
            is_newcomer,
            has_left: false,
            failures: 0,
            entered: now,
        }
    }

    /// Whether it holds nothing that it does not own.
    pub(super) const fn is_clean(&self) -> bool {
        matches!(self.phase, Phase::Clean)
    }

    pub(super) fn act(&mut self, cluster: &ClusterView, out: &mut UnderWay, now: Moment) {
        let epoch = self.known.epoch();
        match &mut self.phase {
            Phase::Due(due) if *due <= now && cluster.epoch() >= epoch => {
                self.phase = Phase::Looking;
                self.has_left = false;
                out.look(epoch, None);
            }
            Phase::Due(due) if *due <= now && now >= self.entered + UNFENCED => {
                self.phase = Phase::Fencing;
                let fence = (MembershipRequest::Fence, About::Fenced);
                out.ask(self.node, epoch, fence, now);
            }
            Phase::Handing(page) => {
                page.send(epoch, out, now);
                if page.under_way == 0 && page.jobs.is_empty() {
                    self.forget(out);
                }
            }
            _ => {}
        }
    }

    /// This node's own fence is raised, or could not be.
    pub(super) fn is_fenced(&mut self, cluster: &ClusterView, now: Moment) {
        if !matches!(self.phase, Phase::Fencing) {
            return;
        }
        if cluster.epoch() >= self.known.epoch() {
            self.phase = Phase::Due(now);
        } else {
            self.rest(now);
        }
    }

    /// A page was read; none if it could not be.
    pub(super) fn looked(&mut self, page: Option<LeftRows>, out: &mut UnderWay, now: Moment) {
        if !matches!(self.phase, Phase::Looking) {
            return;
        }
        let Some(page) = page else {
            return self.rest(now);
        };
        self.has_left |= page.unreadable > 0;
        if page.rows.is_empty() {
            return self.walk_on(page.next, out, now);
        }
        let bits = self.known.topology().leaf_bits();
        let page = Page::new(page, bits, |leaf| self.owners(leaf));
        self.phase = Phase::Handing(page);
    }

    /// Who has to have a row before it goes: enough of each present list, of the old one where this node is to own it.
    fn owners(&self, leaf: Leaf) -> Owners {
        let lists = self.known.topology().lists_of_leaf(leaf);
        let removed = &self.known.configuration().removed;
        let is_left = |node: &NodeId| removed.binary_search(node).is_err();
        if lists.is_owner(self.node) {
            let old: SmallVec<[NodeId; 6]> = lists.old_owners().collect();
            let quorums = Quorums::one(old.len());
            return Owners::new(old, quorums, is_left);
        }
        let all: SmallVec<[NodeId; 6]> = lists.owners().collect();
        let quorums = lists.quorums(&all);
        Owners::new(all, quorums, is_left)
    }

    /// An owner has sent its sums, or has none.
    pub(super) fn compared(&mut self, from: NodeId, parent: u32, sums: Option<&[Sum]>) {
        if let Phase::Handing(page) = &mut self.phase {
            page.under_way -= 1;
            page.compared(from, parent, sums.unwrap_or_default());
        }
    }

    /// An owner has sent what it holds of a row, or nothing.
    pub(super) fn looked_up(
        &mut self,
        from: NodeId,
        row: usize,
        held: Option<Result<Held, DecodeError>>,
    ) {
        if let Phase::Handing(page) = &mut self.phase {
            page.under_way -= 1;
            page.looked_up(from, row, held.and_then(Result::ok).as_ref());
        }
    }

    /// An owner has joined a row, or has not.
    pub(super) fn pushed(&mut self, from: NodeId, row: usize, is_joined: bool) {
        if let Phase::Handing(page) = &mut self.phase {
            page.under_way -= 1;
            if let (true, Some(row)) = (is_joined, page.rows.get_mut(row)) {
                row.is_held_by(from);
            }
        }
    }

    /// Deletes the rows of the page that enough owners have.
    fn forget(&mut self, out: &mut UnderWay) {
        let Phase::Handing(page) = std::mem::replace(&mut self.phase, Phase::Looking) else {
            return;
        };
        let is_held = |row: &Row| row.owners.suffice(row.holders);
        let all = page.rows.len();
        let held = page.rows.into_iter().filter(is_held);
        let rows: Vec<(Bytes, Bytes)> = held.map(|row| (row.left.key, row.left.record)).collect();
        self.has_left |= rows.len() < all;
        self.phase = Phase::Forgetting(page.next);
        let epoch = self.known.epoch();
        out.order(Task::Forget { epoch, rows }, About::Forgotten);
    }

    /// The rows are deleted, or it was refused.
    pub(super) fn forgotten(&mut self, response: &Response, out: &mut UnderWay, now: Moment) {
        let Phase::Forgetting(next) = &mut self.phase else {
            return;
        };
        let next = next.take();
        self.has_left |= *response != Response::Joined;
        self.failures = 0; // it gets on
        self.walk_on(next, out, now);
    }

    fn walk_on(&mut self, next: Option<Bytes>, out: &mut UnderWay, now: Moment) {
        match next {
            Some(after) => {
                self.phase = Phase::Looking;
                out.look(self.known.epoch(), Some(after));
            }
            None if self.has_left => self.rest(now),
            None if self.is_newcomer => {
                self.phase = Phase::Taking;
                let epoch = self.known.epoch();
                out.order(Task::Take { epoch }, About::Taken);
            }
            None => self.phase = Phase::Clean,
        }
    }

    /// What comes to this node is taken, or something is left there.
    pub(super) fn taken(&mut self, response: &Response, now: Moment) {
        if !matches!(self.phase, Phase::Taking) {
            return;
        }
        if *response == Response::Joined {
            self.phase = Phase::Clean;
        } else {
            self.rest(now);
        }
    }

    /// Looks again later.
    pub(super) fn rest(&mut self, now: Moment) {
        self.failures += 1;
        let doubled = FIRST_REST.saturating_mul(1 << self.failures.min(10));
        self.phase = Phase::Due(now + doubled.min(LONGEST_REST));
    }
}

impl Page {
    fn new(page: LeftRows, bits: LeafBits, owners: impl Fn(Leaf) -> Owners) -> Self {
        let rows = page.rows.into_iter().map(|left| {
            let owners = owners(left.leaf);
            // One that cannot be read is in no sum; its push is refused, and it stays.
            let record = decode_record(&left.record).unwrap_or_default();
            Row {
                is_in_sums: is_in_sums(&record),
                record,
                holders: OwnerSet::NONE,
                asked: OwnerSet::NONE,
                left,
                owners,
            }
        });
        let mut made = Self {
            bits,
            rows: rows.collect(),
            sums: page.sums,
            next: page.next,
            jobs: VecDeque::new(),
            under_way: 0,
        };

        let mut compared = BTreeSet::new();
        for number in 0..made.rows.len() {
            let row = &made.rows[number];
            let leaf = row.left.leaf;
            let of_left = row.owners.left.iter();
            let owners: SmallVec<[NodeId; 6]> = of_left.map(|it| row.owners.all[it]).collect();
            let is_comparable = row.is_in_sums && made.sums.contains_key(&leaf);
            for owner in owners {
                let compare = Job::Compare(owner, made.place(leaf).parent);
                if !is_comparable {
                    made.look_up(owner, number);
                } else if compared.insert(compare) {
                    made.jobs.push_back(compare);
                }
            }
        }
        made
    }

    const fn place(&self, leaf: Leaf) -> Place {
        Place::of(leaf, self.bits)
    }

    /// Asks an owner what it holds of a row, once.
    fn look_up(&mut self, owner: NodeId, number: usize) {
        let row = &mut self.rows[number];
        let place = row.owners.number(owner);
        if let Some(place) = place.filter(|&place| !row.asked.contains(place)) {
            row.asked.insert(place);
            self.jobs.push_back(Job::LookUp(owner, number));
        }
    }

    /// Lets an owner join a row that it lacks.
    fn looked_up(&mut self, owner: NodeId, number: usize, held: Option<&Held>) {
        let Some(row) = self.rows.get_mut(number) else {
            return;
        };
        if held.is_some_and(|held| has_all_of(held.record(), &row.record)) {
            row.is_held_by(owner);
        } else {
            self.jobs.push_back(Job::Push(owner, number));
        }
    }

    fn compared(&mut self, from: NodeId, parent: u32, sums: &[Sum]) {
        for number in 0..self.rows.len() {
            let row = &self.rows[number];
            let leaf = row.left.leaf;
            let place = self.place(leaf);
            let is_owner = row.owners.number(from).is_some();
            if place.parent != parent || !row.is_in_sums || !is_owner {
                continue;
            }
            let theirs = sums.get(place.child);
            if theirs.is_some() && theirs == self.sums.get(&leaf) {
                self.rows[number].is_held_by(from);
            } else {
                self.look_up(from, number);
            }
        }
    }

    /// Sends as many of the waiting requests as may be under way.
    fn send(&mut self, epoch: Epoch, out: &mut UnderWay, now: Moment) {
        while self.under_way < WINDOW
            && let Some(job) = self.jobs.pop_front()
        {
            self.under_way += 1;
            let (to, request, about) = match job {
                Job::Compare(to, parent) => {
                    let request = Request::Sums {
                        level: Place::level(self.bits),
                        index: parent,
                    };
                    (to, request, About::Sums(parent))
                }
                Job::LookUp(to, number) => {
                    let key = self.rows[number].left.key.clone();
                    let request = Request::Get { key, digest: true };
                    (to, request, About::Held(number))
                }
                Job::Push(to, number) => {
                    let left = &self.rows[number].left;
                    let (key, record) = (left.key.clone(), left.record.clone());
                    let request = Request::Repair { key, record };
                    (to, request, About::Pushed(number))
                }
            };
            out.send(to, epoch, (request, about), now);
        }
    }
}

/// Whether equal sums say that an owner has it: it has seen its value's write, and what is older than that, and nothing else.
fn is_in_sums(record: &Record) -> bool {
    let [sibling] = record.live() else {
        return false;
    };
    record.seen() == Delta::blind(sibling.dot, None).record().seen()
}

/// Whether joining `ours` would add nothing to `theirs`.
fn has_all_of(theirs: &Record, ours: &Record) -> bool {
    let mut joined = theirs.clone();
    joined.join(ours);
    joined.same_versions(theirs)
}

impl Row {
    fn is_held_by(&mut self, owner: NodeId) {
        if let Some(place) = self.owners.number(owner) {
            self.holders.insert(place);
        }
    }
}
