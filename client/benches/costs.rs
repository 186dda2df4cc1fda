//! Instructions of quorum gets and puts in the client.
//!
//! The operations are those of the test `costs`, which counts their allocations; how they are counted is shared
//! with the other crates.

#[path = "../../ring/benches/costs/baseline.rs"]
mod baseline;
#[path = "../tests/costs/by_hand.rs"]
mod by_hand;
#[path = "../../ring/benches/costs/callgrind.rs"]
mod callgrind;
#[path = "../tests/costs/cases.rs"]
mod cases;
#[path = "../../ring/tests/costs/meter.rs"]
mod meter;
#[path = "../../ring/benches/costs/report.rs"]
mod report;

use std::error::Error;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    report::report("client", cases::CASES, env!("CARGO_MANIFEST_DIR"))
}
