//! A caller's reply channel: one value, set while events are handled and shown at the end of the batch.
//!
//! ```text
//!   Reply::set(value) --> Delivery, queued --deliver--> the caller is woken and sees the value
//!   Reply dropped                          \-dropped--> the caller is woken and sees that nobody will answer
//! ```
//!
//! An operation answers in the middle of a batch of inputs, and its caller must not run before the batch has ended:
//! other threads would wake once for each answer. So setting a value wakes nobody. A [`Delivery`] forgets the value's
//! type at no cost (the channel is shared already), so that all answers wait in one queue whatever they are.
//!
//! Invariant: every [`Answer`] completes, with a value or without one.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Slot<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    waker: Option<Waker>,
    /// Whether the caller may look: the value is there, or none will come.
    is_over: bool,
}

/// The end that answers.
#[derive(Debug)]
pub(crate) struct Reply<T: Send + 'static>(Option<Arc<Slot<T>>>);

/// The caller's end: the value, or `None` if nobody will answer.
#[derive(Debug)]
pub(crate) struct Answer<T>(Arc<Slot<T>>);

/// A value on its way to its caller.
pub(crate) struct Delivery(Option<Arc<dyn Deliver>>);

/// Both ends of a channel.
pub(crate) fn channel<T: Send + 'static>() -> (Reply<T>, Answer<T>) {
    let slot = Arc::new(Slot(Mutex::new(State {
        value: None,
        waker: None,
        is_over: false,
    })));
    (Reply(Some(Arc::clone(&slot))), Answer(slot))
}

impl<T: Send + 'static> Reply<T> {
    /// Whether the caller still waits: it has not dropped its [`Answer`]. A submission that the same caller made after
    /// dropping it came through the inbox's lock, so whoever handles that one sees the drop.
    pub(crate) fn is_awaited(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|slot| Arc::strong_count(slot) > 1)
    }

    /// Sets the value; the caller sees it once it is delivered.
    pub(crate) fn set(mut self, value: T) -> Delivery {
        let slot = self.0.take();
        if let Some(slot) = &slot {
            slot.lock().value = Some(value);
        }
        Delivery(slot.map(|slot| -> Arc<dyn Deliver> { slot }))
    }
}

impl<T: Send + 'static> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.end(false);
        }
    }
}

impl Delivery {
    /// Wakes the caller.
    pub(crate) fn deliver(mut self) {
        if let Some(slot) = self.0.take() {
            slot.end(true);
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.end(false);
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        if state.is_over {
            return Poll::Ready(state.value.take());
        }
        let before = state.waker.replace(cx.waker().clone());
        drop(state);
        drop(before); // a waker's drop is foreign code, which must not run under the lock
        Poll::Pending
    }
}

/// A slot of any type.
trait Deliver: Send + Sync {
    /// Lets the caller look, at the value if it is to `keep` it.
    fn end(&self, keep: bool);
}

impl<T: Send + 'static> Deliver for Slot<T> {
    fn end(&self, keep: bool) {
        let mut state = self.lock();
        debug_assert!(!state.is_over, "a channel ends once");
        state.is_over = true;
        let unseen = if keep { None } else { state.value.take() };
        let waker = state.waker.take();

        // Neither a waker nor a value's drop may run under the lock.
        drop(state);
        drop(unseen);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look<T>(answer: &mut Answer<T>) -> Poll<Option<T>> {
        Pin::new(answer).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_value_is_seen_once_it_is_delivered() {
        let (reply, mut answer) = channel();
        assert_eq!(look(&mut answer), Poll::Pending);
        let delivery = reply.set(7);
        assert_eq!(look(&mut answer), Poll::Pending);
        delivery.deliver();
        assert_eq!(look(&mut answer), Poll::Ready(Some(7)));
    }

    #[test]
    fn a_reply_is_awaited_until_its_answer_is_dropped() {
        let (reply, answer) = channel::<u32>();
        assert!(reply.is_awaited());
        drop(answer);
        assert!(!reply.is_awaited());
    }

    #[test]
    fn nobody_waits_for_a_reply_or_a_delivery_that_was_dropped() {
        let (reply, mut answer) = channel::<u32>();
        drop(reply);
        assert_eq!(look(&mut answer), Poll::Ready(None));
        let (reply, mut answer) = channel();
        drop(reply.set(7));
        assert_eq!(look(&mut answer), Poll::Ready(None));
    }
}
