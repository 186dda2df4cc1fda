//! The real world: one thread that does all input and output of a client.
//!
//! ```text
//!   any thread, any runtime          the client's own thread "quoit-io"
//!   Client ... World::submit --> inbox --> Driver <-> Coordinator
//!                                           |   ^
//!                                      Env::send | frames, links, time
//!                                           v   |
//!                                         one link per node
//! ```
//!
//! The thread runs a single-threaded runtime of its own, so that the hot path has no lock, no hop and
//! no dependence on how the application runs its tasks. Callers wake it only when its inbox was empty;
//! answers go back through each caller's oneshot channel.
//!
//! If a part of the thread panics, the whole thread ends: inbox and operations are dropped, and every
//! caller hears that the client is closed. Nobody waits for ever.

mod env;
mod inbox;
mod io;
#[cfg(test)]
mod tests;

use core::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use quoit_ring::placement::Ring;
use quoit_ring::wire::MAX_FRAME;
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::LocalSet;

use crate::config::ClientBuilder;
use crate::error::ConnectError;
use crate::submission::Submission;
use crate::tls::ClientTls;
use crate::transport::{Bounds, Dialer, fetch_ring};

use self::inbox::Inbox;
use self::io::Io;

/// A node may answer with this many values in one record before its answer is refused.
const VALUES_PER_FRAME: usize = 64;
/// Frames up to this size are taken whatever `max_value_bytes` is: maps, and values of other clients.
const LEAST_MAX_FRAME: usize = 8 << 20;
/// Bytes of a frame beside its values: contexts, heads, checksums.
const AROUND_VALUES: usize = 1 << 20;
/// Bytes of values that one unit of `max_in_flight` stands for.
const UNIT_BYTES: usize = 16 << 10;
/// What an outbox holds beyond what operations under way can have asked for: repairs.
const SPARE_OUTBOX: usize = 16 << 20;

/// The client's end of its I/O thread. Dropping it closes it without waiting.
pub(crate) struct World {
    shared: Arc<Shared>,
    /// Closed by the thread as the last thing it does.
    thread: watch::Receiver<()>,
}

/// What callers and the thread share.
#[derive(Debug)]
struct Shared {
    inbox: Inbox,
    ring: RwLock<Arc<Ring>>,
}

impl World {
    /// Starts the thread, which fetches the ring and opens a link to each node. Needs no runtime of the
    /// caller's. Dropping the future ends the thread.
    ///
    /// # Errors
    /// [`ConnectError`] if the certificates cannot be used, no seed gave its map in time, or the system
    /// gives no thread or socket; the thread is gone then.
    pub(crate) async fn connect(builder: ClientBuilder) -> Result<Self, ConnectError> {
        let (ready, started) = oneshot::channel();
        let (alive, thread) = watch::channel(());
        std::thread::Builder::new()
            .name("quoit-io".into())
            .spawn(move || {
                run(builder, ready);
                drop(alive);
            })
            .map_err(ConnectError::System)?;
        let panicked = || std::io::Error::other("the client's thread panicked");
        let shared = started
            .await
            .unwrap_or_else(|_gone| Err(ConnectError::System(panicked())))?;
        Ok(Self { shared, thread })
    }

    /// Hands an operation over; false if the client is closed.
    pub(crate) fn submit(&self, submission: Submission) -> bool {
        self.shared.inbox.push(submission)
    }

    /// The ring in force.
    pub(crate) fn ring(&self) -> Arc<Ring> {
        self.shared.ring()
    }

    /// Refuses further operations, waits for those under way (their deadlines bound that), closes the
    /// connections and ends the thread. Any number of calls, at once or in turn, do the same.
    pub(crate) async fn close(&self) {
        self.shared.inbox.close();
        let mut thread = self.thread.clone();
        while thread.changed().await.is_ok() {}
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shared.inbox.close();
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("epoch", &self.ring().epoch())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn ring(&self) -> Arc<Ring> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&ring)
    }

    fn set_ring(&self, ring: &Arc<Ring>) {
        let mut held = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        *held = Arc::clone(ring);
    }
}

/// Refuses and drops operations once nobody is there to take them, however the thread ends.
struct Shutter(Arc<Shared>);

impl Drop for Shutter {
    fn drop(&mut self) {
        self.0.inbox.shut();
    }
}

/// The thread.
fn run(builder: ClientBuilder, ready: oneshot::Sender<Result<Arc<Shared>, ConnectError>>) {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            drop(ready.send(Err(ConnectError::System(error))));
            return;
        }
    };
    let local = LocalSet::new();
    local.block_on(&runtime, serve(builder, ready));
    drop(local);
    // a name that is still being resolved is not waited for
    runtime.shutdown_background();
}

async fn serve(
    builder: ClientBuilder,
    mut ready: oneshot::Sender<Result<Arc<Shared>, ConnectError>>,
) {
    let started = tokio::select! {
        biased;
        () = ready.closed() => return,
        started = start(builder) => started,
    };
    let (shared, io) = match started {
        Ok(io) => io,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let _shutter = Shutter(Arc::clone(&shared));
    if ready.send(Ok(shared)).is_ok() {
        io.run().await;
    }
}

/// Everything up to the first operation: certificates, map, ring, links.
async fn start(builder: ClientBuilder) -> Result<(Arc<Shared>, Io), ConnectError> {
    let Some(files) = &builder.tls else {
        return Err(ConnectError::NoCertificates);
    };
    let dialer = std::rc::Rc::new(Dialer::new(ClientTls::load(files)?.client_config()));
    let bounds = bounds(&builder);
    let fetched = fetch_ring(
        &dialer,
        &builder.seeds,
        builder.connect_timeout,
        bounds.max_frame,
    );
    let ring = fetched
        .await
        .map_err(|tried| ConnectError::NoSeedAnswered { tried })?;
    let shared = Arc::new(Shared {
        inbox: Inbox::new(),
        ring: RwLock::new(Arc::new(ring.clone())),
    });
    let io = Io::new(Arc::clone(&shared), ring, dialer, bounds);
    Ok((shared, io))
}

fn bounds(builder: &ClientBuilder) -> Bounds {
    let values = builder.max_value_bytes.saturating_mul(VALUES_PER_FRAME);
    let max_frame = values.max(LEAST_MAX_FRAME).saturating_add(AROUND_VALUES);
    Bounds {
        max_frame: max_frame.min(MAX_FRAME),
        max_outbox: builder.max_in_flight.saturating_mul(UNIT_BYTES) + SPARE_OUTBOX,
    }
}
