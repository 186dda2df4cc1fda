//! Settings of a gateway. Every bound has a default; an address makes a port.

use std::net::SocketAddr;
use std::time::Duration;

use quoit_client::ClientBuilder;

use crate::auth::Tokens;
use crate::metrics::MetricsPort;
use crate::tls::Identity;

/// Bytes of a key and value for which the client takes one more of its permits.
const PERMIT_BYTES: usize = 16 << 10;
/// Most permits that a client can have.
const MAX_PERMITS: usize = 65_536;

/// What a gateway serves, and who may use it.
///
/// ```
/// use quoit_gateway::Settings;
///
/// let settings = Settings {
///     http: Some(([127, 0, 0, 1], 8080).into()),
///     ..Settings::default()
/// };
/// assert!(settings.tokens.is_none() && settings.tls.is_none());
/// ```
#[derive(Debug, Default)]
pub struct Settings {
    /// Where HTTP is served; default nowhere.
    pub http: Option<SocketAddr>,
    /// Where RESP, the protocol of Redis, is served; default nowhere.
    pub resp: Option<SocketAddr>,
    /// Who may use either port; default anyone who can connect.
    pub tokens: Option<Tokens>,
    /// TLS on both ports; default none.
    pub tls: Option<Identity>,
    /// Where metrics are read, by plain HTTP; default nowhere.
    pub metrics: Option<MetricsPort>,
    /// What one gateway takes at most.
    pub limits: Limits,
}

/// What one gateway takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest value, 1 byte to 16 MiB; default 1 MiB, as for clients and nodes.
    pub max_value_bytes: usize,
    /// Connections of one port; default 1,024. A further one is closed at once.
    pub max_connections: usize,
    /// Reads and writes under way at once, 1 to 16,384; default 1,024. A further one waits for a second, then is refused as
    /// overloaded. More keep the nodes busier, fewer spare memory.
    pub max_in_flight: usize,
    /// Bytes of request bodies and answers held at once; default 128 MiB, at least eight of the longest values. What does
    /// not fit is refused as overloaded. Values on their way from nodes are not counted: `max_in_flight` bounds those.
    pub memory_bytes: usize,
    /// Requests a second from one address (IPv6: one /64), with bursts of as many; default no limit.
    pub rate: Option<u32>,
    /// How long an HTTP connection may be silent; default 75 s, longer than the usual pools keep one.
    pub http_idle: Duration,
    /// How long a RESP connection may be silent between commands; default 10 min, for pools that keep theirs.
    pub resp_idle: Duration,
    /// How long a peer may take for one request or command to arrive, and for one write of an answer to be taken; default
    /// 30 s. Shorter frees what a slow peer holds, longer suits slow networks.
    pub transfer: Duration,
    /// How long requests under way may take once the gateway is stopped; default 10 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_value_bytes: 1 << 20,
            max_connections: 1024,
            max_in_flight: 1024,
            memory_bytes: 128 << 20,
            rate: None,
            http_idle: Duration::from_secs(75),
            resp_idle: Duration::from_secs(600),
            transfer: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// A client that takes as much as these limits let through: no request waits inside of it.
    ///
    /// ```
    /// use quoit_client::Client;
    /// use quoit_gateway::Limits;
    ///
    /// let builder = Limits::default().client(Client::builder());
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn client(&self, builder: ClientBuilder) -> ClientBuilder {
        // Each operation takes one permit, two more for its key, and those of values that the budget lets in.
        let permits = self.max_in_flight.saturating_mul(3) + self.memory_bytes / PERMIT_BYTES;
        builder
            .max_value_bytes(self.max_value_bytes)
            .max_in_flight(permits.clamp(1, MAX_PERMITS))
    }

    /// Which limit is out of range, and what is allowed.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let ranges = [
            (
                (1..=16 << 20).contains(&self.max_value_bytes),
                "max_value_bytes",
                "1 byte to 16 MiB",
            ),
            (
                (1..=65_536).contains(&self.max_connections),
                "max_connections",
                "1 to 65,536",
            ),
            (
                (1..=16_384).contains(&self.max_in_flight),
                "max_in_flight",
                "1 to 16,384",
            ),
            (
                self.memory_bytes / 8 >= self.max_value_bytes && self.memory_bytes <= 1 << 36,
                "memory_bytes",
                "eight of the longest values to 64 GiB",
            ),
            (self.rate != Some(0), "rate", "at least 1 a second"),
            (!self.http_idle.is_zero(), "http_idle", "more than nothing"),
            (!self.resp_idle.is_zero(), "resp_idle", "more than nothing"),
            (!self.transfer.is_zero(), "transfer", "more than nothing"),
        ];
        match ranges.into_iter().find(|(ok, ..)| !ok) {
            Some((_, name, allowed)) => Err((name, allowed)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed_and_a_limit_out_of_range_is_named() {
        assert_eq!(Limits::default().check(), Ok(()));
        let tight = Limits {
            memory_bytes: 1 << 20,
            ..Limits::default()
        };
        assert_eq!(tight.check().unwrap_err().0, "memory_bytes");
        let silent = Limits {
            rate: Some(0),
            ..Limits::default()
        };
        assert_eq!(silent.check().unwrap_err().0, "rate");
    }
}
