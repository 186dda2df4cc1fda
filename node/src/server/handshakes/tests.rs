//! The bounds one by one, then that an honest caller comes through beside any attack.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn from(last: u8) -> Origin {
    Origin {
        address: Ipv4Addr::new(10, 0, 0, last).into(),
        proven: true,
    }
}

const FORGED: Origin = Origin {
    address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    proven: false,
};

fn at(ms: u64) -> Moment {
    Moment(ms * 1000)
}

fn begun(decision: Decision) -> Option<HandshakeId> {
    match decision {
        Decision::Begin(id) | Decision::BeginInsteadOf(id, _) => Some(id),
        Decision::Retry | Decision::Refuse(_) => None,
    }
}

/// Handshakes that are begun by so many sources until each is refused.
fn filled(sources: u8) -> Handshakes {
    let mut handshakes = Handshakes::default();
    for last in 0..sources {
        while begun(handshakes.decide(from(last), at(0))).is_some() {}
    }
    handshakes
}

#[test]
fn addresses_are_proven_first_while_many_handshakes_are_under_way() {
    let mut handshakes = Handshakes::default();
    for _ in 0..UNPROVEN {
        assert!(begun(handshakes.decide(FORGED, at(0))).is_some());
    }
    for _ in 0..1000 {
        assert_eq!(handshakes.decide(FORGED, at(0)), Decision::Retry);
    }
    handshakes.over(HandshakeId(5));
    assert!(begun(handshakes.decide(FORGED, at(0))).is_some());
}

#[test]
fn forged_packets_use_up_nothing_of_the_address_they_name() {
    let mut handshakes = Handshakes::default();
    for _ in 0..10_000 {
        handshakes.decide(FORGED, at(0));
    }
    for _ in 0..PER_SOURCE {
        assert!(begun(handshakes.decide(from(1), at(0))).is_some());
    }
}

#[test]
fn unproven_handshakes_that_end_at_once_are_paced_too() {
    let mut handshakes = Handshakes::default();
    let mut count = 0;
    while let Some(id) = begun(handshakes.decide(FORGED, at(0))) {
        handshakes.over(id);
        count += 1;
    }
    assert_eq!(count, 64);
    assert!(begun(handshakes.decide(FORGED, at(5))).is_some());
    assert_eq!(handshakes.decide(FORGED, at(5)), Decision::Retry);
}

#[test]
fn one_source_has_its_part_and_no_more() {
    let mut handshakes = filled(1);
    assert_eq!(handshakes.under_way.len(), PER_SOURCE);
    let refused = handshakes.decide(from(0), at(500));
    assert_eq!(refused, Decision::Refuse(Refused::SourceFull));
    assert!(begun(handshakes.decide(from(1), at(500))).is_some());
}

#[test]
fn a_source_that_begins_too_quickly_is_refused_until_it_has_made_up_for_it() {
    let mut handshakes = Handshakes::default();
    for _ in 0..128 {
        let id = begun(handshakes.decide(from(1), at(0))).unwrap();
        handshakes.over(id);
    }
    let refused = Decision::Refuse(Refused::SourceTooQuick);
    assert_eq!(handshakes.decide(from(1), at(9)), refused);
    assert!(begun(handshakes.decide(from(1), at(10))).is_some());
}

#[test]
fn at_a_bound_the_oldest_goes_once_no_client_would_wait_for_it() {
    let mut handshakes = filled(1);
    let decision = handshakes.decide(from(0), at(1000));
    let expected = Decision::BeginInsteadOf(HandshakeId(64), HandshakeId(0));
    assert_eq!(decision, expected);

    let mut handshakes = filled(4);
    assert_eq!(handshakes.under_way.len(), TOTAL);
    let refused = Decision::Refuse(Refused::NodeFull);
    assert_eq!(handshakes.decide(from(9), at(999)), refused);
    let decision = handshakes.decide(from(9), at(1000));
    let expected = Decision::BeginInsteadOf(HandshakeId(256), HandshakeId(0));
    assert_eq!(decision, expected);
    assert_eq!(handshakes.under_way.len(), TOTAL);
}

#[test]
fn the_addresses_of_one_host_are_one_source() {
    let source = |text: &str| Source::of(text.parse().unwrap());
    assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:0:0:2"));
    assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
    assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
    assert_ne!(source("10.0.0.1"), source("10.0.0.2"));
}

#[test]
fn sources_are_forgotten_once_they_have_nothing_under_way() {
    let mut handshakes = Handshakes::default();
    for n in 0..100_000_u32 {
        let origin = Origin {
            address: Ipv4Addr::from_bits(n).into(),
            proven: true,
        };
        let id = begun(handshakes.decide(origin, at(u64::from(n)))).unwrap();
        handshakes.over(id);
        assert!(handshakes.sources.len() <= MAX_SOURCES);
    }
}

proptest! {
    /// However three hosts and a forger behave, counts add up, and a caller from elsewhere comes through: at once, or
    /// as soon as nothing is younger than a second.
    #[test]
    fn an_honest_caller_comes_through(
        steps in prop::collection::vec((0..6_u8, any::<bool>(), 0..20_u64, any::<u16>()), 0..400),
    ) {
        let mut handshakes = Handshakes::default();
        let (mut now, mut ids) = (0, Vec::new());
        for (last, proven, pause, end) in steps {
            now += pause;
            let origin = Origin { proven, ..from(last) };
            match handshakes.decide(origin, at(now)) {
                Decision::Begin(id) => ids.push(id),
                Decision::BeginInsteadOf(id, old) => {
                    prop_assert!(ids.contains(&old));
                    ids.retain(|id| *id != old);
                    ids.push(id);
                }
                Decision::Retry => prop_assert!(!proven),
                Decision::Refuse(_) => prop_assert!(proven),
            }
            if end % 4 == 0 && !ids.is_empty() {
                handshakes.over(ids.swap_remove(usize::from(end) % ids.len()));
            }

            prop_assert_eq!(handshakes.under_way.len(), ids.len());
            prop_assert!(ids.len() <= TOTAL && handshakes.unproven.under_way <= UNPROVEN);
            let counted: usize = handshakes.sources.values().map(|counted| counted.under_way).sum();
            prop_assert_eq!(counted + handshakes.unproven.under_way, ids.len());
            prop_assert!(handshakes.sources.values().all(|counted| counted.under_way <= PER_SOURCE));
        }
        let honest = handshakes.decide(from(99), at(now + 1000));
        prop_assert!(begun(honest).is_some(), "{:?}", honest);
    }
}
