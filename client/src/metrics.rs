//! The metrics that a client publishes to an application's recorder.
//!
//! ```text
//!   Driver, Coordinator, Health      plain counters, an addition each
//!         | once a second, as soon as nothing is under way, and at the end
//!         v
//!   increments since then  -->  the `metrics` facade  -->  the application's recorder
//! ```
//!
//! | name | kind | labels | unit | what it counts |
//! | --- | --- | --- | --- | --- |
//! | `quoit_client_operations_total` | counter | `kind`, `outcome` | operations | those that ended. `kind`: `get`, `put`, `delete`, `ask` (what `inspect`, `status` and `health` ask), `compare_and_set` (with `outcome`). `outcome`: `ok`, `invalid`, `unavailable`, `unstable`, `not_stored`, `too_thin`, `unknown`, `failed`, as the errors are called |
//! | `quoit_client_operation_seconds` | histogram | `kind` | seconds | from the start of an operation, when it had its permit, to its answer; `ok` or not |
//! | `quoit_client_attempts_total` | counter | `kind` | requests | those queued for a node. `kind`: `read`, `hedge`, `write`, `repair`, `hint`, `probe`, `ask`, `register` (steps of conditional writes and linearizable reads) |
//! | `quoit_client_remints_total` | counter | | writes | minted again, since a later write superseded them |
//! | `quoit_client_hedges_won_total` | counter | | reads | that were hedged and ended without one of the replicas asked first |
//! | `quoit_client_hedges_refused_total` | counter | | reads | that would have hedged and had no token |
//! | `quoit_client_repairs_refused_total` | counter | | requests | repairs in the background that were not sent, since their budget of bytes was used up |
//! | `quoit_client_hints_total` | counter | `outcome` | hints | `stored` by a node of the list, `forgone` since none of them kept it |
//! | `quoit_client_refusals_total` | counter | `reason` | answers | that were refusals. `reason`: `overloaded`, `expired` (also those that this client never wrote, since their time was over), `unfit` (stopping, not ready, broken), `other` |
//! | `quoit_client_unreachable_total` | counter | | requests | not made, since there was no connection to their node |
//! | `quoit_client_unsent_total` | counter | | requests | turned away, since too much waited for their node |
//! | `quoit_client_taken_back_total` | counter | | requests | taken back before they were sent: nobody waited for them any more, and many of them waited for nodes that were slow to read |
//! | `quoit_client_connections_lost_total` | counter | | connections | that broke |
//! | `quoit_client_ejections_total` | counter | | nodes | ejected: asked last until they answer |
//!
//! Install a recorder (`metrics-exporter-prometheus` is one) before the client is made, since descriptions are
//! published then. Counters are published as increments, so several clients in one process add up. A latency falls
//! into one of sixteen buckets per octave and is published as the middle of its bucket, within 3 % of the truth.
//!
//! Invariants: the facade is called only between batches of events, never while one is handled, and no decision depends
//! on a counter. Without a recorder the only cost is the additions. Left out: the present state of each node, which
//! [`Client::health`](crate::Client::health) reports.

mod counters;
mod latency;
mod publish;
mod series;

pub use counters::RequestKind;
pub(crate) use counters::{Counters, End, Kind, Operations};
pub(crate) use publish::Publisher;
