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
        let args = ["--http", "127.0.0.1:0", "--resp", "127.0.0.1:0"];
        let mut child = command(profile, &args).spawn().unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let read = tokio::time::timeout(SOON, lines.read_line(&mut line)).await;
        read.unwrap().unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(
            matches!(words[..], ["ready:", "http", _, "resp", _]),
            "{line}"
        );
        let http = words[2].parse().unwrap();
        Self { child, http }
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
