//! The steps of a quorum machine that wait to be done: a queue, first in, first out.
//!
//! A machine pushes steps while it takes an input, and its driver takes them all before the next input. So there are
//! few at a time: moving the rest up costs less than a ring buffer would.

use smallvec::SmallVec;

/// Steps in the order of their making.
#[derive(Debug)]
pub(super) struct Steps<S>(SmallVec<[S; 4]>);

impl<S> Steps<S> {
    pub(super) fn new() -> Self {
        Self(SmallVec::new())
    }

    /// One more, behind all others.
    pub(super) fn push(&mut self, step: S) {
        self.0.push(step);
    }

    /// The first.
    pub(super) fn next(&mut self) -> Option<S> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl<S> Extend<S> for Steps<S> {
    fn extend<I: IntoIterator<Item = S>>(&mut self, steps: I) {
        self.0.extend(steps);
    }
}

impl<S> FromIterator<S> for Steps<S> {
    fn from_iter<I: IntoIterator<Item = S>>(steps: I) -> Self {
        Self(steps.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_in_the_order_of_their_making() {
        let mut steps: Steps<u32> = (1..=3).collect();
        assert_eq!(steps.next(), Some(1));
        steps.push(4);
        let rest: Vec<_> = core::iter::from_fn(|| steps.next()).collect();
        assert_eq!(rest, [2, 3, 4]);
    }
}
