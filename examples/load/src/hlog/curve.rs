//! A histogram as a distribution function, in both directions.
//!
//! ```text
//!   level 1 |              ___----     value(0.99) = 1234.5 us
//!           |         _--''            level(1000) = 0.97
//!         0 '---_--'----------- value  a cell of the histogram is one straight piece
//! ```
//!
//! Inside of a cell operations are taken as spread evenly (the median of grouped data), so a percentile does
//! not jump from one cell to the next when one operation more is slow. `cell` tells how far that can be
//! wrong. Left out: histograms of one operation at 0 width; a cell is at least a microsecond wide.

use hdrhistogram::Histogram;

/// The distribution of a histogram that holds at least one operation.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    cells: Vec<Cell>,
    total: u64,
}

/// Operations from `low` to below `high` microseconds.
#[derive(Debug, Clone, Copy)]
struct Cell {
    low: f64,
    high: f64,
    /// Operations in all cells before.
    before: u64,
    /// The same with this one.
    until: u64,
}

impl Curve {
    /// `None` if nothing was measured.
    pub(crate) fn new(histogram: &Histogram<u64>) -> Option<Self> {
        let mut cells = Vec::new();
        let mut total: u64 = 0;
        for step in histogram.iter_recorded() {
            let (value, before) = (step.value_iterated_to(), total);
            total = total.saturating_add(step.count_at_value());
            let low = histogram.lowest_equivalent(value) as f64;
            let high = low + histogram.equivalent_range(value) as f64;
            cells.push(Cell {
                low,
                high,
                before,
                until: total,
            });
        }
        (total > 0).then_some(Self { cells, total })
    }

    /// Operations measured.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// The latency that this share of operations stays below; a level is from 0 to 1.
    pub(crate) fn value(&self, level: f64) -> f64 {
        let rank = self.rank(level);
        let cell = self.cell_of(rank);
        let inside = (rank - cell.before as f64) / (cell.until - cell.before).max(1) as f64;
        cell.low + (cell.high - cell.low) * inside.clamp(0.0, 1.0)
    }

    /// Between which values the histogram cannot tell where [`Self::value`] lies.
    pub(crate) fn cell(&self, level: f64) -> (f64, f64) {
        let cell = self.cell_of(self.rank(level));
        (cell.low, cell.high)
    }

    /// The share of operations that stays below this latency: the inverse of [`Self::value`].
    pub(crate) fn level(&self, value: f64) -> f64 {
        let index = self.cells.partition_point(|cell| cell.high <= value);
        let Some(cell) = self.cells.get(index) else {
            return 1.0;
        };
        let inside = ((value - cell.low) / (cell.high - cell.low)).clamp(0.0, 1.0);
        let rank = cell.before as f64 + inside * (cell.until - cell.before) as f64;
        rank / self.total as f64
    }

    fn rank(&self, level: f64) -> f64 {
        level.clamp(0.0, 1.0) * self.total as f64
    }

    fn cell_of(&self, rank: f64) -> Cell {
        let index = self
            .cells
            .partition_point(|cell| (cell.until as f64) < rank);
        let last = || self.cells.last();
        let nowhere = Cell {
            low: 0.0,
            high: 1.0,
            before: 0,
            until: 1,
        };
        *self.cells.get(index).or_else(last).unwrap_or(&nowhere)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Option<Curve> {
        let mut histogram = Histogram::new(3).unwrap();
        for value in values {
            histogram.record(*value).unwrap();
        }
        Curve::new(&histogram)
    }

    #[test]
    fn a_histogram_of_nothing_has_no_distribution() {
        assert!(of(&[]).is_none());
    }

    #[test]
    fn the_median_of_grouped_data_lies_inside_of_its_cell() {
        let curve = of(&[10, 20, 20, 20, 30]).unwrap();
        assert_eq!(curve.total(), 5);
        assert!(
            (curve.value(0.5) - 20.5).abs() < 1e-9,
            "{}",
            curve.value(0.5)
        );
        assert_eq!(curve.cell(0.5), (20.0, 21.0));
        assert!((curve.level(20.5) - 0.5).abs() < 1e-9);
        assert_eq!((curve.level(5.0), curve.level(1e9)), (0.0, 1.0));
    }

    proptest! {
        #[test]
        fn values_rise_with_levels_and_stay_in_range(
            values in proptest::collection::vec(1_u64..100_000_000, 1..200),
            one in 0.0..=1.0_f64,
            other in 0.0..=1.0_f64,
        ) {
            let curve = of(&values).unwrap();
            let (low, high) = (one.min(other), one.max(other));
            prop_assert!(curve.value(low) <= curve.value(high));
            let least = *values.iter().min().unwrap() as f64;
            let most = *values.iter().max().unwrap() as f64;
            prop_assert!(curve.value(low) >= least * 0.998);
            prop_assert!(curve.value(high) <= most * 1.002 + 1.0);
        }

        #[test]
        fn a_level_leads_to_its_value_and_back(
            values in proptest::collection::vec(1_u64..1_000_000, 1..200),
            level in 0.001..0.999_f64,
        ) {
            let curve = of(&values).unwrap();
            let again = curve.value(curve.level(curve.value(level)));
            prop_assert!((again - curve.value(level)).abs() < 1.0 + again * 0.001);
        }
    }
}
