//! The bytes of gossip: spelt out, there and back, and junk.

#[cfg(test)]
#[path = "../simulation/rng.rs"]
mod rng;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod junk;
#[cfg(test)]
mod messages;
