//! Figures with their uncertainty, and ratios of them.
//!
//! ```text
//!   one run each       ln b - ln a, each with its own interval       MOVER (Zou and Donner 2008)
//!   several runs       ln b - ln a, spread between the runs          Welch's t
//!   one against many   the spread of the many stands for both        t with the many's freedom
//! ```
//!
//! Everything is done on logarithms, where a difference in percent is a difference, and spreads of rates and
//! latencies are closest to normal. Left out: a bootstrap over runs. Of three runs it can only draw what lies
//! between them, and its 95 % hold the truth some 75 % of the time; the t distribution knows that three are few.

/// A positive figure of one run with its 95 % interval, if one is known; all three are logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figure {
    mid: f64,
    interval: Option<(f64, f64)>,
}

/// How far B is from A as logarithms: the difference, and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ratio {
    mid: f64,
    interval: Option<(f64, f64)>,
}

/// Half the width of a 95 % interval in standard errors.
pub(super) const Z: f64 = 1.959_964;

impl Figure {
    /// `None` unless the figure is positive; an end of the interval that is not becomes no interval.
    pub(super) fn new(figure: f64, interval: Option<(f64, f64)>) -> Option<Self> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        let interval = interval.filter(|(low, high)| positive(*low) && positive(*high));
        let interval = interval.map(|(low, high)| (low.min(figure).ln(), high.max(figure).ln()));
        positive(figure).then(|| Self {
            mid: figure.ln(),
            interval,
        })
    }

    /// The variance of the logarithm within the run; 0 if it is not known.
    fn variance(&self) -> f64 {
        self.interval
            .map_or(0.0, |(low, high)| ((high - low) / (2.0 * Z)).powi(2))
    }
}

impl Ratio {
    /// By how many percent B is more than A.
    pub(super) fn percent(&self) -> f64 {
        percent(self.mid)
    }

    /// The 95 % interval of [`Self::percent`].
    pub(super) fn interval(&self) -> Option<(f64, f64)> {
        self.interval
            .map(|(low, high)| (percent(low), percent(high)))
    }

    /// B against A; `None` if one of them has no figure.
    pub(super) fn of(a: &[Figure], b: &[Figure]) -> Option<Self> {
        let mid = mean(b)? - mean(a)?;
        let interval = match (a, b) {
            ([a], [b]) => mover(mid, a, b),
            _ => student(mid, a, b),
        };
        Some(Self { mid, interval })
    }
}

/// The figure in the middle of several: their geometric mean.
pub(super) fn middle(figures: &[Figure]) -> Option<f64> {
    mean(figures).map(f64::exp)
}

fn percent(logarithm: f64) -> f64 {
    logarithm.exp_m1() * 100.0
}

fn mean(figures: &[Figure]) -> Option<f64> {
    let sum: f64 = figures.iter().map(|figure| figure.mid).sum();
    (!figures.is_empty()).then(|| sum / figures.len() as f64)
}

/// The interval of a difference from the intervals of both parts, which need not be symmetric.
fn mover(mid: f64, a: &Figure, b: &Figure) -> Option<(f64, f64)> {
    let ((low_a, high_a), (low_b, high_b)) = (a.interval?, b.interval?);
    let below = (b.mid - low_b).hypot(high_a - a.mid);
    let above = (high_b - b.mid).hypot(a.mid - low_a);
    Some((mid - below, mid + above))
}

/// The interval of a difference of means, from the spread between runs.
fn student(mid: f64, a: &[Figure], b: &[Figure]) -> Option<(f64, f64)> {
    let (error_a, freedom_a) = spread(a).or_else(|| borrowed(b))?;
    let (error_b, freedom_b) = spread(b).or_else(|| borrowed(a))?;
    let square = error_a + error_b;
    let freedom = if a.len() < 2 || b.len() < 2 {
        freedom_a.min(freedom_b)
    } else {
        // Welch and Satterthwaite; equal runs have no spread, and any freedom will do
        let parts = error_a.powi(2) / freedom_a + error_b.powi(2) / freedom_b;
        if parts > 0.0 {
            square.powi(2) / parts
        } else {
            freedom_a + freedom_b
        }
    };
    // runs that happen to be alike still vary by what each varies within
    let within = Z * (mean_variance(a) + mean_variance(b)).sqrt();
    let half = within.max(student_t(freedom) * square.sqrt());
    Some((mid - half, mid + half))
}

/// The square of a mean's standard error from the spread of several runs, and its degrees of freedom.
fn spread(figures: &[Figure]) -> Option<(f64, f64)> {
    let (number, mean) = (figures.len() as f64, mean(figures)?);
    let squares = figures.iter().map(|figure| (figure.mid - mean).powi(2));
    let between = squares.sum::<f64>() / (number - 1.0);
    (figures.len() > 1).then(|| (between / number, number - 1.0))
}

/// What one run would spread like, if it were one of `many`.
fn borrowed(many: &[Figure]) -> Option<(f64, f64)> {
    let (square, freedom) = spread(many)?;
    Some((square * many.len() as f64, freedom))
}

/// The square of a mean's standard error as far as the runs themselves know it.
fn mean_variance(figures: &[Figure]) -> f64 {
    let sum: f64 = figures.iter().map(Figure::variance).sum();
    sum / (figures.len() as f64).powi(2)
}

/// The 97.5 % point of Student's t distribution, between the freedoms listed by their inverse: right to 0.4 %.
pub(super) fn student_t(freedom: f64) -> f64 {
    const POINTS: [(f64, f64); 13] = [
        (1.0, 12.706),
        (1.5, 6.017),
        (2.0, 4.303),
        (2.5, 3.575),
        (3.0, 3.182),
        (4.0, 2.776),
        (5.0, 2.571),
        (6.0, 2.447),
        (8.0, 2.306),
        (12.0, 2.179),
        (20.0, 2.086),
        (60.0, 2.000),
        (1e9, 1.960),
    ];
    let pairs = POINTS.iter().zip(POINTS.iter().skip(1));
    let mut around = pairs.filter(|(low, high)| (low.0..=high.0).contains(&freedom));
    let Some(((low, t_low), (high, t_high))) = around.next() else {
        return if freedom > 1.0 { Z } else { 12.706 };
    };
    let part = (low.recip() - freedom.recip()) / (low.recip() - high.recip());
    t_low + (t_high - t_low) * part
}

#[cfg(test)]
mod tests;
