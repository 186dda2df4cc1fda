//! Patterns of `SCAN` and `KEYS`: `*`, `?`, `[a-z]`, `[^a]`, and `\` before what stands for itself.
//!
//! The bytes before the first of these are a prefix, which the cluster looks up; the rest is matched here, in time of
//! the key's length by the pattern's at most.
//!
//! Source: `stringmatchlen` of Redis, which is recursive.

/// Longest pattern.
pub(crate) const MAX_PATTERN: usize = 1024;

/// What one byte of a key has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Any bytes, or none.
    Star,
    One,
    Byte(u8),
    /// Whether these ranges are those that are not meant.
    Class(bool, Vec<(u8, u8)>),
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Part>);

impl Pattern {
    /// Reads a pattern; every text is one. What is not closed ends with the pattern, as in Redis.
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            match (byte, tail) {
                (b'*', _) if parts.last() == Some(&Part::Star) => {}
                (b'*', _) => parts.push(Part::Star),
                (b'?', _) => parts.push(Part::One),
                (b'[', _) => {
                    let (part, tail) = class(tail);
                    parts.push(part);
                    rest = tail;
                }
                (b'\\', [escaped, tail @ ..]) => {
                    parts.push(Part::Byte(*escaped));
                    rest = tail;
                }
                _ => parts.push(Part::Byte(byte)),
            }
        }
        Self(parts)
    }

    /// What every key that matches begins with.
    pub(crate) fn prefix(&self) -> Vec<u8> {
        let literal = |part: &Part| match part {
            Part::Byte(byte) => Some(*byte),
            Part::Star | Part::One | Part::Class(..) => None,
        };
        self.0.iter().map_while(literal).collect()
    }

    /// Whether a key matches.
    pub(crate) fn matches(&self, key: &[u8]) -> bool {
        let (mut part, mut at) = (0, 0);
        // Where to go on if what follows the last star does not match.
        let mut again: Option<(usize, usize)> = None;
        loop {
            match (self.0.get(part), key.get(at)) {
                (None, None) => return true,
                (Some(Part::Star), _) => {
                    part += 1;
                    again = Some((part, at));
                    continue;
                }
                (Some(other), Some(byte)) if other.takes(*byte) => {
                    (part, at) = (part + 1, at + 1);
                    continue;
                }
                _ => {}
            }
            match again {
                Some((behind, from)) if from < key.len() => {
                    (part, at) = (behind, from + 1);
                    again = Some((behind, at));
                }
                _ => return false,
            }
        }
    }
}

impl Part {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Star | Self::One => true,
            Self::Byte(other) => *other == byte,
            Self::Class(is_not, ranges) => {
                let is_in = |(a, b): &(u8, u8)| (*a.min(b)..=*a.max(b)).contains(&byte);
                ranges.iter().any(is_in) != *is_not
            }
        }
    }
}

/// A class behind its bracket, and what follows.
fn class(mut rest: &[u8]) -> (Part, &[u8]) {
    let is_not = rest.first() == Some(&b'^');
    if is_not {
        rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    loop {
        rest = match rest {
            [] => break,
            [b']', tail @ ..] => {
                rest = tail;
                break;
            }
            [b'\\', byte, tail @ ..] => {
                ranges.push((*byte, *byte));
                tail
            }
            [from, b'-', to, tail @ ..] => {
                ranges.push((*from, *to));
                tail
            }
            [byte, tail @ ..] => {
                ranges.push((*byte, *byte));
                tail
            }
        };
    }
    (Part::Class(is_not, ranges), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        let table = [
            ("*", "", true),
            ("user:*", "user:7", true),
            ("user:*", "use", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("*a*b", "xxaxxab", true),
            ("*a*b", "xxbxxa", false),
            ("[a", "a", true),
            ("[\\]]", "]", true),
            ("a\\", "a\\", true),
            ("", "a", false),
        ];
        for (pattern, key, expected) in table {
            let matches = Pattern::of(pattern.as_bytes()).matches(key.as_bytes());
            assert_eq!(matches, expected, "{pattern} {key}");
        }
        assert_eq!(Pattern::of(b"a\\*b[c]*").prefix(), b"a*b");
        assert_eq!(Pattern::of(b"?").prefix(), b"");
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = Pattern::of(&b"*a".repeat(MAX_PATTERN / 2));
        assert!(!pattern.matches(&[b'a'; 400].map(|_| b'b')));
        assert!(!Pattern::of(b"*a*a*a*a*a*a*a*a*b").matches(&[b'a'; 32 << 10]));
    }

    proptest! {
        #[test]
        fn junk_never_panics_and_a_key_matches_its_own_escape(pattern: Vec<u8>, key: Vec<u8>) {
            let junk = Pattern::of(&pattern);
            prop_assert!(!junk.matches(&key) || key.starts_with(&junk.prefix()));
            let escaped: Vec<u8> = key.iter().flat_map(|byte| [b'\\', *byte]).collect();
            let own = Pattern::of(&escaped);
            prop_assert!(own.matches(&key) && own.prefix() == key);
        }
    }
}
