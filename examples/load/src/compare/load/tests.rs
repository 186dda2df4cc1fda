//! Files that are no results, and folders that are no repeats, each refused in words that help.

use tempfile::TempDir;

use super::*;
use crate::report::sample;

/// The message with its causes, as a program prints it.
fn message(error: CompareError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

fn store(dir: &TempDir, name: &str, run: &RunResult) {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, serde_json::to_vec(run).unwrap()).unwrap();
}

#[test]
fn junk_is_refused_in_clear_words() {
    let good = serde_json::to_string(&sample::tiny()).unwrap();
    let table = [
        (
            "another format",
            good.replace("\"format\":1", "\"format\":2"),
            "is of format 2, this program reads format 1",
        ),
        (
            "cut short",
            good[..good.len() / 2].to_owned(),
            "is no result: EOF while parsing",
        ),
        (
            "no number",
            good.replace("\"seconds\":3.0", "\"seconds\":NaN"),
            "is no result: expected value",
        ),
        (
            "null",
            good.replace("\"seconds\":3.0", "\"seconds\":null"),
            "is no result: invalid type: null",
        ),
        (
            "too large",
            good.replace("\"seconds\":3.0", "\"seconds\":1e999"),
            "is no result: number out of range",
        ),
        (
            "no time",
            good.replace("\"seconds\":3.0", "\"seconds\":0.0"),
            "measured for 0 seconds",
        ),
        (
            "negative",
            good.replace("\"offered\":60.0", "\"offered\":-1.0"),
            "-1 operations a second offered",
        ),
        (
            "order",
            good.replace("\"p50\":", "\"p50\":9999999,\"x\":"),
            "percentiles are out of order",
        ),
        (
            "histogram",
            good.replace("HISTF", "HISTG"),
            "the histogram of get: ",
        ),
        ("another file", "[1, 2]".to_owned(), "is no result"),
        ("no format", "{}".to_owned(), "missing field `format`"),
        ("nothing", String::new(), "is no result: EOF"),
    ];
    let dir = TempDir::new().unwrap();
    for (name, junk, expected) in table {
        assert_ne!(junk, good, "{name} is junk");
        let path = dir.path().join("result.json");
        fs::write(&path, junk).unwrap();
        let error = message(read(&path).unwrap_err());
        assert!(error.contains(expected), "{name}: {error}");
        assert!(
            error.contains("result.json"),
            "{name} names the file: {error}"
        );
    }
}

#[test]
fn a_result_cut_anywhere_is_refused() {
    let good = serde_json::to_vec(&sample::tiny()).unwrap();
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("result.json");
    for end in (0..good.len()).step_by(7) {
        fs::write(&path, &good[..end]).unwrap();
        assert!(read(&path).is_err(), "cut at {end}");
    }
}

#[test]
fn paths_without_a_result_are_named() {
    let dir = TempDir::new().unwrap();
    let error = message(runs(dir.path()).unwrap_err());
    assert!(error.contains("holds no result.json"), "{error}");
    let error = message(runs(&dir.path().join("none")).unwrap_err());
    assert!(error.contains("none cannot be read"), "{error}");
}

#[test]
fn a_folder_of_runs_that_do_not_repeat_each_other_is_refused() {
    let dir = TempDir::new().unwrap();
    let mut other = sample::tiny();
    other.target = "redis".to_owned();
    store(&dir, "1/result.json", &sample::tiny());
    store(&dir, "2/result.json", &other);
    let error = message(runs(dir.path()).unwrap_err());
    assert!(
        error.contains("target: quoit, 3 nodes, fsync, TLS / redis"),
        "{error}"
    );
}
