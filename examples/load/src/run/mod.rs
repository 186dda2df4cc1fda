//! A run, from an empty machine to a result.
//!
//! ```text
//!   start --> load --> (look) --> warm up --> (search) --> measure -----> verify --> result
//!   cluster   keys     for cas    unmeasured               |-- driver   the load
//!                                                          |-- faults   the script
//!                                                          |-- cost     processor time
//!                                                          '-- progress one line on the terminal
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`connect`](mod@connect) | the clients, and an own cluster |
//! | [`driver`], [`schedule`] | which worker begins an operation, and when |
//! | [`executor`], [`recorder`] | one operation; what came of it |
//! | [`search`] | the highest rate |
//! | [`faults`], [`phases`] | acts, and the time between them |
//! | [`cost`], [`verdict`] | processor time, plain sentences |
//! | [`bulk`], [`progress`] | loading and reading back; what a terminal shows |
//!
//! Invariant: whatever happens, the cluster that was started is gone when [`run`] is. The generator has one
//! thread of its own, so that its processor time is known apart from the client's.

mod bulk;
mod connect;
mod cost;
mod driver;
mod executor;
mod faults;
pub(crate) mod figures;
pub(crate) mod folder;
mod lateness;
mod outcome;
mod phases;
mod progress;
mod recorder;
mod schedule;
mod search;
mod settings;
#[cfg(test)]
pub(crate) mod testing;
mod verdict;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use self::cost::Cost;
use self::driver::{LoadDriver, Pace};
use self::executor::Executor;
pub(crate) use self::executor::Marks;
use self::faults::Done;
use self::recorder::Recorder;
use self::schedule::Schedule;
use crate::args::RunArgs;
use crate::args::fault::Fault;
use crate::args::values::Ramp;
use crate::cluster::Cluster;
use crate::os::Timer;
use crate::result::{HealthNote, RunResult, VerifyNote};
use crate::target::Target;
use crate::verify::Book;
use crate::workload::{Generator, Values, Verb};

/// A load begins this much after it is made, so that whatever else runs beside it is ready.
const HEAD_START: Duration = Duration::from_millis(10);
/// Slices of the time line: fine enough to see a fault of a second, and few enough to be drawn.
const SLICE: Duration = Duration::from_secs(1);
const FINE_SLICE: Duration = Duration::from_millis(100);
/// Up to this long a run is shown in fine slices anyway.
const SHORT: Duration = Duration::from_secs(30);

/// A cluster that the fault script and the end of the run share.
type Shared = Arc<Mutex<Cluster>>;

/// Everything between the first operation and the last.
struct Session<'a> {
    args: &'a RunArgs,
    /// The fault script.
    script: Vec<Fault>,
    executor: Arc<Executor>,
    cluster: Option<Shared>,
    searched: Vec<String>,
}

/// What measuring gave.
struct Measured {
    driver: Arc<LoadDriver>,
    cost: Cost,
    done: Vec<Done>,
    /// The client's doings in each phase, and in all of the time.
    health: (Vec<Option<HealthNote>>, Option<HealthNote>),
    started_unix_ms: u64,
    rate: Option<f64>,
}

/// Carries out a run.
///
/// # Errors
/// If the store cannot be reached or loaded, or the machine refuses something. Operations that fail are no
/// errors but results.
pub(crate) async fn run(args: &RunArgs) -> anyhow::Result<RunResult> {
    let script = args.faults().map_err(anyhow::Error::msg)?;
    let (clients, cluster) = connect::connect(args, &script).await?;
    let mut session = Session::new(args, script, clients, cluster);
    let executor = Arc::clone(&session.executor);
    if !args.work.no_load {
        bulk::load(&executor, args.work.keys, args.work.value, args.work.seed).await?;
    }
    if executor.generator().has(Verb::Cas) {
        bulk::look(&executor, args.work.keys, args.work.value).await?;
    }
    let measured = session.measure().await?;
    let verified = session.verify().await?;
    let result = session.result(&measured, verified);
    for client in executor.clients() {
        client.close().await;
    }
    result
}

impl<'a> Session<'a> {
    fn new(
        args: &'a RunArgs,
        script: Vec<Fault>,
        clients: Vec<Target>,
        cluster: Option<Shared>,
    ) -> Self {
        let work = &args.work;
        let (_, mix, distribution) = settings::workload(args);
        let generator = Generator::new(work.seed, mix, work.keys, distribution, work.value);
        let book = args.script.verify.then(|| Book::new(work.keys));
        // The time and not the seed identifies a run: the same seed may well run twice.
        let run = u32::try_from(unix_ms() & u64::from(u32::MAX)).unwrap_or(0);
        let executor = Executor::new(
            clients,
            Values::new(run, work.value.most()),
            book,
            generator,
        );
        Self {
            args,
            script,
            executor: Arc::new(executor),
            cluster,
            searched: Vec::new(),
        }
    }

    async fn measure(&mut self) -> anyhow::Result<Measured> {
        let pace = &self.args.pace;
        if !pace.warm_up.is_zero() {
            let driver = self.driver(pace.rate, pace.warm_up, SLICE)?;
            load("warming up", &driver).await?;
        }
        let rate = match pace.p99 {
            Some(limit) if pace.find_rate => self.search(limit).await?,
            _ => pace.rate,
        };
        let driver = self.driver(rate, pace.seconds, self.slice())?;
        let started_unix_ms = unix_ms();
        let stretches = phases::stretches(&self.script, pace.seconds);
        let (begin, end) = (driver.begin(), driver.end());
        let clients = self.executor.clients();
        let (ran, cost, health, done) = tokio::join!(
            load("measuring", &driver),
            cost::watch(self.executor.target().clone(), begin, end),
            phases::watch(clients, &stretches, begin, end),
            faults::play(&self.script, self.cluster.clone(), Arc::clone(&driver)),
        );
        ran?;
        let cost = cost?;
        Ok(Measured {
            driver,
            cost,
            done,
            health,
            started_unix_ms,
            rate: (!pace.closed).then_some(rate),
        })
    }

    fn slice(&self) -> Duration {
        if self.script.is_empty() && self.args.pace.seconds > SHORT {
            SLICE
        } else {
            FINE_SLICE
        }
    }

    /// A load that begins now.
    fn driver(
        &self,
        rate: f64,
        time: Duration,
        slice: Duration,
    ) -> anyhow::Result<Arc<LoadDriver>> {
        let pace = &self.args.pace;
        let (kind, most) = if pace.closed {
            (Pace::Closed, pace.in_flight)
        } else {
            let ramp = match pace.ramp {
                Some(ramp) if time == pace.seconds => ramp,
                Some(Ramp { from, .. }) => Ramp { from, to: from },
                None => Ramp {
                    from: rate,
                    to: rate,
                },
            };
            let schedule =
                Schedule::new(ramp, time.as_secs_f64(), pace.arrivals, self.args.work.seed);
            (Pace::Open(schedule, Timer::precise()), pace.max_in_flight)
        };
        let recorder = Recorder::new(Instant::now() + HEAD_START, time, slice)?
            .with_phases(phases::stretches(&self.script, time));
        LoadDriver::new(
            Arc::clone(&self.executor),
            kind,
            usize::try_from(most).unwrap_or(usize::MAX),
            recorder,
        )
    }

    async fn verify(&self) -> anyhow::Result<Option<VerifyNote>> {
        if self.executor.book.is_none() {
            return Ok(None);
        }
        let keys = self.executor.generator().keys();
        Ok(Some(
            bulk::verify(&self.executor, keys, self.args.work.value).await?,
        ))
    }
}

/// Runs a load to its end, with a line on the terminal.
async fn load(what: &str, driver: &Arc<LoadDriver>) -> anyhow::Result<()> {
    let (ran, ()) = tokio::join!(Arc::clone(driver).run(), progress::show(what, driver));
    ran
}

/// Milliseconds since 1970.
fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
