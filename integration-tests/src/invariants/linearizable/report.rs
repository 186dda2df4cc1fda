//! A violation in words: the operations around the place where every order ends.
//!
//! ```text
//!   not linearizable: 2 of 3 operations have a place, then the state is Some(2) and #3 has none
//!     place     id  client  called  returned  timeline            operation
//!         1     #1       1       0        10  |----|              Write(1) -> Done
//!         2     #2       2      12        20        |---|         Write(2) -> Done
//!     stuck     #3       1      22        30             |----|   Read -> Value(Some(1))
//! ```
//!
//! Shown are the last ones that found a place, the one that did not, and those it could have followed: at
//! most [`BEFORE`] + [`OTHERS`] + 1 rows by call, whatever the history's length.

use std::collections::HashMap;
use std::fmt::{self, Debug};

use super::history::{End, Operation};
use super::search::DeadEnd;
use super::verdict::Violation;
use crate::history::OpId;

/// The most rows for operations with a place.
const BEFORE: usize = 10;
/// The most rows for operations without one, besides the stuck one.
const OTHERS: usize = 10;
/// Characters of the timeline.
const WIDTH: u8 = 32;
/// Characters of an operation with its return; more are cut.
const TEXT: usize = 80;

/// One operation in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    place: Position,
    id: OpId,
    client: u64,
    called: u64,
    returned: Option<u64>,
    text: String,
}

/// Where the longest order has an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Counted from one.
    At(usize),
    /// It has to be there and cannot.
    Stuck,
    /// Not needed so far.
    Open,
}

/// Makes a dead end of the search presentable.
pub(super) fn violation<O: Debug, R: Debug, S: Debug>(
    history: &[Operation<O, R>],
    end: &DeadEnd<S>,
    steps: u64,
) -> Violation {
    Violation {
        placed: end.order.clone(),
        stuck: end.stuck,
        state: format!("{:?}", end.state),
        total: history.len(),
        steps,
        rows: rows(history, &end.order, end.stuck),
    }
}

fn rows<O: Debug, R: Debug>(history: &[Operation<O, R>], order: &[OpId], stuck: OpId) -> Vec<Row> {
    let numbers = order.iter().zip(1..);
    let places: HashMap<OpId, usize> = numbers.map(|(id, place)| (*id, place)).collect();
    let due = history.iter().find(|operation| operation.id == stuck);
    let due = due.and_then(Operation::returned);
    let mut calls: Vec<_> = history.iter().collect();
    calls.sort_by_key(|operation| operation.called);
    let mut others = 0;
    let mut rows = Vec::new();
    for operation in calls {
        let place = match places.get(&operation.id) {
            Some(place) => Position::At(*place),
            None if operation.id == stuck => Position::Stuck,
            None => Position::Open,
        };
        let shown = match place {
            Position::At(place) => place + BEFORE > order.len(),
            Position::Stuck => true,
            Position::Open => due.is_none_or(|due| operation.called <= due) && others < OTHERS,
        };
        others += usize::from(shown && place == Position::Open);
        if shown {
            rows.push(Row::new(operation, place));
        }
    }

    rows
}

impl Row {
    fn new<O: Debug, R: Debug>(operation: &Operation<O, R>, place: Position) -> Self {
        let text = match &operation.end {
            End::Returned { ret, .. } => format!("{:?} -> {ret:?}", operation.op),
            End::Unknown => format!("{:?} -> unknown", operation.op),
        };
        Self {
            place,
            id: operation.id,
            client: operation.client,
            called: operation.called,
            returned: operation.returned(),
            text: text.chars().take(TEXT).collect(),
        }
    }

    /// The span from call to return as part of the span from `first` to `last`.
    fn bar(&self, first: u64, last: u64) -> String {
        let span = u128::from((last - first).max(1));
        let column = |at: u64| {
            let part = u128::from(at - first) * u128::from(WIDTH - 1) / span;
            usize::try_from(part).unwrap_or_default()
        };
        let start = column(self.called);
        let stop = column(self.returned.unwrap_or(last));
        let head = if self.returned.is_some() { "|" } else { ">" };
        let line = "-".repeat((stop - start).saturating_sub(1));
        let head = if stop > start || self.returned.is_none() {
            head
        } else {
            ""
        };
        format!("{}|{line}{head}", " ".repeat(start))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(place) => f.pad(&place.to_string()),
            Self::Stuck => f.pad("stuck"),
            Self::Open => f.pad("-"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, total, .. } = self;
        let (placed, stuck) = (self.placed.len(), self.stuck.0);
        writeln!(
            f,
            "not linearizable: {placed} of {total} operations have a place, then the state is {state} and #{stuck} has none"
        )?;
        let times = self
            .rows
            .iter()
            .flat_map(|row| [Some(row.called), row.returned]);
        let times = times.flatten();
        let (first, last) = times.fold((u64::MAX, 0), |(first, last), at| {
            (first.min(at), last.max(at))
        });
        let timeline = usize::from(WIDTH);
        write!(
            f,
            "{:>7} {:>6} {:>7} {:>9} {:>9}",
            "place", "id", "client", "called", "returned"
        )?;
        write!(f, "  {:timeline$}  operation", "timeline")?;
        for row in &self.rows {
            let returned = row
                .returned
                .map_or_else(|| String::from(".."), |at| at.to_string());
            let (place, id, bar) = (row.place, format!("#{}", row.id.0), row.bar(first, last));
            write!(
                f,
                "\n{place:>7} {id:>6} {:>7} {:>9} {returned:>9}",
                row.client, row.called
            )?;
            write!(f, "  {bar:timeline$}  {}", row.text)?;
        }

        Ok(())
    }
}
