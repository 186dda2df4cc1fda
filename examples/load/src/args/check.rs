//! What clap cannot say about a line: which flags make sense together, and with which store.
//!
//! ```text
//!   --at 5s kill n4      on three nodes          --no-load     on an own, empty cluster
//!   --verify --value 8   no space for a version  --cluster     for a peer
//! ```
//!
//! Checked before anything is started, and refused by a sentence that says what would be right.

use super::RunArgs;
use super::fault::Fault;
use super::values::ClusterSpec;
use crate::workload::HEADER_BYTES;

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
        let least = HEADER_BYTES;
        if self.script.verify && self.work.value.least() < least {
            return Err(format!(
                "--verify writes key and version into each value: --value must be {least} bytes or more"
            ));
        }
        Ok(())
    }
}
