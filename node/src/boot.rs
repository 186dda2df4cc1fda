//! Which boot of its machine a node runs in.
//!
//! ```text
//!   boot 7f3a..   node runs | killed | node runs           the system's cache is the same all the time
//!   power is lost, or the system dies: what was only in the cache is gone
//!   boot 09c1..              node runs
//! ```
//!
//! Linux draws a boot id at each start. Where nobody says it, it is unknown, and an end without a stop counts as a loss
//! of power: so does a disk that comes back at another machine. What follows from it is
//! [`LastRun`](crate::identity::LastRun)'s to say.

use std::time::Duration;

/// The name of one boot; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootId(pub u128);

/// The boot in which a node starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Boot {
    /// Its name, if the system says it.
    pub id: Option<BootId>,
    /// For how long it has lasted at least.
    pub up: Duration,
}

impl Boot {
    /// What this system says.
    ///
    /// ```
    /// use quoit_node::boot::Boot;
    ///
    /// assert_eq!(Boot::read().id, Boot::read().id);
    /// ```
    #[must_use]
    pub fn read() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            id: parse_id(&read("/proc/sys/kernel/random/boot_id")),
            up: parse_up(&read("/proc/uptime")),
        }
    }
}

/// A boot id, a UUID in hexadecimal with dashes; none of anything else.
fn parse_id(text: &str) -> Option<BootId> {
    let digits: String = text.trim().split('-').collect();
    if digits.len() != 32 {
        return None;
    }
    let id = u128::from_str_radix(&digits, 16).ok()?;
    (id != 0).then_some(BootId(id))
}

/// The first of two numbers, seconds since the boot; zero if it is none.
fn parse_up(text: &str) -> Duration {
    let first = text.split_whitespace().next();
    let seconds = first.and_then(|first| first.parse().ok());
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_is_a_uuid_and_nothing_else() {
        let id = parse_id("0123abcd-0000-0000-0000-0000000000ff\n");
        assert_eq!(id, Some(BootId(0x0123_abcd << 96 | 0xff)));
        let zero = "00000000-0000-0000-0000-000000000000";
        for none in ["", "0123abcd", "+123abcd-0000-0000-0000-00000000000g", zero] {
            assert_eq!(parse_id(none), None, "{none}");
        }
    }

    #[test]
    fn the_uptime_is_the_first_number_and_junk_is_none() {
        assert_eq!(parse_up("12.50 99.00\n"), Duration::from_millis(12_500));
        for none in ["", "up", "-3 1", "nan", "inf", "1e300"] {
            assert_eq!(parse_up(none), Duration::ZERO, "{none}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_says_in_which_boot_it_is() {
        let boot = Boot::read();
        assert!(boot.id.is_some() && boot.up > Duration::ZERO);
    }
}
