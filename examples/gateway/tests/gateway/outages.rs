//! Nodes that are away: a write that may exist differs from one that surely does not.

use std::time::Duration;

use quoit_local::ClusterSettings;

use super::support::{Served, settings};

#[tokio::test]
async fn a_maybe_is_a_maybe_a_thin_write_is_thin_and_a_no_is_a_no() {
    let cluster = ClusterSettings::for_tests(3).proxied();
    let change =
        |builder: quoit_client::ClientBuilder| builder.deadline(Duration::from_millis(700));
    let mut served = Served::with(settings(), change, &cluster).await;
    assert_eq!(served.send("PUT /v1/keys/k", &[], b"v").await.status, 204);

    // One node is cut off: quorums go on, W = 3 does not.
    served.cluster.proxy(2).unwrap().cut();
    assert_eq!(served.send("PUT /v1/keys/k", &[], b"two").await.status, 204);
    let thin = served.send("PUT /v1/keys/k?w=3", &[], b"three").await;
    assert_eq!(thin.status, 504, "{}", thin.text());
    let (kind, applied) = thin.problem();
    assert!(
        matches!(
            (kind.as_str(), applied.as_deref()),
            ("outcome-unknown", Some("maybe")) | ("written-thinly", Some("thin"))
        ),
        "{kind} {applied:?}"
    );
    assert!(
        thin.json()["detail"].as_str().unwrap().contains("node-3"),
        "{}",
        thin.text()
    );

    // A second one is: a quorum of writes is unknown, of reads unavailable.
    served.cluster.proxy(1).unwrap().cut();
    let maybe = served
        .send("PUT /v1/keys/k?deadline-ms=300", &[], b"four")
        .await;
    assert_eq!(maybe.status, 504, "{}", maybe.text());
    assert!(
        maybe.json()["advice"]
            .as_str()
            .is_some_and(|advice| !advice.is_empty())
    );
    let read = served.get("/v1/keys/k").await;
    assert_eq!(
        (read.status, read.problem()),
        (503, ("unavailable".into(), None))
    );
    assert_eq!(read.header("retry-after"), "1");
    nothing_is_decided_without_a_majority(&served).await;
    let one = served.get("/v1/keys/k?consistency=one").await;
    assert_eq!(one.status, 200, "{}", one.text());
    let resp = served.resp_raw(b"SET k v\r\nGET k\r\n").await;
    assert!(
        resp.starts_with("-MAYBE ") || resp.starts_with("-THIN "),
        "{resp}"
    );
    assert!(resp.contains("|-NOREPLICAS "), "{resp}");

    // All nodes are stopped: soon it is known that nothing can be stored.
    for node in 0..3 {
        served.cluster.proxy(node).unwrap().heal();
        served.cluster.stop(node).await.unwrap();
    }
    let mut last = None;
    for _ in 0..40 {
        let answer = served.send("PUT /v1/keys/k", &[], b"five").await;
        let is_no = answer.problem() == ("unavailable".into(), Some("no".into()));
        last = Some(answer);
        if is_no {
            break;
        }
    }
    let no = last.unwrap();
    assert_eq!(
        (no.status, no.problem().1.as_deref()),
        (503, Some("no")),
        "{}",
        no.text()
    );
    assert_eq!(no.header("retry-after"), "1");
    served.stop().await;
}

async fn nothing_is_decided_without_a_majority(served: &Served) {
    let list = served.get("/v1/keys?deadline-ms=300").await;
    assert_eq!(
        (list.status, list.problem()),
        (503, ("unavailable".into(), None))
    );
    let changed = served.send("DELETE /v1/keys/k?deadline-ms=300", &["if-match: *"], b"");
    let changed = changed.await;
    assert_eq!(
        (changed.status, changed.problem().1.as_deref()),
        (503, Some("no"))
    );
    let incr = served.resp_raw(b"INCR n\r\nSETNX n 1\r\nSCAN 0\r\n").await;
    let starts: Vec<&str> = incr
        .split_terminator('|')
        .map(|part| part.split(' ').next().unwrap_or(""))
        .collect();
    assert_eq!(starts[0], "-NOREPLICAS", "{incr}");
    assert!(matches!(starts[1], "-NOREPLICAS" | "-MAYBE"), "{incr}");
    assert_eq!(starts[2], "-NOREPLICAS", "{incr}");
}

#[tokio::test]
async fn a_closed_client_is_an_answer_that_says_so() {
    let served = Served::start().await;
    served.client.close().await;
    let put = served.send("PUT /v1/keys/k", &[], b"v").await;
    assert_eq!(
        (put.status, put.problem()),
        (503, ("closed".into(), Some("no".into())))
    );
    let get = served.get("/v1/keys/k").await;
    assert_eq!((get.status, get.problem()), (503, ("closed".into(), None)));
    served.stop().await;
}

#[tokio::test]
async fn a_stop_lets_a_request_under_way_finish() {
    let cluster = ClusterSettings::for_tests(3).proxied();
    let change =
        |builder: quoit_client::ClientBuilder| builder.deadline(Duration::from_millis(800));
    let served = Served::with(settings(), change, &cluster).await;
    served.send("PUT /v1/keys/k", &[], b"v").await;
    for node in 0..2 {
        served.cluster.proxy(node).unwrap().cut();
    }
    let address = served.http();
    let under_way = tokio::spawn(async move {
        let bytes = b"GET /v1/keys/k HTTP/1.1\r\nhost: localhost\r\n\r\n";
        super::support::exchange(address, bytes).await
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    served.gateway.shut_down().await;
    let answer = under_way.await.unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 503"),
        "{}",
        answer.escape_ascii()
    );
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    served.client.close().await;
}
