//! Pairs that a thread of their own reads ahead, so that a line that is slow to arrive holds up no operation.
//!
//! ```text
//! file --reader thread--> [ pair pair pair ] --next--> operations
//!                         |<------- at most 32 MiB ------->|
//! ```
//!
//! The reader is at most [`AHEAD`] pairs ahead, and goes on only while the pairs that are not done with have less than
//! [`MAX_BYTES`] together: each keeps its share until its [`Permit`] is dropped, so many operations at once on large
//! values need no more memory than that. One more pair is in the reader's hand.
//!
//! It ends with the file, or with its next pair once nobody wants one; while it waits for standard input nothing can
//! end it but the end of the process.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{BadLine, MAX_VALUE, Pair, Pairs};

/// Pairs that are read and not yet taken.
const AHEAD: usize = 64;

/// Most bytes of pairs that are read and not done with. The largest pair must fit.
const MAX_BYTES: u32 = 32 << 20;
const _: () = assert!(MAX_VALUE + super::MAX_KEY <= MAX_BYTES as usize);

/// The share of a pair in [`MAX_BYTES`]; it is free again once this is dropped.
pub(crate) type Permit = OwnedSemaphorePermit;

/// A pair or a bad line, and its share of the memory.
type Line = (Result<Pair, BadLine>, Permit);

/// Pairs and bad lines, as they are read.
#[derive(Debug)]
pub(crate) struct Feed {
    lines: mpsc::Receiver<Line>,
    bytes: Arc<Semaphore>,
    reader: Option<JoinHandle<()>>,
}

impl Feed {
    /// Begins to read. To be called within a runtime.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(pairs: Pairs) -> io::Result<Self> {
        let (sender, lines) = mpsc::channel(AHEAD);
        let bytes = Arc::new(Semaphore::new(MAX_BYTES as usize));
        let (free, runtime) = (Arc::clone(&bytes), Handle::current());
        let read = move || {
            for line in pairs {
                // The channel or the semaphore is closed once nobody wants a pair any more.
                let share = Arc::clone(&free).acquire_many_owned(size(&line));
                let Ok(permit) = runtime.block_on(share) else {
                    break;
                };
                if sender.blocking_send((line, permit)).is_err() {
                    break;
                }
            }
        };
        let reader = thread::Builder::new().name("reader".into()).spawn(read)?;
        Ok(Self {
            lines,
            bytes,
            reader: Some(reader),
        })
    }

    /// The next pair or bad line, with a permit to keep until it is done with; `None` at the end. No pair is lost if
    /// this is dropped before it is ready.
    pub(crate) async fn next(&mut self) -> Option<Line> {
        let line = self.lines.recv().await;
        if line.is_none()
            && let Some(reader) = self.reader.take()
            && let Err(panic) = reader.join()
        {
            // Or the end of the reader would look like the end of the file.
            std::panic::resume_unwind(panic);
        }
        line
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.bytes.close();
    }
}

/// The bytes that it holds, at most all there are.
fn size(line: &Result<Pair, BadLine>) -> u32 {
    let bytes = match line {
        Ok(pair) => pair.key.len() + pair.value.len(),
        Err(bad) => bad.what.len(),
    };
    u32::try_from(bytes).map_or(MAX_BYTES, |bytes| bytes.min(MAX_BYTES))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn numbered(count: u64) -> impl Iterator<Item = Result<Pair, BadLine>> + Send {
        (1..=count).map(|line| super::super::pair(line, b"k".to_vec(), Vec::new()))
    }

    #[tokio::test]
    async fn every_line_comes_in_its_order() {
        let count = 3 * AHEAD as u64;
        let mut feed = Feed::start(Box::new(numbered(count))).unwrap();
        for line in 1..=count {
            let (pair, _permit) = feed.next().await.unwrap();
            assert_eq!(pair.unwrap().line, line);
        }
        assert!(feed.next().await.is_none() && feed.next().await.is_none());
    }

    #[tokio::test]
    #[should_panic(expected = "a reader that fails")]
    async fn a_reader_that_panics_is_no_end_of_the_file() {
        let fails = numbered(1).chain(std::iter::once_with(|| panic!("a reader that fails")));
        let mut feed = Feed::start(Box::new(fails)).unwrap();
        while feed.next().await.is_some() {}
    }

    #[tokio::test]
    async fn a_reader_that_nobody_wants_ends() {
        let (ended, mut seen) = mpsc::channel(1);
        let watched = numbered(u64::MAX).inspect(move |_line| {
            let _open = &ended;
        });
        drop(Feed::start(Box::new(watched)).unwrap());
        assert_eq!(seen.recv().await, None::<()>);
    }

    /// Waits until `counted` is at least `least`, and a little longer; what it is then.
    async fn settled(counted: &AtomicUsize, least: usize) -> usize {
        while counted.load(Ordering::SeqCst) < least {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        counted.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn a_reader_of_large_pairs_stops_until_earlier_ones_are_done_with() {
        const LARGE: usize = 1 << 20;
        let fit = MAX_BYTES as usize / LARGE;
        assert!(fit < AHEAD, "the bytes are what stops it");

        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let pairs = (1..).map(move |line| {
            counted.fetch_add(1, Ordering::SeqCst);
            super::super::pair(line, b"k".to_vec(), vec![b'v'; LARGE - 1])
        });
        let mut feed = Feed::start(Box::new(pairs)).unwrap();
        assert_eq!(settled(&read, fit + 1).await, fit + 1, "one is in its hand");

        let (_pair, permit) = feed.next().await.unwrap();
        assert_eq!(
            settled(&read, fit + 1).await,
            fit + 1,
            "it is not done with"
        );
        drop(permit);
        assert_eq!(settled(&read, fit + 2).await, fit + 2);
    }

    #[tokio::test]
    async fn the_largest_pair_passes() {
        let largest =
            || super::super::pair(1, vec![b'k'; super::super::MAX_KEY], vec![b'v'; MAX_VALUE]);
        let pairs = std::iter::repeat_with(largest).take(3);
        let mut feed = Feed::start(Box::new(pairs)).unwrap();
        for _ in 0..3 {
            assert!(feed.next().await.unwrap().0.is_ok());
        }
        assert!(feed.next().await.is_none());
    }
}
