//! No acknowledged write is lost, whatever is killed.
//!
//! ```text
//!   5 processes, N = 3     500 writers, 100,000 keys
//!     kill -9 each in turn, then all five at once, then one pauses for 3 s
//!     every read of the run, and one of every key at the end, is checked against its writer's ledger
//! ```
//!
//! A run counts only if every fault struck while writes were under way and enough were acknowledged between
//! any two; writes must go on while one node is down.
//!
//! `QUOIT_KILLS=N` adds N kills, each of one to all nodes, chosen at random. In `set` unique elements are
//! added under the same kills, with W = 2 and W = 1.

#[cfg(test)]
mod faults;
#[cfg(test)]
mod load;
#[cfg(test)]
mod set;

/// Two clusters at a time would only slow each other down.
#[cfg(test)]
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[cfg(test)]
mod tests {
    use quoit_node::config::Durability;

    use crate::ONE_AT_A_TIME;
    use crate::faults::survive;

    #[tokio::test]
    async fn no_acknowledged_write_is_lost_when_writes_are_synced() {
        let _turn = ONE_AT_A_TIME.lock().await;
        survive(Durability::Fsync).await;
    }

    #[tokio::test]
    async fn no_acknowledged_write_is_lost_when_writes_are_buffered() {
        let _turn = ONE_AT_A_TIME.lock().await;
        survive(Durability::Buffered).await;
    }
}
