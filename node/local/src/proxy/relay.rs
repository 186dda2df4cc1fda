//! What a proxy's thread does: takes datagrams off its sockets and passes them on when they are due.
//!
//! ```text
//!   front   where callers send to         one, read in turns with the flows
//!   flow    a caller's socket to the node, and a pipe in each direction
//!   sleep   until the next datagram is due, if one waits
//! ```
//!
//! One task, and one lock, on the conditions. A datagram that nothing should happen to is passed on at once.
//! Sockets are awaited for reading only; sending never waits, and what the system does not take is dropped.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::ReadBuf;
use tokio::net::UdpSocket as Receiver;
use tokio::sync::oneshot;

use super::pipe::{Conditions, DatagramCounts, Pipe};
use super::{Shared, lock};

/// Callers at once.
const FLOWS: usize = 64;
/// Longest datagram.
const DATAGRAM: usize = 1 << 16;
/// Datagrams that are taken from one socket before another one has its turn.
const TURN: usize = 64;

/// Serves until the proxy is dropped.
pub(super) async fn serve(
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
        opened: 0,
        gone: DatagramCounts::default(),
        buffer: vec![0; DATAGRAM],
    };
    tokio::select! {
        biased;
        _dropped = stopped => {}
        () = relay.run(shared) => {}
    }
}

/// A socket that is awaited for reading and written to directly: only sending shows whether the system takes a
/// datagram.
#[derive(Debug)]
pub(super) struct Socket {
    receiver: Receiver,
    sender: UdpSocket,
}

impl Socket {
    /// Inside a runtime.
    pub(super) fn new(sender: UdpSocket) -> io::Result<Self> {
        sender.set_nonblocking(true)?;
        Ok(Self {
            receiver: Receiver::from_std(sender.try_clone()?)?,
            sender,
        })
    }

    /// Sends to where the socket is connected. An earlier datagram that met no listener makes this fail once in
    /// place of sending, so that case tries again.
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
    heard: Instant,
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
    /// Flows so far, and the counts of those that were replaced.
    opened: u64,
    gone: DatagramCounts,
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
                flow.send_due(&self.front.sender, now);
            }
            lock(shared).counts = self.counts();
        }
    }

    /// Ready once a datagram was taken from any socket, and some more if there are.
    fn poll_sockets(&mut self, cx: &mut Context<'_>, shared: &Mutex<Shared>) -> Poll<()> {
        let (faults, now) = (lock(shared).faults, Instant::now());
        let mut taken = self.poll_front(cx, &faults.to_node, now);
        for flow in &mut self.flows {
            taken |= flow.poll_node(
                cx,
                &mut self.buffer,
                &self.front.sender,
                &faults.from_node,
                now,
            );
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
            match self.flow(caller, now) {
                Some(index) => self.flows[index].take_to(&self.buffer[..length], to, now),
                None => self.gone.dropped += 1,
            }
        }
        true
    }

    /// The flow of a caller; a new one replaces the one that was silent for the longest, if there are too many.
    fn flow(&mut self, caller: SocketAddr, now: Instant) -> Option<usize> {
        let known = self.flows.iter().position(|flow| flow.caller == caller);
        let index = match known {
            Some(known) => known,
            None => self.open(caller, now)?,
        };
        self.flows[index].heard = now;
        Some(index)
    }

    fn open(&mut self, caller: SocketAddr, now: Instant) -> Option<usize> {
        let flow = Flow::open(
            caller,
            self.node,
            self.seed.wrapping_add(self.opened << 1),
            now,
        )
        .ok()?;
        self.opened += 1;

        if self.flows.len() == FLOWS {
            let (oldest, _) = (0..).zip(&self.flows).min_by_key(|(_, flow)| flow.heard)?;
            let gone = self.flows.swap_remove(oldest);
            self.gone = self.gone.plus(gone.to.counts).plus(gone.from.counts);
        }
        self.flows.push(flow);
        debug_assert!(self.flows.len() <= FLOWS, "flows are bounded");
        Some(self.flows.len() - 1)
    }

    fn counts(&self) -> DatagramCounts {
        let pipes = self.flows.iter().flat_map(|flow| [&flow.to, &flow.from]);
        pipes.fold(self.gone, |sum, pipe| sum.plus(pipe.counts))
    }
}

impl Flow {
    fn open(caller: SocketAddr, node: SocketAddr, seed: u64, heard: Instant) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(node)?;
        Ok(Self {
            caller,
            heard,
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

    /// Takes what the node sends; true if there was anything.
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

    /// Sends what is due in both directions.
    fn send_due(&mut self, front: &UdpSocket, now: Instant) {
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
        Ok(_) => pipe.counts.passed += 1,
        Err(_) => pipe.counts.dropped += 1,
    }
}

async fn sleep_until(wake: Option<tokio::time::Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
