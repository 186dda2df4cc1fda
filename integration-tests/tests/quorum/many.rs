//! Many keys at once, on a real cluster: whole, in order, and each for itself when nodes are away.

use std::time::Duration;

use quoit_client::{Consistency, SetUnion, Stored, WriteError, WriteOne};
use quoit_integration_tests::cluster::Clients as _;
use tokio::time::{Instant, sleep};

use crate::support::{SOON, cluster_of, owners};

fn key(number: u32) -> String {
    format!("row:{number}")
}

#[tokio::test]
async fn many_keys_are_written_read_and_deleted_in_their_order() {
    const KEYS: u32 = 5_000;
    let (cluster, client) = cluster_of(3).await;
    let pairs = (0..KEYS).map(|n| (key(n), n.to_string()));
    for (number, written) in client.put_many(pairs).await.into_iter().enumerate() {
        written.unwrap_or_else(|error| panic!("{number}: {error}"));
    }

    let other = cluster.client().await.unwrap();
    let entries = other.get_many((0..KEYS).map(key)).await;
    assert_eq!(entries.len(), KEYS as usize);
    for (number, entry) in entries.into_iter().enumerate() {
        assert_eq!(entry.unwrap().value().unwrap(), &number.to_string());
    }

    let odd = (0..KEYS).filter(|n| n % 2 == 1).map(key);
    assert!(client.delete_many(odd).await.iter().all(Result::is_ok));
    let entries = other.get_many((0..KEYS).map(key)).await;
    for (number, entry) in entries.into_iter().enumerate() {
        assert_eq!(entry.unwrap().is_absent(), number % 2 == 1, "{number}");
    }
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn of_one_key_many_times_the_last_put_is_there() {
    let (cluster, client) = cluster_of(3).await;
    let large = "x".repeat(100 << 10); // overtaken by what is small, and below it all the same
    let pairs = (0..200).map(|n| match n % 10 {
        0 => ("key", large.clone()),
        _ => ("key", n.to_string()),
    });
    let results = client.put_many(pairs).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let entry = client.get("key").await.unwrap();
    assert_eq!(entry.value().unwrap(), "199");
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn of_one_key_many_times_the_last_linearizable_put_is_there() {
    let (cluster, client) = cluster_of(3).await;
    for round in 0..10 {
        let pairs = (0..5).map(|n| ("key", format!("{round}.{n}")));
        let puts = client
            .put_many(pairs)
            .consistency(Consistency::Linearizable);
        assert!(puts.await.iter().all(Result::is_ok));
        let get = client.get("key").consistency(Consistency::Linearizable);
        let entry = get.await.unwrap();
        assert_eq!(entry.value().unwrap(), &format!("{round}.4"));
    }
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn large_values_beside_small_ones_are_bounded_by_bytes_and_all_arrive() {
    let (cluster, client) = cluster_of(3).await;
    let value =
        |n: u32| vec![u8::try_from(n).unwrap(); if n.is_multiple_of(3) { 1 << 20 } else { 9 }];
    let results = client.put_many((0..60).map(|n| (key(n), value(n)))).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    for (number, entry) in (0..60).zip(client.get_many((0..60).map(key)).await) {
        assert_eq!(entry.unwrap().value().unwrap(), &value(number), "{number}");
    }
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn siblings_are_merged_each_and_linearizable_steps_go_beside_plain_writes() {
    let (cluster, client) = cluster_of(3).await;
    let nothing = client.get("cart").await.unwrap();
    let add = |item: &'static str| client.put("cart", item).context(nothing.context());
    let writes = [add("milk").into(), add("bread").into()];
    let step = client
        .put("leader", "n1")
        .consistency(Consistency::Linearizable);
    let results = client
        .write_many(writes.into_iter().chain([WriteOne::from(step)]))
        .await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");

    let entries = client
        .get_many(["cart", "leader", "none"])
        .merge(SetUnion::lines())
        .await;
    let values: Vec<_> = entries
        .into_iter()
        .map(|it| it.unwrap().into_value())
        .collect();
    assert_eq!(
        values,
        [Some("bread\nmilk".into()), Some("n1".into()), None]
    );
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn with_two_owners_away_their_keys_fail_and_no_others() {
    let (mut cluster, client) = cluster_of(5).await;
    let keys: Vec<_> = (0..400).map(key).collect();
    let pairs = keys.iter().map(|key| (key.clone(), "before"));
    assert!(client.put_many(pairs).await.iter().all(Result::is_ok));
    let is_lost = |key: &String| {
        let owners = owners(&cluster, &client, key);
        owners.contains(&0) && owners.contains(&1)
    };
    let lost: Vec<_> = keys.iter().map(is_lost).collect();
    assert!(lost.contains(&true) && lost.contains(&false));
    cluster.kill(0).unwrap();
    cluster.kill(1).unwrap();

    let pairs = keys.iter().map(|key| (key.clone(), "after"));
    let results = client
        .put_many(pairs)
        .deadline(Duration::from_secs(20))
        .await;
    for ((key, result), lost) in keys.iter().zip(&results).zip(&lost) {
        match result {
            Ok(_) => assert!(!lost, "{key} has one owner"),
            Err(error) => assert!(*lost && error.stored() != Stored::No, "{key}: {error}"),
        }
    }
    let entries = client.get_many(keys.clone()).deadline(SOON).await;
    for ((key, entry), lost) in keys.iter().zip(entries).zip(lost) {
        assert_eq!(entry.is_err(), lost, "{key}");
    }

    // What is thin is sent again, once its owners are back.
    cluster.restart(0).await.unwrap();
    cluster.restart(1).await.unwrap();
    let thin = results.into_iter().filter_map(Result::err);
    let until = Instant::now() + SOON;
    for error in thin.take(5).filter(WriteError::can_retry) {
        let mut result = client.retry(error).await;
        while let Err(error) = result {
            assert!(Instant::now() < until, "{error}");
            sleep(Duration::from_millis(100)).await;
            result = client.retry(error).await;
        }
    }
    cluster.shut_down().await.unwrap();
}
