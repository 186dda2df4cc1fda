//! The command: counts, prints a table, and compares with the baseline.
//!
//! ```text
//!   cargo bench-costs             a table beside the baseline
//!   cargo bench-costs --check     and exit code 1 if an operation takes 5 % more instructions
//!   cargo bench-costs --save      makes this the baseline
//! ```
//!
//! Where there is no valgrind, or a compiler other than the baseline's, nothing can be checked: that is said, and
//! is no failure. What an operation allocates is guarded everywhere, by the tests.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use crate::baseline::Baseline;
use crate::callgrind;
use crate::meter::Case;

/// An operation that takes this part more instructions than before has become slower: 5 %. Code that moves
/// makes one or two.
const TOLERANCE: f64 = 0.05;

/// Does what the command line says, for one crate's cases and the folder of its baseline.
pub(crate) fn report(
    crate_name: &str,
    cases: &[Case],
    folder: &str,
) -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [option, name] = &arguments[..]
        && option == callgrind::COUNTED
    {
        callgrind::counted(cases, name)?;
        return Ok(ExitCode::SUCCESS);
    }
    let asked = |option: &str| arguments.iter().any(|given| given == option);
    if !callgrind::is_installed() {
        println!("{crate_name}: valgrind is not installed, so no instructions were counted");
        return Ok(ExitCode::SUCCESS);
    }
    let file = Path::new(folder).join("benches/costs.txt");
    let counts = cases
        .iter()
        .map(|case| callgrind::instructions(crate_name, case));
    let now = Baseline::of(cases, &counts.collect::<Result<Vec<_>, _>>()?)?;
    if asked("--save") {
        now.save(&file)?;
    }
    let before = Baseline::load(&file)?;
    print(crate_name, &now, &before);
    if !asked("--check") {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(check(crate_name, &now, &before))
}

/// Prints the table.
fn print(crate_name: &str, now: &Baseline, before: &Baseline) {
    println!("\n| {crate_name} | instructions | before | change |");
    println!("| --- | ---: | ---: | ---: |");
    for (name, count) in now.counts() {
        match before.count(name) {
            None => println!("| {name} | {count} | | |"),
            Some(old) => println!(
                "| {name} | {count} | {old} | {:+.1} % |",
                change(old, *count) * 100.0
            ),
        }
    }
}

/// Says which operations have become slower.
fn check(crate_name: &str, now: &Baseline, before: &Baseline) -> ExitCode {
    if !now.is_of_the_compiler_of(before) {
        let compiler = before.compiler();
        println!("{crate_name}: not checked, the baseline is of another compiler ({compiler})");
        return ExitCode::SUCCESS;
    }
    let mut code = ExitCode::SUCCESS;
    for (name, count) in now.counts() {
        let old = before.count(name);
        if old.is_none_or(|old| change(old, *count) > TOLERANCE) {
            println!(
                "{crate_name}: `{name}` takes {count} instructions, {} before",
                old.unwrap_or(0)
            );
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// By which part more `now` is.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn change(before: u64, now: u64) -> f64 {
    now as f64 / before.max(1) as f64 - 1.0
}
