//! From figures to places: the three axes that the plots need, and where their ticks go.
//!
//! ```text
//!   linear   0    20    40    60      time, operations a second
//!   log      100   1000   10000       latencies
//!   tail     50 %   90 %   99 %       how far a percentile is from all: -log10(1 - p)
//! ```
//!
//! A place is from 0 to 1; what lies outside of the axis, or is NaN, is put at its near end, so no figure
//! from a file can draw outside of the plot. At most nine ticks. Left out: axes below zero.

use crate::report::units::{micros, short, trimmed};

/// How figures are laid along an axis; each holds its lowest and highest.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scale {
    /// Even steps.
    Linear(f64, f64),
    /// Even factors; both ends are positive.
    Log(f64, f64),
    /// Levels below 1, each nine as far as the one before.
    Tail(f64, f64),
}

/// A place on an axis and what is written there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) place: f64,
    pub(super) label: String,
}

impl Scale {
    /// From 0 to a round number that is not below `most`.
    pub(super) fn from_zero(most: f64) -> Self {
        let most = if most.is_finite() && most > 0.0 {
            most
        } else {
            1.0
        };
        let step = round_up(most / 5.0);
        Self::Linear(0.0, (most / step - 1e-9).ceil().max(1.0) * step)
    }

    /// Round numbers around `least` and `most`, which are latencies: at least a factor of ten apart.
    pub(super) fn around(least: f64, most: f64) -> Self {
        let least = if least.is_finite() {
            least.clamp(1.0, 1e12)
        } else {
            1.0
        };
        let most = if most.is_finite() {
            most.clamp(least, 1e13)
        } else {
            least
        };
        let (low, high) = (round_down(least), round_up(most));
        Self::Log(low, high.max(low * 10.0))
    }

    /// Where on the axis a figure belongs, from 0 to 1.
    pub(super) fn place(&self, figure: f64) -> f64 {
        let part = |low: f64, high: f64, at: f64| (at - low) / (high - low);
        let place = match *self {
            Self::Linear(low, high) => part(low, high, figure),
            Self::Log(low, high) => part(low.ln(), high.ln(), figure.max(low).ln()),
            Self::Tail(low, high) => part(nines(low), nines(high), nines(figure)),
        };
        if place.is_nan() {
            0.0
        } else {
            place.clamp(0.0, 1.0)
        }
    }

    /// The figure at a place: the inverse of [`Self::place`].
    pub(super) fn figure(&self, place: f64) -> f64 {
        match *self {
            Self::Linear(low, high) => low + (high - low) * place,
            Self::Log(low, high) => low * (high / low).powf(place),
            Self::Tail(low, high) => {
                1.0 - 10_f64.powf(-(nines(low) + (nines(high) - nines(low)) * place))
            }
        }
    }

    /// Round figures along the axis.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let tick = |figure: f64, label: String| Tick {
            place: self.place(figure),
            label,
        };
        match *self {
            Self::Linear(low, high) => {
                let step = round_up((high - low) / 6.0);
                let figures = (0..=6).map(|index| low + f64::from(index) * step);
                let inside = figures.filter(|figure| *figure <= high * (1.0 + 1e-9));
                inside
                    .map(|figure| tick(figure, linear_label(figure, step)))
                    .collect()
            }
            Self::Log(low, high) => {
                let figures = log_figures(low, high).into_iter();
                figures
                    .map(|figure| tick(figure, latency_label(figure)))
                    .collect()
            }
            Self::Tail(low, high) => {
                let levels = [0.5, 0.9, 0.99, 0.999, 0.9999];
                let inside = levels
                    .into_iter()
                    .filter(|level| (low..=high).contains(level));
                inside
                    .map(|level| tick(level, percent_label(level)))
                    .collect()
            }
        }
    }
}

/// 0.9 is 1, 0.99 is 2.
fn nines(level: f64) -> f64 {
    -(1.0 - level).max(1e-12).log10()
}

fn linear_label(figure: f64, step: f64) -> String {
    if step < 1.0 {
        trimmed(figure, 3)
    } else {
        short(figure)
    }
}

fn percent_label(level: f64) -> String {
    format!("{} %", trimmed(level * 100.0, 2))
}

/// Ticks are round, so `1 ms`, not `1.00 ms`.
fn latency_label(figure: f64) -> String {
    let text = micros(figure);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            let number = number.trim_end_matches('0').trim_end_matches('.');
            format!("{number} {unit}")
        }
        _ => text,
    }
}

/// Powers of ten, with figures between them while there are few, or only some of them.
fn log_figures(low: f64, high: f64) -> Vec<f64> {
    let decades = (high / low).log10();
    let (factors, stride): (&[f64], _) = match decades {
        short if short <= 2.4 => (&[1.0, 2.0, 5.0], 1),
        medium if medium <= 4.1 => (&[1.0, 3.0], 1),
        long if long <= 8.5 => (&[1.0], 1),
        _ => (&[1.0], 2),
    };
    let decades = (0..=13).step_by(stride).map(|power| 10_f64.powi(power));
    let figures = decades.flat_map(|decade| factors.iter().map(move |factor| factor * decade));
    let (low, high) = (low * (1.0 - 1e-9), high * (1.0 + 1e-9));
    figures
        .filter(|figure| (low..=high).contains(figure))
        .collect()
}

/// The next of 1, 2, 5, 10, 20, ... at or above a positive number.
fn round_up(number: f64) -> f64 {
    let decade = 10_f64.powf(number.log10().floor());
    let mut factors = [1.0, 2.0, 5.0, 10.0].into_iter();
    let reached = |factor: &f64| factor * decade >= number * (1.0 - 1e-9);
    factors.find(reached).unwrap_or(10.0) * decade
}

/// The last of 1, 2, 5, 10, 20, ... at or below a positive number.
fn round_down(number: f64) -> f64 {
    let decade = 10_f64.powf((number * (1.0 + 1e-9)).log10().floor());
    let factors = [5.0, 2.0].into_iter();
    let below = |factor: &f64| factor * decade <= number * (1.0 + 1e-9);
    factors.clone().find(below).unwrap_or(1.0) * decade
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(scale: Scale) -> Vec<String> {
        scale.ticks().into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round_figures() {
        let table = [
            (Scale::Linear(0.0, 30.0), "0|5|10|15|20|25|30"),
            (Scale::from_zero(4321.0), "0|1,000|2,000|3,000|4,000|5,000"),
            (Scale::from_zero(0.0), "0|0.2|0.4|0.6|0.8|1"),
            (Scale::around(420.0, 4100.0), "200 µs|500 µs|1 ms|2 ms|5 ms"),
            (
                Scale::around(300.0, 150_000.0),
                "300 µs|1 ms|3 ms|10 ms|30 ms|100 ms",
            ),
            (Scale::around(55.0, 3e6), "100 µs|1 ms|10 ms|100 ms|1 s"),
            (Scale::Tail(0.5, 0.9999), "50 %|90 %|99 %|99.9 %|99.99 %"),
        ];
        for (scale, expected) in table {
            assert_eq!(labels(scale).join("|"), expected, "{scale:?}");
        }
    }

    #[test]
    fn figures_that_make_no_sense_have_a_place_all_the_same() {
        for most in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
            for scale in [Scale::from_zero(most), Scale::around(most, most)] {
                assert!((1..=9).contains(&scale.ticks().len()), "{scale:?}");
                for figure in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
                    assert!(
                        (0.0..=1.0).contains(&scale.place(figure)),
                        "{scale:?} {figure}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn an_axis_holds_its_figures_in_their_order(a in 1.0..1e9_f64, b in 1.0..1e9_f64) {
            let (least, most) = (a.min(b), a.max(b));
            for scale in [Scale::from_zero(most), Scale::around(least, most)] {
                prop_assert!(scale.place(least) <= scale.place(most));
                prop_assert!((scale.figure(scale.place(most)) / most - 1.0).abs() < 1e-6);
                let ticks = scale.ticks();
                prop_assert!((2..=9).contains(&ticks.len()), "{ticks:?}");
                prop_assert!(ticks.windows(2).all(|pair| pair[0].place < pair[1].place));
            }
        }
    }
}
