//! Instructions of the operations that client and node share.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `cases`, `meter` | the operations; the tests count their allocations |
//! | `callgrind` | who counts |
//! | `baseline`, `report` | what was counted before, and what is said about it |

mod baseline;
mod callgrind;
#[path = "../../tests/costs/cases.rs"]
mod cases;
#[path = "../../tests/costs/meter.rs"]
mod meter;
mod report;

use std::error::Error;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    report::report("ring", cases::CASES, env!("CARGO_MANIFEST_DIR"))
}
