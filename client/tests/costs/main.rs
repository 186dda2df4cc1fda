//! The allocations of a quorum operation in the client.
//!
//! An operation is an entry of a slab, and its frames are appended to existing buffers. What remains are the
//! caller's allocations: a future, a reply channel, the returned value. Every application pays for each further
//! one at every operation, and no test of behaviour would notice it.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `cases` | the operations, shared with the benchmark that counts instructions |
//! | `by_hand` | the environment they run in |
//! | `meter`, `bounds` | how they are counted, shared with the other crates |

#[cfg(test)]
#[path = "../../../ring/tests/costs/bounds.rs"]
mod bounds;
mod by_hand;
mod cases;
#[path = "../../../ring/tests/costs/meter.rs"]
mod meter;

#[cfg(test)]
mod tests {
    use crate::bounds::{Bound, hold};
    use crate::cases::CASES;

    const BOUNDS: &[Bound] = &[
        Bound {
            name: "quorum get",
            each: 4,
            besides: 9,
            bytes: 1600,
            what_for: "the future, the channel of the answer, the list of values, the value itself; besides, the buffers that answers were cut from, which records hold on to: of all three nodes, as reads in flight are spread over them",
        },
        Bound {
            name: "quorum get, absent",
            each: 2,
            besides: 0,
            bytes: 800,
            what_for: "the future, the channel of the answer",
        },
        Bound {
            name: "quorum get, three siblings",
            each: 17,
            besides: 21,
            bytes: 4050,
            what_for: "a get; two lists for each record, the joined one, the one returned and the context, which names the versions; three values",
        },
        Bound {
            name: "quorum get, one replica stale",
            each: 6,
            besides: 15,
            bytes: 1850,
            what_for: "a get; the record that is written back, which two replicas share",
        },
        Bound {
            name: "quorum put",
            each: 4,
            besides: 0,
            bytes: 1150,
            what_for: "the future, the channel of the answer, the encoded record, which three replicas share",
        },
        Bound {
            name: "quorum put with a context",
            each: 6,
            besides: 0,
            bytes: 1250,
            what_for: "a put; two lists of intervals, as the context names another writer",
        },
        Bound {
            name: "quorum delete",
            each: 4,
            besides: 0,
            bytes: 1050,
            what_for: "what a put does",
        },
    ];

    #[test]
    fn every_operation_allocates_what_its_row_says() {
        hold(CASES, BOUNDS);
    }
}
