//! Placement against a naive model, and the balance that the allocator promises.
//!
//! | what | where |
//! | --- | --- |
//! | a preference list is the walk, done naively: N distinct nodes, distinct zones | `lists` |
//! | a join or a leave moves only the keys that it must, one owner each | `movement` |
//! | a small ring that a person can check | `golden` |
//! | fair shares; the fullest member is within 5 % of its own | `balance` |
//! | what makes no ring, and who gets no place on one | `refusals` |
//!
//! Each property runs 100,000 cases, or as many as `QUOIT_CASES` says. A case is a token on one of a
//! shared pool of small rings with random vnodes, so it is cheap, and a failure names both. Balance is
//! checked up to 100 members, and up to 1,000 if `QUOIT_LONG=1`.

#[cfg(test)]
mod balance;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod movement;
#[cfg(test)]
mod pool;
#[cfg(test)]
mod refusals;

use quoit_ring::placement::Newcomer;
use quoit_ring::{ClusterId, ClusterMap, Epoch, Leaf, LeafBits, Member, NodeId, TokenKey};

#[expect(
    clippy::disallowed_methods,
    reason = "only tests are configured by the environment"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::expect_used, reason = "a test that asks for 0 bits is wrong")]
fn empty_map(bits: u8, replication: u8) -> ClusterMap {
    ClusterMap {
        cluster: ClusterId(1),
        epoch: Epoch(1),
        token_key: TokenKey([0; 16]),
        leaf_bits: LeafBits::new(bits).expect("1 to 20 bits"),
        replication,
        members: Vec::new(),
    }
}

fn member(id: u64, zone: &str, leaves: impl IntoIterator<Item = u32>) -> Member {
    Member {
        id: NodeId(id),
        name: format!("node-{id}"),
        address: format!("10.0.0.1:{}", 7000 + id),
        zone: zone.into(),
        weight: 100,
        vnodes: leaves.into_iter().map(Leaf).collect(),
    }
}

fn newcomer(id: u64, zone: &str, weight: u32) -> Newcomer {
    let Member {
        id,
        name,
        address,
        zone,
        ..
    } = member(id, zone, []);
    Newcomer {
        id,
        name,
        address,
        zone,
        weight,
    }
}
