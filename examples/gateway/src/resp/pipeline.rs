//! Commands of one connection that are under way: side by side where that makes no difference, answered in order.
//!
//! ```text
//!   SET a 1   GET b   GET a      the first two at once; the third waits for the first
//! ```
//!
//! Two commands run side by side if they touch different keys, or both only read. A command on several keys runs alone. So a
//! connection sees its own commands in order, key by key; another connection may see two keys change in either order, as it
//! would with the nodes of a Redis Cluster.
//!
//! Bound: `DEPTH` commands.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;

use super::reply::Version;
use super::work::{Answer, Touch, Work};
use crate::budget::Permit;
use crate::gateway::Shared;

/// Commands of one connection that are under way at once.
const DEPTH: usize = 64;

/// The commands under way.
#[derive(Default)]
pub(crate) struct Pipeline {
    running: FuturesOrdered<BoxFuture<'static, Answer>>,
    /// What those touch, and the version in which they are answered; in the same order.
    order: VecDeque<(Option<Touch>, Version)>,
}

impl Pipeline {
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether there is a place for one more.
    pub(crate) fn has_room(&self) -> bool {
        self.order.len() < DEPTH
    }

    /// Whether a command may begin beside those that are under way.
    pub(crate) fn admits(&self, work: &Work) -> bool {
        let touch = work.touches();
        let mut touched = self
            .order
            .iter()
            .filter_map(|(touched, _)| touched.as_ref());
        !touched.any(|touched| touched.conflicts(&touch))
    }

    /// Begins a command; `memory` is that of its words.
    pub(crate) fn begin(
        &mut self,
        work: Work,
        memory: Vec<Permit>,
        version: Version,
        shared: &Arc<Shared>,
    ) {
        let shared = Arc::clone(shared);
        self.order.push_back((Some(work.touches()), version));
        self.running.push_back(Box::pin(async move {
            let answer = work.run(&shared.store).await;
            drop(memory);
            answer
        }));
    }

    /// An answer that is there already, behind those to come.
    pub(crate) fn reply(&mut self, answer: Answer, version: Version) {
        self.order.push_back((None, version));
        self.running.push_back(Box::pin(std::future::ready(answer)));
    }

    /// The next answer in order; `None` if nothing is under way. Nothing is lost if this is dropped.
    pub(crate) async fn next(&mut self) -> Option<(Answer, Version)> {
        let answer = self.running.next().await?;
        let (_, version) = self.order.pop_front()?;
        Some((answer, version))
    }
}
