//! Streams of large frames over real QUIC: whole, too long, cut, reset, slow and refused.

use quinn::VarInt;
use tokio::time::sleep;

use super::*;
use crate::lane::{FRAME_DEADLINE, acknowledged};
use crate::loopback::{Pair, run};

/// A frame of so many bytes with this id, its length field included.
fn frame(id: u64, bytes: usize) -> Bytes {
    let mut frame = BytesMut::new();
    frame.extend_from_slice(&u32::try_from(bytes).unwrap().to_le_bytes());
    frame.extend_from_slice(&[1, 1]);
    frame.extend_from_slice(&id.to_le_bytes());
    frame.resize(LENGTH + bytes, 7);
    frame.freeze()
}

/// What is read from a stream that carries these bytes and then ends.
async fn read_after(bytes: &[u8], max: usize) -> Result<Large, StreamError> {
    let pair = Pair::connect().await;
    let mut stream = pair.dialled.open_uni().await.unwrap();
    let writing = async {
        stream.write_all(bytes).await.ok();
        stream.finish().ok();
    };
    let reading = async {
        let mut stream = pair.accepted.accept_uni().await.unwrap();
        read(&mut stream, max, Some(FRAME_DEADLINE)).await
    };
    tokio::join!(writing, reading).1
}

#[test]
fn an_announced_frame_takes_no_memory_before_its_bytes_come() {
    assert!(
        buffer_for(10).capacity() >= 10,
        "a short one is read into one piece"
    );
    assert!(buffer_for(MAX_FRAME).capacity() <= PIECE);
}

#[test]
fn a_large_frame_arrives_whole_and_is_acknowledged() {
    run(async {
        for bytes in [TO_ID, PIECE - 4, PIECE, 3 << 20] {
            let (pair, sent) = (Pair::connect().await, frame(1, bytes));
            let writing = async {
                let stream = write(&pair.dialled, sent.clone()).await.unwrap();
                acknowledged(&stream).await.unwrap();
            };
            let reading = async {
                let mut stream = pair.accepted.accept_uni().await.unwrap();
                read(&mut stream, MAX_FRAME, Some(FRAME_DEADLINE))
                    .await
                    .unwrap()
            };
            let ((), large) = tokio::join!(writing, reading);
            assert_eq!(large, Large::Frame(sent.slice(LENGTH..)));
        }
    });
}

#[test]
fn a_frame_longer_than_any_may_be_is_an_error() {
    run(async {
        let length = u32::try_from(MAX_FRAME + 1).unwrap().to_le_bytes();
        let refused = read_after(&length, MAX_FRAME).await;
        assert!(
            matches!(refused, Err(StreamError::TooLong { bytes }) if bytes == MAX_FRAME + 1),
            "{refused:?}"
        );
    });
}

#[test]
fn bytes_behind_a_frame_are_an_error() {
    run(async {
        let mut bytes = frame(1, 100).to_vec();
        bytes.push(7);
        let refused = read_after(&bytes, MAX_FRAME).await;
        assert!(matches!(refused, Err(StreamError::Trailing)), "{refused:?}");
    });
}

#[test]
fn a_stream_that_ends_early_is_cut_short_wherever_that_is() {
    run(async {
        let whole = frame(1, 100);
        for (length, max) in [(0, 100), (3, 100), (4, 100), (103, 100), (9, 50)] {
            let cut = read_after(&whole[..length], max).await;
            assert!(
                matches!(cut, Err(StreamError::CutShort(_))),
                "{length}: {cut:?}"
            );
        }
    });
}

#[test]
fn a_stream_that_is_reset_is_cut_short() {
    run(async {
        let pair = Pair::connect().await;
        let mut stream = pair.dialled.open_uni().await.unwrap();
        stream.write_all(&frame(1, 100)[..50]).await.unwrap();
        let mut incoming = pair.accepted.accept_uni().await.unwrap();
        stream.reset(VarInt::from_u32(7)).unwrap();
        let cut = read(&mut incoming, MAX_FRAME, Some(FRAME_DEADLINE)).await;
        assert!(matches!(cut, Err(StreamError::CutShort(_))), "{cut:?}");
    });
}

#[test]
fn a_frame_too_long_to_handle_is_named_and_passed_over_and_the_connection_lives() {
    run(async {
        let pair = Pair::connect().await;
        let writing = async {
            for (id, bytes) in [(8, 2 << 20), (9, 100)] {
                let stream = write(&pair.dialled, frame(id, bytes)).await.unwrap();
                acknowledged(&stream).await.unwrap();
            }
        };
        let reading = async {
            let mut stream = pair.accepted.accept_uni().await.unwrap();
            let bytes = 2 << 20;
            let long = read(&mut stream, 1 << 20, Some(FRAME_DEADLINE))
                .await
                .unwrap();
            assert_eq!(long, Large::TooLong { id: 8, bytes });
            pass_over(&mut stream, bytes, Some(FRAME_DEADLINE))
                .await
                .unwrap();

            let mut stream = pair.accepted.accept_uni().await.unwrap();
            let next = read(&mut stream, 1 << 20, Some(FRAME_DEADLINE))
                .await
                .unwrap();
            assert_eq!(next, Large::Frame(frame(9, 100).slice(LENGTH..)));
        };
        tokio::join!(writing, reading);
    });
}

#[test]
fn what_is_passed_over_must_be_whole_too() {
    run(async {
        let pair = Pair::connect().await;
        let mut stream = pair.dialled.open_uni().await.unwrap();
        stream.write_all(&frame(8, 1_000)[..500]).await.unwrap();
        stream.finish().unwrap();
        let mut incoming = pair.accepted.accept_uni().await.unwrap();
        let long = read(&mut incoming, 100, Some(FRAME_DEADLINE))
            .await
            .unwrap();
        assert_eq!(
            long,
            Large::TooLong {
                id: 8,
                bytes: 1_000
            }
        );
        let cut = pass_over(&mut incoming, 1_000, Some(FRAME_DEADLINE)).await;
        assert!(matches!(cut, Err(StreamError::CutShort(_))), "{cut:?}");
    });
}

#[test]
fn a_byte_now_and_then_buys_a_large_frame_no_time() {
    run(async {
        let pair = Pair::connect().await;
        let mut stream = pair.dialled.open_uni().await.unwrap();
        let dripping = async {
            for byte in frame(1, 1_000) {
                stream.write_all(&[byte]).await.unwrap();
                sleep(FRAME_DEADLINE / 20).await;
            }
        };
        let reading = async {
            let mut stream = pair.accepted.accept_uni().await.unwrap();
            read(&mut stream, MAX_FRAME, Some(FRAME_DEADLINE)).await
        };
        tokio::select! {
            () = dripping => panic!("a whole frame of single bytes was read"),
            slow = reading => assert!(matches!(slow, Err(StreamError::TooSlow)), "{slow:?}"),
        }
    });
}

#[test]
fn a_stream_that_the_other_side_does_not_want_is_refused() {
    run(async {
        let pair = Pair::connect().await;
        let refusing = async {
            let mut stream = pair.accepted.accept_uni().await.unwrap();
            stream.stop(VarInt::from_u32(7)).unwrap();
        };
        let writing = async {
            let stream = write(&pair.dialled, frame(1, 4 << 20)).await?;
            acknowledged(&stream).await
        };
        let ((), refused) = tokio::join!(refusing, writing);
        assert!(matches!(refused, Err(StreamError::Refused)), "{refused:?}");
    });
}
