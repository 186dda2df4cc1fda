//! Which keys are drawn, and how often.

use std::collections::BTreeMap;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::*;

const DRAWS: u32 = 200_000;

fn drawn(distribution: Distribution, count: u64) -> BTreeMap<u64, u32> {
    let mut keys = Keys::new(distribution, count);
    let mut rng = SmallRng::seed_from_u64(42);
    let mut seen = BTreeMap::new();
    for _ in 0..DRAWS {
        *seen.entry(keys.draw(&mut rng)).or_insert(0) += 1;
    }
    assert!(
        seen.keys().all(|key| *key < count),
        "a key that is not there"
    );
    seen
}

fn share(times: u32) -> f64 {
    f64::from(times) / f64::from(DRAWS)
}

/// Most drawn first.
fn by_popularity(seen: &BTreeMap<u64, u32>) -> Vec<(u64, u32)> {
    let mut keys: Vec<(u64, u32)> = seen.iter().map(|(key, times)| (*key, *times)).collect();
    keys.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    keys
}

#[test]
fn uniform_keys_are_all_alike() {
    let seen = drawn(Distribution::Uniform, 100);
    assert_eq!(seen.len(), 100);
    assert!(
        seen.values().all(|times| times.abs_diff(2000) < 300),
        "{seen:?}"
    );
}

/// Of 10^10 ranks the sum of 1/k^0.99 is 26.469 (YCSB has it as a constant), so the first gets 3.78 % of
/// all operations, and the second 2^0.99 times less.
#[test]
fn zipfian_keys_are_as_skewed_as_those_of_ycsb() {
    let seen = drawn(Distribution::Zipfian, 1_000_000);
    let popular = by_popularity(&seen);
    assert!(
        (share(popular[0].1) - 0.0378).abs() < 0.002,
        "{:?}",
        popular[0]
    );
    assert!(
        (share(popular[1].1) - 0.0190).abs() < 0.002,
        "{:?}",
        popular[1]
    );
    let expected: f64 = (1..=10).map(|k| f64::from(k).powf(-0.99)).sum::<f64>() / 26.469;
    let ten: u32 = popular[..10].iter().map(|(_, times)| times).sum();
    assert!((share(ten) - expected).abs() < 0.01, "{ten} of {DRAWS}");
}

#[test]
fn popular_zipfian_keys_lie_anywhere() {
    let popular = by_popularity(&drawn(Distribution::Zipfian, 1_000_000));
    let low = popular[..20]
        .iter()
        .filter(|(key, _)| *key < 500_000)
        .count();
    assert!((4..=16).contains(&low), "{low} of 20 in the lower half");
}

#[test]
fn the_newest_key_is_the_most_popular_of_latest() {
    let mut keys = Keys::new(Distribution::Latest, 1000);
    let mut rng = SmallRng::seed_from_u64(1);
    let newest = |keys: &mut Keys, rng: &mut SmallRng, key| {
        (0..10_000).filter(|_| keys.draw(rng) == key).count()
    };
    // 1 / sum of 1/k^0.99 for 1000 keys: 12.9 %.
    assert!(newest(&mut keys, &mut rng, 999).abs_diff(1290) < 150);
    let key = keys.insert();
    assert_eq!(newest(&mut keys, &mut rng, key), 0, "not there yet");
    keys.inserted(key);
    assert!(newest(&mut keys, &mut rng, key).abs_diff(1290) < 150);
}

#[test]
fn hot_keys_get_their_share_of_the_operations() {
    let seen = drawn(
        Distribution::Hotspot {
            keys: 0.1,
            operations: 0.9,
        },
        1000,
    );
    let hot: u32 = seen.range(..100).map(|(_, times)| times).sum();
    assert!((share(hot) - 0.9).abs() < 0.005, "{hot} of {DRAWS}");
    let (hottest, coldest) = (seen[&50], seen[&500]);
    assert!(
        hottest > 50 * coldest,
        "within each part all are alike: {hottest}, {coldest}"
    );
}

#[test]
fn sequential_keys_go_round() {
    let mut keys = Keys::new(Distribution::Sequential, 3);
    let mut rng = SmallRng::seed_from_u64(1);
    let drawn: Vec<u64> = (0..7).map(|_| keys.draw(&mut rng)).collect();
    assert_eq!(drawn, [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn inserts_that_end_out_of_order_leave_no_gap() {
    let mut keys = Keys::new(Distribution::Uniform, 10);
    let (a, b) = (keys.insert(), keys.insert());
    keys.inserted(b);
    assert_eq!(keys.there, 10);
    keys.inserted(a);
    assert_eq!((keys.there, keys.early.len()), (12, 0));
}

#[test]
fn a_single_key_is_enough_for_every_distribution() {
    for text in [
        "uniform",
        "zipfian",
        "latest",
        "sequential",
        "hotspot:0.5:0.5",
    ] {
        assert_eq!(drawn(text.parse().unwrap(), 1).len(), 1, "{text}");
    }
}

#[test]
fn shares_that_are_none_are_refused() {
    for text in [
        "hotspot",
        "hotspot:0.1",
        "hotspot:0:0.9",
        "hotspot:1:0.9",
        "hotspot:0.1:1.1",
        "hotspot:NaN:1",
        "zipf",
    ] {
        assert!(text.parse::<Distribution>().is_err(), "{text}");
    }
}
