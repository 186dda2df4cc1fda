//! The search for an order: depth first, backing up where a return comes due that nothing can satisfy.
//!
//! ```text
//!   here: placed {a, b}, state 2        candidates: calls before the first return still in the list
//!     |-- c fits  -> placed {a, b, c}   lift c, go on from there
//!     |-- d fits  -> been there         skip
//!     |-- unknown u -> state 7          a detour: only when nothing known is left to try; few before many
//!     |     '-- e fits -> ..
//!     '-- nothing: put the last one back and try its next
//! ```
//!
//! - What changes nothing that matters is placed as soon as it fits, with nothing else tried in its stead:
//!   an order that places it later could as well place it now. That is a read, or a write that was never seen
//!   after another such.
//! - An unknown operation is only ever placed right before a known one that needs it. Those at the very
//!   end of an order serve no purpose and are left out.
//! - The stack is a vector, one frame for each placed operation: no recursion, no depth to run out of.
//! - A step is one question to the model. When the allowed ones are used up the search gives up; it never
//!   says what it does not know.
//!
//! Source: Lowe 2017, 3 and 4 (Wing and Gong's search with a cache); detours are our own, see `seen`.

use super::bits::Bits;
use super::frame::{Detour, Frame, Pass};
use super::list::List;
use super::model::Model;
use super::plan::{CallPlan, Entry};
use super::seen::Seen;
use super::verdict::Limits;
use crate::history::OpId;

/// How a search ended.
pub(super) enum SearchResult<S> {
    /// This order explains the history.
    Order(Vec<OpId>),
    /// No order does; this is as far as one goes.
    DeadEnd(DeadEnd<S>),
    /// The steps were used up first.
    OutOfSteps,
}

/// The longest order that was found, and what it runs into.
pub(super) struct DeadEnd<S> {
    pub(super) order: Vec<OpId>,
    pub(super) state: S,
    /// The operation that returned first of those without a place.
    pub(super) stuck: OpId,
    /// How many known operations are in the order.
    depth: usize,
}

struct OutOfSteps;

/// The state of a search between two steps.
pub(super) struct Search<'p, M: Model> {
    model: &'p M,
    plan: &'p CallPlan<'p, M>,
    list: List,
    /// Known operations placed.
    placed: Bits,
    seen: Seen<M::State>,
    here: Frame<M::State>,
    above: Vec<Frame<M::State>>,
    deepest: Option<DeadEnd<M::State>>,
    steps: u64,
    limit: u64,
}

impl<'p, M: Model> Search<'p, M> {
    pub(super) fn new(model: &'p M, plan: &'p CallPlan<'p, M>, limits: Limits) -> Self {
        let list = List::new(plan.entries.len());
        let spent = Bits::new(plan.unknown.len());
        let here = Frame::new(model.init(), spent, list.first());
        Self {
            model,
            plan,
            placed: Bits::new(plan.known.len()),
            seen: Seen::new(),
            here,
            list,
            above: Vec::new(),
            deepest: None,
            steps: 0,
            limit: limits.steps,
        }
    }

    /// Questions put to the model so far.
    pub(super) const fn steps(&self) -> u64 {
        self.steps
    }

    pub(super) fn run(&mut self) -> SearchResult<M::State> {
        while self.above.len() < self.plan.known.len() {
            match self.next_frame() {
                Ok(Some(frame)) => self.descend(frame),
                Ok(None) => {
                    self.note_dead_end();
                    if !self.back_up() {
                        // The first configuration was a dead end just now, so one has been noted.
                        return self
                            .deepest
                            .take()
                            .map_or(SearchResult::OutOfSteps, SearchResult::DeadEnd);
                    }
                }
                Err(OutOfSteps) => return SearchResult::OutOfSteps,
            }
        }

        SearchResult::Order(self.order())
    }

    /// The next configuration to be reached by placing one known operation, if one is left to try.
    fn next_frame(&mut self) -> Result<Option<Frame<M::State>>, OutOfSteps> {
        let plan = self.plan;
        loop {
            let Some(Entry::Call(number)) = plan.entries.get(self.here.cursor) else {
                if self.turn()? {
                    continue;
                }
                return Ok(None);
            };
            self.here.cursor = self.list.after(self.here.cursor);
            let known = &plan.known[*number];
            let detoured = self.here.current > 0;
            let is_free = known.is_read || known.is_idle && !self.matters();
            if is_free != (self.here.pass == Pass::Free) || known.is_blind && detoured {
                continue; // what is blind gains nothing by a detour
            }
            let Some(state) = self.step(self.here.current, known.op, Some(known.ret))? else {
                continue;
            };
            if is_free {
                self.here.settle(plan.entries.len());
            }
            if let Some(frame) = self.place(*number, state) {
                return Ok(Some(frame));
            }
        }
    }

    /// Turns to what is to be tried next; `false` when all has been.
    fn turn(&mut self) -> Result<bool, OutOfSteps> {
        self.here.turn(self.list.first());
        while self.here.current == self.here.detours.len() {
            if self.here.asked == self.here.detours.len() {
                return Ok(false);
            }
            self.add_detours(self.here.asked)?;
            self.here.asked += 1;
        }
        Ok(true)
    }

    /// The configuration with one more operation placed, unless the search has been there.
    fn place(&mut self, number: usize, state: M::State) -> Option<Frame<M::State>> {
        let spent = &self.here.detour().spent;
        self.placed.insert(number);
        if !self.seen.insert(&self.placed, self.key(&state), spent) {
            self.placed.remove(number);
            return None;
        }

        let known = &self.plan.known[number];
        let spent = spent.clone();
        self.list.lift(known.called);
        self.list.lift(known.returned);
        self.here.placed = Some(number);
        Some(Frame::new(state, spent, self.list.first()))
    }

    fn descend(&mut self, frame: Frame<M::State>) {
        self.above.push(std::mem::replace(&mut self.here, frame));
    }

    /// Takes the latest operation back; `false` when there is none.
    fn back_up(&mut self) -> bool {
        let Some(frame) = self.above.pop() else {
            return false;
        };
        self.here = frame;
        if let Some(number) = self.here.placed.take() {
            let known = &self.plan.known[number];
            self.list.put_back(known.returned);
            self.list.put_back(known.called);
            self.placed.remove(number);
        }
        true
    }

    /// Adds what one more unknown operation can make of a detour's state.
    fn add_detours(&mut self, from: usize) -> Result<(), OutOfSteps> {
        let plan = self.plan;
        if self.here.detours[from].settled {
            return Ok(());
        }

        let due = self.first_return();
        let open = plan.unknown.partition_point(|unknown| unknown.opens <= due);
        for (number, unknown) in plan.unknown[..open].iter().enumerate() {
            let spent = &self.here.detours[from].spent;
            if spent.contains(number) || unknown.is_blind && from > 0 {
                continue;
            }
            if unknown.twin.is_some_and(|twin| !spent.contains(twin)) {
                continue;
            }
            let mut spent = spent.clone();
            spent.insert(number);
            let Some(state) = self.step(from, unknown.op, None)? else {
                continue;
            };
            if self.seen.insert(&self.placed, self.key(&state), &spent) {
                self.here.detours.push(Detour {
                    state,
                    spent,
                    from: Some((from, number)),
                    settled: false,
                });
            }
        }

        Ok(())
    }

    /// Whether anybody looks at the state that the search is in.
    fn matters(&self) -> bool {
        self.plan.needed.contains(&self.here.detour().state)
    }

    /// A state to be remembered: all that are never observed are one.
    fn key(&self, state: &M::State) -> Option<M::State> {
        self.plan.needed.contains(state).then(|| state.clone())
    }

    /// Asks the model for the state after `op` on a detour.
    fn step(
        &mut self,
        detour: usize,
        op: &M::Op,
        ret: Option<&M::Ret>,
    ) -> Result<Option<M::State>, OutOfSteps> {
        if self.steps == self.limit {
            return Err(OutOfSteps);
        }
        self.steps += 1;
        Ok(self.model.step(&self.here.detours[detour].state, op, ret))
    }

    /// The entry of the first return in the list; its length when none is left.
    fn first_return(&self) -> usize {
        let mut entry = self.list.first();
        while let Some(Entry::Call(_)) = self.plan.entries.get(entry) {
            entry = self.list.after(entry);
        }
        entry
    }

    /// Keeps the order so far if none was longer.
    fn note_dead_end(&mut self) {
        let depth = self.above.len();
        if self.deepest.as_ref().is_some_and(|end| end.depth >= depth) {
            return;
        }
        if let Some(Entry::Return(number)) = self.plan.entries.get(self.first_return()) {
            self.deepest = Some(DeadEnd {
                order: self.order(),
                state: self.here.detours[0].state.clone(),
                stuck: self.plan.known[*number].id,
                depth,
            });
        }
    }

    /// What has been placed on the way here.
    fn order(&self) -> Vec<OpId> {
        let mut order = Vec::new();
        for frame in &self.above {
            let unknown = frame.unknown().into_iter();
            order.extend(unknown.map(|number| self.plan.unknown[number].id));
            order.extend(frame.placed.map(|number| self.plan.known[number].id));
        }
        order
    }
}
