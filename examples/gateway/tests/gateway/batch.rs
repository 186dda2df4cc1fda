//! Batches: a result for each operation, in order, and what is wrong with one fails that one.

use quoit_local::ClusterSettings;
use serde_json::{Value, json};

use super::support::{Answer, Served, settings};

const JSON: &[&str] = &["content-type: application/json"];

async fn batch(served: &Served, operations: Value) -> Answer {
    let body = json!({ "operations": operations }).to_string();
    served.send("POST /v1/batch", JSON, body.as_bytes()).await
}

fn statuses(answer: &Answer) -> Vec<u64> {
    let json = answer.json();
    let results = json["results"].as_array().unwrap();
    let status = |result: &Value| result["status"].as_u64().unwrap();
    results.iter().map(status).collect()
}

#[tokio::test]
async fn each_operation_has_the_result_that_its_own_request_would_have() {
    let served = Served::start().await;
    let written = batch(
        &served,
        json!([
            { "op": "put", "key": "a", "value": "blue" },
            { "op": "put", "key": "/w==", "key_encoding": "base64", "value": "/w==", "encoding": "base64" },
            { "op": "put", "key": "doc", "value": { "n": 1 }, "ttl": 60 },
            { "op": "put", "key": "a", "value": "green" },
        ]),
    )
    .await;
    assert_eq!(written.status, 200);
    assert_eq!(written.header("content-type"), "application/json");
    assert_eq!(statuses(&written), [204; 4]);
    let first = &written.json()["results"][0];
    assert!(first["acked"].as_u64().unwrap() >= 2 && first["version"].is_string());

    let read = batch(
        &served,
        json!([
            { "op": "get", "key": "a" },
            { "op": "get", "key": "none" },
            { "op": "get", "key": "/w==", "key_encoding": "base64" },
            { "op": "get", "key": "doc" },
            { "op": "delete", "key": "other" },
        ]),
    )
    .await;
    assert_eq!(statuses(&read), [200, 404, 200, 200, 204]);
    let results = &read.json()["results"];
    assert_eq!(results[0]["value"], "green", "the later one is the last");
    assert_eq!(results[1]["type"], "urn:quoit:problem:no-value");
    assert!(results[1].get("applied").is_none() && results[1].get("request_id").is_none());
    assert_eq!(
        (&results[2]["value"], &results[2]["encoding"]),
        (&"/w==".into(), &"base64".into())
    );
    assert_eq!(results[3]["value"], r#"{"n":1}"#);
    assert!(results[3]["expires_ms"].is_u64());

    // Siblings come together, and a put with their context settles them.
    let nothing = served.client.get("cart").await.unwrap();
    for item in ["milk", "bread"] {
        let put = served.client.put("cart", item).context(nothing.context());
        put.await.unwrap();
    }
    let read = batch(&served, json!([{ "op": "get", "key": "cart" }])).await;
    assert_eq!(statuses(&read), [300]);
    let context = &read.json()["results"][0]["context"];
    let put = json!([{ "op": "put", "key": "cart", "value": "both", "context": context }]);
    assert_eq!(statuses(&batch(&served, put).await), [204]);
    assert_eq!(served.get("/v1/keys/cart").await.text(), "both");
    assert_eq!(statuses(&batch(&served, json!([])).await), [0_u64; 0]);
    served.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_one_operation_fails_that_one_and_a_body_that_is_no_batch_does_nothing()
{
    let served = Served::start().await;
    let answer = batch(
        &served,
        json!([
            { "op": "put", "key": "good", "value": "1" },
            { "op": "put", "key": "", "value": "2" },
            { "op": "put", "key": "k".repeat(32_769), "value": "3" },
            { "op": "put", "key": "k", "value": "4", "ttl": 0 },
            { "op": "put", "key": "large", "value": "x".repeat((1 << 20) + 1) },
            { "op": "get", "key": "" },
        ]),
    )
    .await;
    assert_eq!(statuses(&answer), [204, 400, 414, 400, 413, 400]);
    let results = &answer.json()["results"];
    for refused in 1..=4 {
        assert_eq!(results[refused]["applied"], "no", "{}", results[refused]);
    }
    assert!(results[5].get("applied").is_none());
    assert_eq!(served.get("/v1/keys/good").await.text(), "1");
    assert_eq!(served.get("/v1/keys/k").await.status, 404);

    for (body, status) in [
        (&b""[..], 400),
        (b"[]", 400),
        (
            br#"{"operations":[{"op":"put","key":"bad","value":"1"},{"op":"watch","key":"k"}]}"#,
            400,
        ),
    ] {
        let answer = served.send("POST /v1/batch", JSON, body).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.problem(), ("bad-body".into(), Some("no".into())));
    }
    assert_eq!(served.get("/v1/keys/bad").await.status, 404);
    for (line, headers) in [
        ("POST /v1/batch?w=3", &[][..]),
        ("POST /v1/batch?ttl=3", &[]),
        ("POST /v1/batch", &["if-match: *"]),
    ] {
        let answer = served.send(line, headers, br#"{"operations":[]}"#).await;
        assert_eq!(answer.status, 400, "{line}");
    }
    served.stop().await;
}

#[tokio::test]
async fn a_batch_takes_no_more_memory_than_there_is() {
    let mut small = settings();
    small.limits.max_value_bytes = 64 << 10;
    small.limits.memory_bytes = 512 << 10;
    let served = Served::with(small, |builder| builder, &ClusterSettings::for_tests(3)).await;
    let value = "x".repeat(60 << 10);
    for number in 0..20 {
        let put = served
            .send(&format!("PUT /v1/keys/k{number}"), &[], value.as_bytes())
            .await;
        assert_eq!(put.status, 204);
    }
    let gets: Vec<_> = (0..20)
        .map(|n| json!({ "op": "get", "key": format!("k{n}") }))
        .collect();
    let answer = batch(&served, gets.into()).await;
    match answer.status {
        // What did not fit is said of each, or of the answer as a whole.
        200 => assert!(statuses(&answer).contains(&503), "{:?}", statuses(&answer)),
        status => assert_eq!((status, answer.problem().0.as_str()), (503, "overloaded")),
    }
    let two = json!([{ "op": "get", "key": "k0" }, { "op": "get", "key": "k1" }]);
    assert_eq!(statuses(&batch(&served, two).await), [200, 200]);
    served.stop().await;
}
