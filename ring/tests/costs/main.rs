//! What the operations that client and node share cost, in allocations.
//!
//! Most of them cost none: a lookup reads a table, encoding appends to a buffer that is there, and decoding
//! borrows from the bytes that came in. That is easily lost by a change that looks harmless, and no test of
//! behaviour would notice.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `cases` | the operations, shared with the benchmark that counts instructions |
//! | `linear` | that large records cost in proportion to their size |
//! | `meter`, `bounds` | how they are counted, shared with the client's and the node's |

#[cfg(test)]
mod bounds;
mod cases;
#[cfg(test)]
mod linear;
mod meter;

#[cfg(test)]
mod tests {
    use crate::bounds::{Bound, hold};
    use crate::cases::CASES;

    /// A row that allocates nothing.
    const fn free(name: &'static str, what_for: &'static str) -> Bound {
        Bound {
            name,
            each: 0,
            besides: 0,
            bytes: 0,
            what_for,
        }
    }

    const BOUNDS: &[Bound] = &[
        free(
            "look up owners",
            "the ring is a table, and a list a view of it",
        ),
        free("hash a value", "a value is hashed where it lies"),
        free("sum a record", "as is what goes into a Merkle sum"),
        free(
            "join, last writer wins",
            "one sibling and one interval fit into the record itself",
        ),
        free(
            "join, causal overwrite",
            "as they have where a context is replaced",
        ),
        free("join, retry", "and where nothing changes"),
        Bound {
            name: "join, three siblings",
            each: 4,
            besides: 0,
            bytes: 600,
            what_for: "lists of siblings and intervals outgrow the record, each in two steps",
        },
        free(
            "encode a record",
            "it is appended to a buffer that is there",
        ),
        free(
            "decode a record",
            "its value is a slice of the bytes that came in",
        ),
        free("encode three siblings", "as one sibling is"),
        Bound {
            name: "decode three siblings",
            each: 2,
            besides: 0,
            bytes: 300,
            what_for: "a list of siblings and one of intervals, each in one step",
        },
        free("encode a get", "a frame is appended to the lane's buffer"),
        free("decode a get", "its key is a slice of the frame"),
        free(
            "encode a put",
            "key and record are copied into the lane's buffer once",
        ),
        free("decode a put", "both are slices of the frame"),
        free(
            "encode an answer to a get",
            "a frame is appended to the lane's buffer",
        ),
        free(
            "decode an answer to a get",
            "the record is a slice of the frame",
        ),
        free("encode an answer to a put", "its head is all it has"),
        free("decode an answer to a put", "and nothing of it is kept"),
        free(
            "cut a frame",
            "frames are slices of the buffer, which is used again once they are gone",
        ),
    ];

    #[test]
    fn every_operation_allocates_what_its_row_says() {
        hold(CASES, BOUNDS);
    }
}
