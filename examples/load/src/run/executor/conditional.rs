//! Conditional operations: what each key held when it was last seen, and what came of a write that expected it.
//!
//! ```text
//!   before the load   look at every key --> marks       so that an operation is one write and nothing else
//!   cas               swap(key, mark)   --> Applied:  the new mark     Mismatch: the mark of what is there
//!                                           failed:   forgotten; the next one looks first
//! ```
//!
//! One mark a key, shared by all callers and clients of the run. So a key that several write at once gives mismatches,
//! and the one after a mismatch expects what that has found. Bounded: a mark for each key that is there at the start,
//! [`Marks::MOST`] at most; a key that was inserted later is looked at each time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Done, Executor, settle};
use crate::target::{Mark, OpError, Swapped, Target};
use crate::verify::{Begun, End};
use crate::workload::{Op, key_name};

/// What each key held when it was last seen.
#[derive(Debug, Default)]
pub(crate) struct Marks(Mutex<Vec<Option<Mark>>>);

impl Marks {
    /// Most keys of a run with a verb that needs marks.
    pub(crate) const MOST: u64 = 1_000_000;

    /// Marks of `keys` keys, none of them known.
    pub(crate) fn new(keys: u64) -> Self {
        let keys = usize::try_from(keys.min(Self::MOST)).unwrap_or(0);
        Self(Mutex::new(vec![None; keys]))
    }

    fn of(&self, key: u64) -> Option<Mark> {
        let at = usize::try_from(key).ok()?;
        self.locked().get(at)?.clone()
    }

    fn note(&self, key: u64, mark: Option<Mark>) {
        let at = usize::try_from(key).unwrap_or(usize::MAX);
        if let Some(slot) = self.locked().get_mut(at) {
            *slot = mark;
        }
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Option<Mark>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Executor {
    /// Looks at a key, so that the next conditional write of it knows what to expect.
    ///
    /// # Errors
    /// As the target says; the key is as unknown as before.
    pub(crate) async fn look(&self, key: u64) -> Result<(), OpError> {
        let mark = self.target().look(&key_name(key)).await?;
        self.marks.note(key, Some(mark));
        Ok(())
    }

    pub(super) async fn cas(&self, op: Op, client: &Target) -> Result<Done, OpError> {
        let name = key_name(op.key);
        let expected = match self.marks.of(op.key) {
            Some(mark) => mark,
            None => client.look(&name).await?,
        };
        let (begun, value) = self.new_value(op);
        let swapped = client.swap(&name, &expected, value).await;
        let (end, mark, done) = match swapped {
            Ok(Swapped::Applied(mark)) => (End::Acked, Some(mark), Ok(Done::Plain)),
            Ok(Swapped::Mismatch(mark)) => (End::Refused, Some(mark), Ok(Done::Mismatch)),
            Err(error) => (ended_by(&error), None, Err(error)),
        };
        self.marks.note(op.key, mark);
        self.write_down(begun, end);
        done
    }

    pub(super) async fn update(&self, op: Op, client: &Target) -> Result<Done, OpError> {
        let (begun, value) = self.new_value(op);
        let done = client.update(&key_name(op.key), value).await;
        if let (Some(book), Some(begun)) = (&self.book, begun) {
            settle(book, begun, &done);
        }
        done.map(Done::After)
    }

    fn write_down(&self, begun: Option<Begun>, end: End) {
        if let (Some(book), Some(begun)) = (&self.book, begun) {
            book.end(begun, end);
        }
    }
}

const fn ended_by(error: &OpError) -> End {
    if error.may_be_stored {
        End::Unknown
    } else {
        End::Refused
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::run::testing::Fake;
    use crate::workload::{Distribution, Generator, Sizes, Values, Verb};

    fn executor(fake: &Arc<Fake>, keys: u64) -> Executor {
        let mix = "cas=1".parse().unwrap();
        let sizes = Sizes::Fixed(10);
        let generator = Generator::new(1, mix, keys, Distribution::Uniform, sizes);
        let clients = vec![Target::Fake(Arc::clone(fake))];
        Executor::new(clients, Values::new(1, 10), None, generator)
    }

    fn op(verb: Verb, key: u64) -> Op {
        Op {
            verb,
            key,
            bytes: 10,
        }
    }

    fn fake() -> Arc<Fake> {
        Arc::new(Fake::new(Duration::from_millis(1), None))
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_expects_what_the_one_before_has_left() {
        let fake = fake();
        let executor = executor(&fake, 1);
        executor.look(0).await.unwrap();
        for _ in 0..3 {
            assert_eq!(executor.perform(op(Verb::Cas, 0), 0).await, Ok(Done::Plain));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mismatch_is_no_failure_and_says_what_to_expect() {
        let fake = fake();
        let executor = executor(&fake, 1);
        executor.look(0).await.unwrap();
        fake.overtake();
        let cas = || executor.perform(op(Verb::Cas, 0), 0);
        assert_eq!(cas().await, Ok(Done::Mismatch));
        assert_eq!(cas().await, Ok(Done::Plain));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_without_a_mark_is_looked_at_first() {
        let fake = fake();
        let executor = executor(&fake, 1);
        fake.overtake();
        for key in [0, 7] {
            let done = executor.perform(op(Verb::Cas, key), 0).await;
            assert_eq!(done, Ok(Done::Plain), "{key}");
        }
        assert!(executor.marks.of(0).is_some());
        assert_eq!(executor.marks.of(7), None, "beyond the keys of the start");
    }

    #[tokio::test(start_paused = true)]
    async fn an_update_says_how_many_attempts_it_took() {
        let fake = fake();
        let executor = executor(&fake, 1);
        let update = || executor.perform(op(Verb::Update, 0), 0);
        let (one, other) = tokio::join!(update(), update());
        assert_eq!([one, other], [Ok(Done::After(1)), Ok(Done::After(2))]);
    }
}
