//! What makes no sense, over HTTP: a typed answer or a closed connection, and nothing written.

use std::io::Write as _;

use quoit_gateway::{Identity, Limits, Tokens};
use quoit_local::ClusterSettings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::support::{Answer, SOON, Served, exchange, settings};

/// Writes that make no sense, by kind: what is put behind the route, a header, a body.
type Bad<'a> = (&'a str, u16, &'a [[&'a str; 3]]);

const JSON: &str = "content-type: application/json";

const BAD_WRITES: [Bad<'_>; 5] = [
    (
        "bad-key",
        400,
        &[
            ["", "", "v"],
            ["%", "", "v"],
            ["k%2", "", "v"],
            ["k%zz", "", "v"],
        ],
    ),
    (
        "bad-option",
        400,
        &[
            ["k?ttl=0", "", "v"],
            ["k?ttl=-5", "", "v"],
            ["k?ttl=1.5", "", "v"],
            ["k?ttl=99999999999", "", "v"],
            ["k?tll=5", "", "v"],
            ["k?r=2", "", "v"],
            ["k?w=9", "", "v"],
            ["k?w=1", "", "v"],
            ["k?ttl=5", "quoit-ttl: 6", "v"],
            ["k", "quoit-tll: 6", "v"],
        ],
    ),
    (
        "bad-body",
        400,
        &[
            ["k", JSON, "{\"value\":"],
            ["k", JSON, "{\"value\":\"v\",\"ttl\":-1}"],
            ["k", "content-range: bytes 0-1/2", "v"],
        ],
    ),
    (
        "condition-not-supported",
        400,
        &[
            [
                "k",
                "if-unmodified-since: Mon, 30 Nov 2026 00:00:00 GMT",
                "v",
            ],
            ["k", "if-modified-since: Mon, 30 Nov 2026 00:00:00 GMT", "v"],
        ],
    ),
    (
        "content-encoding",
        415,
        &[["k", "content-encoding: gzip", "v"]],
    ),
];

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_nothing_is_written() {
    let served = Served::start().await;
    for (kind, status, requests) in BAD_WRITES {
        for [rest, header, body] in requests {
            let headers: Vec<&str> = Some(*header)
                .filter(|header| !header.is_empty())
                .into_iter()
                .collect();
            let answer = served
                .send(&format!("PUT /v1/keys/{rest}"), &headers, body.as_bytes())
                .await;
            assert_eq!(answer.status, status, "{rest} {header}: {}", answer.text());
            assert_eq!(
                answer.problem(),
                (kind.to_owned(), Some("no".to_owned())),
                "{rest} {header}"
            );
        }
    }
    let long = format!("PUT /v1/keys/{}", "k".repeat(32_769));
    let refused = served.send(&long, &[], b"v").await;
    assert_eq!(
        (refused.status, refused.problem().0.as_str()),
        (414, "key-too-long")
    );
    let large = served
        .send("PUT /v1/keys/k", &[], &vec![b'v'; (1 << 20) + 1])
        .await;
    assert_eq!(
        (large.status, large.problem().0.as_str()),
        (413, "value-too-large")
    );
    let junk = served
        .send("PUT /v1/keys/k", &["quoit-context: junk!"], b"v")
        .await;
    assert_eq!(
        (junk.status, junk.problem().0.as_str()),
        (400, "bad-context")
    );
    for condition in ["if-match: a", "if-match: ", "if-none-match: *, \"a\""] {
        let deleted = served.send("DELETE /v1/keys/k", &[condition], b"").await;
        assert_eq!(
            deleted.problem(),
            ("bad-option".into(), Some("no".into())),
            "{condition}"
        );
    }
    assert!(served.client.get("k").await.unwrap().is_absent());
    served.stop().await;
}

#[tokio::test]
async fn routes_and_methods_that_are_not_there_say_so() {
    let served = Served::start().await;
    for (line, status, kind) in [
        ("GET /", 404, "no-route"),
        ("GET /v1/keys?prefix=%zz", 400, "bad-option"),
        ("GET /v1/keys?limit=0", 400, "bad-option"),
        ("GET /v1/keys?limit=1001", 400, "bad-option"),
        ("GET /v1/keys?ttl=5", 400, "bad-option"),
        ("GET /v1/keys?token=!", 400, "bad-token"),
        ("GET /v1/keys?token=AAAA", 400, "bad-token"),
        ("GET /v1/keys?consistency=linearizable", 400, "bad-option"),
        ("PUT /v1/keys", 405, "method-not-allowed"),
        ("GET /v1/outcomes", 405, "method-not-allowed"),
        ("GET /v1/batch", 405, "method-not-allowed"),
        ("GET /v1/watch", 404, "no-route"),
        ("POST /v1/keys/k", 405, "method-not-allowed"),
        ("PUT /healthz", 405, "method-not-allowed"),
        ("GET /v1/keys/k?as=png", 400, "bad-option"),
        ("GET /v1/keys/k?ttl=5", 400, "bad-option"),
        ("GET /v1/keys/k?r=1", 400, "bad-option"),
    ] {
        let answer = served.send(line, &[], b"").await;
        assert_eq!(
            (answer.status, answer.problem().0.as_str()),
            (status, kind),
            "{line}"
        );
        assert_eq!(
            answer.headers.contains_key("allow"),
            status == 405,
            "{line}"
        );
    }
    served.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_request_close_the_connection_and_write_nothing() {
    let served = Served::start().await;
    let header = format!(
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
        "x".repeat(200_000)
    );
    let headers = "a: b\r\n".repeat(200);
    let many = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    let target = format!(
        "GET /v1/keys/{} HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "%41".repeat(30_000)
    );
    let put = "PUT /v1/keys/k HTTP/1.1\r\nhost: localhost\r\n";
    let short = format!("{put}content-length: 10\r\n\r\nshort");
    let negative = format!("{put}content-length: -1\r\n\r\nv");
    let two = format!("{put}content-length: 1\r\ncontent-length: 2\r\n\r\nvv");
    let both = format!(
        "{put}content-length: 1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n1\r\nv\r\n"
    );
    let chunk = format!("{put}transfer-encoding: chunked\r\n\r\nzz\r\n");
    let huge = format!("{put}content-length: 99999999999999999999\r\n\r\nv");
    for (bytes, statuses) in [
        (header.as_str(), "431"),
        (&many, "431"),
        (&target, "414"),
        (&short, "400"),
        (&negative, "400"),
        (&two, "400"),
        (&both, "400"),
        (&chunk, "400"),
        (&huge, "400"),
        ("junk\r\n\r\n", "400"),
        ("\x16\x03\x01\x02", "400"),
        (
            "GET /healthz HTTP/1.1\r\nhost: localhost\r\n bad\r\n\r\n",
            "400",
        ),
    ] {
        let raw = exchange(served.http(), bytes.as_bytes()).await;
        let shown = bytes.get(..60).unwrap_or(bytes).escape_debug();
        if !raw.is_empty() {
            assert_eq!(
                Answer::parse(&raw, true).status.to_string(),
                statuses,
                "{shown}"
            );
        }
    }
    assert!(served.client.get("k").await.unwrap().is_absent());
    served.stop().await;
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_is_refused_while_it_comes() {
    let served = Served::start().await;
    let chunk = [b"10000\r\n".to_vec(), vec![b'v'; 1 << 16], b"\r\n".to_vec()].concat();
    let head = b"PUT /v1/keys/k HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        .to_vec();
    let mut socket = tokio::net::TcpStream::connect(served.http()).await.unwrap();
    socket.write_all(&head).await.unwrap();
    for _ in 0..17 {
        if socket.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let mut answer = vec![0; 12];
    tokio::time::timeout(SOON, socket.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
    assert!(served.client.get("k").await.unwrap().is_absent());
    served.stop().await;
}

#[tokio::test]
async fn slow_peers_and_full_budgets_end_in_an_answer_or_a_closed_connection() {
    let mut settings = settings();
    settings.limits = Limits {
        transfer: std::time::Duration::from_millis(300),
        http_idle: std::time::Duration::from_millis(900),
        memory_bytes: 8 << 20,
        max_connections: 12,
        ..Limits::default()
    };
    let served = Served::with(settings, |builder| builder, &ClusterSettings::for_tests(3)).await;

    // Eight bodies of a megabyte are awaited; the ninth finds no memory.
    let head = b"PUT /v1/keys/k HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1048576\r\n\r\nv";
    let mut sockets = Vec::new();
    for _ in 0..8 {
        let mut socket = tokio::net::TcpStream::connect(served.http()).await.unwrap();
        socket.write_all(head).await.unwrap();
        sockets.push(socket);
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let ninth = served.send("PUT /v1/keys/k", &[], &[b'v'; 10_000]).await;
    assert_eq!(ninth.problem(), ("overloaded".into(), Some("no".into())));
    assert_eq!(ninth.header("retry-after"), "1");
    for mut socket in sockets {
        let mut answer = vec![0; 12];
        tokio::time::timeout(SOON, socket.read_exact(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answer, b"HTTP/1.1 408");
    }
    assert_eq!(served.send("PUT /v1/keys/k", &[], b"v").await.status, 204);

    // Nobody is served beyond the last connection, and half a head gets no answer.
    let mut silent = Vec::new();
    for _ in 0..12 {
        let mut socket = tokio::net::TcpStream::connect(served.http()).await.unwrap();
        socket.write_all(b"GET /hea").await.unwrap();
        silent.push(socket);
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let refused = exchange(
        served.http(),
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
    )
    .await;
    assert!(refused.is_empty());
    for mut socket in silent {
        let mut rest = Vec::new();
        tokio::time::timeout(SOON, socket.read_to_end(&mut rest))
            .await
            .unwrap()
            .ok();
        assert!(
            rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
            "{}",
            rest.escape_ascii()
        );
    }
    assert_eq!(served.get("/healthz").await.status, 200);
    served.stop().await;
}

#[tokio::test]
async fn a_peer_that_never_reads_is_closed() {
    let mut settings = settings();
    settings.limits.transfer = std::time::Duration::from_millis(500);
    let served = Served::with(settings, |builder| builder, &ClusterSettings::for_tests(3)).await;
    let large = vec![b'v'; 1 << 20];
    served.client.put("k", large).await.unwrap();
    let mut socket = tokio::net::TcpStream::connect(served.http()).await.unwrap();
    let script = b"GET /v1/keys/k HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1_000);
    socket.write_all(&script).await.ok();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let mut rest = Vec::new();
    let _end = tokio::time::timeout(SOON, socket.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(rest.len() < 64 << 20, "{} bytes", rest.len());
    served.stop().await;
}

#[tokio::test]
async fn only_who_has_a_token_may_use_it_and_only_so_often() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "0123456789abcdef").unwrap();
    let mut settings = settings();
    settings.tokens = Some(Tokens::load(file.path()).unwrap());
    settings.limits.rate = Some(20);
    let served = Served::with(settings, |builder| builder, &ClusterSettings::for_tests(3)).await;

    let bearer = "authorization: Bearer 0123456789abcdef";
    assert_eq!(
        served.send("PUT /v1/keys/k", &[bearer], b"v").await.status,
        204
    );
    for wrong in [
        "authorization: Bearer 0123456789abcdeF",
        "authorization: Basic abc",
        "x: y",
    ] {
        let answer = served.send("PUT /v1/keys/k", &[wrong], b"other").await;
        assert_eq!(answer.problem(), ("unauthorized".into(), Some("no".into())));
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    for line in ["GET /v1/keys", "POST /v1/outcomes"] {
        let answer = served.send(line, &["x: y"], b"").await;
        assert_eq!((answer.status, answer.problem().1), (401, None), "{line}");
    }
    assert_eq!(served.client.get("k").await.unwrap().value().unwrap(), "v");
    assert_eq!(served.get("/healthz").await.status, 200);
    let resp = served
        .resp_raw(b"GET k\r\nAUTH wrong\r\nAUTH 0123456789abcdef\r\nGET k\r\n")
        .await;
    assert!(
        resp.starts_with("-NOAUTH ") && resp.contains("|-WRONGPASS "),
        "{resp}"
    );
    assert!(resp.ends_with("|+OK|$1|v|"), "{resp}");

    let mut limited = None;
    for _ in 0..60 {
        let answer = served.get("/healthz").await;
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.unwrap();
    assert_eq!(
        (limited.problem().0.as_str(), limited.header("retry-after")),
        ("rate-limit", "1")
    );
    let resp = served
        .resp_raw(&b"AUTH 0123456789abcdef\r\n".repeat(40))
        .await;
    assert!(
        resp.contains("-BUSY this address made more requests"),
        "{resp}"
    );
    served.stop().await;
}

#[tokio::test]
async fn both_ports_speak_tls_and_nothing_else_then() {
    use std::sync::Arc;

    use rustls_pki_types::pem::PemObject as _;
    use rustls_pki_types::{CertificateDer, ServerName};

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut settings = settings();
    settings.tls = Some(Identity::load(&certificate, &key).unwrap());
    let served = Served::with(settings, |builder| builder, &ClusterSettings::for_tests(3)).await;

    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&certificate).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let exchange_tls = async |address, bytes: &'static [u8]| {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = connector.connect(name, socket).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(SOON, stream.read_to_end(&mut answer))
            .await
            .unwrap()
            .unwrap();
        answer
    };
    let http = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answer = exchange_tls(served.http(), http).await;
    assert_eq!(Answer::parse(&answer, false).status, 200);
    let answer = exchange_tls(served.resp(), b"SET k v\r\nGET k\r\nQUIT\r\n").await;
    assert_eq!(answer, b"+OK\r\n$1\r\nv\r\n+OK\r\n");

    let plain = exchange(served.http(), http).await;
    assert!(!plain.starts_with(b"HTTP"), "{}", plain.escape_ascii());
    served.stop().await;
}
