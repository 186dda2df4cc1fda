//! Byte counts in a configuration: `65536`, `"64KiB"`, `"256 MiB"`.
//!
//! Only binary units exist: "MB" may mean 1,000,000 or 1,048,576 bytes. A text that is not a count is refused
//! with examples of valid ones. Left out: the range of a count, which the caller checks.

use core::fmt;

use serde::de::{self, Deserializer, Visitor};

/// The units that a text may end with, largest first.
const UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Reads a count of bytes from an integer or a text.
pub(super) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    from.deserialize_any(Count)
}

/// The same for a count that must fit in memory.
pub(super) fn memory_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    usize::try_from(bytes(from)?).map_err(de::Error::custom)
}

/// The same for a key that may be absent.
pub(super) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    memory_bytes(from).map(Some)
}

struct Count;

impl Visitor<'_> for Count {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, or a text such as \"64KiB\", \"256MiB\" or \"1GiB\"")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<u64, E> {
        u64::try_from(value)
            .map_err(|_negative| E::invalid_value(de::Unexpected::Signed(value), &self))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
        Ok(value)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// The count that `text` names, or `None` if it names none or one beyond 64 bits.
fn parse(text: &str) -> Option<u64> {
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
        .unwrap_or((text, 1));
    let digits = digits.trim();
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let table = [
            ("0", 0),
            ("65536", 65_536),
            ("512B", 512),
            ("64KiB", 65_536),
            ("256 MiB", 256 << 20),
            ("3GiB", 3 << 30),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn texts_that_are_no_size_are_refused() {
        for text in [
            "",
            "KiB",
            "-1",
            "+1",
            "1.5MiB",
            "1MB",
            "1mib",
            "1 Mi B",
            "17179869184GiB",
            "x",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
