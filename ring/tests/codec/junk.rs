//! Bytes that nobody should have sent: an error, never a panic, never much memory.
//!
//! Most junk is a valid message damaged in a few places, so that it gets past the first checks; lengths and
//! counts are made huge on purpose. Whatever is taken all the same must be a message that comes back, and a
//! record's bytes must be the only ones for it.

use core::hash::Hasher as _;

use bytes::{Bytes, BytesMut};
use quoit_ring::change::Update;
use quoit_ring::wire::configuration::{
    decode_configuration, decode_update, encode_configuration, encode_update,
};
use quoit_ring::wire::map::{decode_map, encode_map};
use quoit_ring::wire::{DecodeError, FirstMap, RequestFrame, ResponseFrame, decode_record};
use siphasher::sip::SipHasher13;

use crate::memory::{measured, measured_of_two};
use crate::messages;
use crate::support::{Rng, property};
use crate::updates::Chains;

/// Bytes at which numbers change their length, and the ends.
const MARKS: [u8; 9] = [0, 1, 2, 250, 251, 252, 253, 254, 255];

/// One to four random injuries.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..1 + rng.below(4) {
        let at = rng.index(bytes.len() + 1);
        let to = at + rng.index(bytes.len() - at + 1).min(12);
        let fill = *rng.pick(&MARKS);
        match rng.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 if at < bytes.len() => bytes[at] = fill,
            2 => bytes.truncate(at),
            3 => drop(bytes.splice(at..at, [fill; 3])),
            4 => drop(bytes.splice(at..to, [])),
            5 => bytes[at..to].fill(fill),
            6 => drop(bytes.splice(at..to, huge(rng))), // a length or a count beyond all bounds
            _ => {
                let copy = bytes[at..to].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
}

/// A number that no list can have elements for, encoded as long as it need be.
fn huge(rng: &mut Rng) -> Vec<u8> {
    let (mark, len) = *rng.pick(&[(251, 2), (252, 4), (253, 8)]);
    let mut bytes = vec![mark];
    bytes.resize(1 + len, 0xff);
    bytes
}

/// Junk made from `valid`, or from nothing.
fn junk(rng: &mut Rng, valid: &[u8]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    if rng.percent(10) {
        bytes = messages::bytes(rng, 200).into();
        let kept = bytes.len().min(valid.len()).min(rng.index(20));
        bytes[..kept].copy_from_slice(&valid[..kept]);
    } else {
        damage(rng, &mut bytes);
    }
    bytes
}

const REACHES: [(&str, u64); 2] = [("refused", 60), ("taken all the same", 4)];

fn reached<T>(result: &Result<T, DecodeError>) -> [bool; 2] {
    [result.is_err(), result.is_ok()]
}

#[test]
fn junk_for_a_request_is_an_error() {
    property("junk requests", REACHES, |rng| {
        let variant = rng.below(messages::REQUESTS);
        let mut out = BytesMut::new();
        messages::request(rng, variant).encode(&mut out);
        let bytes = Bytes::from(junk(rng, &out[4..]));
        let result = measured(bytes.len(), || RequestFrame::decode(bytes.clone()));
        if let Ok(taken) = &result {
            let mut again = BytesMut::new();
            taken.encode(&mut again);
            assert_eq!(
                RequestFrame::decode(again.split_off(4).freeze()).as_ref(),
                Ok(taken)
            );
        }
        reached(&result)
    });
}

#[test]
fn junk_for_a_response_is_an_error() {
    property("junk responses", REACHES, |rng| {
        let variant = rng.below(messages::RESPONSES);
        let mut out = BytesMut::new();
        messages::response(rng, variant).encode(&mut out);
        let bytes = Bytes::from(junk(rng, &out[4..]));
        let result = measured(bytes.len(), || ResponseFrame::decode(bytes.clone()));
        if let Ok(taken) = &result {
            let mut again = BytesMut::new();
            taken.encode(&mut again);
            assert_eq!(
                ResponseFrame::decode(again.split_off(4).freeze()).as_ref(),
                Ok(taken)
            );
        }
        reached(&result)
    });
}

#[test]
fn junk_for_a_record_is_an_error_or_the_only_bytes_of_one() {
    property("junk records", REACHES, |rng| {
        let valid = messages::encoded(&messages::record(rng));
        let bytes = Bytes::from(junk(rng, &valid));
        let result = measured(bytes.len(), || decode_record(&bytes));
        if let Ok(taken) = &result {
            assert_eq!(messages::encoded(taken), bytes);
        }
        reached(&result)
    });
}

#[test]
fn junk_for_a_map_is_an_error() {
    property("junk maps", REACHES, |rng| {
        let valid = encode_map(&messages::map(rng));
        let bytes = junk(rng, &valid);
        let result = measured(bytes.len(), || decode_map(&bytes));
        if let Ok(taken) = &result {
            assert_eq!(decode_map(&encode_map(taken)).as_ref(), Ok(taken));
        }
        reached(&result)
    });
}

#[test]
fn junk_for_a_configuration_is_an_error() {
    property("junk configurations", REACHES, |rng| {
        let valid = encode_configuration(&messages::configuration(rng));
        let bytes = junk(rng, &valid);
        let result = measured_of_two(bytes.len(), || decode_configuration(&bytes));
        if let Ok(taken) = &result {
            let again = encode_configuration(taken);
            assert_eq!(decode_configuration(&again).as_ref(), Ok(taken));
            let _valid_or_not = taken.check();
        }
        reached(&result)
    });
}

#[test]
fn junk_for_an_update_is_an_error_or_leads_to_what_was_sent() {
    let reaches = [("refused", 60), ("taken all the same", 4)];
    let chains = Chains::new();
    property("junk updates", reaches, |rng| {
        let (old, new) = chains.pair(rng);
        let update = Update::between(old, new).unwrap();
        let bytes = junk(rng, &encode_update(&update));
        let result = measured_of_two(bytes.len(), || decode_update(&bytes));
        if let Ok(taken) = &result {
            assert_eq!(decode_update(&encode_update(taken)).as_ref(), Ok(taken));
            if let Ok(reached) = taken.apply(old) {
                assert_eq!(reached, *new, "damage that led elsewhere");
            }
        }
        reached(&result)
    });
}

#[test]
fn junk_for_a_first_map_is_an_error_even_under_a_right_checksum() {
    property("junk first maps", REACHES, |rng| {
        let valid = messages::first_map(rng).to_bytes();
        let content = junk(rng, &valid[..valid.len() - 8]);
        let mut hasher = SipHasher13::new();
        hasher.write(&content);
        let bytes = [&content[..], &hasher.finish().to_le_bytes()].concat();
        let result = measured(bytes.len(), || FirstMap::from_bytes(&bytes));
        if let Ok(taken) = &result {
            assert_eq!(FirstMap::from_bytes(&taken.to_bytes()).as_ref(), Ok(taken));
        }
        let mut damaged = valid;
        let at = rng.index(damaged.len());
        damaged[at] ^= 1 << rng.below(8);
        assert!(FirstMap::from_bytes(&damaged).is_err(), "byte {at}");
        reached(&result)
    });
}
