//! Twins: two clients that are one and the same, down to their clock and their randomness, write one key.
//!
//! ```text
//!   clone A   put x  --> dot (a, 7), bytes x        one dot, two contents: both are kept, as siblings,
//!   clone B   put y  --> dot (a, 7), bytes y        and the nodes count it
//!   others    get    --> x, y
//! ```
//!
//! Provokes: a value lost because its dot is already stored with other bytes; replicas that keep one each
//! and never differ by their dots. A virtual machine that was copied while it ran does this.
//!
//! The clones draw nothing before their put, so they differ in nothing but the value's bytes. They are
//! made by the simulation; all other clients only read.
//!
//! Source: Basho's reports on duplicate actors in `riak_kv` ("actor epochs", kv679).

use rand::Rng as _;

use super::{SERVED, Workload, in_calm};
use crate::history::Family;
use crate::sim::session::{Ask, Crew, KnownContext, Name, Session};

/// Keys that readers of twins look at; clones write no other.
pub const TWIN_KEYS: u64 = 3;

/// Bytes of a large value above the 8 of its number: more than a read without digests carries.
const LARGE: usize = 1_200;

/// One put, for a client that is a clone of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwinPut {
    /// Of which key, below [`TWIN_KEYS`]; the same for both clones.
    pub key: u64,
    /// Whether the value has 1,208 bytes, so that it is read by digest, or 16.
    pub large: bool,
    /// Whether it goes over what is there, or, with the empty context, beside it; the same for both clones.
    pub blind: bool,
}

impl Workload for TwinPut {
    fn name(&self) -> &'static str {
        "twin put"
    }

    fn start(&self, crew: &mut Crew) {
        let this = *self;
        crew.spawn(move |session| this.put(session));
    }

    /// Nothing: a clone that goes on writing mints more dots twice.
    fn serve(&self, _crew: &mut Crew) {}
}

impl TwinPut {
    async fn put(self, mut session: Session) {
        let name = Name::of(Family::Twins, self.key);
        let value = session.fresh_value(if self.large { LARGE } else { 8 });
        let nothing = (!self.blind).then(KnownContext::default);
        session
            .put(&name, value, nothing.as_ref(), Ask::QUORUM)
            .await
            .ok(); // the history has it
    }
}

/// Quorum reads of the keys that clones write, now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TwinReaders;

/// How much rarer these reads are than other operations.
const RARER: u32 = 6;

impl Workload for TwinReaders {
    fn name(&self) -> &'static str {
        "twin readers"
    }

    fn start(&self, crew: &mut Crew) {
        crew.spawn(|mut session| async move {
            while session.pause().await {
                if session.rng().random_ratio(1, RARER) {
                    let key = session.rng().random_range(0..TWIN_KEYS);
                    read(&mut session, key).await;
                }
            }
        });
    }

    fn serve(&self, crew: &mut Crew) {
        crew.spawn(|mut session| async move {
            for round in 0..SERVED {
                if !in_calm(&mut session).await {
                    return;
                }
                read(&mut session, round % TWIN_KEYS).await;
            }
        });
    }
}

async fn read(session: &mut Session, key: u64) {
    session
        .get(&Name::of(Family::Twins, key), Ask::QUORUM)
        .await;
}
