//! A bad network before one node: a UDP proxy on a thread of its own.
//!
//! ```text
//!   caller           the map's address           one socket per caller        where the node listens
//!   client  ------>  front  --- pipe: to_node --->  flow  ------------------>  node
//!           <------         <-- pipe: from_node --        <------------------
//! ```
//!
//! Callers find the proxy where the map says the node is. Each caller is one *flow* with a socket of its own, so
//! that the node can tell callers apart by address. What happens to datagrams is set per direction and may
//! change at any time. Datagrams are opaque: they are never changed and never made, so QUIC notices nothing but
//! the network that was asked for. A datagram that a socket does not take is dropped, as by any router.
//!
//! Bounds: 64 flows, where a new one replaces the one that was silent for the longest; 32 MiB of waiting
//! datagrams per direction and flow, where the newest is dropped.
//!
//! Left out: a bound on bandwidth, and duplicates.

mod pipe;
mod relay;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub use self::pipe::{Conditions, DatagramCounts, LOSS_SCALE};
use self::relay::{Socket, serve};

/// What the name of a proxy's thread begins with.
pub const PROXY_THREAD: &str = "quoit-proxy";

/// What happens to datagrams in each direction; the default is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NetworkFaults {
    /// On the way to the node.
    pub to_node: Conditions,
    /// On the way from it.
    pub from_node: Conditions,
}

impl NetworkFaults {
    /// The same conditions in both directions.
    #[must_use]
    pub const fn both(conditions: Conditions) -> Self {
        Self {
            to_node: conditions,
            from_node: conditions,
        }
    }
}

/// What the thread and its owner share.
#[derive(Debug, Default)]
struct Shared {
    faults: NetworkFaults,
    counts: DatagramCounts,
}

/// A running proxy; dropping it ends it, and its node is unreachable.
#[derive(Debug)]
pub struct Proxy {
    node: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens at `front` and passes on to `node`. `name` becomes part of its thread's name; `seed` fixes what
    /// is drawn.
    ///
    /// # Errors
    /// If no socket or thread can be had; nothing is left behind.
    pub fn start(name: &str, front: SocketAddr, node: SocketAddr, seed: u64) -> io::Result<Self> {
        let socket = UdpSocket::bind(front)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let front = {
            let _inside = runtime.enter();
            Socket::new(socket)?
        };

        let shared = Arc::new(Mutex::new(Shared::default()));
        let (stop, stopped) = oneshot::channel();
        let state = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("{PROXY_THREAD}-{name}"))
            .spawn(move || runtime.block_on(serve(front, node, seed, &state, stopped)))?;
        Ok(Self {
            node,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Loses every datagram in both directions from now on, until [`heal`](Self::heal).
    pub fn cut(&self) {
        self.set(NetworkFaults::both(Conditions::CUT));
    }

    /// Lets everything through at once from now on.
    pub fn heal(&self) {
        self.set(NetworkFaults::default());
    }

    /// Sets what happens from now on. Datagrams that wait already stay due when they were.
    pub fn set(&self, faults: NetworkFaults) {
        self.change(|now| *now = faults);
    }

    /// Changes what happens from now on.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn example(proxy: &quoit_local::Proxy) {
    /// proxy.change(|faults| {
    ///     faults.from_node.delay = Duration::from_millis(200);
    ///     faults.from_node.loss = quoit_local::LOSS_SCALE / 20; // 5 %
    /// });
    /// # }
    /// ```
    pub fn change(&self, change: impl FnOnce(&mut NetworkFaults)) {
        change(&mut lock(&self.shared).faults);
    }

    /// What happened to the datagrams of both directions so far.
    #[must_use]
    pub fn counts(&self) -> DatagramCounts {
        lock(&self.shared).counts
    }

    /// Where the node listens.
    #[must_use]
    pub const fn node(&self) -> SocketAddr {
        self.node
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was shown when it happened.
            let _ended = thread.join().is_ok();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
