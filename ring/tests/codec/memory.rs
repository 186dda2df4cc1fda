//! What decoding may cost: 4 times the bytes it is given, and 64 KiB for each map that may be in them.
//!
//! The allocator counts by thread, so tests may run side by side. The cases here are those that random
//! junk does not find: lists as dense as the format allows, and counts that their bytes could just hold.

use bytes::Bytes;
use quoit_ring::change::{Arcs, Change, Configuration, Hand};
use quoit_ring::wire::configuration::{decode_configuration, encode_configuration};
use quoit_ring::wire::map::{decode_map, encode_map};
use quoit_ring::wire::{DecodeError, ResponseFrame, decode_record};
use quoit_ring::{
    Actor, ClusterMap, Dot, Epoch, Interval, Leaf, Member, NodeId, Record, Seen, Sibling, Time,
    content_hash,
};

use crate::messages;
use crate::support::Rng;

/// Decodes under the eye of the allocator.
pub(crate) fn measured<T>(
    len: usize,
    decode: impl FnOnce() -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    within(4 * len as u64 + (64 << 10), decode)
}

/// The same for a configuration: it has two maps.
pub(crate) fn measured_of_two<T>(
    len: usize,
    decode: impl FnOnce() -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    within(4 * len as u64 + (128 << 10), decode)
}

fn within<T>(
    allowed: u64,
    decode: impl FnOnce() -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut result = None;
    let used = allocation_counter::measure(|| result = Some(decode()));
    assert!(
        used.bytes_max <= allowed,
        "{} bytes, not {allowed}",
        used.bytes_max
    );
    result.expect("it ran")
}

/// Intervals and siblings in as few bytes as they can have.
fn densest_record(n: u64, live: bool) -> Record {
    let interval = |actor| Interval {
        actor: Actor(actor),
        lo: Time(0),
        hi: Time(1),
    };
    let value = live.then_some(Bytes::new());
    let sibling = |actor| Sibling {
        dot: Dot {
            time: Time(1),
            actor: Actor(actor),
        },
        expiry: None,
        hash: content_hash(b"", None),
        value: value.clone(),
    };
    let seen = if live {
        Seen::up_to(Time(1))
    } else {
        Seen::from_parts(Time::ZERO, (0..n).map(interval).collect()).unwrap()
    };
    let live = if live {
        (0..n).map(sibling).collect()
    } else {
        [].as_slice().into()
    };
    Record::from_parts(live, seen).unwrap()
}

/// Members in as few bytes as they can have, each with `vnodes` on the first leaf.
fn densest_map(members: u64, vnodes: usize) -> ClusterMap {
    let mut map = messages::map(&mut Rng::seeded(7));
    let member = |id| Member {
        id: NodeId(id),
        name: String::new(),
        address: String::new(),
        zone: String::new(),
        weight: 1,
        vnodes: vec![Leaf(0); vnodes],
    };
    map.members = (0..members).map(member).collect();
    map
}

#[test]
fn the_densest_lists_stay_within_the_bound() {
    for n in [1, 10, 1_000, 20_000] {
        for live in [false, true] {
            let record = densest_record(n, live);
            let bytes = messages::encoded(&record);
            assert_eq!(measured(bytes.len(), || decode_record(&bytes)), Ok(record));
        }
    }
    for (members, vnodes) in [(0, 0), (1, 200_000), (1_024, 0), (1_024, 1), (1_024, 150)] {
        let map = densest_map(members, vnodes);
        let bytes = encode_map(&map);
        assert_eq!(measured(bytes.len(), || decode_map(&bytes)), Ok(map));
    }
    let bytes = encode_map(&densest_map(1_025, 0));
    assert!(
        measured(bytes.len(), || decode_map(&bytes)).is_err(),
        "too many members"
    );
}

#[test]
fn the_densest_configurations_stay_within_the_bound() {
    for (members, vnodes, removed) in [(0, 0, 100_000), (1_024, 0, 0), (1_024, 150, 1_000)] {
        let map = densest_map(members, vnodes);
        let configuration = Configuration {
            epoch: Epoch(9),
            change: Some(Change {
                target: map.clone(),
                hand: Hand::on_first(Arcs::FULL),
            }),
            map,
            voters: vec![NodeId(1); 5],
            removed: vec![NodeId(1); removed],
        };
        let bytes = encode_configuration(&configuration);
        let decoded = measured_of_two(bytes.len(), || decode_configuration(&bytes));
        assert_eq!(decoded.as_ref(), Ok(&configuration));

        let six = Configuration {
            voters: vec![NodeId(1); 6],
            ..configuration
        };
        let bytes = encode_configuration(&six);
        assert!(decode_configuration(&bytes).is_err(), "too many voters");
    }
}

/// Bytes up to a count, the count, and what is behind it: nothing but zeros.
fn claiming(start: &[u8], count: usize, behind: usize) -> Vec<u8> {
    let mut bytes = start.to_vec();
    bytes.push(252);
    bytes.extend_from_slice(&u32::try_from(count).unwrap().to_le_bytes());
    bytes.resize(bytes.len() + behind, 0);
    bytes
}

#[test]
fn a_count_that_the_bytes_could_just_hold_stays_within_the_bound() {
    let (mut no_members, mut no_vnodes) = (
        encode_map(&densest_map(0, 0)),
        encode_map(&densest_map(1, 0)),
    );
    no_members.truncate(no_members.len() - 1);
    no_vnodes.truncate(no_vnodes.len() - 1);
    for behind in [1_000, 20_000, 1_000_000] {
        for count in (1..30).map(|least| behind / least) {
            for start in [&[1, 0][..], &[1, 0, 0]] {
                let bytes = Bytes::from(claiming(start, count, behind));
                assert!(measured(bytes.len(), || decode_record(&bytes)).is_err());
            }
            for start in [&no_members, &no_vnodes] {
                let bytes = claiming(start, count, behind);
                let _taken_or_not = measured(bytes.len(), || decode_map(&bytes));
            }
        }
    }
}

#[test]
fn lists_and_texts_in_heads_have_their_limits() {
    for (count, allowed) in [(0, true), (16, true), (17, false), (30, false)] {
        let sums = answer(&[&[6, count][..], &vec![1; count.into()]].concat());
        assert_eq!(ResponseFrame::decode(sums).is_ok(), allowed, "{count} sums");
    }
    for (len, allowed) in [(0, true), (64, true), (65, false), (200, false)] {
        let status = answer(&[&[1, 1, len][..], &vec![b'v'; len.into()], &[0; 17]].concat());
        assert_eq!(
            ResponseFrame::decode(status).is_ok(),
            allowed,
            "a text of {len} bytes"
        );
    }
    for (count, allowed) in [(0, true), (16, true), (17, false)] {
        // Each of one byte for its kind, its numbers and the length of its text.
        let warnings = vec![0; 4 * usize::from(count)];
        let status = answer(&[&[1, 1, 0][..], &[0; 16], &[count], &warnings].concat());
        let decoded = ResponseFrame::decode(status);
        assert_eq!(decoded.is_ok(), allowed, "{count} warnings");
    }
}

/// A response by its tag and what is behind it.
fn answer(tagged: &[u8]) -> Bytes {
    // kind, version, id, head length | epoch 1, clock 1
    let mut bytes = vec![2, 1];
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&[u8::try_from(2 + tagged.len()).unwrap(), 0, 0, 0, 1, 1]);
    bytes.extend_from_slice(tagged);
    bytes.into()
}

#[test]
fn a_short_head_that_claims_a_long_list_costs_next_to_nothing() {
    let sums = |count: &[u8]| answer(&[&[6], count].concat());
    let text = |count: &[u8]| answer(&[&[1, 1], count].concat());
    for count in [
        &[17][..],
        &[60],
        &[250],
        &[251, 0, 1],
        &[251, 255, 255],
        &[253, 0, 0, 0, 0, 0, 0, 0, 1],
    ] {
        for bytes in [sums(count), text(count)] {
            let mut result = None;
            let used = allocation_counter::measure(|| result = Some(ResponseFrame::decode(bytes)));
            assert!(
                matches!(result, Some(Err(DecodeError::Malformed(_)))),
                "{result:?}"
            );
            assert!(used.bytes_max <= 4 << 10, "{used:?} for {count:?}");
        }
    }
}
