//! Scans that make no sense: each is a typed error, and nothing is sent.

use std::time::Duration;

use quoit_client::{BadToken, InvalidRequest, InvalidScan, Outcome, Scan, ScanError, ScanToken};

use crate::support::{cluster_of, put_all, rows};

fn invalid(scan: Scan) -> InvalidScan {
    match scan.stream().err() {
        Some(ScanError::Invalid(invalid)) => invalid,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_range_a_limit_or_a_page_that_makes_no_sense_is_refused() {
    let (cluster, client) = cluster_of(3).await;
    let scan = || client.scan();
    assert_eq!(invalid(scan().range("b", "a")), InvalidScan::Backwards);
    assert_eq!(invalid(scan().range("a", "a")), InvalidScan::Empty);
    assert_eq!(
        invalid(scan().prefix("a").start_after("b")),
        InvalidScan::Empty
    );
    assert_eq!(
        invalid(scan().prefix("b").range("a", "b")),
        InvalidScan::Empty
    );
    assert_eq!(invalid(scan().limit(0)), InvalidScan::NoRows);
    for rows in [0, 513] {
        assert_eq!(
            invalid(scan().page_rows(rows)),
            InvalidScan::PageRows { rows }
        );
    }
    let bytes = (32 << 10) + 1;
    let long = scan().prefix(vec![b'k'; bytes]);
    assert_eq!(invalid(long), InvalidScan::LongBound { bytes });
    let one_of_three = InvalidRequest::NoMajority {
        what: "r",
        asked: 1,
        needed: 2,
        n: 3,
    };
    assert_eq!(invalid(scan().r(1)), InvalidScan::Request(one_of_three));
    let slow = Duration::from_secs(31);
    let deadline = InvalidScan::Request(InvalidRequest::Deadline(slow));
    assert_eq!(invalid(scan().deadline(slow)), deadline);
    client.close().await;
    cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_token_of_another_scan_or_cluster_is_refused() {
    let (cluster, client) = cluster_of(3).await;
    let (other_cluster, other) = cluster_of(1).await;
    put_all(&client, 0..9).await;
    let mut stream = client.scan().prefix("k").limit(3).stream().unwrap();
    while stream.next().await.is_some() {}
    let token = stream.token();
    let refused = |scan: Scan| match scan.resume(token.clone()).stream().err() {
        Some(ScanError::Token(why)) => Some(why),
        None => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(client.scan().prefix("k")), None);
    assert_eq!(refused(client.scan()), Some(BadToken::OtherScan));
    assert_eq!(
        refused(client.scan().prefix("k").reverse()),
        Some(BadToken::OtherScan)
    );
    assert_eq!(
        refused(other.scan().prefix("k")),
        Some(BadToken::OtherCluster)
    );

    let mut bytes = token.to_bytes();
    bytes[20] ^= 1;
    assert_eq!(ScanToken::from_bytes(&bytes), Err(BadToken::Damaged));
    client.close().await;
    other.close().await;
    cluster.shut_down().await.unwrap();
    other_cluster.shut_down().await.unwrap();
}

#[tokio::test]
async fn too_few_nodes_end_a_scan_with_their_names_and_a_token_goes_on() {
    let (mut cluster, client) = cluster_of(3).await;
    put_all(&client, 0..50).await;
    let mut stream = client.scan().limit(20).stream().unwrap();
    while stream.next().await.is_some() {}
    let token = stream.token();
    for node in [0, 1] {
        cluster.stop(node).await.unwrap();
    }
    let error = rows(client.scan().resume(token.clone())).await.unwrap_err();
    let ScanError::Unavailable {
        needed: 2,
        attempts,
    } = error
    else {
        panic!("{error:?}");
    };
    let failed = attempts.iter().filter(|it| it.outcome != Outcome::Done);
    assert_eq!(failed.count(), 2, "{attempts:?}");

    for node in [0, 1] {
        cluster.start_node(node).await.unwrap();
    }
    crate::kills::until_connected(&client, 3).await;
    let rest = rows(client.scan().resume(token)).await.unwrap();
    assert_eq!(rest.len(), 30);

    client.close().await;
    assert_eq!(rows(client.scan()).await.unwrap_err(), ScanError::Closed);
    cluster.shut_down().await.unwrap();
}
