//! Machines under a seeded network: delay, loss, partitions, pauses, restarts, members that come and go.
//!
//! | module | property |
//! | --- | --- |
//! | `spread` | all members know a change within O(log N) rounds; the same seed makes the same run |
//! | `failure` | the dead are suspect and failed on time, everywhere; the living never fail; the restarted are back |
//! | `doubt` | who is cut off, or slept, blames nobody; without that rule it blames everybody; of two sides only a majority sees failures |
//! | `steps` | one machine by hand: what it asks its driver for, and when |
//! | `membership` | who was removed never comes back; who is new is seen; a copied disk is noticed |

#[cfg(test)]
mod doubt;
#[cfg(test)]
mod failure;
#[cfg(test)]
mod membership;
#[cfg(test)]
mod rng;
#[cfg(test)]
mod spread;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod world;

#[cfg(test)]
mod helpers {
    //! Short words for long scenes.

    use std::time::Duration;

    use quoit_gossip::Options;

    use crate::world::World;

    pub(crate) const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// A world in which everybody knows everybody, and which loses so many messages of a hundred.
    pub(crate) fn settled(count: usize, seed: u64, loss_percent: u64) -> World {
        settled_with(count, seed, loss_percent, Options::default())
    }

    pub(crate) fn settled_with(
        count: usize,
        seed: u64,
        loss_percent: u64,
        options: Options,
    ) -> World {
        let mut world = World::new(count, seed, options).unwrap();
        world.loss = loss_percent * 100;
        world.run(secs(30));
        assert!(loss_percent > 5 || world.nodes.iter().all(|node| !node.is_isolated));
        world.changes.clear();
        world
    }

    /// Rounds in which a rumour reaches everybody, with room for bad luck.
    pub(crate) fn spread_rounds(count: usize) -> u64 {
        u64::from(count.ilog2()) + 4
    }
}
