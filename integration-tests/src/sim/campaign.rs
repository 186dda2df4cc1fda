//! Many runs: seeds over threads, reported in the order of the seeds.
//!
//! ```text
//!   seeds 1 2 3 4 5 ...   --next free one-->   thread: run, judge      --+
//!                                              thread: run, judge      --+--> in order --> totals
//! ```
//!
//! A run is one thread's work and shares nothing, so the number of threads changes how long a set of runs
//! takes and nothing else: what is reported, and where a set ends that stops at its first failure, is the same
//! with one thread as with many.
//!
//! Held back at most: what the other threads finish while the slowest run goes on, without their histories.

mod judged;
mod panics;
mod totals;
mod twice;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

pub use self::judged::{Finding, Judged, NO_PANIC, SAME_TRACE};
pub use self::totals::{FaultCount, SET, Totals};

/// Does `work` for each of `seeds`, on so many threads, and reports the results in the order of the seeds until
/// `report` breaks it off.
///
/// Runs that are under way when it is broken off still end, and are not reported.
///
/// # Panics
/// If `work` does.
pub fn in_order<T: Send>(
    seeds: Range<u64>,
    threads: NonZeroUsize,
    work: impl Fn(u64) -> T + Sync,
    mut report: impl FnMut(u64, T) -> ControlFlow<()>,
) {
    let next = AtomicU64::new(seeds.start);
    let claim = || {
        let more = |seed| (seed < seeds.end).then(|| seed + 1);
        next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
    };
    let (results, arriving) = mpsc::sync_channel(threads.get());
    thread::scope(|scope| {
        for _thread in 0..threads.get() {
            let (results, claim, work) = (results.clone(), &claim, &work);
            scope.spawn(move || {
                while let Ok(seed) = claim() {
                    if results.send((seed, work(seed))).is_err() {
                        return; // broken off
                    }
                }
            });
        }
        drop(results);
        let mut early = BTreeMap::new();
        let mut expected = seeds.start;
        for (seed, result) in arriving {
            early.insert(seed, result);
            while let Some(result) = early.remove(&expected) {
                if report(expected, result).is_break() {
                    return;
                }
                expected += 1;
            }
        }
    });
}

/// As many threads as there are cores, one if that is not known.
#[must_use]
pub fn all_cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn threads(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn results_are_reported_in_the_order_of_the_seeds_however_long_each_takes() {
        let slow_first = |seed: u64| {
            thread::sleep(Duration::from_millis(if seed == 10 {
                50
            } else {
                seed % 3
            }));
            seed * 2
        };
        for count in [1, 2, 7] {
            let mut reported = Vec::new();
            in_order(10..40, threads(count), slow_first, |seed, result| {
                assert_eq!(result, seed * 2);
                reported.push(seed);
                ControlFlow::Continue(())
            });
            assert!(reported.iter().copied().eq(10..40), "{reported:?}");
        }
    }

    #[test]
    fn breaking_off_ends_the_set_there_and_starts_no_further_run() {
        let started = AtomicU64::new(0);
        let mut reported = Vec::new();
        let work = |seed| {
            started.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_micros(100));
            seed
        };
        in_order(0..1_000_000, threads(4), work, |seed, _result| {
            reported.push(seed);
            match seed {
                5 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        assert_eq!(reported, [0, 1, 2, 3, 4, 5]);
        assert!(started.into_inner() < 100_000, "the rest was left");
    }

    #[test]
    fn the_largest_seeds_end_and_no_seed_is_no_run() {
        let mut reported = Vec::new();
        let seeds = u64::MAX - 2..u64::MAX;
        in_order(
            seeds,
            threads(3),
            |seed| seed,
            |seed, _same| {
                reported.push(seed);
                ControlFlow::Continue(())
            },
        );
        assert_eq!(reported, [u64::MAX - 2, u64::MAX - 1]);
        in_order(
            5..5,
            threads(2),
            |_none| unreachable!(),
            |_seed, ()| ControlFlow::Continue(()),
        );
    }
}
