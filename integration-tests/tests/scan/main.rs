//! Scans against real clusters, in one process and of real processes.
//!
//! ```text
//!   written       k0000 .. kNNNN, every tenth deleted, some by two writers that did not see each other
//!   a scan        the rest, each once, in order, whatever nodes are away meanwhile
//! ```
//!
//! | module | scans |
//! | --- | --- |
//! | `whole` | of what lies still: prefixes, ranges, directions, limits, tokens; while a node is stopped or stale |
//! | `kills` | while a node is killed and others write |
//! | `refused` | that make no sense |

#[cfg(test)]
mod kills;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod support;
#[cfg(test)]
mod whole;
