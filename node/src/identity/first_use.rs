//! Whether a data directory may be new: decided here and nowhere else.
//!
//! ```text
//!   found                            to initialise it              to run on it
//!   nothing, or no directory         begin                         refuse: not initialised
//!   identity, not complete           go on                         refuse: not to its end
//!   identity and store               refuse: it is a node's        run
//!   identity, removed                refuse: it was removed        the same
//!   identity, no store               refuse: the store is gone     the same
//!   store, no identity               refuse: the identity is gone  the same
//!   something else                   refuse: it is someone else's  the same
//! ```
//!
//! Identity and store lie on one disk. If that is not mounted, or was wiped, both are gone at once, and the node
//! finds what it would find before its first start: nothing. Began it there, it would answer that keys are absent
//! which it has promised to keep, and a quorum would count that. So the first start is an act of its own, which a
//! person decides on, and a run never begins anything.
//!
//! Initialising what is a node's already is refused, too: a program that may be called before each start, just in
//! case, would begin on the wiped disk as well.

use std::ffi::OsString;
use std::path::Path;

use super::IdentityError;

/// What is to be done with a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Make it a node's, before that runs for the first time.
    Initialise,
    /// Run the node whose it is.
    Run,
}

/// What lies in a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is no such directory.
    Missing,
    /// Nothing, or only what a file system or an initialisation that was cut short puts there.
    Nothing,
    /// The identity of a node that was never initialised to the end; it has not run.
    Incomplete,
    /// A node's identity and its store.
    Node,
    /// The identity of a node that was removed from its cluster.
    Removed,
    /// The identity of a node that may have run, and no store.
    IdentityAlone,
    /// A store, and no identity.
    StoreAlone,
    /// Neither, but this.
    Foreign(OsString),
}

/// What may be done with a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// Begin: draw an identity, then make the store.
    Begin,
    /// Go on with an initialisation that was cut short.
    GoOn,
    /// Run: identity and store must be there, whole.
    Run,
}

impl May {
    /// Whether the store may be made if it is missing.
    #[must_use]
    pub const fn make_store(self) -> bool {
        matches!(self, Self::Begin | Self::GoOn)
    }
}

impl Found {
    /// Whether `act` may be done where this was found; `path` is for the error.
    ///
    /// ```
    /// use std::path::Path;
    /// use quoit_node::identity::{Act, Found, IdentityError, May};
    ///
    /// let path = Path::new("/data");
    /// assert_eq!(Found::Nothing.may(Act::Initialise, path)?, May::Begin);
    /// assert_eq!(Found::Node.may(Act::Run, path)?, May::Run);
    /// let wiped = Found::Nothing.may(Act::Run, path);
    /// assert!(matches!(wiped, Err(IdentityError::NotInitialised { .. })));
    /// # Ok::<(), IdentityError>(())
    /// ```
    ///
    /// # Errors
    /// [`IdentityError`] says why not.
    pub fn may(&self, act: Act, path: &Path) -> Result<May, IdentityError> {
        let path = path.to_owned();
        match (self, act) {
            (Self::Missing | Self::Nothing, Act::Initialise) => Ok(May::Begin),
            (Self::Missing, Act::Run) => Err(IdentityError::NoDirectory { path }),
            (Self::Nothing, Act::Run) => Err(IdentityError::NotInitialised { path }),
            (Self::Incomplete, Act::Initialise) => Ok(May::GoOn),
            (Self::Incomplete, Act::Run) => Err(IdentityError::Incomplete { path }),
            (Self::Node, Act::Initialise) => Err(IdentityError::Initialised { path }),
            (Self::Node, Act::Run) => Ok(May::Run),
            (Self::Removed, _) => Err(IdentityError::Removed { path }),
            (Self::IdentityAlone, _) => Err(IdentityError::StoreGone { path }),
            (Self::StoreAlone, _) => Err(IdentityError::IdentityGone { path }),
            (Self::Foreign(found), _) => {
                let found = found.clone();
                Err(IdentityError::Foreign { path, found })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_never_begins_anything_and_an_initialisation_never_runs() {
        let foreign = Found::Foreign("thesis.txt".into());
        let table = [
            (Found::Missing, Some(May::Begin), None),
            (Found::Nothing, Some(May::Begin), None),
            (Found::Incomplete, Some(May::GoOn), None),
            (Found::Node, None, Some(May::Run)),
            (Found::Removed, None, None),
            (Found::IdentityAlone, None, None),
            (Found::StoreAlone, None, None),
            (foreign, None, None),
        ];
        for (found, initialise, run) in table {
            let may = |act| found.may(act, Path::new("data")).ok();
            assert_eq!(
                (may(Act::Initialise), may(Act::Run)),
                (initialise, run),
                "{found:?}"
            );
        }
    }

    #[test]
    fn every_refusal_of_a_run_says_that_nothing_was_written_and_what_to_do() {
        let all = [
            Found::Missing,
            Found::Nothing,
            Found::Incomplete,
            Found::IdentityAlone,
            Found::StoreAlone,
        ];
        for found in all {
            let error = found.may(Act::Run, Path::new("/data")).unwrap_err();
            let text = error.to_string();
            for part in ["/data", "nothing was written"] {
                assert!(text.contains(part), "{found:?}: {text}");
            }
            let advice = text.contains("quoit node init") || text.contains("under a new id");
            assert!(advice, "{found:?}: {text}");
        }
    }
}
