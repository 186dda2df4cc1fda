//! The result of a run: figures, faults felt, coverage, violations.
//!
//! ```text
//!     1204556 -    1207310  c0.0  #17    registers/1    quorum put v9 (having seen #12) = written, 2 acks  sent as ...
//!     asked        returned task  number key            what, and knowing what            outcome           each dot
//! ```
//!
//! A violation names the operations that show it; [`Report::timeline`] prints them in lines like the one above.

use std::fmt::Write as _;

use quoit_ring::Moment;

use super::coverage::Coverage;
use super::faults::Planned;
use super::plan::OPERATIONS;
use crate::history::{Basis, Call, History, Op, OpId, Outcome};
use crate::invariants::Violation;

/// Faults that must have been felt for a run to count.
pub const FIRED: usize = 5;

/// One run and its verdict.
#[derive(Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Every event in one number: the same whenever the seed is run with the same faults by the same code.
    pub trace: u64,
    /// How many events there were.
    pub events: u64,
    /// Operations that succeeded.
    pub operations: u64,
    /// Clients, those cloned not counted.
    pub clients: usize,
    /// Nodes.
    pub nodes: usize,
    /// Each planned fault with how often it was felt.
    pub faults: Vec<(Planned, u64)>,
    /// Coverage events.
    pub coverage: Coverage,
    /// What must not be; empty is good.
    pub violations: Vec<Violation>,
    /// What happened.
    pub history: History,
    /// How much virtual time passed.
    pub simulated: Moment,
}

impl Report {
    /// How many of the planned faults were felt.
    #[must_use]
    pub fn fired(&self) -> usize {
        self.faults.iter().filter(|(_, felt)| *felt > 0).count()
    }

    /// Whether the run was hard enough to say anything.
    ///
    /// # Errors
    /// What there was too little of.
    pub fn counts(&self) -> Result<(), String> {
        let enough = |what: &str, found: u64, least: u64| {
            if found >= least {
                Ok(())
            } else {
                Err(format!("{found} {what}, {least} are needed"))
            }
        };
        enough("operations", self.operations, OPERATIONS)?;
        enough("faults felt", self.fired() as u64, FIRED as u64)?;
        enough("clients", self.clients as u64, 3)?;
        enough("nodes", self.nodes as u64, 5)
    }

    /// The operations that show a violation, a line each, in the order of their invocation.
    #[must_use]
    pub fn timeline(&self, violation: &Violation) -> String {
        let mut ops = violation.ops.clone();
        ops.sort_unstable();
        ops.dedup();
        let mut out = String::new();
        for id in ops {
            if let Some(op) = self.history.ops.get(id.0 as usize) {
                let line = self.line(id, op);
                // Writing to a String cannot fail.
                writeln!(out, "{line}").unwrap_or_default();
            }
        }

        out
    }

    fn line(&self, id: OpId, op: &Op) -> String {
        let until = op
            .returned
            .as_ref()
            .map_or_else(|| "never".into(), |(at, _)| at.to_string());
        let key = String::from_utf8_lossy(&self.history.key(op.key).name);
        let (call, came) = (call_of(&op.call), outcome_of(op));
        let mode = format!("{:?}", op.mode).to_lowercase();
        let (number, client, from) = (id.0, op.client, op.invoked);
        let dots: Vec<String> = self
            .history
            .minted
            .iter()
            .filter(|minted| minted.op == id)
            .map(|minted| describe(minted.dot))
            .collect();
        let dots = if dots.is_empty() {
            String::new()
        } else {
            format!("  sent as {}", dots.join(", "))
        };
        format!(
            "{from:>10} - {until:>10}  {client:<5} #{number:<5} {key:<14} {mode:<6} {call} = {came}{dots}"
        )
    }
}

fn describe(dot: quoit_ring::Dot) -> String {
    format!("{dot:?}")
}

fn call_of(call: &Call) -> String {
    let basis = |basis: &Basis| match basis {
        Basis::Blind => "blind".to_owned(),
        Basis::Seen(ops) if ops.is_empty() => "having seen nothing".to_owned(),
        Basis::Seen(ops) => {
            let ops: Vec<String> = ops.iter().map(|op| format!("#{}", op.0)).collect();
            format!("having seen {}", ops.join(" "))
        }
    };
    match call {
        Call::Get => "get".to_owned(),
        Call::Put {
            value,
            basis: on,
            ttl_ms,
        } => {
            let ttl = ttl_ms.map_or_else(String::new, |ms| format!(", for {ms} ms"));
            format!("put {} ({}{ttl})", short(value), basis(on))
        }
        Call::Delete { basis: on } => format!("delete ({})", basis(on)),
    }
}

fn outcome_of(op: &Op) -> String {
    match op.returned.as_ref().map(|(_, outcome)| outcome) {
        None => "?".to_owned(),
        Some(Outcome::Read { siblings, .. }) if siblings.is_empty() => "nothing".to_owned(),
        Some(Outcome::Read { siblings, .. }) => {
            let found: Vec<String> = siblings.iter().map(|found| short(&found.value)).collect();
            found.join(" | ")
        }
        Some(Outcome::Written { acked, .. }) => format!("written, {acked} acks"),
        Some(Outcome::ReadFailed(why) | Outcome::Refused(why) | Outcome::Unknown(why)) => {
            (*why).to_owned()
        }
    }
}

/// A value's number, which its first eight bytes are, or its first bytes.
fn short(value: &[u8]) -> String {
    match value.first_chunk::<8>() {
        Some(number) if value[..4] == [0; 4] => format!("v{}", u64::from_be_bytes(*number)),
        _ => String::from_utf8_lossy(&value[..value.len().min(24)])
            .escape_debug()
            .to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{FaultFilter, Options, run};

    #[test]
    fn a_timeline_has_a_line_for_each_operation_in_the_order_they_were_asked() {
        let faults = FaultFilter::None;
        let report = run(
            1,
            Options {
                faults,
                ..Options::default()
            },
        );
        let beyond = OpId(u32::MAX);
        let violation = Violation {
            invariant: "none",
            key: None,
            ops: [9, 3, 9, 5].map(OpId).into_iter().chain([beyond]).collect(),
            what: String::new(),
        };
        let text = report.timeline(&violation);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        for (line, number) in lines.iter().zip([3, 5, 9]) {
            let op = &report.history.ops[number];
            let key = String::from_utf8_lossy(&report.history.key(op.key).name);
            assert!(line.contains(&format!("#{number} ")), "{line}");
            assert!(line.contains(&*key), "{line}");
            assert!(line.contains(&call_of(&op.call)), "{line}");
            assert!(line.contains(&outcome_of(op)), "{line}");
            assert!(line.contains("  sent as ") == op.is_write(), "{line}");
        }
    }

    #[test]
    fn a_value_is_shown_by_its_number_or_its_first_bytes() {
        assert_eq!(short(&7_u64.to_be_bytes()), "v7");
        assert_eq!(short(b"\x01"), "\\u{1}");
        assert_eq!(short(&[b'x'; 100]), "x".repeat(24));
    }
}
