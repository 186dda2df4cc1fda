//! What clap cannot say about a line: which flags make sense together, and with which store.
//!
//! ```text
//!   --at 5s kill n4      on three nodes          --no-load     on an own, empty cluster
//!   --verify --value 8   no space for a version  --cluster     for a peer
//!   --clients 8          with one in flight      --keys 5M     with cas
//! ```
//!
//! Checked before anything is started, and refused by a sentence that says what would be right.

use super::RunArgs;
use super::fault::Fault;
use super::values::ClusterSpec;
use crate::run::Marks;
use crate::workload::{HEADER_BYTES, Mix, Verb};

impl RunArgs {
    /// The fault script, in order of time.
    ///
    /// # Errors
    /// A sentence, if an act makes no sense in this run.
    pub(crate) fn faults(&self) -> Result<Vec<Fault>, String> {
        let mut faults = Vec::new();
        let mut words = &self.script.at[..];
        while !words.is_empty() {
            let (fault, rest) = Fault::parse(words, self.nodes())?;
            faults.push(fault);
            words = rest;
        }
        faults.sort_by_key(|fault| fault.at);
        match faults.iter().find(|fault| fault.at >= self.pace.seconds) {
            None => Ok(faults),
            Some(late) => Err(format!(
                "--at {:?} is not before the end of the {:?} that are measured",
                late.at, self.pace.seconds
            )),
        }
    }

    /// The own cluster that is to be started, if one is.
    pub(crate) fn own_cluster(&self) -> Option<ClusterSpec> {
        let own = self.store.target == "quoit" && self.store.profile.is_none();
        own.then(|| self.store.cluster.unwrap_or_default())
    }

    /// Operations that may be under way at once.
    pub(crate) const fn in_flight(&self) -> u32 {
        if self.pace.closed {
            self.pace.in_flight
        } else {
            self.pace.max_in_flight
        }
    }

    /// Which verbs, how often.
    pub(crate) fn mix(&self) -> Mix {
        self.work.mix.unwrap_or(self.work.workload.mix)
    }

    fn nodes(&self) -> usize {
        self.own_cluster().map_or(0, |spec| spec.nodes)
    }

    /// Whether the flags make sense together, where clap cannot say.
    ///
    /// # Errors
    /// A sentence, if they do not.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.faults()?;
        if self.store.target != "quoit"
            && (self.store.cluster.is_some() || self.store.profile.is_some())
        {
            return Err(
                "--cluster and --profile are for quoit; a peer is named by --target alone"
                    .to_owned(),
            );
        }
        if self.work.no_load && self.own_cluster().is_some() {
            return Err(
                "--no-load needs a store that has the keys already; an own cluster is empty"
                    .to_owned(),
            );
        }
        if self.in_flight() < self.store.clients {
            return Err(format!(
                "--clients {} needs as many in flight: with less some of them would have nothing to do",
                self.store.clients
            ));
        }
        let most = Marks::MOST;
        if self.mix().has(Verb::Cas) && self.work.keys > most {
            return Err(format!(
                "a cas expects what its key held when it was last seen, which is kept in memory: --keys must be {most} or less"
            ));
        }
        let least = HEADER_BYTES;
        if self.script.verify && self.work.value.least() < least {
            return Err(format!(
                "--verify writes key and version into each value: --value must be {least} bytes or more"
            ));
        }
        Ok(())
    }
}
