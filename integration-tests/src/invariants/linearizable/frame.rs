//! One configuration of the search: what has been tried from it, and what is left.
//!
//! ```text
//!   detours   0: the state itself     1: after unknown u     2: after unknown v     3: after u, then w
//!                free, rest              free, rest             ^ current: these calls are being tried
//!                                                                 free ones first, then the rest
//! ```
//!
//! Detours are found only when those there are have been tried: in most configurations, never.

use super::bits::Bits;

/// One configuration, what led on from it, and what is still to be tried.
pub(super) struct Frame<S> {
    /// What unknown operations can make of the state, shortest way first. The first is the state itself.
    pub(super) detours: Vec<Detour<S>>,
    /// The one from which candidates are being tried.
    pub(super) current: usize,
    /// How many of them have been asked for further ones.
    pub(super) asked: usize,
    pub(super) pass: Pass,
    /// The entry to be looked at next.
    pub(super) cursor: usize,
    /// The known operation placed from here, while the search is beyond.
    pub(super) placed: Option<usize>,
}

pub(super) struct Detour<S> {
    pub(super) state: S,
    /// All unknown operations placed so far.
    pub(super) spent: Bits,
    /// The detour before it and the unknown operation that leads on.
    pub(super) from: Option<(usize, usize)>,
    /// A free operation was placed from here: all that is possible is possible from there.
    pub(super) settled: bool,
}

/// Which candidates are being tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Those that cost nothing.
    Free,
    /// The others.
    Rest,
}

impl<S> Frame<S> {
    /// Where everything is still to be tried, from the entry `cursor` on.
    pub(super) fn new(state: S, spent: Bits, cursor: usize) -> Self {
        Self {
            detours: vec![Detour {
                state,
                spent,
                from: None,
                settled: false,
            }],
            current: 0,
            asked: 0,
            pass: Pass::Free,
            cursor,
            placed: None,
        }
    }

    /// The detour from which candidates are being tried.
    pub(super) fn detour(&self) -> &Detour<S> {
        &self.detours[self.current]
    }

    /// Looks no further from the current detour; `end` is past the last entry.
    pub(super) fn settle(&mut self, end: usize) {
        self.detours[self.current].settled = true;
        self.cursor = end;
    }

    /// Turns to the next pass, or the next detour, which may have to be found yet.
    pub(super) fn turn(&mut self, cursor: usize) {
        if self.pass == Pass::Free && !self.detour().settled {
            self.pass = Pass::Rest;
        } else {
            self.pass = Pass::Free;
            self.current += 1;
        }
        self.cursor = cursor;
    }

    /// The unknown operations that lead from the state at the frame's top to the current detour, in order.
    pub(super) fn unknown(&self) -> Vec<usize> {
        let mut numbers = Vec::new();
        let mut from = self.detour().from;
        while let Some((detour, number)) = from {
            numbers.push(number);
            from = self.detours[detour].from;
        }
        numbers.reverse();
        numbers
    }
}
