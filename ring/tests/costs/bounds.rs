//! What operations may allocate, and the test's look at what they do.
//!
//! ```text
//!   counted > row    somebody added a copy or a box: fail
//!   counted < row    somebody took one away: fail, so that the row is lowered and it stays away
//! ```
//!
//! Allocations are exact: an operation makes the same ones wherever it runs. Bytes are an upper bound, since
//! they differ with the sizes that buffers grow in. The allocator counts by thread, so tests may run side by
//! side.

use crate::meter::Case;

/// What a case allocates, and what for.
pub(crate) struct Bound {
    /// The case's name.
    pub(crate) name: &'static str,
    /// Allocations of each operation; a buffer that grows counts as a new one.
    pub(crate) each: u64,
    /// Most allocations of a whole run besides, fewer than it has operations: what is paid by the batch.
    pub(crate) besides: u64,
    /// Most bytes that one operation allocates, rounded up.
    pub(crate) bytes: u64,
    /// What is allocated.
    pub(crate) what_for: &'static str,
}

/// Counts every case and holds it against its row.
pub(crate) fn hold(cases: &[Case], bounds: &[Bound]) {
    let wrong: String = cases
        .iter()
        .filter_map(|case| differs(case, bounds))
        .collect();
    assert!(wrong.is_empty(), "costs differ from the table:\n{wrong}");
    assert_eq!(
        cases.len(),
        bounds.len(),
        "a row for each case, and no more"
    );
}

/// What is wrong with a case, if anything is.
fn differs(case: &Case, bounds: &[Bound]) -> Option<String> {
    let name = case.name;
    let mut total = allocation_counter::AllocationInfo::default();
    case.measure(&mut |part| total += allocation_counter::measure(part));
    let (each, besides) = (
        total.count_total / case.operations,
        total.count_total % case.operations,
    );
    let bytes = total.bytes_total.div_ceil(case.operations);
    let counted = format!("{name}: {each} allocations and {besides} besides, {bytes} bytes");
    let Some(row) = bounds.iter().find(|bound| bound.name == name) else {
        return Some(format!("{counted}; it has no row\n"));
    };
    let holds = row.each == each && besides <= row.besides && bytes <= row.bytes;
    let message = || {
        let (each, besides, bytes, what_for) = (row.each, row.besides, row.bytes, row.what_for);
        format!("{counted}; its row says {each} and {besides}, {bytes} bytes: {what_for}\n")
    };
    (!holds).then(message)
}
