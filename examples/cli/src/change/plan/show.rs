//! A plan as a table and a few lines for people, and as JSON. Computes nothing.

use quoit_ring::NodeId;
use quoit_ring::change::Arcs;
use serde_json::{Value, json};

use super::{Cost, Plan, Reach, Row, TwoLost};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::units::{self, percent};

const HEADER: [&str; 9] = [
    "NAME",
    "ZONE",
    "WEIGHT",
    "OF ALL KEYS",
    "AFTER",
    "GETS",
    "ABOUT",
    "FREE",
    "ANSWERS",
];

impl Plan {
    /// A few lines of it, and what is to be warned of.
    pub(crate) fn tell(&self, out: Output) {
        if !out.is_json() {
            for line in self.summary() {
                out.note(line);
            }
        }
        for warning in self.warnings() {
            out.warning(&warning);
        }
    }

    /// All of it.
    pub(crate) fn show(&self, out: Output) -> Result<Exit, Failure> {
        if out.is_json() {
            out.json(&self.json())?;
            return Ok(Exit::Ok);
        }
        let mut rows = vec![HEADER.map(str::to_owned).to_vec()];
        rows.extend(self.rows.iter().map(Row::cells));
        out.table(rows)?;
        self.tell(out);
        Ok(Exit::Ok)
    }

    fn summary(&self) -> Vec<String> {
        let [before, after] = self.excess.map(percent);
        let moves = self.rows.iter().map(|row| row.gets).sum::<f64>();
        let about = self
            .moves
            .map_or_else(String::new, |cost| format!(", about {}", cost.text()));
        let mut lines = vec![
            format!("{} in epoch {}", self.what, self.epoch),
            format!("moves {} of all keys{about}", percent(moves)),
        ];
        if let Some(time) = self.time {
            let time = units::duration(time);
            let arcs = Arcs::FULL.count();
            lines.push(format!(
                "pulling them takes {time} at least, as fast as nodes may; {arcs} arcs take a decision each"
            ));
        }
        lines.push(format!(
            "the fullest node is {before} over its fair share, {after} after it"
        ));
        let [before, after] = self.two_lost.map(|lost| self.lost(lost));
        lines.push(format!("if two nodes are lost: {before}"));
        lines.push(format!("  after it: {after}"));
        if !self.seeds_that_go.is_empty() {
            let goes = self.seeds_that_go.iter();
            let goes: Vec<String> = goes
                .map(|[seed, name]| format!("{seed} ({name})"))
                .collect();
            let (goes, stay) = (goes.join(", "), self.seeds_that_stay);
            lines.push(format!("seeds of the profile that go: {goes}; {stay} stay"));
        }
        lines
    }

    fn lost(&self, lost: TwoLost) -> String {
        let Some(worst) = lost.worst else {
            return "every key keeps a majority".to_owned();
        };
        let [one, other] = worst.map(|node| self.name(node));
        let TwoLost {
            ranges, of_ranges, ..
        } = lost;
        let (share, mean) = (percent(lost.share), percent(lost.mean_share));
        let ranges = format!(
            "{} of {}",
            units::count(ranges.into()),
            units::count(of_ranges.into())
        );
        format!(
            "{share} of all keys without a majority at worst ({one} and {other}: {ranges} ranges), {mean} on average"
        )
    }

    fn name(&self, node: NodeId) -> String {
        let row = self.rows.iter().find(|row| row.id == node);
        row.map_or_else(|| node.to_string(), |row| row.name.clone())
    }

    fn json(&self) -> Value {
        let lost = |lost: TwoLost| {
            json!({
                "share": lost.share, "mean_share": lost.mean_share,
                "nodes": lost.worst.map(|worst| worst.map(|node| self.name(node))),
                "ranges": lost.ranges, "of_ranges": lost.of_ranges,
            })
        };
        let goes = |[seed, name]: &[String; 2]| json!({ "seed": seed, "name": name });
        json!({
            "change": self.what, "epoch": self.epoch,
            "fullest": self.excess[0], "fullest_after": self.excess[1],
            "seconds_at_least": self.time.map(|time| time.as_secs_f64()),
            "two_lost": lost(self.two_lost[0]), "two_lost_after": lost(self.two_lost[1]),
            "seeds_that_go": self.seeds_that_go.iter().map(goes).collect::<Vec<_>>(),
            "seeds_that_stay": self.seeds_that_stay,
            "warnings": self.warnings(),
            "nodes": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let weight = match self.weight {
            [Some(before), Some(after)] if before != after => format!("{before} -> {after}"),
            [before, after] => after.or(before).unwrap_or_default().to_string(),
        };
        let nothing = || "-".to_owned();
        let [before, after] = self.share.map(percent);
        let [was, stays] = self.weight.map(|weight| weight.is_some());
        vec![
            self.name.clone(),
            self.zone.clone(),
            weight,
            Some(before).filter(|_| was).unwrap_or_else(nothing),
            Some(after).filter(|_| stays).unwrap_or_else(nothing),
            Some(percent(self.gets))
                .filter(|_| self.gets > 0.0)
                .unwrap_or_else(nothing),
            self.cost.map_or_else(nothing, Cost::text),
            self.free.map_or_else(nothing, units::bytes),
            match self.reach {
                Reach::Answers => "yes",
                Reach::Silent(_) => "no",
                Reach::NotAsked => "-",
            }
            .to_owned(),
        ]
    }

    fn json(&self) -> Value {
        let why = match &self.reach {
            Reach::Silent(why) => Some(why),
            Reach::Answers | Reach::NotAsked => None,
        };
        let answers = (self.reach != Reach::NotAsked).then_some(self.reach == Reach::Answers);
        json!({
            "name": self.name, "zone": self.zone, "weight": self.weight[0],
            "weight_after": self.weight[1], "share": self.share[0], "share_after": self.share[1],
            "gets": self.gets,
            "gets_bytes": self.cost.map(|cost| cost.bytes),
            "gets_records": self.cost.map(|cost| cost.keys),
            "free_bytes": self.free, "fits": self.fits(),
            "answers": answers, "why_not": why,
        })
    }

    /// What it gets and what it has space for.
    pub(super) fn lack(&self) -> Option<String> {
        let (Cost { bytes, .. }, free) = (self.cost?, self.free?);
        let [bytes, free] = [bytes, free].map(units::bytes);
        let name = &self.name;
        Some(format!("{name} gets about {bytes} and has {free} free"))
    }
}

impl Cost {
    fn text(self) -> String {
        let keys = units::plural(self.keys, "key", "keys");
        format!("{keys}, {}", units::bytes(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::edits::Edits;
    use super::super::super::edits::tests::{first, newcomer};
    use super::super::Seen;
    use super::*;

    fn plan() -> Plan {
        let now = first(4);
        let edits = Edits {
            adds: vec![newcomer(5)],
            leaves: vec!["n2".into()],
            ..Edits::default()
        };
        let next = edits.apply(&now).unwrap();
        let seen = Seen {
            seeds: vec!["h1:1".into(), "h2:1".into()],
            ..Seen::default()
        };
        Plan::of(&now, &next, &seen).unwrap()
    }

    #[test]
    fn what_is_not_known_is_a_dash_and_in_json_nothing() {
        let plan = plan();
        let row = |name: &str| plan.rows.iter().find(|row| row.name == name).unwrap();
        let (gone, new) = (row("n2"), row("n5"));
        assert_eq!(gone.cells()[4..], ["-", "-", "-", "-", "-"]);
        assert_eq!([&new.cells()[3], &new.cells()[7]], ["-", "-"]);
        let json = new.json();
        for unknown in ["weight", "gets_bytes", "free_bytes", "fits", "answers"] {
            assert_eq!(json[unknown], Value::Null, "{unknown}");
        }
    }

    #[test]
    fn the_lines_and_json_tell_of_two_nodes_lost_and_of_seeds_that_go() {
        let plan = plan();
        let text = plan.summary().join("\n");
        assert!(
            text.contains("% of all keys without a majority at worst (n"),
            "{text}"
        );
        assert!(
            text.contains("seeds of the profile that go: h2:1 (n2); 1 stay"),
            "{text}"
        );
        let json = plan.json();
        let share = json["two_lost"]["share"].as_f64().unwrap();
        assert!(
            (0.4..0.6).contains(&share),
            "three copies on four nodes: {share}"
        );
        let goes = json!([{ "seed": "h2:1", "name": "n2" }]);
        assert_eq!(
            (&json["seeds_that_go"], &json["seeds_that_stay"]),
            (&goes, &json!(1))
        );
    }
}
