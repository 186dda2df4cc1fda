//! Tokens: what a watch has yielded, to go on from there later, in another process too.
//!
//! ```text
//!   version u8 | cluster u128 | 0 key, 1 key and its version u64, 2 prefix | key or prefix | checksum u64
//! ```
//!
//! Of a prefix a token holds nothing but its name: what was yielded of its keys would be as long as they are. It is checked, and
//! not signed: a party that can change it can have a watch yield a version again, or pass over the one that is there.

use bytes::Bytes;
use quoit_ring::ClusterId;
use quoit_ring::wire::MAX_KEY;

use super::error::BadWatchToken;
use super::machine::Target;
use crate::scan::checksum;

const VERSION: u8 = 1;
const CHECKSUM: usize = size_of::<u64>();

/// Where a watch goes on; made by [`WatchStream::token`](crate::WatchStream::token), for [`Watch::resume`](crate::Watch::resume).
///
/// ```no_run
/// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use quoit_client::WatchToken;
///
/// let mut watch = client.watch("settings").stream()?;
/// let first = watch.next().await;
/// let kept = watch.token().to_bytes(); // to a file, and back after a restart
///
/// let token = WatchToken::from_bytes(&kept)?;
/// let later = client.watch("settings").resume(token).stream()?; // yields nothing before it has changed
/// # drop((first, later));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchToken {
    cluster: ClusterId,
    target: Target,
    /// Of a key: the version that was yielded last.
    version: Option<u64>,
}

impl WatchToken {
    pub(super) const fn new(cluster: ClusterId, target: Target, version: Option<u64>) -> Self {
        Self {
            cluster,
            target,
            version,
        }
    }

    /// What a watch of this target has yielded: of a prefix something, which is not known.
    pub(super) fn known(
        self,
        cluster: ClusterId,
        target: &Target,
    ) -> Result<Option<u64>, BadWatchToken> {
        if self.cluster != cluster {
            return Err(BadWatchToken::OtherCluster);
        }
        if self.target != *target {
            return Err(BadWatchToken::OtherWatch);
        }
        Ok(match self.target {
            Target::Key(_) => self.version,
            Target::Prefix(_) => Some(0),
        })
    }

    /// The token's bytes, to keep or send: the key or prefix and at most 34 more. They are not encrypted.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.cluster.0.to_le_bytes());
        let name = match (&self.target, self.version) {
            (Target::Key(key), None) => {
                bytes.push(0);
                key
            }
            (Target::Key(key), Some(version)) => {
                bytes.push(1);
                bytes.extend_from_slice(&version.to_le_bytes());
                key
            }
            (Target::Prefix(prefix), _) => {
                bytes.push(2);
                prefix
            }
        };
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&checksum(&bytes));
        bytes
    }

    /// Decodes a token. The bytes may be untrusted.
    ///
    /// ```
    /// use quoit_client::{BadWatchToken, WatchToken};
    ///
    /// assert_eq!(WatchToken::from_bytes(b"junk"), Err(BadWatchToken::Damaged));
    /// ```
    ///
    /// # Errors
    /// [`BadWatchToken::Damaged`] or [`BadWatchToken::Version`] if they are not from [`WatchToken::to_bytes`]. Whether it is a
    /// token of the watch that it is given to is said when that begins.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadWatchToken> {
        const DAMAGED: BadWatchToken = BadWatchToken::Damaged;
        let (rest, sum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(DAMAGED)?;
        if checksum(rest) != *sum {
            return Err(DAMAGED);
        }
        let (&format, rest) = rest.split_first().ok_or(DAMAGED)?;
        if format != VERSION {
            return Err(BadWatchToken::Version { version: format });
        }
        let (cluster, rest) = rest.split_first_chunk().ok_or(DAMAGED)?;
        let (&kind, rest) = rest.split_first().ok_or(DAMAGED)?;
        let (version, name) = if kind == 1 {
            let (version, name) = rest.split_first_chunk().ok_or(DAMAGED)?;
            (Some(u64::from_le_bytes(*version)), name)
        } else {
            (None, rest)
        };
        if name.len() > MAX_KEY {
            return Err(DAMAGED);
        }
        let name = Bytes::copy_from_slice(name);
        let target = match kind {
            0 | 1 if !name.is_empty() => Target::Key(name),
            2 => Target::Prefix(name),
            _ => return Err(DAMAGED),
        };
        Ok(Self {
            cluster: ClusterId(u128::from_le_bytes(*cluster)),
            target,
            version,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_belongs_to_one_cluster_and_one_key_or_prefix() {
        let key = || Target::Key("a".into());
        let token = || WatchToken::new(ClusterId(7), key(), Some(9));
        assert_eq!(token().known(ClusterId(7), &key()), Ok(Some(9)));
        let other = token().known(ClusterId(8), &key());
        assert_eq!(other, Err(BadWatchToken::OtherCluster));
        for target in [Target::Key("b".into()), Target::Prefix("a".into())] {
            let other = token().known(ClusterId(7), &target);
            assert_eq!(other, Err(BadWatchToken::OtherWatch));
        }
    }

    #[test]
    fn the_bytes_of_a_token_are_golden() {
        let bytes = WatchToken::new(ClusterId(7), Target::Key("ab".into()), Some(9)).to_bytes();
        let mut golden = vec![1, 7];
        golden.extend([0; 15]);
        golden.extend([1, 9, 0, 0, 0, 0, 0, 0, 0, b'a', b'b']);
        assert_eq!(bytes[..28], golden);
        assert_eq!(bytes.len(), 36);
        let mut later = golden;
        later[0] = 2;
        later.extend_from_slice(&checksum(&later));
        let version = BadWatchToken::Version { version: 2 };
        assert_eq!(WatchToken::from_bytes(&later), Err(version));
    }

    proptest! {
        #[test]
        fn a_token_comes_back_and_a_damaged_one_does_not(
            name in vec(any::<u8>(), 1..40), version: Option<u64>, at: prop::sample::Index, bit in 0_u8..8,
        ) {
            let name = Bytes::from(name);
            let tokens = [
                WatchToken::new(ClusterId(3), Target::Key(name.clone()), version),
                WatchToken::new(ClusterId(3), Target::Prefix(name), None),
            ];
            for token in tokens {
                let mut bytes = token.to_bytes();
                prop_assert_eq!(WatchToken::from_bytes(&bytes), Ok(token));
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                prop_assert!(WatchToken::from_bytes(&bytes).is_err());
                prop_assert!(WatchToken::from_bytes(&bytes[..at]).is_err());
            }
        }
    }
}
