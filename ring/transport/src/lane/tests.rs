//! Lanes over real QUIC: well opened, badly opened, cut, slow and hostile.

use quinn::VarInt;
use quoit_ring::wire::DecodeError;
use tokio::time::sleep;

use super::*;
use crate::loopback::{Pair, run};

/// A frame of so many bytes, its length field included.
fn frame(bytes: usize) -> Vec<u8> {
    let length = u32::try_from(bytes).unwrap();
    let mut frame = length.to_le_bytes().to_vec();
    frame.resize(4 + bytes, 7);
    frame
}

/// A dialler's lane and the reader at its other end.
async fn lane(pair: &Pair) -> (Lane, LaneReader) {
    let (opened, accepted) = tokio::join!(Lane::open(&pair.dialled), Lane::accept(&pair.accepted));
    (
        opened.unwrap(),
        LaneReader::new(accepted.unwrap().receive, Some(FRAME_DEADLINE)),
    )
}

/// Reads until something goes wrong, or until the lane ends.
async fn until_over(reader: &mut LaneReader) -> Result<(), StreamError> {
    while reader.read().await? {
        while reader.frames().next()?.is_some() {}
    }
    Ok(())
}

/// What the acceptor says of a bidirectional stream that begins like this.
async fn accept_after(bytes: &[u8], finish: bool) -> Result<Lane, StreamError> {
    let pair = Pair::connect().await;
    let (mut send, _receive) = pair.dialled.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    if finish {
        send.finish().unwrap();
    }
    Lane::accept(&pair.accepted).await
}

#[test]
fn an_opened_lane_exists_on_both_sides_before_any_frame() {
    run(async {
        let pair = Pair::connect().await;
        let (opened, accepted) =
            tokio::join!(Lane::open(&pair.dialled), Lane::accept(&pair.accepted));
        let mut answers = LaneReader::new(opened.unwrap().receive, Some(FRAME_DEADLINE));
        let mut accepted = accepted.unwrap();
        accepted.send.write_all(&frame(10)).await.unwrap();
        assert!(answers.read().await.unwrap());
        assert_eq!(answers.frames().next().unwrap().unwrap().len(), 10);
    });
}

#[test]
fn a_connection_without_a_lane_is_refused_after_the_deadline() {
    run(async {
        let pair = Pair::connect().await;
        let refused = Lane::accept(&pair.accepted).await;
        assert!(matches!(refused, Err(StreamError::NoLane)), "{refused:?}");
    });
}

#[test]
fn a_lane_whose_preface_stays_unfinished_is_refused_after_the_deadline() {
    run(async {
        let refused = accept_after(&PREFACE[..3], false).await;
        assert!(matches!(refused, Err(StreamError::NoLane)), "{refused:?}");
    });
}

#[test]
fn a_lane_that_begins_with_a_frame_instead_of_the_preface_is_refused() {
    run(async {
        let refused = accept_after(&frame(10), false).await;
        assert!(
            matches!(refused, Err(StreamError::NoPreface)),
            "{refused:?}"
        );
    });
}

#[test]
fn a_lane_that_ends_inside_its_preface_is_cut_short() {
    run(async {
        let refused = accept_after(b"la", true).await;
        assert!(
            matches!(refused, Err(StreamError::CutShort(_))),
            "{refused:?}"
        );
    });
}

#[test]
fn the_preface_can_never_be_taken_for_a_frames_length() {
    let mut frames = Frames::new(quoit_ring::wire::MAX_FRAME);
    frames.push(&PREFACE);
    assert!(matches!(frames.next(), Err(DecodeError::TooLarge { .. })));
}

#[test]
fn a_frame_longer_than_the_lane_allows_is_refused_before_its_bytes_come() {
    run(async {
        let pair = Pair::connect().await;
        let (mut lane, mut reader) = lane(&pair).await;
        let length = u32::try_from(LANE_FRAME + 1).unwrap();
        lane.send.write_all(&length.to_le_bytes()).await.unwrap();
        let refused = until_over(&mut reader).await;
        assert!(
            matches!(
                refused,
                Err(StreamError::Malformed(DecodeError::TooLarge { .. }))
            ),
            "{refused:?}"
        );
    });
}

#[test]
fn a_lane_may_end_between_frames_and_not_inside_one() {
    run(async {
        for (cut, whole) in [(0, true), (1, false), (10, false)] {
            let pair = Pair::connect().await;
            let (mut lane, mut reader) = lane(&pair).await;
            let mut bytes = frame(10);
            bytes.truncate(bytes.len() - cut);
            lane.send.write_all(&bytes).await.unwrap();
            lane.send.finish().unwrap();
            let over = until_over(&mut reader).await;
            assert_eq!(over.is_ok(), whole);
            assert!(
                whole || matches!(over, Err(StreamError::CutShort(_))),
                "{over:?}"
            );
        }
    });
}

#[test]
fn a_lane_that_is_reset_or_lost_says_which() {
    run(async {
        let pair = Pair::connect().await;
        let (mut opened, mut reader) = lane(&pair).await;
        opened.send.reset(VarInt::from_u32(7)).unwrap();
        let reset = until_over(&mut reader).await;
        assert!(matches!(reset, Err(StreamError::Reset(_))), "{reset:?}");

        let pair = Pair::connect().await;
        let (_opened, mut reader) = lane(&pair).await;
        pair.dialled.close(VarInt::from_u32(0), b"");
        let lost = until_over(&mut reader).await.unwrap_err();
        assert!(lost.is_lost(), "{lost:?}");
    });
}

#[test]
fn a_byte_now_and_then_buys_a_frame_no_time() {
    run(async {
        let pair = Pair::connect().await;
        let (mut lane, mut reader) = lane(&pair).await;
        let dripping = async {
            for byte in frame(1_000) {
                lane.send.write_all(&[byte]).await.unwrap();
                sleep(FRAME_DEADLINE / 10).await;
            }
        };
        let began = Instant::now();
        tokio::select! {
            () = dripping => panic!("a whole frame of single bytes was read"),
            slow = until_over(&mut reader) => {
                assert!(matches!(slow, Err(StreamError::TooSlow)), "{slow:?}");
            }
        }
        assert!(began.elapsed() >= FRAME_DEADLINE);
    });
}

#[test]
fn each_frame_has_the_whole_deadline_and_a_lane_between_frames_has_none() {
    run(async {
        let pair = Pair::connect().await;
        let (mut lane, mut reader) = lane(&pair).await;
        // The end of one frame comes with the beginning of the next, each within its time.
        let steady = async {
            let frame = frame(10);
            lane.send.write_all(&frame[..7]).await.unwrap();
            for _ in 0..4 {
                sleep(FRAME_DEADLINE / 2).await;
                lane.send.write_all(&frame[7..]).await.unwrap();
                lane.send.write_all(&frame[..7]).await.unwrap();
            }
            lane.send.write_all(&frame[7..]).await.unwrap();
            sleep(FRAME_DEADLINE * 2).await;
            lane.send.finish().unwrap();
        };
        let ((), over) = tokio::join!(steady, until_over(&mut reader));
        over.unwrap();
    });
}

/// One batch of bytes, then the end.
struct Once(core::cell::Cell<Option<Bytes>>, core::cell::Cell<usize>);

impl LaneSource for Once {
    async fn next_lane(&self) -> Result<Option<Bytes>, StreamError> {
        Ok(self.0.take())
    }

    fn written(&self, bytes: usize) {
        self.1.set(self.1.get() + bytes);
    }
}

#[test]
fn a_written_lane_counts_its_bytes_ends_and_is_acknowledged() {
    run(async {
        let pair = Pair::connect().await;
        let (mut lane, mut reader) = lane(&pair).await;
        let source = Once(Some(frame(10).into()).into(), 0.into());
        write(&mut lane.send, &source).await.unwrap();
        assert_eq!(source.1.get(), 14);
        let (arrived, over) = tokio::join!(acknowledged(&lane.send), until_over(&mut reader));
        arrived.unwrap();
        over.unwrap();
    });
}

#[test]
fn a_lane_that_the_other_side_does_not_want_is_refused() {
    run(async {
        let pair = Pair::connect().await;
        let (mut lane, mut reader) = lane(&pair).await;
        reader.stream.stop(VarInt::from_u32(7)).unwrap();
        lane.send.stopped().await.unwrap();
        let source = Once(Some(frame(10).into()).into(), 0.into());
        let refused = write(&mut lane.send, &source).await;
        assert!(matches!(refused, Err(StreamError::Refused)), "{refused:?}");
    });
}
