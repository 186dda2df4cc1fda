//! Callers without the right certificate, requests beyond their role, bytes that are no frames.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use bytes::{Bytes, BytesMut};
use quinn::{ApplicationClose, ConnectionError};
use quoit_client::{Client, ConnectError, TlsFiles};
use quoit_integration_tests::cluster::Cluster;
use quoit_node::CloseCode;
use quoit_node::config::TlsFiles as NodeTlsFiles;
use quoit_node::provision::Authority;
use quoit_ring::wire::{MAX_KEY, Refusal, Request, RequestFrame, Response, encode_record};
use quoit_ring::{Actor, Delta, Dot, Epoch, Millis, Time};
use rand::rngs::SmallRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};

use crate::raw::{EPOCH, Introduction, Raw, encoded};
use crate::support::{assert_unharmed, cluster_of};

/// The files of a certificate of this cluster.
fn files(cluster: &Cluster, name: &str) -> NodeTlsFiles {
    let certs = cluster.local().dir().join("certs");
    NodeTlsFiles {
        ca: certs.join("ca.pem"),
        certificate: certs.join(format!("{name}.pem")),
        key: certs.join(format!("{name}.key")),
    }
}

fn for_client(files: &NodeTlsFiles) -> TlsFiles {
    let NodeTlsFiles {
        ca,
        certificate,
        key,
    } = files.clone();
    TlsFiles {
        ca,
        certificate,
        key,
    }
}

fn address(cluster: &Cluster) -> SocketAddr {
    cluster.local().nodes()[0].address
}

/// A connection as an ordinary client.
async fn as_client(cluster: &Cluster) -> Raw {
    let files = files(cluster, "client");
    Raw::connect(address(cluster), Introduction::As(&files))
        .await
        .unwrap()
}

/// A write of `value` under `key` at `time`.
fn put(key: &[u8], time: Time, value: &'static [u8]) -> Request {
    let dot = Dot {
        time,
        actor: Actor(7),
    };
    let delta = Delta::blind(dot, Some((Bytes::from_static(value), None)));
    let mut record = BytesMut::new();
    encode_record(delta.record(), &mut record);
    Request::Put {
        key: Bytes::copy_from_slice(key),
        dot,
        record: record.freeze(),
    }
}

/// Asserts that the node closed the connection as malformed, with words.
async fn assert_cut(raw: &Raw, what: &str) {
    match raw.closed().await {
        ConnectionError::ApplicationClosed(ApplicationClose { error_code, reason }) => {
            let code = CloseCode::from_code(error_code.into_inner());
            assert_eq!(code, Some(CloseCode::Malformed), "{what}: {reason:?}");
            assert!(!reason.is_empty(), "{what}: a reason in words");
        }
        other => panic!("{what}: {other}"),
    }
}

#[tokio::test]
async fn callers_of_another_authority_or_of_none_are_turned_away_unheard() {
    let (cluster, _client) = cluster_of(3, "").await;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(folder.path()).unwrap();
    let foreign = authority.issue_client("stranger").unwrap();
    let own = files(&cluster, "client");
    for introduction in [
        Introduction::Nobody(&own),
        Introduction::Stranger(&foreign, &own),
    ] {
        match Raw::connect(address(&cluster), introduction).await {
            Err(_refused) => {}
            // Its side of the handshake was over first; the node then closes by a TLS alert.
            Ok(raw) => match raw.closed().await {
                ConnectionError::ConnectionClosed(close) => {
                    let code = u64::from(close.error_code);
                    assert!((0x100..0x200).contains(&code), "not an alert: {close}");
                }
                other => panic!("{other}"),
            },
        }
    }
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn a_client_says_what_is_wrong_with_certificates_of_another_authority() {
    let (cluster, _client) = cluster_of(3, "").await;
    let folder = tempfile::tempdir().unwrap();
    let foreign = Authority::create(folder.path())
        .unwrap()
        .issue_client("stranger")
        .unwrap();
    let own = files(&cluster, "client");
    let seed = || Client::builder().seeds([address(&cluster).to_string()]);

    // All of it from another cluster: the node's certificate is not trusted.
    let error = seed()
        .tls(for_client(&foreign))
        .connect()
        .await
        .unwrap_err();
    let ConnectError::NoSeedAnswered { tried } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(tried[0].0, address(&cluster).to_string());
    assert!(error.to_string().contains("certificate"), "{error}");

    // A certificate that its own authority did not sign is found before anything is sent.
    let mixed = TlsFiles {
        ca: own.ca.clone(),
        ..for_client(&foreign)
    };
    let error = seed().tls(mixed).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)), "{error:?}");
    assert!(
        error.to_string().contains("both must be of one cluster"),
        "{error}"
    );
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn a_client_may_not_ask_what_only_nodes_ask() {
    let (cluster, _client) = cluster_of(3, "").await;
    let sums = || Request::Sums { level: 0, index: 0 };
    for name in ["client", "admin"] {
        let own = files(&cluster, name);
        let mut raw = Raw::connect(address(&cluster), Introduction::As(&own))
            .await
            .unwrap();
        assert_eq!(
            raw.ask(sums()).await,
            Response::Refused(Refusal::Forbidden),
            "{name}"
        );
        assert!(
            matches!(raw.ask(Request::Status).await, Response::Status(_)),
            "{name} goes on"
        );
    }
    let own = files(&cluster, "node-2");
    let mut peer = Raw::connect(address(&cluster), Introduction::As(&own))
        .await
        .unwrap();
    assert!(matches!(peer.ask(sums()).await, Response::Sums(_)));
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn a_request_that_cannot_be_carried_out_is_refused_by_name_and_the_connection_goes_on() {
    let (cluster, client) = cluster_of(3, "").await;
    let mut raw = as_client(&cluster).await;
    let now = raw.clock().await;
    let at = |millis: u64| Time::at(Millis(millis));
    let junk = Request::Put {
        key: Bytes::from_static(b"k"),
        dot: Dot {
            time: now,
            actor: Actor(7),
        },
        record: Bytes::from_static(b"junk"),
    };
    let repair = Request::Repair {
        key: Bytes::from_static(b"k"),
        record: Bytes::from_static(b""),
    };
    let long = MAX_KEY + 1;
    let bytes = u64::try_from(long).unwrap();
    type Expected = fn(Refusal) -> bool;
    let table: [(Request, Expected); 6] = [
        (put(b"", now, b"v"), |r| r == Refusal::BadKey { bytes: 0 }),
        (put(&vec![1; long], now, b"v"), |r| {
            matches!(r, Refusal::BadKey { .. })
        }),
        (junk, |r| r == Refusal::BadRecord),
        (repair, |r| r == Refusal::BadRecord),
        (put(b"k", at(now.millis().0 + 3_600_000), b"v"), |r| {
            matches!(r, Refusal::ClockAhead { .. })
        }),
        (put(b"k", at(now.millis().0 - 120_000), b"v"), |r| {
            matches!(r, Refusal::TooOld { .. })
        }),
    ];
    for (request, expected) in table {
        let answer = raw.ask(request.clone()).await;
        let Response::Refused(refusal) = answer else {
            panic!("{request:?}: {answer:?}");
        };
        assert!(expected(refusal), "{request:?}: {refusal:?}");
    }
    assert_eq!(
        raw.ask(Request::Get {
            key: vec![1; long].into(),
            digest: false
        })
        .await,
        Response::Refused(Refusal::BadKey { bytes })
    );
    let late = raw.ask_as(put(b"k", now, b"v"), EPOCH, 0).await.response;
    assert_eq!(late, Response::Refused(Refusal::Expired));
    let old = raw
        .ask_as(put(b"k", now, b"v"), Epoch(0), 5_000)
        .await
        .response;
    assert_eq!(old, Response::Refused(Refusal::OldEpoch));
    assert!(
        client.get("k").r(3).await.unwrap().is_absent(),
        "a refused write has no effect"
    );
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn a_node_that_does_not_own_a_key_says_so() {
    let (cluster, client) = cluster_of(5, "").await;
    let own = cluster.local().nodes()[0].id;
    let foreign = |key: &String| {
        client
            .locate(key.as_bytes())
            .owners
            .iter()
            .all(|m| m.id != own)
    };
    let key = (0..).map(|n| format!("key-{n}")).find(foreign).unwrap();
    let mut raw = as_client(&cluster).await;
    let now = raw.clock().await;
    let refused = Response::Refused(Refusal::NotReplica);
    assert_eq!(raw.ask(put(key.as_bytes(), now, b"v")).await, refused);
    let get = Request::Get {
        key: key.into(),
        digest: false,
    };
    assert_eq!(raw.ask(get).await, refused);
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn bytes_that_are_no_frames_end_their_connection_and_no_other() {
    let (cluster, client) = cluster_of(3, "").await;
    let request = Request::Status;
    let whole = encoded(&RequestFrame {
        id: 1,
        epoch: EPOCH,
        budget_ms: 5_000,
        request,
    });
    let mut wrong_version = whole.clone();
    wrong_version[5] = 9;
    let mut wrong_kind = whole.clone();
    wrong_kind[4] = 2;
    let mut trailing = whole.clone();
    trailing.extend_from_slice(b"x");
    trailing[0] += 1;
    let huge = u32::MAX.to_le_bytes();
    let over_lane = (65_537_u32).to_le_bytes();
    let cases: [(&str, &[u8]); 7] = [
        ("a text", b"GET / HTTP/1.1\r\nHost: node\r\n\r\n"),
        ("a length of 4 GiB", &huge),
        ("a frame too long for the lane", &over_lane),
        ("a frame of nothing", &[0; 4]),
        ("a later version", &wrong_version),
        ("a response", &wrong_kind),
        ("bytes behind the request", &trailing),
    ];
    for (what, bytes) in cases {
        let mut raw = as_client(&cluster).await;
        assert!(matches!(
            raw.ask(Request::Status).await,
            Response::Status(_)
        ));
        raw.write(bytes).await;
        assert_cut(&raw, what).await;
        client.put("beside", what).await.unwrap();
    }
    let mut rng = SmallRng::from_os_rng();
    for _ in 0..50 {
        let mut raw = as_client(&cluster).await;
        let mut noise = vec![0; rng.random_range(100..20_000)];
        rng.fill_bytes(&mut noise);
        noise[3] |= 0x80; // a length that the lane cannot have, so that nobody waits for the rest
        raw.write(&noise).await;
        assert_cut(&raw, "noise").await;
    }
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn a_frame_cut_off_anywhere_ends_its_connection_and_has_no_effect() {
    let (cluster, client) = cluster_of(3, "").await;
    let now = as_client(&cluster).await.clock().await;
    let request = put(b"cut", now, b"never whole");
    let whole = encoded(&RequestFrame {
        id: 1,
        epoch: EPOCH,
        budget_ms: 5_000,
        request,
    });
    for end in 1..whole.len() {
        let mut raw = as_client(&cluster).await;
        raw.write(&whole[..end]).await;
        raw.finish();
        assert_cut(&raw, &format!("cut at {end}")).await;
    }
    for end in [0, 1, 3, 4, 5, 20, whole.len() - 1] {
        let raw = as_client(&cluster).await;
        raw.write_large(&whole[..end]).await;
        assert_cut(&raw, &format!("a stream cut at {end}")).await;
    }
    let raw = as_client(&cluster).await;
    raw.write_large(&(1_u32 << 30).to_le_bytes()).await;
    assert_cut(&raw, "a stream that promises 1 GiB").await;
    assert!(client.get("cut").r(3).await.unwrap().is_absent());
    assert_unharmed(cluster).await;
}

#[tokio::test]
async fn datagrams_that_are_no_quic_are_ignored() {
    let (cluster, client) = cluster_of(3, "").await;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut rng = SmallRng::from_os_rng();
    for number in 0..6_000_usize {
        let mut noise = vec![0; rng.random_range(1..1_400)];
        rng.fill_bytes(&mut noise);
        if number % 2 == 0 {
            // The look of a first packet: long header, version 1.
            noise[0] |= 0xC0;
            noise.splice(1..noise.len().min(5), [0, 0, 0, 1]);
        }
        let node = number % cluster.size();
        socket
            .send_to(&noise, cluster.local().nodes()[node].address)
            .unwrap();
        if number % 500 == 0 {
            client.put("beside", number.to_string()).await.unwrap();
        }
    }
    assert_unharmed(cluster).await;
}
