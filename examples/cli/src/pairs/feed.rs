//! Pairs that a thread of their own reads ahead, so that a line that is slow to arrive holds up no operation.
//!
//! ```text
//! file --reader thread--> [ pair pair pair ] --next--> operations
//! ```
//!
//! The reader is at most [`AHEAD`] pairs ahead. It ends with the file, or with its next pair once nobody wants
//! one; while it waits for standard input nothing can end it but the end of the process.

use std::io;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc;

use super::{BadLine, Pair, Pairs};

/// Pairs that are read and not yet taken.
const AHEAD: usize = 64;

/// Pairs and bad lines, as they are read.
#[derive(Debug)]
pub(crate) struct Feed {
    lines: mpsc::Receiver<Result<Pair, BadLine>>,
    reader: Option<JoinHandle<()>>,
}

impl Feed {
    /// Begins to read.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(pairs: Pairs) -> io::Result<Self> {
        let (sender, lines) = mpsc::channel(AHEAD);
        let read = move || {
            for line in pairs {
                if sender.blocking_send(line).is_err() {
                    break;
                }
            }
        };
        let reader = thread::Builder::new().name("reader".into()).spawn(read)?;
        Ok(Self {
            lines,
            reader: Some(reader),
        })
    }

    /// The next pair or bad line; `None` at the end. No pair is lost if this is dropped before it is ready.
    pub(crate) async fn next(&mut self) -> Option<Result<Pair, BadLine>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(count: u64) -> impl Iterator<Item = Result<Pair, BadLine>> + Send {
        (1..=count).map(|line| super::super::pair(line, b"k".to_vec(), Vec::new()))
    }

    #[tokio::test]
    async fn every_line_comes_in_its_order() {
        let count = 3 * AHEAD as u64;
        let mut feed = Feed::start(Box::new(numbered(count))).unwrap();
        for line in 1..=count {
            assert_eq!(feed.next().await.unwrap().unwrap().line, line);
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
}
