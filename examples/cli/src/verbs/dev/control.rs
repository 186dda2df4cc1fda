//! How another process asks a running dev cluster for a node more, or one less.
//!
//! ```text
//!   DIR/control/socket      both for their owner alone
//!
//!   {"add":{"zone":"b"}}      -->   <--  {"waits":{"name":"node-6","address":"127.0.0.1:7441",..}}
//!   {"left":{"name":"n"}}     -->   <--  {"stopped":{"ran":true}}
//!   anything else             -->   <--  {"refused":{"what":..,"exit":2}}
//! ```
//!
//! One line each way, of 4 KiB at most, and one question a connection. Whoever adds a node keeps the connection until the
//! change is over, so that nobody else takes up the same node meanwhile.
//!
//! Left out: the change of the ring. Whoever asks begins it, with an operator's certificate.

#[cfg(not(unix))]
mod no_socket;
#[cfg(unix)]
mod socket;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

#[cfg(not(unix))]
pub(super) use self::no_socket::{Listener, Socket};
#[cfg(unix)]
pub(super) use self::socket::{Listener, Socket};

use crate::exit::Exit;
use crate::failure::Failure;

/// Most bytes of a line.
pub(super) const MAX_LINE: usize = 4096;
/// How long a line may take to come or to go.
pub(super) const LINE_WITHIN: Duration = Duration::from_secs(5);
/// How long the running cluster may take to answer: a node is made and started, or stopped.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Request {
    /// A node that runs and waits to join.
    Add {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        zone: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight: Option<u32>,
    },
    /// That a node which has left the ring is stopped.
    Left { name: String },
}

/// What comes back.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Answer {
    Waits {
        name: String,
        id: String,
        address: String,
        zone: String,
        weight: u32,
    },
    Stopped {
        /// Whether it was a node of this process, now or before.
        ran: bool,
    },
    Refused {
        what: String,
        #[serde(default)]
        hint: Option<String>,
        exit: u8,
    },
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        Self::Refused {
            what: failure.what,
            hint: failure.hint,
            exit: failure.exit.code(),
        }
    }
}

/// A connection to a running dev cluster.
#[derive(Debug)]
pub(super) struct Link(Socket);

impl Link {
    /// Connects to the cluster that runs in `dir`.
    pub(super) async fn open(dir: &Path) -> Result<Self, Failure> {
        match Socket::connect(&socket_of(dir)).await {
            Ok(socket) => Ok(Self(socket)),
            Err(error) => {
                let dir = dir.display();
                let what = format!("no dev cluster that can be asked runs in {dir} ({error})");
                let hint = if error.kind() == ErrorKind::InvalidInput {
                    "its path is too long for a socket: name a shorter one with `--data`, as from within the folder; nothing has changed".to_owned()
                } else {
                    format!("start it with `quoit dev --data {dir}`; nothing has changed")
                };
                Err(Failure::new(Exit::Unavailable, what).hint(hint))
            }
        }
    }

    /// Asks, once. A refusal is a failure.
    pub(super) async fn ask(&self, request: &Request) -> Result<Answer, Failure> {
        let lost = |why: String| {
            let what = format!("the dev cluster did not answer: {why}");
            let hint = "a node that it started waits; the same line again takes it up";
            Failure::new(Exit::Unknown, what).hint(hint)
        };
        let line = serde_json::to_string(request).map_err(|error| Failure::caused(&error))?;
        let sent = self.0.write_line(&line).await;
        sent.map_err(|error| lost(error.to_string()))?;
        let answer = timeout(ANSWER_WITHIN, self.0.read_line(MAX_LINE)).await;
        let answer = answer.map_err(|_late| lost("it took too long".to_owned()))?;
        let answer = answer.map_err(|error| lost(error.to_string()))?;
        match serde_json::from_slice(&answer).map_err(|error| lost(error.to_string()))? {
            Answer::Refused { what, hint, exit } => Err(Failure {
                hint,
                ..Failure::new(Exit::from_code(exit).unwrap_or(Exit::Error), what)
            }),
            answer => Ok(answer),
        }
    }
}

/// The socket of the cluster in `dir`. Its folder is its owner's alone, from before there is a socket.
pub(super) fn socket_of(dir: &Path) -> PathBuf {
    dir.join("control").join("socket")
}

/// Reads what is asked for.
pub(super) fn parse(line: &[u8]) -> Result<Request, Failure> {
    serde_json::from_slice(line).map_err(|error| {
        Failure::new(Exit::Usage, format!("that is no request: {error}"))
            .hint("ask with `quoit dev add` or `quoit dev remove`; nothing has changed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_come_back_as_they_were() {
        for (request, text) in [
            (
                Request::Add {
                    zone: None,
                    weight: Some(200),
                },
                r#"{"add":{"weight":200}}"#,
            ),
            (
                Request::Left { name: "n".into() },
                r#"{"left":{"name":"n"}}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&request).unwrap(), text);
            assert_eq!(parse(text.as_bytes()).unwrap(), request);
        }
        let refused = Answer::from(Failure::new(Exit::Conflict, "busy"));
        let text = serde_json::to_string(&refused).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), refused);
    }

    #[test]
    fn what_is_no_request_is_a_usage_error() {
        for junk in [
            &b""[..],
            b"\xff\xfe",
            b"{}",
            b"[]",
            br#"{"add":{"zone":3}}"#,
            br#"{"add":{"path":"/etc/passwd"}}"#,
            br#"{"left":{}}"#,
            br#"{"add":{}} {"add":{}}"#,
        ] {
            assert_eq!(parse(junk).unwrap_err().exit, Exit::Usage, "{junk:?}");
        }
    }
}
