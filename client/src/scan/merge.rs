//! The merge: pages of many nodes in, keys in one order out. Pure.
//!
//! ```text
//!   n1   a     c  d    f ->|
//!   n2   a  b     d ->|                  frontier: the least reach, here d
//!   n3      b  c  d    f   g ->|
//!        a, b, c, d are decided by those who cover them; then a page of n2 is asked for
//! ```
//!
//! All that counts together is of one **generation**: one epoch, and one set of nodes that are left out. Which owners
//! send a key's rows follows from both, here and at the node. A node that fails, or a newer epoch, begins a new generation
//! behind the last key that was decided; what is under way for an older one counts no more. So no key is decided twice, and
//! none is passed over.
//!
//! A node that failed is left out until too few are left without it, and the scan has come further meanwhile: then it is
//! tried again. So a scan outlives restarts of all nodes one after the other, and ends where it cannot go on.
//!
//! Invariant: keys come in order, each at most once; each that R owners held from the scan's beginning on comes, unless it
//! was deleted or has expired. What waits is bounded: of each node a page and a half, and one under way.

use std::collections::BTreeMap;

use bytes::Bytes;
use quoit_ring::change::Topology;
use quoit_ring::wire::{DecodeError, MAX_SCAN_WITHOUT, ScanPage, ScanRequest};
use quoit_ring::{Millis, NodeId, Record};
use smallvec::SmallVec;

use super::coverage::{Coverage, NoCoverage};
use super::feed::{Feed, Reach, Said};
use super::judge::{Verdict, judge};
use super::range::ScanRange;
use super::token::Place;
use crate::error::Outcome;
use crate::operation::plan::Plan;

/// How pages are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageSettings {
    pub(crate) values: bool,
    /// Most rows that one examines.
    pub(crate) rows: u32,
    /// About the most bytes of one.
    pub(crate) bytes: u32,
}

/// A page to ask a node for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageAsk {
    pub(crate) generation: u64,
    pub(crate) node: NodeId,
    pub(crate) request: ScanRequest,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// A key and its values.
    Row(Bytes, Record),
    /// A key on which its owners differ, or whose values have not come.
    Read(Bytes),
    /// Pages are awaited.
    Wait,
    /// That was all.
    Done,
    /// It cannot go on.
    Failed(Failure),
}

/// Why a scan cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) why: NoCoverage,
    /// What became of the nodes that are left out.
    pub(crate) failed: Vec<(NodeId, Outcome)>,
}

/// A node that is left out.
#[derive(Debug)]
struct LeftOut {
    outcome: Outcome,
    /// How far the scan had come.
    at: u64,
}

/// One scan.
#[derive(Debug)]
pub(crate) struct Merge {
    range: ScanRange,
    plan: Plan,
    settings: PageSettings,
    topology: Topology,
    /// Behind which key it goes on.
    place: Place,
    /// Rises whenever the place does.
    progress: u64,
    left_out: BTreeMap<NodeId, LeftOut>,
    generation: u64,
    coverage: Coverage,
    feeds: BTreeMap<NodeId, Feed>,
    failure: Option<Failure>,
}

impl Merge {
    /// A scan of `range` behind `place`.
    pub(crate) fn new(
        topology: Topology,
        (range, place): (ScanRange, Place),
        (plan, settings): (Plan, PageSettings),
    ) -> Result<Self, NoCoverage> {
        let coverage = Coverage::new(&topology, &range, (&plan, Vec::new()))?;
        let mut merge = Self {
            range,
            plan,
            settings,
            topology,
            place,
            progress: 0,
            left_out: BTreeMap::new(),
            generation: 0,
            coverage,
            feeds: BTreeMap::new(),
            failure: None,
        };
        merge.begin();
        Ok(merge)
    }

    pub(crate) const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Up to where all is decided.
    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    /// A page that was asked for, and the node's clock when it was read.
    pub(crate) fn page(
        &mut self,
        (generation, node): (u64, NodeId),
        page: ScanPage,
        clock: Millis,
    ) {
        if generation != self.generation {
            return;
        }
        let Some(feed) = self.feeds.get_mut(&node) else {
            return;
        };
        let rest = rest(&self.range, &self.place, feed.reach());
        if !feed.take_in(page, clock, &rest) {
            const BACK: DecodeError = DecodeError::Malformed("rows out of order");
            self.failed((generation, node), Outcome::Damaged(BACK));
        }
    }

    /// A node will not answer.
    pub(crate) fn failed(&mut self, (generation, node): (u64, NodeId), outcome: Outcome) {
        if generation != self.generation {
            return;
        }
        let at = self.progress;
        self.left_out.insert(node, LeftOut { outcome, at });
        self.restart();
    }

    /// The cluster has gone on to another epoch, or may have.
    pub(crate) fn moved(&mut self, topology: Topology) {
        if topology.epoch() > self.topology.epoch() {
            self.topology = topology;
            self.restart();
        }
    }

    /// The pages that `generation` still waits for are asked for again.
    pub(crate) fn ask_again(&mut self, generation: u64) {
        if generation == self.generation {
            self.begin();
        }
    }

    /// Goes on in a new generation, if enough owners are left.
    fn restart(&mut self) {
        match self.covered() {
            Ok(coverage) => {
                self.coverage = coverage;
                self.begin();
            }
            Err(why) => {
                let failed = self.left_out.iter();
                let failed = failed.map(|(node, it)| (*node, it.outcome.clone()));
                self.failure = Some(Failure {
                    why,
                    failed: failed.collect(),
                });
            }
        }
    }

    /// Covers the range without those who failed; if too few are left, only without those who have since it last came further.
    fn covered(&mut self) -> Result<Coverage, NoCoverage> {
        let without: Vec<NodeId> = self.left_out.keys().copied().collect();
        let covered = if without.len() > MAX_SCAN_WITHOUT {
            None
        } else {
            let parts = (&self.plan, without);
            match Coverage::new(&self.topology, &self.range, parts) {
                Err(NoCoverage::TooFew { .. }) => None,
                covered => Some(covered),
            }
        };
        if let Some(covered) = covered {
            return covered;
        }
        let progress = self.progress;
        self.left_out.retain(|_, it| it.at == progress);
        let without = self.left_out.keys().copied().take(MAX_SCAN_WITHOUT);
        let parts = (&self.plan, without.collect());
        Coverage::new(&self.topology, &self.range, parts)
    }

    fn begin(&mut self) {
        self.generation += 1;
        let senders = self.coverage.senders.iter();
        self.feeds = senders.map(|&node| (node, Feed::new())).collect();
    }

    /// The next page to ask for.
    pub(crate) fn poll_page(&mut self) -> Option<PageAsk> {
        if self.failure.is_some() || self.place == Place::End {
            return None;
        }
        let low = self.settings.rows as usize / 2;
        let (&node, feed) = (self.feeds.iter_mut()).find(|(_, feed)| feed.wants_page(low))?;
        let rest = rest(&self.range, &self.place, feed.reach());
        feed.asked();
        Some(PageAsk {
            generation: self.generation,
            node,
            request: ScanRequest {
                start: rest.start,
                end: rest.end,
                reverse: rest.reverse,
                values: self.settings.values,
                cover: self.coverage.cover,
                without: self.coverage.without.clone(),
                rows: self.settings.rows,
                bytes: self.settings.bytes,
            },
        })
    }

    /// The next key that is decided.
    pub(crate) fn poll(&mut self) -> Next {
        if let Some(failure) = &self.failure {
            return Next::Failed(failure.clone());
        }
        loop {
            let Some(key) = self.first().cloned() else {
                return self.pass_frontier();
            };
            if !self.is_within_reach(&key) {
                return self.pass_frontier();
            }
            let verdict = self.decide(&key);
            self.go_on(Place::Behind(key.clone()));
            match verdict {
                Verdict::Row(record) => return Next::Row(key, record),
                Verdict::Doubt => return Next::Read(key),
                Verdict::Nothing => {}
            }
        }
    }

    /// The first key of which any node has sent a row.
    fn first(&self) -> Option<&Bytes> {
        let firsts = self.feeds.values().filter_map(Feed::first);
        firsts.reduce(|one, other| {
            if self.range.is_before(other, one) {
                other
            } else {
                one
            }
        })
    }

    /// Whether all nodes have said what they have of `key`.
    fn is_within_reach(&self, key: &[u8]) -> bool {
        self.feeds.values().all(|feed| match feed.reach() {
            Reach::Nothing => false,
            Reach::Through(through) => !self.range.is_before(through, key),
            Reach::End => true,
        })
    }

    fn decide(&mut self, key: &Bytes) -> Verdict {
        let lists = self.topology.lists(self.topology.token_of(key));
        let covering = self.coverage.of(lists);
        let mut said: SmallVec<[Said; 3]> = SmallVec::new();
        for (node, feed) in &mut self.feeds {
            let it = feed.said(key, &self.range);
            if let Some(it) = it
                && covering.contains(node)
            {
                said.push(it);
            }
        }
        if said.len() < covering.len() {
            return Verdict::Doubt;
        }
        judge(&said, self.settings.values)
    }

    /// No row is left within all nodes' reach: nothing is there up to the least of them.
    fn pass_frontier(&mut self) -> Next {
        let range = &self.range;
        let mut frontier = Reach::End;
        for feed in self.feeds.values() {
            frontier = match (frontier, feed.reach()) {
                (_, Reach::Nothing) => return Next::Wait,
                (least, Reach::End) => least,
                (Reach::Through(least), Reach::Through(it)) if range.is_before(&least, it) => {
                    Reach::Through(least)
                }
                (_, reach) => reach.clone(),
            };
        }
        match frontier {
            Reach::End => {
                self.place = Place::End;
                Next::Done
            }
            Reach::Through(key) => {
                let is_further = match &self.place {
                    Place::Behind(before) => range.is_before(before, &key),
                    Place::Start => true,
                    Place::End => false,
                };
                for feed in self.feeds.values_mut() {
                    feed.pass_through(&key, range);
                }
                if is_further {
                    self.go_on(Place::Behind(key));
                }
                Next::Wait
            }
            Reach::Nothing => Next::Wait,
        }
    }

    fn go_on(&mut self, place: Place) {
        self.place = place;
        self.progress += 1;
    }
}

/// What is still to be asked of a node.
fn rest(range: &ScanRange, place: &Place, reach: &Reach) -> ScanRange {
    match (reach, place) {
        (Reach::Through(key), _) | (_, Place::Behind(key)) => range.behind(key),
        (Reach::Nothing | Reach::End, Place::Start | Place::End) => range.clone(),
    }
}

#[cfg(test)]
mod tests;
