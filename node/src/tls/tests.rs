//! Files that do not fit, and real handshakes: who is let in, and as what.

mod files;
mod handshake;
mod restart;
