//! A slab: operations under keys that are never used twice.
//!
//! A key is a slot and its generation; a slot's generation moves on whenever it is emptied, so a late
//! answer to an operation that has ended finds nothing.

/// The bits of a generation. A slot is used again after 2^28 others, which takes months: no answer is as late.
pub(crate) const GENERATIONS: u32 = 0x0fff_ffff;

/// Names one entry for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

#[derive(Debug)]
struct Slot<V> {
    generation: u32,
    value: Option<V>,
}

/// Entries by key.
#[derive(Debug)]
pub(crate) struct Slab<V> {
    slots: Vec<Slot<V>>,
    free: Vec<u32>,
}

impl<V> Default for Slab<V> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<V> Slab<V> {
    /// Whether there is no entry.
    pub(crate) const fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// Takes a slot, empty until it is filled. There are never more slots than operations were under way at once.
    pub(crate) fn reserve(&mut self) -> Key {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                value: None,
            });
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let entry = &self.slots[slot as usize];
        debug_assert!(entry.value.is_none(), "a free slot is empty");
        Key {
            slot,
            generation: entry.generation,
        }
    }

    /// Puts an entry into a reserved slot.
    pub(crate) fn fill(&mut self, key: Key, value: V) {
        let entry = &mut self.slots[key.slot as usize];
        debug_assert!(
            entry.generation == key.generation && entry.value.is_none(),
            "a slot is filled once, after it was reserved"
        );
        entry.value = Some(value);
    }

    /// The entry under `key`.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut V> {
        let entry = self.slots.get_mut(key.slot as usize)?;
        (entry.generation == key.generation)
            .then_some(entry.value.as_mut())
            .flatten()
    }

    /// Drops the entry under `key`, or gives back a slot that was only reserved.
    pub(crate) fn remove(&mut self, key: Key) {
        let Some(entry) = self.slots.get_mut(key.slot as usize) else {
            return;
        };
        if entry.generation == key.generation {
            // Dropped where it is: an entry is large, and moving it out costs more than the rest.
            entry.value = None;
            entry.generation = entry.generation.wrapping_add(1) & GENERATIONS;
            self.free.push(key.slot);
        }
    }

    /// Whether the entry under `key` is there.
    pub(crate) fn contains(&self, key: Key) -> bool {
        let entry = self.slots.get(key.slot as usize);
        entry.is_some_and(|entry| entry.generation == key.generation && entry.value.is_some())
    }

    /// How many slots there are, empty ones included: what a walk by [`Slab::get_in`] goes through.
    pub(crate) fn slots(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// The entry in a slot, and its key. A walk that asks for one slot after the other holds on to nothing, so
    /// that entries may come and go meanwhile.
    pub(crate) fn get_in(&mut self, slot: u32) -> Option<(Key, &mut V)> {
        let entry = self.slots.get_mut(slot as usize)?;
        let key = Key {
            slot,
            generation: entry.generation,
        };
        entry.value.as_mut().map(|value| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert<V>(slab: &mut Slab<V>, value: V) -> Key {
        let key = slab.reserve();
        slab.fill(key, value);
        key
    }

    #[test]
    fn a_key_of_a_removed_entry_finds_nothing_in_its_reused_slot() {
        let mut slab = Slab::default();
        let old = insert(&mut slab, "old");
        slab.remove(old);
        let new = insert(&mut slab, "new");
        assert_eq!(new.slot, old.slot);
        assert_eq!(slab.get_mut(old), None);
        slab.remove(old);
        assert_eq!(slab.get_mut(new), Some(&mut "new"));
        assert!(slab.contains(new) && !slab.contains(old));
        assert_eq!((slab.slots(), slab.get_in(0)), (1, Some((new, &mut "new"))));
    }

    #[test]
    fn a_slot_that_was_only_reserved_is_given_back() {
        let mut slab = Slab::<u32>::default();
        let key = slab.reserve();
        assert!(!slab.contains(key) && slab.get_in(0).is_none());
        slab.remove(key);
        assert!(slab.is_empty());
        assert_eq!(slab.reserve().slot, key.slot);
    }

    #[test]
    fn a_slab_is_empty_once_everything_is_taken_out() {
        let mut slab = Slab::default();
        let keys = [insert(&mut slab, 1), insert(&mut slab, 2)];
        assert!(!slab.is_empty());
        for key in keys {
            slab.remove(key);
        }
        assert!(slab.is_empty());
        assert!((0..slab.slots()).all(|slot| slab.get_in(slot).is_none()));
    }
}
