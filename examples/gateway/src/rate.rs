//! How many requests one address may make.
//!
//! ```text
//! GCRA:   due = max(due, now) + 1/rate        due - now <= 1 s (a burst)  or refused, with the time to wait
//! ```
//!
//! One number for each address that was heard within the last second. Bound: `ADDRESSES` of them; when the table is full
//! of addresses that are all active, a new one is refused for a second, so a flood from many addresses costs no memory.
//!
//! Source: the generic cell rate algorithm, ITU-T I.371.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most addresses that are remembered.
const ADDRESSES: usize = 16_384;
/// What one address may use at once.
const BURST: Duration = Duration::from_secs(1);

/// Counts requests by address.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    each: Duration,
    due: Mutex<BTreeMap<IpAddr, Instant>>,
}

impl RateLimiter {
    /// Lets `per_second` requests through, at least one.
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            each: BURST / per_second.max(1),
            due: Mutex::default(),
        }
    }

    /// Counts a request of `address`.
    ///
    /// # Errors
    /// How long to wait for the next one that is let through; this one is not counted.
    pub(crate) fn admit(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let address = network(address);
        // A panic elsewhere leaves the table whole: each change of it is one insertion or removal.
        let mut table = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= ADDRESSES && !table.contains_key(&address) {
            table.retain(|_, due| *due > now);
            if table.len() >= ADDRESSES {
                return Err(BURST);
            }
        }

        let due = table.get(&address).map_or(now, |due| (*due).max(now)) + self.each;
        let ahead = due - now;
        if ahead > BURST {
            return Err(ahead - BURST);
        }
        table.insert(address, due);
        Ok(())
    }
}

/// What is counted as one: an IPv4 address, or the network of an IPv6 address, whose owner has them all.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + last).into()
    }

    #[test]
    fn a_burst_passes_then_the_rate_and_each_address_has_its_own() {
        let (limiter, start) = (RateLimiter::new(10), Instant::now());
        let passed = |address, now| limiter.admit(address, now).is_ok();
        assert_eq!((0..20).filter(|_| passed(v4(1), start)).count(), 10);
        assert_eq!(
            limiter.admit(v4(1), start),
            Err(Duration::from_millis(100)),
            "the time to wait"
        );
        assert!(passed(v4(2), start));
        let later = start + Duration::from_millis(250);
        assert_eq!((0..20).filter(|_| passed(v4(1), later)).count(), 2);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let (limiter, now) = (RateLimiter::new(1), Instant::now());
        assert!(limiter.admit("2001:db8::1".parse().unwrap(), now).is_ok());
        assert!(limiter.admit("2001:db8::2".parse().unwrap(), now).is_err());
        assert!(limiter.admit("2001:db8:1::".parse().unwrap(), now).is_ok());
        assert!(
            limiter
                .admit("::ffff:10.0.0.1".parse().unwrap(), now)
                .is_ok()
        );
        assert!(limiter.admit(v4(1), now).is_err());
    }

    #[test]
    fn a_full_table_forgets_the_idle_and_refuses_the_new() {
        let (limiter, now) = (RateLimiter::new(2), Instant::now());
        let all = u32::try_from(ADDRESSES).unwrap();
        assert!((0..all).all(|last| limiter.admit(v4(last), now).is_ok()));
        assert_eq!(limiter.admit(v4(all), now), Err(BURST));
        assert!(
            limiter.admit(v4(0), now).is_ok(),
            "one that is known goes on"
        );
        assert!(limiter.admit(v4(all), now + BURST).is_ok());
        assert!(limiter.due.lock().unwrap().len() < 3);
    }
}
