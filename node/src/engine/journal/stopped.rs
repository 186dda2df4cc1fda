//! `DIR/stopped`: what the journals held when the engine was closed in order.
//!
//! ```text
//!   quoit stopped in order 1
//!   4.jnl 63989112 51210 9f2c11d07a3be480      file, bytes and batches written, digest of the batches
//!   5.jnl 1204 3 07a3be4809f2c11d
//!   xxh3 1bf2905f8a3c77d0                      of all lines above
//! ```
//!
//! It is written and synced after the last write to a journal, and removed, with the folder synced, before the library
//! opens the store again. So while it is there nothing writes, and the journals hold exactly what it says: neither a
//! crash nor a copy taken while a node ran leaves it behind. One that cannot be read says nothing, and the journals
//! are then judged as after a crash.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::scan::Contents;
use crate::identity::disk;

const NAME: &str = "stopped";
const NEW: &str = "stopped.new";
const TITLE: &str = "quoit stopped in order 1";
/// More than a store with a hundred journals needs.
const LONGEST: u64 = 64 << 10;

/// One journal at an orderly stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) id: u64,
    pub(super) end: u64,
    pub(super) batches: u64,
    pub(super) digest: u64,
}

impl Closed {
    pub(super) const fn new(id: u64, contents: &Contents) -> Self {
        Self {
            id,
            end: contents.end,
            batches: contents.batches,
            digest: contents.digest,
        }
    }
}

/// The journals at the orderly stop, in order; `None` if the last stop was not in order.
pub(super) fn read(directory: &Path) -> io::Result<Option<Vec<Closed>>> {
    let path = directory.join(NAME);
    let length = match fs::metadata(&path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let closed = match length <= LONGEST {
        true => decode(&fs::read(&path)?),
        false => None,
    };
    if closed.is_none() {
        tracing::warn!(
            path = %path.display(),
            "what was written at the orderly stop cannot be read: the journals are checked as after a crash"
        );
    }
    Ok(closed)
}

/// Writes `closed` durably.
pub(super) fn write(directory: &Path, closed: &[Closed]) -> io::Result<()> {
    disk::replace(
        &directory.join(NAME),
        &directory.join(NEW),
        encode(closed).as_bytes(),
    )
}

/// Removes it durably; no error if there is none.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    let path = directory.join(NAME);
    match fs::remove_file(&path) {
        Ok(()) => disk::sync_parent(&path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn encode(closed: &[Closed]) -> String {
    let mut text = format!("{TITLE}\n");
    for one in closed {
        let Closed {
            id,
            end,
            batches,
            digest,
        } = one;
        // Writing to a string cannot fail.
        writeln!(text, "{id}.jnl {end} {batches} {digest:016x}").ok();
    }
    let sum = xxh3_64(text.as_bytes());
    writeln!(text, "xxh3 {sum:016x}").ok();
    text
}

fn decode(bytes: &[u8]) -> Option<Vec<Closed>> {
    let text = str::from_utf8(bytes).ok()?;
    let lines = text.strip_prefix(TITLE)?.strip_prefix('\n')?;
    let (lines, _sum) = lines.split_at(lines.rfind("xxh3 ")?);
    let closed: Option<Vec<Closed>> = lines.lines().map(decode_line).collect();
    // Only one text stands for a list, so comparing it checks the sum and the form of each line.
    closed.filter(|closed| encode(closed) == text)
}

fn decode_line(line: &str) -> Option<Closed> {
    let mut words = line.split(' ');
    Some(Closed {
        id: words.next()?.strip_suffix(".jnl")?.parse().ok()?,
        end: words.next()?.parse().ok()?,
        batches: words.next()?.parse().ok()?,
        digest: u64::from_str_radix(words.next()?, 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed() -> Vec<Closed> {
        let one = |id| Closed {
            id,
            end: 63_989_112 + id,
            batches: 51_210,
            digest: 0x0f2c_11d0_7a3b_e480,
        };
        vec![one(4), one(5)]
    }

    #[test]
    fn it_comes_back_whole_and_is_gone_once_removed() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        remove(folder.path()).unwrap();
        for closed in [closed(), vec![]] {
            write(folder.path(), &closed).unwrap();
            assert_eq!(read(folder.path()).unwrap(), Some(closed));
        }
        remove(folder.path()).unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
    }

    #[test]
    fn a_changed_bit_or_a_missing_end_makes_it_say_nothing() {
        let bytes = encode(&closed()).into_bytes();
        assert!(decode(&bytes).is_some());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), None, "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), None, "{end} bytes");
        }
    }
}
