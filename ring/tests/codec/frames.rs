//! A stream of frames, cut into pieces by a network that knows nothing of frames.
//!
//! A stream that ends inside a frame is distinguished from one that ends behind it: a dropped stream looks like a
//! finished one otherwise.

use bytes::{Bytes, BytesMut};
use quoit_ring::wire::{DecodeError, Frames, MAX_FRAME};

use crate::messages;
use crate::support::{Rng, property};

/// Some frames, one behind the other, and the places where one ends.
fn stream(rng: &mut Rng) -> (BytesMut, Vec<usize>) {
    let (mut out, mut ends) = (BytesMut::new(), vec![0]);
    for _ in 0..rng.below(5) {
        let variant = rng.below(8);
        match rng.below(5) {
            0 => out.extend_from_slice(&[0; 4]), // an empty frame: for the decoder to refuse
            1 | 2 => messages::request(rng, variant).encode(&mut out),
            _ => messages::response(rng, variant).encode(&mut out),
        }
        ends.push(out.len());
    }
    (out, ends)
}

/// All frames of `bytes`, fed in random pieces.
fn cut(rng: &mut Rng, mut bytes: &[u8], frames: &mut Frames) -> Vec<Bytes> {
    let mut found = Vec::new();
    let most = 1 + rng.below(100);
    while !bytes.is_empty() {
        let len = usize::try_from(1 + rng.below(most))
            .unwrap()
            .min(bytes.len());
        frames.push(&bytes[..len]);
        bytes = &bytes[len..];
        if rng.percent(80) || bytes.is_empty() {
            while let Some(frame) = frames.next().unwrap() {
                found.push(frame);
            }
        }
    }
    found
}

#[test]
fn any_chunking_of_a_stream_gives_the_same_frames() {
    property("chunks", [("two or more frames", 50)], |rng| {
        let (bytes, ends) = stream(rng);
        let mut frames = Frames::new(MAX_FRAME);
        let found = cut(rng, &bytes, &mut frames);
        let expected: Vec<&[u8]> = ends.windows(2).map(|w| &bytes[w[0] + 4..w[1]]).collect();
        assert_eq!(found, expected);
        assert!(frames.is_empty());
        [expected.len() > 1]
    });
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_noticed() {
    property(
        "ends",
        [("inside a frame", 50), ("behind a frame", 20)],
        |rng| {
            let (bytes, ends) = stream(rng);
            let end = if rng.percent(20) {
                *rng.pick(&ends)
            } else {
                rng.index(bytes.len() + 1)
            };
            let mut frames = Frames::new(MAX_FRAME);
            let found = cut(rng, &bytes[..end], &mut frames);
            assert_eq!(found.len(), ends.iter().filter(|&&e| e <= end).count() - 1);
            let whole = ends.contains(&end);
            assert_eq!(frames.is_empty(), whole);
            [!whole, whole]
        },
    );
}

#[test]
fn a_length_over_the_limit_is_refused_before_anything_is_kept_for_it() {
    property(
        "limits",
        [("over the limit", 35), ("within it", 35)],
        |rng| {
            let max = messages::short(rng) as usize;
            let longest = u32::try_from(max.min(MAX_FRAME)).unwrap();
            let length = match rng.below(4) {
                0 => longest,
                1 => longest + 1,
                _ => messages::short(rng),
            };
            let allowed = max.min(MAX_FRAME);
            let mut next = Ok(None);
            let used = allocation_counter::measure(|| {
                let mut frames = Frames::new(max);
                frames.push(&length.to_le_bytes());
                next = frames.next();
            });
            assert!(used.bytes_max < 256, "{used:?}");
            let refused = length as usize > allowed;
            match next {
                Ok(None) => assert!(!refused && length > 0),
                Ok(Some(frame)) => assert!(frame.is_empty() && length == 0),
                Err(error) => {
                    let (what, bytes) = ("a frame", length as usize);
                    assert!(refused);
                    assert_eq!(
                        error,
                        DecodeError::TooLarge {
                            what,
                            bytes,
                            max: allowed
                        }
                    );
                }
            }
            [refused, !refused]
        },
    );
}
