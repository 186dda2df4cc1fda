//! Clusters under test: simulated under a seed, and of real processes.
//!
//! ```text
//!   simulated   one thread, virtual time, one seed     sim --> history --> invariants
//!   real        test or bench --starts--> quoit-test-node ...   on loopback, killed, paused, starved
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`sim`] | the simulation: network, disks, clocks, faults, and the shipped client and node in it |
//! | [`workloads`] | what clients do in it, in small pieces |
//! | [`history`] | what happened |
//! | [`invariants`] | what must hold of it, and checkers that can say no |
//! | [`mutants`] | deliberate defects, as patches, to see whether the checkers say no |
//! | [`cluster`] | clusters of real processes, of `quoit-local`, and clients of them |
//! | [`ledger`] | what a writer knows of its keys, to judge reads of real clusters |
//!
//! A real node is started as the program `quoit-test-node` of this package, which does nothing but call the
//! node library: cargo builds it together with the tests, so it is never an old one. [`node_binary!`] names it.
//!
//! Linux only: signals go through `kill`, figures come from `/proc`.

pub mod cluster;
pub mod history;
pub mod invariants;
pub mod ledger;
pub mod mutants;
pub mod sim;
pub mod workloads;

/// The path of the program that runs one node. Works in tests and benchmarks of this package only: cargo
/// sets the variable nowhere else.
#[macro_export]
macro_rules! node_binary {
    () => {
        env!("CARGO_BIN_EXE_quoit-test-node")
    };
}
