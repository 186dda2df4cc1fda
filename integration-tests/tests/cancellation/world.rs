//! A client that is driven by hand, with three replicas that keep what they are sent.
//!
//! ```text
//!   client's inbox --take in--> requests --deliver--> replica --> answers --hand over--> client
//!                                  |                                 |
//!                                  '------- a break loses both ------'        nothing left? the clock goes on
//! ```
//!
//! [`World::step`] lets one thing happen, which one is drawn from the seed: so a caller may go away between any two.
//! A replica joins what comes and knows no clock, no bounds and no disk: what those do is tested elsewhere.

use core::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::{Buf as _, Bytes, BytesMut};
use quoit_client::env::{Env, Link, Now};
use quoit_client::{Client, Driver};
use quoit_ring::change::Topology;
use quoit_ring::placement::Ring;
use quoit_ring::wire::{
    Request, RequestFrame, Response, ResponseFrame, decode_record, encode_record,
};
use quoit_ring::{
    ClusterId, ClusterMap, Epoch, Leaf, LeafBits, Member, Millis, Moment, NodeId, Record, Time,
    TokenKey,
};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

/// Operations that the client takes at once.
pub(crate) const PERMITS: usize = 4;
pub(crate) const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
/// More can only be a loop.
const MOST_STEPS: usize = 10_000;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Nothing,
    /// The way to this node breaks after so many steps; what is on it is lost.
    Break(NodeId, usize),
    /// This node hears of requests only when all else has come to its end, deadlines included.
    Late(NodeId),
}

/// What the client sees, and what it sent.
#[derive(Debug, Default)]
struct Wires {
    micros: u64,
    random: u64,
    requests: VecDeque<(NodeId, RequestFrame)>,
}

#[derive(Debug, Clone, Default)]
struct Hand(Rc<RefCell<Wires>>);

impl Env for Hand {
    fn now(&mut self) -> Now {
        let mut wires = self.0.borrow_mut();
        wires.random = wires.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        Now {
            at: Moment(wires.micros),
            wall: Millis(1_700_000_000_000 + wires.micros / 1_000),
            random: wires.random,
        }
    }

    fn send(&mut self, to: NodeId, frame: &RequestFrame) -> bool {
        self.0.borrow_mut().requests.push_back((to, frame.clone()));
        true
    }

    fn members(&mut self, _topology: &Topology) {}
}

/// Something that can happen.
#[derive(Debug, Clone, Copy)]
enum Event {
    TakeIn,
    Deliver(usize),
    HandOver(usize),
}

/// A client and its cluster.
pub(crate) struct World {
    pub(crate) client: Client,
    driver: Option<Driver<Hand>>,
    wires: Rc<RefCell<Wires>>,
    replicas: BTreeMap<NodeId, BTreeMap<Bytes, Record>>,
    answers: Vec<(NodeId, Bytes)>,
    rng: SmallRng,
    trouble: Trouble,
    steps: usize,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let hand = Hand::default();
        let wires = Rc::clone(&hand.0);
        wires.borrow_mut().random = seed;
        let ring = Ring::new(&map()).unwrap();
        let builder = Client::builder().max_in_flight(PERMITS);
        let (client, mut driver) = builder.drive(ring, hand).unwrap();
        for node in NODES {
            driver.link(node, Link::Up);
        }
        Self {
            client,
            driver: Some(driver),
            wires,
            replicas: NODES.map(|node| (node, BTreeMap::new())).into(),
            answers: Vec::new(),
            rng: SmallRng::seed_from_u64(seed),
            trouble: Trouble::Nothing,
            steps: 0,
        }
    }

    /// Lets something go wrong from now on.
    pub(crate) fn begin(&mut self, trouble: Trouble) {
        self.trouble = trouble;
        self.steps = 0;
    }

    /// Ends what goes wrong.
    pub(crate) fn mend(&mut self) {
        let trouble = core::mem::replace(&mut self.trouble, Trouble::Nothing);
        if let (Trouble::Break(node, _), Some(driver)) = (trouble, &mut self.driver) {
            driver.link(node, Link::Up);
            driver.pump();
        }
    }

    /// Lets one thing happen; false if nothing can.
    pub(crate) fn step(&mut self) -> bool {
        self.steps += 1;
        assert!(self.steps < MOST_STEPS, "it never ends");
        if let Trouble::Break(node, after) = self.trouble
            && self.steps == after
        {
            self.break_off(node);
            return true;
        }
        let events = self.events(false);
        if let Some(event) = self.pick(&events) {
            self.happen(event);
            return true;
        }
        if self.let_time_pass() {
            return true;
        }
        let late = self.events(true);
        let event = self.pick(&late);
        event.inspect(|&event| self.happen(event)).is_some()
    }

    /// Lets everything happen that can.
    pub(crate) fn settle(&mut self) {
        while self.step() {}
    }

    /// Drops the driver, as an application does at its end.
    pub(crate) fn drop_driver(&mut self) {
        self.driver = None;
    }

    /// Whether the client has nothing under way.
    pub(crate) fn is_idle(&self) -> bool {
        let driver = self.driver.as_ref().unwrap();
        driver.is_idle() && !driver.has_submissions()
    }

    /// Whether the client is closed and has done all that it was asked for.
    pub(crate) fn is_finished(&self) -> bool {
        self.driver.as_ref().unwrap().is_finished()
    }

    /// Requests on their way.
    pub(crate) fn requests(&self) -> usize {
        self.wires.borrow().requests.len()
    }

    /// Takes in what callers left, and nothing else.
    pub(crate) fn take_in(&mut self) {
        self.happen(Event::TakeIn);
    }

    /// What each replica holds.
    pub(crate) fn held(&self, key: &str) -> Vec<Vec<Bytes>> {
        let held = |records: &BTreeMap<Bytes, Record>| {
            let record = records.get(key.as_bytes());
            let live = record.map(Record::live).unwrap_or_default();
            live.iter()
                .flat_map(|sibling| sibling.value.clone())
                .collect()
        };
        self.replicas.values().map(held).collect()
    }

    /// Whether each replica knows anything of the key, be it that there is nothing.
    pub(crate) fn knows(&self, key: &str) -> Vec<bool> {
        let replicas = self.replicas.values();
        replicas
            .map(|records| records.contains_key(key.as_bytes()))
            .collect()
    }

    /// Lets a replica forget a key, as one that was away when it was written.
    pub(crate) fn forget(&mut self, node: NodeId, key: &str) {
        self.replicas.get_mut(&node).unwrap().remove(key.as_bytes());
    }

    fn pick(&mut self, events: &[Event]) -> Option<Event> {
        (!events.is_empty()).then(|| events[self.rng.random_range(0..events.len())])
    }

    /// What can happen now; with `late`, the late node hears of its requests, too.
    fn events(&self, late: bool) -> Vec<Event> {
        let Some(driver) = &self.driver else {
            return Vec::new();
        };
        let may_hear = |node| late || self.trouble != Trouble::Late(node);
        let mut events = Vec::new();
        if driver.has_submissions() {
            events.push(Event::TakeIn);
        }
        // A connection keeps the order of what is sent over it.
        for node in NODES.into_iter().filter(|&node| may_hear(node)) {
            let requests = &self.wires.borrow().requests;
            let first = requests.iter().position(|(to, _)| *to == node);
            events.extend(first.map(Event::Deliver));
            let first = self.answers.iter().position(|(from, _)| *from == node);
            events.extend(first.map(Event::HandOver));
        }
        events
    }

    fn happen(&mut self, event: Event) {
        let Some(driver) = &mut self.driver else {
            return;
        };
        match event {
            Event::TakeIn => driver.take_in(),
            Event::HandOver(index) => {
                let (node, answer) = self.answers.remove(index);
                driver.received(node, answer).unwrap();
            }
            Event::Deliver(index) => {
                let request = self.wires.borrow_mut().requests.remove(index);
                let (node, frame) = request.unwrap();
                let records = self.replicas.get_mut(&node).unwrap();
                let answer = answer(&frame, serve(records, &frame.request));
                self.answers.push((node, answer));
            }
        }
        driver.pump();
    }

    fn let_time_pass(&mut self) -> bool {
        let Some(driver) = &mut self.driver else {
            return false;
        };
        let Some(tick) = driver.next_tick() else {
            return false;
        };
        let mut wires = self.wires.borrow_mut();
        wires.micros = wires.micros.max(tick.0);
        drop(wires);
        driver.tick();
        driver.pump();
        true
    }

    fn break_off(&mut self, node: NodeId) {
        let lost = |(to, _): &(NodeId, RequestFrame)| *to == node;
        self.wires.borrow_mut().requests.retain(|sent| !lost(sent));
        self.answers.retain(|(from, _)| *from != node);
        if let Some(driver) = &mut self.driver {
            driver.link(node, Link::Down);
        }
    }
}

fn serve(records: &mut BTreeMap<Bytes, Record>, request: &Request) -> Response {
    match request {
        Request::Put { key, record, .. } | Request::Repair { key, record } => {
            let record = decode_record(record).unwrap();
            records.entry(key.clone()).or_default().join(&record);
            Response::Joined
        }
        Request::Get { key, .. } => records.get(key).map_or(Response::Absent, |record| {
            let mut bytes = BytesMut::new();
            encode_record(record, &mut bytes);
            Response::Record(bytes.freeze())
        }),
        Request::Hint { .. } => Response::Joined, // hints are not delivered here
        other => panic!("unexpected {other:?}"),
    }
}

/// A frame without its length field, as it is cut off a stream.
fn answer(request: &RequestFrame, response: Response) -> Bytes {
    let frame = ResponseFrame {
        id: request.id,
        epoch: request.epoch,
        clock: Time::default(),
        response,
    };
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    bytes.advance(4);
    bytes.freeze()
}

fn map() -> ClusterMap {
    let member = |(number, id): (u32, NodeId)| Member {
        id,
        name: format!("n{number}"),
        address: format!("10.0.0.{number}:7440"),
        zone: "z".into(),
        weight: 100,
        vnodes: vec![Leaf(number)],
    };
    ClusterMap {
        cluster: ClusterId(7),
        epoch: Epoch(1),
        token_key: TokenKey([2; 16]),
        leaf_bits: LeafBits::FULL,
        replication: 3,
        members: (1..).zip(NODES).map(member).collect(),
    }
}
