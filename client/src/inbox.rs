//! The inbox: where callers leave operations for the driver.
//!
//! ```text
//!   push, push, push --> [a, b, c] --poll_take or take--> the driver's batch
//!     `- the first wakes the reader        <--[ ]-- an empty list in exchange
//! ```
//!
//! One lock around a list. The push that finds the list empty wakes the reader, the others know that it is awake; the
//! reader takes the whole list at once and gives an empty one back, so nothing is allocated in the long run. The
//! permits that submissions hold bound how many there can be.

use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::operation::Submission;

/// Submissions on their way to the driver.
#[derive(Debug)]
pub(crate) struct Inbox<T = Submission> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    list: Vec<T>,
    reader: Option<Waker>,
    closed: bool,
}

impl<T> Inbox<T> {
    /// An empty inbox.
    pub(crate) const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                list: Vec::new(),
                reader: None,
                closed: false,
            }),
        }
    }

    /// Leaves one; false, and it is dropped, if the inbox is closed.
    pub(crate) fn push(&self, item: T) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        state.list.push(item);
        let reader = if state.list.len() == 1 {
            state.reader.take()
        } else {
            None
        };
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    /// Leaves all of `items`, of which none is left then; false, and they are dropped, if the inbox is closed.
    pub(crate) fn push_all(&self, items: &mut Vec<T>) -> bool {
        if items.is_empty() {
            return true;
        }
        let mut state = self.lock();
        if state.closed {
            drop(state);
            items.clear();
            return false;
        }
        let was_empty = state.list.is_empty();
        state.list.append(items);
        let reader = if was_empty { state.reader.take() } else { None };
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    /// Takes no more. What is there is still read.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Takes no more and drops what is there: nobody reads.
    pub(crate) fn shut(&self) {
        self.close();
        let dropped = core::mem::take(&mut self.lock().list);
        drop(dropped);
    }

    /// Swaps all that is there into `batch`, which must be empty, or wakes `cx` at the first. False once the
    /// inbox is closed and read to its end.
    pub(crate) fn poll_take(&self, batch: &mut Vec<T>, cx: &Context<'_>) -> Poll<bool> {
        let mut state = self.lock();
        if !state.list.is_empty() {
            core::mem::swap(&mut state.list, batch);
            return Poll::Ready(true);
        }
        if state.closed {
            return Poll::Ready(false);
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Swaps all that is there into `batch`, which must be empty.
    pub(crate) fn take(&self, batch: &mut Vec<T>) {
        core::mem::swap(&mut self.lock().list, batch);
    }

    /// Whether nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().list.is_empty()
    }

    /// Whether it is closed and read to its end: nothing will ever be there again.
    pub(crate) fn is_finished(&self) -> bool {
        let state = self.lock();
        state.closed && state.list.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn taken(inbox: &Inbox<u32>, count: &Arc<Count>) -> Option<Option<Vec<u32>>> {
        let (waker, mut batch) = (Waker::from(Arc::clone(count)), Vec::new());
        match inbox.poll_take(&mut batch, &Context::from_waker(&waker)) {
            Poll::Pending => None,
            Poll::Ready(more) => Some(more.then_some(batch)),
        }
    }

    #[test]
    fn a_batch_wakes_its_reader_once_and_is_taken_whole() {
        let (inbox, count) = (Inbox::new(), Arc::new(Count::default()));
        assert_eq!(taken(&inbox, &count), None);
        for item in 1..=3 {
            assert!(inbox.push(item));
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(taken(&inbox, &count), Some(Some(vec![1, 2, 3])));
        assert!(inbox.push(4));
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "the reader is awake");
    }

    #[test]
    fn many_are_left_at_once_and_wake_the_reader_once() {
        let (inbox, count) = (Inbox::new(), Arc::new(Count::default()));
        assert_eq!(taken(&inbox, &count), None);
        let mut many = vec![1, 2];
        assert!(inbox.push_all(&mut many) && many.is_empty());
        many.push(3);
        assert!(inbox.push_all(&mut many));
        assert!(inbox.push_all(&mut many), "nothing is left of nothing");
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(taken(&inbox, &count), Some(Some(vec![1, 2, 3])));
        inbox.close();
        many.push(4);
        assert!(!inbox.push_all(&mut many) && many.is_empty());
    }

    #[test]
    fn a_closed_inbox_refuses_and_is_read_to_its_end() {
        let (inbox, count) = (Inbox::new(), Arc::new(Count::default()));
        assert_eq!(taken(&inbox, &count), None);
        assert!(inbox.push(1));
        inbox.close();
        assert!(!inbox.push(2));
        assert!(!inbox.is_finished());
        assert_eq!(taken(&inbox, &count), Some(Some(vec![1])));
        assert_eq!(taken(&inbox, &count), Some(None));
        assert!(inbox.is_finished());
    }

    #[test]
    fn closing_wakes_a_reader_that_waits() {
        let (inbox, count) = (Inbox::<u32>::new(), Arc::new(Count::default()));
        assert_eq!(taken(&inbox, &count), None);
        inbox.close();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_shut_inbox_drops_what_was_left_in_it() {
        let (inbox, item) = (Inbox::new(), Arc::new(()));
        assert!(inbox.push(Arc::clone(&item)));
        inbox.shut();
        assert_eq!(Arc::strong_count(&item), 1);
        assert!(!inbox.push(item));
    }
}
