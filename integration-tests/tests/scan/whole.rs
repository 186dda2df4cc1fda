//! Scans of what lies still.

use quoit_client::{Consistency, ScanEntry, ScanToken, SetUnion};

use crate::support::{cluster_of, cluster_without_hints, key, keys, put_all, rows, text};

const KEYS: usize = 1_200;

fn all_keys() -> Vec<String> {
    (0..KEYS).map(key).collect()
}

#[tokio::test]
async fn a_scan_yields_every_key_once_in_order_with_its_value() {
    let (cluster, client) = cluster_of(5).await;
    assert!(keys(client.scan()).await.is_empty());
    put_all(&client, 0..KEYS).await;

    let found = rows(client.scan()).await.unwrap();
    let pairs = found
        .iter()
        .map(|row| (text(row.key()), text(row.value().unwrap())));
    let expected = (0..KEYS).map(|number| (key(number), format!("v{number}")));
    assert!(pairs.eq(expected));
    let small = keys(client.scan().page_rows(7)).await;
    assert_eq!(small, all_keys());

    let mut back = keys(client.scan().reverse().keys_only()).await;
    back.reverse();
    assert_eq!(back, all_keys());
    let keys_only = rows(client.scan().keys_only().limit(3)).await.unwrap();
    assert!(keys_only.len() == 3 && keys_only.iter().all(|row| row.entry().is_none()));

    let prefix = keys(client.scan().prefix("k0011")).await;
    assert_eq!(prefix, all_keys()[110..120]);
    let range = keys(client.scan().range("k00010", "k00013")).await;
    assert_eq!(range, all_keys()[10..13]);
    let after = keys(client.scan().start_after("k00011").limit(2)).await;
    assert_eq!(after, all_keys()[12..14]);
    let before = client.scan().start_after("k00011").reverse().limit(2);
    assert_eq!(keys(before).await, ["k00010", "k00009"]);
    let quick = client.scan().consistency(Consistency::One);
    assert_eq!(keys(quick).await.len(), KEYS);

    client.close().await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_token_goes_on_where_a_scan_was() {
    let (cluster, client) = cluster_of(3).await;
    put_all(&client, 0..100).await;
    for reverse in [false, true] {
        let scan = || {
            let scan = client.scan().prefix("k");
            if reverse { scan.reverse() } else { scan }
        };
        let (mut found, mut token): (Vec<String>, Option<ScanToken>) = (Vec::new(), None);
        loop {
            let next = token
                .take()
                .into_iter()
                .fold(scan().limit(7), quoit_client::Scan::resume);
            let mut stream = next.stream().unwrap();
            let before = found.len();
            while let Some(row) = stream.next().await {
                found.push(text(row.unwrap().key()));
            }
            if found.len() == before {
                break;
            }
            let bytes = stream.token().to_bytes();
            token = Some(ScanToken::from_bytes(&bytes).unwrap());
        }
        if reverse {
            found.reverse();
        }
        assert_eq!(found, all_keys()[..100]);
    }
    let mut whole = client.scan().stream().unwrap();
    while whole.next().await.is_some() {}
    let rest = keys(client.scan().resume(whole.token())).await;
    assert!(rest.is_empty(), "it was at its end");
    client.close().await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn deleted_and_expired_keys_are_left_out_and_siblings_come_together() {
    let (cluster, client) = cluster_of(3).await;
    put_all(&client, 0..30).await;
    for number in (0..30).step_by(3) {
        client.delete(key(number)).await.unwrap();
    }
    let ttl = std::time::Duration::from_millis(300);
    client.put(key(1), "short").ttl(ttl).await.unwrap();
    let seen = client.get(key(2)).await.unwrap();
    for value in ["a", "b"] {
        let put = client.put(key(2), value).context(seen.context());
        put.await.unwrap();
    }
    tokio::time::sleep(3 * ttl).await;

    let found = rows(client.scan().merge(SetUnion::lines())).await.unwrap();
    let expected = (2..30).filter(|number| number % 3 != 0).map(key);
    assert!(found.iter().map(|row| text(row.key())).eq(expected));
    let siblings: &ScanEntry = &found[0];
    assert_eq!(siblings.entry().unwrap().siblings().len(), 2);
    assert_eq!(siblings.value().unwrap(), "a\nb");
    client.close().await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_scan_finds_what_one_owner_missed_and_repairs_it() {
    let (mut cluster, client) = cluster_without_hints(3).await;
    put_all(&client, 0..60).await;
    cluster.stop(1).await.unwrap();
    put_all(&client, 40..100).await;
    for number in 0..10 {
        client.delete(key(number)).await.unwrap();
    }
    let expected: Vec<String> = (10..100).map(key).collect();
    assert_eq!(keys(client.scan()).await, expected, "two of three are left");

    cluster.start_node(1).await.unwrap();
    crate::kills::until_connected(&client, 3).await;
    for _ in 0..3 {
        assert_eq!(keys(client.scan()).await, expected);
    }
    let health = client.health().await.unwrap();
    assert!(health.repairs > 0, "what it missed was found and repaired");
    client.close().await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_prefix_with_a_whole_tag_asks_its_owners_alone() {
    let (cluster, client) = cluster_of(5).await;
    for number in 0..40 {
        client
            .put(format!("cart:{{42}}:{number:02}"), "v")
            .await
            .unwrap();
        client
            .put(format!("cart:{{43}}:{number:02}"), "v")
            .await
            .unwrap();
    }
    let found = keys(client.scan().prefix("cart:{42}")).await;
    let expected = (0..40).map(|number| format!("cart:{{42}}:{number:02}"));
    assert!(found.iter().cloned().eq(expected));
    let both = keys(client.scan().prefix("cart:{4")).await;
    assert_eq!(both.len(), 80);
    client.close().await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn large_values_come_whole_and_a_prefix_of_tombstones_ends() {
    let (cluster, client) = cluster_of(3).await;
    for number in 0..8 {
        let value = vec![b'v'; 40_000 * (number + 1)];
        client.put(key(number), value).await.unwrap();
    }
    let found = rows(client.scan()).await.unwrap();
    let lengths = found.iter().map(|row| row.value().unwrap().len());
    assert!(lengths.eq((1..=8).map(|number| 40_000 * number)));

    put_all(&client, 1_000..2_500).await;
    for number in 1_000..2_500 {
        client.delete(key(number)).await.unwrap();
    }
    assert_eq!(keys(client.scan()).await.len(), 8);
    client.close().await;
    cluster.shut_down().await.unwrap();
}
