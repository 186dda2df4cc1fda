//! Options of a request, each by query or header: one table that is parsed, checked and documented.
//!
//! ```text
//!   ?ttl=60&w=3        Quoit-Ttl: 60, Quoit-W: 3      both, and the same: fine; both, and not the same: refused
//! ```
//!
//! What is not known is refused, so a misspelt option is never ignored: an unknown name in the query, and any unknown header
//! that begins with `Quoit-`. So is an option on a method that has no use for it.

use std::time::Duration;

use axum::http::{HeaderMap, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quoit_client::{Consistency, Context};

use super::percent;
use crate::failure::{Failure, Kind};
use crate::store::Terms;

/// What headers of options begin with.
const PREFIX: &str = "quoit-";
/// Most bytes of a name or value that an error repeats.
const SHOWN: usize = 40;

/// An option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opt {
    Ttl,
    R,
    W,
    Consistency,
    Deadline,
    Context,
    As,
    Prefix,
    Start,
    Token,
    Limit,
    Values,
}

/// What is known of an option.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) opt: Opt,
    /// Its name in the query.
    pub(crate) query: &'static str,
    /// Its name as a header, in lower case.
    pub(crate) header: &'static str,
    /// The methods that take it.
    pub(crate) methods: &'static [Method],
    pub(crate) about: &'static str,
    /// An integer's least and greatest value; a text has none.
    pub(crate) range: Option<(u64, u64)>,
}

impl Spec {
    /// Whether it stands for any bytes: its text stays percent-encoded.
    const fn is_bytes(&self) -> bool {
        matches!(self.opt, Opt::Prefix | Opt::Start)
    }
}

/// What is done; `HEAD` is a get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Put,
    Delete,
    /// The question what became of a conditional write.
    Settle,
    /// The keys of a range.
    List,
    /// Many reads and writes.
    Batch,
}

/// A hundred years, in seconds.
const MAX_TTL: u64 = 100 * 365 * 24 * 3600;

/// All options, in the order of [`Opt`].
pub(crate) const OPTIONS: [Spec; 12] = [
    Spec {
        opt: Opt::Ttl,
        query: "ttl",
        header: "quoit-ttl",
        methods: &[Method::Put],
        about: "How long the value lives, in whole seconds; without it for ever.",
        range: Some((1, MAX_TTL)),
    },
    Spec {
        opt: Opt::R,
        query: "r",
        header: "quoit-r",
        methods: &[Method::Get, Method::List],
        about: "Replicas that must answer; with consistency `quorum` a majority at least.",
        range: Some((1, 16)),
    },
    Spec {
        opt: Opt::W,
        query: "w",
        header: "quoit-w",
        methods: &[Method::Put, Method::Delete],
        about: "Replicas that must store it; with consistency `quorum` a majority at least.",
        range: Some((1, 16)),
    },
    Spec {
        opt: Opt::Consistency,
        query: "consistency",
        header: "quoit-consistency",
        methods: &[
            Method::Get,
            Method::Put,
            Method::Delete,
            Method::List,
            Method::Batch,
        ],
        about: "`quorum` (a read sees every acknowledged write), `one` (one replica is enough) or `linearizable` (one after the other, each at one instant).",
        range: None,
    },
    Spec {
        opt: Opt::Deadline,
        query: "deadline-ms",
        header: "quoit-deadline-ms",
        methods: &[
            Method::Get,
            Method::Put,
            Method::Delete,
            Method::List,
            Method::Batch,
        ],
        about: "How long it may take, in milliseconds.",
        range: Some((1, 30_000)),
    },
    Spec {
        opt: Opt::Context,
        query: "context",
        header: "quoit-context",
        methods: &[Method::Put, Method::Delete],
        about: "The causal context of an earlier answer: exactly what it has seen is replaced. Without it the last writer wins.",
        range: None,
    },
    Spec {
        opt: Opt::As,
        query: "as",
        header: "quoit-as",
        methods: &[Method::Get],
        about: "`json` for the value in JSON with its version, expiry and context, or the content type to answer with, such as `image/png`.",
        range: None,
    },
    Spec {
        opt: Opt::Prefix,
        query: "prefix",
        header: "quoit-prefix",
        methods: &[Method::List],
        about: "Keys that begin with these bytes, percent-encoded in a header, too.",
        range: None,
    },
    Spec {
        opt: Opt::Start,
        query: "start",
        header: "quoit-start",
        methods: &[Method::List],
        about: "Keys from this one on, percent-encoded in a header, too.",
        range: None,
    },
    Spec {
        opt: Opt::Token,
        query: "token",
        header: "quoit-token",
        methods: &[Method::List],
        about: "`next` of the page before, with the same prefix and start.",
        range: None,
    },
    Spec {
        opt: Opt::Limit,
        query: "limit",
        header: "quoit-limit",
        methods: &[Method::List],
        about: "Most keys of the page.",
        range: Some((1, 1_000)),
    },
    Spec {
        opt: Opt::Values,
        query: "values",
        header: "quoit-values",
        methods: &[Method::List],
        about: "`true` for values and contexts, too.",
        range: None,
    },
];

/// The options that a request gave, as texts.
#[derive(Debug, Default)]
pub(crate) struct Given([Option<String>; OPTIONS.len()]);

impl Given {
    /// Collects the options of a request with this method.
    ///
    /// # Errors
    /// [`Kind::BadOption`]: one is unknown, of no use here, given twice, or has no readable value.
    pub(crate) fn of(method: Method, uri: &Uri, headers: &HeaderMap) -> Result<Self, Failure> {
        let mut given = Self::default();
        for pair in uri.query().unwrap_or_default().split('&') {
            if pair.is_empty() {
                continue;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let spec = OPTIONS.iter().find(|spec| spec.query == name);
            let spec = spec.ok_or_else(|| bad(format!("no option is called `{}`", shown(name))))?;
            let decoded = percent::decode(value);
            let text = if spec.is_bytes() {
                decoded.map(|_bytes| value.to_owned())
            } else {
                decoded.and_then(|bytes| String::from_utf8(bytes).ok())
            };
            let text = text.ok_or_else(|| bad(format!("`{name}` is no percent-encoded text")))?;
            given.take(method, spec, text, "given twice")?;
        }

        for name in headers.keys().map(axum::http::HeaderName::as_str) {
            if !name.starts_with(PREFIX) {
                continue;
            }
            let spec = OPTIONS.iter().find(|spec| spec.header == name);
            let spec = spec.ok_or_else(|| bad(format!("no option is called `{}`", shown(name))))?;
            for value in headers.get_all(name) {
                let text = value.to_str().map_err(|_not_ascii| {
                    bad(format!(
                        "the header `{name}` has characters other than ASCII"
                    ))
                })?;
                if spec.is_bytes() && percent::decode(text).is_none() {
                    return Err(bad(format!("the header `{name}` is not percent-encoded")));
                }
                given.take(method, spec, text.to_owned(), "given by two values")?;
            }
        }
        Ok(given)
    }

    fn take(
        &mut self,
        method: Method,
        spec: &Spec,
        text: String,
        twice: &str,
    ) -> Result<(), Failure> {
        if !spec.methods.contains(&method) {
            let what = format!("`{}` has no use for this method", spec.query);
            return Err(bad(what));
        }
        let place = &mut self.0[spec.opt as usize];
        match place {
            Some(earlier) if *earlier != text => {
                Err(bad(format!("`{}` is {twice} that differ", spec.query)))
            }
            _ => {
                *place = Some(text);
                Ok(())
            }
        }
    }

    /// The text of an option.
    pub(crate) fn text(&self, opt: Opt) -> Option<&str> {
        self.0[opt as usize].as_deref()
    }

    /// What they mean for an operation.
    ///
    /// # Errors
    /// [`Kind::BadOption`] or [`Kind::BadContext`], with what is allowed.
    pub(crate) fn terms(&self) -> Result<Terms, Failure> {
        let replicas = self.number(Opt::R)?.or(self.number(Opt::W)?);
        let consistency = self.text(Opt::Consistency).map(consistency).transpose()?;
        if replicas.is_some() && consistency == Some(Consistency::Linearizable) {
            let what = "`linearizable` takes a majority: leave `r` and `w` out";
            return Err(bad(what.to_owned()));
        }
        Ok(Terms {
            replicas: replicas.and_then(|count| u8::try_from(count).ok()),
            consistency,
            deadline: self.number(Opt::Deadline)?.map(Duration::from_millis),
            context: self.text(Opt::Context).map(context).transpose()?,
            ttl: self.number(Opt::Ttl)?.map(Duration::from_secs),
        })
    }

    /// Whether an option is `true`.
    ///
    /// # Errors
    /// [`Kind::BadOption`].
    pub(crate) fn flag(&self, opt: Opt) -> Result<bool, Failure> {
        match self.text(opt) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_other) => {
                let name = OPTIONS[opt as usize].query;
                Err(bad(format!("`{name}` takes `true` or `false`")))
            }
        }
    }

    /// Most rows of a page, if that is given.
    ///
    /// # Errors
    /// [`Kind::BadOption`].
    pub(crate) fn limit(&self) -> Result<Option<usize>, Failure> {
        let limit = self.number(Opt::Limit)?;
        Ok(limit.and_then(|limit| usize::try_from(limit).ok()))
    }

    fn number(&self, opt: Opt) -> Result<Option<u64>, Failure> {
        let (Some(text), Spec { query, range, .. }) = (self.text(opt), &OPTIONS[opt as usize])
        else {
            return Ok(None);
        };
        let (least, most) = range.unwrap_or((0, u64::MAX));
        // `u64` would take a sign, too.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(bad(format!(
                "`{query}` is `{}`: it takes a whole number, {least} to {most}",
                shown(text)
            ))),
        }
    }
}

/// Reads a causal context as an answer gave it out.
///
/// # Errors
/// [`Kind::BadContext`].
pub(crate) fn context(text: &str) -> Result<Context, Failure> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| {
        Failure::new(
            Kind::BadContext,
            format!("a context is base64url without padding: {error}"),
        )
    })?;
    Ok(Context::from_bytes(&bytes)?)
}

/// A causal context as [`context`] takes it.
pub(crate) fn context_text(context: &Context) -> String {
    URL_SAFE_NO_PAD.encode(context.to_bytes())
}

/// Checks a lifetime in seconds.
///
/// # Errors
/// [`Kind::BadOption`].
pub(crate) fn lifetime(seconds: u64) -> Result<Duration, Failure> {
    if (1..=MAX_TTL).contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(bad(format!(
            "`ttl` is {seconds}: it takes a whole number of seconds, 1 to {MAX_TTL}"
        )))
    }
}

fn consistency(text: &str) -> Result<Consistency, Failure> {
    match text {
        "quorum" => Ok(Consistency::Quorum),
        "one" => Ok(Consistency::One),
        "linearizable" => Ok(Consistency::Linearizable),
        other => Err(bad(format!(
            "`consistency` is `{}`: it takes `quorum`, `one` or `linearizable`",
            shown(other)
        ))),
    }
}

fn bad(what: String) -> Failure {
    Failure::new(Kind::BadOption, what).advice("/openapi.json lists the options")
}

/// The beginning of a text from outside, without what could work a terminal.
fn shown(text: &str) -> String {
    let kept = text.chars().take(SHOWN);
    kept.map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn given(method: Method, query: &str, headers: &[(&str, &str)]) -> Result<Given, Failure> {
        let uri: Uri = format!("/v1/keys/k?{query}").parse().unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        Given::of(method, &uri, &map)
    }

    fn terms(method: Method, query: &str) -> Result<Terms, Failure> {
        let given = given(method, query, &[])?;
        given.flag(Opt::Values)?;
        given.limit()?;
        given.terms()
    }

    #[test]
    fn the_table_is_in_the_order_of_its_options() {
        for (index, spec) in OPTIONS.iter().enumerate() {
            assert_eq!(spec.opt as usize, index);
            assert_eq!(spec.header, format!("{PREFIX}{}", spec.query));
        }
    }

    #[test]
    fn options_are_read_from_query_and_headers() {
        let put = given(
            Method::Put,
            "ttl=60&w=3&",
            &[("quoit-consistency", "one"), ("quoit-deadline-ms", "250")],
        );
        let terms = put.unwrap().terms().unwrap();
        assert_eq!(terms.ttl, Some(Duration::from_secs(60)));
        assert_eq!(terms.replicas, Some(3));
        assert_eq!(terms.consistency, Some(Consistency::One));
        assert_eq!(terms.deadline, Some(Duration::from_millis(250)));
        assert_eq!(self::terms(Method::Get, "r=2").unwrap().replicas, Some(2));
    }

    #[test]
    fn the_same_value_twice_is_fine_and_another_is_a_conflict() {
        let same = given(Method::Put, "ttl=60", &[("Quoit-Ttl", "60")]);
        assert!(same.is_ok());
        for (query, headers) in [
            ("ttl=60", vec![("Quoit-Ttl", "61")]),
            ("ttl=60&ttl=61", vec![]),
            ("", vec![("Quoit-Ttl", "1"), ("Quoit-Ttl", "2")]),
        ] {
            let failure = given(Method::Put, query, &headers).unwrap_err();
            assert!(failure.detail.contains("that differ"), "{failure:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let table = [
            (Method::Put, "tll=60", "no option is called `tll`"),
            (Method::Put, "r=2", "`r` has no use"),
            (Method::Get, "ttl=2", "`ttl` has no use"),
            (Method::Put, "ttl=%zz", "no percent-encoded text"),
            (Method::Put, "ttl=%ff", "no percent-encoded text"),
            (Method::Put, "ttl", "`ttl` is ``"),
            (Method::Put, "ttl=0", "1 to 3153600000"),
            (Method::Put, "ttl=-1", "1 to 3153600000"),
            (Method::Put, "ttl=%2B1", "1 to 3153600000"),
            (Method::Put, "ttl=1.5", "1 to 3153600000"),
            (Method::Put, "ttl=1e3", "1 to 3153600000"),
            (
                Method::Put,
                "ttl=99999999999999999999999",
                "1 to 3153600000",
            ),
            (Method::Put, "w=17", "1 to 16"),
            (Method::Get, "consistency=all", "`quorum`, `one`"),
            (
                Method::Put,
                "consistency=linearizable&w=3",
                "leave `r` and `w` out",
            ),
            (Method::List, "prefix=%zz", "no percent-encoded text"),
            (Method::List, "values=1", "`true` or `false`"),
            (Method::List, "limit=0", "1 to 1000"),
            (Method::Get, "limit=5", "`limit` has no use"),
            (Method::Settle, "w=3", "`w` has no use"),
            (Method::Get, "deadline-ms=30001", "1 to 30000"),
            (Method::Put, "context=!", "base64url"),
            (Method::Put, "context=AAAA", "context"),
        ];
        for (method, query, expected) in table {
            let failure = terms(method, query).unwrap_err();
            assert!(failure.detail.contains(expected), "{query}: {failure:?}");
        }
        let header = given(Method::Put, "", &[("Quoit-Tll", "60")]).unwrap_err();
        assert!(header.detail.contains("`quoit-tll`"), "{header:?}");
    }

    #[test]
    fn a_context_comes_back_from_its_text() {
        let empty = Context::default();
        assert_eq!(context(&context_text(&empty)), Ok(empty));
    }

    proptest! {
        #[test]
        fn junk_is_an_error_and_never_a_panic(query in "[!-~]{0,60}", value in "[ -~]{0,40}") {
            let query = query.replace(['#', '"', '<', '>', '\\', '^', '`', '{', '|', '}'], "");
            if let Ok(given) = given(Method::Put, &query, &[("quoit-ttl", &value)]) {
                given.terms().ok();
            }
        }
    }
}
