//! How far a member has come: the two registers that gossip spreads, both of which only grow.
//!
//! ```text
//!   incarnation 3, heartbeat 70, facts 65      alive at its 70th beat; its facts last changed at the 65th
//!        |              |           |
//!        |              |           '-- who knows less than 65 lacks facts, and asks for them
//!        |              '-- raised every round, and for every answer to a ping
//!        '-- raised by every start of the process: begins both registers again
//! ```
//!
//! So a digest of pulses alone tells either side what it lacks, and a heartbeat that is all there is to say is said by the
//! digest itself. Invariant: `facts <= heartbeat`; 0 means "none of this incarnation".
//!
//! Source: van Renesse et al., *Efficient Reconciliation and Flow Control for Anti-Entropy Protocols* (2008), whose
//! scuttlebutt stamps every value with the version at which it changed.

use quoit_ring::NodeId;

/// A number that each start of a process raises: kept on its disk, and never used twice. 0 is that of a member of which
/// nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Incarnation(pub u64);

/// How far a member has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pulse {
    /// Which start of its process.
    pub incarnation: Incarnation,
    /// How often its heart has beaten since; at one a second it lasts for 136 years.
    pub heartbeat: u32,
    /// The heartbeat at which its facts last changed.
    pub facts: u32,
}

impl Pulse {
    /// Whether this is later news of the member's life than `other`.
    #[must_use]
    pub fn beats(self, other: Self) -> bool {
        (self.incarnation, self.heartbeat) > (other.incarnation, other.heartbeat)
    }

    /// Whether who knows this pulse has facts that who knows `other` lacks.
    #[must_use]
    pub fn has_facts_for(self, other: Self) -> bool {
        self.facts > 0 && (self.incarnation, self.facts) > (other.incarnation, other.facts)
    }
}

/// A member's pulse, as some member knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Whose.
    pub node: NodeId,
    /// How far it has come.
    pub pulse: Pulse,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn pulse(incarnation: u64, heartbeat: u32, facts: u32) -> Pulse {
        Pulse {
            incarnation: Incarnation(incarnation),
            heartbeat,
            facts,
        }
    }

    #[test]
    fn a_new_incarnation_beats_every_heartbeat_of_the_last() {
        assert!(pulse(2, 1, 0).beats(pulse(1, 900, 0)));
        assert!(!pulse(1, 900, 0).beats(pulse(2, 1, 0)));
        assert!(!pulse(1, 5, 5).beats(pulse(1, 5, 0)), "facts are no life");
    }

    #[test]
    fn facts_are_lacked_by_who_knows_an_earlier_change() {
        assert!(pulse(1, 9, 4).has_facts_for(pulse(1, 20, 3)));
        assert!(!pulse(1, 9, 4).has_facts_for(pulse(1, 5, 4)));
        assert!(pulse(2, 1, 1).has_facts_for(pulse(1, 9, 9)));
        assert!(
            !pulse(2, 1, 0).has_facts_for(pulse(1, 9, 9)),
            "it has none yet"
        );
    }
}
