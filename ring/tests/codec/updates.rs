//! Updates over random chains of configurations: begun, stepped and reverted changes of maps of up to 40 members.
//!
//! ```text
//!   any pair of a chain    its update leads from the one to the other
//!   any other base         an error, never another configuration
//! ```

use quoit_ring::change::{Arcs, Configuration, Update, UpdateError};
use quoit_ring::token::TokenKey;
use quoit_ring::wire::configuration::{
    decode_answer, decode_update, encode_answer, encode_configuration, encode_update,
};
use quoit_ring::wire::{ConfigurationAnswer, MAX_UPDATE};
use quoit_ring::{ClusterId, ClusterMap, Epoch, Leaf, LeafBits, Member, NodeId};

use crate::support::{Rng, property};

const CHAINS: u64 = 300;

/// Some chains, each from a seed of its own.
pub(crate) struct Chains(Vec<Vec<Configuration>>);

impl Chains {
    pub(crate) fn new() -> Self {
        Self(
            (0..CHAINS)
                .map(|seed| chain(&mut Rng::seeded(seed)))
                .collect(),
        )
    }

    fn chain(&self, rng: &mut Rng) -> &[Configuration] {
        &self.0[rng.index(self.0.len())]
    }

    /// An earlier and a later one of one chain; often neighbours.
    pub(crate) fn pair(&self, rng: &mut Rng) -> (&Configuration, &Configuration) {
        let chain = self.chain(rng);
        let old = rng.index(chain.len() - 1);
        let new = if rng.percent(50) {
            old + 1
        } else {
            old + 1 + rng.index(chain.len() - 1 - old)
        };
        (&chain[old], &chain[new])
    }
}

fn member(rng: &mut Rng, map: &ClusterMap, id: NodeId) -> Member {
    let is_taken = |leaf| map.members.iter().any(|it| it.vnodes.contains(&leaf));
    let mut vnodes = Vec::new();
    while vnodes.is_empty() || rng.percent(60) {
        let leaf = Leaf(u32::try_from(rng.below(u64::from(map.leaf_bits.count()))).unwrap());
        if !is_taken(leaf) {
            vnodes.push(leaf);
        }
    }
    vnodes.sort_unstable();
    vnodes.dedup();
    Member {
        id,
        name: format!("n{id}"),
        address: format!("h{}:1", rng.below(100)),
        zone: format!("z{}", rng.below(4)),
        weight: 1 + u32::try_from(rng.below(300)).unwrap(),
        vnodes,
    }
}

fn add(rng: &mut Rng, map: &mut ClusterMap) {
    let id = NodeId(rng.next());
    let member = member(rng, map, id);
    let at = map.members.partition_point(|other| other.id < id);
    map.members.insert(at, member);
}

/// A map to change into: some members leave, some come, some change, or only N does.
fn target(rng: &mut Rng, map: &ClusterMap) -> ClusterMap {
    let mut map = map.clone();
    for _ in 0..rng.below(4) {
        if map.members.len() > 1 {
            map.members.remove(rng.index(map.members.len()));
        }
    }
    for _ in 0..rng.below(4) {
        if map.members.len() < 40 {
            add(rng, &mut map);
        }
    }
    if rng.percent(30) {
        let changed = map.members.remove(rng.index(map.members.len()));
        let member = member(rng, &map, changed.id);
        let at = map.members.partition_point(|other| other.id < member.id);
        map.members.insert(at, member);
    }
    if rng.percent(20) {
        map.replication = 1 + rng.below(5).to_le_bytes()[0];
    }
    map
}

/// A chain of at most 40 epochs.
fn chain(rng: &mut Rng) -> Vec<Configuration> {
    let mut map = ClusterMap {
        cluster: ClusterId(u128::from(rng.next())),
        epoch: Epoch(1 + rng.below(300)),
        token_key: TokenKey([7; 16]),
        leaf_bits: LeafBits::new(10).unwrap(),
        replication: 1 + rng.below(4).to_le_bytes()[0],
        members: vec![],
    };
    let most = 1 + rng.below(40);
    for _ in 0..=rng.below(most) {
        add(rng, &mut map);
    }

    let mut chain = vec![Configuration::first(map).unwrap()];
    for _ in 0..80 {
        let now = chain.last().unwrap();
        let next = if now.change.is_some() {
            if rng.percent(20) {
                now.revert()
            } else {
                now.step()
            }
        } else {
            let arcs = Arcs::new(*rng.pick(&[1, 2, 4])).unwrap();
            now.begin(target(rng, &now.map), arcs).ok() // refused if it is the same map, or too small a one
        };
        chain.extend(next);
        if chain.len() == 40 {
            break;
        }
    }
    assert!(chain.len() > 1, "nothing follows");
    chain
}

/// A change that has begun, and what it began from.
pub(crate) fn begun() -> (Configuration, Configuration) {
    let mut chain = chain(&mut Rng::seeded(3));
    let new = chain.swap_remove(1);
    (chain.swap_remove(0), new)
}

#[test]
fn an_update_leads_from_any_configuration_of_a_chain_to_any_later_one() {
    let reaches = [
        ("within one change", 15),
        ("from no change to none", 2),
        ("a hand turned", 10),
        ("the removed grow", 10),
        ("new voters", 5),
    ];
    let chains = Chains::new();
    for configuration in chains.0.iter().flatten() {
        assert_eq!(configuration.check(), Ok(()));
    }
    property("updates", reaches, |rng| {
        let (old, new) = chains.pair(rng);
        let update = Update::between(old, new).unwrap();
        assert_eq!(decode_update(&encode_update(&update)).as_ref(), Ok(&update));
        assert_eq!(update.apply(old).as_ref(), Ok(new));
        assert_eq!(Update::between(new, old), None, "it leads forwards only");

        let bytes = encode_answer(Some(old), new);
        let answer = decode_answer(&bytes).unwrap();
        assert_eq!(
            (answer.epoch(), answer.resolve(old).as_ref()),
            (new.epoch, Ok(new))
        );

        let hand = |it: &Configuration| it.change.as_ref().map(|change| change.hand.is_turned());
        [
            hand(old).is_some() && old.map == new.map && hand(new).is_some(),
            hand(old).is_none() && hand(new).is_none(),
            hand(new) == Some(true) || hand(old) == Some(true),
            new.removed.len() > old.removed.len(),
            new.voters != old.voters,
        ]
    });
}

#[test]
fn an_update_leads_nowhere_from_another_base() {
    let reaches = [("of another epoch", 40), ("another of that epoch", 20)];
    let chains = Chains::new();
    property("other bases", reaches, |rng| {
        let (old, new) = chains.pair(rng);
        let (old, new) = (old.clone(), new.clone());
        let update = Update::between(&old, &new).unwrap();

        let chain = chains.chain(rng);
        let mut other = rng.pick(chain).clone();
        let is_other_epoch = other.epoch != old.epoch;
        if is_other_epoch {
            let (base, found) = (old.epoch, other.epoch);
            assert_eq!(
                update.apply(&other),
                Err(UpdateError::OtherBase { base, found })
            );
        }

        // The same epoch, decided twice.
        if rng.percent(50) {
            other = old.clone();
            let at = rng.index(other.map.members.len());
            match rng.below(6) {
                0 => other.voters.reverse(),
                1 => other.removed.insert(0, NodeId(0)),
                2 => other.change = None,
                3 => other.map.members[at].weight += 1,
                4 => drop(other.map.members.remove(at)),
                _ => other.map.cluster.0 += 1,
            }
        }
        other.epoch = old.epoch;
        let reached = update.apply(&other);
        let diverged = UpdateError::Diverged { base: old.epoch };
        assert!(
            reached == Err(diverged) || reached.as_ref() == Ok(&new),
            "{reached:?}"
        );
        [is_other_epoch, reached.is_err()]
    });
}

/// So many members, each with 150 vnodes as of a default weight.
fn large(count: u64) -> ClusterMap {
    let member = |id: u64| {
        let leaf = |at: u64| Leaf(u32::try_from(at * 6_990 + 7 + id).unwrap());
        Member {
            id: NodeId(id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1),
            name: format!("n{id}"),
            address: format!("10.0.{}.{}:7440", id / 250, id % 250),
            zone: format!("z{}", id % 3),
            weight: 100,
            vnodes: (0..150).map(leaf).collect(),
        }
    };
    let mut members: Vec<Member> = (0..count).map(member).collect();
    members.sort_by_key(|member| member.id);
    ClusterMap {
        cluster: ClusterId(u128::MAX / 3),
        epoch: Epoch(300),
        token_key: TokenKey([7; 16]),
        leaf_bits: LeafBits::FULL,
        replication: 3,
        members,
    }
}

#[test]
fn a_step_is_a_few_bytes_and_a_begin_the_members_that_come() {
    println!("members |    whole |  changing | begin | step |  end | revert");
    for count in [10, 100, 1_000] {
        let first = Configuration::first(large(count)).unwrap();
        let begun = first.begin(large(count + 1), Arcs::FULL).unwrap();
        let stepped = begun.step().unwrap();
        let reverted = stepped.revert().unwrap();
        let mut last = stepped.clone();
        while let Some(hand) = last.change.as_ref().and_then(|change| change.hand.next()) {
            last.change.as_mut().unwrap().hand = hand;
        }
        let ended = last.step().unwrap();

        let len = |old, new| encode_answer(Some(old), new).len();
        let update = [
            len(&first, &begun),
            len(&begun, &stepped),
            len(&last, &ended),
            len(&stepped, &reverted),
        ];
        let whole = [&first, &begun].map(|it| encode_configuration(it).len());
        println!(
            "{count:7} | {:8} | {:9} | {:5} | {:4} | {:4} | {:6}",
            whole[0], whole[1], update[0], update[1], update[2], update[3]
        );
        assert!(
            update[0] < 900,
            "{update:?}: the new member, and little else"
        );
        assert!(update[1..].iter().all(|&len| len < 80), "{update:?}");
        assert!(whole[0] < 800 * (usize::try_from(count).unwrap() + 1));
    }
}

#[test]
fn what_is_too_long_for_the_lane_comes_whole() {
    let first = Configuration::first(large(20)).unwrap();
    let mut came_whole = 0;
    for added in [1, 40, 70, 80, 81, 82, 83, 84, 90, 200] {
        let begun = first.begin(large(20 + added), Arcs::FULL).unwrap();
        let update = Update::between(&first, &begun).unwrap();
        let bytes = encode_answer(Some(&first), &begun);
        let answer = decode_answer(&bytes).unwrap();
        let is_whole = matches!(answer, ConfigurationAnswer::Whole(_));
        assert_eq!(
            is_whole,
            1 + encode_update(&update).len() > MAX_UPDATE,
            "{added}"
        );
        assert!(is_whole || bytes.len() <= MAX_UPDATE);
        assert_eq!(answer.resolve(&first).as_ref(), Ok(&begun));
        came_whole += usize::from(is_whole);
    }
    assert!((1..10).contains(&came_whole));

    let unknown = decode_answer(&encode_answer(None, &first)).unwrap();
    assert!(matches!(unknown, ConfigurationAnswer::Whole(_)));
}
