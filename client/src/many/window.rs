//! Runs many operations: so many under way at once, the results in order.
//!
//! ```text
//!   results [ 1 2 3 ]   waiting [ 4 5 6 7 ]   unsent [ 6 7 ]   to come [ 8 9 .. ]
//!                         '- the oldest ends      '- handed over together, at BURST of them or before it waits
//! ```
//!
//! It waits for the oldest one only, so that a batch of answers wakes it once. One that ends early gives its permit back, but its place
//! here only once all before it have ended: few are that slow, and hedges see to them.
//!
//! Invariants: what waits counts as under way until its result is taken. Nothing waits for a permit while something is unsent. With
//! [`Order::ByKey`] no two of one key are under way.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;

use super::item::Item;
use crate::client::Client;
use crate::operation::Submission;

/// How many are handed to the driver together: it begins to send while the next ones are made.
const BURST: usize = 64;

/// Which of them may be under way together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Any: a later plain write of a key lies above an earlier one by its stamp.
    Any,
    /// One of each key: steps of a register that meet find their way in any order, and plain writes beside them.
    ByKey,
}

/// Runs all of them.
pub(super) async fn run<I: Item>(
    client: &Client,
    items: impl IntoIterator<Item = I>,
    order: Order,
) -> Vec<I::Output> {
    let items = items.into_iter();
    let mut window = Window::new(client, items.size_hint().0, order);
    for item in items {
        window.add(item).await;
    }
    window.finish().await
}

struct Window<'a, I: Item> {
    client: &'a Client,
    /// Permits that it may hold at once, and those that it counts.
    limit: u32,
    units: u32,
    order: Order,
    /// Those under way, if their order matters.
    keys: HashSet<Bytes>,
    unsent: Vec<Submission>,
    waiting: VecDeque<Waiting<I>>,
    results: Vec<I::Output>,
}

enum Waiting<I: Item> {
    /// It has its result without having been sent.
    Over(I::Output),
    UnderWay {
        units: u32,
        key: Option<Bytes>,
        pending: I::Pending,
    },
}

impl<'a, I: Item> Window<'a, I> {
    fn new(client: &'a Client, items: usize, order: Order) -> Self {
        Self {
            client,
            limit: (client.max_permits() / 2).max(1),
            units: 0,
            order,
            keys: HashSet::new(),
            unsent: Vec::new(),
            waiting: VecDeque::new(),
            results: Vec::with_capacity(items),
        }
    }

    /// One more, as soon as there is room for it.
    async fn add(&mut self, item: I) {
        if let Err(invalid) = item.check(self.client) {
            self.waiting.push_back(Waiting::Over(I::invalid(invalid)));
            return;
        }

        let units = self.client.permits_for(item.bytes());
        while !self.has_room(units) || self.keys.contains(item.key()) {
            self.end_oldest().await;
        }
        let permit = match self.client.try_permit(units) {
            Some(permit) => Some(permit),
            None => {
                self.send();
                self.client.permit(units).await
            }
        };
        let Some(permit) = permit else {
            self.waiting.push_back(Waiting::Over(I::closed()));
            return;
        };

        let key = (self.order == Order::ByKey).then(|| item.key().clone());
        self.keys.extend(key.clone());
        let (submission, pending) = item.submission(self.client, permit);
        self.unsent.push(submission);
        self.waiting.push_back(Waiting::UnderWay {
            units,
            key,
            pending,
        });
        self.units += units;
        if self.unsent.len() == BURST {
            self.send();
        }
    }

    /// Whether so many permits more may be held; one operation may take more than there are.
    const fn has_room(&self, units: u32) -> bool {
        self.units == 0 || self.units + units <= self.limit
    }

    fn give_back(&mut self, units: u32, key: Option<Bytes>) {
        self.units -= units;
        if let Some(key) = key {
            self.keys.remove(&key);
        }
    }

    /// Hands over what is unsent.
    fn send(&mut self) {
        let unsent = self.unsent.len();
        if self.client.submit_all(&mut self.unsent) {
            return;
        }
        // The client is closed: the youngest ones were never sent.
        let is_under_way = |it: &&mut Waiting<I>| matches!(it, Waiting::UnderWay { .. });
        let youngest = self.waiting.iter_mut().rev().filter(is_under_way);
        let closed = |waiting| core::mem::replace(waiting, Waiting::Over(I::closed()));
        let unsent: Vec<_> = youngest.take(unsent).map(closed).collect();
        for waiting in unsent {
            if let Waiting::UnderWay { units, key, .. } = waiting {
                self.give_back(units, key);
            }
        }
    }

    /// Takes the oldest one's result.
    async fn end_oldest(&mut self) {
        self.send();
        let result = match self.waiting.pop_front() {
            Some(Waiting::Over(result)) => result,
            Some(Waiting::UnderWay {
                units,
                key,
                pending,
            }) => {
                let result = I::end(pending).await;
                self.give_back(units, key);
                result
            }
            None => return,
        };
        self.results.push(result);
    }

    async fn finish(mut self) -> Vec<I::Output> {
        while !self.waiting.is_empty() {
            self.end_oldest().await;
        }
        self.results
    }
}
