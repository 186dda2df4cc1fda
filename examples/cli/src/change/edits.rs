//! From what an operator asks for to the epoch that begins it, or why that cannot be.
//!
//! ```text
//!   adds, leaves, weights --names, ids, addresses--> places --> the target --> the epoch that begins it
//! ```
//!
//! All of it is one change. Invariant: what is refused here has changed nothing, and says what to do instead.

use quoit_ring::change::{Arcs, ChangeError, Configuration};
use quoit_ring::cluster::MAX_MEMBERS;
use quoit_ring::placement::{Newcomer, Ring, fullest_excess};
use quoit_ring::{ClusterMap, Member, NodeId};

use super::places::place;
use super::{describe, describe_change};
use crate::exit::Exit;
use crate::failure::Failure;

/// How many searches for places compete. The best of them is rarely a tenth of a percent off a longer search.
const SEARCHES: u64 = 4;

/// What is wanted of the ring.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edits {
    /// Who joins.
    pub(crate) adds: Vec<Newcomer>,
    /// Who leaves, by name.
    pub(crate) leaves: Vec<String>,
    /// Who gets another weight, by name.
    pub(crate) weights: Vec<(String, u32)>,
}

impl Edits {
    /// The epoch after `now` that begins it. Who is written off leaves with it.
    pub(crate) fn apply(&self, now: &Configuration) -> Result<Configuration, Failure> {
        self.with_lost(now).apply_all(now)
    }

    /// The same, and who is written off leaves.
    pub(crate) fn with_lost(&self, now: &Configuration) -> Self {
        let mut edits = self.clone();
        let members = now.map.members.iter();
        let lost =
            members.filter(|it| now.is_written_off(it.id) && !self.leaves.contains(&it.name));
        edits.leaves.extend(lost.map(|it| it.name.clone()));
        edits
    }

    fn apply_all(&self, now: &Configuration) -> Result<Configuration, Failure> {
        not_busy(now)?;
        for name in self
            .leaves
            .iter()
            .chain(self.weights.iter().map(|(name, _)| name))
        {
            member(&now.map, name)?;
        }
        for newcomer in &self.adds {
            self.check_newcomer(now, newcomer)?;
        }
        let target = self.target(now)?;
        now.begin(target, Arcs::FULL)
            .map_err(|error| refused(now, &error))
    }

    /// Whether a newcomer can be one: its name, address and id are free, or get free by this change.
    pub(crate) fn check_newcomer(
        &self,
        now: &Configuration,
        newcomer: &Newcomer,
    ) -> Result<(), Failure> {
        let usage = |what: String| Err(Failure::new(Exit::Usage, what));
        let Newcomer {
            id, name, address, ..
        } = newcomer;
        if now.removed.binary_search(id).is_ok() {
            let what = format!("{name} ({id}) was removed from this cluster, for ever");
            let hint = "issue a new identity under another name; its old disk cannot come back";
            return usage(what).map_err(|failure| failure.hint(hint));
        }
        let others = now.map.members.iter();
        let mut others = others.filter(|it| !self.leaves.contains(&it.name));
        match others.find(|it| it.id == *id || it.name == *name || it.address == *address) {
            None => Ok(()),
            Some(taken) if taken.id == *id => usage(format!("{name} is a member already")),
            Some(taken) if taken.name == *name => {
                usage(format!("there is a member {name} already, {}", taken.id))
                    .map_err(|failure| failure.hint("choose another name"))
            }
            Some(taken) => usage(format!(
                "{address} is the address of {} already",
                taken.name
            ))
            .map_err(|failure| failure.hint("each node needs an address of its own")),
        }
    }

    /// The map after it: the best of some searches for places.
    fn target(&self, now: &Configuration) -> Result<ClusterMap, Failure> {
        let mut best: Option<(f64, ClusterMap)> = None;
        for seed in 0..SEARCHES {
            let map = place(self, &now.map, now.epoch.0.wrapping_add(seed << 32))?;
            let ring = Ring::new(&map).map_err(|error| Failure::caused(&error))?;
            let excess = fullest_excess(&ring);
            if best.as_ref().is_none_or(|(least, _)| excess < *least) {
                best = Some((excess, map));
            }
        }
        best.map(|(_, map)| map)
            .ok_or_else(|| Failure::new(Exit::Error, "no places were searched"))
    }
}

/// The member of that name.
pub(crate) fn member<'a>(map: &'a ClusterMap, name: &str) -> Result<&'a Member, Failure> {
    let found = map.members.iter().find(|it| it.name == name);
    found.ok_or_else(|| {
        let mut names: Vec<&str> = map.members.iter().map(|it| it.name.as_str()).collect();
        names.sort_unstable();
        Failure::new(Exit::Usage, format!("there is no member {name}"))
            .hint(format!("the members are {}", names.join(", ")))
    })
}

/// Refuses a cluster in which a change is under way.
pub(crate) fn not_busy(now: &Configuration) -> Result<(), Failure> {
    let Some(change) = describe_change(now) else {
        return Ok(());
    };
    let what = format!("a change is under way ({change}, epoch {})", now.epoch.0);
    let hint = "wait for its end (`quoit cluster history --watch`), or turn it round (`quoit cluster revert`)";
    Err(Failure::new(Exit::Conflict, what).hint(hint))
}

fn refused(now: &Configuration, error: &ChangeError) -> Failure {
    let failure = Failure::new(Exit::Usage, error.to_string());
    match error {
        ChangeError::Same => failure.hint("there is nothing to do"),
        ChangeError::TooFewMembers { .. } => {
            failure.hint("add a node first, or replace the one that is to go")
        }
        ChangeError::Busy => failure.hint(describe_change(now).unwrap_or_default()),
        _ => Failure {
            exit: Exit::Usage,
            ..Failure::caused(error)
        },
    }
}

/// Whether two maps have the same members in the same places, whatever their epochs.
pub(crate) fn same_members(one: &ClusterMap, other: &ClusterMap) -> bool {
    one.members == other.members
}

/// Who is to be a member, by either map.
pub(crate) fn is_known(now: &Configuration, node: NodeId) -> bool {
    let target = now.change.iter().map(|change| &change.target);
    let mut members = core::iter::once(&now.map)
        .chain(target)
        .flat_map(|map| &map.members);
    members.any(|it| it.id == node)
}

/// The id of a node that is only looked at: one that no certificate has, but by a chance of one in 2^54.
pub(crate) const fn placeholder(number: u64) -> NodeId {
    NodeId(u64::MAX - number)
}

/// Whether it is such an id.
pub(crate) const fn is_placeholder(id: NodeId) -> bool {
    id.0 >= u64::MAX - MAX_MEMBERS as u64
}

/// What was decided in place of what was proposed.
pub(crate) fn other_change(before: &Configuration, decided: &Configuration) -> String {
    match (&decided.change, describe_change(decided)) {
        (Some(_), Some(change)) => change,
        _ => describe(&before.map, &decided.map),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use quoit_ring::placement::grow;
    use quoit_ring::{ClusterId, Epoch, LeafBits, TokenKey};

    use super::*;

    pub(crate) fn newcomer(id: u64) -> Newcomer {
        Newcomer {
            id: NodeId(id),
            name: format!("n{id}"),
            address: format!("h{id}:1"),
            zone: "z".into(),
            weight: 100,
        }
    }

    pub(crate) fn first(members: u64) -> Configuration {
        let empty = ClusterMap {
            cluster: ClusterId(1),
            epoch: Epoch(1),
            token_key: TokenKey([0; 16]),
            leaf_bits: LeafBits::new(14).unwrap(),
            replication: 3,
            members: vec![],
        };
        Configuration::first(grow(empty, (1..=members).map(newcomer), 1).unwrap()).unwrap()
    }

    fn assert_refused(edits: &Edits, now: &Configuration, exit: Exit, expected: &str) {
        let failure = edits.apply(now).unwrap_err();
        let hint = failure.hint.unwrap_or_default();
        let text = format!("{}; {hint}", failure.what);
        assert_eq!(failure.exit, exit, "{text}");
        assert!(text.contains(expected), "{text}");
    }

    fn leave(names: &[&str]) -> Edits {
        Edits {
            leaves: names.iter().map(|&name| name.to_owned()).collect(),
            ..Edits::default()
        }
    }

    fn add(newcomer: Newcomer) -> Edits {
        Edits {
            adds: vec![newcomer],
            ..Edits::default()
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_name_and_says_what_to_do() {
        let now = first(4);
        let busy = leave(&["n4"]).apply(&now).unwrap();
        let weight = Edits {
            weights: vec![("n2".into(), 100)],
            ..Edits::default()
        };
        let unknown = "no member n9; the members are n1, n2, n3, n4";
        assert_refused(&leave(&["n9"]), &now, Exit::Usage, unknown);
        let few = "2 members cannot hold 3 copies";
        assert_refused(&leave(&["n1", "n2"]), &now, Exit::Usage, few);
        assert_refused(&weight, &now, Exit::Usage, "there is nothing to do");
        let under_way = "-n4: arc 1 of 16, epoch 2";
        assert_refused(&leave(&["n4"]), &busy, Exit::Conflict, under_way);
    }

    #[test]
    fn a_newcomer_that_was_removed_or_takes_what_another_has_is_refused() {
        let now = first(4);
        let mut left = leave(&["n4"]).apply(&now).unwrap();
        while let Some(next) = left.step() {
            left = next;
        }
        let again = Newcomer {
            name: "new".into(),
            address: "new:1".into(),
            ..newcomer(4)
        };
        let named = Newcomer {
            id: NodeId(9),
            ..newcomer(4)
        };
        let placed = Newcomer {
            address: "h1:1".into(),
            ..newcomer(9)
        };
        let removed = "was removed from this cluster";
        assert_refused(&add(again), &left, Exit::Usage, removed);
        assert_refused(
            &add(newcomer(4)),
            &now,
            Exit::Usage,
            "n4 is a member already",
        );
        assert_refused(
            &add(named),
            &now,
            Exit::Usage,
            "there is a member n4 already",
        );
        let taken = "h1:1 is the address of n1 already";
        assert_refused(&add(placed), &now, Exit::Usage, taken);
    }

    #[test]
    fn one_that_takes_anothers_place_takes_its_very_vnodes() {
        let now = first(4);
        let edits = Edits {
            adds: vec![newcomer(9)],
            leaves: vec!["n4".into()],
            ..Edits::default()
        };
        let next = edits.apply(&now).unwrap();
        let target = next.change.unwrap().target;
        assert_eq!(target.members[..3], now.map.members[..3]);
        assert_eq!(target.members[3].vnodes, now.map.members[3].vnodes);
    }

    #[test]
    fn several_members_join_in_one_change_and_come_out_even() {
        let now = first(3);
        let edits = Edits {
            adds: vec![newcomer(4), newcomer(5)],
            ..Edits::default()
        };
        let target = edits.apply(&now).unwrap().change.unwrap().target;
        assert_eq!(target.members.len(), 5);
        assert!(fullest_excess(&Ring::new(&target).unwrap()) < 0.05);
    }
}
