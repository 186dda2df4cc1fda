//! What the property tests share: many cases from one cheap generator, and a look at what they reached.
//!
//! ```text
//!   case i  =  SplitMix64 with seed i: the same on every machine, a failure prints its seed
//!   reach   =  what a case got to (siblings, a stale context, ..), counted and held against a minimum
//! ```
//!
//! A generator that never reaches the hard cases proves nothing, so that is a failed test too.
//!
//! `QUOIT_CASES` sets the number of cases (100,000 by default), `QUOIT_SEED` runs one case alone and lets
//! it print its steps. Nothing is shrunk: scripts are short, and short ones come up first or soon.

pub(crate) mod arbitrary;
mod rng;

pub(crate) use rng::Rng;
use rng::setting;

/// Cases of each property unless `QUOIT_CASES` says otherwise.
const CASES: u64 = 100_000;

/// Runs `case` for every seed. `reaches` names what a case may reach and the least share, in percent,
/// of the cases that must; `case` says what it reached.
pub(crate) fn property<const K: usize>(
    name: &str,
    reaches: [(&str, u64); K],
    mut case: impl FnMut(&mut Rng) -> [bool; K],
) {
    if let Some(seed) = setting("QUOIT_SEED") {
        let _replay = Replay { name, seed };
        let mut rng = Rng::seeded(seed);
        rng.traced = true;
        case(&mut rng);
        return;
    }
    let cases = setting("QUOIT_CASES").unwrap_or(CASES).max(1);
    let mut counts = [0_u64; K];
    for seed in 0..cases {
        let _replay = Replay { name, seed };
        let reached = case(&mut Rng::seeded(seed));
        for (count, reached) in counts.iter_mut().zip(reached) {
            *count += u64::from(reached);
        }
    }
    println!("{name}: {cases} cases");
    for ((what, least), count) in reaches.into_iter().zip(counts) {
        let tenths = count * 1_000 / cases;
        println!(
            "    {:3}.{} %  {what} (at least {least} %)",
            tenths / 10,
            tenths % 10
        );
        assert!(tenths >= least * 10, "{name}: too few cases reach {what}");
    }
}

/// Says how to run a case again if it fails.
struct Replay<'a> {
    name: &'a str,
    seed: u64,
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "{} fails at seed {}: QUOIT_SEED={1} runs it alone",
                self.name, self.seed
            );
        }
    }
}
