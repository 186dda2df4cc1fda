//! Metrics over plain HTTP: what is served is what is documented, and nobody who asks badly does harm.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use quoit_node::{Node, StartError};
use quoit_ring::wire::{Refusal, Request, Response};

use crate::caller::{Place, TIMEOUT, get, place, put, write};

fn place_with_metrics() -> Place {
    let mut place = place();
    place.config.metrics = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    place
}

/// What the node answers to these bytes.
fn asked(node: &Node, request: &str) -> String {
    let mut stream = TcpStream::connect(node.metrics_address().unwrap()).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn scraped(node: &Node) -> String {
    let answer = asked(node, "GET /metrics HTTP/1.1\r\nhost: n\r\n\r\n");
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        head.contains("application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    assert!(text.ends_with("# EOF\n"), "{text}");
    text.to_owned()
}

/// The value of the line that begins with `name`.
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    line.trim().parse().unwrap()
}

#[test]
fn a_scrape_shows_what_has_happened() {
    let place = place_with_metrics();
    let node = place.start();
    let before = scraped(&node);
    assert!(value(&before, "quoit_node_requests_total{kind=\"put\"}").abs() < 0.5);

    let mut caller = place.caller(&node, "client");
    for n in 0..20 {
        let answer = caller.ask(put(&format!("k{n}"), &write("v", 0)));
        assert_eq!(answer, Response::Joined);
        caller.ask(get("k"));
    }
    // Only nodes gossip.
    let answer = caller.ask(Request::Gossip("junk".into()));
    assert_eq!(answer, Response::Refused(Refusal::Forbidden));

    let text = scraped(&node);
    for (name, expected) in [
        ("quoit_node_requests_total{kind=\"put\"}", 20.0),
        ("quoit_node_requests_total{kind=\"get\"}", 20.0),
        ("quoit_node_refusals_total{reason=\"forbidden\"}", 1.0),
        ("quoit_node_committed_writes_total", 20.0),
        ("quoit_node_write_queue_seconds_count", 20.0),
        ("quoit_node_request_handling_seconds_count", 41.0),
        ("quoit_node_connections", 1.0),
        ("quoit_node_serving", 1.0),
        ("quoit_node_member", 1.0),
        ("quoit_node_epoch", 1.0),
        ("quoit_node_warning{kind=\"storage\"}", 0.0),
        ("quoit_node_warning{kind=\"waiting\"}", 0.0),
        ("quoit_node_disk_short{refuses=\"values\"}", 0.0),
        ("quoit_node_sync_paused", 0.0),
    ] {
        let found = value(&text, name);
        assert!((found - expected).abs() < 0.5, "{name} is {found}");
    }
    let batches = value(&text, "quoit_node_commit_seconds_count");
    assert!((1.0..=20.0).contains(&batches), "{batches}");
    let below_any = value(&text, "quoit_node_commit_seconds_bucket{le=\"+Inf\"}");
    assert!((below_any - batches).abs() < 0.5, "{below_any}");
    // The committing thread looks once a second.
    let is_measured = |_: &u32| value(&scraped(&node), "quoit_node_disk_bytes") > 0.0;
    let mut looks = (0..400).inspect(|_| std::thread::sleep(Duration::from_millis(50)));
    assert!(looks.any(|look| is_measured(&look)));
    let ends = value(&text, "quoit_node_certificate_expiry_timestamp_seconds");
    assert!(ends > 1.7e9, "{ends}");
    let id = format!("node=\"{}\"", node.id());
    assert!(text.contains(&id) && !text.contains("\"k0\""), "{text}");
    node.stop(TIMEOUT).unwrap();
}

#[test]
fn what_is_served_is_what_is_documented() {
    let place = place_with_metrics();
    let node = place.start();
    let text = scraped(&node);
    let served: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            let ending = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            (format!("{name}{ending}"), kind.to_owned())
        })
        .collect();
    let documented: BTreeSet<_> = include_str!("../../../docs/metrics.md")
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let name = cells.next()?.strip_prefix("`quoit_node_")?;
            let name = format!("quoit_node_{}", name.strip_suffix('`')?);
            Some((name, cells.next()?.to_owned()))
        })
        .collect();
    assert_eq!(served, documented);
    node.stop(TIMEOUT).unwrap();
}

#[test]
fn alerts_and_dashboard_ask_for_what_is_documented() {
    let documented = include_str!("../../../docs/metrics.md");
    let texts = [
        include_str!("../../../docs/monitoring/alerts.yml"),
        include_str!("../../../docs/monitoring/dashboard.json"),
    ];
    for text in texts {
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        let names = words.filter(|word| word.starts_with("quoit_"));
        let parts = ["_bucket", "_count", "_sum"];
        let mut seen = 0;
        for name in names {
            let whole = parts.iter().find_map(|part| name.strip_suffix(part));
            let row = format!("| `{}` |", whole.unwrap_or(name));
            assert!(documented.contains(&row), "{name}");
            seen += 1;
        }
        assert!(seen > 10, "{seen}");
    }
}

#[test]
fn other_requests_are_refused_and_bad_ones_do_no_harm() {
    let place = place_with_metrics();
    let node = place.start();
    for (request, status) in [
        ("GET / HTTP/1.1\r\nhost: n\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nhost: n\r\n\r\n", "405"),
        ("HEAD /metrics HTTP/1.1\r\nhost: n\r\n\r\n", "200"),
        ("junk\r\n\r\n", "400"),
    ] {
        let answer = asked(&node, request);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{request}: {answer}");
    }
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}", "x".repeat(64 << 10));
    let mut stream = TcpStream::connect(node.metrics_address().unwrap()).unwrap();
    let _sent = stream.write_all(long.as_bytes()).is_ok();

    // As many silent ones as may be: the next is closed, and a stop does not wait for any.
    let silent: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(node.metrics_address().unwrap()).unwrap())
        .collect();
    let mut closed = 0;
    for mut stream in &silent {
        let wait = Some(Duration::from_millis(300));
        stream.set_read_timeout(wait).unwrap();
        closed += usize::from(matches!(stream.read(&mut [0]), Ok(0)));
    }
    assert!(closed >= 3, "{closed} were closed");
    node.stop(TIMEOUT).unwrap();
}

#[test]
fn a_port_that_is_taken_stops_the_start_and_leaves_the_directory_alone() {
    let mut place = place_with_metrics();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    place.config.metrics = Some(taken.local_addr().unwrap());
    let error = Node::start(&place.config).unwrap_err();
    assert!(matches!(error, StartError::Metrics { .. }), "{error}");
    assert!(error.may_pass() && error.to_string().contains("metrics"));
    place.config.metrics = Some("192.0.2.1:0".parse().unwrap());
    let error = Node::start(&place.config).unwrap_err();
    assert!(!error.may_pass(), "no address of this machine: {error}");
    place.config.metrics = None;
    let node = place.start();
    assert_eq!(node.metrics_address(), None);
    node.stop(TIMEOUT).unwrap();
}
