//! What only the operating system knows or can do: processor time, memory, cores, precise timers.
//!
//! ```text
//!   /proc/PID/stat, /proc/self/task/TID/stat     user and system time, in ticks of 10 ms
//!   /proc/PID/status                             VmHWM: the most memory it ever held
//!   timerfd                                      wakes within microseconds; tokio's own timer counts
//!                                                milliseconds, which would show in every latency
//! ```
//!
//! On other systems than Linux the figures are missing and timers are tokio's. Tests with paused time use
//! tokio's timers, too. Source: `proc_pid_stat(5)`, `timerfd_create(2)`.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

const TICK: Duration = Duration::from_millis(10);
/// Where user time stands in a `stat`, counted from the field behind the name; system time follows.
const USER: usize = 11;

/// Processor time of all threads of a process since its start, or `None` if it is gone.
pub(crate) fn cpu(pid: u32) -> Option<Duration> {
    ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Most bytes of memory that a process has held at once.
pub(crate) fn peak_memory(pid: u32) -> Option<u64> {
    peak(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// A thread of this process.
#[derive(Debug)]
pub(crate) struct Thread {
    /// Of the first thread, the process's.
    pub(crate) number: u32,
    /// Its first 15 bytes.
    pub(crate) name: String,
    pub(crate) used: Duration,
}

/// Processor time of each thread of this process.
pub(crate) fn own_threads() -> Vec<Thread> {
    let tasks = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let thread = |entry: std::fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, name) = stat.rsplit_once(')')?.0.split_once('(')?;
        Some(Thread {
            number,
            name: name.to_owned(),
            used: ticks(&stat)?,
        })
    };
    tasks.filter_map(thread).collect()
}

/// The name may hold anything, so fields are counted from behind its last parenthesis.
fn ticks(stat: &str) -> Option<Duration> {
    let (_name, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(USER);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK.saturating_mul(user.saturating_add(system)))
}

fn peak(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// Keeps this process, and all that it starts from now on, on one core. To be called before any thread
/// is started: those that are there already keep their cores.
#[cfg(target_os = "linux")]
pub(crate) fn pin(core: usize) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};

    if core >= CpuSet::MAX_CPU {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "there is no such core",
        ));
    }
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// Keeps this process on one core.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_core: usize) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system does not pin",
    ))
}

/// Whether a folder lies in memory, where syncing costs nothing and keeps nothing.
#[cfg(target_os = "linux")]
pub(crate) fn is_in_memory(folder: &std::path::Path) -> bool {
    /// `TMPFS_MAGIC` of `statfs(2)`.
    const TMPFS: u64 = 0x0102_1994;
    let kind = rustix::fs::statfs(folder)
        .ok()
        .and_then(|found| u64::try_from(found.f_type).ok());
    kind == Some(TMPFS)
}

/// Whether a folder lies in memory: not known here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_in_memory(_folder: &std::path::Path) -> bool {
    false
}

/// Waits for moments.
#[derive(Debug)]
pub(crate) enum Timer {
    /// To microseconds.
    #[cfg(target_os = "linux")]
    Fine(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>),
    /// To milliseconds.
    Coarse,
}

impl Timer {
    /// As precise as the system has it.
    pub(crate) fn precise() -> Self {
        #[cfg(target_os = "linux")]
        if let Ok(timer) = fine() {
            return Self::Fine(timer);
        }
        Self::Coarse
    }

    /// Returns when `moment` has come.
    pub(crate) async fn until(&self, moment: Instant) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Fine(timer) => {
                // A timer that cannot be set has no better replacement than a late one.
                if wait(timer, moment).await.is_err() {
                    tokio::time::sleep_until(moment).await;
                }
            }
            Self::Coarse => tokio::time::sleep_until(moment).await,
        }
    }
}

#[cfg(target_os = "linux")]
#[expect(
    deprecated,
    reason = "its successor is unsafe, for descriptors that are closed or exchanged early; an owned one is neither"
)]
fn fine() -> io::Result<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>> {
    use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    tokio::io::unix::AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)
}

#[cfg(target_os = "linux")]
async fn wait(
    timer: &tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>,
    moment: Instant,
) -> io::Result<()> {
    use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

    let left = moment.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Ok(());
    }
    let zero = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let value = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    };
    timerfd_settime(
        timer,
        TimerfdTimerFlags::empty(),
        &Itimerspec {
            it_interval: zero,
            it_value: value,
        },
    )?;
    loop {
        let mut ready = timer.readable().await?;
        let mut times = [0; 8];
        if let Ok(read) = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut times)?)) {
            return read.map(drop);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_behind_a_name_that_holds_anything() {
        let stat = "7 (a ) (b) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0";
        assert_eq!(ticks(stat), Some(Duration::from_millis(1500)));
        assert_eq!(peak("VmPeak:\t9 kB\nVmHWM:\t  2048 kB\n"), Some(2 << 20));
        assert_eq!(ticks("7 (x) S 1"), None);
        assert_eq!(peak("VmHWM: lots"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_figures() {
        let pid = std::process::id();
        assert!(cpu(pid).is_some());
        assert!(peak_memory(pid).unwrap() > 1 << 20);
        assert!(own_threads().iter().any(|thread| thread.number == pid));
        assert_eq!(cpu(u32::MAX), None);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_precise_timer_never_wakes_early_and_can_be_used_again() {
        let timer = Timer::precise();
        assert!(matches!(timer, Timer::Fine(_)));
        for micros in [0, 1, 300, 2000] {
            let moment = Instant::now() + Duration::from_micros(micros);
            timer.until(moment).await;
            assert!(Instant::now() >= moment);
        }
    }
}
