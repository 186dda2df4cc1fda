//! What a command line may say, and what it is refused for.

use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::fault::{Act, Fault};
use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(["quoit-load"].into_iter().chain(line.split_whitespace()))
}

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn a_line_without_flags_is_a_run() {
    let cli = parse("").unwrap();
    assert!(cli.verb.is_none());
    assert_eq!(cli.run.check(), Ok(()));
    assert_eq!(
        cli.run.own_cluster(),
        Some(ClusterSpec {
            nodes: 3,
            buffered: false
        })
    );
    assert_eq!(cli.run.pace.seconds, Duration::from_secs(10));
}

#[test]
fn lines_that_make_no_sense_are_refused() {
    let table = [
        ("--rate 0", ErrorKind::ValueValidation),
        ("--rate -5", ErrorKind::UnknownArgument),
        ("--rate 5 --closed", ErrorKind::ArgumentConflict),
        ("--in-flight 5", ErrorKind::MissingRequiredArgument),
        ("--closed --in-flight 0", ErrorKind::ValueValidation),
        ("--find-rate", ErrorKind::MissingRequiredArgument),
        ("--find-rate --p99 5", ErrorKind::ValueValidation),
        ("--p99 5ms", ErrorKind::MissingRequiredArgument),
        ("--ramp 10", ErrorKind::ValueValidation),
        ("--ramp 10:20 --rate 5", ErrorKind::ArgumentConflict),
        ("--cluster dev:0", ErrorKind::ValueValidation),
        ("--cluster dev:3:sometimes", ErrorKind::ValueValidation),
        ("--cluster dev:3 --profile f", ErrorKind::ArgumentConflict),
        ("--workload ycsb-e", ErrorKind::ValueValidation),
        ("--workload scan", ErrorKind::ValueValidation),
        ("--mix get=0", ErrorKind::ValueValidation),
        ("--mix get=1 --workload put", ErrorKind::ArgumentConflict),
        ("--value 2MiB", ErrorKind::ValueValidation),
        ("--distribution hotspot:2:1", ErrorKind::ValueValidation),
        ("--keys 0", ErrorKind::ValueValidation),
        ("--clients 0", ErrorKind::ValueValidation),
        ("--seconds 0", ErrorKind::ValueValidation),
        ("--at 5s kill", ErrorKind::TooFewValues),
        ("--verify --no-load", ErrorKind::ArgumentConflict),
        ("compare a", ErrorKind::MissingRequiredArgument),
        ("plot a", ErrorKind::InvalidSubcommand),
    ];
    for (line, kind) in table {
        let error = parse(line).expect_err(line);
        assert_eq!(error.kind(), kind, "{line}: {error}");
    }
}

#[test]
fn flags_that_contradict_each_other_are_refused_by_a_sentence() {
    let table = [
        ("--at 5s kill n4", "n1 to n3"),
        ("--at 5s stab n1", "kill, restart, pause"),
        ("--at 5s slow n1", "such as 200ms"),
        ("--at 5s slow n1 2", "is no time"),
        ("--at 5s slow n1 2m", "too long for a datagram"),
        ("--at 5s lose n1 200%", "is no share"),
        ("--at 5s kill n1 200ms", "a time, an act and a node"),
        ("--at 5x kill n1", "is no time"),
        ("--at 10s kill n1 --seconds 10", "not before the end"),
        ("--at 1s kill n1 --target etcd://h:1", "started itself"),
        ("--target etcd://h:1 --cluster dev:3", "for quoit"),
        ("--no-load", "empty"),
        ("--clients 32 --closed --in-flight 16", "as many in flight"),
        ("--workload cas --keys 2M", "1000000 or less"),
        ("--mix get=9,cas=1 --keys 2M", "1000000 or less"),
        ("--verify --value 8", "24 bytes"),
    ];
    for (line, words) in table {
        let error = parse(line).unwrap().run.check().expect_err(line);
        assert!(error.contains(words), "{line}: {error}");
    }
}

#[test]
fn the_hot_key_test_is_a_line_of_flags() {
    let cli = parse("--workload cas --keys 1 --closed --in-flight 32 --clients 32").unwrap();
    assert_eq!(cli.run.check(), Ok(()));
    assert_eq!((cli.run.in_flight(), cli.run.store.clients), (32, 32));
    assert_eq!(cli.run.mix().to_string(), "cas=1");
}

#[test]
fn scans_are_refused_with_the_reason() {
    let error = parse("--workload ycsb-e").unwrap_err().to_string();
    assert!(error.contains("scans"), "{error}");
}

#[test]
fn the_fault_script_is_read_and_sorted() {
    let line = "--seconds 40 --at 30s kill n2 --at 20 pause n1";
    let faults = parse(line).unwrap().run.faults().unwrap();
    let expected = [
        Fault {
            at: Duration::from_secs(20),
            act: Act::Pause,
            node: 0,
        },
        Fault {
            at: Duration::from_secs(30),
            act: Act::Kill,
            node: 1,
        },
    ];
    assert_eq!(faults, expected);
    assert_eq!(faults[1].to_string(), "kill n2");
}

#[test]
fn faults_of_the_network_have_a_quantity_and_show_it_again() {
    let script = [
        "1s slow n1 200ms",
        "2s jitter n2 5ms",
        "3s lose n3 0.5%",
        "4s heal n1",
        "5s kill n1",
    ];
    let line = script.map(|act| format!("--at {act}")).join(" ");
    let faults = parse(&line).unwrap().run.faults().unwrap();
    let acts = faults.iter().map(|fault| fault.act).collect::<Vec<_>>();
    let millis = Duration::from_millis;
    let expected = [
        Act::Slow(millis(200)),
        Act::Jitter(millis(5)),
        Act::Lose(50),
        Act::Heal,
        Act::Kill,
    ];
    assert_eq!(acts, expected);
    for (fault, written) in faults.iter().zip(script) {
        assert_eq!(format!("{}s {fault}", fault.at.as_secs()), written);
        assert_eq!(fault.act.is_of_the_network(), fault.act != Act::Kill);
    }
}

#[test]
fn numbers_and_times_are_read_as_people_write_them() {
    assert_eq!(rate("20k"), Ok(20_000.0));
    assert_eq!(rate("1.5M"), Ok(1_500_000.0));
    assert_eq!(count("1_000"), Ok(1000));
    assert_eq!(limit("500us"), Ok(Duration::from_micros(500)));
    assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
    assert_eq!(values::seconds_or_none("0"), Ok(Duration::ZERO));
    for text in ["", "inf", "NaN", "1e", "k", "-1"] {
        assert!(rate(text).is_err(), "{text}");
        assert!(seconds(text).is_err(), "{text}");
    }
    assert!(count("1000000001").is_err());
}
