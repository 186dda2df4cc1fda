//! What must catch a mutant: an invariant of the simulation, or a test.

use std::fmt;

use crate::invariants;

/// What precedes an invariant's name in a patch's header.
const INVARIANT: &str = "Caught by: ";
/// What precedes a test's name there.
const TEST: &str = "Caught by test: ";

/// What must catch a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Catcher {
    /// An invariant of the simulation, by its name.
    Invariant(&'static str),
    /// A test, for what the simulation replaces.
    Test(TestName),
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestName {
    /// The package.
    pub package: String,
    /// The test target in it; `lib` is that of the units.
    pub target: String,
    /// The function's path in the target.
    pub name: String,
}

impl Catcher {
    /// Reads the line of a patch's header.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        if let Some(name) = line.strip_prefix(INVARIANT) {
            let invariant = invariants::find(name);
            let invariant = invariant.ok_or_else(|| format!("there is no invariant {name}"))?;
            return Ok(Self::Invariant(invariant.name));
        }
        let words = line.strip_prefix(TEST).unwrap_or_default();
        let words: Vec<&str> = words.split(' ').collect();
        match words[..] {
            [package, target, name] => Ok(Self::Test(TestName {
                package: package.to_owned(),
                target: target.to_owned(),
                name: name.to_owned(),
            })),
            _ => Err("the second line must be `Caught by: INVARIANT` or `Caught by test: PACKAGE TARGET NAME`".to_owned()),
        }
    }
}

impl fmt::Display for Catcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invariant(name) => f.pad(name),
            Self::Test(test) => f.pad(&test.name),
        }
    }
}
