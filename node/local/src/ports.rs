//! Ports that no other program takes while a node is down.
//!
//! A port that the system hands out may be handed out again as soon as its node is killed, to any client that
//! opens a socket; the node could then not come back. So ports come from below the range that the system
//! hands out, and every process draws from a stretch of its own:
//!
//! ```text
//!   10,000 ......... 30,000          32,768 .........
//!   200 stretches of 100 ports       what the system hands out (Linux, by default)
//! ```

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 10_000;
const STRETCHES: u16 = 200;
const STRETCH: u16 = 100;

/// How many of this process's ports have been handed out.
static HANDED_OUT: AtomicU16 = AtomicU16::new(0);

/// `count` ports that are free now, none handed out before unless the stretch has been used up.
///
/// # Errors
/// `AddrInUse` if fewer ports of this process's stretch are free.
pub fn free(count: usize) -> io::Result<Vec<u16>> {
    let mut ports = Vec::new();
    for _ in 0..STRETCH {
        if ports.len() == count {
            break;
        }
        let port = next();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            ports.push(port);
        }
    }
    if ports.len() == count {
        Ok(ports)
    } else {
        Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "too few free ports",
        ))
    }
}

/// An address on loopback with such a port.
///
/// # Errors
/// `AddrInUse` if no port of this process's stretch is free.
pub fn free_address() -> io::Result<SocketAddr> {
    let port = free(1)?.first().copied().unwrap_or_default();
    Ok((Ipv4Addr::LOCALHOST, port).into())
}

fn next() -> u16 {
    // The remainder is below 200, so it fits whatever the process's number is.
    let stretch = u16::try_from(std::process::id() % u32::from(STRETCHES)).unwrap_or_default();
    FIRST + stretch * STRETCH + HANDED_OUT.fetch_add(1, Ordering::Relaxed) % STRETCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_bound() {
        let ports = free(5).unwrap();
        let sockets: Vec<_> = ports
            .iter()
            .map(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, *port)).unwrap())
            .collect();
        assert_eq!(sockets.len(), 5);
        let more = free(5).unwrap();
        assert!(more.iter().all(|port| !ports.contains(port)));
    }
}
