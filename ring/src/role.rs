//! Roles: what a certificate says about its holder, and what that role may request.
//!
//! ```text
//! certificate of        URI name                      DNS names
//! a node                quoit:node:00c0ffee00c0ffee   node.quoit, 00c0ffee00c0ffee.node.quoit
//! an application        quoit:client                  -
//! an operator           quoit:admin                   -
//! ```
//!
//! The cluster's own authority signs all three, so a role is as hard to forge as the authority's key
//! is to steal. A caller reads the role from the certificate that TLS has verified and from nowhere
//! else. Every node answers to two server names: [`SEED_SERVER_NAME`] when the caller only knows an
//! address, and [`server_name`] when it knows which node must answer there.
//!
//! Invariant: a role has exactly one spelling, so two texts are the same role only if they are the same
//! bytes. Left out: reading certificates, which is for the crates that hold a TLS library.
//!
//! Source: names in a certificate are those of RFC 5280, section 4.2.1.6; a URI as a workload's identity
//! follows SPIFFE.

use core::fmt;
use core::str::FromStr;

use crate::cluster::{NodeId, ParseIdError};

/// How every role's URI begins; a certificate may carry other URIs beside its role.
pub const URI_PREFIX: &str = "quoit:";
/// The name that every node's certificate carries: for a caller that knows an address, not yet an id.
pub const SEED_SERVER_NAME: &str = "node.quoit";
/// The protocol name that both sides offer in the TLS handshake.
pub const ALPN: &[u8] = b"quoit/1";

const NODE_PREFIX: &str = "quoit:node:";
const CLIENT_URI: &str = "quoit:client";
const ADMIN_URI: &str = "quoit:admin";

/// The name under which a caller that knows a node's id must find it.
///
/// ```
/// # use quoit_ring::{NodeId, role::server_name};
/// assert_eq!(server_name(NodeId(0xC0FFEE)), "0000000000c0ffee.node.quoit");
/// ```
#[must_use]
pub fn server_name(node: NodeId) -> String {
    format!("{node}.{SEED_SERVER_NAME}")
}

/// What a certificate says its holder is.
///
/// ```
/// # use quoit_ring::{NodeId, role::{Privilege, Role}};
/// let role: Role = "quoit:node:00c0ffee00c0ffee".parse().unwrap();
/// assert_eq!(role, Role::Node(NodeId(0x00c0_ffee_00c0_ffee)));
/// assert!(role.may(Privilege::Peer));
/// assert!(!role.may(Privilege::Admin));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A storage node with this identity.
    Node(NodeId),
    /// An application that reads and writes keys.
    Client,
    /// An operator: a client that may also ask for what changes or inspects the cluster.
    Admin,
}

/// What a request requires of its caller. [`Request::privilege`](crate::wire::Request::privilege) names
/// it, [`Role::may`] decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Privilege {
    /// Reading and writing keys, asking for the map: anyone with a certificate of the cluster.
    Client,
    /// What only a node asks of a node.
    Peer,
    /// Proposing what the ring becomes: nodes go on with a change that an operator begins.
    Propose,
    /// What only an operator asks.
    Admin,
}

impl Role {
    /// The text that stands in a certificate; [`str::parse`] reads it back.
    ///
    /// ```
    /// # use quoit_ring::role::Role;
    /// assert_eq!(Role::Client.to_uri(), "quoit:client");
    /// assert_eq!(Role::Client.to_uri().parse(), Ok(Role::Client));
    /// ```
    #[must_use]
    pub fn to_uri(self) -> String {
        self.to_string()
    }

    /// Whether this role may send a request that requires `privilege`.
    ///
    /// Nodes do not administer and operators are not peers: stealing one key must not give the
    /// powers of the other. Everyone may read and write keys.
    #[must_use]
    pub const fn may(self, privilege: Privilege) -> bool {
        match privilege {
            Privilege::Client => true,
            Privilege::Peer => matches!(self, Self::Node(_)),
            Privilege::Propose => matches!(self, Self::Node(_) | Self::Admin),
            Privilege::Admin => matches!(self, Self::Admin),
        }
    }

    /// The node that holds this role, or `None` for a client or an operator.
    #[must_use]
    pub const fn node(self) -> Option<NodeId> {
        match self {
            Self::Node(id) => Some(id),
            Self::Client | Self::Admin => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => write!(f, "{NODE_PREFIX}{id}"),
            Self::Client => f.write_str(CLIENT_URI),
            Self::Admin => f.write_str(ADMIN_URI),
        }
    }
}

/// A URI that is not a role of quoit; no node accepts its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseRoleError {
    /// It does not begin with [`URI_PREFIX`]: it belongs to something else.
    #[error("the URI does not begin with `{URI_PREFIX}`")]
    NotQuoit,
    /// It begins like a role and names none that this version knows.
    #[error("the URI names no known role; the roles are node, client and admin")]
    UnknownRole,
    /// It is a node's role without a proper identity.
    #[error("the node's identity in the URI is malformed")]
    BadNodeId(#[from] ParseIdError),
    /// The identity holds capital letters; a role has one spelling, the lower-case one.
    #[error("the node's identity in the URI must be in lower case")]
    NotCanonical,
}

impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(uri: &str) -> Result<Self, ParseRoleError> {
        if !uri.starts_with(URI_PREFIX) {
            return Err(ParseRoleError::NotQuoit);
        }
        match uri {
            CLIENT_URI => Ok(Self::Client),
            ADMIN_URI => Ok(Self::Admin),
            _ => match uri.strip_prefix(NODE_PREFIX) {
                Some(id) if id.bytes().any(|b| b.is_ascii_uppercase()) => {
                    Err(ParseRoleError::NotCanonical)
                }
                Some(id) => Ok(Self::Node(id.parse()?)),
                None => Err(ParseRoleError::UnknownRole),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NODE: Role = Role::Node(NodeId(7));

    #[test]
    fn each_role_may_do_exactly_its_own() {
        let table = [
            // caller, client request, peer request, admin request
            (NODE, [true, true, false]),
            (Role::Client, [true, false, false]),
            (Role::Admin, [true, false, true]),
        ];
        for (role, expected) in table {
            let privileges = [Privilege::Client, Privilege::Peer, Privilege::Admin];
            assert_eq!(privileges.map(|p| role.may(p)), expected, "{role}");
        }
    }

    #[test]
    fn only_a_node_has_an_identity() {
        assert_eq!(NODE.node(), Some(NodeId(7)));
        assert_eq!(Role::Client.node(), None);
        assert_eq!(Role::Admin.node(), None);
    }

    #[test]
    fn texts_that_are_no_role_are_refused_with_their_cause() {
        use ParseRoleError::{BadNodeId, NotCanonical, NotQuoit, UnknownRole};
        let digits = BadNodeId(ParseIdError { digits: 16 });
        let table = [
            ("", NotQuoit),
            ("spiffe://x/y", NotQuoit),
            ("Quoit:client", NotQuoit),
            ("quoit:", UnknownRole),
            ("quoit:clients", UnknownRole),
            ("quoit:client ", UnknownRole),
            ("quoit:node", UnknownRole),
            ("quoit:node:", digits),
            ("quoit:node:7", digits),
            ("quoit:node:+000000000000007", digits),
            ("quoit:node:00000000000000077", digits),
            ("quoit:node:000000000000000A", NotCanonical),
        ];
        for (uri, expected) in table {
            assert_eq!(uri.parse::<Role>(), Err(expected), "{uri:?}");
        }
    }

    proptest! {
        #[test]
        fn a_role_reads_back_from_its_uri(id: u64) {
            for role in [Role::Node(NodeId(id)), Role::Client, Role::Admin] {
                prop_assert_eq!(role.to_uri().parse::<Role>(), Ok(role));
            }
        }

        #[test]
        fn a_role_has_one_spelling(uri in "quoit:(node:)?[0-9a-fA-F]{0,17}|quoit:[a-z]{5,6}") {
            if let Ok(role) = uri.parse::<Role>() {
                prop_assert_eq!(role.to_uri(), uri);
            }
        }
    }
}
