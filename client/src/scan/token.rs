//! Tokens: where a scan was, to go on from there later, in another process too.
//!
//! ```text
//!   version u8 | cluster u128 | range and direction: hash u64 | 0, 1 and a key, or 2 | checksum u64
//! ```
//!
//! A token says nothing of the ring: it goes on in whatever epoch the cluster is in. It is checked, and not signed: a party
//! that can change it can have the scan go on elsewhere within its range, and nowhere else.

use core::hash::Hasher as _;

use bytes::Bytes;
use quoit_ring::ClusterId;
use quoit_ring::wire::MAX_KEY;
use siphasher::sip::SipHasher13;

use super::error::BadToken;
use super::range::ScanRange;

const VERSION: u8 = 1;
const HEAD: usize = 1 + size_of::<u128>() + size_of::<u64>() + 1;
const CHECKSUM: usize = size_of::<u64>();

/// How far a scan has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Place {
    /// Nowhere.
    #[default]
    Start,
    /// Up to this key, which it has yielded or passed.
    Behind(Bytes),
    /// To its end.
    End,
}

/// Where a scan goes on; made by [`ScanStream::token`](crate::ScanStream::token), for [`Scan::resume`](crate::Scan::resume).
///
/// ```no_run
/// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use quoit_client::ScanToken;
///
/// let mut page = client.scan().prefix("user:").limit(100).stream()?;
/// while let Some(row) = page.next().await {
///     println!("{:?}", row?.key());
/// }
/// let cursor = page.token().to_bytes(); // sent to a browser, and back for the next hundred
///
/// let token = ScanToken::from_bytes(&cursor)?;
/// let next = client.scan().prefix("user:").limit(100).resume(token).stream()?;
/// # drop(next);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanToken {
    cluster: ClusterId,
    scan: u64,
    place: Place,
}

impl ScanToken {
    pub(crate) fn new(cluster: ClusterId, range: &ScanRange, place: Place) -> Self {
        Self {
            cluster,
            scan: range.fingerprint(),
            place,
        }
    }

    /// Where a scan of this range goes on.
    pub(crate) fn place(self, cluster: ClusterId, range: &ScanRange) -> Result<Place, BadToken> {
        if self.cluster != cluster {
            return Err(BadToken::OtherCluster);
        }
        let is_within = match &self.place {
            Place::Behind(key) => range.contains(key),
            Place::Start | Place::End => true,
        };
        if self.scan != range.fingerprint() || !is_within {
            return Err(BadToken::OtherScan);
        }
        Ok(self.place)
    }

    /// The token's bytes, to keep or send: the last key and 34 more. They are not encrypted.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (tag, key): (u8, &[u8]) = match &self.place {
            Place::Start => (0, &[]),
            Place::Behind(key) => (1, key),
            Place::End => (2, &[]),
        };
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.cluster.0.to_le_bytes());
        bytes.extend_from_slice(&self.scan.to_le_bytes());
        bytes.push(tag);
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&checksum(&bytes));
        bytes
    }

    /// Decodes a token. The bytes may be untrusted.
    ///
    /// ```
    /// use quoit_client::{BadToken, ScanToken};
    ///
    /// assert_eq!(ScanToken::from_bytes(b"junk"), Err(BadToken::Damaged));
    /// ```
    ///
    /// # Errors
    /// [`BadToken::Damaged`] or [`BadToken::Version`] if they are not from [`ScanToken::to_bytes`]. Whether it is a token of
    /// the scan that it is given to is said when that begins.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadToken> {
        let (rest, sum) = bytes
            .split_last_chunk::<CHECKSUM>()
            .ok_or(BadToken::Damaged)?;
        if rest.len() < HEAD || checksum(rest) != *sum {
            return Err(BadToken::Damaged);
        }
        let (&version, rest) = rest.split_first().ok_or(BadToken::Damaged)?;
        if version != VERSION {
            return Err(BadToken::Version { version });
        }
        let (cluster, rest) = rest.split_first_chunk().ok_or(BadToken::Damaged)?;
        let (scan, rest) = rest.split_first_chunk().ok_or(BadToken::Damaged)?;
        let place = match rest {
            [0] => Place::Start,
            [1, key @ ..] if (1..=MAX_KEY).contains(&key.len()) => {
                Place::Behind(Bytes::copy_from_slice(key))
            }
            [2] => Place::End,
            _ => return Err(BadToken::Damaged),
        };
        Ok(Self {
            cluster: ClusterId(u128::from_le_bytes(*cluster)),
            scan: u64::from_le_bytes(*scan),
            place,
        })
    }
}

pub(crate) fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::scan::range::Wanted;

    fn range(prefix: &'static str, reverse: bool) -> ScanRange {
        ScanRange::new(&Wanted {
            prefix: prefix.into(),
            reverse,
            ..Wanted::default()
        })
        .unwrap()
    }

    fn token(place: Place) -> ScanToken {
        ScanToken::new(ClusterId(7), &range("a", false), place)
    }

    #[test]
    fn a_token_belongs_to_one_cluster_one_range_and_one_direction() {
        let behind = || token(Place::Behind("ab".into()));
        let place = |cluster, range: &ScanRange| behind().place(ClusterId(cluster), range);
        assert_eq!(place(7, &range("a", false)), Ok(Place::Behind("ab".into())));
        assert_eq!(place(8, &range("a", false)), Err(BadToken::OtherCluster));
        assert_eq!(place(7, &range("a", true)), Err(BadToken::OtherScan));
        assert_eq!(place(7, &range("", false)), Err(BadToken::OtherScan));
        let outside = token(Place::Behind("b".into()));
        let place = outside.place(ClusterId(7), &range("a", false));
        assert_eq!(place, Err(BadToken::OtherScan));
    }

    #[test]
    fn the_bytes_of_a_token_are_golden() {
        let bytes = token(Place::Behind("ab".into())).to_bytes();
        assert_eq!(
            bytes[..18],
            [&[1, 7][..], &[0; 15], &bytes[17..18]].concat()
        );
        assert_eq!(bytes[25..28], [1, b'a', b'b']);
        assert_eq!(bytes.len(), 36);
        let mut later = bytes[..28].to_vec();
        later[0] = 2;
        later.extend_from_slice(&checksum(&later));
        let version = BadToken::Version { version: 2 };
        assert_eq!(ScanToken::from_bytes(&later), Err(version));
    }

    proptest! {
        #[test]
        fn a_token_comes_back_and_a_damaged_one_does_not(key in vec(any::<u8>(), 1..40), at: prop::sample::Index, bit in 0_u8..8) {
            for place in [Place::Start, Place::Behind(key.into()), Place::End] {
                let token = token(place);
                let mut bytes = token.to_bytes();
                prop_assert_eq!(ScanToken::from_bytes(&bytes), Ok(token));
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                prop_assert!(ScanToken::from_bytes(&bytes).is_err());
                prop_assert!(ScanToken::from_bytes(&bytes[..at]).is_err());
            }
        }
    }
}
