//! Sessions over real QUIC against an acceptor made by hand: each way to end, and what is delivered before.

use core::cell::{Cell, RefCell};
use std::sync::mpsc;

use quoit_ring::wire::{MAX_FRAME, Request, RequestFrame};
use quoit_ring::{Actor, Dot};

use super::*;
use crate::dial::Dialer;
use crate::loopback::{Pair, configs, run, serve};
use crate::outbox::clock;

const LIMITS: Limits = Limits {
    max_frame: 1 << 20,
    silent_looks: 20,
};

/// What a session has delivered.
#[derive(Clone, Default)]
struct Recorder {
    responses: Rc<RefCell<Vec<(u64, Response)>>>,
    refuses: Rc<Cell<bool>>,
    panics: Rc<Cell<bool>>,
}

impl FrameSink for Recorder {
    fn frames(&self, frames: &mut Frames) -> Result<(), DecodeError> {
        while let Some(frame) = frames.next()? {
            self.frame(frame)?;
        }
        Ok(())
    }

    fn frame(&self, frame: Bytes) -> Result<(), DecodeError> {
        assert!(!self.panics.get(), "a sink that panics");
        if self.refuses.get() {
            return Err(DecodeError::Malformed("a sink that is full"));
        }
        let frame = ResponseFrame::decode(frame)?;
        self.responses.borrow_mut().push((frame.id, frame.response));
        Ok(())
    }
}

/// A session with an acceptor that does what its test says.
struct Bench {
    pair: Pair,
    outbox: Rc<RequestOutbox>,
    recorder: Recorder,
    opened: Option<Lane>,
    accepted: Lane,
}

impl Bench {
    async fn start() -> Self {
        let pair = Pair::connect().await;
        let (opened, accepted) =
            tokio::join!(Lane::open(&pair.dialled), Lane::accept(&pair.accepted));
        let outbox = Rc::new(RequestOutbox::new(2 << 20, clock));
        outbox.open();
        Self {
            outbox,
            recorder: Recorder::default(),
            opened: Some(opened.unwrap()),
            accepted: accepted.unwrap(),
            pair,
        }
    }

    /// The session; it runs beside the test from now on.
    fn session(&mut self) -> tokio::task::JoinHandle<Ended> {
        let (connection, lane) = (self.pair.dialled.clone(), self.opened.take().unwrap());
        let (outbox, recorder) = (Rc::clone(&self.outbox), self.recorder.clone());
        tokio::task::spawn_local(
            async move { run_session(&connection, lane, &outbox, &recorder).await },
        )
    }

    /// Answers; a dialler that refuses may have closed before all is written.
    async fn answer(&mut self, id: u64, response: Response) {
        let bytes = response_bytes(id, response);
        if bytes.len() <= LANE_FRAME {
            self.accepted.send.write_chunk(bytes).await.ok();
        } else {
            large::write(&self.pair.accepted, bytes).await.ok();
        }
    }

    async fn delivered(&self, count: usize) {
        for _ in 0..1_000 {
            if self.recorder.responses.borrow().len() >= count {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("not all answers were delivered");
    }

    /// The code with which the dialler closed the connection.
    async fn close_code(&self) -> Option<CloseCode> {
        match self.pair.accepted.closed().await {
            ConnectionError::ApplicationClosed(close) => {
                CloseCode::from_code(close.error_code.into_inner())
            }
            other => panic!("not closed: {other}"),
        }
    }
}

async fn run_session(
    connection: &Connection,
    lane: Lane,
    outbox: &Rc<RequestOutbox>,
    recorder: &Recorder,
) -> Ended {
    super::run(connection, lane, outbox, recorder, LIMITS).await
}

fn put(id: u64, budget_ms: u32, record: usize) -> RequestFrame {
    RequestFrame {
        id,
        epoch: Epoch(1),
        budget_ms,
        request: Request::Put {
            key: Bytes::from_static(b"key"),
            dot: Dot {
                time: Time(1),
                actor: Actor(1),
            },
            record: vec![7; record].into(),
        },
    }
}

fn response_bytes(id: u64, response: Response) -> Bytes {
    let mut out = BytesMut::new();
    let frame = ResponseFrame {
        id,
        epoch: Epoch(1),
        clock: Time(1),
        response,
    };
    frame.encode(&mut out);
    out.freeze()
}

#[test]
fn a_finished_session_has_written_everything_and_closes_as_done() {
    run(async {
        let mut bench = Bench::start().await;
        bench.outbox.push(&put(1, 5_000, 10));
        bench.outbox.push(&put(2, 5_000, 200 << 10));
        let session = bench.session();
        bench.outbox.finish();

        let mut stream = bench.pair.accepted.accept_uni().await.unwrap();
        let Large::Frame(large) = large::read(&mut stream, MAX_FRAME, None).await.unwrap() else {
            panic!("too long");
        };
        assert_eq!(RequestFrame::decode(large).unwrap().id, 2);
        let Bench { accepted, .. } = &mut bench;
        let lane = accepted.receive.read_to_end(LANE_FRAME).await.unwrap();
        assert_eq!(
            RequestFrame::decode(Bytes::from(lane).slice(4..))
                .unwrap()
                .id,
            1
        );
        assert!(matches!(session.await.unwrap(), Ended::Finished));
        assert_eq!(bench.close_code().await, Some(CloseCode::Done));
    });
}

#[test]
fn answers_of_both_sizes_are_delivered() {
    run(async {
        let mut bench = Bench::start().await;
        let session = bench.session();
        let record = Response::Record(vec![7; 200 << 10].into());
        bench.answer(1, record.clone()).await;
        bench.delivered(1).await;
        bench.answer(2, Response::Joined).await;
        bench.delivered(2).await;
        let delivered = [(1, record), (2, Response::Joined)];
        assert_eq!(*bench.recorder.responses.borrow(), delivered);
        session.abort();
    });
}

#[test]
fn a_node_that_is_leaving_may_send_its_last_large_answer() {
    run(async {
        let mut bench = Bench::start().await;
        let session = bench.session();
        bench.accepted.send.finish().unwrap();
        bench
            .answer(1, Response::Record(vec![7; 200 << 10].into()))
            .await;
        bench.delivered(1).await;
        bench.pair.accepted.close(CloseCode::Draining.code(), b"");
        let ended = session.await.unwrap();
        assert!(
            matches!(ended, Ended::Broken(StreamError::Lost(_))),
            "{ended:?}"
        );
        assert_eq!(ended.to_string(), "the node is stopping");
    });
}

#[test]
fn a_node_that_leaves_and_does_not_close_is_closed_for() {
    run(async {
        let mut bench = Bench::start().await;
        let session = bench.session();
        bench.accepted.send.finish().unwrap();
        assert!(matches!(session.await.unwrap(), Ended::Leaving));
        assert_eq!(bench.close_code().await, Some(CloseCode::Done));
    });
}

#[test]
fn junk_on_the_lane_breaks_the_session_as_malformed() {
    run(async {
        for junk in [&b"\x03\0\0\0abc"[..], &[0xff; 8]] {
            let mut bench = Bench::start().await;
            let session = bench.session();
            bench.accepted.send.write_all(junk).await.unwrap();
            let ended = session.await.unwrap();
            assert!(
                matches!(ended, Ended::Broken(StreamError::Malformed(_))),
                "{ended:?}"
            );
            assert_eq!(bench.close_code().await, Some(CloseCode::Malformed));
        }
    });
}

#[test]
fn an_answer_longer_than_is_handled_fails_its_request_and_no_other() {
    run(async {
        let mut bench = Bench::start().await;
        let session = bench.session();
        let longest = vec![7; 2 << 20];
        bench.answer(1, Response::Record(longest.into())).await;
        bench.delivered(1).await;
        bench.answer(2, Response::Joined).await;
        let record = Response::Record(vec![7; 200 << 10].into());
        bench.answer(3, record.clone()).await;
        bench.delivered(3).await;

        let mut responses = bench.recorder.responses.take();
        responses.sort_by_key(|(id, _)| *id);
        let max = u64::try_from(LIMITS.max_frame).unwrap();
        let (_, refused) = responses.remove(0);
        assert!(
            matches!(refused, Response::Refused(Refusal::RecordTooLarge { bytes, max: at }) if bytes > 2 << 20 && at == max),
            "{refused:?}"
        );
        assert_eq!(responses, [(2, Response::Joined), (3, record)]);
        assert!(!session.is_finished(), "the connection stays");
        session.abort();
    });
}

#[test]
fn an_answer_longer_than_any_may_be_breaks_the_session() {
    run(async {
        let mut bench = Bench::start().await;
        let session = bench.session();
        let mut stream = bench.pair.accepted.open_uni().await.unwrap();
        stream.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
        let ended = session.await.unwrap();
        assert!(
            matches!(ended, Ended::Broken(StreamError::TooLong { .. })),
            "{ended:?}"
        );
        assert_eq!(bench.close_code().await, Some(CloseCode::Malformed));
    });
}

#[test]
fn a_node_that_stops_reading_is_given_up() {
    run(async {
        let mut bench = Bench::start().await;
        let session = bench.session();
        for id in 0..150 {
            bench.outbox.push(&put(id, 60_000, 100 << 10));
            sleep(Duration::from_millis(1)).await;
        }
        let ended = session.await.unwrap();
        assert!(
            matches!(ended, Ended::Broken(StreamError::Overflowed)),
            "{ended:?}"
        );
        assert_eq!(bench.close_code().await, Some(CloseCode::Done));
    });
}

#[test]
fn requests_whose_time_is_over_are_answered_here_and_never_sent() {
    run(async {
        let mut bench = Bench::start().await;
        bench.outbox.push(&put(1, 0, 10));
        bench.outbox.push(&put(2, 0, 200 << 10));
        let session = bench.session();
        bench.delivered(2).await;
        let mut responses = bench.recorder.responses.take();
        responses.sort_by_key(|(id, _)| *id);
        let expired = || Response::Refused(Refusal::Expired);
        assert_eq!(responses, [(1, expired()), (2, expired())]);

        bench.outbox.finish();
        assert!(matches!(session.await.unwrap(), Ended::Finished));
        let Bench { accepted, .. } = &mut bench;
        assert!(
            accepted
                .receive
                .read_to_end(LANE_FRAME)
                .await
                .unwrap()
                .is_empty()
        );
    });
}

#[test]
fn a_sink_that_cannot_take_an_expired_answer_ends_the_session() {
    run(async {
        for record in [10, 200 << 10] {
            let mut bench = Bench::start().await;
            bench.recorder.refuses.set(true);
            bench.outbox.push(&put(1, 0, record));
            let ended = bench.session().await.unwrap();
            assert!(
                matches!(ended, Ended::Broken(StreamError::Malformed(_))),
                "{ended:?}"
            );
        }
    });
}

#[test]
fn a_sink_that_panics_takes_its_session_along() {
    run(async {
        let mut bench = Bench::start().await;
        bench.recorder.panics.set(true);
        let session = bench.session();
        bench.answer(1, Response::Joined).await;
        assert!(session.await.unwrap_err().is_panic());
    });
}

#[test]
fn a_dropped_session_closes_its_connection() {
    run(async {
        let mut bench = Bench::start().await;
        let session = bench.session();
        sleep(Duration::from_millis(20)).await;
        session.abort();
        assert!(session.await.unwrap_err().is_cancelled());
        let accepted = bench.pair.accepted.clone();
        drop(bench.pair.dialled);
        assert!(matches!(
            accepted.closed().await,
            ConnectionError::ApplicationClosed(_)
        ));
    });
}

#[test]
fn a_node_whose_process_stands_still_is_given_up_as_silent() {
    let (config, client) = configs();
    let (address_to, address) = mpsc::channel();
    let (done, wait) = mpsc::channel::<()>();
    // A runtime that is no longer driven acknowledges nothing, like a stopped process.
    let node = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _connected = runtime.block_on(async {
            let endpoint = serve(config);
            address_to.send(endpoint.local_addr().unwrap()).unwrap();
            let connection = endpoint.accept().await.unwrap().await.unwrap();
            let lane = Lane::accept(&connection).await.unwrap();
            (endpoint, connection, lane)
        });
        wait.recv().unwrap_err();
    });
    run(async {
        let address = address.recv().unwrap().to_string();
        let dialer = Dialer::new(client);
        let name = quoit_ring::role::SEED_SERVER_NAME;
        let connection = dialer.dial(&address, name).await.unwrap();
        let lane = Lane::open(&connection).await.unwrap();
        let outbox = Rc::new(RequestOutbox::new(2 << 20, clock));
        outbox.open();
        let limits = Limits {
            silent_looks: 2,
            ..LIMITS
        };
        sleep(Duration::from_millis(100)).await;
        outbox.push(&put(1, 5_000, 10));
        let recorder = Recorder::default();
        let ended = super::run(&connection, lane, &outbox, &recorder, limits).await;
        assert!(matches!(ended, Ended::Silent), "{ended:?}");
    });
    drop(done);
    node.join().unwrap();
}
