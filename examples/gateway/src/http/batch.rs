//! `POST /v1/batch`: many reads and writes in one request, each with a result of its own.
//!
//! ```json
//! {"operations":[{"op":"put","key":"a","value":"blue","ttl":60},{"op":"get","key":"b"},{"op":"delete","key":"/w==","key_encoding":"base64"}]}
//! {"results":[{"status":204,"version":…,"acked":2,"context":…},{"status":404,"type":"urn:quoit:problem:no-value",…},{"status":204,…}]}
//! ```
//!
//! Results have the order of the operations, and each the status that its own request would have had. Nothing is atomic over keys. Writes
//! begin in their order, so of two on one key the later one is the last; reads wait for no write of the same batch.
//!
//! A body that is not this form is refused as a whole, and nothing is done. What is wrong with one operation, a key or a lifetime
//! out of range, fails that one alone.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CONTENT_TYPE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::{future, stream};
use quoit_client::{Entry, Written};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::entry::{self, EntryJson, SiblingsJson};
use super::form::{self, Encoding};
use super::options::{self, Given, Method, context_text};
use super::problem::Problem;
use super::{body, conditions};
use crate::budget::Permit;
use crate::failure::{Applied, Failure, Kind};
use crate::gateway::Shared;
use crate::store::{Store, Terms};

/// The route.
pub(crate) const BATCH: &str = "/v1/batch";
/// Most operations of a batch.
pub(crate) const MAX_OPERATIONS: usize = 1_000;
/// Reads of a batch under way at once: so many values are held that no memory was taken for yet.
const READS: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchForm<'a> {
    #[serde(borrow)]
    operations: Vec<OperationForm<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OperationForm<'a> {
    op: Op,
    key: String,
    key_encoding: Option<Encoding>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    encoding: Option<Encoding>,
    ttl: Option<u64>,
    context: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Op {
    Get,
    Put,
    Delete,
}

/// What one operation does.
#[derive(Debug)]
enum Operation {
    Read(Bytes),
    /// None deletes.
    Write(Bytes, Option<Bytes>, Terms),
}

/// What came of one operation.
#[derive(Serialize)]
#[serde(untagged)]
enum ResultJson {
    Value {
        status: u16,
        #[serde(flatten)]
        entry: EntryJson,
    },
    Siblings {
        status: u16,
        #[serde(flatten)]
        entry: SiblingsJson,
    },
    Written {
        status: u16,
        version: String,
        acked: usize,
        context: String,
    },
    Problem(Problem<'static>),
}

#[derive(Serialize)]
struct ResultsJson {
    results: Vec<ResultJson>,
}

/// `POST`.
pub(crate) async fn run(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let conditional = [
        IF_MATCH,
        IF_NONE_MATCH,
        IF_MODIFIED_SINCE,
        IF_UNMODIFIED_SINCE,
    ];
    conditions::refuse(&parts.headers, &conditional)?;
    let terms = Given::of(Method::Batch, &parts.uri, &parts.headers)?.terms()?;
    let store = &shared.store;
    let max = form::longest(store.max_value_bytes());
    let received = body::receive(store, &parts.headers, body, max, shared.limits.transfer).await?;
    // The operations are made of copies.
    let _copies = store.memory(received.bytes.len())?;
    let operations = operations(&received.bytes, &terms)?;
    drop(received);

    let is_write = |it: &Result<Operation, Failure>| matches!(it, Ok(Operation::Write(..)));
    let writes = operations.iter().any(is_write);
    let results = carry_out(store, operations, &terms).await;
    let (results, memory): (Vec<ResultJson>, Vec<Option<Permit>>) = results.into_iter().unzip();
    // Texts and numbers cannot fail to be JSON.
    let text = serde_json::to_vec(&ResultsJson { results }).unwrap_or_default();
    drop(memory); // the values are in the text
    let full = |full| if writes { untold() } else { full };
    let body = body::answer(store, text.into()).map_err(full)?;
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// There is no memory for the results of writes that were made.
fn untold() -> Failure {
    let what = "the batch was carried out, and there is no memory for its results";
    Failure {
        applied: Some(Applied::Maybe),
        ..Failure::new(Kind::Unknown, what).advice("read the keys to find out")
    }
}

/// The operations of a body, or why one of them makes no sense.
fn operations(bytes: &[u8], terms: &Terms) -> Result<Vec<Result<Operation, Failure>>, Failure> {
    let bad = |what: String| {
        Failure::new(Kind::BadBody, what)
            .advice("send {\"operations\": [{\"op\": \"get\", \"key\": …}, …]}; nothing was done")
    };
    let form: BatchForm<'_> =
        serde_json::from_slice(bytes).map_err(|error| bad(format!("not a batch: {error}")))?;
    if form.operations.len() > MAX_OPERATIONS {
        let what = format!("a batch has at most {MAX_OPERATIONS} operations");
        return Err(bad(what));
    }
    let operation = |it: OperationForm<'_>| {
        let is_read = it.op == Op::Get;
        let unsent = |failure: Failure| match is_read {
            true => failure,
            false => failure.of_unsent_write(),
        };
        it.operation(terms).map_err(unsent)
    };
    Ok(form.operations.into_iter().map(operation).collect())
}

impl OperationForm<'_> {
    fn operation(self, terms: &Terms) -> Result<Operation, Failure> {
        let key = match self.key_encoding {
            Some(Encoding::Base64) => STANDARD.decode(&self.key).map_err(|error| {
                Failure::new(Kind::BadKey, format!("the key is no base64: {error}"))
            })?,
            Some(Encoding::Text) | None => self.key.into_bytes(),
        };
        let unwanted = |name: &str| {
            let what = format!("`{name}` is of no use for this operation");
            Err(Failure::new(Kind::BadOption, what))
        };
        match (self.op, self.value) {
            (Op::Get | Op::Delete, Some(_)) => return unwanted("value"),
            (Op::Get | Op::Delete, None) if self.ttl.is_some() => return unwanted("ttl"),
            (Op::Get, _) if self.context.is_some() => return unwanted("context"),
            (Op::Get | Op::Delete, None) if self.encoding.is_some() => return unwanted("encoding"),
            (Op::Get, None) => return Ok(Operation::Read(key.into())),
            (Op::Put, None) => return Err(Failure::new(Kind::BadBody, "a put needs a `value`")),
            (Op::Put, Some(_)) | (Op::Delete, None) => {}
        }
        let terms = Terms {
            ttl: self.ttl.map(options::lifetime).transpose()?,
            context: self.context.as_deref().map(options::context).transpose()?,
            ..terms.clone()
        };
        let value = self.value.map(|value| form::bytes_of(value, self.encoding));
        Ok(Operation::Write(key.into(), value.transpose()?, terms))
    }
}

/// A result, and the memory of its value.
type Held = (ResultJson, Option<Permit>);

/// Does all of them: reads and writes side by side.
async fn carry_out(
    store: &Store,
    operations: Vec<Result<Operation, Failure>>,
    terms: &Terms,
) -> Vec<Held> {
    let mut results: Vec<Option<Held>> = Vec::new();
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for (place, operation) in operations.into_iter().enumerate() {
        results.push(None);
        match operation {
            Ok(Operation::Read(key)) => reads.push((place, key)),
            Ok(Operation::Write(key, value, terms)) => writes.push((place, (key, value, terms))),
            Err(failure) => results[place] = Some(refused(failure)),
        }
    }

    let read = |(place, key)| async move { (place, read(store, key, terms).await) };
    let reads = stream::iter(reads)
        .map(read)
        .buffered(READS)
        .collect::<Vec<_>>();
    let (places, writes): (Vec<usize>, Vec<_>) = writes.into_iter().unzip();
    let (read, written) = future::join(reads, store.write_many(writes)).await;
    let written = places
        .into_iter()
        .zip(written.into_iter().map(write_result));
    for (place, result) in read.into_iter().chain(written) {
        results[place] = Some(result);
    }
    results.into_iter().flatten().collect()
}

async fn read(store: &Store, key: Bytes, terms: &Terms) -> Held {
    let found = async {
        let entry = store.get(key, terms).await?;
        let bytes = entry.siblings().iter().map(|value| value.bytes.len()).sum();
        Ok::<_, Failure>((store.memory(bytes)?, entry))
    };
    match found.await {
        Ok((memory, entry)) => (read_result(&entry), Some(memory)),
        Err(failure) => refused(failure),
    }
}

fn read_result(entry: &Entry) -> ResultJson {
    match entry.siblings() {
        [] => problem(Failure::new(Kind::NoValue, "the key has no value")),
        [only] => ResultJson::Value {
            status: 200,
            entry: entry::one(only, entry.context()),
        },
        _ => ResultJson::Siblings {
            status: 300,
            entry: entry::several(entry),
        },
    }
}

fn write_result(written: Result<Written, Failure>) -> Held {
    match written {
        Ok(written) => {
            let result = ResultJson::Written {
                status: 204,
                version: entry::version(written.dot),
                acked: written.acked,
                context: context_text(&written.context),
            };
            (result, None)
        }
        Err(mut failure) => {
            failure.applied.get_or_insert(Applied::No);
            refused(failure)
        }
    }
}

fn refused(failure: Failure) -> Held {
    (problem(failure), None)
}

fn problem(failure: Failure) -> ResultJson {
    ResultJson::Problem(Problem::of(failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Result<Operation, Failure>>, Failure> {
        operations(text.as_bytes(), &Terms::default())
    }

    #[test]
    fn what_is_no_batch_is_refused_as_a_whole() {
        for (text, expected) in [
            ("", "EOF"),
            ("[]", "invalid length"),
            (r#"{"operations":[],"more":1}"#, "unknown field"),
            (r#"{"operations":[{"op":"get"}]}"#, "missing field `key`"),
            (
                r#"{"operations":[{"op":"watch","key":"k"}]}"#,
                "unknown variant",
            ),
            (
                r#"{"operations":[{"op":"get","key":"k","tll":1}]}"#,
                "unknown field",
            ),
        ] {
            let failure = parsed(text).unwrap_err();
            assert!(
                failure.detail.contains(expected),
                "{text}: {}",
                failure.detail
            );
            assert_eq!(failure.kind, Kind::BadBody);
        }
        let one = r#"{"op":"get","key":"k"}"#;
        let many = |count: usize| format!("{{\"operations\":[{}]}}", vec![one; count].join(","));
        assert_eq!(parsed(&many(MAX_OPERATIONS)).unwrap().len(), MAX_OPERATIONS);
        assert!(parsed(&many(MAX_OPERATIONS + 1)).is_err());
    }

    #[test]
    fn what_is_wrong_with_one_operation_fails_that_one() {
        let text = r#"{"operations":[
            {"op":"get","key":"/w==","key_encoding":"base64"},
            {"op":"get","key":"!","key_encoding":"base64"},
            {"op":"get","key":"k","value":"v"},
            {"op":"get","key":"k","context":"AQ"},
            {"op":"delete","key":"k","ttl":5},
            {"op":"put","key":"k"},
            {"op":"put","key":"k","value":"v","ttl":0},
            {"op":"put","key":"k","value":"v","context":"!"},
            {"op":"put","key":"k","value":null},
            {"op":"put","key":"k","value":{"a":1},"ttl":5}
        ]}"#;
        let operations = parsed(text).unwrap();
        let kinds: Vec<_> = operations
            .iter()
            .map(|it| it.as_ref().err().map(|it| it.kind))
            .collect();
        let expected = [
            None,
            Some(Kind::BadKey),
            Some(Kind::BadOption),
            Some(Kind::BadOption),
            Some(Kind::BadOption),
            Some(Kind::BadBody),
            Some(Kind::BadOption),
            Some(Kind::BadContext),
            Some(Kind::BadBody),
            None,
        ];
        assert_eq!(kinds, expected);
        assert!(matches!(&operations[0], Ok(Operation::Read(key)) if key == &b"\xff"[..]));
        let Ok(Operation::Write(_, Some(value), terms)) = &operations[9] else {
            panic!("{:?}", operations[9]);
        };
        assert_eq!(value, r#"{"a":1}"#);
        assert_eq!(terms.ttl, Some(std::time::Duration::from_secs(5)));
    }
}
