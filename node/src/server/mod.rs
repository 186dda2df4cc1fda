//! The server: QUIC connections on one thread.
//!
//! ```text
//!   endpoint --accept--> handshake --> role, seat --> connection: lane + large frames --> sessions
//!      bounds:  handshakes | seats | streams, windows | frames | output
//! ```
//!
//! The rules for both ends of a connection are in `quoit-transport`; what it carries, in `quoit-ring`.
//!
//! One current-thread runtime on one thread does all I/O and runs reads inline: handing a read to another
//! thread costs more than the read. No write waits on it for the disk's sync; that is what the committing
//! thread is for. A read may have to wait, all the same, and everything on this thread with it:
//!
//! - A row that is in no cache comes from the disk.
//! - A row that is not in the row cache is looked up in the LSM tree, which holds the lock of its list of tables for
//!   writing while it registers a table that it wrote or merged: five syncs of the disk in a row, whatever
//!   `durability` says. That is a few milliseconds on a disk of its own. If five syncs take two seconds, clients take
//!   the node for dead, ask others, and dial it again.
//!
//! Everything a peer can make a node hold is bounded here or in the frames; TLS decides who may
//! connect, and the handlers what a caller may request.

mod answers;
mod connection;
mod end;
mod guest;
mod handshakes;
mod intake;
mod lane;
mod large;
mod listener;
mod oversize;
mod seats;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use quoit_transport::dial::Dialer;
use quoit_transport::quic::{accept_long_packets, bound_server};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::change::ChangeDriver;
use crate::change::driver::Changes;
use crate::engine::Engine;
use crate::env::Env;
use crate::expiry::ExpiryDriver;
use crate::expiry::driver::Sweeping;
use crate::failure::{Alarm, Failure};
use crate::gossip::GossipDriver;
use crate::gossip::driver::Gossiping;
use crate::handlers::Replica;
use crate::hints::HintDispatcher;
use crate::hints::driver::Delivery;
use crate::peers::driver::PeerWork;
use crate::peers::{Peers, Removal};
use crate::sync::SyncDriver;
use crate::sync::driver::Syncing;

pub(crate) use self::answers::Answers;
use self::connection::leaving_service;
pub(crate) use self::seats::SeatBounds;

const NAME: &str = "quoit-io";

/// How far the server has shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Connections are accepted and served.
    Serving,
    /// None are accepted; each is closed once its answers are delivered.
    Finishing,
    /// Everything is dropped as it is.
    Gone,
}

/// A serving thread.
#[derive(Debug)]
pub(crate) struct Server {
    thread: Option<JoinHandle<()>>,
    phase: watch::Sender<Phase>,
    ended: mpsc::Receiver<()>,
    address: SocketAddr,
}

/// What a server needs beside its replica.
#[derive(Debug)]
pub(crate) struct ServerOptions {
    /// From [`bind`](quoit_transport::quic::bind).
    pub(crate) socket: UdpSocket,
    pub(crate) endpoint: EndpointConfig,
    pub(crate) server: ServerConfig,
    pub(crate) client: ClientConfig,
    pub(crate) seats: SeatBounds,
    pub(crate) dispatcher: HintDispatcher,
    pub(crate) change: ChangeDriver,
    pub(crate) gossip: GossipDriver,
    pub(crate) sync: SyncDriver,
    pub(crate) sweep: ExpiryDriver,
    /// Names that lead to members.
    pub(crate) gossip_seeds: Vec<String>,
    /// What learns that the thread has ended before its time.
    pub(crate) failure: Failure,
}

impl Server {
    /// Serves `replica` on a thread of its own; returns once connections are accepted.
    pub(crate) fn start<E, G>(
        mut options: ServerOptions,
        replica: Arc<Replica<E, G>>,
    ) -> io::Result<Self>
    where
        E: Env<Reply = Answers>,
        G: Engine,
    {
        accept_long_packets(&mut options.endpoint);
        bound_server(&mut options.server);
        let address = options.socket.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let endpoint = {
            let _inside = runtime.enter();
            let (socket, endpoint) = (options.socket, options.endpoint);
            let runtime = Arc::new(TokioRuntime);
            Endpoint::new(endpoint, Some(options.server), socket, runtime)?
        };
        let cluster = Arc::clone(&replica.state().cluster);
        let (dialling, client) = (endpoint.clone(), options.client);
        let (phase, watched) = watch::channel(Phase::Serving);
        let (seen, failure) = (watched.clone(), options.failure);
        let failure_of_removed = failure.clone();
        let alarm = Alarm::new(NAME, failure.clone());
        let (thread, ended) = spawn(seen, alarm, move || {
            let (mut seen, phase) = (watched.clone(), watched.clone());
            let leaving = async move { leaving_service(&mut seen).await };
            let work = {
                let _inside = runtime.enter();
                let (env, engine) = (replica.env(), replica.engine());
                let (state, usage) = (replica.state().clone(), &replica.state().hints);
                let [a, b, of_sync, of_gossip, of_sweep] = [env; 5].map(Arc::clone);
                let [c, d, synced, swept] = [engine; 4].map(Arc::clone);
                let dialer = Rc::new(Dialer::from_endpoint(dialling, client));
                let seeds = (Rc::clone(&dialer), options.gossip_seeds);
                let shared = (of_gossip, state.clone());
                // In a box, as the future that runs it is passed on by value.
                Box::new(PeerWork {
                    gossiping: Gossiping::new(shared, options.gossip, seeds),
                    delivery: Delivery::new(a, c, Arc::clone(usage), options.dispatcher),
                    syncing: Syncing::new(of_sync, synced, state.clone(), options.sync),
                    sweeping: Sweeping::new(of_sweep, swept, state.clone(), options.sweep),
                    changes: Changes::new(b, d, state, options.change),
                    peers: Peers::new(cluster, dialer),
                    removal: Removal::new(),
                    failure: failure_of_removed,
                })
            };
            let listening = listener::listen(endpoint, replica, options.seats, watched);
            let delivering = work.run(leaving);
            let links = LocalSet::new(); // links to other nodes stay on this thread
            let delivering = async {
                links.run_until(delivering).await;
                links.await; // closes links at once that end with their delivery, not after the last client
            };
            let half = || Alarm::new(NAME, failure.clone());
            let listening = watch_half(&phase, half(), listening);
            let delivering = watch_half(&phase, half(), delivering);
            run(&runtime, async { tokio::join!(listening, delivering) });
        })?;
        Ok(Self {
            thread: Some(thread),
            phase,
            ended,
            address,
        })
    }

    /// Where it serves.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, waits until all answers are delivered, and closes; what is left after `grace` is cut.
    pub(crate) fn finish(&mut self, grace: std::time::Duration) {
        self.phase.send_replace(Phase::Finishing);
        // The channel only ever disconnects: at the thread's end.
        if matches!(
            self.ended.recv_timeout(grace),
            Err(mpsc::RecvTimeoutError::Timeout)
        ) {
            tracing::warn!("connections were cut: the grace is over");
        }
        self.cut();
    }

    /// Drops everything as it is, like a crash, and waits for the thread.
    fn cut(&mut self) {
        self.phase.send_replace(Phase::Gone);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the I/O thread had panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.cut();
    }
}

/// Starts the thread; its end closes the channel. If it ends while it should serve, by a panic or otherwise, the node has
/// failed: it holds its port and answers nothing.
fn spawn(
    phase: watch::Receiver<Phase>,
    alarm: Alarm,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<(JoinHandle<()>, mpsc::Receiver<()>)> {
    let (ending, ended) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name(NAME.to_owned())
        .spawn(move || {
            work();
            if *phase.borrow() != Phase::Serving {
                alarm.disarm();
            }
            drop(ending);
        })?;
    Ok((thread, ended))
}

/// Does one half of the thread's work, listening or delivery. The other goes on if this one ends, so a half that ends
/// while it should serve raises its own alarm: a node that no longer listens holds its port and answers nothing.
async fn watch_half(phase: &watch::Receiver<Phase>, alarm: Alarm, work: impl Future<Output = ()>) {
    work.await;
    if *phase.borrow() != Phase::Serving {
        alarm.disarm();
    }
}

fn run(runtime: &Runtime, work: impl Future<Output = ((), ())>) {
    let ((), ()) = runtime.block_on(work);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::NodeFailure;

    /// How a thread ends that does this, and is asked to end first or not.
    fn end_of(work: fn(), is_asked: bool) -> Option<NodeFailure> {
        let (phase, watched) = watch::channel(Phase::Serving);
        if is_asked {
            phase.send_replace(Phase::Finishing);
        }
        let failure = Failure::new();
        let alarm = Alarm::new(NAME, failure.clone());
        let (thread, ended) = spawn(watched, alarm, work).unwrap();
        assert!(ended.recv().is_err(), "the channel only disconnects");
        let _panicked = thread.join().is_err();
        failure.get()
    }

    #[test]
    fn a_thread_that_ends_while_it_should_serve_fails_the_node() {
        for work in [(|| panic!("on purpose")) as fn(), || ()] {
            let failure = end_of(work, false);
            assert!(
                matches!(failure, Some(NodeFailure::Thread("quoit-io"))),
                "{failure:?}"
            );
        }
        assert!(end_of(|| (), true).is_none());
        assert!(end_of(|| panic!("on purpose"), true).is_some());
    }

    #[tokio::test]
    async fn a_half_that_ends_while_it_should_serve_fails_the_node() {
        for (asked, fails) in [(Phase::Serving, true), (Phase::Finishing, false)] {
            let (_phase, watched) = watch::channel(asked);
            let failure = Failure::new();
            watch_half(&watched, Alarm::new(NAME, failure.clone()), async {}).await;
            assert_eq!(failure.get().is_some(), fails, "{asked:?}");
        }
    }
}
