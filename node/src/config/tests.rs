//! Every key, its default, its range, and every way to write it wrongly.

use super::*;

const EXAMPLE: &str = include_str!("../../node.example.toml");

const REQUIRED: &str = r#"
    data = "d"
    listen = "127.0.0.1:1"
    [tls]
    ca = "a"
    certificate = "b"
    key = "c"
"#;

fn tls(folder: &Path) -> TlsFiles {
    TlsFiles {
        ca: folder.join("certs/ca.pem"),
        certificate: folder.join("certs/node-1.pem"),
        key: folder.join("certs/node-1.key"),
    }
}

/// The required keys with `line` before them.
fn with(line: &str) -> Result<Config, ConfigError> {
    Config::parse(&format!("{line}\n{REQUIRED}"), Path::new("/etc"))
}

fn malformed(line: &str) -> String {
    match with(line) {
        Err(ConfigError::Malformed { source, .. }) => source.to_string(),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_example_holds_exactly_the_defaults() {
    let folder = Path::new("/etc/quoit");
    let mut expected = Config::new(
        folder.join("data"),
        "0.0.0.0:7440".parse().unwrap(),
        tls(folder),
    );
    expected.map = Some(folder.join("cluster.map"));
    assert_eq!(Config::parse(EXAMPLE, folder).unwrap(), expected);
}

#[test]
fn the_example_names_every_key() {
    // The parser itself lists the keys it knows when it meets another.
    let listed = malformed("no_such_key = 1");
    let keys: Vec<_> = listed.split('`').skip(3).step_by(2).collect();
    assert!(
        keys.len() >= 14 && keys.contains(&"max_record_bytes"),
        "{keys:?}"
    );
    for key in keys {
        let named = |line: &str| {
            line.trim_start_matches("# ")
                .trim_start_matches('[')
                .starts_with(key)
        };
        assert!(EXAMPLE.lines().any(named), "{key} is not in the example");
    }
}

#[test]
fn the_derived_defaults_in_the_example_are_the_real_ones() {
    let example = |key: &str| {
        let line = EXAMPLE.lines().find(|line| line.starts_with(key)).unwrap();
        with(line.trim_start_matches("# ")).unwrap()
    };
    let config = example("# max_connections_per_identity");
    assert_eq!(
        config.max_connections_per_identity,
        Some(with("").unwrap().connections_per_identity())
    );
    let config = example("# max_record_bytes");
    assert_eq!(
        config.max_record_bytes,
        Some(with("").unwrap().record_bytes())
    );
}

#[test]
fn absent_keys_take_their_defaults() {
    let folder = Path::new("/etc");
    let files = TlsFiles {
        ca: folder.join("a"),
        certificate: folder.join("b"),
        key: folder.join("c"),
    };
    let expected = Config::new(folder.join("d"), "127.0.0.1:1".parse().unwrap(), files);
    assert_eq!(with("").unwrap(), expected);
    expected.check().unwrap();
}

#[test]
fn the_record_bound_follows_the_longest_value_unless_set() {
    assert_eq!(with("").unwrap().record_bytes(), 4 * MIB + 64 * KIB);
    assert_eq!(
        with("max_value_bytes = '16MiB'").unwrap().record_bytes(),
        MAX_RECORD_BYTES
    );
    assert_eq!(
        with("max_record_bytes = '2MiB'").unwrap().record_bytes(),
        2 * MIB
    );
}

#[test]
fn absolute_paths_stay_as_they_are() {
    let config = with("map = '/elsewhere/cluster.map'").unwrap();
    assert_eq!(config.map, Some(PathBuf::from("/elsewhere/cluster.map")));
}

#[test]
fn every_value_outside_its_range_is_refused_by_name() {
    let table = [
        ("memory = '63MiB'", "memory"),
        ("memory = '1025GiB'", "memory"),
        ("max_value_bytes = 1023", "max_value_bytes"),
        ("max_value_bytes = 16777217", "max_value_bytes"),
        ("max_siblings = 0", "max_siblings"),
        ("max_siblings = 1025", "max_siblings"),
        ("max_record_bytes = '1MiB'", "max_record_bytes"),
        ("max_record_bytes = '65MiB'", "max_record_bytes"),
        ("max_write_age_ms = 999", "max_write_age_ms"),
        ("max_write_age_ms = 3600001", "max_write_age_ms"),
        ("max_clock_drift_ms = 0", "max_clock_drift_ms"),
        ("max_clock_drift_ms = 60001", "max_clock_drift_ms"),
        ("max_hint_bytes = '1025GiB'", "max_hint_bytes"),
        (
            "max_hint_bytes_per_node = '1025GiB'",
            "max_hint_bytes_per_node",
        ),
        ("hints_per_second = 0", "hints_per_second"),
        ("hints_per_second = 1000001", "hints_per_second"),
        ("expiry_keys_per_second = 0", "expiry_keys_per_second"),
        ("expiry_keys_per_second = 1000001", "expiry_keys_per_second"),
        ("max_connections = 0", "max_connections"),
        ("max_connections = 65537", "max_connections"),
        (
            "max_connections_per_identity = 0",
            "max_connections_per_identity",
        ),
        (
            "max_connections_per_identity = 65537",
            "max_connections_per_identity",
        ),
        ("write_queue = { requests = 0 }", "write_queue.requests"),
        (
            "write_queue = { requests = 1048577 }",
            "write_queue.requests",
        ),
        ("write_queue = { bytes = '1MiB' }", "write_queue.bytes"),
        ("write_queue = { bytes = '4097MiB' }", "write_queue.bytes"),
        ("drain_ms = 600001", "drain_ms"),
    ];
    for (line, expected) in table {
        match with(line) {
            Err(ConfigError::OutOfRange {
                key,
                value,
                min,
                max,
            }) => {
                assert_eq!(key, expected, "{line}");
                assert!(
                    value < min || value > max,
                    "{line}: {value} is in {min} to {max}"
                );
            }
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn both_ends_of_every_range_are_allowed() {
    for line in [
        "memory = '64MiB'",
        "memory = '1024GiB'",
        "max_value_bytes = 1024",
        "max_siblings = 1",
        "max_siblings = 1024",
        "max_record_bytes = 1114112",
        "max_write_age_ms = 1000",
        "max_clock_drift_ms = 60000",
        "max_connections = 65536",
        "write_queue = { requests = 1, bytes = 1114112 }",
        "drain_ms = 0",
    ] {
        with(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn a_range_error_says_key_value_and_range() {
    let error = with("max_siblings = 0").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`max_siblings` is 0; it must be 1 to 1024"
    );
}

#[test]
fn unknown_keys_and_wrong_types_are_refused_with_their_line() {
    assert!(malformed("max_sibling = 1").contains("unknown field `max_sibling`"));
    assert!(malformed("write_queue = { request = 1 }").contains("unknown field `request`"));
    assert!(malformed("durability = 'sometimes'").contains("unknown variant `sometimes`"));
    assert!(malformed("memory = '1MB'").contains("256MiB"));
    assert!(malformed("memory = -1").contains("number of bytes"));
    assert!(malformed("max_siblings = '1'").contains("line 1"));
    assert!(malformed("max_siblings = ").contains("line 1"));
}

#[test]
fn each_required_key_is_missed_by_name() {
    for key in ["data", "listen", "ca", "certificate", "key"] {
        let text: String = REQUIRED
            .lines()
            .filter(|line| !line.trim_start().starts_with(&format!("{key} =")))
            .map(|line| format!("{line}\n"))
            .collect();
        let error = Config::parse(&text, Path::new("/etc")).unwrap_err();
        let ConfigError::Malformed { source, .. } = error else {
            panic!("{error:?}")
        };
        assert!(
            source
                .to_string()
                .contains(&format!("missing field `{key}`")),
            "{source}"
        );
    }
}

#[test]
fn a_file_is_read_relative_to_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    std::fs::write(&path, REQUIRED).unwrap();
    assert_eq!(Config::load(&path).unwrap().data, folder.path().join("d"));
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/no/such/node.toml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the configuration /no/such/node.toml"
    );
}
