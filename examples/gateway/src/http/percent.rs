//! Percent-encoding, strictly: any bytes, and no guess about what is broken (RFC 3986, section 2.1).

/// Decodes `%XX`; every other byte stands for itself, `+` too. `None` if a `%` has no two hexadecimal digits behind it.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let (digits, tail) = tail.split_first_chunk::<2>()?;
            bytes.push(hex(digits[0])? << 4 | hex(digits[1])?);
            rest = tail;
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    Some(bytes)
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_decoded_and_broken_ones_refused() {
        let table: [(&str, Option<&[u8]>); 9] = [
            ("", Some(b"")),
            ("a/b+c", Some(b"a/b+c")),
            ("%2F%2f", Some(b"//")),
            ("%00%fF", Some(&[0, 0xff])),
            ("%25", Some(b"%")),
            ("%", None),
            ("%2", None),
            ("%g0", None),
            ("%%20", None),
        ];
        for (text, bytes) in table {
            assert_eq!(decode(text).as_deref(), bytes, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_named(bytes: Vec<u8>) {
            let text: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decode(&text), Some(bytes));
        }

        #[test]
        fn junk_never_panics(text: String) {
            decode(&text);
        }
    }
}
