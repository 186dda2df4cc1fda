//! The program itself, on a cluster of real processes: a second of load, a node killed and started again.
//!
//! ```text
//!   quoit-load --cluster dev:3 --at 0.3s kill n2 --at 0.6s restart n2 --verify  -->  result.json
//! ```
//!
//! The figures of a debug build on a busy machine mean nothing; what is checked is that everything was
//! measured, that nothing acknowledged was lost, and that nothing is left running.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail with it")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn quoit_load(line: &str, more: &[&Path]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_quoit-load"))
        .args(line.split_whitespace())
        .args(more)
        .env_remove("QUOIT_PROFILE")
        .output();
    output.unwrap()
}

/// The processes whose command line holds `text`.
fn running(text: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}

fn sum(result: &Value, what: impl Fn(&Value) -> u64) -> u64 {
    result["operations"]
        .as_object()
        .unwrap()
        .values()
        .map(what)
        .sum()
}

#[test]
fn a_killed_node_costs_no_acknowledged_write() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    std::fs::create_dir(&data).unwrap();
    let line = "--cluster dev:3:buffered --mix get=50,put=40,delete=5,insert=5 --keys 500 --rate 500 \
                --warm-up 0.2s --seconds 1s --at 0.3s kill n2 --at 0.6s restart n2 --verify --output json";
    let output = quoit_load(
        line,
        &[Path::new("--data"), &data, Path::new("--out"), &out],
    );
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");

    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        sum(&result, |of| of["count"].as_u64().unwrap()) > 250,
        "{result}"
    );
    assert_eq!(result["timeline"].as_array().unwrap().len(), 10);
    let faults: Vec<&str> = result["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["what"].as_str().unwrap())
        .collect();
    assert_eq!(faults, ["kill n2", "restart n2"]);
    let verify = &result["verify"];
    assert!(verify["checked"].as_u64().unwrap() >= 500, "{verify}");
    for broken in ["lost", "resurrected", "wrong", "unknown"] {
        assert_eq!(verify[broken], 0, "{broken}: {verify}");
    }
    #[cfg(target_os = "linux")]
    {
        assert!(result["cpu"]["servers_us_per_op"].as_f64().unwrap() > 0.0);
        assert_eq!(
            result["cpu"]["servers_rss_mib"].as_array().unwrap().len(),
            4,
            "three nodes, one of them twice"
        );
    }

    let stored: Value =
        serde_json::from_slice(&std::fs::read(out.join("result.json")).unwrap()).unwrap();
    assert_eq!(stored, result);
    assert!(
        std::fs::read_to_string(out.join("report.html"))
            .unwrap()
            .contains("<svg")
    );
    assert!(
        std::fs::read_to_string(out.join("get-intended.hlog"))
            .unwrap()
            .contains("Tag=get")
    );
    assert_eq!(running(&data.display().to_string()), Vec::<String>::new());
    assert_eq!(
        std::fs::read_dir(&data).unwrap().count(),
        0,
        "the cluster's folder is gone"
    );

    let report = quoit_load("report", &[&out]);
    assert!(report.status.success());
}

#[test]
fn a_node_behind_a_bad_network_is_slow_while_it_is_bad() {
    let folder = tempfile::tempdir().unwrap();
    let line = "--cluster dev:1:buffered --workload get --keys 100 --rate 200 --warm-up 0.2s --seconds 6s \
                --at 1s slow n1 120ms --at 1s lose n1 0.5% --at 3s heal n1 --output json";
    let output = quoit_load(line, &[Path::new("--data"), folder.path()]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let phases = result["phases"].as_array().unwrap();
    let what = phases.iter().map(|phase| phase["what"].as_str().unwrap());
    let expected = [
        "before slow n1 120ms",
        "after lose n1 0.5%",
        "after heal n1",
    ];
    assert_eq!(what.collect::<Vec<_>>(), expected);
    let median = |phase: usize| phases[phase]["operations"]["get"]["intended"]["p50"].as_u64();
    let slow = [0, 1, 2].map(|phase| median(phase).unwrap() >= 120_000);
    assert_eq!(slow, [false, true, false], "{result}");
    assert!(result["health"]["ejections"].is_u64(), "{result}");
}

#[test]
fn clients_that_write_under_conditions_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let line = "--cluster dev:3:buffered --mix cas=1,update=1 --clients 2 --keys 20 --closed --in-flight 8 \
                --warm-up 0 --seconds 1s --verify --output json";
    let output = quoit_load(line, &[Path::new("--data"), folder.path()]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    for verb in ["cas", "update"] {
        let of = &result["operations"][verb];
        assert!(of["count"].as_u64().unwrap() > 0, "{verb}: {result}");
    }
    let attempts = &result["operations"]["update"]["attempts"];
    assert!(attempts["max"].as_u64() >= attempts["p50"].as_u64());
    assert!(attempts["p50"].as_u64() >= Some(1), "{result}");
    let target = result["target"].as_str().unwrap();
    assert!(target.ends_with("2 clients"), "{target}");
    assert_eq!(result["verify"]["checked"], 20);
    for broken in ["lost", "resurrected", "wrong", "unknown"] {
        assert_eq!(result["verify"][broken], 0, "{broken}: {result}");
    }
}

#[test]
fn an_interrupted_run_leaves_nothing_running() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_quoit-load"))
        .args([
            "--keys",
            "100",
            "--rate",
            "100",
            "--seconds",
            "60",
            "--data",
        ])
        .arg(&data)
        .env_remove("QUOIT_PROFILE")
        .spawn()
        .unwrap();
    let nodes = || {
        running(&data.display().to_string())
            .iter()
            .filter(|line| line.contains("--while-stdin"))
            .count()
    };
    let begin = std::time::Instant::now();
    while nodes() < 3 && begin.elapsed().as_secs() < 20 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(nodes(), 3);
    let interrupted = Command::new("kill")
        .args(["-INT", &run.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(running(&data.display().to_string()), Vec::<String>::new());
    assert_eq!(
        std::fs::read_dir(&data).unwrap().count(),
        0,
        "the cluster's folder is gone"
    );
}

#[test]
fn a_line_that_makes_no_sense_ends_with_2_and_a_sentence() {
    let table = [
        ("--at 1s kill n9", "n1 to n3"),
        ("--workload ycsb-e", "scans"),
        ("--rate 0", "operations a second"),
        ("--target kvstore --keys 5", "no target"),
    ];
    for (line, words) in table {
        let output = quoit_load(line, &[]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            matches!(output.status.code(), Some(1 | 2)),
            "{line}: {:?}",
            output.status
        );
        assert!(errors.contains(words), "{line}: {errors}");
    }
}
