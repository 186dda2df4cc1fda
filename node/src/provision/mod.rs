//! Setting up a cluster: its authority, its certificates, its first map, and whole clusters on loopback.
//!
//! ```text
//! Authority ----issues----> node-1.pem, node-2.pem, ...   each holds a node's identity
//!                                   |
//! members (name, address, zone) ----+--first_map--> cluster.map
//!                                                       |
//! Bundle = a node's certificate, its key and its seeds, for a cluster that is there
//!
//! LocalCluster = all of that in one folder, with a node.toml per node and a profile for clients
//! ```
//!
//! The command line, tests and benchmarks all set up clusters through this module. Invariant: it overwrites no
//! file, since an overwritten key is lost; an existing one is an error that names it. Keys and the map are
//! readable by their owner only (where the system has file modes).

mod authority;
mod bundle;
mod files;
mod local;
mod map;

pub use self::authority::{Authority, AuthorityError};
pub use self::bundle::{Bundle, BundleError, JoinRequest};
pub use self::local::{LocalCluster, LocalError, LocalNode, LocalOptions, NewLocalNode, Ports};
pub use self::map::{MapError, NewMember, first_map, read_map, write_map};
