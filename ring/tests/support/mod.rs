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
//!
//! Source: Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators* (2014).

pub(crate) mod arbitrary;

/// Cases of each property unless `QUOIT_CASES` says otherwise.
const CASES: u64 = 100_000;

/// A deterministic generator: small, fast, good enough to choose steps.
pub(crate) struct Rng {
    state: u64,
    /// Whether this case runs alone, to be looked at.
    pub(crate) traced: bool,
}

impl Rng {
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self {
            state: seed,
            traced: false,
        }
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; the bias of the remainder does not matter here.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index below `len`.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    pub(crate) const fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }
}

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

#[expect(
    clippy::disallowed_methods,
    reason = "the crate takes no settings from its environment, its tests do"
)]
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
    )
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
