//! Every key once, many at a time: loading and looking before a run, reading back after it.
//!
//! ```text
//!   0 1 2 3 ... keys     each worker takes the next one that is free
//! ```
//!
//! A progress bar shows how far it is, on a terminal. Bounded: values of at most [`HELD`] bytes at a time,
//! or eight of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::task::JoinSet;

use super::executor::Executor;
use super::progress;
use crate::result::VerifyNote;
use crate::target::OpError;
use crate::verify::{Book, Found, Judgement, LOADED};
use crate::workload::{Sizes, key_name};

/// Most keys at a time.
const AT_ONCE: usize = 256;
/// Bytes of values that may be held at a time.
const HELD: usize = 32 << 20;
/// How often one key is tried, and how long in between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// Puts the first value of every key below `keys`.
///
/// # Errors
/// With the first key that the store did not take, [`TRIES`] times.
pub(crate) async fn load(
    executor: &Arc<Executor>,
    keys: u64,
    sizes: Sizes,
    seed: u64,
) -> anyhow::Result<()> {
    let work = move |executor: Arc<Executor>, key: u64| async move {
        let value = executor.values.make(key, LOADED, sizes.of(seed, key));
        let name = key_name(key);
        let put = || executor.target().put(&name, value.clone());
        tries(put)
            .await
            .with_context(|| format!("key {key} could not be loaded"))
    };
    each("loading", executor, keys, sizes, work).await?;
    Ok(())
}

/// Looks at every key below `keys`, so that conditional writes know what to expect.
///
/// # Errors
/// With the first key that could not be read, [`TRIES`] times.
pub(crate) async fn look(executor: &Arc<Executor>, keys: u64, sizes: Sizes) -> anyhow::Result<()> {
    let work = |executor: Arc<Executor>, key: u64| async move {
        let look = || executor.look(key);
        tries(look)
            .await
            .with_context(|| format!("key {key} could not be read"))
    };
    each("looking", executor, keys, sizes, work).await?;
    Ok(())
}

/// Reads every key below `keys` and judges what is there.
///
/// # Errors
/// If a reading task fails; keys that cannot be read are counted instead.
pub(crate) async fn verify(
    executor: &Arc<Executor>,
    keys: u64,
    sizes: Sizes,
) -> anyhow::Result<VerifyNote> {
    let work = |executor: Arc<Executor>, key: u64| async move {
        let Some(book) = &executor.book else {
            bail!("no book was kept");
        };
        Ok(judge(&executor, book, key).await)
    };
    let judged = each("verifying", executor, keys, sizes, work).await?;
    let known: Vec<Judgement> = judged.iter().flatten().copied().collect();
    let unknown = u64::try_from(judged.len() - known.len()).unwrap_or(u64::MAX);
    let book = executor.book.as_ref().context("no book was kept")?;
    Ok(book.note(&known, unknown))
}

/// What is under a key means, or `None` if it cannot be read.
async fn judge(executor: &Executor, book: &Book, key: u64) -> Option<Judgement> {
    let name = key_name(key);
    let found = tries(|| executor.target().get(&name)).await.ok()?;
    let found = match found {
        None => Found::Nothing,
        Some(value) => executor
            .values
            .version(key, &value)
            .map_or(Found::Foreign, Found::Version),
    };
    Some(book.judge(key, found))
}

async fn tries<T, F: Future<Output = Result<T, OpError>>>(
    operation: impl Fn() -> F,
) -> Result<T, OpError> {
    let mut tried = 1;
    loop {
        match operation().await {
            Err(_) if tried < TRIES => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
        tried += 1;
    }
}

/// Does `work` for every key below `keys`; its results are in no order.
async fn each<T, W, F>(
    what: &'static str,
    executor: &Arc<Executor>,
    keys: u64,
    sizes: Sizes,
    work: W,
) -> anyhow::Result<Vec<T>>
where
    W: Fn(Arc<Executor>, u64) -> F + Copy + Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let bar = progress::bar(what, keys);
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..(HELD / sizes.most()).clamp(8, AT_ONCE) {
        let (executor, next, bar) = (Arc::clone(executor), Arc::clone(&next), bar.clone());
        workers.spawn(async move {
            let mut results = Vec::new();
            loop {
                let key = next.fetch_add(1, Ordering::Relaxed);
                if key >= keys {
                    return anyhow::Ok(results);
                }
                results.push(work(Arc::clone(&executor), key).await?);
                bar.inc(1);
            }
        });
    }
    let mut results = Vec::new();
    while let Some(worker) = workers.join_next().await {
        results.extend(worker.with_context(|| format!("{what} failed"))??);
    }
    bar.finish_and_clear();
    Ok(results)
}
