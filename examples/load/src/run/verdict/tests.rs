//! What is said of a run beside its figures.

use super::*;

fn fine() -> Facts {
    Facts {
        seconds: 10.0,
        due: Some(100_000),
        in_time: 99_990,
        most: 64,
        cores: 2,
        servers_known: true,
        ..Facts::default()
    }
}

fn only(facts: &Facts) -> String {
    let found = sentences(facts);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

#[test]
fn nothing_is_said_when_nothing_is_wrong() {
    assert_eq!(sentences(&fine()), Vec::<String>::new());
    let short = Facts {
        due: Some(20),
        in_time: 15,
        seconds: 1.0,
        ..fine()
    };
    assert_eq!(
        sentences(&short),
        Vec::<String>::new(),
        "stragglers of a short run"
    );
}

#[test]
fn a_missed_rate_is_found_with_both_rates() {
    let found = only(&Facts {
        in_time: 62_400,
        never: 30_000,
        ..fine()
    });
    assert_eq!(
        found,
        "The target was not met: 10000 operations a second were due, 6240 succeeded in time. \
         30000 operations had not even begun when the time was out."
    );
}

#[test]
fn a_closed_loop_has_no_target_to_miss() {
    assert_eq!(
        sentences(&Facts {
            due: None,
            in_time: 5,
            ..fine()
        }),
        Vec::<String>::new()
    );
}

#[test]
fn a_generator_at_its_limit_is_found() {
    assert!(
        only(&Facts {
            generator: 0.97,
            ..fine()
        })
        .contains("its thread used 97 % of a core")
    );
    let late = Facts {
        late_p99: Duration::from_micros(2500),
        ..fine()
    };
    assert!(only(&late).contains("by 2.5 ms or more"));
    assert!(
        only(&Facts {
            client: 0.95,
            ..fine()
        })
        .contains("95 % of a core")
    );
}

#[test]
fn a_full_machine_and_full_flights_are_found() {
    assert!(
        only(&Facts {
            everybody: 1.9,
            ..fine()
        })
        .contains("1.90 of 2 cores")
    );
    assert!(
        only(&Facts {
            for_room: 7,
            ..fine()
        })
        .starts_with("7 operations waited because 64 were in flight")
    );
    assert!(
        only(&Facts {
            in_memory: true,
            ..fine()
        })
        .contains("tmpfs")
    );
}
