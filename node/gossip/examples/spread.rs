//! How fast news spreads, what that costs, and how the dead are found: by the size of the cluster.
//!
//! ```text
//! cargo run --release -p quoit-gossip --example spread            3 to 1,000 members, some minutes
//! cargo run --release -p quoit-gossip --example spread 10 100     these sizes
//! ```
//!
//! The machines are those of a node; network and time are the simulation's of `tests/simulation`, one seed for each size.
//! Columns: seconds, which are rounds, until all know a new epoch that one has learnt; bytes that a node sends a second,
//! the longest message, and pings of a node a second, when the cluster has run for some minutes; suspicions of living members, per node and
//! hour, and how often a node hears no majority, while one message in twenty is lost, and once more without helpers and
//! without probes; and under the same loss the time from a death until another node suspects it, and until it calls it failed.

#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::error::Error;
use std::time::Duration;

use quoit_gossip::{BadOptions, Options};
use quoit_ring::Moment;
use quoit_ring::wire::MemberState;

use crate::world::World;

#[path = "../tests/simulation/rng.rs"]
mod rng;
#[path = "../tests/simulation/world.rs"]
#[expect(dead_code, reason = "the tests do more to it")]
mod world;

const SIZES: [usize; 7] = [3, 5, 10, 30, 100, 300, 1_000];
/// Messages lost, of 10,000.
const LOSS: u64 = 500;
/// Changes that spread, and members that die, for each size.
const TIMES: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut sizes = Vec::new();
    for size in std::env::args().skip(1) {
        sizes.push(size.parse()?);
    }
    if sizes.is_empty() {
        sizes.extend(SIZES);
    }
    println!(
        "| members | all know after, median / worst | B/s a node | longest message | pings/s a node | false suspicions | no helpers | no probes \
         | isolated | suspect, median / p99 | failed, median / p99 |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let rows = |sizes: &[usize]| -> Result<Vec<String>, BadOptions> {
        sizes.iter().map(|&size| row(size)).collect()
    };
    // The largest takes longer than all others together: two threads.
    let (small, large) = sizes.split_at(sizes.len() - 1);
    let both = std::thread::scope(|scope| {
        let large = scope.spawn(|| rows(large));
        (rows(small), large.join())
    });
    let (small, Ok(large)) = both else {
        return Err("a thread panicked".into());
    };
    for row in small?.into_iter().chain(large?) {
        println!("{row}");
    }
    Ok(())
}

fn row(size: usize) -> Result<String, BadOptions> {
    let mut world = World::new(size, 1, Options::default())?;
    world.run(secs(20));
    let mut spread = spread(&mut world);
    // As long as a heartbeat takes one byte, messages are shorter than they will be ever after.
    let early = secs(260).saturating_sub(world.now.saturating_since(Moment(0)));
    world.run(early);
    let (bytes, pings) = traffic(&mut world);

    world.loss = LOSS;
    let (suspicions, isolations) = per_node_hour(&mut world);
    let (mut suspect, mut failed) = deaths(&mut world);
    let bare = |helpers, probes| -> Result<String, BadOptions> {
        if size > 100 {
            return Ok(String::new());
        }
        let options = Options {
            helpers,
            probes,
            ..Options::default()
        };
        let mut world = World::new(size, 1, options)?;
        world.loss = LOSS;
        world.run(secs(20));
        Ok(format!("{:.2}", per_node_hour(&mut world).0))
    };
    Ok(format!(
        "| {size} | {} / {} | {bytes} | {} | {pings:.2} | {suspicions:.2} | {} | {} | {isolations:.2} | {} / {} | {} / {} |",
        seconds(&mut spread, 50),
        seconds(&mut spread, 100),
        world.longest,
        bare(0, true)?,
        bare(0, false)?,
        seconds(&mut suspect, 50),
        seconds(&mut suspect, 99),
        seconds(&mut failed, 50),
        seconds(&mut failed, 99),
    ))
}

/// Times until all know an epoch.
fn spread(world: &mut World) -> Vec<Duration> {
    let count = world.nodes.len();
    let mut times = Vec::new();
    for time in 0..TIMES {
        world.decide_again(time * 7 % count);
        let (begun, epoch) = (world.now, world.newest());
        world.run_while(secs(60), |world| world.know(epoch) < count);
        times.push(world.now.saturating_since(begun));
    }
    times
}

/// Bytes and pings that a node sends a second.
fn traffic(world: &mut World) -> (u64, f64) {
    const SECONDS: u64 = 10;
    let (bytes, pings) = (world.bytes, world.pings);
    world.run(secs(SECONDS));
    let node_seconds = SECONDS * world.nodes.len() as u64;
    let pings = (world.pings - pings) as f64 / node_seconds as f64;
    ((world.bytes - bytes) / node_seconds, pings)
}

/// Suspicions, and times in which a node heard no majority, per node and hour: over ten hours of nodes and more.
fn per_node_hour(world: &mut World) -> (f64, f64) {
    let seconds = (72_000 / world.nodes.len() as u64).clamp(36, 14_400);
    world.changes.clear();
    let isolations = world.isolations;
    world.run(secs(seconds));
    let suspect = world
        .changes
        .iter()
        .filter(|change| change.to == MemberState::Suspect);
    let node_hours = world.nodes.len() as f64 * seconds as f64 / 3_600.0;
    let isolations = world.isolations - isolations;
    (
        suspect.count() as f64 / node_hours,
        isolations as f64 / node_hours,
    )
}

/// Times from a death until another sees it, suspect and failed.
fn deaths(world: &mut World) -> (Vec<Duration>, Vec<Duration>) {
    let (mut suspect, mut failed) = (Vec::new(), Vec::new());
    let times = if world.nodes.len() < 1_000 { TIMES } else { 1 };
    for time in 0..times {
        let dead = time % world.nodes.len();
        world.changes.clear();
        let death = world.now;
        world.kill(dead);
        world.run(secs(50));
        for change in world.changes.iter().filter(|change| change.member == dead) {
            let after = change.at.saturating_since(death);
            match change.to {
                MemberState::Suspect => suspect.push(after),
                MemberState::Failed => failed.push(after),
                MemberState::Alive => {}
            }
        }
        if world.restart(dead).is_ok() && time + 1 < times {
            world.run(secs(20));
        }
    }
    (suspect, failed)
}

/// The time that so many percent do not exceed, in seconds.
fn seconds(times: &mut [Duration], percent: usize) -> String {
    times.sort_unstable();
    let place = (times.len() * percent).div_ceil(100).max(1) - 1;
    times
        .get(place)
        .map_or_else(String::new, |time| format!("{:.1}", time.as_secs_f64()))
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
