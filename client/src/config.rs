//! Settings of a client.
//!
//! ```text
//!   default  <-  profile file (seeds, tls)  <-  builder  <-  one operation
//!                                               each overrides what is to its left
//! ```
//!
//! Settings are checked together, when the client connects: a builder method never fails. R and W depend
//! on N, which the ring knows, so they are checked with each operation. Left out: how a profile is
//! written ([`Profile`]) and the modes of an operation (`consistency`).
//!
//! Source: Dynamo (2007), sections 4.5 and 6, for N, R and W.

use std::path::Path;
use std::time::Duration;

use quoit_ring::placement::Ring;

use crate::client::Client;
use crate::consistency::{Consistency, DEADLINES, ReadRepair};
use crate::coordinator::Settings;
use crate::driver::Driver;
use crate::env::Env;
use crate::error::ConnectError;
use crate::profile::Profile;
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

/// What operations take unless they say otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    pub(crate) consistency: Consistency,
    pub(crate) r: Option<u8>,
    pub(crate) w: Option<u8>,
    pub(crate) sloppy: bool,
    pub(crate) deadline: Duration,
    pub(crate) repair: Option<ReadRepair>,
}

/// What bounds a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_value_bytes: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) repair_bytes_per_second: u64,
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
            },
            connect_timeout: Duration::from_secs(5),
        }
    }
}

impl ClientBuilder {
    /// Reads seeds and the places of certificates from a profile file, as `quoit dev` writes one, now.
    /// A file that cannot be used makes [`ClientBuilder::connect`] fail. [`ClientBuilder::seeds`] and
    /// [`ClientBuilder::tls`] after it replace what it said.
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

    /// The cluster's CA and this client's certificate and key. There is no default: nodes let nobody in
    /// without a certificate.
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

    /// What operations promise unless they say otherwise; default [`Consistency::Quorum`].
    #[must_use]
    pub const fn consistency(mut self, consistency: Consistency) -> Self {
        self.defaults.consistency = consistency;
        self
    }

    /// R, the replicas that a read needs, 1 to N; default is what the consistency says. In quorum mode at
    /// least a majority. More read what fewer hold up to date and fail with fewer nodes down. A number out
    /// of range fails each read, as N is only known then.
    #[must_use]
    pub const fn r(mut self, r: u8) -> Self {
        self.defaults.r = Some(r);
        self
    }

    /// W, the replicas that a write needs, 1 to N; default is what the consistency says. In quorum mode at
    /// least a majority. W acknowledged copies survive the loss of W - 1 disks; more fail with fewer nodes
    /// down. A number out of range fails each write, as N is only known then.
    #[must_use]
    pub const fn w(mut self, w: u8) -> Self {
        self.defaults.w = Some(w);
        self
    }

    /// When reads repair replicas that they found stale, unless they say otherwise; default is what the consistency
    /// says: [`BeforeAnswer`](ReadRepair::BeforeAnswer) for quorum reads, [`Background`](ReadRepair::Background) for
    /// reads of one. Anything but `BeforeAnswer` lets quorum reads go backwards.
    #[must_use]
    pub const fn read_repair(mut self, repair: ReadRepair) -> Self {
        self.defaults.repair = Some(repair);
        self
    }

    /// Bytes of keys and records that reads may send a second to repair replicas in the background, 1 KiB to 1 GiB;
    /// default 8 MiB, a sixteenth of a gigabit link, so that a node that comes back is not drowned by who finds it
    /// stale. What was not used is saved for a second at most. A repair beyond it is not made and counted
    /// ([`HealthReport::repairs_refused`](crate::HealthReport::repairs_refused)); another read will find the same
    /// replica stale. Write-backs that an answer waits for are charged to it and never refused. Less spares the
    /// nodes, more brings replicas together sooner.
    #[must_use]
    pub const fn repair_bytes_per_second(mut self, bytes: u64) -> Self {
        self.limits.repair_bytes_per_second = bytes;
        self
    }

    /// Whether a node that keeps a write for an owner that is away counts as one of the W: a *sloppy quorum*; default
    /// no, the strict one, since reads ask owners only and may miss such a write until these have got it. Either way
    /// an owner that misses a write gets it when it is back.
    #[must_use]
    pub const fn sloppy(mut self, sloppy: bool) -> Self {
        self.defaults.sloppy = sloppy;
        self
    }

    /// How long an operation may take once it has begun, 1 ms to 30 s; default 5 s, far beyond any healthy
    /// answer and not yet too long for a person to wait. Shorter fails sooner under trouble, longer rides
    /// out more of it. The upper bound is half the age at which nodes refuse a write, 60 s.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.defaults.deadline = deadline;
        self
    }

    /// Most bytes of a value that may be put, 1 byte to 16 MiB; default 1 MiB, the default of nodes. Nodes
    /// have their own limit and refuse what is over it. It also bounds what one answer of a node may make
    /// this client hold: 64 such values, but 9 MiB at least and 128 MiB at most.
    #[must_use]
    pub const fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_value_bytes = bytes;
        self
    }

    /// Most operations under way at once, 1 to 65,536; default 4,096, which holds at most 64 MiB of values.
    /// Further ones wait before their deadline begins to run: fewer mean waiting here, more mean waiting at
    /// the nodes, which may shed load. An operation counts once more for every 16 KiB of its value, so this
    /// bounds the client's memory too.
    #[must_use]
    pub const fn max_in_flight(mut self, operations: usize) -> Self {
        self.limits.max_in_flight = operations;
        self
    }

    /// How long [`ClientBuilder::connect`] waits for the first seed that answers, more than nothing;
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
    /// [`ConnectError`] if a setting or file cannot be used or no seed answered; nothing is left behind,
    /// no thread and no connection.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        Client::connect(self).await
    }

    /// Makes a client without a thread, whose input and output the caller does ("sans-I/O"): for an event
    /// loop of one's own, and for a simulation. [`Driver`] has an example. The handle is like any other;
    /// what its callers ask for is carried out when the driver is called.
    ///
    /// `ring` is where it starts from; the driver fetches newer ones from the nodes. Seeds, certificates
    /// and [`ClientBuilder::connect_timeout`] are not used and not needed; all other settings mean what
    /// they mean for [`ClientBuilder::connect`]. `env` gets the members and is asked for the time at once.
    ///
    /// ```
    /// # use quoit_client::env::{Env, Now};
    /// # use quoit_ring::Moment;
    /// # use quoit_client::{Client, ConnectError};
    /// # use quoit_ring::{ClusterId, ClusterMap, Epoch, Leaf, LeafBits, Member, Millis, NodeId, TokenKey};
    /// # use quoit_ring::{placement::Ring, wire::RequestFrame};
    /// # struct Nowhere;
    /// # impl Env for Nowhere {
    /// #     fn now(&mut self) -> Now {
    /// #         Now { at: Moment(0), wall: Millis(0), random: 4 }
    /// #     }
    /// #     fn send(&mut self, _to: NodeId, _frame: &RequestFrame) -> bool {
    /// #         true
    /// #     }
    /// #     fn members(&mut self, _map: &ClusterMap) {}
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
    /// drop(driver); // the client has come to its end
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

    /// What the coordinator is to go by.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            repair_bytes_per_second: self.limits.repair_bytes_per_second,
            ..Settings::default()
        }
    }

    /// Checks the settings of every client.
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
        )
    }

    /// Checks the settings of a client that finds its cluster itself.
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
