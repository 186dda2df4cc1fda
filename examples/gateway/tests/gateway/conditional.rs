//! Conditional requests: one of many wins, what is stale is refused, and an unknown outcome is settled.

use std::time::Duration;

use futures_util::future::join_all;
use quoit_client::Context;
use quoit_local::{ClusterSettings, NetworkFaults};

use super::support::{Served, settings};

const NEW: &str = "if-none-match: *";
/// How long a datagram is on its way.
const LATE: Duration = Duration::from_millis(60);

#[tokio::test]
async fn a_write_happens_only_to_the_version_that_its_etag_names() {
    let served = Served::start().await;
    let first = served.send("PUT /v1/keys/k", &[NEW], b"one").await;
    assert_eq!(first.status, 204, "{}", first.text());
    let again = served.send("PUT /v1/keys/k", &[NEW], b"two").await;
    assert_eq!(again.status, 412);
    assert_eq!(
        again.problem(),
        ("condition-failed".into(), Some("no".into()))
    );
    assert_eq!(again.header("etag"), first.header("etag"));
    assert!(!again.header("quoit-context").is_empty());

    let of = |etag: &str| format!("if-match: {etag}");
    let one = of(first.header("etag"));
    let second = served.send("PUT /v1/keys/k?ttl=60", &[&one], b"two").await;
    assert_eq!(second.status, 204, "{}", second.text());
    let fence =
        |answer: &super::support::Answer| -> u64 { answer.header("quoit-fence").parse().unwrap() };
    assert!(fence(&second) > fence(&first));
    let got = served.get("/v1/keys/k?consistency=linearizable").await;
    assert_eq!((got.status, got.text()), (200, "two"));
    assert_eq!(got.header("etag"), second.header("etag"));
    assert!(!got.header("quoit-expires-ms").is_empty());

    // What the first write was is no condition any more, for no change.
    for method in ["PUT", "DELETE"] {
        let body: &[u8] = if method == "PUT" { b"three" } else { b"" };
        let stale = served
            .send(&format!("{method} /v1/keys/k"), &[&one], body)
            .await;
        assert_eq!(stale.status, 412, "{method}");
    }
    let two = of(second.header("etag"));
    let deleted = served.send("DELETE /v1/keys/k", &[&two], b"").await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    assert!(fence(&deleted) > fence(&second));
    for condition in ["if-match: *", &two] {
        let absent = served.send("PUT /v1/keys/k", &[condition], b"v").await;
        assert_eq!(absent.status, 412);
        assert!(!absent.headers.contains_key("etag"), "{absent:?}");
    }
    let linear = "PUT /v1/keys/k?consistency=linearizable";
    let linear = served.send(linear, &[], b"four").await;
    assert!(linear.status == 204 && fence(&linear) > fence(&deleted));
    served.stop().await;
}

#[tokio::test]
async fn a_condition_is_on_all_siblings_and_on_other_clients_writes() {
    let served = Served::start().await;
    for value in ["tea", "milk"] {
        let nothing = Context::default();
        let put = served.client.put("cart", value).context(&nothing);
        put.await.unwrap();
    }
    let both = served.get("/v1/keys/cart").await;
    let of_both = format!("if-match: {}", both.header("etag"));
    served.client.put("cart", "bread").await.unwrap();
    let stale = served.send("PUT /v1/keys/cart", &[&of_both], b"all").await;
    assert_eq!(stale.status, 412);
    let now = format!("if-match: {}", stale.header("etag"));
    let merged = served.send("PUT /v1/keys/cart", &[&now], b"all").await;
    assert_eq!(merged.status, 204, "{}", merged.text());
    assert_eq!(
        served.client.get("cart").await.unwrap().value().unwrap(),
        "all"
    );

    // What says two things at once is refused, and so is a context that would be ignored.
    let context = format!("quoit-context: {}", merged.header("quoit-context"));
    for (target, headers) in [
        ("?consistency=one", vec![NEW]),
        ("?consistency=quorum", vec![NEW]),
        ("?w=3", vec![NEW]),
        ("?consistency=linearizable&w=3", vec![]),
        ("", vec![NEW, &context]),
        ("?consistency=linearizable", vec![&context]),
    ] {
        let line = format!("PUT /v1/keys/cart{target}");
        let refused = served.send(&line, &headers, b"v").await;
        assert_eq!(refused.status, 400, "{target}: {}", refused.text());
        assert_eq!(refused.problem().1.as_deref(), Some("no"));
    }
    served.stop().await;
}

#[tokio::test]
async fn of_many_at_once_one_wins() {
    let served = Served::start().await;
    let race = async |condition: String| {
        let writers = (0..16).map(async |number: u32| {
            let body = number.to_string();
            let (line, headers) = ("PUT /v1/keys/leader", &[condition.as_str()]);
            (served.send(line, headers, body.as_bytes()).await, body)
        });
        let mut won = Vec::new();
        for (put, body) in join_all(writers).await {
            assert!(matches!(put.status, 204 | 412), "{put:?}");
            if put.status == 204 {
                won.push((body, put.header("etag").to_owned()));
            }
        }
        assert_eq!(won.len(), 1, "{won:?}");
        won.remove(0)
    };
    let (_, etag) = race(NEW.to_owned()).await;
    let (last, _) = race(format!("if-match: {etag}")).await;
    assert_eq!(served.get("/v1/keys/leader").await.text(), last);
    served.stop().await;
}

#[tokio::test]
async fn an_unknown_outcome_has_a_name_and_is_settled_for_good() {
    let cluster = ClusterSettings::for_tests(3).proxied();
    let served = Served::with(settings(), |builder| builder, &cluster).await;
    let slow = |faults: &mut NetworkFaults| {
        *faults = NetworkFaults::default();
        (faults.to_node.delay, faults.from_node.delay) = (LATE, LATE);
    };
    let mut settled = 0;
    for attempt in 0..60 {
        let line = format!("PUT /v1/keys/k{attempt}?deadline-ms=1000");
        for node in 0..3 {
            served.cluster.proxy(node).unwrap().change(slow);
        }
        let cut = async {
            // A round takes 120 ms, and more on a busy machine: somewhere here the proposal is on its way.
            tokio::time::sleep(Duration::from_millis(150 + attempt * 61 % 500)).await;
            for node in 0..3 {
                served.cluster.proxy(node).unwrap().cut();
            }
        };
        let (put, ()) = tokio::join!(served.send(&line, &[NEW], b"v"), cut);
        for node in 0..3 {
            served.cluster.proxy(node).unwrap().heal();
        }
        if put.status != 504 {
            assert!(matches!(put.status, 204 | 503), "{}", put.text());
            continue;
        }
        assert_eq!(put.problem().1.as_deref(), Some("maybe"));
        let operation = put.json()["operation"].as_str().unwrap().to_owned();
        let mut answer = served
            .send("POST /v1/outcomes", &[], operation.as_bytes())
            .await;
        for _ in 0..50 {
            if answer.status == 200 {
                break;
            }
            assert_eq!((answer.status, answer.problem().1), (503, None));
            tokio::time::sleep(Duration::from_millis(100)).await;
            answer = served
                .send("POST /v1/outcomes", &[], operation.as_bytes())
                .await;
        }
        let there = served.get(&format!("/v1/keys/k{attempt}")).await;
        match answer.json()["outcome"].as_str().unwrap() {
            "applied" => {
                assert_eq!(there.text(), "v");
                assert_eq!(there.header("etag"), answer.header("etag"));
                assert!(answer.json()["fence"].as_u64().unwrap() > 0);
            }
            "not-applied" => assert_eq!(there.status, 404),
            other => panic!("{other}"),
        }
        settled += 1;
        break;
    }
    assert!(settled > 0, "no outcome was unknown");
    for junk in [&b""[..], b"k", b"6b.00", b"\xff"] {
        let refused = served.send("POST /v1/outcomes", &[], junk).await;
        assert_eq!(
            (refused.status, refused.problem()),
            (400, ("bad-body".into(), None))
        );
    }
    served.stop().await;
}
