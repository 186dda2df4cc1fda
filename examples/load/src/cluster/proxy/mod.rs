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
//! Bounded: flows in number, waiting datagrams in bytes. Beyond either, what is new is dropped.
//! Left out: a bound on bandwidth, and doubling.

mod pipe;

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::io::ReadBuf;
use tokio::net::UdpSocket as Receiver;
use tokio::sync::oneshot;

pub(crate) use self::pipe::WHOLE;
use self::pipe::{Conditions, Pipe, Tally};

/// What the name of a proxy's thread begins with.
pub(crate) const THREAD: &str = "quoit-proxy";
/// Callers at once.
const FLOWS: usize = 64;
/// Longest datagram.
const DATAGRAM: usize = 1 << 16;
/// Datagrams that are taken from one socket before another one has its turn.
const TURN: usize = 64;

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

async fn serve(
    front: Socket,
    node: SocketAddr,
    seed: u64,
    shared: &Mutex<Shared>,
    stopped: oneshot::Receiver<()>,
) {
    let mut relay = Relay {
        front,
        node,
        seed,
        flows: Vec::new(),
        refused: 0,
        buffer: vec![0; DATAGRAM],
    };
    tokio::select! {
        biased;
        _dropped = stopped => {}
        () = relay.run(shared) => {}
    }
}

/// A socket that is waited for where it is read, and written to directly: whether a system has room for a datagram
/// is known by sending it.
#[derive(Debug)]
struct Socket {
    receiver: Receiver,
    sender: UdpSocket,
}

impl Socket {
    fn new(sender: UdpSocket) -> io::Result<Self> {
        sender.set_nonblocking(true)?;
        Ok(Self {
            receiver: Receiver::from_std(sender.try_clone()?)?,
            sender,
        })
    }

    /// Sends to where the socket is connected. That nobody was there before is told in place of sending, once.
    fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        match self.sender.send(datagram) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.sender.send(datagram)
            }
            sent => sent,
        }
    }
}

/// Both pipes of one caller.
#[derive(Debug)]
struct Flow {
    caller: SocketAddr,
    socket: Socket,
    to: Pipe,
    from: Pipe,
}

/// The thread's state.
#[derive(Debug)]
struct Relay {
    front: Socket,
    node: SocketAddr,
    seed: u64,
    flows: Vec<Flow>,
    /// Datagrams of callers that were too many.
    refused: u64,
    buffer: Vec<u8>,
}

impl Relay {
    async fn run(&mut self, shared: &Mutex<Shared>) {
        loop {
            let next = self.flows.iter().flat_map(Flow::next_due).min();
            let wake = next.map(tokio::time::Instant::from_std);
            tokio::select! {
                biased;
                () = poll_fn(|cx| self.poll_sockets(cx, shared)) => {}
                () = sleep_until(wake) => {}
            }
            let now = Instant::now();
            for flow in &mut self.flows {
                flow.give_on(&self.front.sender, now);
            }
            lock(shared).tally = self.tally();
        }
    }

    /// Ready once a datagram was taken from any socket, and some more if there are.
    fn poll_sockets(&mut self, cx: &mut Context<'_>, shared: &Mutex<Shared>) -> Poll<()> {
        let (way, now) = (lock(shared).way, Instant::now());
        let mut taken = self.poll_front(cx, &way.to, now);
        for flow in &mut self.flows {
            taken |= flow.poll_node(cx, &mut self.buffer, &self.front.sender, &way.from, now);
        }
        if taken {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn poll_front(&mut self, cx: &mut Context<'_>, to: &Conditions, now: Instant) -> bool {
        for turn in 0..TURN {
            let mut into = ReadBuf::new(&mut self.buffer);
            let caller = match self.front.receiver.poll_recv_from(cx, &mut into) {
                Poll::Pending => return turn > 0,
                Poll::Ready(Ok(caller)) => caller,
                // An ICMP answer to something sent before; it says nothing about the next datagram.
                Poll::Ready(Err(_)) => continue,
            };
            let length = into.filled().len();
            match self.flow(caller) {
                Some(index) => self.flows[index].take_to(&self.buffer[..length], to, now),
                None => self.refused += 1,
            }
        }
        true
    }

    /// The flow of a caller, a new one if need be and if there is room.
    fn flow(&mut self, caller: SocketAddr) -> Option<usize> {
        if let Some(known) = self.flows.iter().position(|flow| flow.caller == caller) {
            return Some(known);
        }
        if self.flows.len() == FLOWS {
            return None;
        }
        let number = u64::try_from(self.flows.len()).unwrap_or(u64::MAX);
        let seed = self.seed.wrapping_add(number << 1);
        let flow = Flow::open(caller, self.node, seed).ok()?;
        self.flows.push(flow);
        Some(self.flows.len() - 1)
    }

    fn tally(&self) -> Tally {
        let flows = self.flows.iter().flat_map(|flow| [&flow.to, &flow.from]);
        let refused = Tally {
            dropped: self.refused,
            ..Tally::default()
        };
        flows.fold(refused, |sum, pipe| sum.plus(pipe.tally))
    }
}

impl Flow {
    fn open(caller: SocketAddr, node: SocketAddr, seed: u64) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(node)?;
        Ok(Self {
            caller,
            socket: Socket::new(socket)?,
            to: Pipe::new(seed),
            from: Pipe::new(seed ^ 1),
        })
    }

    fn next_due(&self) -> impl Iterator<Item = Instant> {
        [self.to.next_due(), self.from.next_due()]
            .into_iter()
            .flatten()
    }

    fn take_to(&mut self, datagram: &[u8], to: &Conditions, now: Instant) {
        if to.are_none() && self.to.is_empty() {
            count(&mut self.to, &self.socket.send(datagram));
        } else {
            self.to.take(datagram, to, now);
        }
    }

    /// Takes what the node sends; whether that was anything.
    fn poll_node(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        front: &UdpSocket,
        from: &Conditions,
        now: Instant,
    ) -> bool {
        for turn in 0..TURN {
            let mut into = ReadBuf::new(buffer);
            match self.socket.receiver.poll_recv(cx, &mut into) {
                Poll::Pending => return turn > 0,
                // The node does not run; when it does again it is found.
                Poll::Ready(Err(_)) => {}
                Poll::Ready(Ok(())) if from.are_none() && self.from.is_empty() => {
                    let sent = front.send_to(into.filled(), self.caller);
                    count(&mut self.from, &sent);
                }
                Poll::Ready(Ok(())) => self.from.take(into.filled(), from, now),
            }
        }
        true
    }

    /// Gives on what is due in both directions.
    fn give_on(&mut self, front: &UdpSocket, now: Instant) {
        while let Some(datagram) = self.to.due(now) {
            count(&mut self.to, &self.socket.send(&datagram));
        }
        while let Some(datagram) = self.from.due(now) {
            count(&mut self.from, &front.send_to(&datagram, self.caller));
        }
    }
}

fn count(pipe: &mut Pipe, sent: &io::Result<usize>) {
    match sent {
        Ok(_) => pipe.tally.passed += 1,
        Err(_) => pipe.tally.dropped += 1,
    }
}

async fn sleep_until(wake: Option<tokio::time::Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
