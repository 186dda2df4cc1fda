//! What came of a run.

use std::fmt::Write as _;

use super::faults::Planned;
use super::plan::OPERATIONS;
use super::sights::Sights;
use crate::history::{Basis, Call, History, Micros, Op, OpId, Outcome};
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
    /// Paths that were gone.
    pub sights: Sights,
    /// What must not be; empty is good.
    pub violations: Vec<Violation>,
    /// What happened.
    pub history: History,
    /// How much virtual time passed.
    pub simulated: Micros,
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
            .map(|minted| tell(minted.dot))
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

fn tell(dot: quoit_ring::Dot) -> String {
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
