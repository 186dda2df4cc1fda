//! Links against nodes made by hand, on loopback.

mod silence;

use core::cell::RefCell;
use core::future::Future;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::wire::{Refusal, Request, RequestFrame, Response, ResponseFrame};
use quoit_ring::{Actor, Dot, Epoch, Member, Time};
use quoit_transport::dial::Dialer;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tempfile::TempDir;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use super::fake::{Act, Authority, FakeNode};
use super::*;
use crate::tls::ClientTls;

const NODE: NodeId = NodeId(0xa);
const BOUNDS: Bounds = Bounds {
    max_frame: 4 << 20,
    max_outbox: 64 << 20,
};

/// What a link said, in order.
#[derive(Debug, PartialEq)]
enum Said {
    Link(Link),
    Response(u64, Response),
}

#[derive(Clone, Default)]
struct Recorder(Rc<RefCell<Vec<Said>>>);

impl Recorder {
    fn take(&self, frame: Bytes) -> Result<(), DecodeError> {
        let frame = ResponseFrame::decode(frame)?;
        let said = Said::Response(frame.id, frame.response);
        self.0.borrow_mut().push(said);
        Ok(())
    }
}

impl LinkEvents for Recorder {
    fn frame(&self, _from: NodeId, frame: Bytes) -> Result<(), DecodeError> {
        self.take(frame)
    }

    fn frames(&self, _from: NodeId, frames: &mut Frames) -> Result<(), DecodeError> {
        while let Some(frame) = frames.next()? {
            self.take(frame)?;
        }
        Ok(())
    }

    fn link(&self, _node: NodeId, link: Link) {
        self.0.borrow_mut().push(Said::Link(link));
    }
}

impl Recorder {
    /// Waits until `count` things were said.
    async fn heard(&self, count: usize) {
        self.until(|said| said.len() >= count).await;
    }

    /// Waits until the link has changed in this way; more changes may follow.
    async fn links(&self, links: &[Link]) {
        self.until(|said| count_links(said) >= links.len()).await;
        assert_eq!(self.all_links()[..links.len()], *links);
    }

    fn all_links(&self) -> Vec<Link> {
        let link = |said: &Said| match said {
            Said::Link(link) => Some(*link),
            Said::Response(..) => None,
        };
        self.0.borrow().iter().filter_map(link).collect()
    }

    async fn until(&self, enough: impl Fn(&[Said]) -> bool) {
        for _ in 0..1_000 {
            if enough(&self.0.borrow()) {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("only heard {} things", self.0.borrow().len());
    }
}

fn count_links(said: &[Said]) -> usize {
    let is_link = |said: &&Said| matches!(said, Said::Link(_));
    said.iter().filter(is_link).count()
}

/// A link under test.
struct Bench {
    authority: Authority,
    dialer: Rc<Dialer>,
    recorder: Recorder,
    tasks: JoinSet<()>,
    _files: TempDir,
}

impl Bench {
    fn new() -> Self {
        let (authority, files) = (Authority::new(), TempDir::new().unwrap());
        let tls = ClientTls::load(&authority.client_files(files.path())).unwrap();
        Self {
            dialer: Rc::new(Dialer::new(tls.client_config())),
            authority,
            recorder: Recorder::default(),
            tasks: JoinSet::new(),
            _files: files,
        }
    }

    fn node(&self, behaviour: impl Fn(&Request) -> Act + Send + Sync + 'static) -> FakeNode {
        FakeNode::start(&self.authority, NODE, behaviour)
    }

    fn link(&mut self, address: &str) -> LinkHandle {
        let member = Member {
            id: NODE,
            name: "a".into(),
            address: address.to_string(),
            zone: "z".into(),
            weight: 100,
            vnodes: Vec::new(),
        };
        let (events, rng) = (self.recorder.clone(), SmallRng::seed_from_u64(1));
        LinkHandle::open(&member, &self.dialer, events, BOUNDS, rng, &mut self.tasks)
    }
}

fn frame(id: u64, request: Request) -> RequestFrame {
    RequestFrame {
        id,
        epoch: Epoch(1),
        budget_ms: 30_000,
        request,
    }
}

fn get(id: u64) -> RequestFrame {
    let key = Bytes::from_static(b"key");
    frame(id, Request::Get { key, digest: false })
}

fn put(id: u64, bytes: usize) -> RequestFrame {
    let (key, record) = (Bytes::from_static(b"key"), vec![1; bytes].into());
    let dot = Dot {
        time: Time(1),
        actor: Actor(1),
    };
    frame(id, Request::Put { key, dot, record })
}

/// Runs a test on one thread, for a limited time.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let limited = async { timeout(Duration::from_secs(20), test).await };
    let ended = LocalSet::new().block_on(&runtime, limited);
    ended.expect("the test takes too long");
}

#[test]
fn frames_that_are_queued_while_the_link_opens_are_answered_once_it_is_up() {
    run(async {
        let mut bench = Bench::new();
        let node = bench.node(|_| Act::Answer(Response::Joined));
        let link = bench.link(&node.address.to_string());
        for id in 1..=3 {
            link.send(&get(id));
        }
        bench.recorder.heard(5).await;
        let joined = |id| Said::Response(id, Response::Joined);
        let links = [Said::Link(Link::Opening), Said::Link(Link::Up)];
        let expected: Vec<_> = links.into_iter().chain((1..=3).map(joined)).collect();
        assert_eq!(*bench.recorder.0.borrow(), expected);
    });
}

#[test]
fn what_waited_too_long_is_answered_as_expired_and_never_sent() {
    run(async {
        let mut bench = Bench::new();
        let node = bench.node(|_| Act::Answer(Response::Joined));
        let link = bench.link(&node.address.to_string());
        for (id, bytes) in [(1, 10), (2, 100_000)] {
            let mut hasty = put(id, bytes);
            hasty.budget_ms = 0;
            link.send(&hasty);
        }
        link.send(&get(3));
        bench.recorder.heard(5).await;
        let said = bench.recorder.0.borrow();
        let expired = Response::Refused(Refusal::Expired);
        for (id, response) in [(1, &expired), (2, &expired), (3, &Response::Joined)] {
            assert!(said.contains(&Said::Response(id, response.clone())), "{id}");
        }
        assert_eq!(node.requests(), 1);
    });
}

#[test]
fn frames_arrive_whole_in_whatever_pieces_they_come() {
    run(async {
        let mut bench = Bench::new();
        let record = Bytes::from_static(&[7; 40]);
        let answer = Response::Record(record);
        let pieces = [1_usize, 2, 3, 5, 17, 1_000];
        let turn = std::sync::atomic::AtomicUsize::new(0);
        let sent = answer.clone();
        let node = bench.node(move |_| {
            let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Act::InPieces(sent.clone(), pieces[turn % pieces.len()])
        });
        let link = bench.link(&node.address.to_string());
        for id in 0..12 {
            link.send(&get(id));
        }
        bench.recorder.heard(14).await;
        for (id, said) in bench.recorder.0.borrow()[2..].iter().enumerate() {
            let id = u64::try_from(id).unwrap();
            assert_eq!(*said, Said::Response(id, answer.clone()));
        }
    });
}

#[test]
fn large_frames_travel_both_ways_beside_small_ones() {
    run(async {
        let mut bench = Bench::new();
        let node = bench.node(|request| match request {
            Request::Put { record, .. } => Act::Answer(Response::Record(record.clone())),
            _small => Act::Answer(Response::Absent),
        });
        let link = bench.link(&node.address.to_string());
        for id in 0..40 {
            link.send(&put(2 * id, 1_000_000 + usize::try_from(id).unwrap()));
            link.send(&get(2 * id + 1));
        }
        bench.recorder.heard(82).await;
        let said = bench.recorder.0.borrow();
        let records = said.iter().filter_map(|said| match said {
            Said::Response(id, Response::Record(record)) => Some((*id, record.len())),
            _other => None,
        });
        let mut records: Vec<_> = records.collect();
        records.sort_unstable();
        let expected: Vec<_> = (0..40)
            .map(|id| (2 * id, 1_000_000 + usize::try_from(id).unwrap()))
            .collect();
        assert_eq!(records, expected);
        let absent = said
            .iter()
            .filter(|s| matches!(s, Said::Response(_, Response::Absent)));
        assert_eq!(absent.count(), 40);
    });
}

#[test]
fn a_burst_of_megabytes_is_not_lost_to_the_segment_limit() {
    run(async {
        let mut bench = Bench::new();
        let node = bench.node(|_| Act::Answer(Response::Record(Bytes::from_static(&[3; 1_000]))));
        let link = bench.link(&node.address.to_string());
        bench.recorder.links(&[Link::Opening, Link::Up]).await;
        let large_packets = || {
            let log = node.log.lock().unwrap();
            log.connections[0].stats().path.current_mtu > quoit_transport::quic::MAX_PACKET - 100
        };
        while !large_packets() {
            link.send(&get(0));
            sleep(Duration::from_millis(10)).await;
        }
        let before = bench.recorder.0.borrow().len();
        for id in 0..4_000 {
            link.send(&put(id, 1_000));
        }
        timeout(Duration::from_secs(5), bench.recorder.heard(before + 4_000))
            .await
            .unwrap();
    });
}

#[test]
fn junk_ends_the_connection_as_malformed_and_a_new_one_is_made() {
    let cut = Bytes::from_static(&[200, 0, 0, 0, 1, 2, 3]);
    let cut_lane = cut.clone();
    let not_a_response = Bytes::from_static(&[3, 0, 0, 0, 9, 9, 9]);
    let too_large = Bytes::from_static(&[0, 0, 0, 255]);
    let beyond_the_lane = Bytes::from_static(&[1, 0, 1, 0]);
    type MakeAct = Box<dyn Fn() -> Act + Send + Sync>;
    let acts: [MakeAct; 5] = [
        Box::new(move || Act::OnLane(not_a_response.clone())),
        Box::new(move || Act::OnLane(beyond_the_lane.clone())),
        Box::new(move || Act::OnStream(cut.clone())),
        Box::new(move || Act::CutLane(cut_lane.clone())),
        Box::new(move || Act::OnStream(too_large.clone())),
    ];
    for act in acts {
        run(async move {
            let mut bench = Bench::new();
            let node = bench.node(move |request| match request {
                Request::Get { .. } => act(),
                _other => Act::Answer(Response::Joined),
            });
            let link = bench.link(&node.address.to_string());
            link.send(&get(1));
            bench.recorder.links(&[Link::Opening, Link::Up]).await;
            assert_eq!(node.first_end().await, Some(2));
            bench
                .recorder
                .links(&[Link::Opening, Link::Up, Link::Down, Link::Up])
                .await;
            link.send(&put(2, 1));
            bench.recorder.heard(5).await;
            assert_eq!(
                bench.recorder.0.borrow()[4],
                Said::Response(2, Response::Joined)
            );
        });
    }
}

#[test]
fn a_node_that_leaves_may_still_answer_what_is_under_way() {
    run(async {
        let mut bench = Bench::new();
        let node = bench.node(|_| Act::Leave(Response::Absent));
        let link = bench.link(&node.address.to_string());
        link.send(&get(1));
        bench
            .recorder
            .links(&[Link::Opening, Link::Up, Link::Down])
            .await;
        let answer = Said::Response(1, Response::Absent);
        assert_eq!(bench.recorder.0.borrow()[2], answer);
    });
}

#[test]
fn a_connection_that_the_node_closes_is_made_again() {
    run(async {
        let mut bench = Bench::new();
        let node = bench.node(|request| match request {
            Request::Get { .. } => Act::Close(1),
            _other => Act::Answer(Response::Joined),
        });
        let link = bench.link(&node.address.to_string());
        link.send(&get(1));
        let up_again = [Link::Opening, Link::Up, Link::Down, Link::Up];
        bench.recorder.links(&up_again).await;
        link.send(&put(2, 1));
        bench.recorder.heard(5).await;
        let joined = Said::Response(2, Response::Joined);
        assert_eq!(bench.recorder.0.borrow()[4], joined);
    });
}

#[test]
fn a_lost_connection_is_reported_once_and_what_is_sent_meanwhile_is_dropped() {
    run(async {
        let mut bench = Bench::new();
        let node = bench.node(|_| Act::Answer(Response::Joined));
        let (address, link) = (node.address, bench.link(&node.address.to_string()));
        link.send(&get(1));
        bench.recorder.heard(3).await;
        drop(node);
        let down = [Link::Opening, Link::Up, Link::Down];
        bench.recorder.links(&down).await;
        link.send(&get(2));
        sleep(Duration::from_millis(300)).await;
        assert_eq!(bench.recorder.all_links(), down);
        let absent = |_: &Request| Act::Answer(Response::Absent);
        let again = FakeNode::start_again(address, &bench.authority, NODE, absent).await;
        bench.recorder.heard(5).await;
        link.send(&get(3));
        bench.recorder.heard(6).await;
        let said = bench.recorder.0.borrow();
        assert_eq!(said[4], Said::Link(Link::Up));
        assert_eq!(said[5], Said::Response(3, Response::Absent));
        assert_eq!(again.requests(), 1);
    });
}

#[test]
fn another_node_at_the_address_is_not_taken_for_this_one() {
    run(async {
        let mut bench = Bench::new();
        let other = FakeNode::start(&bench.authority, NodeId(0xb), |_| {
            Act::Answer(Response::Joined)
        });
        let link = bench.link(&other.address.to_string());
        link.send(&get(1));
        bench.recorder.links(&[Link::Opening, Link::Down]).await;
        sleep(Duration::from_millis(300)).await;
        assert_eq!(bench.recorder.all_links(), [Link::Opening, Link::Down]);
        assert_eq!(other.requests(), 0);
    });
}

#[test]
fn silence_and_nonsense_for_an_address_are_a_link_that_is_down() {
    run(async {
        for address in ["127.0.0.1:9", "not an address", "nowhere.invalid:1"] {
            let mut bench = Bench::new();
            bench.link(address).send(&get(1));
            bench.recorder.links(&[Link::Opening, Link::Down]).await;
        }
    });
}

#[test]
fn a_finished_link_writes_what_it_has_and_closes_as_done() {
    run(async {
        let mut bench = Bench::new();
        let node = bench.node(|_| Act::Silence);
        let link = bench.link(&node.address.to_string());
        bench.recorder.links(&[Link::Opening, Link::Up]).await;
        link.send(&put(1, 1_000_000));
        link.send(&get(2));
        link.finish();
        link.send(&get(3));
        assert!(bench.tasks.join_next().await.unwrap().is_ok());
        assert_eq!(node.first_end().await, Some(0));
        assert_eq!(node.requests(), 2);
        assert_eq!(bench.recorder.all_links(), [Link::Opening, Link::Up]);
    });
}

#[test]
fn a_link_that_was_never_up_is_finished_at_once() {
    run(async {
        let mut bench = Bench::new();
        let link = bench.link("127.0.0.1:9");
        tokio::task::yield_now().await;
        link.finish();
        let ended = timeout(Duration::from_millis(200), bench.tasks.join_next()).await;
        assert!(ended.unwrap().unwrap().unwrap_err().is_cancelled());
    });
}

#[test]
fn events_that_panic_end_their_link_as_panicked() {
    #[derive(Clone)]
    struct Broken;
    impl LinkEvents for Broken {
        fn frame(&self, _from: NodeId, _frame: Bytes) -> Result<(), DecodeError> {
            panic!("on purpose")
        }

        fn frames(&self, _from: NodeId, _frames: &mut Frames) -> Result<(), DecodeError> {
            panic!("on purpose")
        }
        fn link(&self, _node: NodeId, _link: Link) {}
    }
    run(async {
        let mut bench = Bench::new();
        let node = bench.node(|_| Act::Answer(Response::Joined));
        let member = Member {
            id: NODE,
            name: "a".into(),
            address: node.address.to_string(),
            zone: "z".into(),
            weight: 100,
            vnodes: Vec::new(),
        };
        let rng = SmallRng::seed_from_u64(1);
        let tasks = &mut bench.tasks;
        let link = LinkHandle::open(&member, &bench.dialer, Broken, BOUNDS, rng, tasks);
        link.send(&get(1));
        assert!(
            bench
                .tasks
                .join_next()
                .await
                .unwrap()
                .unwrap_err()
                .is_panic()
        );
    });
}
