//! Which verb, how often.
//!
//! ```text
//!   get=90,put=9,delete=1      one in a hundred is a delete
//! ```
//!
//! A read-modify-write is a get and then a put of the same key, measured as one: two callers may overwrite each
//! other. An update reads and writes under the condition that nothing has changed, until it succeeds. A cas is one
//! such write, which may find something else. Invariant: a mix has at least one verb with a share above nothing.
//! Left out: mixes with a name, which are in `named`.

use std::fmt;
use std::str::FromStr;

use rand::Rng;

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Read a key.
    Get,
    /// Write a key that is there.
    Put,
    /// Remove a key.
    Delete,
    /// Write a new key.
    Insert,
    /// Read a key, then write it.
    ReadModifyWrite,
    /// Write a key if it is as it was last seen.
    Cas,
    /// Read a key, and write it if it has not changed; again until it has not.
    Update,
}

impl Verb {
    /// How many there are.
    pub(crate) const COUNT: usize = 7;
    /// All of them, in the order of [`Verb::index`].
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Get,
        Self::Put,
        Self::Delete,
        Self::Insert,
        Self::ReadModifyWrite,
        Self::Cas,
        Self::Update,
    ];

    /// Its place in a table by verb.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Its name, in mixes and results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Insert => "insert",
            Self::ReadModifyWrite => "read-modify-write",
            Self::Cas => "cas",
            Self::Update => "update",
        }
    }

    /// Whether it writes a value.
    pub(crate) const fn writes_value(self) -> bool {
        !matches!(self, Self::Get | Self::Delete)
    }
}

/// The share of each verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mix {
    /// Weights, by [`Verb::index`].
    weights: [u32; Verb::COUNT],
    total: u32,
}

impl Mix {
    fn of(shares: &[(Verb, u32)]) -> Option<Self> {
        let mut weights = [0; Verb::COUNT];
        let mut total: u32 = 0;
        for (verb, share) in shares {
            weights[verb.index()] = *share;
            total = total.checked_add(*share)?;
        }
        (total > 0).then_some(Self { weights, total })
    }

    pub(super) const fn only(verb: Verb) -> Self {
        let mut weights = [0; Verb::COUNT];
        weights[verb.index()] = 1;
        Self { weights, total: 1 }
    }

    pub(super) const fn two(first: (Verb, u32), second: (Verb, u32)) -> Self {
        let mut weights = [0; Verb::COUNT];
        weights[first.0.index()] = first.1;
        weights[second.0.index()] = second.1;
        Self {
            weights,
            total: first.1 + second.1,
        }
    }

    /// A verb.
    pub(crate) fn draw(&self, rng: &mut impl Rng) -> Verb {
        let mut left = rng.random_range(0..self.total);
        for verb in Verb::ALL {
            match left.checked_sub(self.weights[verb.index()]) {
                Some(rest) => left = rest,
                None => return verb,
            }
        }
        Verb::Get
    }

    /// Whether `verb` ever comes.
    pub(crate) const fn has(&self, verb: Verb) -> bool {
        self.weights[verb.index()] > 0
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut shares = Vec::new();
        for part in text.split(',') {
            let share = part.split_once('=').and_then(|(name, share)| {
                let verb = Verb::ALL.into_iter().find(|verb| verb.name() == name)?;
                Some((verb, share.parse().ok()?))
            });
            let (verb, share) = share.ok_or_else(|| {
                format!("`{part}` is no share: write get=90,put=9,delete=1, also insert, read-modify-write, cas and update")
            })?;
            if shares.iter().any(|(other, _)| *other == verb) {
                return Err(format!("`{}` stands there twice", verb.name()));
            }
            shares.push((verb, share));
        }
        Self::of(&shares)
            .ok_or_else(|| "the shares of a mix are more than nothing in sum".to_owned())
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for verb in Verb::ALL.into_iter().filter(|verb| self.has(*verb)) {
            write!(
                f,
                "{separator}{}={}",
                verb.name(),
                self.weights[verb.index()]
            )?;
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
