//! What a connection has agreed on, and the commands that are answered from that alone.
//!
//! `HELLO` says honestly that this is quoit. `AUTH` takes a token under any user name: tokens have no names here.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::commands::{self, COMMANDS, Name, Spec};
use super::parse::Command;
use super::reply::{Reply, Version};
use super::work::{Work, since_1970};
use crate::failure::Failure;
use crate::gateway::Shared;
use crate::metrics;

/// Longest name of a connection.
const MAX_NAME: usize = 256;
/// What becomes of a connection that needs a token.
const NO_AUTH: &str = "NOAUTH Authentication required.";
const WRONG_PASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) version: Version,
    id: u64,
    peer: SocketAddr,
    admitted: bool,
    name: Bytes,
}

/// What follows from a command.
#[derive(Debug)]
pub(crate) enum Step {
    Now(Reply),
    Later(Work),
    /// The reply is the last one.
    Close(Reply),
}

impl Session {
    pub(crate) fn new(id: u64, peer: SocketAddr, shared: &Shared) -> Self {
        Self {
            version: Version::default(),
            id,
            peer,
            admitted: shared.tokens.is_none(),
            name: Bytes::new(),
        }
    }

    /// Takes a command.
    pub(crate) fn step(&mut self, command: Command, shared: &Shared) -> Step {
        if let Some(rate) = &shared.rate
            && let Err(wait) = rate.admit(self.peer.ip(), Instant::now())
        {
            let failure = Failure::rate_limit(wait);
            metrics::refused("resp", &failure);
            return Step::Now(failure.into());
        }
        let name = command.first().cloned().unwrap_or_default();
        // A browser can be made to send these; what follows is not meant for this port.
        if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
            return Step::Close(Reply::error("this port speaks RESP, not HTTP"));
        }
        let Some(spec) = commands::find(&name) else {
            return Step::Now(Reply::error(commands::absent(&name)));
        };
        if !self.admitted && !spec.is_open() {
            return Step::Now(Reply::Error(NO_AUTH.into()));
        }
        if !spec.takes(command.len()) {
            let text = spec.text;
            let what = format!("wrong number of arguments for '{text}' command");
            return Step::Now(Reply::error(what));
        }
        if spec.name == Name::Quit {
            return Step::Close(Reply::OK);
        }
        if let Some(local) = self.local(spec, &command, shared) {
            return Step::Now(local);
        }
        match Work::of(spec, command, since_1970()) {
            Some(Ok(work)) => Step::Later(work),
            Some(Err(reply)) => Step::Now(reply),
            None => Step::Now(Reply::error(commands::absent(&name))),
        }
    }

    fn local(&mut self, spec: &Spec, command: &[Bytes], shared: &Shared) -> Option<Reply> {
        let args = command.get(1..).unwrap_or_default();
        Some(match (spec.name, args) {
            (Name::Ping, []) => Reply::Simple("PONG"),
            (Name::Ping | Name::Echo, [message]) => Reply::Bulk(message.clone()),
            (Name::Ping, _) => Reply::error("wrong number of arguments for 'ping' command"),
            (Name::Select, [database]) if database == "0" => Reply::OK,
            (Name::Select, _) => Reply::error("DB index is out of range: there is only 0"),
            (Name::Auth, [token] | [_, token]) => self.auth(token, shared),
            (Name::Auth, _) => Reply::error("syntax error"),
            (Name::Hello, _) => self.hello(args, shared),
            (Name::Client, [verb, args @ ..]) => self.client(verb, args),
            (Name::Command, _) => listing(args),
            (Name::Info, _) => Reply::text(info(shared)),
            _ => return None,
        })
    }

    fn auth(&mut self, token: &[u8], shared: &Shared) -> Reply {
        let Some(tokens) = &shared.tokens else {
            return Reply::error("AUTH called, but this gateway has no tokens: anyone may use it");
        };
        if tokens.admit(token) {
            self.admitted = true;
            Reply::OK
        } else {
            Reply::Error(WRONG_PASS.into())
        }
    }

    fn hello(&mut self, args: &[Bytes], shared: &Shared) -> Reply {
        let (version, mut options) = match args {
            [] => (self.version, args),
            [version, options @ ..] => match version.as_ref() {
                b"2" => (Version::Two, options),
                b"3" => (Version::Three, options),
                _ => return Reply::Error("NOPROTO unsupported protocol version".into()),
            },
        };
        let mut name = None;
        while let [option, rest @ ..] = options {
            options = match rest {
                [_user, token, rest @ ..] if option.eq_ignore_ascii_case(b"auth") => {
                    let reply = self.auth(token, shared);
                    if reply != Reply::OK {
                        return reply;
                    }
                    rest
                }
                [given, rest @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                    name = Some(given);
                    rest
                }
                _ => return Reply::error("syntax error in HELLO"),
            };
        }
        if !self.admitted {
            return Reply::Error(
                "NOAUTH HELLO needs a token first: HELLO 3 AUTH default TOKEN".into(),
            );
        }
        if let Some(name) = name
            && let Err(reply) = self.set_name(name)
        {
            return reply;
        }
        self.version = version;
        let field = |name: &str, value| (Reply::text(name), value);
        Reply::Map(vec![
            field("server", Reply::text("quoit")),
            field("version", Reply::text(env!("CARGO_PKG_VERSION"))),
            field(
                "proto",
                Reply::Integer(if version == Version::Three { 3 } else { 2 }),
            ),
            field("id", self.id()),
            field("mode", Reply::text("standalone")),
            field("role", Reply::text("master")),
            field("modules", Reply::Array(Vec::new())),
        ])
    }

    fn id(&self) -> Reply {
        Reply::Integer(i64::try_from(self.id).unwrap_or(i64::MAX))
    }

    fn set_name(&mut self, name: &Bytes) -> Result<(), Reply> {
        if name.len() > MAX_NAME || !name.iter().all(u8::is_ascii_graphic) {
            let what = "a client's name has at most 256 characters, no spaces and no newlines";
            return Err(Reply::error(what));
        }
        self.name = Bytes::copy_from_slice(name);
        Ok(())
    }

    fn client(&mut self, verb: &[u8], args: &[Bytes]) -> Reply {
        match (verb.to_ascii_uppercase().as_slice(), args) {
            (b"ID", []) => self.id(),
            (b"GETNAME", []) if self.name.is_empty() => Reply::Nil,
            (b"GETNAME", []) => Reply::Bulk(self.name.clone()),
            (b"SETNAME", [name]) => self.set_name(name).err().unwrap_or(Reply::OK),
            // What libraries say of themselves; nothing is kept of it.
            (b"SETINFO", [_, _]) => Reply::OK,
            (b"INFO", []) => Reply::text(format!(
                "id={} addr={} name={} resp={}\n",
                self.id,
                self.peer,
                String::from_utf8_lossy(&self.name),
                if self.version == Version::Three { 3 } else { 2 },
            )),
            _ => Reply::error(
                "unknown subcommand of CLIENT: ID, INFO, GETNAME, SETNAME, SETINFO are there",
            ),
        }
    }
}

/// `COMMAND` and what stands behind it.
fn listing(args: &[Bytes]) -> Reply {
    let all = || COMMANDS.iter();
    let (verb, names) = match args {
        [] => return Reply::Array(all().map(described).collect()),
        [verb, names @ ..] => (verb.to_ascii_uppercase(), names),
    };
    let asked = |names: &[Bytes]| -> Vec<Option<&'static Spec>> {
        if names.is_empty() {
            all().map(Some).collect()
        } else {
            names.iter().map(|name| commands::find(name)).collect()
        }
    };
    match verb.as_slice() {
        b"COUNT" => Reply::count(COMMANDS.len()),
        b"LIST" => Reply::Array(all().map(|spec| Reply::text(spec.text)).collect()),
        b"INFO" => Reply::Array(
            asked(names)
                .into_iter()
                .map(|spec| spec.map_or(Reply::Nil, described))
                .collect(),
        ),
        b"DOCS" => Reply::Map(asked(names).into_iter().flatten().map(documented).collect()),
        _ => Reply::error("unknown subcommand of COMMAND: COUNT, DOCS, INFO, LIST are there"),
    }
}

fn described(spec: &Spec) -> Reply {
    let (first, last, step) = spec.keys;
    let flags = spec.flags.iter().map(|flag| Reply::Simple(flag));
    Reply::Array(vec![
        Reply::text(spec.text),
        Reply::Integer(spec.arity),
        Reply::Array(flags.collect()),
        Reply::Integer(first),
        Reply::Integer(last),
        Reply::Integer(step),
    ])
}

fn documented(spec: &'static Spec) -> (Reply, Reply) {
    let group = if spec.keys.0 == 0 {
        "connection"
    } else {
        "string"
    };
    let docs = vec![
        (Reply::text("summary"), Reply::text(spec.summary)),
        (Reply::text("since"), Reply::text(env!("CARGO_PKG_VERSION"))),
        (Reply::text("group"), Reply::text(group)),
    ];
    (Reply::text(spec.text), Reply::Map(docs))
}

fn info(shared: &Shared) -> String {
    format!(
        "# Server\r\nserver:quoit\r\nquoit_version:{}\r\nredis_mode:standalone\r\nprocess_id:{}\r\n\
         # Clients\r\nmaxclients:{}\r\n# Persistence\r\nloading:0\r\n# Replication\r\nrole:master\r\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        shared.limits.max_connections,
    )
}
