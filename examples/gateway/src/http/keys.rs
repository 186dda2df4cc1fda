//! The three things to do with a key.
//!
//! ```text
//!   GET     200 value, 300 all siblings, 304 known already, 404 no value
//!   PUT     204 with the ETag and context of the write; 412 if its condition does not hold
//!   DELETE  204, whether or not there was a value; the same with a condition
//! ```
//!
//! The store has no place for a content type beside a value, and an envelope around it would be garbage to every other
//! client. So none is kept: a raw value is answered as text if it is UTF-8, as bytes if not, or as what the reader asks for
//! by `?as=`. Only `application/json` means something to a PUT: the form `{"value": …, "ttl": seconds}`.
//!
//! `If-Match` and `If-None-Match` make a write linearizable: `conditions` says when they hold, `swap` writes.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, IF_MATCH, IF_UNMODIFIED_SINCE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use quoit_client::{Compared, Consistency, Context, Entry};
use quoit_ring::Dot;
use serde::Serialize;

use super::conditions::{self, Conditions};
use super::options::{Given, Method, Opt};
use super::{KEYS, body, entry, form, percent};
use crate::failure::{Failure, Kind};
use crate::gateway::Shared;
use crate::store::Terms;
use crate::swap::Edit;

/// `GET` and `HEAD`.
pub(crate) async fn read(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Failure> {
    let (uri, headers) = (request.uri(), request.headers());
    conditions::refuse(headers, &[IF_MATCH, IF_UNMODIFIED_SINCE])?;
    let key = key_of(uri)?;
    let given = Given::of(Method::Get, uri, headers)?;
    let form = Form::of(given.text(Opt::As))?;
    let found = shared.store.get(key, &given.terms()?).await?;

    let tag = entry::tag_of(found.siblings());
    let mut response = match &tag {
        None => Failure::new(Kind::NoValue, "the key has no value").into_response(),
        Some(tag) if entry::is_known(headers, tag) => StatusCode::NOT_MODIFIED.into_response(),
        Some(_) => answer(&shared, &found, form)?,
    };
    entry::describe(response.headers_mut(), tag.as_deref(), found.context());
    Ok(response)
}

/// `PUT`.
pub(crate) async fn write(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let conditions = Conditions::of(headers)?;
    refuse_partial(headers)?;
    let key = key_of(&parts.uri)?;
    let mut terms = Given::of(Method::Put, &parts.uri, headers)?.terms()?;

    let max = shared.store.max_value_bytes();
    let is_form = form::is_meant(headers);
    let max = if is_form { form::longest(max) } else { max };
    let received = body::receive(&shared.store, headers, body, max, shared.limits.transfer).await?;
    let value = if is_form {
        let _copy = shared.store.memory(received.bytes.len())?;
        form::value(&received.bytes, &mut terms)?
    } else {
        received.bytes.clone()
    };
    change(&shared, key, Some(value), (&terms, conditions)).await
}

/// `DELETE`.
pub(crate) async fn delete(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Failure> {
    let (uri, headers) = (request.uri(), request.headers());
    let conditions = Conditions::of(headers)?;
    let terms = Given::of(Method::Delete, uri, headers)?.terms()?;
    let key = key_of(uri)?;
    change(&shared, key, None, (&terms, conditions)).await
}

/// Writes a value, or deletes if there is none; under conditions if there are some.
async fn change(
    shared: &Shared,
    key: Bytes,
    value: Option<Bytes>,
    (terms, conditions): (&Terms, Option<Conditions>),
) -> Result<Response, Failure> {
    let store = &shared.store;
    let Some(conditions) = conditions else {
        let write = match value {
            Some(value) => store.put(key, value, terms).await?,
            None => store.delete(key, terms).await?,
        };
        let is_linear = terms.consistency == Some(Consistency::Linearizable);
        let fence = is_linear.then_some(write.dot.time.0);
        return Ok(written(write.dot, write.acked, fence, &write.context));
    };
    conditions::check(terms)?;
    let compared = match value {
        Some(value) if conditions.is_absence() => store.put_if_absent(key, value, terms).await?,
        value => {
            let edit = |there: &Entry| {
                let holds = conditions.hold(entry::tag_of(there.siblings()).as_deref());
                Ok(match (holds, &value) {
                    (false, _) => Edit::Keep,
                    (true, Some(value)) => Edit::Set(value.clone(), terms.ttl),
                    (true, None) => Edit::Delete,
                })
            };
            store.update(key, terms, edit).await?
        }
    };
    Ok(match compared {
        Compared::Applied(it) => written(it.dot, it.acked, Some(it.fence()), &it.context),
        Compared::Mismatch(there) => mismatch(&there),
    })
}

fn written(dot: Dot, acked: usize, fence: Option<u64>, context: &Context) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    entry::describe(headers, Some(&entry::tag(dot)), context);
    headers.insert(entry::ACKED, HeaderValue::from(acked));
    if let Some(fence) = fence {
        headers.insert(entry::FENCE, HeaderValue::from(fence));
    }
    response
}

/// A condition that does not hold, with what is there.
fn mismatch(there: &Entry) -> Response {
    let tag = entry::tag_of(there.siblings());
    let detail = match &tag {
        Some(tag) => format!("the key has version {tag}"),
        None => "the key has no value".to_owned(),
    };
    let failure = Failure::new(Kind::ConditionFailed, detail);
    let failure = failure.advice("nothing was written: read the key, and decide again");
    let mut response = failure.of_unsent_write().into_response();
    entry::describe(response.headers_mut(), tag.as_deref(), there.context());
    response
}

/// How a reader wants its value.
enum Form {
    Raw(Option<HeaderValue>),
    Json,
}

impl Form {
    fn of(asked: Option<&str>) -> Result<Self, Failure> {
        let bad = || {
            let what = "`as` takes `json` or a content type such as `image/png`";
            Failure::new(Kind::BadOption, what)
        };
        match asked {
            None => Ok(Self::Raw(None)),
            Some("json") => Ok(Self::Json),
            Some(kind) if is_media_type(kind) => {
                let value = HeaderValue::from_str(kind).map_err(|_reason| bad())?;
                Ok(Self::Raw(Some(value)))
            }
            Some(_) => Err(bad()),
        }
    }
}

/// Whether a text is `type/subtype`, with parameters or without (RFC 9110, section 8.3.1).
fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        !part.is_empty() && part.bytes().all(is_token)
    };
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let parts = essence.split_once('/');
    parts.is_some_and(|(kind, sub)| token(kind) && token(sub))
}

fn answer(shared: &Shared, found: &Entry, form: Form) -> Result<Response, Failure> {
    let (value, asked) = match (found.siblings(), form) {
        ([only], Form::Raw(asked)) => (only, asked),
        ([only], Form::Json) => {
            return json(shared, StatusCode::OK, &entry::one(only, found.context()));
        }
        _ => return json(shared, StatusCode::MULTIPLE_CHOICES, &entry::several(found)),
    };
    let mut response = body::answer(&shared.store, value.bytes.clone())?.into_response();
    entry::describe_raw(response.headers_mut(), value, asked);
    Ok(response)
}

fn json(shared: &Shared, status: StatusCode, value: &impl Serialize) -> Result<Response, Failure> {
    // Texts and numbers cannot fail to be JSON.
    let text = serde_json::to_vec(value).unwrap_or_default();
    let body = body::answer(&shared.store, text.into())?;
    Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response())
}

/// The key that a path names: all that follows the route, percent-decoded.
fn key_of(uri: &Uri) -> Result<Bytes, Failure> {
    let encoded = uri.path().strip_prefix(KEYS).unwrap_or_default();
    let broken = || {
        Failure::new(
            Kind::BadKey,
            "the key has a `%` without two hexadecimal digits behind it",
        )
        .advice("write a percent sign as %25")
    };
    let key = percent::decode(encoded).ok_or_else(broken)?;
    if key.is_empty() {
        return Err(quoit_client::InvalidRequest::EmptyKey.into());
    }
    Ok(key.into())
}

/// Refuses a body that is a part of a value, or has to be decoded first.
fn refuse_partial(headers: &HeaderMap) -> Result<(), Failure> {
    if headers.contains_key(CONTENT_RANGE) {
        return Err(Failure::new(
            Kind::BadBody,
            "a value is written as a whole: `Content-Range` is refused",
        ));
    }
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let what = "`Content-Encoding` is not kept, so a reader could not decode the value";
        return Err(Failure::new(Kind::Encoded, what)
            .advice("send it without that header: the bytes are stored as they are"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_follows_the_route() {
        let key = |path: &str| key_of(&path.parse().unwrap()).map(|key| key.to_vec());
        assert_eq!(key("/v1/keys/a/b"), Ok(b"a/b".to_vec()));
        assert_eq!(key("/v1/keys/a%2Fb%00%ff?r=2"), Ok(b"a/b\0\xff".to_vec()));
        assert_eq!(key("/v1/keys/").unwrap_err().kind, Kind::BadKey);
        assert_eq!(key("/v1/keys/%f").unwrap_err().kind, Kind::BadKey);
    }

    #[test]
    fn a_content_type_is_one_or_refused() {
        assert!(is_media_type("image/png") && is_media_type("text/html; charset=utf-8"));
        for text in ["png", "/png", "image/", "image/p ng", "a/b/c", ""] {
            assert!(!is_media_type(text), "{text}");
        }
        assert!(Form::of(Some("text/x;\nb=c")).is_err());
    }
}
