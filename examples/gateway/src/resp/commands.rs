//! The commands: one table of those that are there, one of those that wait for something.

/// Which command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Ping,
    Echo,
    Hello,
    Auth,
    Client,
    Select,
    Command,
    Info,
    Quit,
    Get,
    Set,
    Mget,
    Mset,
    Del,
    Exists,
    Strlen,
    Ttl,
    Pttl,
    Type,
    Scan,
    Keys,
    Append,
    Decr,
    Decrby,
    Expire,
    Expireat,
    Getdel,
    Getex,
    Getset,
    Incr,
    Incrby,
    Persist,
    Pexpire,
    Pexpireat,
    Setnx,
}

/// What is known of a command.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) text: &'static str,
    pub(crate) name: Name,
    /// Words, the name included; if negative, at least so many.
    pub(crate) arity: i64,
    /// First key, last key (from the end if negative), step; all 0 if it has none.
    pub(crate) keys: (i64, i64, i64),
    /// As `COMMAND` has them.
    pub(crate) flags: &'static [&'static str],
    pub(crate) summary: &'static str,
}

const fn spec(
    text: &'static str,
    name: Name,
    arity: i64,
    keys: (i64, i64, i64),
    flags: &'static [&'static str],
    summary: &'static str,
) -> Spec {
    Spec {
        text,
        name,
        arity,
        keys,
        flags,
        summary,
    }
}

const FAST: &[&str] = &["fast"];
const OPEN: &[&str] = &["fast", "no_auth"];
const READ: &[&str] = &["readonly", "fast"];
const LIST: &[&str] = &["readonly"];
const WRITE: &[&str] = &["write"];
const NONE: (i64, i64, i64) = (0, 0, 0);
const ONE: (i64, i64, i64) = (1, 1, 1);
const ALL: (i64, i64, i64) = (1, -1, 1);

/// All commands.
pub(crate) const COMMANDS: &[Spec] = &[
    spec(
        "ping",
        Name::Ping,
        -1,
        NONE,
        FAST,
        "Answers PONG, or the message.",
    ),
    spec("echo", Name::Echo, 2, NONE, FAST, "Answers the message."),
    spec(
        "hello",
        Name::Hello,
        -1,
        NONE,
        OPEN,
        "Chooses the protocol, with AUTH and SETNAME if wanted.",
    ),
    spec("auth", Name::Auth, -2, NONE, OPEN, "Shows a token."),
    spec(
        "client",
        Name::Client,
        -2,
        NONE,
        FAST,
        "ID, INFO, GETNAME, SETNAME, SETINFO of this connection.",
    ),
    spec(
        "select",
        Name::Select,
        2,
        NONE,
        FAST,
        "Takes 0, the only database.",
    ),
    spec(
        "command",
        Name::Command,
        -1,
        NONE,
        FAST,
        "Lists the commands: COUNT, DOCS, INFO, LIST.",
    ),
    spec(
        "info",
        Name::Info,
        -1,
        NONE,
        FAST,
        "Describes this gateway.",
    ),
    spec("quit", Name::Quit, -1, NONE, OPEN, "Answers OK and closes."),
    spec(
        "get",
        Name::Get,
        2,
        ONE,
        READ,
        "The value; of several siblings the last written.",
    ),
    spec(
        "set",
        Name::Set,
        -3,
        ONE,
        WRITE,
        "Writes a value; EX, PX, EXAT, PXAT, KEEPTTL, NX, XX, GET.",
    ),
    spec(
        "mget",
        Name::Mget,
        -2,
        ALL,
        READ,
        "The values of several keys, each read for itself.",
    ),
    spec(
        "mset",
        Name::Mset,
        -3,
        (1, -1, 2),
        WRITE,
        "Several SETs; not atomic over keys.",
    ),
    spec(
        "del",
        Name::Del,
        -2,
        ALL,
        WRITE,
        "Deletes keys; counts those that had a value just before.",
    ),
    spec("unlink", Name::Del, -2, ALL, WRITE, "The same as DEL."),
    spec(
        "exists",
        Name::Exists,
        -2,
        ALL,
        READ,
        "Counts the keys that have a value, each as often as named.",
    ),
    spec(
        "strlen",
        Name::Strlen,
        2,
        ONE,
        READ,
        "Bytes of the value, 0 without one.",
    ),
    spec(
        "ttl",
        Name::Ttl,
        2,
        ONE,
        READ,
        "Seconds to live by this gateway's clock; -1 for ever, -2 no value.",
    ),
    spec(
        "pttl",
        Name::Pttl,
        2,
        ONE,
        READ,
        "The same in milliseconds.",
    ),
    spec(
        "type",
        Name::Type,
        2,
        ONE,
        READ,
        "string, or none without a value.",
    ),
    spec(
        "scan",
        Name::Scan,
        -2,
        NONE,
        LIST,
        "Lists keys in their order, some at a time: MATCH, COUNT, TYPE.",
    ),
    spec(
        "keys",
        Name::Keys,
        2,
        NONE,
        LIST,
        "Lists the keys that match, of 100,000 at most.",
    ),
    spec(
        "append",
        Name::Append,
        3,
        ONE,
        WRITE,
        "Appends to the value; linearizable, as are all that follow.",
    ),
    spec("decr", Name::Decr, 2, ONE, WRITE, "Subtracts 1."),
    spec(
        "decrby",
        Name::Decrby,
        3,
        ONE,
        WRITE,
        "Subtracts a whole number.",
    ),
    spec(
        "expire",
        Name::Expire,
        -3,
        ONE,
        WRITE,
        "Sets the lifetime in seconds.",
    ),
    spec(
        "expireat",
        Name::Expireat,
        -3,
        ONE,
        WRITE,
        "Sets the end, in seconds since 1970.",
    ),
    spec(
        "getdel",
        Name::Getdel,
        2,
        ONE,
        WRITE,
        "Replies the value and deletes it.",
    ),
    spec(
        "getex",
        Name::Getex,
        -2,
        ONE,
        WRITE,
        "Replies the value and sets its lifetime: EX, PX, EXAT, PXAT, PERSIST.",
    ),
    spec(
        "getset",
        Name::Getset,
        3,
        ONE,
        WRITE,
        "Writes a value and replies the one before.",
    ),
    spec("incr", Name::Incr, 2, ONE, WRITE, "Adds 1."),
    spec(
        "incrby",
        Name::Incrby,
        3,
        ONE,
        WRITE,
        "Adds a whole number.",
    ),
    spec(
        "persist",
        Name::Persist,
        2,
        ONE,
        WRITE,
        "Takes the lifetime away.",
    ),
    spec(
        "pexpire",
        Name::Pexpire,
        -3,
        ONE,
        WRITE,
        "Sets the lifetime in milliseconds.",
    ),
    spec(
        "pexpireat",
        Name::Pexpireat,
        -3,
        ONE,
        WRITE,
        "Sets the end, in milliseconds since 1970.",
    ),
    spec(
        "setnx",
        Name::Setnx,
        3,
        ONE,
        WRITE,
        "Writes a value if there is none.",
    ),
];

/// Commands of Redis that change several keys as one.
const SEVERAL: &[&str] = &["copy", "msetnx", "rename", "renamenx"];
/// Commands of Redis that change a part of a value, or a number with a fraction.
const PARTS: &[&str] = &["incrbyfloat", "setbit", "setrange"];
/// Commands of Redis that are about all keys at once.
const WHOLE: &[&str] = &["dbsize", "randomkey"];

/// The command with this name, in any case of letters.
pub(crate) fn find(name: &[u8]) -> Option<&'static Spec> {
    COMMANDS
        .iter()
        .find(|spec| spec.text.as_bytes().eq_ignore_ascii_case(name))
}

/// Why there is no command with this name.
pub(crate) fn absent(name: &[u8]) -> String {
    let shown: String = name
        .iter()
        .take(40)
        .map(|byte| byte.escape_ascii().to_string())
        .collect();
    let is_in = |list: &[&str]| {
        list.iter()
            .any(|other| other.as_bytes().eq_ignore_ascii_case(name))
    };
    if is_in(SEVERAL) {
        format!("'{shown}' changes several keys as one, which is not served here")
    } else if is_in(PARTS) {
        format!("'{shown}' is not served here")
    } else if is_in(WHOLE) {
        format!("'{shown}' would read every key of the cluster: use SCAN")
    } else {
        format!("unknown command '{shown}', COMMAND lists those that are there")
    }
}

impl Spec {
    /// Whether a command of so many words fits.
    pub(crate) fn takes(&self, words: usize) -> bool {
        let words = i64::try_from(words).unwrap_or(i64::MAX);
        if self.arity >= 0 {
            words == self.arity
        } else {
            words >= -self.arity
        }
    }

    /// Whether it may be used without a token.
    pub(crate) fn is_open(&self) -> bool {
        self.flags.contains(&"no_auth")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_are_listed_once() {
        assert_eq!(find(b"GeT").unwrap().name, Name::Get);
        for (index, spec) in COMMANDS.iter().enumerate() {
            assert!(
                !COMMANDS[..index]
                    .iter()
                    .any(|other| other.text == spec.text)
            );
            for list in [SEVERAL, PARTS, WHOLE] {
                assert!(!list.contains(&spec.text), "{}", spec.text);
            }
        }
    }

    #[test]
    fn what_is_not_there_says_why() {
        assert!(absent(b"RENAME").contains("several keys"));
        assert!(absent(b"dbsize").contains("use SCAN"));
        assert_eq!(absent(b"a\r\nb").lines().count(), 1);
    }

    #[test]
    fn the_page_lists_every_command() {
        let page = include_str!("../../../../docs/gateway.md");
        for spec in COMMANDS {
            let name = spec.text.to_ascii_uppercase();
            assert!(page.contains(&format!("`{name}")), "{name}");
        }
        for name in SEVERAL.iter().chain(PARTS).chain(WHOLE) {
            let name = name.to_ascii_uppercase();
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}
