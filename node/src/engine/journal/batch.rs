//! One batch of a journal, as fjall 3.1 writes it.
//!
//! ```text
//!   start   1 | items u32 | sequence number u64                                            13 bytes
//!   item    2 | type u8 | compression u8 | keyspace u64 | key u16 | value u32 | stored u32
//!             | key ... | stored value ...                                                 21 bytes and more
//!   clear   4 | keyspace u64                                                                9 bytes
//!   end     3 | XXH3-64 of all items and clears | "FJL" 3                                  13 bytes
//! ```
//!
//! All numbers are little-endian. A new journal is 64 MiB of zeros, so a zero where a batch could start is the end of
//! what was written.
//!
//! Invariants: a reader holds one buffer, whatever lengths the bytes claim. It never panics.
//!
//! Left out: the checksum does not cover the start, which is why [`scan`](mod@super::scan) compares sequence numbers.
//!
//! Source: fjall 3.1.13, `journal/entry.rs` and `journal/writer.rs`; a test writes a journal and reads it here.

use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom};

use xxhash_rust::xxh3::Xxh3;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: [u8; 4] = *b"FJL\x03";
const ITEM_HEADER: usize = 21;
const BUFFER: usize = 256 << 10;

/// A batch whose checksum is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) seqno: u64,
    pub(super) items: u32,
    pub(super) checksum: u64,
    /// Where the next batch begins.
    pub(super) end: u64,
}

/// Bytes that are not what fjall writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flaw {
    /// Where the batch begins that cannot be decoded.
    pub(super) batch: u64,
    /// Where the expectation failed.
    pub(super) at: u64,
    pub(super) expected: &'static str,
    /// The least offset at which another batch can begin.
    pub(super) resume: u64,
    /// The sequence number of a batch that is whole, and flawed only in that it does not follow the one before.
    pub(super) whole: Option<u64>,
}

/// What stands at an offset where a batch can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Batch(Batch),
    /// A zero, or the end of the file.
    Unwritten,
    Flaw(Flaw),
}

/// Reads batches one after the other.
#[derive(Debug)]
pub(super) struct BatchReader<R> {
    input: BufReader<R>,
    at: u64,
}

impl<R: Read + Seek> BatchReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(BUFFER, input),
            at: 0,
        }
    }

    /// The offset that is read next.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// Goes to `offset`.
    pub(super) fn seek(&mut self, offset: u64) -> io::Result<()> {
        match i64::try_from(i128::from(offset) - i128::from(self.at)) {
            // Keeps the buffer for short ways.
            Ok(distance) => self.input.seek_relative(distance)?,
            Err(_far) => drop(self.input.seek(SeekFrom::Start(offset))?),
        }
        self.at = offset;
        Ok(())
    }

    /// The offset of the first byte from here on that is not zero.
    pub(super) fn skip_zeros(&mut self) -> io::Result<Option<u64>> {
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let zeros = buffer.iter().take_while(|&&byte| byte == 0).count();
            let all = zeros == buffer.len();
            self.input.consume(zeros);
            self.at += zeros as u64;
            if !all {
                return Ok(Some(self.at));
            }
        }
    }

    /// Fills `bytes` with what stands from here on, without going there; returns how many there are.
    pub(super) fn peek(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let begin = self.at;
        let mut read = 0;
        while read < bytes.len() {
            match self.input.read(&mut bytes[read..])? {
                0 => break,
                more => read += more,
            }
        }
        self.at += read as u64;
        self.seek(begin)?;
        Ok(read)
    }

    /// Reads the batch that begins here.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        let batch = self.at;
        match self.input.fill_buf()?.first() {
            None | Some(0) => return Ok(Next::Unwritten),
            Some(_) => {}
        }
        Ok(match self.batch(batch)? {
            Ok(read) => Next::Batch(read),
            Err(flaw) => Next::Flaw(flaw),
        })
    }

    fn batch(&mut self, batch: u64) -> io::Result<Result<Batch, Flaw>> {
        let flaw = |at, expected| {
            Ok(Err(Flaw {
                batch,
                at,
                expected,
                resume: batch + 1,
                whole: None,
            }))
        };

        let mut start = [0; 13];
        if !self.fill(&mut start)? {
            return flaw(batch, "the start of a batch");
        }
        let (tag, items, seqno) = (start[0], u32_at(&start, 1), u64_at(&start, 5));
        if tag != START {
            return flaw(batch, "the start of a batch");
        }

        let mut hash = Xxh3::new();
        for _ in 0..items {
            let at = self.at;
            if let Err(expected) = self.item(&mut hash)? {
                return flaw(at, expected);
            }
        }

        let at = self.at;
        let mut end = [0; 13];
        if !self.fill(&mut end)? || end[0] != END || end[9..] != TRAILER {
            return flaw(at, "the end of a batch");
        }
        let checksum = u64_at(&end, 1);
        if hash.digest() != checksum {
            // Its extent is known all the same: the trailer stands where the lengths say.
            return Ok(Err(Flaw {
                batch,
                at: batch,
                expected: "a batch that matches its checksum",
                resume: self.at,
                whole: None,
            }));
        }
        Ok(Ok(Batch {
            seqno,
            items,
            checksum,
            end: self.at,
        }))
    }

    /// Reads an item or a clear into `hash`.
    fn item(&mut self, hash: &mut Xxh3) -> io::Result<Result<(), &'static str>> {
        const EXPECTED: &str = "an item of a batch";
        let mut header = [0; ITEM_HEADER];
        if !self.fill(&mut header[..9])? {
            return Ok(Err(EXPECTED));
        }
        if header[0] == CLEAR {
            hash.update(&header[..9]);
            return Ok(Ok(()));
        }
        if header[0] != ITEM || !self.fill(&mut header[9..])? {
            return Ok(Err(EXPECTED));
        }
        hash.update(&header);
        let length = u64::from(u16_at(&header, 11)) + u64::from(u32_at(&header, 17));
        match self.hash(length, hash)? {
            true => Ok(Ok(())),
            false => Ok(Err("the key and the value of an item")),
        }
    }

    /// Whether there were enough bytes to fill `bytes`.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        match self.input.read_exact(bytes) {
            Ok(()) => {
                self.at += bytes.len() as u64;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.resynchronize()?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Hashes `length` bytes; whether there were so many.
    fn hash(&mut self, mut length: u64, hash: &mut Xxh3) -> io::Result<bool> {
        while length > 0 {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Ok(false);
            }
            let part = usize::try_from(length).map_or(buffer.len(), |most| most.min(buffer.len()));
            hash.update(&buffer[..part]);
            self.input.consume(part);
            self.at += part as u64;
            length -= part as u64;
        }
        Ok(true)
    }

    /// After a read that failed halfway: asks where the input is.
    fn resynchronize(&mut self) -> io::Result<()> {
        self.at = self.input.stream_position()?;
        Ok(())
    }
}

/// Whether `bytes` may be the head of a batch with a sequence number in `seqnos`. Cheap, and true for all that are.
pub(super) fn may_start(bytes: &[u8], seqnos: std::ops::RangeInclusive<u64>) -> bool {
    bytes.len() >= 14
        && bytes[0] == START
        && matches!(bytes[13], ITEM | CLEAR)
        && u32_at(bytes, 1) > 0
        && seqnos.contains(&u64_at(bytes, 5))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// `N` bytes from `at` on; the callers have read them.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
