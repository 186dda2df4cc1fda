//! From what was measured to a result: figures, and the sentences that belong to them.
//!
//! ```text
//!   recorder --> operations, time line        faults --> notes        cost --> processor time
//!        `-- lateness, cores, deaths --> facts --> verdicts
//! ```
//!
//! Processor time is divided by the operations that succeeded within the measured time, which is the time that
//! processors were looked at.

use std::sync::PoisonError;
use std::time::Duration;

use super::cost::Cost;
use super::driver::LoadDriver;
use super::figures::Latencies;
use super::verdict::Facts;
use super::{Measured, Session, Shared, faults, settings, verdict};
use crate::cluster::Cluster;
use crate::os;
use crate::result::{FORMAT, RunResult, VerifyNote};

impl Session<'_> {
    /// The result of a run.
    ///
    /// # Errors
    /// If a histogram cannot be written.
    pub(super) fn result(
        &self,
        measured: &Measured,
        verify: Option<VerifyNote>,
    ) -> anyhow::Result<RunResult> {
        let Measured {
            driver,
            cost,
            done,
            health: (health_by_phase, health),
            started_unix_ms,
            rate,
        } = measured;
        let (name, ..) = settings::workload(self.args);
        let facts = self.facts(driver, cost);
        let mut recorder = driver.recorder();
        let timeline = recorder.timeline();
        let mut verdicts = verdict::sentences(&facts);
        verdicts.extend(self.searched.iter().cloned());
        verdicts.extend(self.broken_promise(&recorder.all()));
        verdicts.extend(faults::sentences(done));
        verdicts.extend(self.of_the_cluster(Cluster::dead));
        verdicts.extend(self.of_the_cluster(|cluster| cluster.dropped()));
        let offered = self
            .args
            .pace
            .ramp
            .map(|ramp| f64::midpoint(ramp.from, ramp.to))
            .or(*rate);
        Ok(RunResult {
            format: FORMAT,
            target: settings::target(self.args, &self.executor.target().describe()),
            workload: name,
            started_unix_ms: *started_unix_ms,
            settings: settings::settings(self.args, &self.script, *rate),
            seconds: facts.seconds,
            offered,
            operations: recorder.operations()?,
            faults: faults::notes(done, &timeline, self.slice().as_secs_f64()),
            timeline,
            phases: recorder.phases.notes(health_by_phase),
            health: *health,
            verify,
            cpu: cost.note(recorder.in_time()),
            verdicts,
        })
    }

    /// That the rate which a search found did not keep the limit when it was measured for longer.
    fn broken_promise(&self, all: &Latencies) -> Option<String> {
        let limit = self.args.pace.p99?;
        let p99 = Duration::from_micros(all.value_at_quantile(0.99));
        (p99 >= limit).then(|| {
            format!(
                "Measured for longer, the rate that was found did not keep p99 below {limit:?}: it was {:.2} ms.",
                p99.as_secs_f64() * 1e3
            )
        })
    }

    fn facts(&self, driver: &LoadDriver, cost: &Cost) -> Facts {
        let pace = &self.args.pace;
        let recorder = driver.recorder();
        let (done, failed) = recorder.counts();
        let lateness = driver.lateness();
        let synced = self.args.own_cluster().is_some_and(|spec| !spec.buffered);
        Facts {
            seconds: pace.seconds.as_secs_f64(),
            due: (!pace.closed).then(|| done + failed + lateness.never),
            in_time: recorder.in_time(),
            never: lateness.never,
            for_room: lateness.for_room,
            most: usize::try_from(pace.max_in_flight).unwrap_or(usize::MAX),
            late_p99: Duration::from_micros(lateness.own.value_at_quantile(0.99)),
            generator: cost.generator(),
            client: cost.client(),
            everybody: cost.everybody(),
            cores: settings::cores(),
            in_memory: synced && self.folder_is_in_memory(),
            servers_known: cost.knows_servers(),
            debug: cfg!(debug_assertions),
        }
    }

    fn folder_is_in_memory(&self) -> bool {
        let in_memory = |cluster: &Shared| {
            let cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
            os::is_in_memory(cluster.folder())
        };
        self.cluster.as_ref().is_some_and(in_memory)
    }

    /// Sentences that an own cluster has to say.
    fn of_the_cluster(&self, say: impl Fn(&mut Cluster) -> Vec<String>) -> Vec<String> {
        let say =
            |cluster: &Shared| say(&mut cluster.lock().unwrap_or_else(PoisonError::into_inner));
        self.cluster.as_ref().map(say).unwrap_or_default()
    }
}
