//! Clusters of real processes, for tests and benchmarks.
//!
//! ```text
//!   test or bench --starts--> quoit-test-node  quoit-test-node  ...   on loopback, in a temporary folder
//!        |                         ^ kill, pause, resume, stop
//!        '--- client library ------'
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`cluster`] | [`Cluster`](cluster::Cluster): laid out, started, broken and mended node by node |
//! | [`process`] | one child process that never outlives its owner |
//! | [`ports`] | ports that nobody else takes while a node is down |
//! | [`usage`] | processor time and memory of a process, from `/proc` |
//!
//! A node is started as the program `quoit-test-node` of this package, which does nothing but call the node
//! library: cargo builds it together with the tests, so it is never an old one. [`node_binary!`] names it.
//!
//! Linux only: signals go through `kill`, figures come from `/proc`.

pub mod cluster;
pub mod ports;
pub mod process;
pub mod usage;

/// The path of the program that runs one node. Works in tests and benchmarks of this package only: cargo
/// tells no one else.
#[macro_export]
macro_rules! node_binary {
    () => {
        env!("CARGO_BIN_EXE_quoit-test-node")
    };
}
