//! The bytes of gossip: spelt out, there and back, junk, and how many there are at most.

#[cfg(test)]
#[path = "../simulation/rng.rs"]
mod rng;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod junk;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod size;
