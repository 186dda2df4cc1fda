//! Records a history while it happens.
//!
//! ```text
//!   begin ----> the wire shows which op a dot stands for: ----> end
//!               the first frame of a request that was not seen before belongs to the write of its value
//!               that this client began and that has no request yet; of deletes, to the oldest
//! ```
//!
//! A request keeps its number through all its frames, so the further dots of a re-minted write
//! are recorded too. Deletes of one client on one key all say the same, so none begins while another has sent nothing
//! yet: one that waits for clocks would be taken for the later one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use quoit_ring::{Dot, Moment, NodeId};
use smallvec::{SmallVec, smallvec};

use super::{
    Call, ClientId, Family, History, Joined, Key, KeyId, Minted, Op, OpId, Outcome, RegisterCall,
    RegisterCalled, SHARED,
};
use crate::invariants::linearizable::{End, RegisterOp, RegisterRet};

/// A history being written.
#[derive(Debug, Default)]
pub struct Recorder {
    history: History,
    keys: BTreeMap<Bytes, KeyId>,
    /// Writes that began and of which no frame was seen, oldest first.
    unsent: BTreeMap<(ClientId, KeyId), VecDeque<OpId>>,
    /// Which write a client's request is, with its dots.
    requests: BTreeMap<(ClientId, u64), Request>,
    /// Writes of which a frame came twice.
    twice: BTreeSet<OpId>,
    /// Frames with puts: which request each belongs to, and under which dot.
    puts: BTreeMap<(ClientId, NodeId, u64), (u64, Dot)>,
    /// The dots of writes that are sent again.
    again: BTreeMap<(ClientId, Dot), OpId>,
    /// How many operations on keys of conditional writes were asked.
    register_calls: u32,
}

/// A write as it goes out, with every dot it has had.
type Request = (OpId, SmallVec<[Dot; 1]>);

impl Recorder {
    /// An empty history.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of a key; the first call for a name decides its family.
    pub fn key(&mut self, name: &Bytes, family: Family) -> KeyId {
        if let Some(&id) = self.keys.get(name) {
            return id;
        }
        let id = KeyId(u32::try_from(self.history.keys.len()).unwrap_or(u32::MAX));
        let name = name.clone();
        self.keys.insert(name.clone(), id);
        self.history.keys.push(Key { name, family });
        id
    }

    /// An operation is asked.
    pub fn begin(&mut self, op: Op) -> OpId {
        let id = OpId(u32::try_from(self.history.ops.len()).unwrap_or(u32::MAX));
        if op.is_write() {
            let queue = self.unsent.entry((op.client, op.key)).or_default();
            queue.push_back(id);
        }
        self.history.ops.push(op);
        id
    }

    /// An operation returns.
    pub fn end(&mut self, id: OpId, at: Moment, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Refused(why) if self.twice.contains(&id) => Outcome::Unknown(why),
            outcome => outcome,
        };
        let op = &mut self.history.ops[id.0 as usize];
        debug_assert!(op.returned.is_none(), "an operation returns once");
        debug_assert!(op.invoked <= at, "an operation returns after it is invoked");
        op.returned = Some((at, outcome));
        let place = (op.client, op.key);
        if let Some(queue) = self.unsent.get_mut(&place) {
            queue.retain(|&other| other != id); // it ended without a frame
        }
    }

    /// Whether a delete of a client began of which no frame was seen yet.
    #[must_use]
    pub fn has_unsent_delete(&self, client: ClientId, key: &Bytes) -> bool {
        let id = self.keys.get(key);
        let queue = id.and_then(|&key| self.unsent.get(&(client, key)));
        let is_delete =
            |op: &OpId| matches!(self.history.ops[op.0 as usize].call, Call::Delete { .. });
        queue.is_some_and(|queue| queue.iter().any(is_delete))
    }

    /// A frame with a put of `value`, or without one a delete, is sent. `request` is the same in all frames of one write
    /// and in none of another. Whether the write had another dot before.
    pub fn sent(
        &mut self,
        client: ClientId,
        request: u64,
        key: &Bytes,
        value: impl FnOnce() -> Option<Bytes>,
        (dot, at): (Dot, Moment),
    ) -> bool {
        if key.starts_with(SHARED) {
            return false; // their operations are recorded as they are answered
        }
        match self.requests.get_mut(&(client, request)) {
            Some((_, dots)) if dots.contains(&dot) => false,
            Some((op, dots)) => {
                dots.push(dot);
                let op = *op;
                self.mint(op, dot, at);
                true
            }
            None => {
                if let Some(&op) = self.again.get(&(client, dot)) {
                    let request = (client, request);
                    self.requests.insert(request, (op, smallvec![dot]));
                    // Its last dot may have reached no frame before.
                    let is_its = |minted: &Minted| minted.op == op && minted.dot == dot;
                    if !self.history.minted.iter().any(is_its) {
                        self.mint(op, dot, at);
                    }
                    return false;
                }
                let Some(op) = self.take_unsent(client, key, value().as_ref()) else {
                    debug_assert!(false, "a put without an operation");
                    return false;
                };
                self.requests
                    .insert((client, request), (op, smallvec![dot]));
                self.mint(op, dot, at);
                false
            }
        }
    }

    /// A write that failed is sent again: frames of another request, known by its dot.
    pub fn again(&mut self, id: OpId, dot: Dot) {
        let client = self.history.ops[id.0 as usize].client;
        self.again.insert((client, dot), id);
        self.history.retried.insert(id);
    }

    /// A frame of a request, with a put under this dot, goes to a node.
    pub fn put_to(&mut self, frame: (ClientId, NodeId, u64), request: u64, dot: Dot) {
        self.puts.insert(frame, (request, dot));
    }

    /// A node answers that it has joined what came in a frame.
    pub fn joined(&mut self, frame: (ClientId, NodeId, u64)) {
        let (client, node, _) = frame;
        if let Some((request, dot)) = self.puts.remove(&frame)
            && let Some(&(op, _)) = self.requests.get(&(client, request))
        {
            self.history.joined.push(Joined { op, dot, node });
        }
    }

    /// A read that was given a merge function has called it so often, with so many values each time.
    pub fn merged(&mut self, op: OpId, given: Vec<usize>) {
        self.history.merged.insert(op, given);
    }

    /// A write fails, and its error says that so many replicas have it and no others. If a frame came twice, one copy
    /// may have been refused and the other joined, so nothing is expected of it.
    pub fn under_replicated(&mut self, op: OpId, acked: usize) {
        if !self.twice.contains(&op) {
            self.history.under_replicated.insert(op, acked);
        }
    }

    /// A frame of a put arrives twice. One copy may be refused and the other joined, so being refused is no
    /// proof for this write: if that is what the client returns, the write counts as unknown.
    pub fn came_twice(&mut self, client: ClientId, request: u64) {
        if let Some((op, _)) = self.requests.get(&(client, request)) {
            self.twice.insert(*op);
        }
    }

    /// A dot stands for a write.
    pub fn mint(&mut self, op: OpId, dot: Dot, at: Moment) {
        self.history.minted.push(Minted { op, dot, at });
    }

    /// An operation on a key of conditional writes is asked: it counts as unknown until it ends.
    pub fn register_called(
        &mut self,
        key: &Bytes,
        (client, healed): (ClientId, bool),
        op: RegisterOp<u64>,
        at: Moment,
    ) -> RegisterCall {
        let number = self.register_calls;
        self.register_calls += 1;
        let called = RegisterCalled {
            id: OpId(number),
            client: u64::from(client.slot) << 16 | u64::from(client.life),
            called: at.0,
            op,
            end: End::Unknown,
        };
        let calls = self.history.registers.entry(key.clone()).or_default();
        calls.insert(number, called);
        RegisterCall { number, healed }
    }

    /// It ends; none if it surely did nothing.
    pub fn register_ended(
        &mut self,
        key: &Bytes,
        call: RegisterCall,
        end: Option<End<RegisterRet<u64>>>,
    ) {
        let calls = self.history.registers.entry(key.clone()).or_default();
        match end {
            Some(end) => {
                if let Some(called) = calls.get_mut(&call.number) {
                    called.end = end;
                }
            }
            None => {
                calls.remove(&call.number);
            }
        }
    }

    /// What has been written so far.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// What has been written so far, to add the end to.
    pub const fn history_mut(&mut self) -> &mut History {
        &mut self.history
    }

    /// The whole.
    #[must_use]
    pub fn finish(self) -> History {
        self.history
    }

    /// The oldest write of a client on a key that has sent nothing yet and says this.
    fn take_unsent(&mut self, client: ClientId, key: &Bytes, said: Option<&Bytes>) -> Option<OpId> {
        let key = *self.keys.get(key)?;
        let queue = self.unsent.get_mut(&(client, key))?;
        let says = |op: &OpId| match &self.history.ops[op.0 as usize].call {
            Call::Put { value, .. } => Some(value) == said,
            Call::Delete { .. } => said.is_none(),
            Call::Get => false,
        };
        let place = queue.iter().position(says)?;
        queue.remove(place)
    }
}
