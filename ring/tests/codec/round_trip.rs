//! Every message comes back as it was sent, and raw parts are slices of the bytes that came in.

use bytes::{Bytes, BytesMut};
use quoit_ring::change::Update;
use quoit_ring::wire::configuration::{
    decode_configuration, decode_update, encode_configuration, encode_update,
};
use quoit_ring::wire::map::{decode_map, encode_map};
use quoit_ring::wire::{
    DecodeError, FirstMap, Frames, MAX_FRAME, RequestFrame, ResponseFrame, decode_record,
};

use crate::messages;
use crate::support::property;

/// The one frame in `bytes`, without its length.
fn only_frame(bytes: &[u8]) -> Bytes {
    let mut frames = Frames::new(MAX_FRAME);
    frames.push(bytes);
    let frame = frames.next().unwrap().expect("a whole frame");
    assert!(frames.is_empty());
    frame
}

#[test]
fn every_request_comes_back() {
    let names = [
        "map",
        "status",
        "get",
        "put",
        "repair",
        "sums",
        "hint",
        "hints",
        "gossip",
        "members",
        "sync",
        "scan",
        "membership",
    ];
    let reaches = names.map(|name| (name, 6));
    property("requests", reaches, |rng| {
        let variant = rng.below(messages::REQUESTS);
        let sent = messages::request(rng, variant);
        let mut out = BytesMut::new();
        sent.encode(&mut out);
        assert_eq!(RequestFrame::decode(only_frame(&out)).as_ref(), Ok(&sent));
        assert!(
            ResponseFrame::decode(only_frame(&out)).is_err(),
            "the wrong way"
        );
        core::array::from_fn(|i| i as u64 == variant)
    });
}

#[test]
fn every_response_comes_back() {
    let names = [
        "map",
        "status",
        "record",
        "absent",
        "joined",
        "superseded",
        "sums",
        "hints",
        "membership",
        "heard",
        "members",
        "sync",
        "above a floor",
        "scan",
        "refused",
    ];
    property("responses", names.map(|name| (name, 5)), |rng| {
        let variant = rng.below(messages::RESPONSES);
        let sent = messages::response(rng, variant);
        let mut out = BytesMut::new();
        sent.encode(&mut out);
        assert_eq!(ResponseFrame::decode(only_frame(&out)).as_ref(), Ok(&sent));
        assert!(
            RequestFrame::decode(only_frame(&out)).is_err(),
            "the wrong way"
        );
        core::array::from_fn(|i| i as u64 == variant)
    });
}

#[test]
fn every_record_comes_back_as_slices_of_its_bytes() {
    let reaches = [
        ("two or more siblings", 30),
        ("a value left out", 10),
        ("numbers of 9 bytes", 20),
    ];
    property("records", reaches, |rng| {
        let sent = messages::record(rng);
        let bytes = messages::encoded(&sent);
        let came = decode_record(&bytes).unwrap();
        assert_eq!(came, sent);
        let inside = bytes.as_ptr_range();
        for value in came.live().iter().filter_map(|s| s.value.as_ref()) {
            assert!(
                value.is_empty() || inside.contains(&value.as_ptr()),
                "copied"
            );
        }
        [
            sent.live().len() > 1,
            sent.live().iter().any(|s| s.value.is_none()),
            sent.max_time().0 > u64::from(u32::MAX),
        ]
    });
}

#[test]
fn every_map_comes_back() {
    let reaches = [("two or more members", 40), ("no member", 5)];
    property("maps", reaches, |rng| {
        let sent = messages::first_map(rng);
        assert_eq!(decode_map(&encode_map(&sent.map)).as_ref(), Ok(&sent.map));
        assert_eq!(FirstMap::from_bytes(&sent.to_bytes()).as_ref(), Ok(&sent));
        [sent.map.members.len() > 1, sent.map.members.is_empty()]
    });
}

#[test]
fn every_configuration_comes_back() {
    let reaches = [("a change", 40), ("a turned hand", 10), ("no voter", 5)];
    property("configurations", reaches, |rng| {
        let sent = messages::configuration(rng);
        let bytes = encode_configuration(&sent);
        assert_eq!(decode_configuration(&bytes).as_ref(), Ok(&sent));
        let change = sent.change.as_ref();
        [
            change.is_some(),
            change.is_some_and(|change| change.hand.is_turned()),
            sent.voters.is_empty(),
        ]
    });
}

#[test]
fn bytes_of_a_newer_format_are_refused_by_their_version() {
    let newer = |found, result: Result<(), DecodeError>| {
        assert_eq!(result, Err(DecodeError::Version { found, known: 1 }));
    };
    let mut rng = crate::support::Rng::seeded(1);
    for version in [0, 2, 255] {
        let (mut out, mut back) = (BytesMut::new(), BytesMut::new());
        messages::request(&mut rng, 3).encode(&mut out);
        messages::response(&mut rng, 2).encode(&mut back);
        (out[5], back[5]) = (version, version);
        newer(version, RequestFrame::decode(only_frame(&out)).map(drop));
        newer(version, ResponseFrame::decode(only_frame(&back)).map(drop));
        let mut record = messages::encoded(&messages::record(&mut rng)).to_vec();
        record[0] = version;
        newer(version, decode_record(&record.into()).map(drop));
        let first = messages::first_map(&mut rng);
        let (mut map, mut file) = (encode_map(&first.map), first.to_bytes());
        (map[0], file[8]) = (version, version);
        newer(version, decode_map(&map).map(drop));
        let (old, new) = crate::updates::begun();
        let mut whole = encode_configuration(&new);
        let mut update = encode_update(&Update::between(&old, &new).unwrap());
        (whole[0], update[0]) = (version, version);
        newer(version, decode_configuration(&whole).map(drop));
        newer(version, decode_update(&update).map(drop));
        newer(version, FirstMap::from_bytes(&file).map(drop));
    }
}
