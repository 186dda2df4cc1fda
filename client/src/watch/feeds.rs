//! Which nodes report changes, and up to where each was heard.
//!
//! ```text
//!   new --begun--> live --no answer for three seconds--> lost --an answer--> live
//!    '--no answer---------------------------------------^
//! ```
//!
//! A node that is silent for a moment has forgotten nothing: its numbers go on where they were. Only one that has restarted, or
//! that stays away, leaves open what has changed.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::wire::{WatchAnswer, WatchChanges};
use quoit_ring::{Moment, NodeId};

use super::event::Lag;

/// How long a node that was heard may fail before it counts as lost.
const GRACE: Duration = Duration::from_secs(3);
/// Pauses between polls of a node that fails: they double.
const PAUSE: Duration = Duration::from_millis(100);
const DOUBLES: u32 = 5;
/// Nodes forget a subscription after ten seconds. One that was not polled for so long has been forgotten for that.
const NOT_POLLED: Duration = Duration::from_secs(8);

/// How many nodes are heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// All of them: whatever is joined anywhere is heard of.
    All,
    /// A majority of the owners of every key.
    Enough,
    /// Fewer, of some key at least.
    TooFew,
}

/// A poll to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PollAsk {
    pub(crate) generation: u64,
    pub(crate) node: NodeId,
    pub(crate) incarnation: u64,
    pub(crate) after: u64,
}

/// What an answer says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) keys: Vec<Bytes>,
    /// Why everything is to be read.
    pub(super) doubt: Option<Lag>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Live,
    Lost,
}

#[derive(Debug)]
struct Feed {
    state: State,
    incarnation: u64,
    after: u64,
    is_asked: bool,
    polled: Moment,
    again: Moment,
    /// Since when it fails, and how often it has.
    failing: Option<(Moment, u32)>,
}

/// The nodes of one epoch.
#[derive(Debug)]
pub(super) struct Feeds {
    generation: u64,
    nodes: BTreeMap<NodeId, Feed>,
    may_miss: usize,
}

impl Feeds {
    /// Of these nodes none was heard yet; with up to `may_miss` lost, a majority of every key's owners is left.
    pub(super) fn new(
        generation: u64,
        (nodes, may_miss): (impl IntoIterator<Item = NodeId>, usize),
    ) -> Self {
        let feed = |node| {
            let feed = Feed {
                state: State::New,
                incarnation: 0,
                after: 0,
                is_asked: false,
                polled: Moment(0),
                again: Moment(0),
                failing: None,
            };
            (node, feed)
        };
        Self {
            generation,
            nodes: nodes.into_iter().map(feed).collect(),
            may_miss,
        }
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// A poll to make now; none is under way at its node.
    pub(super) fn ask(&mut self, now: Moment) -> Option<PollAsk> {
        let due = |feed: &Feed| !feed.is_asked && feed.again <= now;
        let (&node, feed) = self.nodes.iter_mut().find(|(_, feed)| due(feed))?;
        feed.is_asked = true;
        Some(PollAsk {
            generation: self.generation,
            node,
            incarnation: feed.incarnation,
            after: feed.after,
        })
    }

    /// A node answered a poll.
    pub(super) fn heard(&mut self, node: NodeId, answer: WatchAnswer, now: Moment) -> Heard {
        let Some(feed) = self.nodes.get_mut(&node) else {
            return Heard::default();
        };
        let before = feed.state;
        let is_renewed = feed.incarnation != answer.incarnation;
        let silence = now.since(feed.polled);
        (feed.is_asked, feed.state, feed.failing) = (false, State::Live, None);
        (feed.polled, feed.again) = (now, now);
        let through = if is_renewed { 0 } else { feed.after };
        feed.incarnation = answer.incarnation;
        feed.after = through.max(answer.through);

        let mut heard = Heard::default();
        match answer.changes {
            WatchChanges::Begun => {}
            WatchChanges::Overflow => heard.doubt = Some(Lag::TooMany),
            WatchChanges::Keys(keys) => heard.keys = keys,
        }
        match before {
            State::New => {}
            State::Live if is_renewed && u128::from(silence) >= NOT_POLLED.as_micros() => {
                heard.doubt = Some(Lag::NotPolled);
            }
            State::Live if is_renewed => heard.doubt = Some(Lag::Owners),
            State::Live => {}
            State::Lost => heard.doubt = Some(Lag::Owners),
        }
        heard
    }

    /// A node did not answer a poll.
    pub(super) fn failed(&mut self, node: NodeId, now: Moment) {
        let Some(feed) = self.nodes.get_mut(&node) else {
            return;
        };
        let (since, times) = feed.failing.unwrap_or((now, 0));
        feed.is_asked = false;
        feed.failing = Some((since, times.saturating_add(1)));
        feed.again = now + PAUSE * (1 << times.min(DOUBLES));
        if feed.state == State::New {
            feed.state = State::Lost;
        }
    }

    /// Time has passed: whether a node counts as lost from now on.
    pub(super) fn pass(&mut self, now: Moment) -> bool {
        let mut is_any = false;
        for feed in self.nodes.values_mut() {
            let fails = |since: Moment| now >= since + GRACE;
            if feed.state == State::Live && feed.failing.is_some_and(|(since, _)| fails(since)) {
                feed.state = State::Lost;
                is_any = true;
            }
        }
        is_any
    }

    /// Whether each node has answered, or failed to.
    pub(super) fn is_settled(&self) -> bool {
        self.nodes.values().all(|feed| feed.state != State::New)
    }

    pub(super) fn level(&self) -> Level {
        let lost = self.nodes.values().filter(|feed| feed.state != State::Live);
        match lost.count() {
            0 => Level::All,
            lost if lost <= self.may_miss => Level::Enough,
            _ => Level::TooFew,
        }
    }

    /// When it wants to be called next.
    pub(super) fn due(&self) -> Option<Moment> {
        let of = |feed: &Feed| {
            let again = (!feed.is_asked).then_some(feed.again);
            let is_live = feed.state == State::Live;
            let lost = feed
                .failing
                .filter(|_| is_live)
                .map(|(since, _)| since + GRACE);
            again.into_iter().chain(lost).min()
        };
        self.nodes.values().filter_map(of).min()
    }
}
