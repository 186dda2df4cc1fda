//! A read returns exactly the values that nothing it had seen replaces, and what it had seen is whole.
//!
//! ```text
//!   seen    E = the events in the context that was handed out
//!   whole   e in E, and x in the history of e       => x in E
//!   exact   a value in E, in no other's history     <=> returned, with the bytes that were put
//! ```
//!
//! Together: the returned siblings and the deletes in E, with all that they had seen, are E, and nothing
//! else is; a context that contains a write which the reader was not given shows as a sibling dropped. A
//! write's context is its own history and its dot. All reads are judged, each replica's state being a join of
//! whole writes; of keys with clones or expiry only whether a value was ever put.
//!
//! What cannot be distinguished: a read that claims to have seen one more delete which replaced nothing that it
//! returned, from a read that did see it. Left out: whether a read should have seen more.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), section 4.4; Almeida et al., *Scalable and Accurate Causality
//! Tracking for Eventually Consistent Stores* (2014).

use quoit_ring::{Moment, Seen};

use super::{Invariant, Violation, describe};
use crate::history::causal::{Causal, Event, Keyed, Set, is_exact};
use crate::history::{Doubts, Found, History, KeyId, OpId, Outcome};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "exact-siblings",
    says: "a read returns exactly the values that nothing it had seen replaces",
    source: "Dynamo 4.4; Almeida et al. 2014",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    let doubts = Doubts::of(history);
    for keyed in Keyed::all(history) {
        let judge = Judge {
            history,
            key: keyed.key,
            causal: &Causal::of(history, &keyed),
            doubts: &doubts,
        };
        let exact = is_exact(history.key(keyed.key).family);
        if exact {
            judge.one_write_a_dot()?;
        }
        for &id in &keyed.ops {
            judge.op(id, exact)?;
        }
    }

    Ok(())
}

struct Judge<'a> {
    history: &'a History,
    key: KeyId,
    causal: &'a Causal<'a>,
    doubts: &'a Doubts<'a>,
}

impl Judge<'_> {
    fn op(&self, id: OpId, exact: bool) -> Result<(), Violation> {
        match &self.history.op(id).returned {
            Some((at, Outcome::Read { siblings, seen })) => {
                for found in siblings {
                    self.never_invented(id, found, *at)?;
                }
                if exact {
                    self.read(id, siblings, seen, *at)?;
                }
                Ok(())
            }
            Some((_, Outcome::Written { seen, .. })) if exact => self.context(id, seen),
            _ => Ok(()),
        }
    }

    fn never_invented(&self, id: OpId, found: &Found, at: Moment) -> Result<(), Violation> {
        let Some(event) = self.causal.sibling(found) else {
            return Err(self.invented(id, found));
        };
        let event = self.event(event);
        if event.at <= at {
            return Ok(());
        }

        let what = format!(
            "returned {}, which was sent only at {}",
            self.describe(event),
            event.at
        );
        self.found(id, &[event], &what)
    }

    fn invented(&self, id: OpId, found: &Found) -> Violation {
        let Found { dot, value, .. } = found;
        let mut minted = self.history.minted.iter().filter(|m| m.dot == *dot);
        let value = describe::value(value);
        let (mut ops, what) = match minted.next() {
            None => (vec![], "which no client wrote".to_owned()),
            Some(minted) => {
                let op = self.history.op(minted.op);
                let did = match op.key == self.key {
                    true => "did not put that".to_owned(),
                    false => format!("was to {}", describe::key(self.history, op.key)),
                };
                let write = describe::op(self.history, minted.op);
                (vec![minted.op], format!("but {write} {did}"))
            }
        };
        ops.push(id);
        self.violation(id, ops, &format!("returned {value} as {dot}, {what}"))
    }

    fn read(&self, id: OpId, found: &[Found], seen: &Seen, at: Moment) -> Result<(), Violation> {
        if !found.windows(2).all(|w| w[0].dot < w[1].dot) {
            let what = "returned a sibling twice, or not the oldest first";
            return self.found(id, &[], what);
        }

        let doubtful = self.doubtful(seen);
        let seen = self.causal.events().seen(seen);
        let replaced = self.causal.replaced(&seen);
        self.in_time(id, &seen.without(&replaced), at)?;
        let firm = seen.without(&doubtful);
        let replaced_for_sure = self.causal.replaced(&firm);
        let mut may_live = self.causal.alive(&firm, &replaced_for_sure);
        may_live.unite(&doubtful.without(&replaced_for_sure));
        let must_live = self.causal.alive(&seen, &replaced).without(&doubtful);
        let returned = self.causal.returned(found);
        if let Some(event) = returned.beyond(&may_live) {
            return self.false_sibling(id, event, &seen);
        }
        if let Some(event) = must_live.beyond(&returned) {
            let event = self.event(event);
            let what = format!(
                "had seen {}, and returned neither its value nor anything that replaced it",
                self.describe(event)
            );
            return self.found(id, &[event], &what);
        }

        self.whole(id, &seen, &replaced)
    }

    /// The events that need not have been anywhere although they are seen.
    fn doubtful(&self, seen: &Seen) -> Set {
        let mut doubtful = self.causal.events().none();
        if self.doubts.exist() {
            for (number, event) in self.causal.events().list().iter().enumerate() {
                if self.doubts.has((event.op, event.dot), seen) {
                    doubtful.insert(number);
                }
            }
        }
        doubtful
    }

    /// What was sent only later cannot have been seen, unless something older replaced it in advance.
    fn in_time(&self, id: OpId, latest: &Set, at: Moment) -> Result<(), Violation> {
        let late = |event: &&Event| event.at > at;
        let Some(event) = latest.iter().map(|e| self.event(e)).find(late) else {
            return Ok(());
        };
        let what = format!(
            "returned a context that contains {}, which was sent only at {}",
            self.describe(event),
            event.at
        );
        self.found(id, &[event], &what)
    }

    fn false_sibling(&self, id: OpId, event: usize, seen: &Set) -> Result<(), Violation> {
        let value = self.describe(self.event(event));
        if !seen.has(event) {
            let what = format!("returned {value} with a context that does not hold it");
            return self.found(id, &[self.event(event)], &what);
        }

        let Some(over) = self.replacing(event, seen) else {
            return Ok(());
        };
        let what = format!(
            "returned {value}, though it had seen {}, which replaced that",
            self.describe(over)
        );
        self.found(id, &[self.event(event), over], &what)
    }

    fn whole(&self, id: OpId, seen: &Set, replaced: &Set) -> Result<(), Violation> {
        let Some(event) = replaced.beyond(seen) else {
            return Ok(());
        };
        let Some(over) = self.replacing(event, seen) else {
            return Ok(());
        };
        let event = self.event(event);
        let what = format!(
            "had seen {}, which replaced {}, but its context does not hold that",
            self.describe(over),
            self.describe(event)
        );
        self.found(id, &[event, over], &what)
    }

    /// A write knows what it built on, and itself.
    fn context(&self, id: OpId, seen: &Seen) -> Result<(), Violation> {
        let known = self.causal.known(self.history.op(id));
        let doubtful = self.doubtful(seen);
        let seen = self.causal.events().seen(seen).without(&doubtful);
        let known = known.without(&doubtful);
        let (event, what) = match (seen.beyond(&known), known.beyond(&seen)) {
            (Some(event), _) => (event, "contains what the reader was not given"),
            (None, Some(event)) => (event, "does not cover what it built on"),
            (None, None) => return Ok(()),
        };
        let event = self.event(event);
        let what = format!("returned a context that {what}: {}", self.describe(event));
        self.found(id, &[event], &what)
    }

    fn one_write_a_dot(&self) -> Result<(), Violation> {
        let Some((one, other)) = self.causal.events().twins() else {
            return Ok(());
        };
        let what = format!("has the dot of {}", self.describe(one));
        self.found(other.op, &[one], &what)
    }

    /// An event in `seen` that had seen `event`.
    fn replacing(&self, event: usize, seen: &Set) -> Option<&Event> {
        let over = seen.iter().find(|&e| self.causal.before(e).has(event))?;
        Some(self.event(over))
    }

    fn event(&self, number: usize) -> &Event {
        &self.causal.events().list()[number]
    }

    fn describe(&self, event: &Event) -> String {
        describe::event(self.history, event)
    }

    fn found(&self, id: OpId, shown_by: &[&Event], what: &str) -> Result<(), Violation> {
        let ops = shown_by.iter().map(|event| event.op).chain([id]);
        Err(self.violation(id, ops.collect(), what))
    }

    fn violation(&self, id: OpId, ops: Vec<OpId>, what: &str) -> Violation {
        let key = describe::key(self.history, self.key);
        Violation {
            invariant: INVARIANT.name,
            key: Some(self.key),
            ops,
            what: format!("{key}: {} {what}", describe::op(self.history, id)),
        }
    }
}

#[cfg(test)]
mod tests;
