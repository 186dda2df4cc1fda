//! The program from outside: its first line, how it ends, and that `kill -9` of it loses nothing.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;

use quoit_local::{ClusterSettings, InProcessCluster};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::support::{Answer, SOON, exchange};

/// A gateway in a process of its own.
struct Program {
    child: Child,
    http: SocketAddr,
    resp: SocketAddr,
    metrics: Option<SocketAddr>,
}

fn command(profile: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quoit-gateway"));
    command.arg("--profile").arg(profile).args(args);
    command
        .env_remove("QUOIT_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Program {
    async fn start(profile: &Path) -> Self {
        Self::start_with(profile, &[]).await
    }

    async fn start_with(profile: &Path, more: &[&str]) -> Self {
        let args = ["--http", "127.0.0.1:0", "--resp", "127.0.0.1:0"];
        let mut child = command(profile, &[&args, more].concat()).spawn().unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let read = tokio::time::timeout(SOON, lines.read_line(&mut line)).await;
        read.unwrap().unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(
            matches!(words[..], ["ready:", "http", _, "resp", _, ..]),
            "{line}"
        );
        Self {
            child,
            http: words[2].parse().unwrap(),
            resp: words[4].parse().unwrap(),
            metrics: words.get(6).map(|address| address.parse().unwrap()),
        }
    }

    async fn send(&self, line: &str, body: &str) -> Answer {
        let length = body.len();
        let head = format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        let request = format!("{head}content-length: {length}\r\n\r\n{body}");
        Answer::parse(&exchange(self.http, request.as_bytes()).await, false)
    }
}

/// How a command ends, and what it says on standard error.
async fn ends(mut command: Command) -> (Option<i32>, String) {
    let output = tokio::time::timeout(SOON, command.output())
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_of_the_gateway_and_another_goes_on() {
    let cluster = InProcessCluster::start(&ClusterSettings::for_tests(3))
        .await
        .unwrap();
    let profile = cluster.client_profile();
    let (mut first, second) = (
        Program::start(&profile).await,
        Program::start(&profile).await,
    );
    for number in 0..200 {
        let put = first.send(&format!("PUT /v1/keys/k{number}"), "v").await;
        assert_eq!(put.status, 204);
    }
    first.child.kill().await.unwrap();
    for number in 0..200 {
        let got = second.send(&format!("GET /v1/keys/k{number}"), "").await;
        assert_eq!((got.status, got.text()), (200, "v"), "{number}");
    }
    let again = Program::start(&profile).await;
    assert_eq!(again.send("GET /v1/keys/k7", "").await.text(), "v");
    cluster.shut_down().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_stops_it_in_order_and_other_ends_have_their_codes() {
    let mut cluster = InProcessCluster::start(&ClusterSettings::for_tests(3))
        .await
        .unwrap();
    let profile = cluster.client_profile();
    let mut program = Program::start(&profile).await;
    let pid = program.child.id().unwrap().to_string();
    let killed = Command::new("kill")
        .args(["-s", "TERM", &pid])
        .status()
        .await;
    assert!(killed.unwrap().success());
    let status = tokio::time::timeout(SOON, program.child.wait())
        .await
        .unwrap()
        .unwrap();
    let mut log = String::new();
    let stderr = program.child.stderr.as_mut().unwrap();
    stderr.read_to_string(&mut log).await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("requests under way are finished"), "{log}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken
        .local_addr()
        .map(|address| (taken, address.to_string()))
        .unwrap();
    let (code, said) = ends(command(&profile, &["--http", &taken.1])).await;
    assert_eq!(code, Some(7), "{said}");
    let (code, said) = ends(command(&profile, &["--http", "0.0.0.0:0"])).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--tokens FILE"), "{said}");
    let (code, said) = ends(command(Path::new("none.toml"), &["--http", "127.0.0.1:0"])).await;
    assert_eq!(code, Some(2), "{said}");
    for node in 0..3 {
        cluster.stop(node).await.unwrap();
    }
    let (code, said) = ends(command(&profile, &["--http", "127.0.0.1:0"])).await;
    assert_eq!(code, Some(6), "{said}");
}

/// The value of the first line that begins with `name` and holds all of `labels`.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let is_it =
        |line: &&str| line.starts_with(name) && labels.iter().all(|label| line.contains(label));
    let line = text.lines().find(is_it)?;
    line.rsplit(' ').next()?.parse().ok()
}

/// What the requests of the test below count as.
const COUNTED: [([&str; 3], f64); 6] = [
    (
        ["port=\"http\"", "operation=\"put\"", "outcome=\"ok\""],
        5.0,
    ),
    (
        ["port=\"http\"", "operation=\"get\"", "outcome=\"no-value\""],
        1.0,
    ),
    (
        ["port=\"http\"", "operation=\"list\"", "outcome=\"ok\""],
        1.0,
    ),
    (
        ["port=\"resp\"", "operation=\"put\"", "outcome=\"ok\""],
        1.0,
    ),
    (
        ["port=\"resp\"", "operation=\"get\"", "outcome=\"ok\""],
        1.0,
    ),
    (
        ["port=\"resp\"", "operation=\"change\"", "outcome=\"ok\""],
        1.0,
    ),
];

#[tokio::test]
async fn metrics_of_the_gateway_and_its_client_are_read_at_a_port_of_their_own() {
    let cluster = InProcessCluster::start(&ClusterSettings::for_tests(3))
        .await
        .unwrap();
    let profile = cluster.client_profile();
    let program = Program::start_with(&profile, &["--metrics", "127.0.0.1:0"]).await;
    let port = program.metrics.unwrap();
    for number in 0..5 {
        let put = program.send(&format!("PUT /v1/keys/k{number}"), "v").await;
        assert_eq!(put.status, 204);
    }
    assert_eq!(program.send("GET /v1/keys/none", "").await.status, 404);
    assert_eq!(program.send("GET /v1/keys?prefix=k", "").await.status, 200);
    let replies = exchange(program.resp, b"SET a 1\r\nGET a\r\nINCR a\r\nQUIT\r\n").await;
    assert_eq!(replies, b"+OK\r\n$1\r\n1\r\n:2\r\n+OK\r\n");

    let ask = async |line: &str| {
        let request = format!("{line} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        Answer::parse(&exchange(port, request.as_bytes()).await, false)
    };
    let scraped = ask("GET /metrics").await;
    assert_eq!(scraped.status, 200);
    let text = scraped.text();
    let requests = "quoit_gateway_requests_total{";
    for (labels, expected) in COUNTED {
        assert_eq!(
            value(text, requests, &labels),
            Some(expected),
            "{labels:?}\n{text}"
        );
    }
    let buckets = "quoit_gateway_request_seconds_bucket{";
    let put = ["port=\"http\"", "operation=\"put\"", "le=\"+Inf\""];
    assert_eq!(value(text, buckets, &put), Some(5.0), "{text}");

    let documented = include_str!("../../../../docs/metrics.md");
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut own = 0;
    for (name, kind) in names.filter_map(|line| line.split_once(' ')) {
        if name.starts_with("quoit_gateway_") {
            let row = format!("| `{name}` | {kind} |");
            assert!(documented.contains(&row), "{row}");
            own += 1;
        }
    }
    assert_eq!(own, 3, "{text}");
    assert_eq!(ask("GET /").await.status, 404);
    assert_eq!(ask("POST /metrics").await.status, 405);
    cluster.shut_down().await.unwrap();
}
