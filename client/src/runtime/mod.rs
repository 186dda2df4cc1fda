//! The real runtime: one thread that does all I/O of a client.
//!
//! ```text
//!   any thread, any runtime          the client's own thread "quoit-io"
//!   Client ... CallerEnd  --> inbox --> Driver <-> Coordinator
//!                                           |   ^
//!                                      Env::send | frames, links, time
//!                                           v   |
//!                                         one link per node
//! ```
//!
//! The thread runs a single-threaded runtime of its own, so that the hot path has no lock and no hop, and does
//! not depend on how the application runs its tasks. Callers wake it only when its inbox was empty; answers
//! go back through each caller's reply channel.
//!
//! Invariant: no caller waits for ever. If any task panics, the thread ends and drops the driver with all
//! operations, so that every caller learns that the client is closed.

mod env;
mod io;
#[cfg(test)]
mod tests;

use quoit_ring::NodeId;
use quoit_ring::wire::{MAX_FRAME, NodeStatus};
use quoit_transport::dial::Dialer;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::bridge::{Alive, CallerEnd, bridge};
use crate::client::PERMIT_BYTES;
use crate::config::ClientBuilder;
use crate::error::ConnectError;
use crate::tls::ClientTls;
use crate::transport::{Bounds, fetch_known, fetch_status};

use self::io::Io;

/// A node may answer with this many values in one record before its answer is passed over.
const VALUES_PER_FRAME: usize = 64;
/// Frames up to this size are taken whatever `max_value_bytes` is: maps, and values of other clients.
const LEAST_MAX_FRAME: usize = 8 << 20;
/// Bytes of a frame beside its values: contexts, headers, checksums.
const AROUND_VALUES: usize = 1 << 20;
/// Bytes of requests that one unit of `max_in_flight` stands for: of key and value, and what is around them.
const UNIT_BYTES: usize = PERMIT_BYTES + 512;

/// Starts the thread, which fetches the ring and opens a link to each node, and returns the callers' end.
/// Works on any async runtime. Dropping the future ends the thread.
///
/// # Errors
/// [`ConnectError`] if the certificates cannot be used, no seed gave its map in time, or the system
/// gives no thread or socket; the thread is gone then.
pub(crate) async fn connect(builder: ClientBuilder) -> Result<CallerEnd, ConnectError> {
    let (ready, started) = oneshot::channel();
    std::thread::Builder::new()
        .name("quoit-io".into())
        .spawn(move || run(builder, ready))
        .map_err(ConnectError::System)?;
    let panicked = || std::io::Error::other("the client's thread panicked");
    started
        .await
        .unwrap_or_else(|_gone| Err(ConnectError::System(panicked())))
}

/// The status of one node at its address, asked by a thread of its own that ends with it.
///
/// # Errors
/// As [`connect`]; no answer is [`ConnectError::NoSeedAnswered`].
pub(crate) async fn status_at(
    builder: ClientBuilder,
    address: String,
    node: NodeId,
) -> Result<NodeStatus, ConnectError> {
    let (answer, answered) = oneshot::channel();
    let ask = move || {
        let files = builder.tls.as_ref().ok_or(ConnectError::NoCertificates)?;
        let dialer = Dialer::new(ClientTls::load(files)?.client_config());
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ConnectError::System)?;
        let asked = fetch_status(&dialer, (&address, node), builder.connect_timeout);
        let status = runtime.block_on(asked);
        runtime.shutdown_background();
        status.map_err(|why| ConnectError::NoSeedAnswered {
            tried: vec![(address, why)],
        })
    };
    std::thread::Builder::new()
        .name("quoit-status".into())
        .spawn(move || drop(answer.send(ask())))
        .map_err(ConnectError::System)?;
    let panicked = || std::io::Error::other("the thread panicked");
    answered
        .await
        .unwrap_or_else(|_gone| Err(ConnectError::System(panicked())))
}

/// The callers' end, or why the thread did not start.
type Started = Result<CallerEnd, ConnectError>;

/// The thread.
fn run(builder: ClientBuilder, ready: oneshot::Sender<Started>) {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            drop(ready.send(Err(ConnectError::System(error))));
            return;
        }
    };
    let local = LocalSet::new();
    let alive = local.block_on(&runtime, serve(builder, ready));
    drop(local);

    // Does not wait for a name that is still being resolved.
    runtime.shutdown_background();
    // Last: `close` waits for the end of this thread.
    drop(alive);
}

/// Runs the client; returns the handle whose drop completes `close`.
async fn serve(builder: ClientBuilder, mut ready: oneshot::Sender<Started>) -> Option<Alive> {
    let started = tokio::select! {
        biased;
        () = ready.closed() => return None,
        started = start(builder) => started,
    };

    let (callers, alive, io) = match started {
        Ok(started) => started,
        Err(error) => {
            drop(ready.send(Err(error)));
            return None;
        }
    };
    if ready.send(Ok(callers)).is_ok() {
        io.run().await;
    }
    Some(alive)
}

/// Everything up to the first operation: certificates, map, ring, links.
async fn start(builder: ClientBuilder) -> Result<(CallerEnd, Alive, Io), ConnectError> {
    let Some(files) = &builder.tls else {
        return Err(ConnectError::NoCertificates);
    };
    let dialer = std::rc::Rc::new(Dialer::new(ClientTls::load(files)?.client_config()));
    let bounds = bounds(&builder);
    let fetched = fetch_known(
        &dialer,
        &builder.seeds,
        builder.connect_timeout,
        bounds.max_frame,
    );
    let known = fetched
        .await
        .map_err(|tried| ConnectError::NoSeedAnswered { tried })?;

    let (callers, end) = bridge(known.topology());
    let alive = end.alive();
    let io = Io::new(end, builder.settings(), known, dialer, bounds);
    Ok((callers, alive, io))
}

fn bounds(builder: &ClientBuilder) -> Bounds {
    let values = builder
        .limits
        .max_value_bytes
        .saturating_mul(VALUES_PER_FRAME);
    let max_frame = values.max(LEAST_MAX_FRAME).saturating_add(AROUND_VALUES);
    // An operation takes as many units as there are at most, however long its value is.
    let longest = builder.limits.max_value_bytes + AROUND_VALUES;
    let under_way = builder.limits.max_in_flight.saturating_mul(UNIT_BYTES);
    Bounds {
        max_frame: max_frame.min(MAX_FRAME),
        max_outbox: under_way
            .max(longest)
            .saturating_add(builder.limits.max_background_bytes),
    }
}
