//! `docs/format.md` against the encoder: what the document shows is what is sent and stored.
//!
//! ```text
//!   <!-- golden: NAME -->        the fenced block behind this line is a listing
//!   7b000000   ; a comment       hex digits left of the semicolon are bytes
//!
//!   | 3 | `Put` | ...            a row of a table: a variant's tag and its name
//! ```
//!
//! Left out: the engine's keys and the identity file, which the node's own golden tests pin.

use core::fmt::Debug;

use bytes::{Bytes, BytesMut};
use quoit_ring::change::Update;
use quoit_ring::wire::configuration::{encode_configuration, encode_update};
use quoit_ring::wire::map::encode_map;
use quoit_ring::wire::{FirstMap, Request, RequestFrame, Response, ResponseFrame};
use quoit_ring::{Actor, Delta, Dot, Epoch, MerkleKey, Millis, Record, Time};

use crate::golden::{hex, joining, map, plain, refusals, requests, responses};
use crate::messages::encoded;

const DOCUMENT: &str = include_str!("../../../docs/format.md");

/// The bytes of the listing called `name`, as hexadecimal digits.
fn listing(name: &str) -> String {
    let mark = format!("<!-- golden: {name} -->\n");
    let (_, behind) = DOCUMENT
        .split_once(&mark)
        .unwrap_or_else(|| panic!("no listing {name}"));
    let mut parts = behind.split("```");
    let block = parts.nth(1).unwrap_or_default();
    let (_language, lines) = block.split_once('\n').unwrap_or_default();

    lines
        .lines()
        .map(|line| plain(line.split(';').next().unwrap_or_default()))
        .collect()
}

const DOT: Dot = Dot {
    time: Time((1_700_000_000_000 << 16) + 0x1234),
    actor: Actor(0x00c0_ffee_00c0_ffee),
};

/// A put without a context, as a client sends it.
fn written() -> Record {
    Delta::blind(DOT, Some(("hello".into(), None))).into_record()
}

fn request(request: Request) -> String {
    let mut out = BytesMut::new();
    let frame = RequestFrame {
        id: 7,
        epoch: Epoch(1),
        budget_ms: 5_000,
        request,
    };
    frame.encode(&mut out);
    hex(&out)
}

fn response(response: Response) -> String {
    let mut out = BytesMut::new();
    let frame = ResponseFrame {
        id: 7,
        epoch: Epoch(1),
        clock: Time::at(Millis(1_700_000_000_001)),
        response,
    };
    frame.encode(&mut out);
    hex(&out)
}

#[test]
fn the_listings_are_what_the_encoder_writes() {
    let key = Bytes::from_static(b"greeting");
    let put = Request::Put {
        key: key.clone(),
        dot: DOT,
        record: encoded(&written()),
    };
    assert_eq!(listing("put"), request(put));
    let get = Request::Get { key, digest: false };
    assert_eq!(listing("get"), request(get));
    assert_eq!(listing("joined"), response(Response::Joined));

    let deleted = Delta::blind(DOT, None).into_record();
    assert_eq!(listing("tombstone"), hex(&encoded(&deleted)));
    assert_eq!(listing("absence"), hex(&encoded(&Record::default())));
}

#[test]
fn the_listed_map_is_what_the_encoder_writes() {
    assert_eq!(listing("map"), hex(&encode_map(&map())));
    let first = FirstMap {
        map: map(),
        merkle_key: MerkleKey([3; 16]),
    };
    let file = hex(&first.to_bytes());
    let (around, map) = (listing("first-map"), listing("map"));
    let (head, checksum) = around.split_at(2 * (8 + 1 + 16));
    assert_eq!([head, &map, checksum].concat(), file);
}

#[test]
fn the_listed_configuration_and_updates_are_what_the_encoder_writes() {
    let [first, begun] = joining();
    let stepped = begun.step().unwrap();
    let around = hex(&encode_configuration(&first));
    let (map, whole) = (hex(&encode_map(&map())), listing("configuration"));
    let (head, behind) = whole.split_at(2 * 2);
    assert_eq!([head, &map[2..], behind].concat(), around);

    let update = |old, new| hex(&encode_update(&Update::between(old, new).unwrap()));
    assert_eq!(listing("begin"), update(&first, &begun));
    assert_eq!(listing("step"), update(&begun, &stepped));
}

/// The variant's name alone: up to its fields.
fn name(variant: &impl Debug) -> String {
    let text = format!("{variant:?}");
    let end = text.find([' ', '(', '{']).unwrap_or(text.len());
    text[..end].to_owned()
}

/// Whether the table below the heading `section` has a row for the variant.
fn assert_row(section: &str, tag: u8, name: &str) {
    let heading = format!("\n### {section}\n");
    let (_, behind) = DOCUMENT.split_once(&heading).unwrap();
    let table = behind.split("\n#").next().unwrap();
    let row = format!("\n| {tag} | `{name}` |");
    assert!(
        table.contains(&row),
        "{section} lacks the row {tag} `{name}`"
    );
}

/// The byte behind the first `skip` bytes of golden hex digits.
fn tag(golden: &str, skip: usize) -> u8 {
    u8::from_str_radix(&plain(golden)[2 * skip..][..2], 16).unwrap()
}

#[test]
fn every_variant_has_a_row_with_its_tag() {
    // Behind length, fixed fields, and two numbers of one byte each.
    let head = 4 + 14 + 2;
    for (request, golden) in requests() {
        assert_row("Requests", tag(golden, head), &name(&request));
    }
    for (response, golden) in responses() {
        assert_row("Responses", tag(golden, head), &name(&response));
    }
    for (refusal, golden) in refusals() {
        assert_row("Refusals", tag(golden, 0), &name(&refusal));
    }
}
