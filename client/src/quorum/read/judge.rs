//! What follows from the answers of a read: which replica to ask next, a write-back, a verdict, repair, the end.

use quoit_ring::Dot;
use quoit_ring::change::OwnerSet;
use smallvec::SmallVec;

use super::{Answer, Phase, ReadFailure, ReadQuorum, ReadStep, Repair, State};

impl ReadQuorum {
    pub(super) fn evaluate(&mut self) {
        match self.phase {
            Phase::Asking => self.evaluate_answers(),
            Phase::Returned => self.repair_in_background(),
            Phase::WritingBack { .. } | Phase::Finished => {}
        }
    }

    pub(super) fn evaluate_answers(&mut self) {
        self.judge_clocks();
        self.fail_lost_rows();
        let answered: OwnerSet = self.answers().map(|(replica, _)| replica).collect();
        if !self.rules.r.reached(answered) {
            // A replica that failed is replaced, so that enough are asked at any time.
            self.ask_until_enough(answered | self.outstanding());
            if self.outstanding().is_empty() {
                self.fail_unavailable();
            }
            return;
        }

        self.floor = self.largest_floor();
        self.newest = self.joined();
        if self.ask_for_missing_values() {
            return; // a digest named a value that no answer has brought
        }

        let held: OwnerSet = self.holders().collect();
        if self.rules.hold.reached(held) {
            self.return_newest(held == answered);
        } else {
            self.phase = Phase::WritingBack { held };
            self.repair_stale(true);
        }
    }

    /// Asks in full those replicas whose digests name a value that nobody has sent yet, unless a full record may bring
    /// it. False if nothing is missing.
    pub(super) fn ask_for_missing_values(&mut self) -> bool {
        let missing: SmallVec<[_; 1]> = self.missing().collect();
        let may_come = !self.is_late && self.awaits_full_record();
        if !may_come {
            for &version in &missing {
                if let Some(replica) = self.holder_of(version) {
                    self.ask(replica, false);
                }
            }
        }
        !missing.is_empty()
    }

    /// The versions whose values no answer has brought.
    pub(super) fn missing(&self) -> impl Iterator<Item = (Dot, u64)> {
        let missing = self.newest.live().iter().filter(|s| s.value.is_none());
        missing.map(|s| (s.dot, s.hash))
    }

    /// Who has answered that it has this version.
    pub(super) fn holder_of(&self, version: (Dot, u64)) -> Option<usize> {
        let names = |a: &Answer| a.record().live().iter().any(|s| (s.dot, s.hash) == version);
        let mut holders = self.answers().filter(|(_, a)| names(a));
        holders.next().map(|(replica, _)| replica)
    }

    /// Who has answered that it has a value which has not come.
    pub(super) fn holder_of_missing(&self) -> Option<usize> {
        self.missing().find_map(|version| self.holder_of(version))
    }

    /// Whether a full record is awaited.
    pub(super) fn awaits_full_record(&self) -> bool {
        let awaited = |state: &State| matches!(state, State::Asked { in_full: true });
        self.replicas.iter().any(awaited)
    }

    /// Returns; if all answers agree and no other is awaited, or nothing is to be repaired, that was all.
    pub(super) fn return_newest(&mut self, agreed: bool) {
        self.steps.push(ReadStep::Return(Ok(())));
        if !self.rules.repair || (agreed && self.outstanding().is_empty()) {
            return self.finish();
        }
        self.phase = Phase::Returned;
        self.repair_in_background();
    }

    /// Once every question is answered or given up: repairs who is stale and finishes.
    pub(super) fn repair_in_background(&mut self) {
        if self.rules.ask_all && !self.outstanding().is_empty() {
            return;
        }
        self.judge_clocks();
        self.fail_lost_rows();
        self.floor = self.largest_floor();
        self.newest = self.joined();
        if self.ask_for_missing_values() {
            return;
        }
        self.repair_stale(false);
        self.finish();
    }

    /// Writes the newest state back to every replica known to differ; with `everyone` also to those that
    /// did not say what they hold.
    pub(super) fn repair_stale(&mut self, everyone: bool) {
        let holders: SmallVec<[usize; 3]> = self.holders().collect();
        for replica in 0..self.replicas.len() {
            let known = matches!(self.replicas[replica], State::Answered(_));
            if (known || everyone) && !holders.contains(&replica) {
                self.repairs[replica] = Repair::Sent;
                self.steps.push(ReadStep::Repair(replica));
            }
        }
    }

    /// Goes on once enough replicas hold the newest state, `before` of them without a write-back.
    pub(super) fn count_holders(&mut self, before: OwnerSet) {
        let held = before | self.repairs_in(&Repair::Done);
        if self.rules.hold.reached(held) {
            self.steps.push(ReadStep::Return(Ok(())));
            self.finish();
        } else if !(self.rules.hold).reached(held | self.repairs_in(&Repair::Sent)) {
            let failure = ReadFailure::Unstable {
                held: held.len(),
                needed: self.rules.hold.of_any(),
                outcomes: self.outcomes(),
            };
            self.steps.push(ReadStep::Return(Err(failure)));
            self.finish();
        }
    }

    pub(super) fn repairs_in(&self, state: &Repair) -> OwnerSet {
        let repairs = self.repairs.iter().enumerate();
        let its = repairs.filter(|(_, repair)| *repair == state);
        its.map(|(replica, _)| replica).collect()
    }

    pub(super) fn fail_unavailable(&mut self) {
        let failure = ReadFailure::Unavailable {
            answered: self.answers().count(),
            needed: self.rules.r.of_any(),
            outcomes: self.outcomes(),
        };
        self.steps.push(ReadStep::Return(Err(failure)));
        self.finish();
    }

    pub(super) fn finish(&mut self) {
        debug_assert!(self.phase != Phase::Finished, "a read ends once");
        self.phase = Phase::Finished;
        self.steps.push(ReadStep::Finish);
    }

    pub(super) fn ask(&mut self, replica: usize, digest: bool) {
        self.replicas[replica] = State::Asked { in_full: !digest };
        self.steps.push(ReadStep::Ask { replica, digest });
    }

    /// Asks replicas that were not asked yet until these would be enough, if there are so many.
    pub(super) fn ask_until_enough(&mut self, mut asked: OwnerSet) {
        for replica in 0..self.replicas.len() {
            let is_idle = matches!(self.replicas[replica], State::Idle);
            if is_idle && self.rules.r.is_helped_by(replica, asked) {
                self.ask(replica, false);
                asked.insert(replica);
            }
        }
    }

    /// Asks the next replica that was not asked yet; false if there is none.
    pub(super) fn ask_next(&mut self) -> bool {
        let idle = self.idle();
        if let Some(replica) = idle {
            self.ask(replica, false);
        }
        idle.is_some()
    }

    /// The next replica that was not asked yet.
    pub(super) fn idle(&self) -> Option<usize> {
        self.replicas.iter().position(|s| matches!(s, State::Idle))
    }
}
