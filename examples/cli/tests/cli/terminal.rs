//! What a person sees: on a real terminal, bytes from outside do nothing but show.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::home_with_cluster;

/// Clears the screen, renames the window, turns magenta, and would forge a line.
const EVIL: &str = "a\x1b[2J\x1b]0;pwned\x07\x1b[35m\nerror: forged\u{202e}";

/// Without the escape sequences that the program makes itself: its colours, and its progress bar.
fn without_own(text: &str) -> String {
    let own = [
        "\x1b[0m",
        "\x1b[1m",
        "\x1b[31m",
        "\x1b[31;1m",
        "\x1b[33m",
        "\x1b[32m",
        "\x1b[36m",
        "\x1b[38;5;1m",
        "\x1b[38;5;2m",
        "\x1b[39m",
        "\x1b[2K",
    ];
    own.iter()
        .fold(text.to_owned(), |text, own| text.replace(own, ""))
}

#[test]
fn bytes_of_keys_and_values_are_escaped_on_a_terminal_by_every_verb() {
    let (home, _dev) = home_with_cluster();
    assert_eq!(home.run(&["put", EVIL, EVIL, "--w", "3"]).code, 0);
    assert_eq!(
        home.run(&["get", EVIL]).out,
        EVIL.as_bytes(),
        "a pipe has the value as it is"
    );
    let file = home.file(
        "evil.jsonl",
        &serde_json::json!({ "key": EVIL, "value": "another" }).to_string(),
    );

    let absent = format!("absent {EVIL}");
    for line in [
        &["get", EVIL][..],
        &["get", EVIL, "--all"],
        &["get", &absent],
        &["get", EVIL, "--output", "json"],
        &["get", &absent, "--output", "json"],
        &["locate", EVIL],
        &["explain", EVIL],
        &["verify", &file],
        &["import", "/no/such/\x1b[35m.csv"],
        &["get", "k", "--timeout", EVIL],
    ] {
        let shown = home.on_terminal("xterm", 120, line);
        let rest = without_own(&shown);
        assert!(
            !rest.contains(['\x1b', '\x07', '\u{202e}', '\u{9b}']),
            "{line:?}: {rest:?}"
        );
        assert!(
            rest.contains("[35m"),
            "{line:?} shows what it escapes: {rest:?}"
        );
    }
}

#[test]
fn a_file_forges_no_line_of_the_output() {
    let (home, _dev) = home_with_cluster();
    let file = home.file("forged.jsonl", "{\"x\\nerror: forged\\r\":1}\n");
    for line in [
        &["verify", &file][..],
        &["import", &file],
        &["import", &file, "--keep-going"],
        &["verify", &file, "--output", "json"],
    ] {
        let shown = without_own(&home.on_terminal("xterm", 120, line));
        assert!(shown.contains("forged"), "{line:?}: {shown:?}");
        let mut starts = shown.split(['\n', '\r']);
        assert!(
            !starts.any(|start| start.starts_with("error: forged")),
            "{line:?}: {shown:?}"
        );
    }
}

#[test]
fn siblings_beside_each_other_are_escaped_and_keep_their_lines() {
    let (home, _dev) = home_with_cluster();
    let context = home.run(&["get", "k", "--output", "json"]).json()["context"].clone();
    for value in ["bread\n\x1b[31meggs", "bread\nmilk"] {
        let put = home.run(&["put", "k", value, "--context", context.as_str().unwrap()]);
        assert_eq!(put.code, 0, "{}", put.err);
    }
    for line in [&["get", "k"][..], &["get", "k", "--all"]] {
        let boxed = home.on_terminal("xterm", 120, line);
        assert!(
            boxed.contains("\\x1b[31meggs") && boxed.contains('┌'),
            "{boxed:?}"
        );
        assert!(!boxed.contains("\x1b[31m"), "{boxed:?}");
        let plain_for = [
            (&[("TERM", "dumb")][..], 120),
            (&[("TERM", "xterm")], 0),
            (&[("TERM", "xterm"), ("NO_COLOR", "1")], 120),
        ];
        for (variables, columns) in plain_for {
            let plain = home.on_terminal_with(variables, columns, line);
            assert!(plain.contains("\\x1b[31meggs"), "{plain:?}");
            assert!(
                !plain.contains(['\x1b', '┌', '│']),
                "{variables:?} {columns}: {plain:?}"
            );
            let longest = plain.lines().map(str::len).max();
            assert!(longest > Some(40), "lines are whole: {plain:?}");
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_shown_as_such() {
    let (home, _dev) = home_with_cluster();
    assert_eq!(home.run_with(&["put", "k", "-"], b"\xffraw\x9b").code, 0);
    assert_eq!(
        home.on_terminal("xterm", 80, &["get", "k"]),
        "\\xffraw\\x9b\r\n"
    );

    let key = OsStr::from_bytes(b"k\xfe");
    let ended = home
        .spawn_os(&[OsStr::new("get"), key])
        .wait_with_output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.starts_with("error: `k\\xfe` has no value"), "{said}");
}
