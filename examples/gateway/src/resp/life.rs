//! Lifetimes and other options, read from the words of a command.

use std::time::Duration;

use bytes::Bytes;

use super::change::When;
use super::reply::Reply;

/// Longest life of a value, in milliseconds: a hundred years.
const MAX_LIFE: u64 = 100 * 365 * 24 * 3600 * 1000;

/// How long a value is to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Forever,
    For(Duration),
    /// Its end has passed: the key gets no value, which is a delete.
    Over,
    /// As long as the value that is there.
    Keep,
}

/// The options of a `SET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SetOptions {
    pub(crate) life: Life,
    pub(crate) when: When,
    pub(crate) wants_old: bool,
}

/// The options of a `SET`; `now` is the time since 1970.
///
/// # Errors
/// They make no sense, as Redis says it.
pub(crate) fn of_set(options: &[Bytes], now: Duration) -> Result<SetOptions, Reply> {
    let syntax = || Reply::error("syntax error");
    let (mut life, mut when, mut wants_old) = (None, When::Always, false);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let option = option.to_ascii_uppercase();
        match option.as_slice() {
            b"NX" if when != When::Present => when = When::Absent,
            b"XX" if when != When::Absent => when = When::Present,
            b"GET" => wants_old = true,
            b"KEEPTTL" if matches!(life, None | Some(Life::Keep)) => life = Some(Life::Keep),
            b"IFEQ" | b"IFNE" | b"IFDEQ" | b"IFDNE" => {
                let option = String::from_utf8_lossy(&option).into_owned();
                return Err(Reply::error(format!("'SET {option}' is not served here")));
            }
            option => {
                let (unit, from) = unit(option, now).ok_or_else(syntax)?;
                let time = options.next().filter(|_| life.is_none());
                life = Some(ends("set", time.ok_or_else(syntax)?, unit, from)?);
            }
        }
    }
    Ok(SetOptions {
        life: life.unwrap_or(Life::Forever),
        when,
        wants_old,
    })
}

/// The option of a `GETEX`, if there is one.
///
/// # Errors
/// It makes no sense.
pub(crate) fn of_getex(options: &[Bytes], now: Duration) -> Result<Option<Life>, Reply> {
    let syntax = || Reply::error("syntax error");
    match options {
        [] => Ok(None),
        [persist] if persist.eq_ignore_ascii_case(b"persist") => Ok(Some(Life::Forever)),
        [option, time] => {
            let (unit, from) = unit(&option.to_ascii_uppercase(), now).ok_or_else(syntax)?;
            ends("getex", time, unit, from).map(Some)
        }
        _ => Err(syntax()),
    }
}

/// The time of an `EXPIRE`, `PEXPIRE`, `EXPIREAT` or `PEXPIREAT`; one that has passed is an end.
///
/// # Errors
/// It is no whole number, or too large.
pub(crate) fn of_expire(command: &str, time: &[u8], now: Duration) -> Result<Life, Reply> {
    let unit = if command.starts_with('p') { 1 } else { 1000 };
    let is_moment = command.ends_with("at");
    if whole(time)? <= 0 {
        return Ok(Life::Over);
    }
    ends(
        command,
        time,
        unit,
        if is_moment { now } else { Duration::ZERO },
    )
}

/// Milliseconds of an option's unit, and since when it counts.
fn unit(option: &[u8], now: Duration) -> Option<(u64, Duration)> {
    Some(match option {
        b"EX" => (1000, Duration::ZERO),
        b"PX" => (1, Duration::ZERO),
        b"EXAT" => (1000, now),
        b"PXAT" => (1, now),
        _ => return None,
    })
}

fn whole(text: &[u8]) -> Result<i64, Reply> {
    let number = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Reply::error("value is not an integer or out of range"))
}

/// A lifetime of `time` units of milliseconds, or until so many since 1970 if `from` is now.
fn ends(command: &str, time: &[u8], unit: u64, from: Duration) -> Result<Life, Reply> {
    let invalid = || Reply::error(format!("invalid expire time in '{command}' command"));
    let time = u64::try_from(whole(time)?).ok();
    let time = time.filter(|time| *time > 0).ok_or_else(invalid)?;
    let until = time.checked_mul(unit).ok_or_else(invalid)?;

    let from = u64::try_from(from.as_millis()).unwrap_or(u64::MAX);
    match until.checked_sub(from) {
        None | Some(0) => Ok(Life::Over),
        Some(left) if left > MAX_LIFE => Err(invalid()),
        Some(left) => Ok(Life::For(Duration::from_millis(left))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    fn options(line: &str) -> Result<SetOptions, String> {
        let words: Vec<Bytes> = line
            .split_ascii_whitespace()
            .map(|word| Bytes::from(word.to_owned()))
            .collect();
        of_set(&words, NOW).map_err(|reply| match reply {
            Reply::Error(text) => text,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_set_has_one_lifetime() {
        let life = |line| options(line).map(|options| options.life);
        let seconds = |n| Ok(Life::For(Duration::from_secs(n)));
        assert_eq!(life(""), Ok(Life::Forever));
        assert_eq!(life("ex 10"), seconds(10));
        assert_eq!(life("PX 2000"), seconds(2));
        assert_eq!(life("EXAT 1007 NX"), seconds(7));
        assert_eq!(life("get PXAT 1003000"), seconds(3));
        assert_eq!(life("EXAT 1000"), Ok(Life::Over));
        assert_eq!(life("EXAT 1"), Ok(Life::Over));
        assert_eq!(life("KEEPTTL xx"), Ok(Life::Keep));
    }

    #[test]
    fn what_makes_no_sense_is_refused_as_redis_does() {
        let table = [
            ("EX 0", "ERR invalid expire time"),
            ("EX -1", "ERR invalid expire time"),
            ("EX 9223372036854775807", "ERR invalid expire time"),
            ("EX 9223372036854775808", "ERR value is not an integer"),
            ("EX 1.5", "ERR value is not an integer"),
            ("EX", "ERR syntax error"),
            ("EX 1 PX 1", "ERR syntax error"),
            ("EX 1 KEEPTTL", "ERR syntax error"),
            ("KEEPTTL EX 1", "ERR syntax error"),
            ("NX XX", "ERR syntax error"),
            ("FOO", "ERR syntax error"),
            ("IFEQ x", "ERR 'SET IFEQ' is not served"),
        ];
        for (line, expected) in table {
            let text = options(line).unwrap_err();
            assert!(text.starts_with(expected), "{line}: {text}");
        }
    }

    #[test]
    fn an_expiry_that_has_passed_is_an_end() {
        assert_eq!(of_expire("expire", b"-1", NOW), Ok(Life::Over));
        assert_eq!(of_expire("pexpireat", b"999", NOW), Ok(Life::Over));
        let five = Ok(Life::For(Duration::from_secs(5)));
        assert_eq!(of_expire("expire", b"5", NOW), five);
        assert_eq!(of_expire("pexpire", b"5000", NOW), five);
        assert_eq!(of_expire("expireat", b"1005", NOW), five);
        assert!(of_expire("expire", b"9223372036854775807", NOW).is_err());
    }
}
