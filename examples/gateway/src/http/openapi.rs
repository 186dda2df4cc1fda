//! The OpenAPI document, made from the tables that the parsers read.
//!
//! Options come from [`OPTIONS`], failures from [`Kind`], so what is added there is described here. *Not taken:* a crate of
//! annotations (utoipa), which describes handlers by a second text beside the code and would bring a macro, `syn` in every
//! build and its own types for a handful of routes.

use serde_json::{Map, Value, json};

use super::batch::{BATCH, MAX_OPERATIONS};
use super::list::LIST;
use super::options::{Method, OPTIONS, Spec};
use super::outcomes::OUTCOMES;
use super::problem::{PROBLEM_JSON, TYPE};
use crate::failure::Kind;

/// The document.
pub(crate) fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "quoit gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Keys and values of a quoit cluster. After 4xx, 429 and 503 a write surely does not exist; after 504 it may, and `applied` says so.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" }
        },
        "servers": [{ "url": "/" }],
        "security": [{}, { "token": [] }],
        "paths": {
            "/v1/keys/{key}": {
                "parameters": [key_parameter()],
                "get": operation(Method::Get, "getKey", "Read a key", &reads()),
                "head": operation(Method::Get, "headKey", "Read a key without its value", &heads()),
                "put": put(),
                "delete": conditional(operation(Method::Delete, "deleteKey", "Delete a key, whether or not it has a value", &writes())),
            },
            LIST: { "get": listed() },
            BATCH: { "post": batch() },
            OUTCOMES: { "post": settle() },
            "/healthz": { "get": plain("health", "Whether the gateway serves", "Health") },
            "/openapi.json": { "get": plain("openapi", "This document", "Document") },
        },
        "components": {
            "schemas": all_schemas(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        }
    })
}

fn key_parameter() -> Value {
    json!({
        "name": "key", "in": "path", "required": true,
        "description": "1 to 32,768 bytes, any of them by percent-encoding; a target of at most 65,534 bytes. `.` and `..` as a part of the path are removed by most clients.",
        "schema": { "type": "string", "minLength": 1 }
    })
}

fn operation(method: Method, id: &str, summary: &str, answers: &Value) -> Value {
    let takes = OPTIONS.iter().filter(|spec| spec.methods.contains(&method));
    let parameters: Vec<Value> = takes
        .flat_map(|spec| [parameter(spec, "query"), parameter(spec, "header")])
        .collect();
    let mut responses = answers.as_object().cloned().unwrap_or_default();
    for (status, problem) in problems() {
        // A redirect, a value or an answer without a body keeps its own text.
        responses.entry(status).or_insert(problem);
    }
    json!({ "operationId": id, "summary": summary, "parameters": parameters, "responses": responses })
}

fn put() -> Value {
    let put = operation(Method::Put, "putKey", "Write a key", &writes());
    let mut put = conditional(put);
    put["requestBody"] = json!({
        "required": true,
        "description": "The value. `application/json` takes the form with a lifetime; any other type is stored as it is, and the type itself is not kept.",
        "content": {
            "application/json": { "schema": { "$ref": "#/components/schemas/PutForm" } },
            "application/octet-stream": { "schema": {} },
            "text/plain": { "schema": { "type": "string" } },
        }
    });
    put
}

/// A write, with the conditions that it takes.
fn conditional(mut write: Value) -> Value {
    let tags = r#"^(\*|(W/)?"[^"]*"(, *(W/)?"[^"]*")*)$"#;
    let header = |name: &str, about: &str| {
        json!({
            "name": name, "in": "header", "required": false, "description": about,
            "schema": { "type": "string", "pattern": tags },
        })
    };
    let conditions = [
        header(
            "if-match",
            "Only if the key has one of these versions, or with `*` any value; linearizable",
        ),
        header(
            "if-none-match",
            "Only if the key has none of these versions, or with `*` no value; linearizable",
        ),
    ];
    if let Some(parameters) = write["parameters"].as_array_mut() {
        parameters.extend(conditions);
    }
    write
}

fn listed() -> Value {
    let answers = json!({ "200": {
        "description": "A page of keys in their order; `next` is the token of the next page, null if that is all",
        "content": {
            "application/json": { "schema": { "$ref": "#/components/schemas/Page" } },
            "application/x-ndjson": { "schema": { "type": "string" } },
        }
    } });
    operation(Method::List, "listKeys", "List keys", &answers)
}

/// The question what became of a conditional write.
fn settle() -> Value {
    let answers = json!({ "200": {
        "description": "What became of it: from now on that stays so",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Outcome" } } }
    } });
    let summary = "Ask what became of a conditional write, and bar it if it has not happened";
    let mut settle = operation(Method::Settle, "settle", summary, &answers);
    settle["requestBody"] = json!({
        "required": true,
        "description": "The name that a problem had as `operation`",
        "content": { "text/plain": { "schema": { "type": "string" } } }
    });
    settle
}

/// Many operations.
fn batch() -> Value {
    let answers = json!({ "200": {
        "description": "A result for each operation, in their order: its `status` is that of its own request",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Results" } } }
    } });
    let summary = "Read, write and delete many keys, each for itself";
    let mut batch = operation(Method::Batch, "batch", summary, &answers);
    batch["requestBody"] = json!({
        "required": true,
        "description": "What is wrong with one operation fails that one alone",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Batch" } } }
    });
    batch
}

fn parameter(spec: &Spec, place: &str) -> Value {
    let name = if place == "query" {
        spec.query
    } else {
        spec.header
    };
    let schema = match (spec.range, spec.query) {
        (Some((least, most)), _) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        (None, "consistency") => {
            json!({ "type": "string", "enum": ["quorum", "one", "linearizable"] })
        }
        // base64url, and a content type or `json`; whether a context is one only its bytes tell.
        (None, "values") => json!({ "type": "string", "enum": ["true", "false"] }),
        (None, "prefix" | "start") => json!({ "type": "string" }),
        (None, "token") => json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]+$" }),
        (None, "context") => json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]+$" }),
        (None, _) => {
            json!({ "type": "string", "pattern": "^(json|[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+)$" })
        }
    };
    json!({ "name": name, "in": place, "required": false, "description": spec.about, "schema": schema })
}

fn reads() -> Value {
    json!({
        "200": {
            "description": "The value, raw or with `as=json` in JSON",
            "headers": answer_headers(),
            "content": { "*/*": { "schema": {} } }
        },
        "300": {
            "description": "Several values, none of whose writers saw another: merge them and put with the context",
            "headers": answer_headers(),
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Siblings" } } }
        },
        "304": { "description": "`If-None-Match` names this version", "headers": answer_headers() },
    })
}

fn heads() -> Value {
    let mut heads = json!({
        "200": { "description": "There is one value", "headers": answer_headers() },
        "300": { "description": "There are several values", "headers": answer_headers() },
        "304": { "description": "`If-None-Match` names this version", "headers": answer_headers() },
    });
    for (status, _) in problems() {
        heads[status] = json!({ "description": "As of a GET, without the problem" });
    }
    heads
}

fn writes() -> Value {
    let mut headers = answer_headers();
    headers["quoit-acked"] =
        json!({ "description": "Nodes that had acknowledged it", "schema": { "type": "integer" } });
    headers["quoit-fence"] = json!({ "description": "Of a linearizable write: a token that rises with each of the key", "schema": { "type": "integer" } });
    json!({ "204": { "description": "Stored by W replicas at least", "headers": headers } })
}

fn answer_headers() -> Value {
    let text = |about: &str| json!({ "description": about, "schema": { "type": "string" } });
    json!({
        "ETag": text("The version"),
        "quoit-context": text("The causal context, for the next write; left out if it has more than 6 KiB, which only JSON answers hold"),
        "x-request-id": text("The request's id"),
    })
}

/// One answer for each status that a failure can have.
fn problems() -> Map<String, Value> {
    let mut answers = Map::new();
    for kind in Kind::ALL {
        let answer = answers.entry(kind.status().to_string()).or_insert_with(|| {
            json!({
                "description": "",
                "content": { PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/Problem" } } }
            })
        });
        let earlier = answer["description"].as_str().unwrap_or_default();
        let joint = if earlier.is_empty() { "" } else { "; " };
        answer["description"] =
            format!("{earlier}{joint}{} (`{}`)", kind.title(), kind.slug()).into();
    }
    answers
}

fn plain(id: &str, summary: &str, schema: &str) -> Value {
    let problems = problems();
    let mut responses = json!({
        "200": {
            "description": summary,
            "content": { "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } }
        },
    });
    for status in ["429", "503"] {
        responses[status] = problems.get(status).cloned().unwrap_or_default();
    }
    json!({ "operationId": id, "summary": summary, "security": [], "responses": responses })
}

fn all_schemas() -> Map<String, Value> {
    let parts = [schemas_of_keys(), schemas_of_many()];
    parts
        .into_iter()
        .filter_map(|part| part.as_object().cloned())
        .flatten()
        .collect()
}

/// What bodies look like.
fn schemas_of_keys() -> Value {
    let types: Vec<String> = Kind::ALL
        .iter()
        .map(|kind| format!("{TYPE}{}", kind.slug()))
        .collect();
    let value = json!({
        "value": { "type": "string" },
        "encoding": { "enum": ["base64"], "description": "Present if the value is no UTF-8" },
        "version": { "type": "string" },
        "written_ms": { "type": "integer" },
        "expires_ms": { "type": ["integer", "null"] },
    });
    json!({
        "Value": { "type": "object", "required": ["value", "version", "written_ms", "expires_ms"], "properties": value },
        "Siblings": {
            "type": "object", "required": ["siblings", "context"],
            "properties": {
                "siblings": { "type": "array", "minItems": 2, "items": { "$ref": "#/components/schemas/Value" } },
                "context": { "type": "string" },
            }
        },
        "PutForm": {
            "type": "object", "required": ["value"], "additionalProperties": false,
            "properties": {
                "value": { "not": { "type": "null" }, "description": "A text is stored as its UTF-8 bytes, anything else as its JSON" },
                "encoding": { "enum": ["text", "base64"], "description": "Of a text" },
                "ttl": { "type": "integer", "minimum": 1, "description": "Seconds" },
                "context": { "type": "string", "pattern": "^[A-Za-z0-9_-]+$" },
            },
            "dependentSchemas": { "encoding": { "properties": { "value": { "type": "string" } } } }
        },
        "Problem": {
            "type": "object", "required": ["type", "title", "status", "detail", "request_id"],
            "properties": {
                "type": { "enum": types },
                "title": { "type": "string" },
                "status": { "type": "integer" },
                "detail": { "type": "string", "description": "What happened" },
                "applied": { "enum": ["no", "maybe", "thin"], "description": "Of a write: whether it could exist" },
                "advice": { "type": "string", "description": "What to do" },
                "operation": { "type": "string", "description": "Of a conditional write that may exist: its name, for `/v1/outcomes`" },
                "request_id": { "type": "string" },
            }
        },
    })
}

/// The same of what is about several keys, or none.
fn schemas_of_many() -> Value {
    json!({
        "Page": {
            "type": "object", "required": ["keys", "next"],
            "properties": {
                "keys": { "type": "array", "items": {
                    "type": "object", "required": ["key"],
                    "properties": {
                        "key": { "type": "string" },
                        "key_encoding": { "enum": ["base64"], "description": "Present if the key is no UTF-8" },
                        "values": { "type": "array", "items": { "$ref": "#/components/schemas/Value" } },
                        "context": { "type": "string" },
                    }
                } },
                "next": { "type": ["string", "null"] },
            }
        },
        "Batch": {
            "type": "object", "required": ["operations"], "additionalProperties": false,
            "properties": { "operations": { "type": "array", "maxItems": MAX_OPERATIONS, "items": {
                "type": "object", "required": ["op", "key"], "additionalProperties": false,
                "properties": {
                    "op": { "enum": ["get", "put", "delete"] },
                    "key": { "type": "string" },
                    "key_encoding": { "enum": ["text", "base64"] },
                    "value": { "description": "Of a put: a text is stored as its UTF-8 bytes, anything else but null as its JSON" },
                    "encoding": { "enum": ["text", "base64"], "description": "Of a text" },
                    "ttl": { "type": "integer", "minimum": 0, "description": "Of a put: seconds, 1 or more" },
                    "context": { "type": "string", "description": "Of a put or delete" },
                }
            } } }
        },
        "Results": {
            "type": "object", "required": ["results"],
            "properties": { "results": { "type": "array", "items": {
                "type": "object", "required": ["status"],
                "properties": { "status": { "type": "integer" } },
            } } }
        },
        "Outcome": {
            "type": "object", "required": ["outcome"],
            "properties": {
                "outcome": { "enum": ["applied", "not-applied", "forgotten"] },
                "version": { "type": "string" },
                "fence": { "type": "integer" },
            }
        },
        "Health": { "type": "object", "required": ["status"], "properties": { "status": { "const": "ok" } } },
        "Document": { "type": "object" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_and_every_status_is_described() {
        let document = document();
        let paths = &document["paths"];
        let path = &paths["/v1/keys/{key}"];
        for spec in &OPTIONS {
            for method in spec.methods {
                let (path, name) = match method {
                    Method::List => (&paths[LIST], "get"),
                    Method::Get => (path, "get"),
                    Method::Put => (path, "put"),
                    Method::Delete => (path, "delete"),
                    Method::Settle => (&paths[OUTCOMES], "post"),
                    Method::Batch => (&paths[BATCH], "post"),
                };
                let parameters = path[name]["parameters"].as_array().unwrap();
                for (place, option) in [("query", spec.query), ("header", spec.header)] {
                    let found = parameters
                        .iter()
                        .any(|p| p["name"] == option && p["in"] == place);
                    assert!(found, "{name} {place} {option}");
                }
            }
        }
        for kind in Kind::ALL {
            let answer = &path["put"]["responses"][kind.status().to_string()];
            let text = answer["description"].as_str().unwrap();
            assert!(text.contains(kind.slug()), "{kind:?}: {text}");
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        fn walk(value: &Value, root: &Value) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(target)) = fields.get("$ref") {
                        let pointer = target.trim_start_matches('#');
                        assert!(root.pointer(pointer).is_some(), "{target}");
                    }
                    fields.values().for_each(|field| walk(field, root));
                }
                Value::Array(items) => items.iter().for_each(|item| walk(item, root)),
                _ => {}
            }
        }
        let document = document();
        walk(&document, &document);
    }
}
