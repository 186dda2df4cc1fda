//! When operations begin.

use super::*;
use crate::args::Spread;
use crate::args::values::Ramp;
use crate::result::Percentiles;
use crate::run::testing::Fake;
use crate::target::Target;
use crate::workload::{Distribution, Generator, Sizes, Values};

const TIME: Duration = Duration::from_secs(10);
const MS: Duration = Duration::from_millis(1);

fn executor(fake: &Arc<Fake>, mix: &str) -> Arc<Executor> {
    let generator = Generator::new(
        1,
        mix.parse().unwrap(),
        100,
        Distribution::Uniform,
        Sizes::Fixed(10),
    );
    Arc::new(Executor::new(
        vec![Target::Fake(Arc::clone(fake))],
        Values::new(1, 10),
        None,
        generator,
    ))
}

fn open(rate: f64) -> Pace {
    let ramp = Ramp {
        from: rate,
        to: rate,
    };
    Pace::Open(
        Schedule::new(ramp, TIME.as_secs_f64(), Spread::Uniform, 1),
        Timer::Coarse,
    )
}

async fn run(fake: &Arc<Fake>, mix: &str, pace: Pace, most: usize) -> Arc<LoadDriver> {
    let recorder = Recorder::new(Instant::now(), TIME, Duration::from_secs(1)).unwrap();
    let driver = LoadDriver::new(executor(fake, mix), pace, most, recorder).unwrap();
    Arc::clone(&driver).run().await.unwrap();
    driver
}

fn latencies_of(driver: &LoadDriver) -> (Percentiles, Percentiles) {
    let get = &driver.recorder().operations().unwrap()["get"];
    (get.intended, get.service)
}

/// Ten in flight at 1 ms each serve 10,000 a second; the stall lets a second's worth wait, at a rate that
/// the rest of the time works off.
#[tokio::test(start_paused = true)]
async fn a_stalled_store_shows_in_intended_latency_and_not_in_service_latency() {
    let stall = (Duration::from_secs(3), Duration::from_secs(4));
    let fake = Arc::new(Fake::new(MS, Some(stall)));
    let driver = run(&fake, "get=1", open(1000.0), 10).await;
    let (intended, service) = latencies_of(&driver);
    // Ten operations met the stall themselves; a tenth of all had to wait behind them.
    assert!(service.p99 < 5000, "{service:?}");
    assert!(service.max > 990_000, "{service:?}");
    assert!(intended.p50 < 5000, "{intended:?}");
    assert!(intended.p95 > 400_000, "{intended:?}");
    assert!(intended.p99 > 800_000, "{intended:?}");
    assert!(
        driver.lateness().for_room > 900,
        "{:?}",
        driver.lateness().for_room
    );
    assert!(
        driver.lateness().own.max() <= 1500,
        "the generator itself was on time"
    );
    assert_eq!(driver.lateness().never, 0);
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_keeps_its_operations_in_flight_and_omits_the_stall() {
    let stall = (Duration::from_secs(3), Duration::from_secs(4));
    let fake = Arc::new(Fake::new(MS, Some(stall)));
    let driver = run(&fake, "get=1", Pace::Closed, 10).await;
    let (intended, service) = latencies_of(&driver);
    assert_eq!(intended, service);
    assert!(
        intended.p99 < 5000,
        "what coordinated omission looks like: {intended:?}"
    );
    assert_eq!(fake.most.load(Ordering::Relaxed), 10);
    let (done, failed) = driver.recorder().counts();
    assert!((30_000..=90_010).contains(&done) && failed == 0, "{done}");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_bound_are_ever_in_flight() {
    let fake = Arc::new(Fake::new(100 * MS, None));
    let driver = run(&fake, "put=1", open(1000.0), 7).await;
    assert_eq!(fake.most.load(Ordering::Relaxed), 7);
    let (done, _) = driver.recorder().counts();
    let never = driver.lateness().never;
    assert!(done.abs_diff(7 * 99) < 14, "{done}");
    // At 1,000 a second the very last start lies on the end itself.
    assert!(
        (9999..=10_000).contains(&(done + never)),
        "every start is accounted for: {done}, {never}"
    );
    assert_eq!(driver.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_keeps_up_gets_exactly_the_rate() {
    let fake = Arc::new(Fake::new(MS, None));
    let driver = run(&fake, "get=1", open(1000.0), 4096).await;
    let (done, failed) = driver.recorder().counts();
    assert!((9999..=10_000).contains(&done), "{done}");
    let lateness = driver.lateness();
    assert_eq!((failed, lateness.never, lateness.for_room), (0, 0, 0));
    assert!(fake.most.load(Ordering::Relaxed) <= 4);
}

#[tokio::test(start_paused = true)]
async fn failures_are_counted_and_the_load_goes_on() {
    let fake = Arc::new(Fake::new(MS, None));
    let driver = run(&fake, "delete=1", open(100.0), 8).await;
    let (done, failed) = driver.recorder().counts();
    assert_eq!(done, 0);
    assert!((999..=1000).contains(&failed));
    assert_eq!(
        driver.recorder().operations().unwrap()["delete"].errors["refused"],
        failed
    );
}
