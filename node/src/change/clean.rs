//! Cleaning up: rows of leaves that this node does not own any more.
//!
//! ```text
//!   look --a page--> compare sums with the present owners --what differs--> push
//!                       a majority of each list has a row --> forget it
//!   no row is left: clean, or what comes to this node is taken
//! ```
//!
//! What was acknowledged is with a majority of the present owners already, since they pulled it; what only one node had
//! joined may be here alone. So a row goes once a majority of the present owners has it, by the sum of its leaf or because
//! it has joined it. A tombstone is in no sum, and is always pushed.
//!
//! A node that is to own a leaf again first empties it: what is left there from an earlier time does not count, and a value
//! that was deleted meanwhile must not come back. Its rows are pushed to the owners of the old list, from where it pulls.
//!
//! Invariant: nothing is pushed or deleted before this node itself refuses all earlier epochs, so no row is added behind
//! the walk.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::change::rules::majority;
use quoit_ring::change::{Known, OwnerSet, Quorums};
use quoit_ring::merkle::Place;
use quoit_ring::wire::{MembershipRequest, Request, Response, decode_record};
use quoit_ring::{Epoch, Leaf, LeafBits, Moment, NodeId, Sum};
use smallvec::SmallVec;

use super::under_way::{About, UnderWay};
use crate::commit::Task;

/// Most requests under way.
const WINDOW: usize = 32;
/// The first rest after a walk that has left something; each further one in a row is twice as long.
const FIRST_REST: Duration = Duration::from_millis(100);
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

/// A row that is being handed over.
#[derive(Debug)]
struct Row {
    left: LeftRow,
    is_tombstone: bool,
    owners: SmallVec<[NodeId; 6]>,
    quorums: Quorums,
    holders: OwnerSet,
    pushed: OwnerSet,
}

/// A request that waits for its turn.
#[derive(Debug, PartialEq, Eq)]
enum Job {
    /// Ask an owner for its sums below this node of the tree.
    Compare(NodeId, u32),
    /// Push the row with this number to an owner.
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
    /// To be looked at, from then on.
    Due(Moment),
    /// Its own fence is being raised.
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
}

impl Clean {
    pub(super) fn new(node: NodeId, known: Known, now: Moment) -> Self {
        let moving = known.topology().moving();
        let is_newcomer = moving.iter().any(|range| range.is_newcomer(node));
        Self {
            node,
            known,
            phase: Phase::Due(now),
            is_newcomer,
            has_left: false,
            failures: 0,
        }
    }

    /// Whether it holds nothing that it does not own.
    pub(super) const fn is_clean(&self) -> bool {
        matches!(self.phase, Phase::Clean)
    }

    pub(super) fn act(&mut self, out: &mut UnderWay, now: Moment) {
        let epoch = self.known.epoch();
        match &mut self.phase {
            Phase::Due(due) if *due <= now => {
                self.phase = Phase::Fencing;
                self.has_left = false;
                let fence = (MembershipRequest::Fence, About::Progress(epoch));
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

    /// This node's own fence stands here.
    pub(super) fn is_fenced(&mut self, fence: Epoch, out: &mut UnderWay, now: Moment) {
        if !matches!(self.phase, Phase::Fencing) {
            return;
        }
        if fence < self.known.epoch() {
            return self.rest(now);
        }
        self.phase = Phase::Looking;
        out.look(self.known.epoch(), None);
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
        self.act(out, now);
    }

    /// Who has to have a row before it goes: a majority of each present list, of the old one where this node is to own it.
    fn owners(&self, leaf: Leaf) -> (SmallVec<[NodeId; 6]>, Quorums) {
        let lists = self.known.topology().lists_of_leaf(leaf);
        if lists.is_owner(self.node) {
            let old: SmallVec<[NodeId; 6]> = lists.old_owners().collect();
            let quorums = Quorums::one(old.len());
            return (old, quorums);
        }
        let owners: SmallVec<[NodeId; 6]> = lists.owners().collect();
        let quorums = lists.quorums(&owners);
        (owners, quorums)
    }

    /// An owner has sent its sums, or has none.
    pub(super) fn compared(
        &mut self,
        from: NodeId,
        parent: u32,
        sums: Option<&[Sum]>,
        out: &mut UnderWay,
        now: Moment,
    ) {
        if let Phase::Handing(page) = &mut self.phase {
            page.under_way -= 1;
            page.compared(from, parent, sums.unwrap_or_default());
        }
        self.act(out, now);
    }

    /// An owner has joined a row, or has not.
    pub(super) fn pushed(
        &mut self,
        from: NodeId,
        row: usize,
        is_joined: bool,
        out: &mut UnderWay,
        now: Moment,
    ) {
        if let Phase::Handing(page) = &mut self.phase {
            page.under_way -= 1;
            if let (true, Some(row)) = (is_joined, page.rows.get_mut(row)) {
                row.is_held_by(from);
            }
        }
        self.act(out, now);
    }

    /// Deletes the rows of the page that enough owners have.
    fn forget(&mut self, out: &mut UnderWay) {
        let Phase::Handing(page) = std::mem::replace(&mut self.phase, Phase::Looking) else {
            return;
        };
        let is_held = |row: &Row| row.quorums.reached(row.holders, majority);
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
    fn new(
        page: LeftRows,
        bits: LeafBits,
        owners: impl Fn(Leaf) -> (SmallVec<[NodeId; 6]>, Quorums),
    ) -> Self {
        let rows = page.rows.into_iter().map(|left| {
            let (owners, quorums) = owners(left.leaf);
            // What cannot be read has no live sibling to be compared; its push is refused, and it stays.
            let record = decode_record(&left.record);
            Row {
                is_tombstone: record.is_ok_and(|record| record.live().is_empty()),
                holders: OwnerSet::NONE,
                pushed: OwnerSet::NONE,
                left,
                owners,
                quorums,
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

        for number in 0..made.rows.len() {
            let row = &made.rows[number];
            let (leaf, owners) = (row.left.leaf, row.owners.clone());
            let is_comparable = !row.is_tombstone && made.sums.contains_key(&leaf);
            for owner in owners {
                let compare = Job::Compare(owner, made.place(leaf).parent);
                if !is_comparable {
                    made.push(owner, number);
                } else if !made.jobs.contains(&compare) {
                    made.jobs.push_back(compare);
                }
            }
        }
        made
    }

    const fn place(&self, leaf: Leaf) -> Place {
        Place::of(leaf, self.bits)
    }

    /// Lets an owner join a row, once.
    fn push(&mut self, owner: NodeId, number: usize) {
        let row = &mut self.rows[number];
        let place = row.owners.iter().position(|&it| it == owner);
        if let Some(place) = place.filter(|&place| !row.pushed.contains(place)) {
            row.pushed.insert(place);
            self.jobs.push_back(Job::Push(owner, number));
        }
    }

    fn compared(&mut self, from: NodeId, parent: u32, sums: &[Sum]) {
        for number in 0..self.rows.len() {
            let row = &self.rows[number];
            let leaf = row.left.leaf;
            let place = self.place(leaf);
            if place.parent != parent || row.is_tombstone || !row.owners.contains(&from) {
                continue;
            }
            let theirs = sums.get(place.child);
            if theirs.is_some() && theirs == self.sums.get(&leaf) {
                self.rows[number].is_held_by(from);
            } else {
                self.push(from, number);
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

impl Row {
    fn is_held_by(&mut self, owner: NodeId) {
        if let Some(place) = self.owners.iter().position(|&it| it == owner) {
            self.holders.insert(place);
        }
    }
}
