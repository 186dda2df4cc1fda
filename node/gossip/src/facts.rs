//! What a member says of itself beside being alive.
//!
//! ```text
//!   epoch, build, disk level, address     a change is announced at once
//!   free bytes, age of the oldest hint    change all the time: announced once a minute at most
//! ```
//!
//! Facts travel whole, and only to those who lack them: see [`Pulse`](crate::Pulse) for how that is known. They steer
//! routing and fill the operator's table. Nothing that must be right is decided by them.

use core::fmt;

use quoit_ring::Epoch;
use quoit_ring::cluster::MAX_ADDRESS;
use quoit_ring::wire::DiskLevel;

/// Most bytes of a build's version; longer ones are cut.
pub const MAX_BUILD: usize = 23;

/// The version of a build, in place: a thousand members' facts need no allocation for it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Build {
    len: u8,
    text: [u8; MAX_BUILD],
}

impl Build {
    /// The version `text`, or as much of it as [`MAX_BUILD`] bytes hold.
    ///
    /// ```
    /// # use quoit_gossip::Build;
    /// assert_eq!(Build::new("0.2.0").as_str(), "0.2.0");
    /// assert_eq!(Build::new("0.2.0-12-gdeadbeef-dirty").as_str(), "0.2.0-12-gdeadbeef-dirt");
    /// ```
    #[must_use]
    pub fn new(text: &str) -> Self {
        let kept = &text.as_bytes()[..text.floor_char_boundary(MAX_BUILD)];
        let mut build = Self::default();
        build.text[..kept.len()].copy_from_slice(kept);
        build.len = u8::try_from(kept.len()).unwrap_or_default();
        build
    }

    /// The version.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The version of its build.
    pub build: Build,
    /// The newest epoch of the ring that it holds.
    pub epoch: Epoch,
    /// For which writes its disk has space.
    pub disk: DiskLevel,
    /// Bytes free on its disk.
    pub free_bytes: u64,
    /// Seconds for which it had kept hints without a break when that was announced; none if it kept none.
    pub oldest_hint_s: Option<u32>,
    /// `host:port` at which it serves, at most [`MAX_ADDRESS`] bytes: a hint for whoever dials it, since the certificate
    /// says who answers there. `None` if the configuration's address is right.
    pub address: Option<Box<str>>,
}

impl Default for Facts {
    /// Those of a member that has not said anything: no epoch, no build, nothing kept.
    fn default() -> Self {
        Self {
            build: Build::default(),
            epoch: Epoch(0),
            disk: DiskLevel::default(),
            free_bytes: 0,
            oldest_hint_s: None,
            address: None,
        }
    }
}

impl Facts {
    /// These facts with an address that is within its bound; a longer one is left out, since it cannot be dialled.
    #[must_use]
    pub(crate) fn bounded(mut self) -> Self {
        self.address = self.address.filter(|address| address.len() <= MAX_ADDRESS);
        self
    }

    /// Whether `other` differs in something that others should know at once.
    pub(crate) fn differs_at_once(&self, other: &Self) -> bool {
        // That free bytes are known at all, too: a node that starts learns them a little later.
        let is_known = |facts: &Self| facts.free_bytes > 0;
        let quick = |facts: &Self| (facts.build, facts.epoch, facts.disk, is_known(facts));
        quick(self) != quick(other) || self.address != other.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_cut_between_characters() {
        let long = "é".repeat(MAX_BUILD);
        assert_eq!(Build::new(&long).as_str(), "é".repeat(MAX_BUILD / 2));
        assert_eq!(Build::new("").as_str(), "");
    }

    #[test]
    fn an_address_that_is_too_long_is_left_out() {
        let facts = |len| Facts {
            address: Some("a".repeat(len).into()),
            ..Facts::default()
        };
        assert!(facts(MAX_ADDRESS).bounded().address.is_some());
        assert_eq!(facts(MAX_ADDRESS + 1).bounded().address, None);
    }
}
