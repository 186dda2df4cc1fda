//! A simulated caller: the shipped client above its `Env` seam, its connections, its clock.
//!
//! ```text
//!   tasks --> Client --> Driver<CallerEnv> --> frames out --> the world
//!                            ^--------------- frames, links, ticks
//!
//!   wire to each node   opening --connected--> up --broken--> down --dialled again--> up ...
//! ```
//!
//! Frames sent while the first connection is being made wait for it; on a connection that is down nothing is
//! sent. Every put that goes out is put down in the history with its dot.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use quoit_client::env::{Env, Link, Now};
use quoit_client::{Client, ClientBuilder, Driver};
use quoit_ring::change::Topology;
use quoit_ring::placement::Ring;
use quoit_ring::wire::{Request, RequestFrame};
use quoit_ring::{Epoch, Millis, Moment, NodeId};
use rand::Rng as _;
use rand::rngs::SmallRng;

use super::chance::happens;
use super::coverage::CoverageEvent;
use super::in_transit::InTransit;
use super::minted::MintedKeys;
use super::overfill;
use super::session::Site;
use crate::history::ClientId;

/// How often a loaded client has no permit for a repair, in 1,000.
const CROWDED: u32 = 500;

/// How often a client that fills records up does so beside a put, in 1,000.
const OVERFILLS: u32 = 100;

/// The part of a request's id that names its operation; the rest is replica, purpose and attempt.
const OPERATION: u64 = 0xffff_fff0_0fff_ff00;

/// A frame on its way out.
#[derive(Debug)]
pub struct Sent {
    /// The node.
    pub to: NodeId,
    /// The frame, without its length field.
    pub frame: Bytes,
    /// If it is a put: what all frames of its write, and no others of its client, have in common.
    pub put: Option<u64>,
    /// Its id, if its client may take it back.
    pub id: Option<u64>,
}

/// What the driver's side of the seam and the world share.
#[derive(Debug)]
struct Desk {
    at: Cell<Moment>,
    wall: Cell<Millis>,
    crowded: Cell<bool>,
    turned_away: Cell<u64>,
    overfills: Cell<bool>,
    overfilled: Cell<u64>,
    minted: RefCell<Option<MintedKeys>>,
    out: RefCell<Vec<Sent>>,
    /// The nodes that the driver wants links to, if that has changed.
    members: RefCell<Option<Vec<NodeId>>>,
    in_transit: RefCell<InTransit>,
}

/// The simulated side of the client's seam.
#[derive(Debug)]
pub struct CallerEnv {
    id: ClientId,
    desk: Rc<Desk>,
    site: Rc<Site>,
    rng: SmallRng,
}

impl Env for CallerEnv {
    fn now(&mut self) -> Now {
        Now {
            at: self.desk.at.get(),
            wall: self.desk.wall.get(),
            random: self.rng.random(),
        }
    }

    fn send(&mut self, to: NodeId, frame: &RequestFrame) -> bool {
        let site = Rc::clone(&self.site);
        let (mut put, epoch) = (None, frame.epoch);
        match &frame.request {
            Request::Put { key, dot, record } => {
                let request = frame.id & OPERATION;
                put = Some(request);
                if site.sent(self.id, request, (key, record), *dot) {
                    site.saw(CoverageEvent::Reminted);
                }
                site.put_sent((self.id, to, frame.id), request, *dot);
                let minted = &mut *self.desk.minted.borrow_mut();
                if minted.as_mut().is_some_and(|keys| keys.sent(key, *dot)) {
                    site.saw(CoverageEvent::MintFull);
                }
            }
            Request::Hint {
                target,
                key,
                dot,
                record,
            } => {
                if self.turns_away() {
                    return false;
                }
                let request = frame.id & OPERATION;
                put = Some(request);
                if site.sent(self.id, request, (key, record), *dot) {
                    site.saw(CoverageEvent::Reminted);
                }
                let hint = (*target, key.clone(), *dot, frame.epoch);
                site.hint_sent((self.id, to, frame.id), hint);
            }
            Request::Repair { .. } => {
                if self.turns_away() {
                    return false;
                }
                site.saw(CoverageEvent::Repair);
            }
            Request::Get { digest: true, .. } => site.saw(CoverageEvent::Digest),
            _ => {}
        }

        let optional = matches!(frame.request, Request::Hint { .. } | Request::Repair { .. });
        let id = (!optional).then_some(frame.id);
        let mut bytes = BytesMut::with_capacity(256);
        frame.encode(&mut bytes);
        let frame = bytes.split_off(4).freeze();
        self.desk.out.borrow_mut().push(Sent { to, frame, put, id });
        if put.is_some() {
            self.overfill(to, epoch);
        }
        true
    }

    fn sweep(&mut self, is_awaited: &mut dyn FnMut(u64) -> bool) -> Vec<(NodeId, u64)> {
        let mut in_transit = self.desk.in_transit.borrow_mut();
        let taken_back = in_transit.sweep(self.desk.at.get(), is_awaited);
        for _request in &taken_back {
            self.site.saw(CoverageEvent::TakenBack);
        }
        taken_back
    }

    fn members(&mut self, topology: &Topology) {
        let members = topology.members().map(|member| member.id).collect();
        *self.desk.members.borrow_mut() = Some(members);
    }
}

impl CallerEnv {
    /// Whether it has no permit for an optional frame.
    fn turns_away(&mut self) -> bool {
        let away = self.desk.crowded.get() && happens(&mut self.rng, CROWDED);
        self.desk
            .turned_away
            .set(self.desk.turned_away.get() + u64::from(away));
        away
    }

    /// Sends a repair besides that fills a record up, now and then, if it is that sort of client.
    fn overfill(&mut self, to: NodeId, epoch: Epoch) {
        if !self.desk.overfills.get() || !happens(&mut self.rng, OVERFILLS) {
            return;
        }
        let sent = self.desk.overfilled.get() + 1;
        self.desk.overfilled.set(sent);
        let frame = overfill::repair(&mut self.rng, self.desk.wall.get(), (sent, epoch));
        let (put, id) = (None, None);
        self.desk.out.borrow_mut().push(Sent { to, frame, put, id });
    }
}

/// The way to one node.
#[derive(Debug)]
pub struct Wire {
    /// Which connection is or was the last: what comes from an older one is dropped.
    pub connection: u32,
    /// How it is.
    pub link: Link,
    /// Frames that wait for the first connection.
    pub waiting: Vec<Sent>,
    /// How often in a row no connection could be made.
    pub tries: u32,
    /// Whether the node is a member, as far as the client knows.
    pub is_wanted: bool,
}

/// One life of one client.
pub struct Caller {
    id: ClientId,
    client: Client,
    driver: Driver<CallerEnv>,
    desk: Rc<Desk>,
    /// The way to each node, by number.
    pub wires: Vec<Wire>,
    /// When the driver is to be called next, if that is planned.
    pub ticks: Option<Moment>,
    base: Millis,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Caller {
    /// A client that has just started; `None` if its settings are refused.
    #[must_use]
    pub fn start(
        id: ClientId,
        builder: ClientBuilder,
        (ring, nodes): (&Ring, usize),
        site: &Rc<Site>,
        rng: SmallRng,
        clock: (Millis, Moment, i64),
    ) -> Option<Self> {
        let (base, now, offset_ms) = clock;
        let desk = Rc::new(Desk {
            at: Cell::default(),
            wall: Cell::default(),
            crowded: Cell::default(),
            turned_away: Cell::default(),
            overfills: Cell::default(),
            overfilled: Cell::default(),
            minted: RefCell::default(),
            out: RefCell::default(),
            members: RefCell::default(),
            in_transit: RefCell::default(),
        });
        set_clocks(&desk, base, now, offset_ms);
        let env = CallerEnv {
            id,
            desk: Rc::clone(&desk),
            site: Rc::clone(site),
            rng,
        };
        let (client, driver) = builder.drive(ring.clone(), env).ok()?;
        let wire = |_| Wire {
            connection: 0,
            link: Link::Opening,
            waiting: Vec::new(),
            tries: 0,
            is_wanted: false,
        };
        Some(Self {
            id,
            client,
            driver,
            desk,
            wires: (0..nodes).map(wire).collect(),
            ticks: None,
            base,
        })
    }

    /// Its identity.
    #[must_use]
    pub const fn id(&self) -> ClientId {
        self.id
    }

    /// The handle that its tasks use.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Its driver, with its clocks set.
    pub fn driver(&mut self, now: Moment, offset_ms: i64) -> &mut Driver<CallerEnv> {
        set_clocks(&self.desk, self.base, now, offset_ms);
        &mut self.driver
    }

    /// The nodes that its driver wants links to, if that has changed.
    pub fn new_members(&self) -> Option<Vec<NodeId>> {
        self.desk.members.borrow_mut().take()
    }

    /// Whether callers have left something that the driver has not taken in.
    #[must_use]
    pub fn has_submissions(&self) -> bool {
        self.driver.has_submissions()
    }

    /// Its table of the keys that it wrote holds so many, if few.
    pub fn watch_minted(&self, most: Option<usize>) {
        self.desk.minted.replace(most.map(MintedKeys::new));
    }

    /// Sets whether there are permits for repairs.
    pub fn set_crowded(&self, crowded: bool) {
        self.desk.crowded.set(crowded);
    }

    /// How many repairs were turned away.
    #[must_use]
    pub fn turned_away(&self) -> u64 {
        self.desk.turned_away.get()
    }

    /// Sets whether it fills records up.
    pub fn set_overfills(&self, overfills: bool) {
        self.desk.overfills.set(overfills);
    }

    /// How many repairs it has sent to that end.
    #[must_use]
    pub fn overfilled(&self) -> u64 {
        self.desk.overfilled.get()
    }

    /// When the driver wants to be called, if that is not planned yet or earlier than planned.
    pub fn new_tick(&mut self) -> Option<Moment> {
        let next = self.driver.next_tick()?;
        if self.ticks.is_some_and(|planned| planned <= next) {
            return None;
        }
        self.ticks = Some(next);
        Some(next)
    }

    /// Takes the frames that are to leave.
    pub fn take_frames(&mut self, into: &mut Vec<Sent>) {
        into.append(&mut self.desk.out.borrow_mut());
    }

    /// A request that may be taken back is on its way to a node.
    pub fn sent(&self, request: (NodeId, u64), arrives: Moment, now: Moment) {
        let mut in_transit = self.desk.in_transit.borrow_mut();
        in_transit.sent(request, arrives, now);
    }

    /// Whether the request in this frame to a node was taken back on its way.
    #[must_use]
    pub fn has_taken_back(&self, to: NodeId, frame: &Bytes) -> bool {
        let in_transit = self.desk.in_transit.borrow();
        if in_transit.all_arrive() {
            return false;
        }
        let frame = RequestFrame::decode(frame.clone());
        frame.is_ok_and(|frame| in_transit.was_taken_back(to, frame.id))
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.driver.is_idle() && !self.has_submissions()
    }
}

fn set_clocks(desk: &Desk, base: Millis, now: Moment, offset_ms: i64) {
    desk.at.set(Moment(now.0));
    let right = base.0 + now.0 / 1_000;
    desk.wall
        .set(Millis(right.saturating_add_signed(offset_ms)));
}
