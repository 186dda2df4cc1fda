//! A whole journal: its batches, the place where they end, and what comes after that place.
//!
//! ```text
//!   | batch | batch | batch |  zeros to the end of the file     nothing else was written
//!                           ^ end
//!   | batch | batch | ## | batch | batch |                      something is missing: 2 follow
//!                   ^ end
//! ```
//!
//! Sequence numbers grow from batch to batch, by one or by a few, and a journal's first is above the last of the one
//! before. So a batch with any other number is a flaw, too: fjall would sort its writes in at another time, or skip
//! them as if they were in a table already.
//!
//! A batch behind a flaw is found by trying each byte that may start one with a number of the near future. That takes
//! one more pass over the file, and at most [`ATTEMPTS`] times its length if a client has filled it with imitations.
//!
//! Left out: a value that imitates batches with the very numbers that come next, in a batch that is torn. It makes a
//! crash look like damage.

use std::io::{self, Read, Seek};

use xxhash_rust::xxh3::Xxh3;

use super::batch::{Batch, BatchReader, Flaw, Next, may_start};

/// How far the sequence numbers of two neighbours may lie apart. Flushes and merges take one or two each, but once damage
/// was cut off the next batch follows the tables' last, which may be millions ahead. A damaged number in the middle of a
/// journal shows by the next batch, which then lies below it.
const FURTHEST: u64 = 1 << 40;
/// How far ahead a batch is looked for behind a flaw: the nearer, the fewer bytes look like one.
const GAP: u64 = 1 << 20;
/// How many times its own length a file is read at most in the search for batches behind a flaw.
const ATTEMPTS: u64 = 4;
const CHUNK: usize = 64 << 10;
/// Bytes that [`may_start`] looks at.
const HEAD: usize = 14;

/// What stands in a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Contents {
    /// Where the last batch of an unbroken row ends.
    pub(super) end: u64,
    /// How many batches that row has.
    pub(super) batches: u64,
    /// A checksum of their sequence numbers, counts and checksums.
    pub(super) digest: u64,
    /// The sequence number of the last one; the last one before this journal if it has none.
    pub(super) last: Option<u64>,
    /// What ends the row, if it is not zeros up to the end of the file.
    pub(super) flaw: Option<Flaw>,
    /// How many batches can be decoded behind the flaw.
    pub(super) following: u64,
}

/// Reads a journal of `length` bytes; `before` is the last sequence number of the one before.
pub(super) fn scan(
    input: impl Read + Seek,
    length: u64,
    before: Option<u64>,
) -> io::Result<Contents> {
    let mut reader = BatchReader::new(input);
    let mut digest = Xxh3::new();
    let mut contents = Contents {
        last: before,
        ..Contents::default()
    };

    let flaw = loop {
        match next(&mut reader, contents.last)? {
            Next::Batch(batch) => {
                add(&mut digest, &batch);
                contents.end = batch.end;
                contents.batches += 1;
                contents.last = Some(batch.seqno);
            }
            Next::Unwritten => break unwritten(&mut reader)?,
            Next::Flaw(flaw) => break Some(flaw),
        }
    };

    contents.digest = digest.digest();
    contents.flaw = flaw;
    if let Some(flaw) = flaw {
        contents.following = following(&mut reader, &flaw, length, contents.last)?;
    }
    Ok(contents)
}

/// The next batch; one whose number does not follow `last` is a flaw.
fn next<R: Read + Seek>(reader: &mut BatchReader<R>, last: Option<u64>) -> io::Result<Next> {
    let start = reader.at();
    let next = reader.next()?;
    let follows = |seqno| last.is_none_or(|last| last < seqno && seqno - last <= FURTHEST);
    Ok(match next {
        Next::Batch(batch) if !follows(batch.seqno) => Next::Flaw(Flaw {
            batch: start,
            at: start,
            expected: "a batch whose sequence number follows the one before",
            resume: batch.end,
            whole: Some(batch.seqno),
        }),
        next => next,
    })
}

/// A flaw if anything but zeros stands from here on.
fn unwritten<R: Read + Seek>(reader: &mut BatchReader<R>) -> io::Result<Option<Flaw>> {
    let end = reader.at();
    Ok(reader.skip_zeros()?.map(|at| Flaw {
        batch: end,
        at: end,
        expected: "a batch, or zeros to the end of the file",
        resume: at,
        whole: None,
    }))
}

/// Counts the batches behind `flaw` in a journal of `length` bytes.
fn following<R: Read + Seek>(
    reader: &mut BatchReader<R>,
    flaw: &Flaw,
    length: u64,
    last: Option<u64>,
) -> io::Result<u64> {
    let mut from = flaw.resume;
    // A crash leaves no whole batch with a wrong number, so that one counts.
    let mut count = u64::from(flaw.whole.is_some());
    let mut last = flaw.whole.or(last);
    let mut budget = length.saturating_mul(ATTEMPTS);

    while let Some(start) = candidate(reader, from, last)? {
        reader.seek(start)?;
        if let Next::Batch(batch) = reader.next()? {
            (count, last) = (count + 1, Some(batch.seqno));
            from = batch.end;
        } else {
            from = start + 1;
            budget = budget.saturating_sub(reader.at() - start);
        }
        if budget == 0 {
            // Only imitations use it up. To take them for batches errs on the side of refusing.
            return Ok(count.max(1));
        }
    }
    Ok(count)
}

/// The first offset from `from` on where a batch may begin whose number follows `last`.
fn candidate<R: Read + Seek>(
    reader: &mut BatchReader<R>,
    mut from: u64,
    last: Option<u64>,
) -> io::Result<Option<u64>> {
    let lowest = last.map_or(0, |last| last.saturating_add(1));
    let highest = last.map_or(u64::MAX, |last| last.saturating_add(GAP));
    let mut chunk = vec![0; CHUNK];
    loop {
        reader.seek(from)?;
        let read = reader.peek(&mut chunk)?;
        if read < HEAD {
            return Ok(None);
        }
        let mut heads = chunk[..read].windows(HEAD);
        if let Some(place) = heads.position(|head| may_start(head, lowest..=highest)) {
            return Ok(Some(from + place as u64));
        }
        from += (read - HEAD + 1) as u64;
    }
}

fn add(digest: &mut Xxh3, batch: &Batch) {
    digest.update(&batch.seqno.to_le_bytes());
    digest.update(&batch.items.to_le_bytes());
    digest.update(&batch.checksum.to_le_bytes());
}
