//! Which operations are drawn, and how often.

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::*;

#[test]
fn verbs_come_as_often_as_the_mix_says() {
    let mix: Mix = "get=90,put=9,delete=1".parse().unwrap();
    let mut rng = SmallRng::seed_from_u64(1);
    let mut seen = [0_u32; Verb::COUNT];
    for _ in 0..100_000 {
        seen[mix.draw(&mut rng).index()] += 1;
    }
    assert!(seen[0].abs_diff(90_000) < 500, "{seen:?}");
    assert!(seen[1].abs_diff(9000) < 400, "{seen:?}");
    assert!(seen[2].abs_diff(1000) < 150, "{seen:?}");
    assert_eq!(seen[3..], [0; Verb::COUNT - 3]);
}

#[test]
fn a_mix_reads_back_as_it_is_shown() {
    let mix: Mix = "put=9,get=90".parse().unwrap();
    assert_eq!(mix.to_string(), "get=90,put=9");
    assert_eq!(mix.to_string().parse(), Ok(mix));
}

#[test]
fn conditional_verbs_have_names_and_write_values() {
    let mix: Mix = "update=1,cas=3".parse().unwrap();
    assert_eq!(mix.to_string(), "cas=3,update=1");
    assert!(mix.has(Verb::Cas) && mix.has(Verb::Update) && !mix.has(Verb::Put));
    assert!(Verb::Cas.writes_value() && Verb::Update.writes_value());
    assert!(!Verb::Get.writes_value() && !Verb::Delete.writes_value());
}

#[test]
fn the_tables_stand_in_the_order_of_their_index() {
    for (index, verb) in Verb::ALL.into_iter().enumerate() {
        assert_eq!(verb.index(), index);
    }
}

#[test]
fn mixes_of_nothing_or_of_unknown_verbs_are_refused() {
    for text in [
        "",
        "get",
        "get=",
        "get=x",
        "get=1,get=2",
        "scan=5",
        "get=0",
        "get=4294967295,put=1",
    ] {
        assert!(text.parse::<Mix>().is_err(), "{text}");
    }
}
