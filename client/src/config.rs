//! Settings of a client.
//!
//! ```text
//!   default  <-  profile file (seeds, tls)  <-  builder  <-  one operation
//!                                               each overrides what is to its left
//! ```
//!
//! Settings are checked together, when the client connects: a builder method never fails. R and W depend
//! on N, which comes with the ring, so they are checked with each operation. Left out: the format of a
//! profile ([`Profile`]) and the modes of an operation (`consistency`).
//!
//! Source: Dynamo (2007), sections 4.5 and 6, for N, R and W.

use std::path::Path;
use std::time::Duration;

use quoit_ring::NodeId;
use quoit_ring::placement::Ring;
use quoit_ring::wire::NodeStatus;

use crate::client::Client;
use crate::consistency::{Consistency, DEADLINES, ReadRepair};
use crate::coordinator::{Settings, background, mint};
use crate::driver::Driver;
use crate::env::Env;
use crate::error::ConnectError;
use crate::profile::Profile;
use crate::runtime;
use crate::tls::TlsFiles;

/// Largest `max_value_bytes`.
pub(crate) const MAX_VALUE: usize = 16 << 20;

/// Makes a [`Client`]. Every setting has a default but the seeds and the certificates.
///
/// ```no_run
/// # async fn example() -> Result<(), quoit_client::ConnectError> {
/// use quoit_client::{Client, Consistency};
/// use std::time::Duration;
///
/// let client = Client::builder()
///     .profile("client.toml") // seeds and certificates
///     .consistency(Consistency::Quorum)
///     .r(2)
///     .w(3)
///     .deadline(Duration::from_secs(2))
///     .max_value_bytes(4 << 20) // the nodes' own limit has to be raised too
///     .max_in_flight(16_384)
///     .max_background_bytes(48 << 20)
///     .connect_timeout(Duration::from_secs(10))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ClientBuilder {
    pub(crate) seeds: Vec<String>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) profile_error: Option<crate::profile::ProfileError>,
    pub(crate) defaults: Defaults,
    pub(crate) limits: Limits,
    pub(crate) connect_timeout: Duration,
}

/// Defaults of operations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    pub(crate) consistency: Consistency,
    pub(crate) r: Option<u8>,
    pub(crate) w: Option<u8>,
    pub(crate) sloppy: bool,
    pub(crate) deadline: Duration,
    pub(crate) repair: Option<ReadRepair>,
}

/// Bounds of a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_value_bytes: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) repair_bytes_per_second: u64,
    pub(crate) max_background_bytes: usize,
    pub(crate) max_minted_keys: usize,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            seeds: Vec::new(),
            tls: None,
            profile_error: None,
            defaults: Defaults {
                consistency: Consistency::Quorum,
                r: None,
                w: None,
                sloppy: false,
                deadline: Duration::from_secs(5),
                repair: None,
            },
            limits: Limits {
                max_value_bytes: 1 << 20,
                max_in_flight: 4096,
                repair_bytes_per_second: 8 << 20,
                max_background_bytes: background::DEFAULT_BOUND,
                max_minted_keys: mint::MAX_KEYS,
            },
            connect_timeout: Duration::from_secs(5),
        }
    }
}

impl ClientBuilder {
    /// Reads a profile file at once: seeds and the paths of certificates, as `quoit dev` writes them.
    /// A file that cannot be used makes [`ClientBuilder::connect`] fail. A later call of
    /// [`ClientBuilder::seeds`] or [`ClientBuilder::tls`] replaces that part of it.
    #[must_use]
    pub fn profile(mut self, file: impl AsRef<Path>) -> Self {
        match Profile::load(file.as_ref()) {
            Ok(profile) => {
                self.seeds = profile.seeds;
                self.tls = Some(profile.tls);
            }
            Err(error) => self.profile_error = Some(error),
        }
        self
    }

    /// Addresses (`host:port`) of nodes to fetch the ring from; any one that answers is enough. At least
    /// one; the first 64 are tried, 200 ms apart. Two or three let a client start while a node is down.
    #[must_use]
    pub fn seeds<S: Into<String>>(mut self, seeds: impl IntoIterator<Item = S>) -> Self {
        self.seeds = seeds.into_iter().map(Into::into).collect();
        self
    }

    /// The cluster's CA and this client's certificate and key. There is no default: nodes accept no
    /// connection without a certificate.
    ///
    /// ```
    /// use quoit_client::{Client, ConnectError, TlsFiles};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let files = TlsFiles {
    ///     ca: "certs/ca.pem".into(),
    ///     certificate: "certs/client.pem".into(),
    ///     key: "certs/client.key".into(),
    /// };
    /// let error = Client::builder().seeds(["127.0.0.1:7440"]).tls(files).connect().await.unwrap_err();
    /// assert!(matches!(error, ConnectError::Tls(_)));
    /// assert!(error.to_string().starts_with("cannot read the authority certs/ca.pem"));
    /// # }
    /// ```
    #[must_use]
    pub fn tls(mut self, files: TlsFiles) -> Self {
        self.tls = Some(files);
        self
    }

    /// The default consistency of operations; default [`Consistency::Quorum`].
    #[must_use]
    pub const fn consistency(mut self, consistency: Consistency) -> Self {
        self.defaults.consistency = consistency;
        self
    }

    /// R, the replicas that a read needs, 1 to N; the default depends on the consistency. In quorum mode at
    /// least a majority. A larger R sees writes that fewer replicas hold, and fails with fewer nodes down. A
    /// number out of range fails each read, since N is only known then.
    #[must_use]
    pub const fn r(mut self, r: u8) -> Self {
        self.defaults.r = Some(r);
        self
    }

    /// W, the replicas that a write needs, 1 to N; the default depends on the consistency. In quorum mode at
    /// least a majority. W acknowledged copies survive the loss of W - 1 disks; a larger W fails with fewer
    /// nodes down. A number out of range fails each write, since N is only known then.
    #[must_use]
    pub const fn w(mut self, w: u8) -> Self {
        self.defaults.w = Some(w);
        self
    }

    /// When reads repair stale replicas. The default depends on the consistency:
    /// [`BeforeAnswer`](ReadRepair::BeforeAnswer) for quorum reads, [`Background`](ReadRepair::Background) for
    /// reads of one. Anything but `BeforeAnswer` lets quorum reads go backwards.
    #[must_use]
    pub const fn read_repair(mut self, repair: ReadRepair) -> Self {
        self.defaults.repair = Some(repair);
        self
    }

    /// Bytes of keys and records per second that background repair may send, 1 KiB to 1 GiB; default 8 MiB, a
    /// sixteenth of a gigabit link, so that the readers of a recovered node do not flood it with repairs. At most one
    /// second's worth is saved up. A repair beyond it is counted
    /// ([`HealthReport::repairs_refused`](crate::HealthReport::repairs_refused)) and not sent; another read will find
    /// the same replica stale. Write-backs that an answer waits for are charged to it and never refused. Lower spares
    /// the nodes, higher makes replicas converge sooner.
    #[must_use]
    pub const fn repair_bytes_per_second(mut self, bytes: u64) -> Self {
        self.limits.repair_bytes_per_second = bytes;
        self
    }

    /// Of how many keys the client remembers its last dot, for simulations that want to see the table full.
    #[doc(hidden)]
    #[must_use]
    pub const fn max_minted_keys(mut self, keys: usize) -> Self {
        self.limits.max_minted_keys = keys;
        self
    }

    /// Whether a hint, the write kept by a fallback for an owner that is away, counts towards W: a *sloppy quorum*.
    /// Default no, the strict one: reads ask owners only, and may miss such a write until it is delivered. Either way
    /// an owner that missed a write gets it when it is back.
    #[must_use]
    pub const fn sloppy(mut self, sloppy: bool) -> Self {
        self.defaults.sloppy = sloppy;
        self
    }

    /// How long an operation may take once it has begun, 1 ms to 30 s; default 5 s, far beyond any healthy
    /// answer and not too long for a person to wait. Shorter fails sooner when nodes are in trouble, longer
    /// survives more of it. The upper bound is half the age at which nodes refuse a write, 60 s.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.defaults.deadline = deadline;
        self
    }

    /// Longest value that may be put, 1 byte to 16 MiB; default 1 MiB, the default of nodes. Nodes have
    /// their own limit and refuse longer ones. It also bounds the memory for one answer of a node: 64 such
    /// values, but at least 9 MiB and at most 128 MiB. A longer one is
    /// [`Outcome::AnswerTooLong`](crate::Outcome::AnswerTooLong).
    #[must_use]
    pub const fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_value_bytes = bytes;
        self
    }

    /// Most operations under way at once, 1 to 65,536; default 4,096, which hold at most 64 MiB of values.
    /// Further ones wait for a permit, before their deadline begins to run. A lower limit makes them wait here, a
    /// higher one at the nodes, which may shed load. An operation counts once more for every 16 KiB of its
    /// key and value, so this bounds the client's memory too.
    ///
    /// A write that has returned no longer counts, although it waits for owners that are late: see
    /// [`max_background_bytes`](ClientBuilder::max_background_bytes).
    #[must_use]
    pub const fn max_in_flight(mut self, operations: usize) -> Self {
        self.limits.max_in_flight = operations;
        self
    }

    /// Most bytes that wait for nodes without an operation under way, 4 KiB to 1 GiB; default 24 MiB. Lower spares
    /// memory, higher leaves owners that are late for a while fewer writes to be repaired.
    ///
    /// - Writes that have returned and wait for late owners: a third for each owner, two thirds in all. Beyond it a
    ///   late owner gets the write from its request, if it reads that in time, or from repair; there is no hint for it
    ///   ([`HealthReport::hints_forgone`](crate::HealthReport::hints_forgone)).
    /// - Requests of operations that are over: a third, then they are taken back
    ///   ([`HealthReport::taken_back`](crate::HealthReport::taken_back)).
    ///
    /// No operation under way fails by it.
    #[must_use]
    pub const fn max_background_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_background_bytes = bytes;
        self
    }

    /// How long [`ClientBuilder::connect`] waits for the first seed that answers, above zero;
    /// default 5 s, as for operations. Each seed is dialled once.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Fetches the ring from the first seed that answers and makes the client. Connections to the nodes
    /// are made in the background; the first operations wait for them.
    ///
    /// ```
    /// use quoit_client::{Client, ConnectError};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let hasty = Client::builder().seeds(["127.0.0.1:7440"]).deadline(Duration::ZERO);
    /// let error = hasty.connect().await.unwrap_err();
    /// assert!(matches!(error, ConnectError::Setting { name: "deadline", .. }));
    /// assert_eq!(error.to_string(), "deadline is out of range: 1 ms to 30 s");
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ConnectError`] if a setting or file cannot be used or no seed answered; no thread and no connection
    /// is left.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        Client::connect(self).await
    }

    /// Asks one node for its status, at an address that need not be in any map: a node that waits to become a member.
    /// Whoever answers must prove to be `node`. Uses the certificates and [`ClientBuilder::connect_timeout`].
    ///
    /// ```no_run
    /// # async fn example(id: quoit_ring::NodeId) -> Result<(), Box<dyn std::error::Error>> {
    /// use quoit_client::Client;
    ///
    /// let builder = Client::builder().profile("admin.toml");
    /// let status = builder.status_at("10.0.0.4:7440", id).await?;
    /// println!("it runs, with {} records", status.records);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ConnectError`]: [`NoSeedAnswered`](ConnectError::NoSeedAnswered) with the reason if the node did not answer.
    pub async fn status_at(
        mut self,
        address: impl Into<String>,
        node: NodeId,
    ) -> Result<NodeStatus, ConnectError> {
        self.check()?;
        runtime::status_at(self, address.into(), node).await
    }

    /// Makes a client without a thread ("sans-I/O"): its owner does the I/O, in an event loop or a
    /// simulation. [`Driver`] has an example. The handle is like any other; its operations progress when the
    /// driver is called.
    ///
    /// `ring` is the first ring; the driver fetches newer ones from the nodes. Seeds, certificates
    /// and [`ClientBuilder::connect_timeout`] are not used and not needed; all other settings mean what
    /// they mean for [`ClientBuilder::connect`]. `env` gets the members and is asked for the time at once.
    ///
    /// ```
    /// # use quoit_client::env::{Env, Now};
    /// # use quoit_ring::Moment;
    /// # use quoit_client::{Client, ConnectError};
    /// # use quoit_ring::{ClusterId, ClusterMap, Epoch, Leaf, LeafBits, Member, Millis, NodeId, TokenKey};
    /// # use quoit_ring::{change::Topology, placement::Ring, wire::RequestFrame};
    /// # struct Nowhere;
    /// # impl Env for Nowhere {
    /// #     fn now(&mut self) -> Now {
    /// #         Now { at: Moment(0), wall: Millis(0), random: 4 }
    /// #     }
    /// #     fn send(&mut self, _to: NodeId, _frame: &RequestFrame) -> bool {
    /// #         true
    /// #     }
    /// #     fn members(&mut self, _topology: &Topology) {}
    /// # }
    /// # let member = Member {
    /// #     id: NodeId(1), name: "n1".into(), address: "127.0.0.1:7440".into(), zone: "z".into(),
    /// #     weight: 100, vnodes: vec![Leaf(1)],
    /// # };
    /// # let map = ClusterMap {
    /// #     cluster: ClusterId(7), epoch: Epoch(1), token_key: TokenKey([2; 16]),
    /// #     leaf_bits: LeafBits::FULL, replication: 1, members: vec![member],
    /// # };
    /// # let ring = || Ring::new(&map).unwrap();
    /// let (client, driver) = Client::builder().max_in_flight(64).drive(ring(), Nowhere)?;
    /// assert_eq!(client.locate(b"key").owners[0].name, "n1");
    /// drop(driver); // ends the client
    ///
    /// let error = Client::builder().max_in_flight(0).drive(ring(), Nowhere).err().unwrap();
    /// assert_eq!(error.to_string(), "max_in_flight is out of range: 1 to 65,536");
    /// # Ok::<(), ConnectError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConnectError::Setting`] if a setting is out of range, [`ConnectError::Profile`] if a profile was
    /// given that cannot be read; `env` was not called and is dropped.
    pub fn drive<E: Env>(self, ring: Ring, env: E) -> Result<(Client, Driver<E>), ConnectError> {
        Client::drive(self, ring, env)
    }

    /// The coordinator's settings.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            repair_bytes_per_second: self.limits.repair_bytes_per_second,
            max_background_bytes: self.limits.max_background_bytes,
            max_minted_keys: self.limits.max_minted_keys,
            ..Settings::default()
        }
    }

    /// Checks the settings that every client has.
    pub(crate) fn check(&mut self) -> Result<(), ConnectError> {
        if let Some(error) = self.profile_error.take() {
            return Err(error.into());
        }

        setting(
            DEADLINES.contains(&self.defaults.deadline),
            "deadline",
            "1 ms to 30 s",
        )?;
        setting(
            (1..=MAX_VALUE).contains(&self.limits.max_value_bytes),
            "max_value_bytes",
            "1 to 16 MiB",
        )?;
        setting(
            (1..=65_536).contains(&self.limits.max_in_flight),
            "max_in_flight",
            "1 to 65,536",
        )?;
        setting(
            (1 << 10..=1 << 30).contains(&self.limits.repair_bytes_per_second),
            "repair_bytes_per_second",
            "1 KiB to 1 GiB",
        )?;
        setting(
            (4 << 10..=1 << 30).contains(&self.limits.max_background_bytes),
            "max_background_bytes",
            "4 KiB to 1 GiB",
        )
    }

    /// Checks the settings of a client that dials its cluster itself.
    pub(crate) fn check_network(&self) -> Result<(), ConnectError> {
        if self.seeds.is_empty() {
            return Err(ConnectError::NoSeeds);
        }

        setting(
            !self.connect_timeout.is_zero(),
            "connect_timeout",
            "more than nothing",
        )
    }
}

/// Refuses a setting that is not `ok`.
const fn setting(ok: bool, name: &'static str, allowed: &'static str) -> Result<(), ConnectError> {
    if ok {
        Ok(())
    } else {
        Err(ConnectError::Setting { name, allowed })
    }
}

#[cfg(test)]
mod tests;
