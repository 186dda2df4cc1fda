//! What a change costs, before it is begun: who holds how much before and after, how many keys move and where to, whether
//! they fit, how long it takes, and what hinders it.
//!
//! ```text
//!   two rings  --Moves, TwoLost--> what moves, what the loss of two nodes would cost      pure
//!   nodes      --Seen-----------> who answers, what they hold, space, rates; seeds
//!              '-----------------> Plan --show--> a table and a few lines, or JSON
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`moves`] | what each node gets, and the least time that takes |
//! | [`loss`] | the keys without a majority if any two nodes are lost |
//! | [`seen`] | what is seen of the cluster from here |
//! | [`show`] | the plan as text and as JSON |

mod loss;
mod moves;
mod seen;
mod show;

use std::time::Duration;

use quoit_ring::change::Configuration;
use quoit_ring::placement::{Ring, fullest_excess, replica_loads};
use quoit_ring::{ClusterMap, Member, NodeId};

use self::loss::TwoLost;
use self::moves::{Amount, Moves};
use self::seen::Reach;
use super::{describe, pairs};
use crate::failure::Failure;

pub(crate) use self::seen::Seen;

/// What a node pulls in a second that does not say so: the default of its `transfer_bytes_per_second`.
const RATE: u64 = 64 << 20;

/// A change, and what it costs.
#[derive(Debug)]
pub(crate) struct Plan {
    what: String,
    epoch: u64,
    rows: Vec<Row>,
    /// How far the fullest member is above its fair share, before and after.
    excess: [f64; 2],
    /// All that moves; `None` if nobody said what it holds.
    moves: Option<Cost>,
    /// How long it takes at least.
    time: Option<Duration>,
    /// What the loss of two nodes costs, before and after.
    two_lost: [TwoLost; 2],
    /// Seeds of the profile that go, each with its member's name, and how many stay.
    seeds_that_go: Vec<[String; 2]>,
    seeds_that_stay: usize,
}

/// One member.
#[derive(Debug)]
struct Row {
    id: NodeId,
    name: String,
    zone: String,
    weight: [Option<u32>; 2],
    /// Its part of all keys, 0 to 1.
    share: [f64; 2],
    /// The part of all keys that it gets.
    gets: f64,
    cost: Option<Cost>,
    /// The bytes free on its disk, if it says so.
    free: Option<u64>,
    reach: Reach,
}

/// About so many keys and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    keys: u64,
    bytes: u64,
}

impl Plan {
    /// What it costs to begin `next`, by what is seen now.
    pub(crate) fn of(
        now: &Configuration,
        next: &Configuration,
        seen: &Seen,
    ) -> Result<Self, Failure> {
        let change = next.change.as_ref();
        let target = change.map_or(&next.map, |change| &change.target);
        let ring = |map: &ClusterMap| Ring::new(map).map_err(|error| Failure::caused(&error));
        let rings = [ring(&now.map)?, ring(target)?];
        let loads = rings.each_ref().map(replica_loads);
        let moves = Moves::between(&rings);
        let copy = Amount::of_one_copy(&seen.reports, &loads[0]);

        let of = |loads: &[(NodeId, f64)], node| {
            let found = loads.iter().find(|(id, _)| *id == node);
            found.map_or(0.0, |(_, load)| *load)
        };
        let cost = |part| copy.map(|copy| copy.part(part)).map(Cost::from);
        let row = |(before, after): (Option<&Member>, Option<&Member>)| {
            let member = after.or(before)?;
            let status = seen.status(member.id).and_then(Result::ok);
            let gets = moves.to(member.id);
            Some(Row {
                id: member.id,
                name: member.name.clone(),
                zone: member.zone.clone(),
                weight: [before, after].map(|it| it.map(|it| it.weight)),
                share: loads.each_ref().map(|loads| of(loads, member.id)),
                gets,
                cost: cost(gets).filter(|_| gets > 0.0),
                free: status.map(|it| it.free_bytes).filter(|free| *free > 0),
                reach: seen.reach(member.id),
            })
        };
        let rows: Vec<Row> = pairs(&now.map, target)
            .into_iter()
            .filter_map(row)
            .collect();
        let rate = |node| {
            let status = seen.status(node).and_then(Result::ok);
            let rate = status.map(|it| it.pull_bytes_per_second);
            rate.filter(|rate| *rate > 0).unwrap_or(RATE)
        };
        let seeds_that_go = seen.seeds_that_go(&now.map, target);
        Ok(Self {
            what: describe(&now.map, target),
            epoch: now.epoch.0,
            moves: cost(rows.iter().map(|row| row.gets).sum()),
            rows,
            excess: rings.each_ref().map(fullest_excess),
            time: copy.map(|copy| moves.least_time(copy, rate)),
            two_lost: rings.each_ref().map(TwoLost::of),
            seeds_that_stay: seen.seeds.len() - seeds_that_go.len(),
            seeds_that_go,
        })
    }

    /// What hinders the change, or whoever uses the cluster after it.
    fn warnings(&self) -> Vec<String> {
        let silent = self.rows.iter().filter_map(|row| match &row.reach {
            Reach::Silent(why) => Some(format!("{} does not answer here ({why})", row.name)),
            Reach::Answers | Reach::NotAsked => None,
        });
        let too_full = self.rows.iter().filter(|row| row.fits() == Some(false));
        let too_full = too_full.filter_map(Row::lack);
        let no_seed = (self.seeds_that_stay == 0 && !self.seeds_that_go.is_empty())
            .then(|| "all seeds of the profile go: name members that stay in it".to_owned());
        silent.chain(too_full).chain(no_seed).collect()
    }
}

impl Row {
    /// Whether its disk has space for what it gets, as far as that is known.
    fn fits(&self) -> Option<bool> {
        let Cost { bytes, .. } = self.cost?;
        Some(bytes < self.free?)
    }
}

impl From<(u64, u64)> for Cost {
    fn from((keys, bytes): (u64, u64)) -> Self {
        Self { keys, bytes }
    }
}

#[cfg(test)]
mod tests {
    use quoit_client::{NodeError, NodeReport, Outcome};
    use quoit_ring::wire::{Durability, NodeStatus};

    use super::super::edits::Edits;
    use super::super::edits::tests::{first, newcomer};
    use super::*;

    fn status(node: NodeId, free_bytes: u64) -> NodeStatus {
        NodeStatus {
            node,
            version: "0.1".into(),
            uptime_ms: 1,
            durability: Durability::Fsync,
            records: 1000,
            disk_bytes: 1 << 30,
            free_bytes,
            pull_bytes_per_second: 1 << 20,
            connections: 0,
            queued_writes: 0,
            merkle_root: None,
            dot_collisions: 0,
            summed_records: 0,
            unreadable_records: 0,
            refused_hints: None,
            refused_repairs: 0,
            swept_values: 0,
            next_expiry_ms: None,
            warnings: Vec::new(),
        }
    }

    /// All members of `now` answer and have so many bytes free.
    fn seen(now: &Configuration, free: u64) -> Seen {
        let report = |member: &Member| NodeReport {
            member: member.clone(),
            status: Ok(status(member.id, free)),
        };
        Seen {
            reports: now.map.members.iter().map(report).collect(),
            ..Seen::default()
        }
    }

    fn joins() -> (Configuration, Configuration) {
        let now = first(3);
        let edits = Edits {
            adds: vec![newcomer(4)],
            ..Edits::default()
        };
        let next = edits.apply(&now).unwrap();
        (now, next)
    }

    fn leaves(members: u64) -> (Configuration, Configuration) {
        let now = first(members);
        let edits = Edits {
            leaves: vec!["n2".into()],
            ..Edits::default()
        };
        let next = edits.apply(&now).unwrap();
        (now, next)
    }

    #[test]
    fn what_a_newcomer_gets_is_what_it_holds_after_and_the_others_get_nothing() {
        let (now, next) = joins();
        let plan = Plan::of(&now, &next, &Seen::default()).unwrap();
        let [old, new] = [&plan.rows[0], &plan.rows[3]];
        assert!(
            (old.share[0] - 1.0).abs() < 1e-9 && old.gets == 0.0,
            "{old:?}"
        );
        assert!((new.gets - new.share[1]).abs() < 1e-9, "{new:?}");
        assert!((0.70..0.80).contains(&new.gets), "{new:?}");
        assert_eq!((plan.moves, plan.time), (None, None), "nobody has answered");
    }

    #[test]
    fn what_a_leaver_held_is_got_by_the_others() {
        let (now, next) = leaves(5);
        let plan = Plan::of(&now, &next, &Seen::default()).unwrap();
        let gone = plan.rows.iter().find(|row| row.name == "n2").unwrap();
        let got: f64 = plan.rows.iter().map(|row| row.gets).sum();
        let ratio = got / gone.share[0];
        assert!((0.999..1.1).contains(&ratio), "{ratio}: {plan:?}");
    }

    #[test]
    fn a_node_without_space_for_what_it_gets_is_warned_of() {
        let (now, next) = joins();
        for (free, expected) in [(1 << 20, true), (1 << 40, false), (0, false)] {
            let mut seen = seen(&now, free);
            let new = (NodeId(4), Ok(status(NodeId(4), free)));
            seen.joiners.push(new);
            let plan = Plan::of(&now, &next, &seen).unwrap();
            let warnings = plan.warnings();
            let is_warned = warnings.iter().any(|it| it.starts_with("n4 gets about "));
            assert_eq!(is_warned, expected, "{warnings:?}");
            // Three members hold a copy of 1 GiB each; the fourth pulls three quarters of one, a MiB in a second.
            let seconds = plan.time.unwrap().as_secs();
            assert!((700..820).contains(&seconds), "{seconds}");
        }
    }

    #[test]
    fn who_does_not_answer_and_a_profile_that_leads_nowhere_are_warned_of() {
        let (now, next) = leaves(4);
        let mut seen = seen(&now, 1 << 40);
        seen.reports[2].status = Err(NodeError::Failed(Outcome::Unreachable));
        seen.seeds = vec!["h2:1".into()];
        let plan = Plan::of(&now, &next, &seen).unwrap();
        let expected = [
            "n3 does not answer here (no connection)",
            "all seeds of the profile go: name members that stay in it",
        ];
        assert_eq!(plan.warnings(), expected);
        seen.seeds.push("h1:1".into());
        let plan = Plan::of(&now, &next, &seen).unwrap();
        assert_eq!((plan.warnings().len(), plan.seeds_that_stay), (1, 1));
    }
}
