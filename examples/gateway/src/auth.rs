//! Tokens: who may use a gateway.
//!
//! ```text
//! # one token a line: 16 to 256 visible ASCII characters
//! 6fOZ0hCkYyXb3E9r
//! ```
//!
//! The same tokens open both ports: `Authorization: Bearer TOKEN` and `AUTH TOKEN`. Only digests are kept, and a token is
//! compared with all of them in constant time: how long that takes says nothing about any token, nor how long it is.
//!
//! Left out: roles. Whoever has a token may read and write every key.

use core::fmt;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use subtle::{Choice, ConstantTimeEq as _};

/// Characters of a token: long enough not to be guessed, short enough for a header.
const LENGTHS: core::ops::RangeInclusive<usize> = 16..=256;

/// The digests of all tokens.
#[derive(Clone)]
pub struct Tokens(Vec<[u8; 32]>);

/// Why a file of tokens cannot be used. No token is shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The file could not be read.
    #[error("cannot read the tokens in {}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A line is no token.
    #[error("line {line} of {} is no token: a token has 16 to 256 visible ASCII characters", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// There is no token, so nobody could connect.
    #[error("there is no token in {}: write one a line", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
}

impl Tokens {
    /// Reads a file: one token a line; empty lines and those that begin with `#` are left out.
    ///
    /// # Errors
    /// [`TokensError`] names the file and the line.
    pub fn load(file: &Path) -> Result<Self, TokensError> {
        let text = std::fs::read_to_string(file).map_err(|source| TokensError::Unreadable {
            file: file.to_owned(),
            source,
        })?;
        Self::parse(&text, file)
    }

    fn parse(text: &str, file: &Path) -> Result<Self, TokensError> {
        let mut digests = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let token = line.trim();
            if token.is_empty() || token.starts_with('#') {
                continue;
            }
            if !LENGTHS.contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic())
            {
                let (file, line) = (file.to_owned(), index + 1);
                return Err(TokensError::Malformed { file, line });
            }
            digests.push(digest_of(token.as_bytes()));
        }
        if digests.is_empty() {
            let file = file.to_owned();
            return Err(TokensError::Empty { file });
        }
        Ok(Self(digests))
    }

    /// Whether `token` is one of them.
    pub(crate) fn admit(&self, token: &[u8]) -> bool {
        let given = digest_of(token);
        let known = self.0.iter().fold(Choice::from(0), |found, digest| {
            found | digest.as_slice().ct_eq(given.as_slice())
        });
        known.into()
    }
}

fn digest_of(token: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token).as_ref());
    bytes
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tokens").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Tokens, TokensError> {
        Tokens::parse(text, Path::new("tokens"))
    }

    #[test]
    fn every_token_of_the_file_is_admitted_and_no_other() {
        let tokens = parse("# two\n\n0123456789abcdef\n  fedcba9876543210  \r\n").unwrap();
        for token in ["0123456789abcdef", "fedcba9876543210"] {
            assert!(tokens.admit(token.as_bytes()), "{token}");
        }
        for token in ["", "0123456789abcde", "0123456789abcdef0", "# two"] {
            assert!(!tokens.admit(token.as_bytes()), "{token}");
        }
        assert!(!format!("{tokens:?}").contains("0123"));
    }

    #[test]
    fn a_line_that_is_no_token_is_named_and_not_shown() {
        let error = parse("0123456789abcdef\nshort\n").unwrap_err().to_string();
        assert!(
            error.starts_with("line 2 of tokens") && !error.contains("short"),
            "{error}"
        );
        assert!(parse("with a space in it\n").is_err());
        assert!(matches!(parse("# none\n"), Err(TokensError::Empty { .. })));
    }
}
