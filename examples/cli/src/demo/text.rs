//! The text of the tour: part of the program, so that an installed one has it, too.

use std::sync::LazyLock;

use crate::pairs::{self, Format, Pair};

/// The King James Bible as CSV, a verse a line.
pub(super) const TEXT: &[u8] = include_bytes!("../../data/kjv.csv");

/// Its verses.
pub(super) fn verses() -> &'static [Pair] {
    static VERSES: LazyLock<Vec<Pair>> = LazyLock::new(|| {
        pairs::read(Format::Csv, TEXT)
            .filter_map(Result::ok)
            .collect()
    });
    &VERSES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_shipped_text_is_whole() {
        assert!(pairs::read(Format::Csv, TEXT).all(|pair| pair.is_ok()));
        assert_eq!(verses().len(), 31_102);
        let keys: BTreeSet<_> = verses().iter().map(|pair| &pair.key).collect();
        assert_eq!(keys.len(), verses().len(), "every key is different");
    }
}
