//! Large records: what joining, encoding and decoding them allocates grows with their size, and no faster.
//!
//! ```text
//!   8 times the siblings or intervals    at most 10 times the bytes, and three more steps of a growing list
//! ```
//!
//! A node reads, joins and writes a record as a whole, so whoever can make one large decides what each later write to
//! it costs. Its bounds are the node's; that the cost is proportional is shown here.

use bytes::{Bytes, BytesMut};
use quoit_ring::wire::{decode_record, encode_record, record_len};
use quoit_ring::{Actor, Delta, Dot, Millis, Record, Seen, Time};

const FEW: u64 = 1_000;
const MANY: u64 = 8 * FEW;

/// A record of `n` siblings, or of `n` intervals alone, of every second actor from `first` on.
fn record(first: u64, n: u64, siblings: bool) -> Record {
    if n > 1 {
        let half = n / 2;
        let mut all = record(first, half, siblings);
        all.join(&record(first + 2 * half, n - half, siblings));
        return all;
    }
    let (time, actor) = (Time::at(Millis(1_700_000_000_000)), Actor(first));
    let value = siblings.then(|| (Bytes::from_static(b"value"), None));
    Delta::causal(Dot { time, actor }, Time::ZERO, &Seen::default(), value).into_record()
}

fn encoded(record: &Record) -> Bytes {
    let mut out = BytesMut::new();
    encode_record(record, &mut out);
    out.freeze()
}

/// Something done with our record, another one, and that one's bytes.
type Operation = fn(&mut Record, &Record, &Bytes);

/// What an operation on records of `n` allocates: how often, and how many bytes.
fn allocated(n: u64, siblings: bool, operation: Operation) -> (u64, u64) {
    let (mut ours, theirs) = (record(0, n, siblings), record(1, n, siblings));
    let bytes = encoded(&theirs);
    let counted = allocation_counter::measure(|| operation(&mut ours, &theirs, &bytes));
    (counted.count_total, counted.bytes_total)
}

#[test]
fn large_records_cost_in_proportion_to_their_size() {
    let operations: [(&str, Operation); 5] = [
        ("join", |ours, theirs, _bytes| ours.join(theirs)),
        ("encode", |_ours, theirs, _bytes| drop(encoded(theirs))),
        ("decode", |_ours, _theirs, bytes| {
            assert!(decode_record(bytes).is_ok());
        }),
        ("digest", |_ours, theirs, _bytes| {
            drop(theirs.without_values());
        }),
        ("length", |_ours, theirs, bytes| {
            assert_eq!(record_len(theirs), bytes.len());
        }),
    ];
    for siblings in [true, false] {
        for (name, operation) in operations {
            let few = allocated(FEW, siblings, operation);
            let many = allocated(MANY, siblings, operation);
            let case = format!("{name}, siblings: {siblings}, {few:?} and {many:?}");
            assert!(many.0 <= few.0 + 6, "{case}");
            assert!(many.1 <= 10 * few.1, "{case}");
        }
    }
}
