//! A node's configuration: one TOML file, every key with its unit, range, default and reason.
//!
//! ```text
//! node.toml  --parse-->  every key known, every type right  --check-->  every value in its range
//! ```
//!
//! An unknown key is an error: a misspelt limit that silently keeps its default is worse than a node that
//! does not start. Relative paths start at the folder of the file, so a folder with a cluster in it can be
//! moved. Left out: what all members must share (N, the token key, the members' addresses), which is in the
//! cluster map; and the number of network threads, which is always one.

mod error;
mod limits;
mod size;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

pub use self::error::ConfigError;
pub use self::limits::{Limits, MAX_INTERVALS};

/// The settings of a node. Field by field the keys of the file.
///
/// ```
/// # use std::path::Path;
/// # use quoit_node::config::{Config, Durability};
/// let text = r#"
///     data = "data"
///     listen = "127.0.0.1:7440"
///     memory = "512MiB"
///     [tls]
///     ca = "ca.pem"
///     certificate = "node.pem"
///     key = "node.key"
/// "#;
/// let config = Config::parse(text, Path::new("/etc/quoit"))?;
/// assert_eq!(config.tls.ca, Path::new("/etc/quoit/ca.pem"));
/// assert_eq!(config.memory, 512 << 20);
/// assert_eq!(config.durability, Durability::Fsync);
/// # Ok::<(), quoit_node::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The node's data directory; made by [`Node::init`](crate::Node::init), used by one node at a time. Required.
    pub data: PathBuf,

    /// The UDP address to serve at, `ip:port`. Required. Port 0 takes any free one, for tests only: the
    /// cluster map must name the real port.
    pub listen: SocketAddr,

    /// The first cluster map, written by `quoit cluster init`. Read when the data directory is
    /// initialised; afterwards the map in the node's store is the truth.
    #[serde(default)]
    pub map: Option<PathBuf>,

    /// The node's certificate, its key, and the authority it trusts. Required.
    pub tls: TlsFiles,

    /// The failures that an acknowledged write survives. Default `"fsync"`.
    #[serde(default)]
    pub durability: Durability,

    /// Bytes of memory for memtables, cache and Merkle tree together, 64 MiB to 1 TiB; default
    /// 256 MiB. More means fewer reads from disk, less fits a small machine. Connections and the write
    /// queue come on top, each with its own bound.
    #[serde(default = "default_memory", deserialize_with = "size::bytes")]
    pub memory: u64,

    /// Longest value in bytes, 1 KiB to 16 MiB; default 1 MiB. Client and node hold a whole value in
    /// memory, so split larger objects. Set it alike on all members: a write needs W of them to accept it.
    #[serde(
        default = "default_max_value_bytes",
        deserialize_with = "size::memory_bytes"
    )]
    pub max_value_bytes: usize,

    /// Most siblings of one key, 1 to 1,024; default 64. A put beyond it is refused, so that an
    /// application that never merges finds out; 64 concurrent writers of one key are beyond any sensible
    /// use. Repairs may leave as many for each copy of a key: what replicas were given apart must come together.
    #[serde(default = "default_max_siblings")]
    pub max_siblings: usize,

    /// Most bytes of one record (all siblings and what they have seen), at least `max_value_bytes`
    /// plus 64 KiB and at most 64 MiB plus 64 KiB; default 4 × `max_value_bytes` + 64 KiB: four
    /// concurrent writers of the longest values, and dozens of small ones, fit. A repair may leave as many for each
    /// copy of a key. A record is read and written as a whole: the bound is also what one small put may cost. Read
    /// [`Config::record_bytes`] for the value in force.
    #[serde(default, deserialize_with = "size::optional")]
    pub max_record_bytes: Option<usize>,

    /// Milliseconds after which a write still under way is refused, 1,000 to 3,600,000; default
    /// 60,000. Must be well over the clients' deadline (5 s by default), or slow writes fail; a longer
    /// one delays the removal of tombstones. Set it alike on all members.
    #[serde(default = "default_max_write_age_ms")]
    pub max_write_age_ms: u64,

    /// Milliseconds that a write's stamp may be ahead of this node's clock, 1 to 60,000; default 500.
    /// NTP keeps clocks within a few. A larger bound lets a client with a wrong clock win over later
    /// writes for longer, a smaller one refuses writers with slightly inaccurate clocks.
    #[serde(default = "default_max_clock_drift_ms")]
    pub max_clock_drift_ms: u64,

    /// Most connections of clients at a time, 1 to 65,536; default 512. A client keeps one connection per
    /// node, whatever its load. Each may cost up to 8 MiB while its client misbehaves. Further ones are
    /// refused. Each other node of the cluster has 4 beside these, and operators have 4 once these are taken.
    #[serde(default = "default_max_connections")]
    pub max_connections: usize,

    /// Most connections at a time with one client certificate, 1 to 65,536; default three quarters of
    /// `max_connections`, so that one application, or whoever stole its key, leaves the others a part. Give
    /// applications certificates of their own and a lower bound where one must not crowd out others. Read
    /// [`Config::connections_per_identity`] for the value in force.
    #[serde(default)]
    pub max_connections_per_identity: Option<usize>,

    /// Bounds of the queue of writes that wait for the disk; seven eighths are for clients, the rest for peers. Load
    /// shedding keeps a queue that has not been empty for a second far below them.
    #[serde(default)]
    pub write_queue: WriteQueue,

    /// Most bytes of hints, the writes kept for other nodes while those are away, 0 to 1 TiB; default 1 GiB.
    /// Further ones are refused, and their targets get the writes from repair. 0 keeps none.
    #[serde(default = "default_max_hint_bytes", deserialize_with = "size::bytes")]
    pub max_hint_bytes: u64,

    /// Most bytes of hints for one node, 0 to 1 TiB; default 256 MiB, so that one node that never comes back does
    /// not use up the space for all others.
    #[serde(
        default = "default_max_hint_bytes_per_node",
        deserialize_with = "size::bytes"
    )]
    pub max_hint_bytes_per_node: u64,

    /// Most hints delivered per second to one node, 1 to 1,000,000; default 500. A record counts once for each 4 KiB.
    /// All holders deliver at once when a node is back, while it also serves its clients: lower leaves more
    /// for those, higher brings the node up to date sooner.
    #[serde(default = "default_hints_per_second")]
    pub hints_per_second: u32,

    /// Most bytes that this node pulls in a second while leaves move to it, 64 KiB to 16 GiB; default 64 MiB: about half of
    /// what a node takes from clients, so that these keep the other half. Lower makes a change take longer.
    #[serde(
        default = "default_transfer_bytes_per_second",
        deserialize_with = "size::bytes"
    )]
    pub transfer_bytes_per_second: u64,

    /// Milliseconds from one sync with another owner of the same keys to the next, 1,000 to 86,400,000, or 0 to begin none
    /// but those that an operator orders; default 60,000. Two that are equal exchange two messages (and a handshake, where nothing else
    /// keeps a connection), so less costs little; what differs for as long is read stale by those who ask one replica.
    #[serde(default = "default_sync_interval_ms")]
    pub sync_interval_ms: u64,

    /// Most bytes that this node reads and writes in a second to repair what differs, 64 KiB to 16 GiB; default 32 MiB: less
    /// than for what moves, as it is never urgent. While this node's writes wait it takes less by itself.
    #[serde(
        default = "default_sync_bytes_per_second",
        deserialize_with = "size::bytes"
    )]
    pub sync_bytes_per_second: u64,

    /// Most keys of which this node removes expired values in a second, 1 to 1,000,000; default 10,000: more than most clients
    /// let expire, and a small part of the writes that a node takes. A record counts once for each KiB. Lower leaves more for
    /// clients and keeps dead values longer, which no reader sees; while this node's writes wait it takes less by itself.
    #[serde(default = "default_expiry_keys_per_second")]
    pub expiry_keys_per_second: u32,

    /// Names, `host:port`, that lead to members whatever addresses the ring has; default none. They are resolved again once a
    /// minute for as long as the node runs, and every few seconds while it hears fewer than a majority.
    #[serde(default)]
    pub seeds: Vec<String>,

    /// Whether this node announces where it listens if the ring has another address of it, and tries other members where it heard
    /// them or where they say that they are, after the ring's address; default true. `false` where something stands between
    /// the nodes that they must not get round, such as a proxy that cuts connections in a test.
    #[serde(default = "default_address_hints")]
    pub address_hints: bool,

    /// Milliseconds of silence after which a member that answers no probe is suspect, 5,000 to 600,000; default 5,000, for
    /// the nodes of one data centre. A busy disk can hold a node for two seconds, and a broken link is noticed after three:
    /// both are over by then. Clients do not wait for this.
    #[serde(default = "default_suspect_after_ms")]
    pub suspect_after_ms: u64,

    /// Milliseconds of silence after which a suspect member counts as failed, more than `suspect_after_ms`, to 86,400,000;
    /// default 30,000: a process that is restarted is back by then. Nothing is done to a failed member; operators see it.
    #[serde(default = "default_failed_after_ms")]
    pub failed_after_ms: u64,

    /// Where metrics are read, `ip:port`, by plain HTTP at `/metrics`; default nowhere. Whoever reaches the port can read them: name an
    /// address that only scrapers reach. They hold no key and no value.
    #[serde(default)]
    pub metrics: Option<SocketAddr>,

    /// Bytes of the disk that are kept for writes which remove something, 0 to 1 TiB; default 64 MiB. Values are
    /// refused once no more than that is free beyond what the engine needs for its own work, and hints, which no
    /// reader misses, once it is twice as much; deletes and the removal of delivered hints go on to the end of the
    /// reserve. A delete of a short key takes about 500 bytes until it is merged, so that 64 MiB take some hundred
    /// thousand. More keeps values out earlier, less leaves less to clear up with. 0 refuses all kinds at once.
    #[serde(default = "default_disk_reserve", deserialize_with = "size::bytes")]
    pub disk_reserve: u64,

    /// Milliseconds that requests under way may take to finish once the node is asked to stop, 0 to
    /// 600,000; default 10,000: twice the clients' default deadline, so no request that a client still
    /// waits for is dropped. 0 drops them at once.
    #[serde(default = "default_drain_ms")]
    pub drain_ms: u64,

    /// Whether to start although this machine's clock is far behind the stored mark ([`StartError::ClockBehind`]).
    /// No key of the file: it is for one start, by the flag `--accept-clock-set-back` of `quoit-node`.
    ///
    /// [`StartError::ClockBehind`]: crate::StartError::ClockBehind
    #[serde(skip)]
    pub accept_clock_set_back: bool,

    /// Whether to start although members have heard of a later run of this node, on another disk
    /// ([`StartError::RanElsewhere`]). No key of the file: it is for one start, by the flag `--accept-older-disk` of
    /// `quoit-node`.
    ///
    /// [`StartError::RanElsewhere`]: crate::StartError::RanElsewhere
    #[serde(skip)]
    pub accept_older_disk: bool,

    /// How long the members have, at a start, to say whether they know of a later run of this node; default 300 ms. No key of the
    /// file: more is for one start on a machine that is short of processor time, as in tests. Once enough have answered nobody
    /// waits for the rest.
    #[serde(skip, default = "default_ask_within")]
    pub ask_within: Duration,
}

/// The node's TLS files; all PEM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate of the cluster's authority, which must have signed every caller's certificate.
    pub ca: PathBuf,
    /// The node's certificate; it holds the node's identity.
    pub certificate: PathBuf,
    /// The private key of the certificate, readable by the node alone.
    pub key: PathBuf,
}

/// The failures that an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// On the disk before the acknowledgement: survives a power loss. Writes that arrive together
    /// share one sync.
    #[default]
    Fsync,
    /// Handed to the operating system before the acknowledgement: survives the end of the process,
    /// not a power loss; several times the writes per second on a slow disk.
    Buffered,
}

impl From<Durability> for quoit_ring::wire::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Fsync => Self::Fsync,
            Durability::Buffered => Self::Buffered,
        }
    }
}

/// The bounds of the queue of writes that wait for the disk. A write that does not fit is refused as
/// overloaded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WriteQueue {
    /// Most waiting writes, 1 to 1,048,576; default 8,192: some tens of milliseconds of work for one
    /// disk, beyond which a quick refusal is better than a long wait.
    pub requests: usize,
    /// Most bytes of waiting writes, at least `max_value_bytes` plus 64 KiB and at most 4 GiB; default
    /// 32 MiB.
    #[serde(deserialize_with = "size::memory_bytes")]
    pub bytes: usize,
}

impl Default for WriteQueue {
    fn default() -> Self {
        Self {
            requests: 8192,
            bytes: 32 * MIB,
        }
    }
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// Bytes of a record beside its values: dots, hashes, expiries and the seen region.
pub(crate) const RECORD_OVERHEAD: usize = 64 * KIB;
/// Least memory that any configuration allows, in bytes.
pub const MIN_MEMORY: u64 = 64 << 20;
/// Most memory that any configuration allows, in bytes.
pub const MAX_MEMORY: u64 = 1 << 40;
/// Longest value that any configuration allows.
pub const MAX_VALUE_BYTES: usize = 16 * MIB;
/// Largest record that any configuration allows.
pub const MAX_RECORD_BYTES: usize = 64 * MIB + RECORD_OVERHEAD;

const fn default_memory() -> u64 {
    256 << 20
}
const fn default_max_value_bytes() -> usize {
    MIB
}
const fn default_max_siblings() -> usize {
    64
}
const fn default_max_write_age_ms() -> u64 {
    60_000
}
const fn default_max_clock_drift_ms() -> u64 {
    500
}
const fn default_max_connections() -> usize {
    512
}
const fn default_max_hint_bytes() -> u64 {
    1 << 30
}
const fn default_max_hint_bytes_per_node() -> u64 {
    256 << 20
}
const fn default_transfer_bytes_per_second() -> u64 {
    64 << 20
}
const fn default_sync_interval_ms() -> u64 {
    60_000
}
const fn default_sync_bytes_per_second() -> u64 {
    32 << 20
}
const fn default_ask_within() -> Duration {
    Duration::from_millis(300)
}
const fn default_address_hints() -> bool {
    true
}
const fn default_expiry_keys_per_second() -> u32 {
    10_000
}
const fn default_suspect_after_ms() -> u64 {
    5_000
}
const fn default_failed_after_ms() -> u64 {
    30_000
}
const fn default_hints_per_second() -> u32 {
    500
}
const fn default_disk_reserve() -> u64 {
    64 << 20
}
const fn default_drain_ms() -> u64 {
    10_000
}

impl Config {
    /// A configuration with every default.
    #[must_use]
    pub fn new(data: PathBuf, listen: SocketAddr, tls: TlsFiles) -> Self {
        Self {
            data,
            listen,
            map: None,
            tls,
            durability: Durability::default(),
            memory: default_memory(),
            max_value_bytes: default_max_value_bytes(),
            max_siblings: default_max_siblings(),
            max_record_bytes: None,
            max_write_age_ms: default_max_write_age_ms(),
            max_clock_drift_ms: default_max_clock_drift_ms(),
            max_connections: default_max_connections(),
            max_connections_per_identity: None,
            max_hint_bytes: default_max_hint_bytes(),
            metrics: None,
            max_hint_bytes_per_node: default_max_hint_bytes_per_node(),
            hints_per_second: default_hints_per_second(),
            transfer_bytes_per_second: default_transfer_bytes_per_second(),
            sync_interval_ms: default_sync_interval_ms(),
            sync_bytes_per_second: default_sync_bytes_per_second(),
            expiry_keys_per_second: default_expiry_keys_per_second(),
            seeds: Vec::new(),
            address_hints: default_address_hints(),
            suspect_after_ms: default_suspect_after_ms(),
            failed_after_ms: default_failed_after_ms(),
            write_queue: WriteQueue::default(),
            disk_reserve: default_disk_reserve(),
            drain_ms: default_drain_ms(),
            accept_clock_set_back: false,
            accept_older_disk: false,
            ask_within: default_ask_within(),
        }
    }

    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the line, or the key and its range.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::read(&text, path)
    }

    /// Parses and checks a configuration with paths relative to `folder`.
    ///
    /// # Errors
    /// [`ConfigError`] names the line, or the key and its range.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ConfigError> {
        Self::read(text, &folder.join("node.toml"))
    }

    fn read(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|source| ConfigError::Malformed {
            path: path.to_owned(),
            source,
        })?;
        config.resolve(path.parent().unwrap_or_else(|| Path::new("")));
        config.check()?;
        Ok(config)
    }

    /// Resolves relative paths against `folder`.
    fn resolve(&mut self, folder: &Path) {
        let tls = &mut self.tls;
        let always = [
            &mut self.data,
            &mut tls.ca,
            &mut tls.certificate,
            &mut tls.key,
        ];
        for path in always.into_iter().chain(self.map.as_mut()) {
            *path = folder.join(&*path);
        }
    }

    /// Checks that every value is in its range. Call it for a configuration made by code, too.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for the first value that is not.
    pub fn check(&self) -> Result<(), ConfigError> {
        let record = self.max_value_bytes.saturating_add(RECORD_OVERHEAD);

        range("memory", self.memory, MIN_MEMORY, MAX_MEMORY)?;
        range(
            "max_value_bytes",
            self.max_value_bytes,
            KIB,
            MAX_VALUE_BYTES,
        )?;
        range("max_siblings", self.max_siblings, 1, 1024)?;
        range(
            "max_record_bytes",
            self.record_bytes(),
            record,
            MAX_RECORD_BYTES,
        )?;
        range("max_write_age_ms", self.max_write_age_ms, 1_000, 3_600_000)?;
        range("max_clock_drift_ms", self.max_clock_drift_ms, 1, 60_000)?;
        range("max_connections", self.max_connections, 1, 65_536)?;
        range(
            "max_connections_per_identity",
            self.connections_per_identity(),
            1,
            65_536,
        )?;
        range(
            "write_queue.requests",
            self.write_queue.requests,
            1,
            1 << 20,
        )?;
        range(
            "write_queue.bytes",
            self.write_queue.bytes,
            record,
            4096 * MIB,
        )?;
        range("max_hint_bytes", self.max_hint_bytes, 0, MAX_MEMORY)?;
        range(
            "max_hint_bytes_per_node",
            self.max_hint_bytes_per_node,
            0,
            MAX_MEMORY,
        )?;
        range("hints_per_second", self.hints_per_second, 1, 1_000_000)?;
        let rate = self.transfer_bytes_per_second;
        range("transfer_bytes_per_second", rate, 64 << 10, 16 << 30)?;
        if self.sync_interval_ms != 0 {
            range("sync_interval_ms", self.sync_interval_ms, 1_000, 86_400_000)?;
        }
        let rate = self.sync_bytes_per_second;
        range("sync_bytes_per_second", rate, 64 << 10, 16 << 30)?;
        let rate = self.expiry_keys_per_second;
        range("expiry_keys_per_second", rate, 1, 1_000_000)?;
        range("suspect_after_ms", self.suspect_after_ms, 5_000, 600_000)?;
        let (failed, suspect) = (self.failed_after_ms, self.suspect_after_ms);
        range("failed_after_ms", failed, suspect + 1, 86_400_000)?;
        range("disk_reserve", self.disk_reserve, 0, MAX_MEMORY)?;
        range("drain_ms", self.drain_ms, 0, 600_000)
    }

    /// How the node gossips.
    #[must_use]
    pub fn gossip(&self) -> quoit_gossip::Options {
        quoit_gossip::Options {
            suspect_after: Duration::from_millis(self.suspect_after_ms),
            failed_after: Duration::from_millis(self.failed_after_ms),
            ..quoit_gossip::Options::default()
        }
    }

    /// The effective bound on connections with one certificate: `max_connections_per_identity` or its default.
    #[must_use]
    pub fn connections_per_identity(&self) -> usize {
        self.max_connections_per_identity
            .unwrap_or_else(|| (self.max_connections - self.max_connections / 4).max(1))
    }

    /// The effective bound on a record in bytes: `max_record_bytes` or its default.
    #[must_use]
    pub fn record_bytes(&self) -> usize {
        self.max_record_bytes.unwrap_or_else(|| {
            self.max_value_bytes
                .saturating_mul(4)
                .saturating_add(RECORD_OVERHEAD)
        })
    }
}

/// Refuses a `value` outside `min` to `max`.
fn range<T>(key: &'static str, value: T, min: T, max: T) -> Result<(), ConfigError>
where
    T: TryInto<u64> + PartialOrd + Copy,
{
    if value >= min && value <= max {
        return Ok(());
    }

    // No target has a usize beyond 64 bits; saturating keeps this total.
    let [value, min, max] = [value, min, max].map(|n| n.try_into().unwrap_or(u64::MAX));
    Err(ConfigError::OutOfRange {
        key,
        value,
        min,
        max,
    })
}

#[cfg(test)]
mod tests;
