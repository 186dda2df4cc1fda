//! The plots of a report: four pictures, SVG written by hand.
//!
//! ```text
//!   points        slices -> points that can be drawn
//!   scale, frame  figures -> places, axes with units
//!   time          latency, throughput and failures over time, fault marks
//!   distribution  percentiles and histogram
//!   svg           elements and escaping
//! ```
//!
//! No plotting library: `plotters` (with its SVG backend alone seven crates) writes colours, fonts and sizes
//! into every element, so a page could not turn dark, scale its letters on a phone or describe a picture to
//! a screen reader, and it has no axis of nines. What is needed of it is 300 lines.

pub(super) mod distribution;
mod frame;
pub(super) mod points;
mod scale;
mod svg;
pub(super) mod time;

pub(super) use svg::escaped;
