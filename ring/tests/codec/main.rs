//! The codec: what is sent comes back, what is junk is refused, and neither costs more than it may.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `messages` | random requests, responses, records and maps |
//! | `round_trip` | every message comes back as it was sent |
//! | `golden` | the bytes of every message, in a table: the wire never changes silently |
//! | `document` | `docs/format.md` shows the bytes that the encoder writes |
//! | `junk` | damaged and made-up bytes: an error, never a panic, never much memory |
//! | `memory` | what decoding may allocate, at its worst |
//! | `updates` | what leads from one configuration to a later one, over random chains |
//! | `frames` | a stream cut anywhere gives the same frames |
//!
//! Memory is counted by an allocator, thread by thread: decoding may take 4 times the bytes it is given,
//! and 64 KiB, twice that for a configuration with its two maps.

#[cfg(test)]
mod document;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod junk;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod updates;
