//! The write quorum: W acknowledgements of one write.
//!
//! ```text
//!   Pending --Joined--> Acked          W of them: done
//!           --Covered-> Covered        a later write is there: mint above it and send again
//!           --failed--> Failed
//! ```
//!
//! A *covered* write changed nothing. If W cannot be reached because of it, the write is minted anew above what
//! covers it: a skewed clock never loses a write that came later. The first dot may live somewhere, or come
//! to: the new one has seen it and replaces it there. What became of the first attempt at a replica that did not
//! answer stays in the outcome, so that a failure is never told as surely not stored.
//! A replica that covers the dot but can *name* it has joined it before: that is an acknowledgement.

use quoit_ring::Time;
use quoit_ring::mutant::{Mutant, mutant};
use smallvec::{SmallVec, smallvec};

use crate::error::Outcome;

/// How often one write may be minted anew. Each time needs another writer's later stamp to get in between.
const MAX_REMINTS: u8 = 8;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WriteStep {
    /// Send the write to a replica.
    Send(usize),
    /// Mint a dot above this time that has seen the present one, and call [`WriteQuorum::reminted`].
    Remint(Time),
    /// The verdict: how many acknowledged, at least W; or why not. The machine is finished.
    Return(Result<usize, WriteFailure>),
}

/// Why W was not reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WriteFailure {
    pub(crate) acked: usize,
    /// Replicas that acknowledged an earlier dot of this write: it lives, or lived, there.
    pub(crate) acked_before: usize,
    /// What each replica did.
    pub(crate) outcomes: Vec<Outcome>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Pending,
    Acked,
    Covered(Time),
    Failed(Outcome),
}

/// One quorum write.
#[derive(Debug)]
pub(crate) struct WriteQuorum {
    w: usize,
    replicas: SmallVec<[State; 3]>,
    steps: SmallVec<[WriteStep; 3]>,
    remints: u8,
    /// Most replicas that acknowledged one earlier dot.
    acked_before: usize,
    finished: bool,
}

impl WriteQuorum {
    /// A write to `n` replicas that needs `w` of them, 1 to n. It starts by sending to all.
    pub(crate) fn new(n: usize, w: usize) -> Self {
        debug_assert!((1..=n).contains(&w), "w was checked");
        Self {
            w,
            replicas: smallvec![State::Pending; n],
            steps: (0..n).rev().map(WriteStep::Send).collect(),
            remints: 0,
            acked_before: 0,
            finished: false,
        }
    }

    /// The next thing to do, or nothing until an input comes.
    pub(crate) fn poll_step(&mut self) -> Option<WriteStep> {
        self.steps.pop()
    }

    /// A replica joined the write.
    pub(crate) fn acked(&mut self, mut replica: usize) {
        if mutant(Mutant::AnswerCountedTwice) && !self.awaits(replica) {
            let mut others = 0..self.replicas.len();
            replica = others.find(|&r| self.awaits(r)).unwrap_or(replica);
        }
        self.note(replica, State::Acked);
    }

    /// A replica covers the dot already, by something up to `above`; it may be able to name it.
    pub(crate) fn covered(&mut self, replica: usize, named: bool, above: Time) {
        let state = if named || mutant(Mutant::CoveredCountsAsAck) {
            State::Acked
        } else {
            State::Covered(above)
        };
        self.note(replica, state);
    }

    /// A replica did not do it.
    pub(crate) fn failed(&mut self, replica: usize, outcome: Outcome) {
        self.note(replica, State::Failed(outcome));
    }

    /// The deadline has passed.
    pub(crate) fn expired(&mut self) {
        for state in &mut self.replicas {
            if *state == State::Pending {
                *state = State::Failed(Outcome::Silent);
            }
        }
        self.fail();
    }

    /// Whether a replica's answer is awaited.
    pub(crate) fn awaits(&self, replica: usize) -> bool {
        !self.finished && self.replicas.get(replica) == Some(&State::Pending)
    }

    /// A dot above what covers the write was minted: send it to everyone who did not fail.
    pub(crate) fn reminted(&mut self) {
        self.acked_before = self.acked_before.max(self.acks());
        for (replica, state) in self.replicas.iter_mut().enumerate() {
            if !matches!(state, State::Failed(_)) {
                *state = State::Pending;
                self.steps.push(WriteStep::Send(replica));
            }
        }
    }

    /// No dot above what covers the write can be minted: the clocks are too far apart.
    pub(crate) fn cannot_remint(&mut self) {
        self.fail();
    }

    fn note(&mut self, replica: usize, state: State) {
        if self.awaits(replica) {
            self.replicas[replica] = state;
            self.evaluate();
        }
    }

    fn count(&self, of: impl Fn(&State) -> bool) -> usize {
        self.replicas.iter().filter(|&state| of(state)).count()
    }

    fn acks(&self) -> usize {
        self.count(|s| *s == State::Acked)
    }

    fn evaluate(&mut self) {
        let acked = self.acks();
        let needed = if mutant(Mutant::QuorumOfOne) {
            1
        } else {
            self.w
        };
        if acked >= needed {
            self.finish(Ok(acked));
        } else if self.count(|s| *s == State::Pending) == 0 {
            match self.remintable() {
                Some(above) => {
                    self.remints += 1;
                    self.steps.push(WriteStep::Remint(above));
                }
                None => self.fail(),
            }
        }
    }

    /// What to mint above, if minting anew can reach W.
    fn remintable(&self) -> Option<Time> {
        let willing = self.count(|s| matches!(s, State::Acked | State::Covered(_)));
        if willing < self.w || self.remints >= MAX_REMINTS {
            return None;
        }
        let above = |s: &State| match s {
            State::Covered(above) => Some(*above),
            State::Pending | State::Acked | State::Failed(_) => None,
        };
        self.replicas.iter().filter_map(above).max()
    }

    fn fail(&mut self) {
        let outcome = |state: &State| match state {
            State::Pending => Outcome::Silent,
            State::Acked => Outcome::Done,
            State::Covered(_) => Outcome::Covered,
            State::Failed(outcome) => outcome.clone(),
        };
        let outcomes = self.replicas.iter().map(outcome).collect();
        self.finish(Err(WriteFailure {
            acked: self.acks(),
            acked_before: self.acked_before,
            outcomes,
        }));
    }

    fn finish(&mut self, verdict: Result<usize, WriteFailure>) {
        if !self.finished {
            self.finished = true;
            self.steps.clear();
            self.steps.push(WriteStep::Return(verdict));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quoit_ring::wire::{Fault, Refusal};

    use super::*;

    /// A write whose sends are done.
    fn sent(n: usize, w: usize) -> WriteQuorum {
        let mut write = WriteQuorum::new(n, w);
        let sends: Vec<_> = core::iter::from_fn(|| write.poll_step()).collect();
        assert_eq!(sends, (0..n).map(WriteStep::Send).collect::<Vec<_>>());
        write
    }

    fn verdict(write: &mut WriteQuorum) -> Result<usize, WriteFailure> {
        match write.poll_step() {
            Some(WriteStep::Return(verdict)) => verdict,
            other => panic!("no verdict but {other:?}"),
        }
    }

    #[test]
    fn w_acknowledgements_are_enough() {
        let mut write = sent(3, 2);
        write.acked(2);
        assert_eq!(write.poll_step(), None);
        write.acked(0);
        assert_eq!(verdict(&mut write), Ok(2));
    }

    #[test]
    fn one_replica_counts_once() {
        let mut write = sent(3, 2);
        write.acked(1);
        write.acked(1);
        assert_eq!(write.poll_step(), None);
    }

    #[test]
    fn a_covered_write_is_minted_above_what_covers_it() {
        let mut write = sent(3, 2);
        write.covered(0, false, Time(50));
        write.acked(1);
        assert_eq!(write.poll_step(), None, "the third may still acknowledge");
        write.covered(2, false, Time(70));
        assert_eq!(write.poll_step(), Some(WriteStep::Remint(Time(70))));
        write.reminted();
        let sends = core::iter::from_fn(|| write.poll_step()).count();
        assert_eq!(
            sends, 3,
            "everyone gets the new dot, so that it is the one that W hold"
        );
        write.acked(0);
        write.acked(2);
        assert_eq!(verdict(&mut write), Ok(2));
    }

    #[test]
    fn an_acknowledgement_of_an_earlier_dot_is_not_forgotten() {
        let mut write = sent(3, 2);
        write.acked(0);
        write.covered(1, false, Time(50));
        write.covered(2, false, Time(50));
        assert_eq!(write.poll_step(), Some(WriteStep::Remint(Time(50))));
        write.reminted();
        while write.poll_step().is_some() {}
        for replica in 0..3 {
            write.failed(replica, Outcome::Unreachable);
        }
        let failure = verdict(&mut write).unwrap_err();
        assert_eq!((failure.acked, failure.acked_before), (0, 1));
    }

    #[test]
    fn a_lost_replica_does_not_keep_a_write_from_being_minted_anew_but_stays_in_its_outcome() {
        let mut write = sent(3, 2);
        write.covered(0, false, Time(50));
        write.covered(1, false, Time(50));
        write.failed(2, Outcome::Lost);
        assert_eq!(write.poll_step(), Some(WriteStep::Remint(Time(50))));
        write.reminted();
        let sent: Vec<_> = core::iter::from_fn(|| write.poll_step()).collect();
        assert_eq!(sent.len(), 2, "not to the lost one: {sent:?}");
        write.failed(0, Outcome::Unreachable);
        write.failed(1, Outcome::Unreachable);
        let failure = verdict(&mut write).unwrap_err();
        assert_eq!(failure.outcomes[2], Outcome::Lost);
    }

    #[test]
    fn a_replica_that_can_name_the_dot_has_acknowledged() {
        let mut write = sent(3, 2);
        write.covered(0, true, Time(50));
        write.acked(1);
        assert_eq!(verdict(&mut write), Ok(2));
    }

    #[test]
    fn too_few_willing_replicas_fail_with_their_reasons() {
        let mut write = sent(3, 2);
        write.failed(0, Outcome::Unreachable);
        write.acked(1);
        write.failed(2, Outcome::Refused(Refusal::Storage(Fault::NoSpace)));
        assert_eq!(verdict(&mut write).unwrap_err().acked, 1);
    }

    #[test]
    fn the_deadline_ends_it_and_names_the_silent() {
        let mut write = sent(3, 2);
        write.acked(0);
        write.expired();
        let failure = verdict(&mut write).unwrap_err();
        assert_eq!(
            failure.outcomes,
            [Outcome::Done, Outcome::Silent, Outcome::Silent]
        );
        write.acked(1);
        assert_eq!(
            write.poll_step(),
            None,
            "an answer after the verdict changes nothing"
        );
    }

    #[test]
    fn minting_anew_ends_after_a_bounded_number_of_times() {
        let mut write = sent(1, 1);
        let mut minted = 0;
        loop {
            write.covered(0, false, Time(minted));
            match write.poll_step() {
                Some(WriteStep::Remint(_)) => write.reminted(),
                Some(WriteStep::Return(verdict)) => break assert!(verdict.is_err()),
                step => panic!("{step:?}"),
            }
            while write.poll_step().is_some() {}
            minted += 1;
        }
        assert_eq!(minted, u64::from(MAX_REMINTS));
    }

    proptest! {
        #[test]
        fn the_verdict_is_given_once_and_only_on_w_distinct_acknowledgements(
            n in 1_usize..6,
            w in 1_usize..6,
            events in proptest::collection::vec((0_usize..6, 0_u8..4), 0..30),
        ) {
            let w = w.min(n);
            let mut write = sent(n, w);
            let mut verdicts = 0;
            let mut acked = std::collections::BTreeSet::new();
            let mut ever_acked = false;
            for (replica, event) in events {
                let awaited = write.awaits(replica);
                match event {
                    0 => write.acked(replica),
                    1 => write.covered(replica, false, Time(9)),
                    2 => write.failed(replica, Outcome::Unreachable),
                    _ => write.failed(replica, Outcome::Lost),
                }
                if awaited && event == 0 {
                    acked.insert(replica);
                    ever_acked = true;
                }
                while let Some(step) = write.poll_step() {
                    match step {
                        WriteStep::Return(verdict) => {
                            verdicts += 1;
                            prop_assert_eq!(verdict.is_ok(), acked.len() >= w);
                            if let Err(failure) = verdict {
                                let told = failure.acked + failure.acked_before > 0;
                                prop_assert_eq!(told, ever_acked);
                            }
                        }
                        WriteStep::Remint(_) => { acked.clear(); write.reminted(); }
                        WriteStep::Send(_) => {}
                    }
                }
            }
            write.expired();
            while let Some(step) = write.poll_step() {
                verdicts += usize::from(matches!(step, WriteStep::Return(_)));
            }
            prop_assert_eq!(verdicts, 1);
        }
    }
}
