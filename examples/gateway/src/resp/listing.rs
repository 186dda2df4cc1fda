//! `SCAN` and `KEYS`: read from their words, then done a page at a time.
//!
//! ```text
//!   SCAN 0 MATCH user:*      --> 5861..., some keys     the token of the next page is kept behind that number
//!   SCAN 5861... MATCH user:* --> 0, the last ones
//! ```

use bytes::Bytes;

use super::commands::Name;
use super::glob::{MAX_PATTERN, Pattern};
use super::reply::Reply;
use super::work::Answer;
use crate::failure::{Failure, Kind};
use crate::list::{Page, Wanted};
use crate::store::{Store, Terms};

/// Keys that a `SCAN` looks at unless it says.
const COUNT: usize = 10;
/// Most keys that it looks at.
const MOST_COUNT: usize = 16_384;
/// Most keys that `KEYS` looks at.
const MOST_KEYS: usize = 100_000;
/// About the most bytes of keys of one page.
const PAGE_BYTES: usize = 4 << 20;
/// The same for `KEYS`.
const KEYS_BYTES: usize = 32 << 20;

/// Which keys are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listing {
    /// The cursor, the pattern, keys to look at, and whether values of that type exist.
    Scan(u64, Pattern, usize, bool),
    Keys(Pattern),
}

impl Listing {
    /// Reads the words behind a command's name; there is one at least.
    ///
    /// # Errors
    /// They make no sense.
    pub(crate) fn of(name: Name, words: &[Bytes]) -> Result<Self, Reply> {
        let Some((first, options)) = words.split_first() else {
            return Err(Reply::error("syntax error"));
        };
        if name == Name::Keys {
            return Ok(Self::Keys(pattern(first)?));
        }
        let cursor = str::from_utf8(first)
            .ok()
            .and_then(|text| text.parse().ok());
        let cursor = cursor.ok_or_else(|| Reply::error("invalid cursor"))?;
        let (pairs, rest) = options.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(Reply::error("syntax error"));
        }
        let (mut matching, mut count, mut is_there) = (Pattern::of(b"*"), COUNT, true);
        for [option, value] in pairs {
            match option.to_ascii_uppercase().as_slice() {
                b"MATCH" => matching = pattern(value)?,
                b"COUNT" => count = counted(value)?,
                b"TYPE" => is_there = value.eq_ignore_ascii_case(b"string"),
                _ => return Err(Reply::error("syntax error")),
            }
        }
        Ok(Self::Scan(cursor, matching, count, is_there))
    }

    /// Does it.
    ///
    /// # Errors
    /// The cursor is as good as before.
    pub(crate) async fn run(self, store: &Store) -> Result<Answer, Failure> {
        match self {
            Self::Scan(0, _, _, false) => Ok(scanned(0, Vec::new()).into()),
            Self::Scan(cursor, pattern, count, is_there) => {
                scan(store, cursor, &pattern, (count, is_there)).await
            }
            Self::Keys(pattern) => {
                let page = page(store, &pattern, None, (MOST_KEYS, KEYS_BYTES)).await?;
                if page.next.is_some() {
                    return Err(too_many());
                }
                let reply = Reply::Array(matching(&page, &pattern));
                let memory = page.memory;
                Ok(Answer { reply, memory })
            }
        }
    }
}

fn too_many() -> Failure {
    let what = "KEYS reads 100,000 keys or 32 MiB of them at most, within 10 s";
    Failure::new(Kind::BadOption, what).advice("use SCAN, or a longer literal prefix")
}

async fn scan(
    store: &Store,
    cursor: u64,
    pattern: &Pattern,
    (count, is_there): (usize, bool),
) -> Result<Answer, Failure> {
    let token = match cursor {
        0 => None,
        _ => Some(store.cursors.token(cursor).ok_or_else(|| {
            let what = "this cursor is not known here, or not any more";
            Failure::new(Kind::BadToken, what).advice("begin again with SCAN 0")
        })?),
    };
    let page = page(store, pattern, token, (count, PAGE_BYTES)).await?;
    let next = match &page.next {
        None => None,
        Some(token) => Some((token.clone(), store.memory(token.to_bytes().len())?)),
    };
    let cursor = store.cursors.replace(cursor, next);
    let keys = if is_there {
        matching(&page, pattern)
    } else {
        Vec::new()
    };
    let memory = page.memory;
    let reply = scanned(cursor, keys);
    Ok(Answer { reply, memory })
}

async fn page(
    store: &Store,
    pattern: &Pattern,
    token: Option<quoit_client::ScanToken>,
    (limit, bytes): (usize, usize),
) -> Result<Page, Failure> {
    let wanted = Wanted {
        prefix: pattern.prefix().into(),
        token,
        limit,
        bytes,
        ..Wanted::default()
    };
    store.list(wanted, &Terms::default()).await
}

fn matching(page: &Page, pattern: &Pattern) -> Vec<Reply> {
    let keys = page.rows.iter().map(quoit_client::ScanEntry::key);
    // Copied, or a few bytes keep a whole page of the network alive.
    keys.filter(|key| pattern.matches(key))
        .map(|key| Reply::Bulk(Bytes::copy_from_slice(key)))
        .collect()
}

fn scanned(cursor: u64, keys: Vec<Reply>) -> Reply {
    Reply::Array(vec![Reply::text(cursor.to_string()), Reply::Array(keys)])
}

fn pattern(text: &[u8]) -> Result<Pattern, Reply> {
    if text.len() > MAX_PATTERN {
        return Err(Reply::error("a pattern has 1,024 bytes at most"));
    }
    Ok(Pattern::of(text))
}

fn counted(text: &[u8]) -> Result<usize, Reply> {
    let number: Option<i64> = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    let number = number.ok_or_else(|| Reply::error("value is not an integer or out of range"))?;
    match usize::try_from(number) {
        Ok(count) if count > 0 => Ok(count.min(MOST_COUNT)),
        _ => Err(Reply::error("syntax error")),
    }
}
