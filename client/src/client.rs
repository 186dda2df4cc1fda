//! The client handle: get, put, delete, and no decisions.
//!
//! ```text
//!   client.put(key, value).context(..)      a builder; nothing happens yet
//!          .await --check--> a permit? --submit--> the driver: mint, route, send
//!                                   `- waits here while `max_in_flight` are under way
//! ```
//!
//! Every clone is the same client. Keys and values out of bounds are refused here, without a request. R, W,
//! deadline and time to live are checked where the operation starts, against the ring of that moment. Left
//! out: every decision (`operation`, `quorum`).
//!
//! Source: Dynamo (2007), section 6.4: a client that coordinates saves each request a hop.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::change::{Known, Topology};
use quoit_ring::placement::Ring;
use quoit_ring::wire::{Kept, MAX_KEY, NodeStatus, Request, Response};
use quoit_ring::{ClusterMap, Epoch, Member, NodeId, Token};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::bridge::{CallerEnd, bridge};
use crate::builders::{self, Delete, Get, Put};
use crate::config::{ClientBuilder, Defaults, Limits};
use crate::driver::Driver;
use crate::entry::Written;
use crate::env::Env;
use crate::error::{ConnectError, InvalidRequest, NodeError, OTHER_QUESTION, Outcome, WriteError};
use crate::health::HealthReport;
use crate::metrics::Kind;
use crate::operation::Submission;
use crate::operation::ask::{self, NodeAnswer};
use crate::operation::plan::Plan;
use crate::operation::requests::Caller;
use crate::operation::write::Content;
use crate::reply::{self, Answer};
use crate::runtime;
use crate::trace::Trace;

/// Bytes of a value that count as one more operation under way.
pub(crate) const PERMIT_BYTES: usize = 16 << 10;

/// A connection to a whole cluster: cheap to clone, shared by any number of tasks, on any runtime.
///
/// It has one thread, and one connection to each node. Make one per process and clone it. A client made by
/// [`ClientBuilder::drive`] has neither: its owner drives it.
///
/// # Defects
/// A panic on that thread ends the client, and never the process, which is the application's: it is logged as an error,
/// all who wait get [`ReadError::Closed`](crate::ReadError::Closed), [`WriteError::Closed`] or [`WriteError::Abandoned`]
/// at once, and so does whoever comes later. It may be a defect of this library, or of code that it calls there: a
/// waker, a recorder of metrics, a subscriber of logs. A new client may be made in its place.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use quoit_client::Client;
///
/// let client = Client::builder().profile("client.toml").connect().await?;
/// client.put("greeting", "hello").await?;
/// let entry = client.get("greeting").await?;
/// assert_eq!(entry.value().unwrap(), "hello");
/// client.put("greeting", "hello again").context(entry.context()).await?;
/// client.delete("greeting").await?;
/// client.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    callers: CallerEnd,
    permits: Arc<Semaphore>,
    max_permits: u32,
    defaults: Defaults,
    max_value_bytes: usize,
}

/// Where a key lives; made by [`Client::locate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Its place on the circle.
    pub token: Token,
    /// The N nodes that own it, in preference order; all members if they are fewer. While its range moves, those that own
    /// it by the new map as well follow.
    pub owners: Vec<Member>,
    /// The next nodes on the circle that own nothing of the key, nearest first: at most three, and none if all members
    /// own it. A write leaves a hint for an owner that missed it with the first of them that can be reached; one that is
    /// in health, and keeps no other hint of the same write, goes before. If none takes it, an owner that has the write
    /// keeps the hint instead. Reads do not ask fallbacks for values.
    ///
    /// ```
    /// # use quoit_client::{Client, env::{Env, Now}};
    /// # use quoit_ring::wire::RequestFrame;
    /// # use quoit_ring::{ClusterId, ClusterMap, Epoch, Leaf, LeafBits, Member, Millis, Moment, NodeId, TokenKey, change::Topology, placement::Ring};
    /// # struct Nowhere;
    /// # impl Env for Nowhere {
    /// #     fn now(&mut self) -> Now { Now { at: Moment(0), wall: Millis(0), random: 7 } }
    /// #     fn send(&mut self, _to: NodeId, _frame: &RequestFrame) -> bool { false }
    /// #     fn members(&mut self, _topology: &Topology) {}
    /// # }
    /// # let member = |id: u32| Member {
    /// #     id: NodeId(id.into()), name: format!("n{id}"), address: format!("10.0.0.{id}:7440"),
    /// #     zone: "z".into(), weight: 100, vnodes: vec![Leaf(id << 16)],
    /// # };
    /// # let ring = |members: u32| Ring::new(&ClusterMap {
    /// #     cluster: ClusterId(7), epoch: Epoch(1), token_key: TokenKey([2; 16]),
    /// #     leaf_bits: LeafBits::FULL, replication: 3, members: (1..=members).map(member).collect(),
    /// # }).unwrap();
    /// for (members, fallbacks) in [(3, 0), (4, 1), (6, 3), (8, 3)] {
    ///     let ring = ring(members); // three copies of each key
    ///     let (client, _driver) = Client::builder().drive(ring, Nowhere)?;
    ///     let location = client.locate(b"key");
    ///     assert_eq!((location.owners.len(), location.fallbacks.len()), (3, fallbacks));
    ///     assert!(location.fallbacks.iter().all(|node| !location.owners.contains(node)));
    /// }
    /// # Ok::<(), quoit_client::ConnectError>(())
    /// ```
    pub fallbacks: Vec<Member>,
}

/// The hints that one node keeps for others; made by [`Client::hints`].
#[derive(Debug, Clone)]
pub struct HintsReport {
    /// The node.
    pub member: Member,
    /// Keys and bytes kept for each node that missed writes; or why the report failed.
    pub kept: Result<Vec<Kept>, NodeError>,
}

/// The status of one node; made by [`Client::status`].
#[derive(Debug, Clone)]
pub struct NodeReport {
    /// The node.
    pub member: Member,
    /// Its status, or why the request failed.
    pub status: Result<NodeStatus, NodeError>,
}

impl Client {
    /// A builder of a client; [`ClientBuilder`] has the settings.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), quoit_client::ConnectError> {
    /// let client = quoit_client::Client::builder().profile("client.toml").connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    pub(crate) async fn connect(mut builder: ClientBuilder) -> Result<Self, ConnectError> {
        builder.check()?;
        builder.check_network()?;
        let (defaults, limits) = (builder.defaults, builder.limits);
        Ok(Self::over(
            runtime::connect(builder).await?,
            defaults,
            limits,
        ))
    }

    pub(crate) fn drive<E: Env>(
        mut builder: ClientBuilder,
        ring: Ring,
        env: E,
    ) -> Result<(Self, Driver<E>), ConnectError> {
        builder.check()?;
        let known = Known::of(ring);
        let (callers, end) = bridge(known.topology());
        let settings = builder.settings();
        let client = Self::over(callers, builder.defaults, builder.limits);
        Ok((client, Driver::new(end, settings, known, env)))
    }

    fn over(callers: CallerEnd, defaults: Defaults, limits: Limits) -> Self {
        let units = limits.max_in_flight;
        let shared = Shared {
            callers,
            permits: Arc::new(Semaphore::new(units)),
            max_permits: u32::try_from(units).unwrap_or(u32::MAX),
            defaults,
            max_value_bytes: limits.max_value_bytes,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Reads a key of 1 to 32,768 bytes. By default a majority of its replicas answers, and enough replicas
    /// hold the result that no later read goes back behind it. [`Get`] has the options.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let entry = client.get("key").r(2).await?;
    /// match entry.siblings() {
    ///     [] => println!("absent"),
    ///     [only] => println!("{:?}", only.bytes),
    ///     several => println!("{} siblings", several.len()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Awaiting it gives a [`ReadError`](crate::ReadError). No value was changed; a repair may have copied what
    /// was there to other replicas.
    pub fn get(&self, key: impl Into<Bytes>) -> Get {
        Get::new(self.clone(), key.into())
    }

    /// Writes a key of 1 to 32,768 bytes. Without a context it replaces whatever was there; with one,
    /// exactly what was read. By default a majority of its replicas has stored it when this returns.
    /// [`Put`] has the options.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let seen = client.get("key").await?;
    /// client.put("key", "value").context(seen.context()).w(3).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Awaiting it gives a [`WriteError`], which says whether the write may exist.
    pub fn put(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Put {
        Put::new(self.clone(), key.into(), value.into())
    }

    /// Deletes a key: a write without a value, with the same promises. Without a context it deletes
    /// whatever is there. Deleting an absent key is no error. [`Delete`] has the options.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// client.delete("key").await?;
    /// assert!(client.get("key").await?.is_absent());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Awaiting it gives a [`WriteError`], which says whether the delete may exist.
    pub fn delete(&self, key: impl Into<Bytes>) -> Delete {
        Delete::new(self.clone(), key.into())
    }

    /// Sends a write again that failed with an outcome that is not [`Stored::No`](crate::Stored::No): the very same
    /// write, under the same dot and with the settings it had. Where it was stored already it changes nothing, and what
    /// others wrote since then stays. A second put would be another write: with a context it would leave the value
    /// twice, without one it would replace what came in between.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// let page = client.get("page:7").await?;
    /// let mut result = client.put("page:7", "edited").context(page.context()).await;
    /// for pause in [100, 400, 1_600].map(Duration::from_millis) {
    ///     match result {
    ///         Err(error) if error.can_retry() => {
    ///             tokio::time::sleep(pause).await;
    ///             result = client.retry(error).await;
    ///         }
    ///         _ => break,
    ///     }
    /// }
    /// let written = result?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It works on any client of the same cluster. A node takes no write that is older than its `max_write_age`, 60 s by
    /// default: from then on only a read tells what became of the write ([`WriteError::can_retry`]).
    ///
    /// The write keeps its first stamp, and the lifetime that began with it: a value that is over by now is written all
    /// the same, and nobody reads it. It is never minted above what superseded it. Where clocks differ, one that
    /// failed on too few replicas and is sent again may have been overwritten meanwhile by a write that was acknowledged
    /// before it began, and still be reported as written.
    ///
    /// # Errors
    /// A [`WriteError`] that carries the write again, with what is known of it by now: what may be stored stays so. If a
    /// later write has superseded it at so many replicas that W cannot have it any more, that is
    /// [`Unknown`](WriteError::Unknown) (or `UnderReplicated`) for good, with [`Outcome::Superseded`] at each of them: it
    /// was stored and overwritten, or never. An error that carries no write comes back as it is, and so does any if
    /// nothing could be sent: on a closed client, on one with smaller limits, or on one whose clock is further behind the
    /// write than it may be. Of two retries of one error at once, neither knows what the other reaches.
    pub async fn retry(&self, error: WriteError) -> Result<Written, WriteError> {
        let Some(sent) = error.write().and_then(|write| write.clone().into_sent()) else {
            return Err(error);
        };
        let plan = sent.plan;
        match builders::write(self.clone(), Content::Sent(sent), plan).await {
            // Not "nothing was sent": that is true of this attempt, and not of the write.
            Err(WriteError::Invalid(_) | WriteError::Closed) => Err(error),
            Err(WriteError::Abandoned) => Err(error.left_open()),
            result => result,
        }
    }

    /// Where a key lives, according to the ring that this client holds. Sends no request, and says nothing about
    /// whether the owners are alive.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// for owner in client.locate(b"key").owners {
    ///     println!("{} at {}", owner.name, owner.address);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn locate(&self, key: &[u8]) -> Location {
        let topology = self.topology();
        let token = topology.token_of(key);
        let lists = topology.lists(token);
        let members = |ids: &mut dyn Iterator<Item = NodeId>| {
            ids.filter_map(|id| topology.member(id).cloned()).collect()
        };
        Location {
            token,
            owners: members(&mut lists.owners()),
            fallbacks: members(&mut lists.fallbacks()),
        }
    }

    /// Asks all nodes for their status at once. A node that does not answer within 2 s, or the client's
    /// deadline if that is less, is reported as such. In the order of the map.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// for node in client.status().await {
    ///     println!("{}: {:?}", node.member.name, node.status);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn status(&self) -> Vec<NodeReport> {
        let status = |response| match response {
            Response::Status(status) => Ok(*status),
            other => Err(not_an_answer(&other)),
        };
        let answers = self.ask_all(&Request::Status, status).await;
        let report = |(member, status)| NodeReport { member, status };
        answers.into_iter().map(report).collect()
    }

    /// Asks all nodes at once for the hints that they keep: writes that other nodes missed and get when they are back.
    /// A node that does not answer within 2 s, or the client's deadline if that is less, is reported as such. In the
    /// order of the map.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) {
    /// let reports = client.hints().await;
    /// let kept = reports.iter().flat_map(|node| node.kept.iter().flatten());
    /// println!("{} keys wait to be delivered", kept.map(|kept| kept.count).sum::<u64>());
    /// # }
    /// ```
    pub async fn hints(&self) -> Vec<HintsReport> {
        let kept = |response| match response {
            Response::Hints(kept) => Ok(kept),
            other => Err(not_an_answer(&other)),
        };
        let answers = self.ask_all(&Request::Hints, kept).await;
        let report = |(member, kept)| HintsReport { member, kept };
        answers.into_iter().map(report).collect()
    }

    /// The health of the nodes as this client's own requests show it, with counts of hedges, ejections and repairs.
    /// Sends no request; `None` once the client is closed.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) -> Option<()> {
    /// let health = client.health().await?;
    /// println!("{} hedged reads, {} of them won", health.hedges, health.hedges_won);
    /// for node in health.nodes.iter().filter(|node| node.ejected) {
    ///     println!("{} does not answer", node.node);
    /// }
    /// # Some(())
    /// # }
    /// ```
    pub async fn health(&self) -> Option<HealthReport> {
        let (caller, answer) = self.admit(Kind::Ask, 0, None).await?;
        if !self.submit(Submission::Health(caller)) {
            return None;
        }
        answer.await
    }

    /// A copy of the cluster map this client holds: the newest that it has fetched.
    #[must_use]
    pub fn map(&self) -> ClusterMap {
        self.topology().source().map().clone()
    }

    /// Waits for operations under way, at most until their deadlines, closes the connections and stops the
    /// client's thread. Later operations of any clone fail as closed. May be called more than once.
    /// Dropping the last clone does the same without waiting.
    ///
    /// For a client made by [`ClientBuilder::drive`] it refuses later operations at once and returns when the
    /// owner drops the [`Driver`], which it should do once [`Driver::is_finished`] is true.
    ///
    /// ```no_run
    /// # async fn example(client: quoit_client::Client) {
    /// use quoit_client::ReadError;
    ///
    /// client.close().await;
    /// assert_eq!(client.get("key").await.unwrap_err(), ReadError::Closed);
    /// # }
    /// ```
    pub async fn close(&self) {
        self.shared.callers.close().await;
    }

    pub(crate) fn topology(&self) -> Topology {
        self.shared.callers.topology()
    }

    pub(crate) fn read_plan(&self) -> Plan {
        let repair = self.shared.defaults.repair;
        Plan {
            repair,
            ..self.plan(self.shared.defaults.r)
        }
    }

    pub(crate) fn write_plan(&self) -> Plan {
        self.plan(self.shared.defaults.w)
    }

    fn plan(&self, count: Option<u8>) -> Plan {
        let Defaults {
            consistency,
            sloppy,
            deadline,
            ..
        } = self.shared.defaults;
        Plan {
            consistency,
            count,
            sloppy,
            deadline,
            repair: None,
        }
    }

    pub(crate) fn check_key(&self, key: &Bytes) -> Result<(), InvalidRequest> {
        match key.len() {
            0 => Err(InvalidRequest::EmptyKey),
            1..=MAX_KEY => Ok(()),
            bytes => Err(InvalidRequest::LongKey { bytes }),
        }
    }

    pub(crate) fn check_value(&self, value: Option<&Bytes>) -> Result<(), InvalidRequest> {
        let (bytes, max) = (value.map_or(0, Bytes::len), self.shared.max_value_bytes);
        if bytes > max {
            return Err(InvalidRequest::LargeValue { bytes, max });
        }
        Ok(())
    }

    /// Waits for a permit for an operation with a key and value of `bytes`; `None` if the client is closed.
    pub(crate) async fn admit<T: Send + 'static>(
        &self,
        kind: Kind,
        bytes: usize,
        trace: Option<Box<Trace>>,
    ) -> Option<(Caller<T>, Answer<T>)> {
        let permit = self.permit(self.permits_for(bytes)).await?;
        let (reply, answer) = reply::channel();
        let caller = Caller {
            kind,
            reply,
            permit,
            trace,
        };
        Some((caller, answer))
    }

    /// How many permits there are.
    pub(crate) fn max_permits(&self) -> u32 {
        self.shared.max_permits
    }

    /// How many permits an operation with a key and value of `bytes` takes.
    pub(crate) fn permits_for(&self, bytes: usize) -> u32 {
        let permits = u32::try_from(1 + bytes / PERMIT_BYTES).unwrap_or(u32::MAX);
        permits.min(self.shared.max_permits)
    }

    /// Waits for so many permits; `None` if the client is closed.
    pub(crate) async fn permit(&self, permits: u32) -> Option<OwnedSemaphorePermit> {
        let of = Arc::clone(&self.shared.permits);
        of.acquire_many_owned(permits).await.ok()
    }

    /// So many permits, if they are there and nobody waits for them.
    pub(crate) fn try_permit(&self, permits: u32) -> Option<OwnedSemaphorePermit> {
        let of = Arc::clone(&self.shared.permits);
        of.try_acquire_many_owned(permits).ok()
    }

    /// Hands several operations over, of which none is left then; false if the client is closed.
    pub(crate) fn submit_all(&self, submissions: &mut Vec<Submission>) -> bool {
        self.shared.callers.submit_all(submissions)
    }

    /// Hands an operation over; false if the client is closed.
    pub(crate) fn submit(&self, submission: Submission) -> bool {
        self.shared.callers.submit(submission)
    }

    /// How long an operation may take by default.
    pub(crate) fn deadline(&self) -> Duration {
        self.shared.defaults.deadline
    }

    /// N.
    pub(crate) fn copies(&self) -> u8 {
        let topology = self.topology();
        let ring = topology.source();
        let members = u8::try_from(ring.members().len()).unwrap_or(u8::MAX);
        ring.map().replication.min(members)
    }

    /// Asks all nodes at once, and takes what they answer; in the order of the map.
    pub(crate) async fn ask_all<T>(
        &self,
        request: &Request,
        take: impl Fn(Response) -> Result<T, NodeError>,
    ) -> Vec<(Member, Result<T, NodeError>)> {
        let mut asked = Vec::new();
        for member in self.topology().members() {
            asked.push((self.ask(member.id, request.clone()).await, member.clone()));
        }
        let mut answers = Vec::with_capacity(asked.len());
        for (answer, member) in asked {
            let answer = received(answer).await.1;
            answers.push((member, answer.and_then(&take)));
        }
        answers
    }

    pub(crate) async fn ask(&self, node: NodeId, request: Request) -> Option<Answer<NodeAnswer>> {
        self.ask_as_of(None, node, request).await
    }

    /// The same in a frame of that epoch.
    pub(crate) async fn ask_as_of(
        &self,
        epoch: Option<Epoch>,
        node: NodeId,
        request: Request,
    ) -> Option<Answer<NodeAnswer>> {
        let (caller, answer) = self.admit(Kind::Ask, 0, None).await?;
        let question = ask::Submitted {
            node,
            request,
            epoch,
            deadline: self.deadline().min(Duration::from_secs(2)),
            caller,
        };
        self.submit(Submission::Ask(question)).then_some(answer)
    }
}

/// A node's answer, and how long it took.
pub(crate) async fn received(
    answer: Option<Answer<NodeAnswer>>,
) -> (Duration, Result<Response, NodeError>) {
    let closed = || (Duration::ZERO, Err(NodeError::Closed));
    match answer {
        Some(answer) => answer.await.unwrap_or_else(closed),
        None => closed(),
    }
}

/// The error for a response that does not answer its question.
pub(crate) fn not_an_answer(response: &Response) -> NodeError {
    NodeError::Failed(match response {
        Response::Refused(refusal) => Outcome::of_question(*refusal),
        _ => Outcome::Damaged(OTHER_QUESTION),
    })
}
