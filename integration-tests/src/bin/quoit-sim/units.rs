//! Numbers as people read them.

use std::time::Duration;

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

/// In its largest units.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// One number, or from the least to the most.
pub(crate) fn range(range: Option<(usize, usize)>) -> String {
    match range {
        None => "no".to_owned(),
        Some((least, most)) if least == most => least.to_string(),
        Some((least, most)) => format!("{least} to {most}"),
    }
}

/// `amount` for each of `of`; 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn per(amount: u64, of: f64) -> f64 {
    if of > 0.0 { amount as f64 / of } else { 0.0 }
}

/// `amount` for each of `of`, rounded down; 0 of nothing.
pub(crate) const fn each(amount: u64, of: u64) -> u64 {
    match of {
        0 => 0,
        of => amount / of,
    }
}
