//! Durations, sizes, counts and dates, as people write and read them.
//!
//! ```text
//! 1h30m  <->  5400 s       31102 -> 31,102       4681217 -> 4.5 MiB       0 -> 1970-01-01T00:00:00.000Z
//! ```
//!
//! A duration needs its unit: `--ttl 10` might mean anything.

use std::time::Duration;

/// Milliseconds of each unit, longest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads a duration such as `250ms`, `2s`, `10m` or `1h30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let malformed = || format!("`{text}` is no duration: write 250ms, 2s, 10m, 12h, 7d or 1h30m");
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(malformed)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (name, tail) = tail.split_at(unit);
        let (_, millis) = UNITS
            .iter()
            .find(|(unit, _)| *unit == name)
            .ok_or_else(malformed)?;
        let count: u64 = number.parse().map_err(|_too_long_or_none| malformed())?;
        let part = count.checked_mul(*millis);
        total = part
            .and_then(|part| total.checked_add(part))
            .ok_or_else(malformed)?;
        rest = tail;
    }
    if text.is_empty() {
        Err(malformed())
    } else {
        Ok(Duration::from_millis(total))
    }
}

/// A duration in its two largest units: `3h 12m`, `12.3 s`, `8 ms`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A short time with three digits: `87 us`, `2.41 ms`, `1.05 s`.
pub(crate) fn elapsed(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.2} ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
}

/// A number with its thousands set apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `number` of them, in the singular for one.
pub(crate) fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A part, 0 to 1, in percent.
pub(crate) fn percent(part: f64) -> String {
    format!("{:.1} %", part.max(0.0) * 100.0)
}

/// Bytes with a binary unit.
pub(crate) fn bytes(bytes: u64) -> String {
    const NAMES: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths of the unit, so that no float is needed; sizes near 2^64 do not overflow 128 bits.
    let mut unit: u128 = 1024;
    let mut name = 0;
    while u128::from(bytes) >= unit * 1024 && name + 1 < NAMES.len() {
        unit *= 1024;
        name += 1;
    }
    let tenths = u128::from(bytes) * 10 / unit;
    format!("{}.{} {}", tenths / 10, tenths % 10, NAMES[name])
}

/// How many per second, rounded down; 0 if no time has passed.
pub(crate) fn rate(number: u64, elapsed: Duration) -> u64 {
    let per_second = u128::from(number) * 1_000_000 / elapsed.as_micros().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

/// A moment in UTC, from milliseconds since 1970.
pub(crate) fn moment(millis: u64) -> String {
    let (days, in_day) = (millis / 86_400_000, millis % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Year, month and day of a number of days since 1970-01-01, in the proleptic Gregorian calendar.
///
/// Years here begin in March, so that the leap day is the last of its year (Hinnant, `civil_from_days`).
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        let table = [
            ("0ms", 0),
            ("250ms", 250),
            ("2s", 2000),
            ("10m", 600_000),
            ("12h", 43_200_000),
            ("7d", 604_800_000),
            ("1h30m", 5_400_000),
            ("1m1ms", 60_001),
        ];
        for (text, millis) in table {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "10",
            "s",
            "-2s",
            "2 s",
            "1.5s",
            "2S",
            "3w",
            "2s5",
            "99999999999999999999s",
        ] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
        assert!(
            parse_duration("300000000000000000d").is_err(),
            "more than 64 bits hold"
        );
    }

    #[test]
    fn durations_are_shown_in_their_largest_units() {
        let table = [
            (8, "8 ms"),
            (12_345, "12.3 s"),
            (61_000, "1m 01s"),
            (11_520_000, "3h 12m"),
        ];
        for (millis, text) in table {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(duration(Duration::from_secs(90_000)), "1d 01h");
    }

    #[test]
    fn short_times_are_shown_in_a_unit_that_leaves_digits() {
        let table = [(87, "87 us"), (2_409, "2.41 ms"), (1_050_000, "1.05 s")];
        for (micros, text) in table {
            assert_eq!(elapsed(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn counts_and_sizes_are_readable() {
        assert_eq!(
            [0, 999, 1000, 31_102, 1_234_567].map(count),
            ["0", "999", "1,000", "31,102", "1,234,567"]
        );
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(4_681_217), "4.4 MiB");
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
        assert_eq!(plural(1, "pair", "pairs"), "1 pair");
        assert_eq!(rate(500, Duration::from_millis(250)), 2000);
        assert_eq!(rate(5, Duration::ZERO), 5_000_000, "no division by zero");
    }

    #[test]
    fn moments_are_dates_in_utc() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (millis, text) in table {
            assert_eq!(moment(millis), text);
        }
    }
}
