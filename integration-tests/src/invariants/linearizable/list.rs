//! The calls and returns still to be dealt with, in the order of time.
//!
//! ```text
//!   end <-> call a <-> call b <-> return a <-> call c <-> return b <-> return c <-> end
//!              '----- first, and before the first return: these may be placed next
//!   lift b:    end <-> call a <-> return a <-> call c <-> return c <-> end
//! ```
//!
//! A lifted entry keeps its neighbours, so putting entries back in the opposite order restores the list
//! without a search: the "dancing links" of Knuth, as Wing and Gong's algorithm uses them in Lowe 2017, 3.

/// Entries `0..len` in a ring, closed by one that is no entry.
#[derive(Debug)]
pub(super) struct List {
    next: Vec<usize>,
    previous: Vec<usize>,
}

impl List {
    pub(super) fn new(len: usize) -> Self {
        Self {
            next: (1..=len).chain([0]).collect(),
            previous: [len].into_iter().chain(0..len).collect(),
        }
    }

    /// The first entry; `len` when none is left.
    pub(super) fn first(&self) -> usize {
        self.next[self.next.len() - 1]
    }

    /// The entry after `entry`; `len` after the last.
    pub(super) fn after(&self, entry: usize) -> usize {
        self.next[entry]
    }

    pub(super) fn lift(&mut self, entry: usize) {
        let (previous, next) = (self.previous[entry], self.next[entry]);
        self.next[previous] = next;
        self.previous[next] = previous;
    }

    /// Undoes the latest [`lift`](Self::lift) that has not been undone, which must be that of `entry`.
    pub(super) fn put_back(&mut self, entry: usize) {
        let (previous, next) = (self.previous[entry], self.next[entry]);
        self.next[previous] = entry;
        self.previous[next] = entry;
    }
}

#[cfg(test)]
mod tests {
    use super::List;

    fn entries(list: &List) -> Vec<usize> {
        let end = list.next.len() - 1;
        let walk = std::iter::successors(Some(list.first()), |entry| Some(list.after(*entry)));
        walk.take_while(|entry| *entry != end).collect()
    }

    #[test]
    fn lifting_and_putting_back_restores_the_list() {
        let mut list = List::new(5);
        let lifted = [2, 0, 3, 4, 1];
        let mut before = vec![entries(&list)];

        for entry in lifted {
            list.lift(entry);
            before.push(entries(&list));
        }

        assert_eq!(before.pop(), Some(Vec::new()));
        for entry in lifted.into_iter().rev() {
            list.put_back(entry);
            assert_eq!(Some(entries(&list)), before.pop());
        }
    }

    #[test]
    fn an_empty_list_ends_at_once() {
        assert_eq!(entries(&List::new(0)), Vec::<usize>::new());
    }
}
