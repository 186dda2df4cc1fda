//! Instructions of each case, counted by callgrind: a processor in software, which gives the same count each time.
//!
//! ```text
//!   this program --starts, for each case--> valgrind --tool=callgrind this program --counted CASE
//!                                              collects only inside `counted_part`
//!   this program <--reads the total---------- a profile, kept in target/tmp: `callgrind_annotate` shows it
//! ```
//!
//! Counts repeat to within a few instructions for one binary on one kind of processor. Another compiler or C
//! library gives others, so a baseline names its compiler. Left out: caches, branches and system calls, which
//! a processor in software does not have; a count is a cost, not a time.

use core::hint::black_box;
use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::meter::Case;

/// Before the name of a case that the program is to do, since somebody counts.
pub(crate) const COUNTED: &str = "--counted";

/// Does one case under the eye of callgrind.
pub(crate) fn counted(cases: &[Case], name: &str) -> Result<(), Box<dyn Error>> {
    let case = cases.iter().find(|case| case.name == name);
    let case = case.ok_or("no case of this name")?;
    case.measure(&mut |part| counted_part(part));
    Ok(())
}

/// Collecting is on while this runs.
#[inline(never)]
fn counted_part(part: &mut dyn FnMut()) {
    part();
    black_box(()); // so that this is more than a jump
}

/// Whether callgrind is there.
pub(crate) fn is_installed() -> bool {
    let mut version = Command::new("valgrind");
    let found = version.arg("--version").stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// Instructions of one operation.
pub(crate) fn instructions(crate_name: &str, case: &Case) -> Result<u64, Box<dyn Error>> {
    let name = format!("{crate_name} {}.callgrind", case.name).replace([' ', ','], "-");
    let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
        .arg("--toggle-collect=*callgrind::counted_part*")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(env::current_exe()?)
        .args([COUNTED, case.name])
        .status()?;
    if !status.success() {
        return Err(format!("valgrind ended with {status}").into());
    }
    Ok(total(&fs::read_to_string(profile)?)? / case.operations)
}

/// The sum in a profile.
fn total(profile: &str) -> Result<u64, Box<dyn Error>> {
    let line = profile
        .lines()
        .find_map(|line| line.strip_prefix("totals:"));
    let total: u64 = line.ok_or("a profile without a total")?.trim().parse()?;
    if total == 0 {
        return Err("nothing was counted: callgrind did not find the functions by name".into());
    }
    Ok(total)
}
