//! Single decisions among voters that are slow, restart and are asked twice: never two values.
//!
//! A run is a script of choices: which message arrives, is lost or comes twice, who proposes again. Voters keep what an
//! acceptor must keep, and proposers begin again. Without a rule that the text of [`quoit_ring::consensus`] names, the same
//! runs find two decided values.

#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::{Config, TestRunner};

    use super::world::{Defect, World};

    fn script() -> impl Strategy<Value = (usize, Vec<(u8, u8)>)> {
        (
            1_usize..6,
            proptest::collection::vec(any::<(u8, u8)>(), 0..200),
        )
    }

    #[test]
    fn only_one_value_is_ever_decided() {
        let mut runner = TestRunner::new(Config::with_cases(20_000));
        let mut decided = 0;
        let run = runner.run(&script(), |(voters, script)| {
            let world = World::run(voters, &script, None);
            prop_assert!(world.decided.len() <= 1, "{:?}", world.decided);
            Ok(())
        });
        run.unwrap();
        let mut runner = TestRunner::deterministic();
        for _ in 0..1_000 {
            let (voters, script) = script().new_tree(&mut runner).unwrap().current();
            decided += usize::from(!World::run(voters, &script, None).decided.is_empty());
        }
        assert!(
            decided > 300,
            "only {decided} of 1,000 runs decide anything"
        );
    }

    #[test]
    fn without_any_of_the_rules_two_values_are_decided() {
        let defects = [
            Defect::ProposesItsOwn,
            Defect::AcceptsBelowItsPromise,
            Defect::ForgetsWhenItRestarts,
            Defect::AsksTooFew,
            Defect::UsesABallotTwice,
        ];
        for defect in defects {
            let mut runner = TestRunner::deterministic();
            let mut tries = 0..20_000;
            let found = tries.any(|_| {
                let (voters, script) = script().new_tree(&mut runner).unwrap().current();
                World::run(voters, &script, Some(defect)).decided.len() > 1
            });
            assert!(found, "{defect:?} is harmless");
        }
    }
}
