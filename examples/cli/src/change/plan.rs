//! What a change costs: who holds how much before and after, and how many keys move, and where.
//!
//! ```text
//!   before   |  a b c   |    b c d    |     owners of a range of leaves
//!   after    | a b c |  a b e | b d e |
//!   gets            e: +      e: +          what an owner has after and did not have before
//! ```
//!
//! Shares are counted leaf by leaf, as even hashing would fill them. Bytes and keys follow from what the nodes say they
//! hold: an estimate, since large values may lie anywhere.

use quoit_client::NodeReport;
use quoit_ring::change::Configuration;
use quoit_ring::placement::{Ring, fullest_excess, replica_loads};
use quoit_ring::{ClusterMap, Leaf, Member, NodeId};
use serde_json::{Value, json};

use super::{describe, pairs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::units::{self, percent};

const HEADER: [&str; 7] = [
    "NAME",
    "ZONE",
    "WEIGHT",
    "OF ALL KEYS",
    "AFTER",
    "GETS",
    "ABOUT",
];

/// A change, and what it costs.
#[derive(Debug)]
pub(crate) struct Plan {
    what: String,
    epoch: u64,
    rows: Vec<Row>,
    /// How far the fullest member is above its fair share, before and after.
    excess: [f64; 2],
    /// What all members hold, of the members that answered, for one copy of all keys; `None` if nobody did.
    copy: Option<Amount>,
}

/// One member.
#[derive(Debug)]
struct Row {
    name: String,
    zone: String,
    weight: [Option<u32>; 2],
    /// Its part of all keys, 0 to 1.
    share: [f64; 2],
    /// The part of all keys that it gets.
    gets: f64,
}

#[derive(Debug, Clone, Copy)]
struct Amount {
    records: f64,
    bytes: f64,
}

impl Plan {
    /// What it costs to begin `next`, by what the nodes hold now.
    pub(crate) fn of(
        now: &Configuration,
        next: &Configuration,
        reports: &[NodeReport],
    ) -> Result<Self, Failure> {
        let change = next.change.as_ref();
        let target = change.map_or(&next.map, |change| &change.target);
        let ring = |map: &ClusterMap| Ring::new(map).map_err(|error| Failure::caused(&error));
        let rings = [ring(&now.map)?, ring(target)?];
        let loads = rings.each_ref().map(replica_loads);
        let of = |loads: &[(NodeId, f64)], node| {
            let found = loads.iter().find(|(id, _)| *id == node);
            found.map_or(0.0, |(_, load)| *load)
        };
        let gets = gets(&rings);

        let row = |(before, after): (Option<&Member>, Option<&Member>)| {
            let member = after.or(before)?;
            Some(Row {
                name: member.name.clone(),
                zone: member.zone.clone(),
                weight: [before, after].map(|it| it.map(|it| it.weight)),
                share: loads.each_ref().map(|loads| of(loads, member.id)),
                gets: of(&gets, member.id),
            })
        };
        Ok(Self {
            what: describe(&now.map, target),
            epoch: now.epoch.0,
            rows: pairs(&now.map, target)
                .into_iter()
                .filter_map(row)
                .collect(),
            excess: rings.each_ref().map(fullest_excess),
            copy: one_copy(reports, &loads[0]),
        })
    }

    /// A few lines of it.
    pub(crate) fn summary(&self) -> Vec<String> {
        let [before, after] = self.excess.map(percent);
        let moves = self.rows.iter().map(|row| row.gets).sum::<f64>();
        let about = self.about(moves);
        let about = if about.is_empty() {
            about
        } else {
            format!(", about {about}")
        };
        vec![
            format!("{} in epoch {}", self.what, self.epoch),
            format!("moves {} of all keys{about}", percent(moves)),
            format!("the fullest node is {before} over its fair share, {after} after it"),
        ]
    }

    /// All of it.
    pub(crate) fn show(&self, out: Output) -> Result<Exit, Failure> {
        if out.is_json() {
            out.json(&self.json())?;
            return Ok(Exit::Ok);
        }
        let mut rows = vec![HEADER.map(str::to_owned).to_vec()];
        rows.extend(self.rows.iter().map(|row| self.row(row)));
        out.table(rows)?;
        for line in self.summary() {
            out.note(line);
        }
        Ok(Exit::Ok)
    }

    fn row(&self, row: &Row) -> Vec<String> {
        let weight = match row.weight {
            [Some(before), Some(after)] if before != after => format!("{before} -> {after}"),
            [before, after] => after.or(before).unwrap_or_default().to_string(),
        };
        let [before, after] = row.share.map(percent);
        let is_there = row.weight.map(|weight| weight.is_some());
        let shown = |share: String, is_there| if is_there { share } else { "-".to_owned() };
        let gets = if row.gets > 0.0 {
            percent(row.gets)
        } else {
            "-".to_owned()
        };
        vec![
            row.name.clone(),
            row.zone.clone(),
            weight,
            shown(before, is_there[0]),
            shown(after, is_there[1]),
            gets,
            self.about(row.gets),
        ]
    }

    /// Keys and bytes of a part of all keys; empty if they are not known.
    fn about(&self, part: f64) -> String {
        match self.copy {
            Some(Amount { records, bytes }) if part > 0.0 => {
                let keys = units::count(whole(records * part));
                format!("{keys} keys, {}", units::bytes(whole(bytes * part)))
            }
            _ => String::new(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "name": row.name, "zone": row.zone, "weight": row.weight[0],
                "weight_after": row.weight[1], "share": row.share[0], "share_after": row.share[1],
                "gets": row.gets,
                "gets_bytes": self.copy.map(|copy| whole(copy.bytes * row.gets)),
                "gets_records": self.copy.map(|copy| whole(copy.records * row.gets)),
            })
        };
        json!({
            "change": self.what, "epoch": self.epoch,
            "fullest": self.excess[0], "fullest_after": self.excess[1],
            "nodes": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

/// The part of all keys that each node gets, 0 to 1.
fn gets(rings: &[Ring; 2]) -> Vec<(NodeId, f64)> {
    let bits = rings[0].leaf_bits();
    let members = rings.iter().flat_map(|ring| ring.members());
    let mut ends: Vec<u32> = members
        .flat_map(|member| member.vnodes.iter().map(|leaf| leaf.0))
        .collect();
    ends.sort_unstable();
    ends.dedup();

    let mut gets: Vec<(NodeId, f64)> = Vec::new();
    let Some(&last) = ends.last() else {
        return gets;
    };
    // Between two vnodes of either ring the owners are the same; the first range wraps around.
    let mut before = last;
    for end in ends {
        let leaves = end.wrapping_sub(before) & (bits.count() - 1);
        let leaves = if leaves == 0 { bits.count() } else { leaves };
        before = end;
        let [old, new] = rings.each_ref().map(|ring| ring.list_of_leaf(Leaf(end)));
        for owner in new.owners().filter(|&owner| !old.is_owner(owner)) {
            let part = f64::from(leaves) / f64::from(bits.count());
            match gets.iter_mut().find(|(node, _)| *node == owner) {
                Some((_, sum)) => *sum += part,
                None => gets.push((owner, part)),
            }
        }
    }
    gets
}

/// What one copy of all keys is, by the nodes that answered.
fn one_copy(reports: &[NodeReport], loads: &[(NodeId, f64)]) -> Option<Amount> {
    let (mut held, mut amount) = (
        0.0,
        Amount {
            records: 0.0,
            bytes: 0.0,
        },
    );
    for report in reports {
        let load = loads.iter().find(|(node, _)| *node == report.member.id);
        if let (Ok(status), Some((_, load))) = (&report.status, load) {
            held += load;
            amount.records += float(status.records);
            amount.bytes += float(status.disk_bytes);
        }
    }
    (held > 0.0).then(|| Amount {
        records: amount.records / held,
        bytes: amount.bytes / held,
    })
}

#[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
const fn float(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate for people, never negative"
)]
const fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::super::edits::Edits;
    use super::super::edits::tests::{first, newcomer};
    use super::*;

    #[test]
    fn what_a_newcomer_gets_is_what_it_holds_after_and_the_others_get_nothing() {
        let now = first(3);
        let edits = Edits {
            adds: vec![newcomer(4)],
            ..Edits::default()
        };
        let next = edits.apply(&now).unwrap();
        let plan = Plan::of(&now, &next, &[]).unwrap();
        let [old, new] = [&plan.rows[0], &plan.rows[3]];
        assert!(
            (old.share[0] - 1.0).abs() < 1e-9 && old.gets == 0.0,
            "{old:?}"
        );
        assert!((new.gets - new.share[1]).abs() < 1e-9, "{new:?}");
        assert!((0.70..0.80).contains(&new.gets), "{new:?}");
        assert_eq!(plan.row(new)[3], "-");
        assert_eq!(plan.row(old)[5], "-");
    }

    #[test]
    fn what_a_leaver_held_is_got_by_the_others() {
        let now = first(5);
        let edits = Edits {
            leaves: vec!["n2".into()],
            ..Edits::default()
        };
        let next = edits.apply(&now).unwrap();
        let plan = Plan::of(&now, &next, &[]).unwrap();
        let gone = plan.rows.iter().find(|row| row.name == "n2").unwrap();
        let got: f64 = plan.rows.iter().map(|row| row.gets).sum();
        let ratio = got / gone.share[0];
        assert!((0.999..1.1).contains(&ratio), "{ratio}: {plan:?}");
        assert_eq!(plan.row(gone)[4], "-");
    }
}
