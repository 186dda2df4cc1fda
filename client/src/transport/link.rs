//! One member's connection, made again whenever it ends.
//!
//! ```text
//!             dialled                 ended
//!   Opening ----------> Up ------------------------> Down --.
//!      |                 ^                            ^  |  | dial fails: back-off
//!      `-- dial fails ---|----------------------------'  |<-'
//!                        `------- dialled ---------------'
//! ```
//!
//! Each change is reported once. The node has to prove its identity at each connection, so another node
//! at a reused address is never taken for it. Back-off starts anew once the node has answered anything:
//! a node that lets clients in and turns them away again is not dialled in a loop.

use core::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};
use quoit_ring::wire::RequestFrame;
use quoit_ring::{Member, role};
use rand::RngCore as _;
use rand::rngs::SmallRng;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::outbox::Outbox;
use super::queued::clock;
use super::quic::{Dialer, NOBODY, code};
use super::silence::silent;
use super::streams::{self, Ended, Hearing, LANE_PRIORITY};
use super::{Bounds, Ears};
use crate::env::Link;

/// How long one attempt to connect may take.
const ATTEMPT: Duration = Duration::from_secs(1);
/// How long what is written may take to arrive before a link that is no longer needed is closed.
const FLUSH: Duration = Duration::from_secs(1);
/// How often it is looked whether the close has been sent, and how many times.
const CLOSE_POLL: (Duration, u32) = (Duration::from_millis(1), 20);

/// The driver's end of a link.
#[derive(Debug)]
pub(crate) struct LinkHandle {
    address: String,
    outbox: Rc<Outbox>,
    abort: AbortHandle,
}

impl LinkHandle {
    /// Starts a link to `member` as one of `tasks`; inside a [`tokio::task::LocalSet`]. The task ends
    /// some time after [`LinkHandle::finish`], and before that only by a panic.
    pub(crate) fn open<E: Ears>(
        member: &Member,
        dialer: &Rc<Dialer>,
        ears: E,
        bounds: Bounds,
        rng: SmallRng,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let outbox = Rc::new(Outbox::new(bounds.max_outbox, clock));
        let address = &member.address;
        let link = OneLink {
            hearing: Hearing {
                node: member.id,
                ears,
                heard: Rc::new(Cell::new(false)),
            },
            address: address.clone(),
            dialer: Rc::clone(dialer),
            outbox: Rc::clone(&outbox),
            max_frame: bounds.max_frame,
            rng,
        };
        Self {
            address: address.clone(),
            outbox,
            abort: tasks.spawn_local(link.run()),
        }
    }

    /// Where the node is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Queues a frame; drops it if there is no connection. False if it is a repair for which there is no
    /// room now.
    pub(crate) fn send(&self, frame: &RequestFrame) -> bool {
        self.outbox.push(frame)
    }

    /// The link is no longer needed: what is queued is written, then the connection is closed.
    pub(crate) fn finish(&self) {
        self.outbox.finish();
        if self.outbox.link() != Link::Up {
            self.abort.abort();
        }
    }
}

struct OneLink<E> {
    hearing: Hearing<E>,
    address: String,
    dialer: Rc<Dialer>,
    outbox: Rc<Outbox>,
    max_frame: usize,
    rng: SmallRng,
}

impl<E: Ears> OneLink<E> {
    async fn run(mut self) {
        let node = self.hearing.node;
        self.hearing.ears.link(node, Link::Opening);
        let mut backoff = Backoff::default();
        loop {
            match self.connect().await {
                Ok((connection, lane)) => {
                    let ended = self.serve(connection, lane).await;
                    tracing::info!(%node, address = %self.address, "connection over: {ended}");
                }
                Err(why) => {
                    tracing::debug!(%node, address = %self.address, "no connection: {why}");
                }
            }
            if self.outbox.is_finished() {
                return;
            }
            if self.outbox.down() {
                self.hearing.ears.link(node, Link::Down);
            }
            if self.hearing.heard.take() {
                backoff.reset();
            }
            sleep(backoff.pause(self.rng.next_u64())).await;
        }
    }

    async fn connect(&self) -> Result<(Connection, (SendStream, RecvStream)), String> {
        let name = role::server_name(self.hearing.node);
        let attempt = async {
            let connection = self.dialer.dial(&self.address, &name).await?;
            let lane = connection.open_bi().await?;
            Ok((connection, lane))
        };
        match timeout(ATTEMPT, attempt).await {
            Ok(result) => result.map_err(|error: super::quic::DialError| error.to_string()),
            Err(_elapsed) => Err(NOBODY.to_owned()),
        }
    }

    /// Moves frames until the connection is over; nothing of it is left then.
    async fn serve(&self, connection: Connection, lane: (SendStream, RecvStream)) -> Ended {
        let node = self.hearing.node;
        tracing::info!(%node, address = %self.address, "connected");
        if lane.0.set_priority(LANE_PRIORITY).is_err() {
            return Ended::Cut("too early");
        }
        self.outbox.up();
        self.hearing.ears.link(node, Link::Up);
        let mut tasks = self.spawn(&connection, lane);
        let ended = tokio::select! {
            biased;
            ended = last(&connection, &mut tasks) => ended,
            () = self.outbox.overflowed() => Ended::Overflowed,
            () = silent(&connection) => Ended::Silent,
            () = self.flushed_late() => Ended::Finished,
        };
        let ended = if self.outbox.is_finished() {
            Ended::Finished
        } else {
            ended
        };
        close(&connection, &ended).await;
        tasks.shutdown().await;
        ended
    }

    fn spawn(
        &self,
        connection: &Connection,
        (lane_out, lane_in): (SendStream, RecvStream),
    ) -> JoinSet<Result<(), Ended>> {
        let (outbox, connection) = (&self.outbox, || connection.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn_local(streams::read_lane(self.hearing.clone(), lane_in));
        let hearing = || self.hearing.clone();
        tasks.spawn_local(streams::write_lane(hearing(), Rc::clone(outbox), lane_out));
        tasks.spawn_local(streams::write_large(
            hearing(),
            Rc::clone(outbox),
            connection(),
        ));
        tasks.spawn_local(streams::read_large(
            self.hearing.clone(),
            connection(),
            self.max_frame,
        ));
        tasks
    }

    /// Resolves when the link is no longer needed and its last frames had time enough to arrive.
    async fn flushed_late(&self) {
        self.outbox.finished().await;
        sleep(FLUSH).await;
    }
}

/// Waits for the first task that fails, or for both writers to have written all. A node that is
/// leaving closes the connection itself once it has sent its last large answers.
async fn last(connection: &Connection, tasks: &mut JoinSet<Result<(), Ended>>) -> Ended {
    let mut writers = 2;
    while let Some(done) = tasks.join_next().await {
        match streams::joined(done) {
            Ok(()) if writers > 1 => writers -= 1,
            Ok(()) => break,
            Err(Ended::Leaving) => {
                let closed = timeout(FLUSH, connection.closed()).await;
                return closed.map_or(Ended::Leaving, Ended::Lost);
            }
            Err(ended) => return ended,
        }
    }
    Ended::Finished
}

/// Closes a connection, and sees the close off if it is a farewell.
async fn close(connection: &Connection, ended: &Ended) {
    let code = match ended {
        Ended::Finished | Ended::Leaving | Ended::Lost(_) | Ended::Overflowed | Ended::Silent => {
            code::DONE
        }
        Ended::Cut(_) | Ended::Malformed(_) => code::MALFORMED,
    };
    connection.close(code, b"");
    let (pause, times) = CLOSE_POLL;
    for _ in 0..times {
        if connection.stats().frame_tx.connection_close > 0 {
            return;
        }
        sleep(pause).await;
    }
}
