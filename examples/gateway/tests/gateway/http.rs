//! The routes, as they are meant to be used.

use quoit_client::Context;

use super::support::Served;

#[tokio::test]
async fn a_value_is_written_read_and_deleted() {
    let served = Served::start().await;
    let put = served.send("PUT /v1/keys/color", &[], b"blue").await;
    assert_eq!((put.status, put.body.len()), (204, 0), "{put:?}");
    assert!(put.header("quoit-acked").parse::<u8>().unwrap() >= 2);

    let got = served.get("/v1/keys/color").await;
    assert_eq!((got.status, got.text()), (200, "blue"));
    assert_eq!(got.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(got.header("etag"), put.header("etag"));
    assert_eq!(got.header("cache-control"), "no-cache");
    let head = served.send("HEAD /v1/keys/color", &[], b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), "4");
    assert_eq!(head.header("etag"), put.header("etag"));

    let known = format!("if-none-match: {}", got.header("etag"));
    let unchanged = served.send("GET /v1/keys/color", &[&known], b"").await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    served.send("PUT /v1/keys/color", &[], b"green").await;
    let changed = served.send("GET /v1/keys/color", &[&known], b"").await;
    assert_eq!((changed.status, changed.text()), (200, "green"));

    for _ in 0..2 {
        let deleted = served.send("DELETE /v1/keys/color", &[], b"").await;
        assert_eq!(deleted.status, 204);
    }
    let gone = served.get("/v1/keys/color").await;
    assert_eq!(
        (gone.status, gone.problem()),
        (404, ("no-value".into(), None))
    );
    assert!(!gone.header("quoit-context").is_empty());
    served.stop().await;
}

#[tokio::test]
async fn any_bytes_are_a_key_and_a_value_and_other_clients_see_the_same() {
    let served = Served::start().await;
    let key = &b"a/\0\xff b"[..];
    let put = served
        .send(
            "PUT /v1/keys/a%2F%00%ff%20b",
            &["content-type: image/png"],
            b"\xff\0",
        )
        .await;
    assert_eq!(put.status, 204);
    assert_eq!(
        served.client.get(key).await.unwrap().value().unwrap(),
        &b"\xff\0"[..]
    );
    // A slash in a key may stand for itself.
    let got = served.get("/v1/keys/a/%00%FF%20b").await;
    assert_eq!((got.status, got.body.as_slice()), (200, &b"\xff\0"[..]));
    assert_eq!(got.header("content-type"), "application/octet-stream");
    let png = served.get("/v1/keys/a/%00%FF%20b?as=image/png").await;
    assert_eq!(png.header("content-type"), "image/png");
    assert_eq!(png.header("x-content-type-options"), "nosniff");

    served.client.put("from the library", "").await.unwrap();
    let empty = served.get("/v1/keys/from%20the%20library").await;
    assert_eq!((empty.status, empty.body.len()), (200, 0));
    served.stop().await;
}

#[tokio::test]
async fn the_json_form_has_a_lifetime_and_answers_in_json() {
    let served = Served::start().await;
    let json = &["content-type: application/json"];
    let put = served.send(
        "PUT /v1/keys/k",
        json,
        br#"{"value":"/w==","encoding":"base64","ttl":3600}"#,
    );
    assert_eq!(put.await.status, 204);
    let got = served.get("/v1/keys/k?as=json").await;
    assert_eq!(got.header("content-type"), "application/json");
    let got = got.json();
    assert_eq!(
        (&got["value"], &got["encoding"]),
        (&"/w==".into(), &"base64".into())
    );
    let lives = got["expires_ms"].as_u64().unwrap() - got["written_ms"].as_u64().unwrap();
    assert!((3_598_000..=3_602_000).contains(&lives), "{lives}");

    // By query, and it ends.
    let put = served.send("PUT /v1/keys/k?ttl=1", &[], b"short").await;
    assert_eq!(put.status, 204);
    let raw = served.get("/v1/keys/k").await;
    assert!(raw.header("quoit-expires-ms").parse::<u64>().unwrap() > 1_600_000_000_000);
    tokio::time::sleep(std::time::Duration::from_millis(1_800)).await;
    assert_eq!(served.get("/v1/keys/k").await.status, 404);
    served.stop().await;
}

#[tokio::test]
async fn siblings_are_shown_together_and_a_put_with_their_context_merges_them() {
    let served = Served::start().await;
    for value in [&b"tea"[..], b"\xff"] {
        let nothing = Context::default();
        served
            .client
            .put("cart", value)
            .context(&nothing)
            .await
            .unwrap();
    }
    let both = served.get("/v1/keys/cart").await;
    assert_eq!(both.status, 300);
    let json = both.json();
    let values: Vec<_> = json["siblings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["value"])
        .collect();
    assert_eq!(values, ["tea", "/w=="]);
    assert_eq!(json["context"], both.header("quoit-context"));
    assert!(both.header("etag").starts_with("\"siblings-"));

    let context = format!("quoit-context: {}", both.header("quoit-context"));
    let merged = served
        .send("PUT /v1/keys/cart", &[&context], b"tea and more")
        .await;
    assert_eq!(merged.status, 204);
    assert_eq!(served.get("/v1/keys/cart").await.text(), "tea and more");

    // What a stale context did not see stays, also beside a delete.
    let stale = served.send("DELETE /v1/keys/cart", &[&context], b"").await;
    assert_eq!(stale.status, 204);
    assert_eq!(served.get("/v1/keys/cart").await.text(), "tea and more");
    let fresh = format!("quoit-context: {}", merged.header("quoit-context"));
    served.send("DELETE /v1/keys/cart", &[&fresh], b"").await;
    assert_eq!(served.get("/v1/keys/cart").await.status, 404);
    served.stop().await;
}

#[tokio::test]
async fn every_request_has_an_id_and_the_document_and_the_health_are_there() {
    let served = Served::start().await;
    let named = served
        .send("GET /healthz", &["x-request-id: mine-1"], b"")
        .await;
    assert_eq!(
        (named.status, named.header("x-request-id")),
        (200, "mine-1")
    );
    assert_eq!(named.json()["status"], "ok");
    for junk in ["x-request-id: a b", "x-request-id: "] {
        let other = served.send("GET /healthz", &[junk], b"").await;
        assert!(!other.header("x-request-id").contains(' '));
        assert!(other.header("x-request-id").contains('-'));
    }
    let rebound = b"GET /healthz HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    let rebound = super::support::exchange(served.http(), rebound).await;
    assert!(
        rebound.starts_with(b"HTTP/1.1 421"),
        "{}",
        rebound.escape_ascii()
    );
    let document = served.get("/openapi.json").await;
    assert_eq!(document.json()["openapi"], "3.1.0");
    let head = served.send("HEAD /openapi.json", &[], b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    served.stop().await;
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let served = Served::start().await;
    let mut socket = tokio::net::TcpStream::connect(served.http()).await.unwrap();
    for number in 0..50 {
        let head = format!(
            "PUT /v1/keys/k{number} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nv"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut buffer = [0; 4096];
        let read = socket.read(&mut buffer).await.unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 204"), "{number}");
    }
    // It is idle, so a stop does not wait for it.
    let begun = std::time::Instant::now();
    served.stop().await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(8));
}
