//! Random histories of clients and one register: linearizable, for each operation really took effect.
//!
//! ```text
//!   every instant one client    idle -> waiting -> answered -> idle
//!                                 call     takes effect    return
//!                                             '-> adrift: takes effect at any time after, or never;
//!                                                 its client hears nothing and goes on
//! ```
//!
//! Which client and what it asks is drawn from a seed. Half of the compare-and-sets expect what is there.

use rand::Rng as _;
use rand::rngs::SmallRng;
use stateright::semantics::SequentialSpec;

use quoit_integration_tests::history::OpId;
use quoit_integration_tests::invariants::linearizable::{End, Operation, RegisterOp, RegisterRet};

use crate::{History, Op, Ret};

/// What a random history is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) clients: usize,
    pub(crate) operations: u32,
    /// How many values there are; every write has its own if not said.
    pub(crate) values: Option<u16>,
    /// The share of operations whose client never hears of them again.
    pub(crate) unknown: f64,
}

/// Clients and one register: every history of it is linearizable.
pub(crate) struct World {
    rng: SmallRng,
    shape: Shape,
    now: u64,
    register: Cell,
    clients: Vec<Client>,
    /// Given up by their clients, and on their way to the register all the same.
    adrift: Vec<Op>,
    history: History,
}

#[derive(Clone)]
enum Client {
    Idle,
    Waiting { operation: usize },
    Answered { operation: usize, ret: Ret },
}

impl World {
    pub(crate) fn new(rng: SmallRng, shape: Shape) -> Self {
        Self {
            rng,
            shape,
            now: 0,
            register: Cell::default(),
            clients: vec![Client::Idle; shape.clients],
            adrift: Vec::new(),
            history: Vec::new(),
        }
    }

    /// Every instant one client does one thing: call, have its operation take effect, or return.
    pub(crate) fn run(mut self) -> History {
        loop {
            self.now += 1;
            let client = self.rng.random_range(0..self.clients.len());
            let all_called = self.history.len() == self.shape.operations as usize;
            self.clients[client] = match self.clients[client].clone() {
                Client::Idle if !all_called => self.call(client),
                Client::Idle => Client::Idle,
                Client::Waiting { operation } => self.take_effect(operation),
                Client::Answered { operation, ret } => {
                    self.history[operation].end = End::Returned { at: self.now, ret };
                    Client::Idle
                }
            };
            if self.rng.random_bool(0.1) && !self.adrift.is_empty() {
                let next = self.rng.random_range(0..self.adrift.len());
                let op = self.adrift.swap_remove(next);
                self.register.invoke(&op);
            }
            let mut clients = self.clients.iter();
            if all_called && clients.all(|client| matches!(client, Client::Idle)) {
                return self.history;
            }
        }
    }

    fn call(&mut self, client: usize) -> Client {
        let operation = self.history.len();
        let op = self.random_op();
        self.history.push(Operation {
            id: OpId(operation.try_into().unwrap()),
            client: client as u64,
            called: self.now,
            op,
            end: End::Unknown,
        });
        Client::Waiting { operation }
    }

    fn take_effect(&mut self, operation: usize) -> Client {
        let op = self.history[operation].op.clone();
        if self.rng.random_bool(self.shape.unknown) {
            self.adrift.push(op);
            return Client::Idle;
        }
        let ret = self.register.invoke(&op);
        Client::Answered { operation, ret }
    }

    fn random_op(&mut self) -> Op {
        let called = u16::try_from(self.history.len()).unwrap();
        let values = self.shape.values.unwrap_or(called + 1);
        let value = match self.shape.values {
            Some(values) => self.rng.random_range(0..values),
            None => called,
        };
        match self.rng.random_range(0..100) {
            0..40 => RegisterOp::Read,
            40..65 => RegisterOp::Write(value),
            65..70 => RegisterOp::Delete,
            _ => {
                let other = self.rng.random_range(0..values);
                let likely = self.rng.random_bool(0.5);
                RegisterOp::CompareAndSet {
                    expect: if likely { self.register.0 } else { Some(other) },
                    set: Some(value),
                }
            }
        }
    }
}

/// A register once more, as stateright wants it.
#[derive(Clone, Default)]
pub(crate) struct Cell(Option<u16>);

impl SequentialSpec for Cell {
    type Op = Op;
    type Ret = Ret;

    fn invoke(&mut self, op: &Op) -> Ret {
        match op {
            RegisterOp::Read => return RegisterRet::Value(self.0),
            RegisterOp::Write(value) => self.0 = Some(*value),
            RegisterOp::Delete => self.0 = None,
            RegisterOp::CompareAndSet { expect, set } => {
                if self.0 != *expect {
                    return RegisterRet::Kept(self.0);
                }
                self.0 = *set;
                return RegisterRet::Swapped;
            }
        }
        RegisterRet::Done
    }
}
