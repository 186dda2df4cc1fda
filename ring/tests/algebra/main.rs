//! The version algebra, held against what it promises.
//!
//! | property | of |
//! | --- | --- |
//! | join is idempotent, commutative, associative, and canonical | records of random histories, arbitrary records |
//! | join is the least upper bound: per dot unseen < live < dead | arbitrary records |
//! | siblings are exactly the writes that no other has in its history | random scripts, an oracle |
//! | a dot minted twice keeps both contents until it is overwritten | every order of joins, the oracle |
//! | an expired value is a deleted one | arbitrary records |
//! | `Seen` is a set of dots | a naive set |
//!
//! Every property runs 100,000 cases or `QUOIT_CASES`, prints how many of them reach the hard situations,
//! and fails if too few do.
//!
//! Source: Almeida et al., *Scalable and Accurate Causality Tracking for Eventually Consistent Stores*
//! (2014), for the histories that the oracle keeps.

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod expiry;
#[cfg(test)]
mod grid;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod join;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod seen;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

use quoit_ring::{Dot, Record};

/// All records joined, in this order.
fn joined(records: &[&Record]) -> Record {
    let mut all = Record::default();
    for record in records {
        all.join(record);
    }
    all
}

/// Whether some value of one record is dead in the other: the join has something to kill.
fn kills(a: &Record, b: &Record) -> bool {
    let dead = |dot: Dot, by: &Record| by.seen().contains(dot) && by.variants(dot).next().is_none();
    a.live().iter().any(|s| dead(s.dot, b)) || b.live().iter().any(|s| dead(s.dot, a))
}

fn has_collision(record: &Record) -> bool {
    record.live().windows(2).any(|w| w[0].dot == w[1].dot)
}
