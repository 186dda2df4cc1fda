//! A real node over QUIC, with a minimal client.
//!
//! | module | what it shows |
//! | --- | --- |
//! | `removed` | a node's certificate that names no member of the map counts as a client's, one of a removed member as none |
//! | `requests` | small and large requests are answered, each once |
//! | `flood` | handshakes that nobody ends, and callers with too many connections, keep no one else out |
//! | `hostile` | junk closes the connection it came on, and nothing else |
//! | `lifecycle` | starts, stops, crashes; which directories a node refuses |
//! | `memory` | what connections cost that read nothing |
//! | `metrics` | what is served is what is documented, and bad requests do no harm |
//! | `one_key` | a record stays within its bounds, and one key does not hold up the others |
//! | `power_loss` | what was acknowledged is there whatever part of the unsynced writes a loss of power keeps |
//! | `process` | the binary: its ready line, signals, exit codes, `kill -9` |

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::panic, reason = "a test stops at the first surprise")]

mod caller;
mod flood;
mod hostile;
mod lifecycle;
mod memory;
mod metrics;
mod one_key;
mod power_loss;
mod process;
mod removed;
mod requests;
