//! Instructions of gets and puts at one node.
//!
//! The operations are those of the test `costs`, which counts their allocations; how they are counted is shared
//! with the other crates.

#[path = "../../ring/benches/costs/baseline.rs"]
mod baseline;
#[path = "../../ring/benches/costs/callgrind.rs"]
mod callgrind;
#[path = "../tests/costs/cases.rs"]
mod cases;
#[path = "../../ring/tests/costs/meter.rs"]
mod meter;
#[path = "../../ring/benches/costs/report.rs"]
mod report;
#[path = "../tests/costs/world.rs"]
mod world;

use std::error::Error;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    report::report("node", cases::CASES, env!("CARGO_MANIFEST_DIR"))
}
