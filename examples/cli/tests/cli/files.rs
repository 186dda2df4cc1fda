//! `import` and `verify`: files that are not what they seem, and standard input.

use std::io::Write as _;
use std::time::{Duration, Instant};

use super::home_with_cluster;
use super::support::SOON;

#[test]
fn an_open_quote_is_an_error_with_its_line_and_swallows_nothing() {
    let (home, _dev) = home_with_cluster();
    let rows = "key,value\nq1,one\nq2,\"two\nq3,three\nq4,four\n";
    let file = home.file("open.csv", rows);
    for line in [
        &["import", &file][..],
        &["import", &file, "--keep-going"],
        &["verify", &file],
    ] {
        let ended = home.run(line);
        assert_ne!(ended.code, 0, "{line:?}");
        let what = "line 3: the quote that opens here is never closed";
        assert!(ended.err.contains(what), "{line:?}: {}", ended.err);
    }
    assert_eq!(
        home.run(&["get", "q1"]).text(),
        "one",
        "what stands before it is imported"
    );
    assert_eq!(home.run(&["get", "q2"]).code, 3);
}

#[test]
fn what_is_no_text_is_named_and_a_byte_order_mark_is_skipped() {
    let (home, _dev) = home_with_cluster();
    for name in ["a.csv", "a.jsonl"] {
        let file = home.path(name).display().to_string();
        std::fs::write(&file, b"\x1F\x8B\x08\0\0\0\0\0\0\x03").unwrap();
        let ended = home.run(&["import", &file]);
        assert_eq!(ended.code, 1);
        assert!(
            ended.err.contains("it is compressed with gzip"),
            "{}",
            ended.err
        );
    }
    let file = home.file("bom.jsonl", "\u{feff}{\"key\":\"a\",\"value\":\"1\"}\n");
    assert_eq!(home.run(&["import", &file]).code, 0);
    assert_eq!(home.run(&["get", "a"]).text(), "1");
}

#[test]
fn a_pair_from_standard_input_is_stored_soon_after_its_line() {
    let (home, _dev) = home_with_cluster();
    for (format, begin, line) in [
        ("csv", "key,value\n", "csv-1,v\n"),
        ("jsonl", "", "{\"key\":\"jsonl-1\",\"value\":\"v\"}\n"),
    ] {
        let mut import = home.spawn(&["import", "-", "--format", format]);
        let mut input = import.stdin.take().unwrap();
        input.write_all(begin.as_bytes()).unwrap();
        input.write_all(line.as_bytes()).unwrap();

        let begun = Instant::now();
        let key = format!("{format}-1");
        while home.run(&["get", &key]).text() != "v" {
            assert!(
                begun.elapsed() < SOON / 4,
                "not stored while the input stays open"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(input);
        let ended = import.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0));
        assert!(ended.stdout.starts_with(b"imported 1 pair,"), "{ended:?}");
    }
    let no_format = home.run(&["import", "-"]);
    assert_eq!(no_format.code, 2, "{}", no_format.err);
}
