//! What the store holds about the node itself: the cluster's first map, its newest configuration, what a change of it has
//! left, and the clock's mark.
//!
//! ```text
//!   initialised   the file `map`  --stored-->  meta: first map, Merkle key, disk id
//!   running       what is decided --learned--> meta: configuration; votes, what was taken and pulled beside it
//!   later         meta is the truth; the file may be gone, but must not be another cluster's
//! ```
//!
//! The map is stored when the data directory is initialised, in one commit with the key and the id of the disk. A
//! store without a map takes one only then ([`May`]); at a run it is the remains of a lost store. A store with another
//! disk's id belongs to another data directory and is refused.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::change::Known;
use quoit_ring::placement::Ring;
use quoit_ring::wire::configuration::decode_configuration;
use quoit_ring::wire::map::{decode_map, encode_map};
use quoit_ring::wire::{DecodeError, FirstMap};
use quoit_ring::{ClusterMap, MerkleKey, Millis, NodeId, Time};

use crate::clock::LEAD_MS;
use crate::commit::ChangeRows;
use crate::config::Limits;
use crate::engine::layout::{
    META_BARRED, META_CLOCK, META_CLUSTER, META_CONFIGURATION, META_DISK, META_MERKLE,
    META_PROMISED, META_STABLE,
};
use crate::engine::{Batch, Durability, Engine, EngineError, Keyspace};
use crate::error::{StartError, StoredConfiguration};
use crate::identity::{IdentityError, May};
use crate::stability::Floors;

/// Where the store is, and whether it must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLocation {
    /// The engine's folder; for messages only.
    pub path: PathBuf,
    /// The id of the disk, as its [identity](crate::identity::Identity::disk) has it.
    pub disk: u128,
    /// What may be done here: whether the store, with what was acknowledged, must be there.
    pub may: May,
}

/// What a node reads from its store before it serves.
///
/// ```
/// # use quoit_node::engine::MemoryEngine;
/// # use quoit_node::identity::{IdentityError, May};
/// # use quoit_node::store_meta::{StoreLocation, StoreMeta};
/// # use quoit_node::StartError;
/// # use quoit_ring::placement::{Newcomer, grow};
/// # use quoit_ring::wire::FirstMap;
/// # use quoit_ring::*;
/// # let newcomer = Newcomer {
/// #     id: NodeId(1), name: "n".into(), address: "h:1".into(), zone: "z".into(), weight: 100,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::new(12).unwrap(), replication: 1, members: vec![],
/// # };
/// # let first = FirstMap { map: grow(empty, [newcomer], 1)?, merkle_key: MerkleKey([7; 16]) };
/// let engine = MemoryEngine::new();
/// let mut location = StoreLocation { path: "data/store".into(), disk: 42, may: May::Begin };
/// let meta = StoreMeta::load(&engine, Some(&first), &location)?;
/// assert_eq!((meta.merkle_key, meta.mark), (first.merkle_key, Time::ZERO));
///
/// location.may = May::Run; // from now on the store is the truth, and needs no map
/// assert_eq!(StoreMeta::load(&engine, None, &location)?.known.configuration().map, first.map);
/// let emptied = StoreMeta::load(&MemoryEngine::new(), Some(&first), &location);
/// assert!(matches!(emptied, Err(StartError::Identity(IdentityError::StoreGone { .. }))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StoreMeta {
    /// The newest epoch that the node has learned.
    pub known: Known,
    /// The key of the Merkle sums.
    pub merkle_key: MerkleKey,
    /// The clock's high-water mark of the last run, [`Time::ZERO`] if there was none.
    pub mark: Time,
    /// Up to when clients' writes are refused, [`Time::ZERO`] if that was never promised.
    pub promised: Time,
    /// Above the ballots of all conditional writes that it took part in, [`Time::ZERO`] if it never has.
    pub barred: Time,
    /// Up to when no write is under way, leaf by leaf.
    pub floors: Floors,
    /// What it holds of a change of the ring that was under way.
    pub change: ChangeRows,
}

impl StoreMeta {
    /// Reads the meta values of `engine`, the one at `location`; stores `first` if it is being initialised.
    ///
    /// # Errors
    /// [`StartError`]: the store is another disk's, or gone, or damaged, or there is no valid map.
    /// The engine is as it was, unless it failed while `first` was being stored.
    pub fn load<G: Engine>(
        engine: &G,
        first: Option<&FirstMap>,
        location: &StoreLocation,
    ) -> Result<Self, StartError> {
        let path = location.path.clone();
        let failed = |source| StartError::Engine {
            path: path.clone(),
            source,
        };
        let get = |name| engine.get(Keyspace::Meta, name).map_err(failed);
        let disk = location.disk.to_be_bytes();
        let (first, merkle_key) = match (get(META_DISK)?, get(META_CLUSTER)?, get(META_MERKLE)?) {
            (Some(found), ..) if found[..] != disk => return Err(StartError::OtherStore { path }),
            (Some(_), Some(map), Some(key)) => parse(&map, &key).map_err(StartError::StoredMap)?,
            (None, None, None) if location.may.make_store() => {
                let first = first.ok_or(StartError::NoMap)?;
                // Checked first: a stored map is never replaced by the file again.
                Ring::new(&first.map)?;
                store_first(engine, first, disk).map_err(failed)?;
                (first.map.clone(), first.merkle_key)
            }
            _ => return Err(IdentityError::StoreGone { path }.into()),
        };
        let time = |stored: Option<Bytes>| stored.map_or(Ok(Time::ZERO), |time| parse_time(&time));
        let mark = time(get(META_CLOCK)?);
        let promised = time(get(META_PROMISED)?);
        let barred = time(get(META_BARRED)?);
        let floors = get(META_STABLE)?.map_or_else(|| Ok(Floors::default()), Floors::decode);
        let known = match get(META_CONFIGURATION)? {
            Some(newest) => {
                parse_configuration(&newest).map_err(StartError::StoredConfiguration)?
            }
            None => Known::of(Ring::new(&first)?),
        };
        let change = ChangeRows::load(engine).map_err(failed)?;
        let change = change.map_err(|error| StartError::StoredConfiguration(error.into()))?;
        Ok(Self {
            known,
            merkle_key,
            mark: mark.map_err(StartError::StoredMap)?,
            promised: promised.map_err(StartError::StoredMap)?,
            barred: barred.map_err(StartError::StoredMap)?,
            floors: floors.map_err(StartError::StoredMap)?,
            change,
        })
    }

    /// Refuses a node that was removed, and one with a clock by which every write is too old. One that is no member and was
    /// not removed waits to become one.
    ///
    /// # Errors
    /// [`StartError::Removed`], [`StartError::ClockBehind`].
    pub fn check(self, node: NodeId, limits: &Limits, wall: Millis) -> Result<Self, StartError> {
        let configuration = self.known.configuration();
        if configuration.removed.binary_search(&node).is_ok() {
            let cluster = configuration.map.cluster;
            return Err(StartError::Removed { node, cluster });
        }
        check_clock(self.mark, limits, wall)?;
        Ok(self)
    }

    /// Lowers a mark to `wall` that [`StoreMeta::check`] would refuse, for good; any other stays.
    ///
    /// The mark is what keeps ages from going back. Without it a write of before the clock was set back is taken
    /// however old it is, and a value that was read as expired may be read again. Stamps in the future that are stored
    /// already stay: no write goes above them until their time has come. So only an operator may ask for this.
    ///
    /// # Errors
    /// [`EngineError`]: the mark is stored as it was, or lowered.
    pub fn accept_clock_set_back<G: Engine>(
        mut self,
        engine: &G,
        limits: &Limits,
        wall: Millis,
    ) -> Result<Self, EngineError> {
        if check_clock(self.mark, limits, wall).is_ok() {
            return Ok(self);
        }

        let mark = Time::at(wall);
        tracing::warn!(from = ?self.mark, to = ?mark, "the clock's mark is lowered, as asked");
        let mut batch = Batch::with_capacity(3);
        batch.insert(Keyspace::Meta, META_CLOCK, mark.0.to_be_bytes().to_vec());
        // By them every write would be refused, or seen as dead, until their time has come.
        batch.remove(Keyspace::Meta, META_PROMISED);
        batch.remove(Keyspace::Meta, META_STABLE);
        batch.insert(Keyspace::Meta, META_BARRED, mark.0.to_be_bytes().to_vec());
        engine.commit(batch, Durability::Fsync)?;
        (self.mark, self.promised, self.floors) = (mark, Time::ZERO, Floors::default());
        self.barred = mark;
        Ok(self)
    }

    /// How long to wait before serving, so that this run never sends an earlier time than the last one did: a value
    /// that was read as expired must not be read again.
    ///
    /// Writes may have led the last run's clock ahead of the wall, by the allowed drift at most and in memory only. The
    /// stored mark is above every time sent out, and no time more than the drift above the wall was sent out.
    #[must_use]
    pub fn wait(&self, limits: &Limits, wall: Millis) -> Duration {
        let ahead_ms = self.mark.millis().0.saturating_sub(wall.0);
        Duration::from_millis(ahead_ms.min(limits.max_clock_drift_ms))
    }
}

/// Refuses a wall clock so far behind the mark that every write made now would be too old.
fn check_clock(mark: Time, limits: &Limits, wall: Millis) -> Result<(), StartError> {
    let behind = mark.millis().0.saturating_sub(wall.0);
    let allowed = LEAD_MS + limits.max_clock_drift_ms + limits.max_write_age_ms;
    if behind <= allowed {
        return Ok(());
    }
    let [behind, allowed] = [behind, allowed].map(Duration::from_millis);
    Err(StartError::ClockBehind { behind, allowed })
}

fn store_first<G: Engine>(engine: &G, first: &FirstMap, disk: [u8; 16]) -> Result<(), EngineError> {
    let mut batch = Batch::with_capacity(3);
    batch.insert(Keyspace::Meta, META_DISK, disk.to_vec());
    batch.insert(Keyspace::Meta, META_CLUSTER, encode_map(&first.map));
    batch.insert(Keyspace::Meta, META_MERKLE, first.merkle_key.0.to_vec());
    engine.commit(batch, Durability::Fsync)
}

fn parse(map: &[u8], key: &[u8]) -> Result<(ClusterMap, MerkleKey), DecodeError> {
    let key = key
        .try_into()
        .map_err(|_length| DecodeError::Malformed("a Merkle key has 16 bytes"))?;
    Ok((decode_map(map)?, MerkleKey(key)))
}

fn parse_configuration(stored: &[u8]) -> Result<Known, StoredConfiguration> {
    Ok(Known::new(decode_configuration(stored)?)?)
}

fn parse_time(mark: &Bytes) -> Result<Time, DecodeError> {
    let mark = mark[..]
        .try_into()
        .map_err(|_length| DecodeError::Malformed("a clock has 8 bytes"))?;
    Ok(Time(u64::from_be_bytes(mark)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{LIMITS, ring};

    #[test]
    fn a_node_waits_until_its_clock_cannot_fall_behind_what_it_has_sent_out() {
        let meta = |mark_ms| StoreMeta {
            known: Known::of(ring(1)),
            merkle_key: MerkleKey([7; 16]),
            mark: Time::at(Millis(mark_ms)),
            barred: Time::ZERO,
            promised: Time::ZERO,
            floors: Floors::default(),
            change: ChangeRows::default(),
        };
        let wait_ms = |mark_ms| meta(mark_ms).wait(&LIMITS, Millis(10_000)).as_millis();
        assert_eq!(wait_ms(0), 0, "it has never run");
        assert_eq!(wait_ms(9_999), 0, "its last run is long over");
        assert_eq!(wait_ms(10_200), 200);
        let drift = u128::from(LIMITS.max_clock_drift_ms);
        assert_eq!(
            wait_ms(12_900),
            drift,
            "no more than writes may have led it"
        );
    }
}
