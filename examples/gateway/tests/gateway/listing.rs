//! Lists of keys, over both ports.

use std::collections::BTreeSet;

use quoit_client::Context;

use super::support::Served;

#[tokio::test]
async fn keys_are_listed_in_order_a_page_at_a_time() {
    let served = Served::start().await;
    for number in 0..25 {
        let key = format!("user:{number:02}");
        served.client.put(key, "v").await.unwrap();
    }
    served
        .client
        .put(&b"a\xff"[..], &b"\xfe"[..])
        .await
        .unwrap();
    served.client.put("gone", "v").await.unwrap();
    served.client.delete("gone").await.unwrap();

    let (mut listed, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = served
            .get(&format!("/v1/keys?prefix=user%3A&limit=10{token}"))
            .await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (200, "application/json")
        );
        let page = page.json();
        for row in page["keys"].as_array().unwrap() {
            assert!(row.get("values").is_none());
            listed.push(row["key"].as_str().unwrap().to_owned());
        }
        pages += 1;
        match page["next"].as_str() {
            Some(next) => token = format!("&token={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..25).map(|number| format!("user:{number:02}")).collect();
    assert_eq!((listed, pages), (expected, 3));

    let other = served.get(&format!("/v1/keys?prefix=b{token}")).await;
    assert_eq!(
        (other.status, other.problem().0.as_str()),
        (400, "bad-token")
    );
    let from = served.get("/v1/keys?start=user:23").await.json();
    assert_eq!(from["keys"].as_array().unwrap().len(), 2);
    let nothing = served.get("/v1/keys?prefix=gone").await.json();
    assert_eq!(nothing, serde_json::json!({ "keys": [], "next": null }));
    let beyond = served.get("/v1/keys?prefix=a&start=b").await.json();
    assert_eq!(beyond["keys"].as_array().unwrap().len(), 0);
    served.stop().await;
}

#[tokio::test]
async fn rows_have_values_and_lines_if_that_is_asked_for() {
    let served = Served::start().await;
    served
        .client
        .put(&b"a\xff"[..], &b"\xfe"[..])
        .await
        .unwrap();
    for value in ["tea", "milk"] {
        let nothing = Context::default();
        let put = served.client.put("cart", value).context(&nothing);
        put.await.unwrap();
    }
    let lines = served
        .send(
            "GET /v1/keys?values=true",
            &["accept: application/x-ndjson"],
            b"",
        )
        .await;
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    let rows: Vec<serde_json::Value> = lines
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(
        (&rows[0]["key"], &rows[0]["key_encoding"]),
        (&"Yf8=".into(), &"base64".into())
    );
    assert_eq!(rows[0]["values"][0]["value"], "/g==");
    assert_eq!(rows[1]["values"].as_array().unwrap().len(), 2);
    assert!(rows[1]["context"].as_str().is_some_and(|it| !it.is_empty()));
    assert_eq!(rows[2], serde_json::json!({ "next": null }));
    let by_bytes = served.get("/v1/keys?prefix=a%ff").await.json();
    assert_eq!(by_bytes["keys"].as_array().unwrap().len(), 1);
    let by_header = served.send("GET /v1/keys", &["quoit-prefix: a%ff"], b"");
    assert_eq!(by_header.await.json(), by_bytes);
    served.stop().await;
}

/// All keys that a scan with these options yields, and how many steps it took.
async fn scan(served: &Served, options: &str) -> (BTreeSet<String>, usize) {
    let (mut keys, mut cursor, mut steps) = (BTreeSet::new(), "0".to_owned(), 0);
    loop {
        let line = format!("SCAN {cursor} {options}\r\n");
        let reply = served.resp_raw(line.as_bytes()).await;
        let parts: Vec<&str> = reply.split_terminator('|').collect();
        assert_eq!(parts[0], "*2", "{reply}");
        cursor = parts[2].to_owned();
        for key in parts[4..].iter().skip(1).step_by(2) {
            assert!(keys.insert((*key).to_owned()), "{key} came twice");
        }
        steps += 1;
        if cursor == "0" {
            return (keys, steps);
        }
    }
}

#[tokio::test]
async fn scans_yield_every_key_once_and_patterns_choose() {
    let served = Served::start().await;
    let mut expected = BTreeSet::new();
    for number in 0..40 {
        let key = format!("user:{number:02}");
        served.client.put(key.clone(), "v").await.unwrap();
        expected.insert(key);
    }
    served.client.put("other", "v").await.unwrap();

    let (users, steps) = scan(&served, "MATCH user:* COUNT 15").await;
    assert_eq!((users, steps), (expected.clone(), 3));
    let (all, steps) = scan(&served, "").await;
    assert_eq!((all.len(), steps), (41, 5));
    let (few, _) = scan(&served, "MATCH *:?[12] COUNT 1000").await;
    assert_eq!(few.len(), 8, "{few:?}");
    assert_eq!(scan(&served, "TYPE hash").await.0.len(), 0);
    assert_eq!(scan(&served, "TYPE string COUNT 100").await.0.len(), 41);

    let keys = served
        .resp_raw(b"KEYS *:0?\r\nKEYS other\r\nKEYS none*\r\n")
        .await;
    assert!(keys.starts_with("*10|$7|user:00|$7|user:01|"), "{keys}");
    assert!(keys.ends_with("|*1|$5|other|*0|"), "{keys}");

    let script = b"SCAN x\r\nSCAN 77\r\nSCAN 0 COUNT 0\r\nSCAN 0 COUNT x\r\nSCAN 0 MATCH\r\nSCAN 0 FOO bar\r\nSCAN -1\r\nDBSIZE\r\n";
    let replies = served.resp_raw(script).await;
    let parts: Vec<&str> = replies.split_terminator('|').collect();
    for (part, expected) in parts.iter().zip([
        "-ERR invalid cursor",
        "-ERR this cursor is not known here",
        "-ERR syntax error",
        "-ERR value is not an integer",
        "-ERR syntax error",
        "-ERR syntax error",
        "-ERR invalid cursor",
        "-ERR 'DBSIZE' would read every key",
    ]) {
        assert!(part.starts_with(expected), "{part}");
    }
    // A pipeline sees what it wrote.
    let replies = served
        .resp_raw(b"SET new:1 v\r\nKEYS new:*\r\nDEL new:1\r\nKEYS new:*\r\n")
        .await;
    assert_eq!(replies, "+OK|*1|$5|new:1|:1|*0|");
    served.stop().await;
}
