//! `scan`, `export` and `delete --prefix` from outside.

use crate::home_with_cluster;

#[test]
fn keys_come_in_order_with_their_values() {
    let (home, _dev) = home_with_cluster();
    for key in ["b:2", "a:1", "a:2", "a:10", "c"] {
        let value = format!("of {key}\n");
        assert_eq!(home.run(&["put", key, &value]).code, 0);
    }
    assert_eq!(home.run(&["delete", "a:2"]).code, 0);

    let all = home.run(&["scan"]);
    let expected = "a:1\tof a:1\\n\na:10\tof a:10\\n\nb:2\tof b:2\\n\nc\tof c\\n\n";
    assert_eq!((all.code, all.text()), (0, expected), "{}", all.err);
    let keys = |arguments: &[&str]| {
        let line = [&["scan", "--keys"], arguments].concat();
        let run = home.run(&line);
        assert_eq!(run.code, 0, "{}", run.err);
        run.text().replace('\n', " ")
    };
    assert_eq!(keys(&["a:"]), "a:1 a:10 ");
    assert_eq!(keys(&["--reverse", "--limit", "2"]), "c b:2 ");
    assert_eq!(keys(&["--start-after", "a:10"]), "b:2 c ");
    assert_eq!(home.run(&["scan", "a:", "--count"]).text(), "2\n");
    let json = home.run(&["--output", "json", "scan", "b"]);
    assert_eq!(json.text(), "{\"key\":\"b:2\",\"value\":\"of b:2\\n\"}\n");

    let empty = home.run(&["scan", "a:", "--start-after", "b"]);
    assert_eq!(empty.code, 2, "{}", empty.err);
    assert!(
        empty.err.contains("no key can be in the range"),
        "{}",
        empty.err
    );
}

#[test]
fn what_is_exported_and_deleted_is_imported_again() {
    let (home, _dev) = home_with_cluster();
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(home.run_with(&["put", "x:bytes", "-"], &bytes).code, 0);
    for number in 0..40 {
        let key = format!("x:{number}");
        assert_eq!(home.run(&["put", &key, "value"]).code, 0);
    }
    assert_eq!(home.run(&["put", "y", "stays"]).code, 0);
    let file = home.run(&["export", "x:"]);
    assert_eq!(
        (file.code, file.text().lines().count()),
        (0, 41),
        "{}",
        file.err
    );

    let unsaid = home.run(&["delete", "--prefix", "x:"]);
    assert_eq!(unsaid.code, 2, "nobody can be asked: {}", unsaid.err);
    assert_eq!(home.run(&["scan", "--count"]).text(), "42\n");
    let deleted = home.run(&["delete", "--prefix", "x:", "--yes"]);
    assert_eq!((deleted.code, deleted.text()), (0, "deleted 41 keys\n"));
    assert_eq!(home.run(&["scan", "--keys"]).text(), "y\n");

    let imported = home.run_with(&["import", "-", "--format", "jsonl"], &file.out);
    assert_eq!(imported.code, 0, "{}", imported.err);
    assert_eq!(home.run(&["get", "x:bytes"]).out, bytes);
    assert_eq!(home.run(&["scan", "x:", "--count"]).text(), "41\n");
}

#[test]
fn siblings_are_shown_and_not_exported_unless_they_are_merged() {
    let (home, _dev) = home_with_cluster();
    assert_eq!(home.run(&["put", "k", "a"]).code, 0);
    let context = home.run(&["--output", "json", "get", "k"]).json()["context"].clone();
    let context = context.as_str().unwrap();
    for value in ["b", "c"] {
        assert_eq!(home.run(&["put", "k", value, "--context", context]).code, 0);
    }
    assert_eq!(home.run(&["scan"]).text(), "k\t(2 siblings)\n");
    let export = home.run(&["export"]);
    assert_eq!((export.code, export.text()), (4, ""), "{}", export.err);
    let merged = home.run(&["export", "--merge", "union"]);
    assert_eq!(merged.text(), "{\"key\":\"k\",\"value\":\"b\\nc\"}\n");
}
