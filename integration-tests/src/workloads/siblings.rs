//! Siblings: causal puts and deletes on contexts of every age, from several tasks of one client at once.
//!
//! ```text
//!   read --+------------------ put on it            replaces exactly what was read
//!          '-- kept ... ... .. put on it, later     stale: beside what came in between
//!   receipt of an own put ---- put on it            a chain without reads
//!   two of these, joined ----- put on it            replaces what either saw
//!   nothing ------------------ put on it            beside everything
//!   no context --------------- put                  over everything older
//! ```
//!
//! Provokes: a sibling lost or kept that should not be, a write that replaces an own one which it had not seen
//! (two tasks of one client write the same key in parallel), a context that contains more than was read, a
//! value that comes back. A task that sees more than eight siblings settles them; in a run of free growth
//! none does before a node refuses one more, so that the limit is reached.
//!
//! Source: Preguiça et al., *Dotted Version Vectors* (2012); Almeida et al., *Scalable and Accurate
//! Causality Tracking for Eventually Consistent Stores* (2014).

use quoit_client::Stored;
use rand::Rng as _;
use rand::rngs::SmallRng;

use super::memory::Memory;
use super::profile::{WorkloadProfile, weighed};
use super::{SERVED, Workload, calm_key, in_calm};
use crate::history::Family;
use crate::sim::chance::happens;
use crate::sim::session::{Ask, Crew, KnownContext, Name, Session};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Siblings {
    /// How many keys.
    pub(super) keys: u64,
    /// Tasks of one client.
    pub(super) tasks: u16,
    /// Whether siblings are settled only after a node has refused one more.
    pub(super) free: bool,
    /// How often a write is blind, against about 100 that are not.
    pub(super) blind: u32,
    /// How the run asks.
    pub(super) profile: WorkloadProfile,
}

/// Siblings beyond which a task settles them.
const MANY: usize = 8;

/// What a write builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    /// A read made for it.
    Fresh,
    /// The last thing known: a read or a receipt.
    Newest,
    /// Anything known.
    Stale,
    /// Two things known.
    Joined,
    /// Nothing: the empty context.
    Nothing,
    /// Whatever is there: no context.
    Blind,
}

impl Workload for Siblings {
    fn name(&self) -> &'static str {
        "siblings"
    }

    fn start(&self, crew: &mut Crew) {
        let this = *self;
        for _ in 0..self.tasks {
            crew.spawn(move |session| this.fault_phase(session));
        }
    }

    fn serve(&self, crew: &mut Crew) {
        let this = *self;
        crew.spawn(move |session| this.recovery_phase(session));
    }
}

impl Siblings {
    async fn fault_phase(self, mut session: Session) {
        let mut memory = Memory::default();
        while session.pause().await {
            let key = session.rng().random_range(0..self.keys);
            if happens(session.rng(), 250) {
                self.read(&mut session, &mut memory, key).await;
                continue;
            }
            let base = self.base(session.rng());
            if let Some(known) = self.known(&mut session, &mut memory, key, base).await {
                self.write(&mut session, &mut memory, key, known.as_ref())
                    .await;
            }
        }
    }

    /// Reads and replaces what was read, key by key: siblings only become fewer.
    async fn recovery_phase(self, mut session: Session) {
        for round in 0..SERVED / 2 {
            if !in_calm(&mut session).await {
                return;
            }
            let name = Name::of(Family::Siblings, calm_key(&session, round, self.keys));
            if let Some((_, known)) = session.get(&name, self.profile.of_all()).await {
                let ask = self.profile.write(session.rng());
                let value = self.profile.value(&mut session);
                session.put(&name, value, Some(&known), ask).await.ok(); // the history has it
            }
        }
    }

    /// What a write builds on, `Some(None)` if on no context; `None` if a read for it failed.
    async fn known(
        &self,
        session: &mut Session,
        memory: &mut Memory,
        key: u64,
        base: Base,
    ) -> Option<Option<KnownContext>> {
        let known = match base {
            Base::Fresh => Some(self.read(session, memory, key).await?),
            Base::Newest => memory.newest(key),
            Base::Stale => memory.any(session.rng(), key),
            Base::Joined => memory.joined(session.rng(), key),
            Base::Nothing => None,
            Base::Blind => return Some(None),
        };
        Some(Some(known.unwrap_or_default()))
    }

    fn base(&self, rng: &mut SmallRng) -> Base {
        if self.free {
            let bases = [(1, Base::Newest), (1, Base::Stale), (28, Base::Nothing)];
            return weighed(rng, bases);
        }

        let bases = [
            (35, Base::Fresh),
            (20, Base::Newest),
            (20, Base::Stale),
            (15, Base::Joined),
            (10, Base::Nothing),
            (self.blind, Base::Blind),
        ];
        weighed(rng, bases)
    }

    /// Reads a key and remembers what it saw; settles the siblings if they are many.
    async fn read(
        &self,
        session: &mut Session,
        memory: &mut Memory,
        key: u64,
    ) -> Option<KnownContext> {
        let name = Name::of(Family::Siblings, key);
        let ask = self.profile.read(session.rng());
        let (entry, known) = session.get(&name, ask).await?;
        memory.keep(session.rng(), key, Some(known.clone()));
        if !self.free && entry.siblings().len() > MANY {
            self.write(session, memory, key, Some(&known)).await;
        }
        Some(known)
    }

    /// Puts or, now and then, deletes.
    async fn write(
        &self,
        session: &mut Session,
        memory: &mut Memory,
        key: u64,
        known: Option<&KnownContext>,
    ) {
        let name = Name::of(Family::Siblings, key);
        let ask = self.profile.write(session.rng());
        let written = if happens(session.rng(), 80) {
            session.delete(&name, known, ask).await
        } else {
            let value = self.profile.value(session);
            session.put(&name, value, known, ask).await
        };
        if self.free && written.as_ref().is_err_and(|stored| *stored == Stored::No) {
            self.settle_free(session, &name).await;
        }

        memory.keep(session.rng(), key, written.ok());
    }

    /// After a refusal in a run of free growth: now and then a task merges siblings.
    async fn settle_free(&self, session: &mut Session, name: &Name) {
        if !happens(session.rng(), 30) {
            return;
        }
        if let Some((_, known)) = session.get(name, Ask::QUORUM).await {
            let value = self.profile.value(session);
            session
                .put(name, value, Some(&known), Ask::QUORUM)
                .await
                .ok(); // the history has it
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn bases(free: bool, blind: u32) -> Vec<Base> {
        let mut rng = SmallRng::seed_from_u64(1);
        let siblings = Siblings {
            keys: 1,
            tasks: 2,
            free,
            blind,
            profile: WorkloadProfile::draw(&mut rng, 3),
        };
        (0..1_000).map(|_| siblings.base(&mut rng)).collect()
    }

    #[test]
    fn nothing_that_grows_freely_is_swept_away_by_a_blind_or_fresh_write() {
        let bases = bases(true, 15);
        assert!(!bases.contains(&Base::Blind) && !bases.contains(&Base::Fresh));
        let nothing = bases.iter().filter(|base| **base == Base::Nothing);
        assert!(nothing.count() > 900);
    }

    #[test]
    fn writes_build_on_all_there_is_and_are_blind_only_where_the_mix_says_so() {
        use Base::{Blind, Fresh, Joined, Newest, Nothing, Stale};
        for base in [Fresh, Newest, Stale, Joined, Nothing, Blind] {
            assert!(bases(false, 15).contains(&base), "{base:?}");
        }
        assert!(!bases(false, 0).contains(&Blind));
    }
}
