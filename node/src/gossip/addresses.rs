//! Where members are reached if not at the ring's addresses.
//!
//! ```text
//!   this node listens elsewhere than its ring says --> announced with its facts
//!   a member connects --> the address that it comes from, at which it also serves
//! ```
//!
//! A node dials from the socket at which it serves, so whoever hears it can answer there. That is how the first member reaches
//! one that was started at another address; what this one says of itself then leads all others there.
//!
//! Addresses are hints: the ring's is tried first, and a certificate says who answers. Bounded by the members. Left out:
//! clients, which go by the ring and their seeds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

use quoit_ring::NodeId;

/// What this node knows of addresses.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// Where it listens; empty if it neither announces nor follows addresses.
    listening: OnceLock<SocketAddr>,
    heard: Mutex<BTreeMap<NodeId, SocketAddr>>,
}

impl Addresses {
    /// The node listens here. Without this call nothing is announced or followed.
    pub(crate) fn listen_at(&self, listening: SocketAddr) {
        let _again = self.listening.set(listening);
    }

    /// A member has connected from this address.
    pub(crate) fn heard(&self, member: NodeId, from: SocketAddr) {
        if self.listening.get().is_some() {
            let from = SocketAddr::new(from.ip().to_canonical(), from.port());
            self.lock().insert(member, from);
        }
    }

    /// Which members have connected since the last call, and from where.
    pub(crate) fn take_heard(&self) -> BTreeMap<NodeId, SocketAddr> {
        core::mem::take(&mut *self.lock())
    }

    /// Whether what others say of their addresses counts.
    pub(crate) fn are_followed(&self) -> bool {
        self.listening.get().is_some()
    }

    /// What others should try if the address in the ring does not lead here; none if it does, or if only the port is known.
    pub(crate) fn to_announce(&self, in_ring: &str) -> Option<String> {
        let listening = *self.listening.get()?;
        if !is_elsewhere(listening, in_ring) {
            return None;
        }
        if !listening.ip().is_unspecified() {
            return Some(listening.to_string());
        }
        let (host, _port) = in_ring.rsplit_once(':')?;
        Some(format!("{host}:{}", listening.port()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, SocketAddr>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether whoever dials `member`, a host and a port, comes to another place than `listening`. A host that is a name is
/// not looked up.
pub(crate) fn is_elsewhere(listening: SocketAddr, member: &str) -> bool {
    if let Ok(member) = member.parse::<SocketAddr>() {
        let same_host = listening.ip().is_unspecified() || listening.ip() == member.ip();
        return !same_host || listening.port() != member.port();
    }
    let port = member
        .rsplit_once(':')
        .and_then(|(_host, port)| port.parse().ok());
    port.is_some_and(|port: u16| port != listening.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_elsewhere_unless_its_address_leads_here() {
        let here = "10.0.0.1:7440".parse().unwrap();
        let any = "0.0.0.0:7440".parse().unwrap();
        for address in ["10.0.0.1:7440", "n1.example:7440"] {
            assert!(!is_elsewhere(here, address), "{address}");
        }
        for address in ["10.0.0.1:7441", "10.0.0.2:7440", "n1.example:7441"] {
            assert!(is_elsewhere(here, address), "{address}");
        }
        assert!(!is_elsewhere(any, "10.0.0.2:7440") && is_elsewhere(any, "10.0.0.2:1"));
    }

    #[test]
    fn an_address_is_announced_if_the_rings_does_not_lead_here() {
        let announced = |listening: &str, in_ring| {
            let addresses = Addresses::default();
            addresses.listen_at(listening.parse().unwrap());
            addresses.to_announce(in_ring)
        };
        assert_eq!(announced("10.0.0.1:7440", "n1.example:7440"), None);
        let moved = announced("10.0.0.9:7440", "10.0.0.1:7440");
        assert_eq!(moved.as_deref(), Some("10.0.0.9:7440"));
        let other_port = announced("0.0.0.0:9", "n1.example:7440");
        assert_eq!(other_port.as_deref(), Some("n1.example:9"));
        assert_eq!(Addresses::default().to_announce("n1.example:1"), None);
    }

    #[test]
    fn who_connects_is_heard_there_only_where_addresses_are_followed() {
        let addresses = Addresses::default();
        let from: SocketAddr = "[::ffff:10.0.0.9]:7440".parse().unwrap();
        addresses.heard(NodeId(2), from);
        assert!(addresses.take_heard().is_empty() && !addresses.are_followed());

        addresses.listen_at("10.0.0.1:7440".parse().unwrap());
        addresses.heard(NodeId(2), from);
        let heard = addresses.take_heard();
        assert_eq!(heard[&NodeId(2)].to_string(), "10.0.0.9:7440");
        assert!(addresses.take_heard().is_empty());
    }
}
