//! Replies, in either version of the protocol.
//!
//! ```text
//!                RESP2            RESP3
//!   nil          $-1\r\n          _\r\n
//!   map          *2n, flat        %n
//! ```

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::failure::Failure;

/// The version that a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Version {
    #[default]
    Two,
    Three,
}

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A short text of this program.
    Simple(&'static str),
    /// An error, with the word that programs look at in front.
    Error(String),
    Integer(i64),
    Bulk(Bytes),
    Nil,
    Array(Vec<Self>),
    Map(Vec<(Self, Self)>),
}

impl Reply {
    pub(crate) const OK: Self = Self::Simple("OK");

    /// An error of the kind that has no word of its own.
    pub(crate) fn error(what: impl AsRef<str>) -> Self {
        Self::Error(format!("ERR {}", what.as_ref()))
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Bulk(Bytes::from(text.into()))
    }

    /// A count; no answer counts more than the arguments of one command, or the bytes of one value.
    pub(crate) fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Writes the reply as `version` has it.
    pub(crate) fn write(&self, version: Version, out: &mut BytesMut) {
        match self {
            Self::Simple(text) => line(out, b'+', text),
            Self::Error(text) => line(out, b'-', &text.replace(['\r', '\n'], " ")),
            Self::Integer(number) => line(out, b':', &number.to_string()),
            Self::Bulk(bytes) => {
                line(out, b'$', &bytes.len().to_string());
                out.put_slice(bytes);
                out.put_slice(b"\r\n");
            }
            Self::Nil => out.put_slice(match version {
                Version::Two => b"$-1\r\n",
                Version::Three => b"_\r\n",
            }),
            Self::Array(items) => {
                line(out, b'*', &items.len().to_string());
                items.iter().for_each(|item| item.write(version, out));
            }
            Self::Map(fields) => {
                match version {
                    Version::Two => line(out, b'*', &(2 * fields.len()).to_string()),
                    Version::Three => line(out, b'%', &fields.len().to_string()),
                }
                for (key, value) in fields {
                    key.write(version, out);
                    value.write(version, out);
                }
            }
        }
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        let applied = failure
            .applied
            .map(|applied| format!("applied: {}", applied.word()));
        let more: Vec<&str> = applied
            .as_deref()
            .into_iter()
            .chain(failure.advice)
            .collect();
        let (prefix, detail) = (failure.kind.prefix(), &failure.detail);
        Self::Error(if more.is_empty() {
            format!("{prefix} {detail}")
        } else {
            format!("{prefix} {detail} ({})", more.join("; "))
        })
    }
}

fn line(out: &mut BytesMut, kind: u8, text: &str) {
    out.put_u8(kind);
    out.put_slice(text.as_bytes());
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use quoit_client::WriteError;

    use super::*;

    fn written(reply: &Reply, version: Version) -> String {
        let mut out = BytesMut::new();
        reply.write(version, &mut out);
        out.escape_ascii().to_string().replace("\\r\\n", "|")
    }

    #[test]
    fn replies_are_written_as_the_version_has_them() {
        let map = Reply::Map(vec![(Reply::text("proto"), Reply::Integer(3))]);
        let table = [
            (Reply::OK, "+OK|", "+OK|"),
            (Reply::Integer(-2), ":-2|", ":-2|"),
            (Reply::text("a\r\n"), "$3|a||", "$3|a||"),
            (Reply::Nil, "$-1|", "_|"),
            (Reply::Array(vec![Reply::Nil]), "*1|$-1|", "*1|_|"),
            (map, "*2|$5|proto|:3|", "%1|$5|proto|:3|"),
        ];
        for (reply, two, three) in table {
            assert_eq!(written(&reply, Version::Two), two);
            assert_eq!(written(&reply, Version::Three), three);
        }
    }

    #[test]
    fn an_error_is_one_line_that_says_whether_the_write_may_exist() {
        assert_eq!(
            written(&Reply::error("a\r\n+OK"), Version::Two),
            "-ERR a  +OK|"
        );
        let Reply::Error(text) = Reply::from(Failure::from(WriteError::Abandoned)) else {
            panic!("a failure is an error");
        };
        assert!(
            text.starts_with("MAYBE ") && text.contains("(applied: maybe; read the key"),
            "{text}"
        );
    }
}
