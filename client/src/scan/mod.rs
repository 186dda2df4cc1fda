//! Scans: the keys of a range in their order, each as a quorum of its owners has it.
//!
//! ```text
//!   client.scan().prefix(..)     a builder; nothing happens yet
//!         .stream()? --pages--> nodes: of each leaf R owners send its rows, the first of them with values
//!                                  |
//!              merged in key order, versions compared:  equal -> the row      differ -> a quorum read of that key
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | `range`, `token`, `error` | what is asked for, where it goes on, what may be wrong with either |
//! | `coverage` | which owners send the rows of each leaf |
//! | `feed`, `judge`, `merge` | pages of many nodes in, decided keys in one order out. Pure |
//! | `stream` | asks for pages, reads what is doubtful, yields rows |
//!
//! A scan is no snapshot. What was acknowledged before it began, and has stayed, it yields, once; what comes or goes
//! meanwhile it may yield or not. Left out: how a page is read (`quoit_node`), and how one is asked for (`operation::page`).

mod coverage;
mod error;
mod feed;
mod judge;
mod merge;
mod range;
mod stream;
mod token;

use core::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::wire::MAX_SCAN_ROWS;

pub use self::error::{BadToken, InvalidScan, ScanError};
pub use self::stream::{ScanEntry, ScanStream};
pub use self::token::ScanToken;

pub(crate) use self::range::has_tag;
pub(crate) use self::token::checksum;

use self::coverage::NoCoverage;
use self::merge::{Merge, PageSettings};
use self::range::{ScanRange, Wanted};
use self::stream::Parts;
use self::token::Place;
use crate::client::Client;
use crate::consistency::Consistency;
use crate::merge::Merge as MergeValues;
use crate::operation::plan::Plan;

/// About the most bytes of one page: a page and a half of each node wait at most, and one is under way.
const PAGE_BYTES: u32 = 64 << 10;

/// Least rows of a page whose scan has a small limit: of the rows that a node examines it sends some.
const LEAST_ROWS: u32 = 16;

/// The keys of a range, in order; made by [`Client::scan`].
///
/// ```no_run
/// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let mut users = client.scan().prefix("user:").start_after("user:41").limit(100).stream()?;
/// while let Some(row) = users.next().await {
///     let row = row?;
///     println!("{:?}: {:?}", row.key(), row.value());
/// }
/// let newest = client.scan().prefix("event:").reverse().keys_only().limit(1).stream()?.next().await;
/// # drop(newest);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing happens before its stream is polled"]
pub struct Scan {
    client: Client,
    wanted: Wanted,
    keys_only: bool,
    limit: Option<u64>,
    page_rows: u32,
    token: Option<ScanToken>,
    plan: Plan,
    merge: Option<Arc<dyn MergeValues>>,
}

impl Client {
    /// Reads the keys of a range in the order of their bytes, with their values. Without a prefix or a range that is all of
    /// them. [`Scan`] has the options.
    ///
    /// By default a majority of the owners of each key has been asked for it, as in a [get](Client::get): the scan sees
    /// every write that was acknowledged before it began and has not been overwritten since, and each key at most once.
    /// It is no snapshot: of what changes meanwhile it may see some and miss some.
    ///
    /// While it is polled it has a page of each node under way, which counts as five operations of
    /// [`max_in_flight`](crate::ClientBuilder::max_in_flight), and up to 16 reads. What waits for a place there keeps it until
    /// the stream is polled again or dropped, so `max_in_flight` should be well above that where rows are worked on in between.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut cart = client.scan().prefix("cart:{42}:").stream()?; // a whole tag: three nodes answer, not all
    /// while let Some(row) = cart.next().await {
    ///     println!("{:?}", row?.key());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn scan(&self) -> Scan {
        Scan {
            client: self.clone(),
            wanted: Wanted::default(),
            keys_only: false,
            limit: None,
            page_rows: MAX_SCAN_ROWS,
            token: None,
            plan: self.read_plan(),
            merge: None,
        }
    }
}

impl Scan {
    /// Keys that begin with `prefix`, up to 32,768 bytes; an empty one is that of all. If it holds a whole `{tag}`, only the
    /// owners of that tag's keys are asked.
    pub fn prefix(mut self, prefix: impl Into<Bytes>) -> Self {
        self.wanted.prefix = prefix.into();
        self
    }

    /// Keys from `start` on, up to `end`, which does not belong to them. An empty one bounds nothing. With a prefix, the keys
    /// of both.
    ///
    /// ```no_run
    /// # fn example(client: quoit_client::Client) -> Result<(), quoit_client::ScanError> {
    /// let may = client.scan().range("event:2026-05", "event:2026-06").stream()?;
    /// # drop(may);
    /// # Ok(())
    /// # }
    /// ```
    pub fn range(mut self, start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        (self.wanted.start, self.wanted.end) = (start.into(), end.into());
        self
    }

    /// Keys behind `key` in the scan's direction, which need not exist: the last one of the page before, say.
    pub fn start_after(mut self, key: impl Into<Bytes>) -> Self {
        self.wanted.after = Some(key.into());
        self
    }

    /// From the last key to the first.
    pub const fn reverse(mut self) -> Self {
        self.wanted.reverse = true;
        self
    }

    /// Keys without their values: less is sent. Siblings, and whether a key has a value at all, are looked at all the same.
    pub const fn keys_only(mut self) -> Self {
        self.keys_only = true;
        self
    }

    /// At most so many rows, at least 1; default is all.
    pub const fn limit(mut self, rows: u64) -> Self {
        self.limit = Some(rows);
        self
    }

    /// The work of one page: how many rows a node examines for it, deleted ones and those of others included, 1 to 512;
    /// default 512. Fewer keep the node's other requests waiting for less, and take more round trips.
    pub const fn page_rows(mut self, rows: u32) -> Self {
        self.page_rows = rows;
        self
    }

    /// Goes on where the scan was that gave out this [token](ScanStream::token): the same range, prefix, key to start
    /// after and direction, in the same cluster. Limit, values and quorum may differ.
    pub fn resume(mut self, token: ScanToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Merges the siblings of a key with `merge` into one value, as in a [get](crate::Get::merge).
    pub fn merge(mut self, merge: impl MergeValues + 'static) -> Self {
        self.merge = Some(Arc::new(merge));
        self
    }

    /// How many owners of each key are asked, 1 to N, and in quorum mode a majority; default is the client's
    /// [`r`](crate::ClientBuilder::r).
    pub const fn r(mut self, replicas: u8) -> Self {
        self.plan.count = Some(replicas);
        self
    }

    /// What the scan promises; default is the client's [`consistency`](crate::ClientBuilder::consistency). With
    /// [`One`](Consistency::One) a single owner of each key is asked, whatever it has is yielded, and nothing is repaired.
    pub const fn consistency(mut self, consistency: Consistency) -> Self {
        self.plan.consistency = consistency;
        self
    }

    /// How long each page may take, and each read of a key on which owners differ, 1 ms to 30 s; default is the client's
    /// [`deadline`](crate::ClientBuilder::deadline). The scan as a whole has none.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.plan.deadline = deadline;
        self
    }

    /// The same by this plan.
    pub(crate) const fn planned(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// The stream of its rows. Nothing is sent before that is polled.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut rows = client.scan().prefix("user:").stream()?;
    /// while let Some(row) = rows.next().await {
    ///     match row {
    ///         Ok(row) => println!("{:?}", row.key()),
    ///         // What came before is true; a scan that resumes here yields the rest.
    ///         Err(error) => return Err(format!("{error}; go on with {:?}", rows.token()).into()),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ScanError::Invalid`] if what is asked for makes no sense, and [`ScanError::Token`] if the token is not one of this
    /// scan. Nothing was sent.
    pub fn stream(self) -> Result<ScanStream, ScanError> {
        let range = ScanRange::new(&self.wanted)?;
        if self.limit == Some(0) {
            return Err(InvalidScan::NoRows.into());
        }
        if !(1..=MAX_SCAN_ROWS).contains(&self.page_rows) {
            let rows = self.page_rows;
            return Err(InvalidScan::PageRows { rows }.into());
        }
        let topology = self.client.topology();
        let place = match self.token {
            Some(token) => token.place(topology.source().map().cluster, &range)?,
            None => Place::Start,
        };

        let few = self
            .limit
            .map(|limit| u32::try_from(limit.saturating_mul(2)));
        let few = few.map_or(u32::MAX, |few| few.unwrap_or(u32::MAX).max(LEAST_ROWS));
        let settings = PageSettings {
            values: !self.keys_only,
            rows: self.page_rows.min(few),
            bytes: PAGE_BYTES,
        };
        let merge = Merge::new(topology, (range.clone(), place), (self.plan, settings));
        let merge = merge.map_err(|why| match why {
            NoCoverage::Invalid(invalid) => InvalidScan::Request(invalid).into(),
            NoCoverage::TooFew { needed, .. } => ScanError::Unavailable {
                needed,
                attempts: Vec::new(),
            },
        })?;
        Ok(ScanStream::new(Parts {
            client: self.client,
            range,
            plan: self.plan,
            values: !self.keys_only,
            limit: self.limit,
            merge_values: self.merge,
            merge,
        }))
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("wanted", &self.wanted)
            .field("keys_only", &self.keys_only)
            .field("limit", &self.limit)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}
