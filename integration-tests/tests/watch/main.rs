//! Watches of a real cluster: every last change is yielded, through nodes that are killed and readers that are slow.
//!
//! ```text
//!   changes   put, delete, time to live, conditional write
//!   faults    a node killed, written past, started again
//!   readers   one that does not read: what it gets then, and what nodes keep meanwhile
//! ```

#[cfg(test)]
mod changes;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod readers;
#[cfg(test)]
mod support;
