//! Writers that did not see each other: siblings, contexts, merges.

use std::collections::BTreeSet;

use bytes::Bytes;
use quoit_client::{Client, Context, LastWriterWins, SetUnion, Stored, Value, WriteError};
use quoit_integration_tests::cluster::Clients as _;

use crate::support::{cluster_of, texts};

#[tokio::test]
async fn two_writers_with_one_context_leave_both_values_until_someone_settles_them() {
    let (cluster, client) = cluster_of(3).await;
    let other = cluster.client().await.unwrap();
    let seen = client.put("cart", "empty").await.unwrap().context;
    client.put("cart", "milk").context(&seen).await.unwrap();
    other.put("cart", "bread").context(&seen).await.unwrap();

    let entry = client.get("cart").await.unwrap();
    assert!(entry.is_conflict() && entry.value().is_none());
    assert_eq!(
        texts(&entry),
        BTreeSet::from(["milk".to_owned(), "bread".to_owned()])
    );

    other
        .put("cart", "bread\nmilk")
        .context(entry.context())
        .await
        .unwrap();
    let settled = client.get("cart").await.unwrap();
    assert_eq!(settled.value().unwrap(), "bread\nmilk");
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_stale_context_never_replaces_what_it_has_not_seen() {
    let (cluster, client) = cluster_of(3).await;
    let stale = client.put("k", "1").await.unwrap().context;
    let mut fresh = stale.clone();
    for value in ["2", "3", "4"] {
        fresh = client
            .put("k", value)
            .context(&fresh)
            .await
            .unwrap()
            .context;
    }
    client.put("k", "late").context(&stale).await.unwrap();
    let entry = client.get("k").await.unwrap();
    assert_eq!(
        texts(&entry),
        BTreeSet::from(["4".to_owned(), "late".to_owned()])
    );

    client.delete("k").context(&fresh).await.unwrap();
    assert_eq!(
        client.get("k").await.unwrap().value().unwrap(),
        "late",
        "it was not seen"
    );
    client.put("k", "whatever was there").await.unwrap();
    assert_eq!(
        client.get("k").await.unwrap().value().unwrap(),
        "whatever was there"
    );
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_context_may_travel_as_bytes_to_another_client() {
    let (cluster, client) = cluster_of(3).await;
    let bytes = client.put("k", "1").await.unwrap().context.to_bytes();
    let other = cluster.client().await.unwrap();
    let context = Context::from_bytes(&bytes).unwrap();
    other.put("k", "2").context(&context).await.unwrap();
    assert_eq!(client.get("k").await.unwrap().value().unwrap(), "2");
    assert!(Context::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_merge_function_makes_one_value_of_siblings_and_writes_nothing() {
    let (cluster, client) = cluster_of(3).await;
    let nothing = Context::default();
    for text in ["b\na", "c", "b\nd"] {
        client.put("set", text).context(&nothing).await.unwrap();
    }
    let last = client.get("set").merge(LastWriterWins).await.unwrap();
    assert_eq!(last.value().unwrap(), "b\nd");
    let count = |siblings: &[Value]| Some(Bytes::from(siblings.len().to_string()));
    // One client that puts with an old context is concurrent with itself.
    assert_eq!(
        client
            .get("set")
            .merge(count)
            .await
            .unwrap()
            .value()
            .unwrap(),
        "3"
    );
    let union = client.get("set").merge(SetUnion::lines()).await.unwrap();
    assert_eq!(union.value().unwrap(), "a\nb\nc\nd");
    assert!(!union.is_conflict());
    assert_eq!(client.get("set").await.unwrap().siblings().len(), 3);

    let value = union.value().unwrap().clone();
    client
        .put("set", value)
        .context(union.context())
        .await
        .unwrap();
    assert_eq!(
        client.get("set").await.unwrap().value().unwrap(),
        "a\nb\nc\nd"
    );
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn siblings_are_bounded_by_a_refusal_that_says_what_to_do() {
    let (cluster, client) = cluster_of(3).await;
    let nothing = Context::default();
    for number in 0..64 {
        client
            .put("k", number.to_string())
            .context(&nothing)
            .w(3)
            .await
            .unwrap();
    }
    let error = client.put("k", "64").context(&nothing).await.unwrap_err();
    assert!(matches!(error, WriteError::NotStored { .. }), "{error:?}");
    assert_eq!(error.stored(), Stored::No);
    assert!(
        error
            .to_string()
            .contains("read it, merge, and put with the context"),
        "{error}"
    );
    let entry = client.get("k").await.unwrap();
    assert_eq!(entry.siblings().len(), 64);
    client
        .put("k", "settled")
        .context(entry.context())
        .await
        .unwrap();
    assert_eq!(client.get("k").await.unwrap().value().unwrap(), "settled");
    cluster.shut_down().await.unwrap();
}

/// Adds elements to one set, each by reading it, and writing the union with what was seen.
async fn add(client: Client, writer: &'static str, count: usize) -> BTreeSet<String> {
    let mut added = BTreeSet::new();
    for number in 0..count {
        let entry = client.get("set").merge(SetUnion::lines()).await.unwrap();
        let element = format!("{writer}{number}");
        let mut text =
            String::from_utf8(entry.value().map_or_else(Vec::new, |v| v.to_vec())).unwrap();
        text.push('\n');
        text.push_str(&element);
        client
            .put("set", text)
            .context(entry.context())
            .await
            .unwrap();
        added.insert(element);
    }
    added
}

#[tokio::test]
async fn no_element_is_lost_when_two_clients_add_to_one_set_at_once() {
    let (cluster, client) = cluster_of(5).await;
    let other = cluster.client().await.unwrap();
    let first = tokio::spawn(add(client.clone(), "a", 200));
    let second = tokio::spawn(add(other, "b", 200));
    let mut expected = first.await.unwrap();
    expected.extend(second.await.unwrap());
    let union = client.get("set").merge(SetUnion::lines()).await.unwrap();
    let found: BTreeSet<String> = core::str::from_utf8(union.value().unwrap())
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(found, expected);
    cluster.shut_down().await.unwrap();
}
