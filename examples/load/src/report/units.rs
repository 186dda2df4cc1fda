//! Numbers, latencies and dates as a reader wants them.
//!
//! ```text
//! 1234567 -> 1,234,567       420.3 us -> 420 µs       12345 us -> 12.3 ms       0.0042 -> 0.42 %
//! ```
//!
//! Three digits are what a latency from a histogram of three digits is worth. Numbers are those of a result:
//! finite, and not negative.

/// A whole number with its thousands set apart.
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

/// A number in three digits and a unit of `units`, each so many times the one before, or in whole thousands.
fn scaled(number: f64, units: &[(&str, f64)]) -> String {
    let mut number = number;
    let mut last = "";
    for (index, (unit, size)) in units.iter().enumerate() {
        last = unit;
        // What would be rounded up to the next unit is written in it: 1.00 ms, not 1000 µs.
        if number < size - 0.5 || index + 1 == units.len() {
            break;
        }
        number /= size;
    }
    let digits = match number {
        0.0 | 99.95.. => 0,
        9.995.. => 1,
        _ => 2,
    };
    format!("{number:.digits$}{last}")
}

/// Microseconds in three digits and the unit that suits: `420 µs`, `1.20 ms`, `12.3 s`.
pub(crate) fn micros(micros: f64) -> String {
    if micros < 999.5 && micros.fract() == 0.0 {
        return format!("{micros:.0} µs");
    }
    scaled(micros, &[(" µs", 1e3), (" ms", 1e3), (" s", f64::INFINITY)])
}

/// A number in at most six characters: `12,345`, `1.23 M`.
pub(crate) fn short(number: f64) -> String {
    if number < 99.95 {
        return trimmed(number, 1);
    }
    if number < 999_999.5 {
        return count(whole(number));
    }
    scaled(number / 1e6, &[(" M", 1e3), (" G", f64::INFINITY)])
}

/// With at most so many decimals, none that is 0 at the end: `0.5`, `10`.
pub(crate) fn trimmed(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    if decimals == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The nearest whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts of floats saturate, which is what is wanted"
)]
pub(crate) fn whole(number: f64) -> u64 {
    number.round() as u64
}

/// How many of a second's parts: a rate.
pub(crate) fn rate(number: f64) -> String {
    format!("{} ops/s", short(number))
}

/// `number` of them, in the singular for one.
pub(crate) fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A moment in UTC, to the second, from milliseconds since 1970.
pub(crate) fn moment(millis: u64) -> String {
    let (days, second) = (millis / 86_400_000, millis / 1000 % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day of a day since 1970, counting years from March so that a leap day is the last of its
/// year (Hinnant, `civil_from_days`).
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_three_digits_and_a_unit() {
        let table = [
            (0.0, "0 µs"),
            (7.0, "7 µs"),
            (7.25, "7.25 µs"),
            (420.3, "420 µs"),
            (999.4, "999 µs"),
            (999.7, "1.00 ms"),
            (12_345.0, "12.3 ms"),
            (99_950.0, "100 ms"),
            (1_234_567.0, "1.23 s"),
            (123_456_789.0, "123 s"),
        ];
        for (number, text) in table {
            assert_eq!(micros(number), text, "{number}");
        }
    }

    #[test]
    fn latencies_and_short_numbers_fit_seven_characters_up_to_a_day() {
        let mut number = 0.1;
        while number < 9.99e10 {
            assert!(micros(number).chars().count() <= 7, "{}", micros(number));
            assert!(short(number).chars().count() <= 7, "{}", short(number));
            number *= 1.0173;
        }
    }

    #[test]
    fn numbers_are_as_exact_as_they_need_to_be() {
        assert_eq!([0, 999, 1_234_567].map(count), ["0", "999", "1,234,567"]);
        let shorts = [0.0, 0.25, 12.34, 152_345.4, 1_234_567.0, 2.5e9].map(short);
        assert_eq!(shorts, ["0", "0.2", "12.3", "152,345", "1.23 M", "2.50 G"]);
        assert_eq!(plural(1, "run", "runs"), "1 run");
        assert_eq!(trimmed(10.0, 2), "10");
    }

    #[test]
    fn moments_are_dates_in_utc() {
        let table = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199_999, "2024-02-29 23:59:59 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
        ];
        for (millis, text) in table {
            assert_eq!(moment(millis), text);
        }
    }
}
