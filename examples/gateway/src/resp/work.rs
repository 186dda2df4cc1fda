//! Commands on data: read from their words, then done.
//!
//! ```text
//!   words --of--> Work --touches--> one key, read or written; or several
//!                   '--run--> store, at most FAN keys at once --> reply
//! ```
//!
//! Each key is read and written for itself, by quorums: nothing here is atomic over keys. What is atomic on one key is in
//! `change`. Where a key has siblings the last written counts, by its dot. A write is without a context, so it replaces them
//! all.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use quoit_client::{Entry, Value};

use super::change::{Change, When};
use super::commands::{Name, Spec};
use super::life::{self, Life, SetOptions};
use super::listing::Listing;
use super::parse::Command;
use super::reply::Reply;
use crate::budget::Permit;
use crate::failure::{Applied, Failure, Kind};
use crate::metrics;
use crate::store::{Store, Terms};

/// Keys of one command that are under way at once.
const FAN: usize = 16;

/// A command on data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    Get(Bytes),
    Set(Bytes, Bytes, Life),
    /// One key, by what is there.
    Change(Bytes, Change),
    List(Listing),
    Mget(Vec<Bytes>),
    Mset(Vec<(Bytes, Bytes)>),
    Del(Vec<Bytes>),
    Exists(Vec<Bytes>),
    Strlen(Bytes),
    /// Of which unit, in milliseconds.
    Ttl(Bytes, u64),
    Type(Bytes),
}

/// Which keys a command touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Touch {
    Read(Bytes),
    Write(Bytes),
    Several,
}

impl Touch {
    /// Whether one must wait for the other to end.
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Several, _) | (_, Self::Several) => true,
            (Self::Read(_), Self::Read(_)) => false,
            (Self::Read(a) | Self::Write(a), Self::Read(b) | Self::Write(b)) => a == b,
        }
    }
}

/// A reply, and the memory that it takes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) memory: Vec<Permit>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        let memory = Vec::new();
        Self { reply, memory }
    }
}

impl Work {
    /// Reads a command's words. `now` is the time since 1970, for lifetimes that end at a moment.
    ///
    /// # Errors
    /// The reply to a command that makes no sense; `None` if this is no command on data.
    pub(crate) fn of(spec: &Spec, command: Command, now: Duration) -> Option<Result<Self, Reply>> {
        let mut args = command.into_iter().skip(1);
        // The arity was checked, so a first key is there.
        let mut key = || args.next().unwrap_or_default();
        Some(Ok(match spec.name {
            Name::Get => Self::Get(key()),
            Name::Strlen => Self::Strlen(key()),
            Name::Ttl => Self::Ttl(key(), 1000),
            Name::Pttl => Self::Ttl(key(), 1),
            Name::Type => Self::Type(key()),
            Name::Mget => Self::Mget(args.collect()),
            Name::Del => Self::Del(args.collect()),
            Name::Exists => Self::Exists(args.collect()),
            Name::Set => {
                let (key, value) = (key(), key());
                let options: Vec<Bytes> = args.collect();
                return Some(set_work(key, value, &options, now));
            }
            Name::Getex => {
                let key = key();
                let options: Vec<Bytes> = args.collect();
                return Some(life::of_getex(&options, now).map(|life| match life {
                    None => Self::Get(key),
                    Some(life) => Self::Change(key, Change::GetLife(life)),
                }));
            }
            Name::Append
            | Name::Decr
            | Name::Decrby
            | Name::Expire
            | Name::Expireat
            | Name::Getdel
            | Name::Getset
            | Name::Incr
            | Name::Incrby
            | Name::Persist
            | Name::Pexpire
            | Name::Pexpireat
            | Name::Setnx => {
                let key = key();
                let words: Vec<Bytes> = args.collect();
                return Some(Change::read(spec, &words, now).map(|it| Self::Change(key, it)));
            }
            Name::Scan | Name::Keys => {
                let words: Vec<Bytes> = args.collect();
                return Some(Listing::of(spec.name, &words).map(Self::List));
            }
            Name::Mset => {
                let words: Vec<Bytes> = args.collect();
                let (pairs, rest) = words.as_chunks::<2>();
                if !rest.is_empty() {
                    let what = "wrong number of arguments for 'mset' command";
                    return Some(Err(Reply::error(what)));
                }
                let pairs = pairs
                    .iter()
                    .map(|[key, value]| (key.clone(), value.clone()));
                Self::Mset(pairs.collect())
            }
            Name::Ping
            | Name::Echo
            | Name::Hello
            | Name::Auth
            | Name::Client
            | Name::Select
            | Name::Command
            | Name::Info
            | Name::Quit => return None,
        }))
    }

    /// Which keys it touches.
    pub(crate) fn touches(&self) -> Touch {
        match self {
            Self::Get(key) | Self::Strlen(key) | Self::Ttl(key, _) | Self::Type(key) => {
                Touch::Read(key.clone())
            }
            Self::Set(key, ..) | Self::Change(key, _) => Touch::Write(key.clone()),
            Self::List(_) | Self::Mget(_) | Self::Mset(_) | Self::Del(_) | Self::Exists(_) => {
                Touch::Several
            }
        }
    }

    /// Does it.
    pub(crate) async fn run(self, store: &Store) -> Answer {
        let (begun, operation) = (Instant::now(), self.operation());
        let result = self.reply(store).await;
        let failure = result.as_ref().err();
        metrics::ended(("resp", operation), failure, begun.elapsed());
        result.unwrap_or_else(|failure| Reply::from(failure).into())
    }

    /// What it is called in metrics.
    const fn operation(&self) -> &'static str {
        match self {
            Self::Get(_) | Self::Mget(_) => "get",
            Self::Set(..) | Self::Mset(_) => "put",
            Self::Change(..) => "change",
            Self::List(_) => "list",
            Self::Del(_) => "delete",
            Self::Exists(_) | Self::Strlen(_) | Self::Ttl(..) | Self::Type(_) => "look",
        }
    }

    async fn reply(self, store: &Store) -> Result<Answer, Failure> {
        let reply = match self {
            Self::Get(key) => {
                let entry = read(store, key).await?;
                let mut memory = Vec::new();
                let reply = bulk(store, &entry, &mut memory)?;
                return Ok(Answer { reply, memory });
            }
            Self::Mget(keys) => return mget(store, keys).await,
            Self::Set(key, value, life) => {
                set(store, key, value, life).await?;
                Reply::OK
            }
            Self::List(listing) => return listing.run(store).await,
            Self::Change(key, change) => return change.run(store, key).await,
            Self::Mset(pairs) => {
                let set = |(key, value)| set(store, key, value, Life::Forever);
                let results = stream::iter(pairs).map(set).buffered(FAN).collect().await;
                all_written(results)?;
                Reply::OK
            }
            Self::Del(keys) => {
                let delete = |key| delete(store, key);
                let results = stream::iter(keys).map(delete).buffered(FAN).collect().await;
                let had = all_written(results)?;
                Reply::count(had.into_iter().filter(|had| *had).count())
            }
            Self::Exists(keys) => {
                let mut found = 0;
                let mut entries = stream::iter(keys).map(|key| read(store, key)).buffered(FAN);
                while let Some(entry) = entries.next().await {
                    found += usize::from(!entry?.is_absent());
                }
                Reply::count(found)
            }
            Self::Strlen(key) => {
                let entry = read(store, key).await?;
                Reply::count(last(&entry).map_or(0, |value| value.bytes.len()))
            }
            Self::Ttl(key, unit) => ttl(&read(store, key).await?, unit, since_1970()),
            Self::Type(key) => match last(&read(store, key).await?) {
                Some(_) => Reply::Simple("string"),
                None => Reply::Simple("none"),
            },
        };
        Ok(reply.into())
    }
}

fn set_work(key: Bytes, value: Bytes, options: &[Bytes], now: Duration) -> Result<Work, Reply> {
    let SetOptions {
        life,
        when,
        wants_old,
    } = life::of_set(options, now)?;
    let is_blind = when == When::Always && !wants_old && life != Life::Keep;
    Ok(if is_blind {
        Work::Set(key, value, life)
    } else {
        Work::Change(key, Change::Set(value, life, when, wants_old))
    })
}

/// The time since 1970 by this machine's clock.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The value that counts: dots are in the order of their time.
pub(crate) fn last(entry: &Entry) -> Option<&Value> {
    entry.siblings().last()
}

async fn read(store: &Store, key: Bytes) -> Result<Entry, Failure> {
    store.get(key, &Terms::default()).await
}

fn bulk(store: &Store, entry: &Entry, memory: &mut Vec<Permit>) -> Result<Reply, Failure> {
    let Some(value) = last(entry) else {
        return Ok(Reply::Nil);
    };
    memory.push(store.memory(value.bytes.len())?);
    Ok(Reply::Bulk(value.bytes.clone()))
}

async fn mget(store: &Store, keys: Vec<Bytes>) -> Result<Answer, Failure> {
    let (mut values, mut memory) = (Vec::new(), Vec::new());
    let mut entries = stream::iter(keys).map(|key| read(store, key)).buffered(FAN);
    while let Some(entry) = entries.next().await {
        values.push(bulk(store, &entry?, &mut memory)?);
    }
    let reply = Reply::Array(values);
    Ok(Answer { reply, memory })
}

async fn set(store: &Store, key: Bytes, value: Bytes, life: Life) -> Result<(), Failure> {
    let mut terms = Terms::default();
    match life {
        Life::Forever | Life::Keep => {}
        Life::For(time) => terms.ttl = Some(time),
        Life::Over => return store.delete(key, &terms).await.map(drop),
    }
    store.put(key, value, &terms).await.map(drop)
}

/// Deletes a key; whether it had a value just before. It is deleted either way: a write that was not seen may be on too few
/// replicas, and must not come back.
async fn delete(store: &Store, key: Bytes) -> Result<bool, Failure> {
    let before = read(store, key.clone()).await;
    let before = before.map_err(Failure::of_unsent_write)?;
    store.delete(key, &Terms::default()).await?;
    Ok(!before.is_absent())
}

/// The results of writes to several keys, or what became of them together.
fn all_written<T>(results: Vec<Result<T, Failure>>) -> Result<Vec<T>, Failure> {
    let all = results.len();
    let done = results.iter().filter(|result| result.is_ok()).count();
    let none = results
        .iter()
        .all(|result| matches!(result, Err(failure) if failure.applied == Some(Applied::No)));
    results
        .into_iter()
        .collect::<Result<Vec<T>, Failure>>()
        .map_err(|first| {
            if none || all == 1 {
                return first;
            }
            let what = format!(
                "{done} of {all} keys are written, and others may be; the first that is not: {}",
                first.detail
            );
            Failure {
                applied: Some(Applied::Maybe),
                ..Failure::new(Kind::Unknown, what).advice("read the keys to find out")
            }
        })
}

/// The time that a value has left, in `unit` milliseconds.
fn ttl(entry: &Entry, unit: u64, now: Duration) -> Reply {
    match last(entry).map(|value| value.expiry) {
        None => Reply::Integer(-2),
        Some(None) => Reply::Integer(-1),
        Some(Some(expiry)) => {
            let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            let left = expiry.0.saturating_sub(now);
            Reply::Integer(i64::try_from((left + unit / 2) / unit).unwrap_or(i64::MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::commands::find;

    fn work(line: &str) -> Result<Work, Reply> {
        let words: Command = line
            .split(' ')
            .map(|word| Bytes::from(word.to_owned()))
            .collect();
        let spec = find(&words[0]).unwrap();
        Work::of(spec, words, Duration::from_secs(1000)).unwrap()
    }

    #[test]
    fn a_set_that_needs_no_look_takes_none() {
        assert_eq!(
            work("set k v ex 10"),
            Ok(Work::Set(
                "k".into(),
                "v".into(),
                Life::For(Duration::from_secs(10))
            ))
        );
        for line in ["set k v nx", "set k v EX 1 GET", "set k v KEEPTTL"] {
            assert!(matches!(work(line), Ok(Work::Change(..))), "{line}");
        }
        assert_eq!(work("getex k"), Ok(Work::Get("k".into())));
        for line in [
            "mset a 1 b",
            "getex k nx",
            "expire k x",
            "expire k 1 NX",
            "incrby k x",
        ] {
            assert!(matches!(work(line), Err(Reply::Error(_))), "{line}");
        }
    }

    #[test]
    fn a_read_waits_for_a_write_of_its_key_and_for_nothing_else() {
        let touch = |line| work(line).unwrap().touches();
        let (get, set) = (touch("get a"), touch("set a 1"));
        assert!(!get.conflicts(&get) && get.conflicts(&set) && set.conflicts(&set));
        assert!(!set.conflicts(&touch("set b 1")) && !set.conflicts(&touch("get b")));
        assert!(touch("mget b c").conflicts(&get));
    }

    #[test]
    fn of_several_writes_the_reply_says_maybe_if_any_may_exist() {
        let no = || Failure::new(Kind::Unavailable, "no node").of_unsent_write();
        let maybe = || Failure {
            applied: Some(Applied::Maybe),
            ..Failure::new(Kind::Unknown, "lost")
        };
        let kind = |results| all_written::<()>(results).unwrap_err().kind;
        assert_eq!(kind(vec![Err(no()), Err(no())]), Kind::Unavailable);
        assert_eq!(kind(vec![Ok(()), Err(no())]), Kind::Unknown);
        assert_eq!(kind(vec![Err(no()), Err(maybe())]), Kind::Unknown);
        assert_eq!(kind(vec![Err(no())]), Kind::Unavailable);
        assert!(all_written(vec![Ok(1), Ok(2)]).is_ok());
    }
}
