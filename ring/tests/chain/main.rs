//! The chain of epochs under fire: proposers race and die, messages are lost, repeated and late, voters change from epoch
//! to epoch, nodes lag behind. Of no epoch two are decided.
//!
//! A defect that the text of [`quoit_ring::change::chain`] excludes, a proposer that builds on what it only knows to be
//! accepted, is found by the same runs.

#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    use super::world::{Defect, World};

    const RUNS: usize = 3_000;

    fn scripts() -> impl Iterator<Item = Vec<(u8, u8)>> {
        let mut runner = TestRunner::deterministic();
        let script = proptest::collection::vec(any::<(u8, u8)>(), 400..900);
        (0..RUNS).map(move |_| script.new_tree(&mut runner).unwrap().current())
    }

    #[test]
    fn no_epoch_is_decided_twice() {
        let (mut epochs, mut changes) = (0, 0);
        for script in scripts() {
            let world = World::run(&script, None);
            assert_eq!(world.twice, None);
            epochs += world.decided.len();
            changes += world.voters_changed;
        }
        assert!(
            epochs > RUNS * 5 && changes > RUNS,
            "{epochs}, {changes}: hardly anything happens"
        );
    }

    #[test]
    fn without_any_of_the_rules_the_chain_forks() {
        let forks =
            |defect| scripts().any(|script| World::run(&script, Some(defect)).twice.is_some());
        assert!(forks(Defect::BuildsOnTheAccepted));
        assert!(forks(Defect::VotesAlthoughBehind));
        assert!(forks(Defect::ForgetsItsVote));
    }
}
