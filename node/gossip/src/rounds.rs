//! What is done by time: a look every half round, and every second look a round.
//!
//! ```text
//!   look    |   |   |   |   |     silences, probes: watch.rs
//!   round   |       |       |     beat; a digest to one that is alive,
//!                                  to one that is not, and to a seed, now and then
//! ```
//!
//! * To the living: a random one each round, so news spreads in O(log N) rounds.
//! * To the rest: with a chance of `others / (alive + 1)`, as often as to a living one. Whatever the number of members, somebody
//!   tries each of them about once a round, so a partition heals by itself once the network does.
//! * To a seed: with a chance of `seeds / members`. Two halves of a cluster that have both forgotten each other's addresses
//!   still meet there; each seed gets one digest a second more than others, and is no bottleneck.
//!
//! A round that was missed is not made up for.
//!
//! Source: Demers et al., *Epidemic Algorithms for Replicated Database Maintenance* (1987); the chances are Cassandra's.

use quoit_ring::Moment;

use crate::draw::Draw;
use crate::machine::{Gossip, Step};

impl Gossip {
    /// Does what is due at `now`. `random` is fresh in each call.
    pub fn handle_time(&mut self, now: Moment, random: u64) {
        self.advance(now);
        if now < self.next_look {
            return;
        }
        self.next_look = now + self.options.look();
        if !self.is_member {
            return;
        }

        let mut draw = Draw(random);
        self.watch(&mut draw, now);
        if self.looks.is_multiple_of(2) {
            self.round(&mut draw);
        }
        self.looks += 1;
        self.ask_for_seeds(now);
    }

    fn round(&mut self, draw: &mut Draw) {
        self.own.beat();
        let alive = self.members.alive();
        let others = self.members.len() - alive;
        let living = self.members.pick(true, alive, draw);
        let tries_other = others > 0 && draw.below(alive + 1) < others;
        let other = (self.members.pick(false, others, draw)).filter(|_| tries_other);

        let (seeds, all) = (self.seeds.len(), self.members.len());
        let tries_seed = seeds > 0 && draw.below(all) < seeds;
        let seed = tries_seed.then(|| self.seeds[draw.below(seeds)]);
        let seed = seed.filter(|&seed| Some(seed) != living && Some(seed) != other);
        for to in [living, other, seed].into_iter().flatten() {
            self.send_digest(to);
        }
    }

    /// Seeds are resolved for ever: addresses that were right yesterday prove nothing.
    fn ask_for_seeds(&mut self, now: Moment) {
        let since = self.last_resolve.map(|last| now.saturating_since(last));
        let every = if self.is_isolated {
            self.options.suspect_after
        } else {
            self.options.resolve_every
        };
        if since.is_none_or(|since| since >= every) {
            self.last_resolve = Some(now);
            self.push(Step::Resolve);
        }
    }
}
