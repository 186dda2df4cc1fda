//! Processor time and memory of a process, from `/proc`.
//!
//! ```text
//!   /proc/PID/stat     pid (name) state ppid ... utime stime ...     fields 14 and 15, in ticks
//!   /proc/PID/status   VmRSS:  12345 kB
//! ```
//!
//! The name may hold anything, so fields are counted from behind its last parenthesis. A tick is 10 ms on
//! every Linux that matters; over a second and more that is precise enough.
//!
//! Source: `proc_pid_stat(5)`.

use std::io;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(10);
/// Where user and system time stand, counted from the field behind the name.
const USER: usize = 11;
const SYSTEM: usize = 12;

/// What a process has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processor time of all its threads since its start.
    pub cpu: Duration,
    /// Bytes of memory it holds now.
    pub resident: u64,
}

/// What the process with this number has used.
///
/// # Errors
/// If there is no such process.
pub fn of(pid: u32) -> io::Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let cpu = cpu(&stat).ok_or_else(|| malformed("stat"))?;
    let resident = resident(&status).ok_or_else(|| malformed("status"))?;
    Ok(Usage { cpu, resident })
}

/// What this process has used.
///
/// # Errors
/// If the system does not say.
pub fn own() -> io::Result<Usage> {
    of(std::process::id())
}

fn malformed(file: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("/proc/PID/{file} has another format here"),
    )
}

fn cpu(stat: &str) -> Option<Duration> {
    let (_name, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(USER);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.nth(SYSTEM - USER - 1)?.parse().ok()?;
    Some(TICK.saturating_mul(user.saturating_add(system)))
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
