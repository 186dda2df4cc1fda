//! Lines of a page: one metric after the other, each with its help and its type.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::Histogram;

/// A metric's name and what it means.
pub(super) type Named = (&'static str, &'static str);

/// Lines of text.
pub(super) struct Lines<'a>(pub(super) DescriptorEncoder<'a>);

impl Lines<'_> {
    pub(super) fn begin(
        &mut self,
        (name, help): Named,
        kind: MetricType,
    ) -> Result<MetricEncoder<'_>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    pub(super) fn gauge(&mut self, named: Named, value: f64) -> fmt::Result {
        self.begin(named, MetricType::Gauge)?.encode_gauge(&value)
    }

    pub(super) fn gauges(
        &mut self,
        named: Named,
        label: &str,
        values: impl IntoIterator<Item = (String, f64)>,
    ) -> fmt::Result {
        let mut lines = self.begin(named, MetricType::Gauge)?;
        for (of, value) in values {
            lines.encode_family(&[(label, of)])?.encode_gauge(&value)?;
        }
        Ok(())
    }

    pub(super) fn counter(&mut self, named: Named, value: u64) -> fmt::Result {
        let mut lines = self.begin(named, MetricType::Counter)?;
        lines.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    pub(super) fn counters(
        &mut self,
        named: Named,
        label: &str,
        values: impl IntoIterator<Item = (String, u64)>,
    ) -> fmt::Result {
        let mut lines = self.begin(named, MetricType::Counter)?;
        for (of, value) in values {
            let labels = [(label, of)];
            let mut line = lines.encode_family(&labels)?;
            line.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    pub(super) fn histogram(&mut self, named: Named, histogram: &Histogram) -> fmt::Result {
        let (count, sum, buckets) = histogram.read();
        let mut lines = self.begin(named, MetricType::Histogram)?;
        lines.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}
