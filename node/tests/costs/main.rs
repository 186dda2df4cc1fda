//! The allocations of a get and a put at a node.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `cases` | the operations, shared with the benchmark that counts instructions |
//! | `world` | the node they run at: all that ships but sockets and disk |
//! | `meter`, `bounds` | how they are counted, shared with the other crates |

#[cfg(test)]
#[path = "../../../ring/tests/costs/bounds.rs"]
mod bounds;
mod cases;
#[path = "../../../ring/tests/costs/meter.rs"]
mod meter;
mod world;

#[cfg(test)]
mod tests {
    use crate::bounds::{Bound, hold};
    use crate::cases::CASES;

    const BOUNDS: &[Bound] = &[
        Bound {
            name: "get",
            each: 1,
            besides: 0,
            bytes: 24,
            what_for: "the stored key: the record goes from the engine to the lane without a copy of its own",
        },
        Bound {
            name: "get, digest of a small record",
            each: 1,
            besides: 0,
            bytes: 24,
            what_for: "the same: a small record is sent whole",
        },
        Bound {
            name: "get, absent",
            each: 1,
            besides: 0,
            bytes: 24,
            what_for: "the stored key",
        },
        Bound {
            name: "put, batch of 1",
            each: 8,
            besides: 0,
            bytes: 640,
            what_for: "the stored key twice, once to read and once to write; what a batch takes by itself, six",
        },
        Bound {
            name: "put, batch of 32",
            each: 2,
            besides: 6,
            bytes: 512,
            what_for: "the stored key twice; a batch by itself takes its lists (outcomes, sums, order, writes) and the buffer of its records",
        },
        Bound {
            name: "put, batch of 512",
            each: 2,
            besides: 6,
            bytes: 512,
            what_for: "no more than a batch of 32",
        },
        Bound {
            name: "put of a new key, batch of 32",
            each: 3,
            besides: 24,
            bytes: 850,
            what_for: "a put and the key of its leaf; besides, the engine's nodes",
        },
    ];

    #[test]
    fn every_operation_allocates_what_its_row_says() {
        hold(CASES, BOUNDS);
    }
}
