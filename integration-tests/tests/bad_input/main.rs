//! Input that must be refused, and how a node and a client refuse it.
//!
//! | module | refuses |
//! | --- | --- |
//! | `requests` | keys and values beyond their limits, of the client and of the node |
//! | `wire` | callers without the right certificate, requests beyond their role, bytes that are no frames |
//! | `start` | configurations, directories, ports and certificates with which a node must not start |
//! | `disk` | a disk that is full |
//! | `disks` | a disk that was restored, or copied |
//!
//! Each is answered by a typed error whose message says what to do. Nothing that was stored is lost, and the
//! nodes go on serving.

#[cfg(test)]
mod disk;
#[cfg(test)]
mod disks;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod start;
#[cfg(test)]
mod support;
#[cfg(test)]
mod wire;
