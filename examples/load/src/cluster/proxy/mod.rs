//! A bad network before one node: a UDP proxy on a thread of its own.
//!
//! ```text
//!   who calls        the map's address        a socket per caller        where the node listens
//!   client  ------>  front  --- pipe: to --->  flow  ------------------>  node
//!           <------         <-- pipe: from --        <------------------
//! ```
//!
//! Callers find the proxy where the map says the node is. Each caller is one *flow* with a socket of its own, so
//! that the node tells callers apart by address, as it must. What happens to datagrams is set per direction and
//! may change at any time. QUIC above it notices nothing but the network that was asked for: datagrams are
//! opaque, are never changed and never made. A datagram that a socket has no room for is dropped, as by any
//! router.
//!
//! Bounded: flows in number, where a new one takes the place of the one that was silent for the longest; waiting
//! datagrams in bytes, where the newest is dropped.
//! Left out: a bound on bandwidth, and doubling.

mod pipe;
mod relay;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub(crate) use self::pipe::WHOLE;
use self::pipe::{Conditions, Tally};
use self::relay::{Socket, serve};

/// What the name of a proxy's thread begins with.
pub(crate) const THREAD: &str = "quoit-proxy";

/// An address on loopback that nobody has bound at this moment.
pub(super) fn free_address() -> io::Result<SocketAddr> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// What happens in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Way {
    /// On the way to the node.
    pub(crate) to: Conditions,
    /// On the way from it.
    pub(crate) from: Conditions,
}

/// What the thread and its owner share.
#[derive(Debug, Default)]
struct Shared {
    way: Way,
    tally: Tally,
}

/// A running proxy; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Proxy {
    shared: Arc<Mutex<Shared>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Stands at `front` for what listens at `node`. `name` tells its thread, `seed` what is drawn.
    ///
    /// # Errors
    /// If there is no socket or thread; nothing is left behind.
    pub(crate) fn start(
        name: &str,
        front: SocketAddr,
        node: SocketAddr,
        seed: u64,
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind(front)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (stop, stopped) = oneshot::channel();
        let front = {
            let _inside = runtime.enter();
            Socket::new(socket)?
        };
        let state = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("{THREAD}-{name}"))
            .spawn(move || runtime.block_on(serve(front, node, seed, &state, stopped)))?;
        Ok(Self {
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Changes what happens from now on.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Way)) {
        change(&mut lock(&self.shared).way);
    }

    /// What became of the datagrams of both directions so far.
    pub(crate) fn tally(&self) -> Tally {
        lock(&self.shared).tally
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
