//! The frame of a plot: two axes with their names and units, a grid, and places inside.
//!
//! ```text
//!   latency (log scale)          name of the y axis, above it: read without turning one's head
//!   10 ms |-------------
//!    1 ms |-------------         room on the left for the longest label, also in a phone's larger letters
//!         '---------------
//!          0      10     20
//!                   seconds
//! ```
//!
//! Sizes are units of the view box; the page scales it and may choose larger letters on small screens.

use super::scale::Scale;
use super::svg::Svg;

/// Size of every plot.
pub(super) const SIZE: (f64, f64) = (560.0, 340.0);
const LEFT: f64 = 72.0;
/// Half of the longest label of the last tick, in a phone's letters.
const RIGHT: f64 = 32.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 50.0;

/// An axis: how it is laid out, and its name with the unit.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) scale: Scale,
    pub(super) name: String,
}

/// Where a plot's figures go.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    x: Scale,
    y: Scale,
    top: f64,
    bottom: f64,
}

impl Axis {
    pub(super) fn new(scale: Scale, name: &str) -> Self {
        Self {
            scale,
            name: name.to_owned(),
        }
    }
}

impl Frame {
    /// Draws the axes and the grid over the whole plot.
    pub(super) fn draw(svg: &mut Svg, x: &Axis, y: &Axis) -> Self {
        Self::draw_above(svg, x, y, 0.0)
    }

    /// Likewise, but leaves so much room between the y axis and the x axis's labels.
    pub(super) fn draw_above(svg: &mut Svg, x: &Axis, y: &Axis, room: f64) -> Self {
        let bottom = SIZE.1 - BOTTOM - room;
        let frame = Self {
            x: x.scale,
            y: y.scale,
            top: TOP,
            bottom,
        };
        for tick in y.scale.ticks() {
            let height = frame.height(tick.place);
            svg.line("grid", (LEFT, height), (SIZE.0 - RIGHT, height));
            svg.text("tick", "end", (LEFT - 8.0, height + 4.0), &tick.label);
        }
        let below = SIZE.1 - BOTTOM;
        for tick in x.scale.ticks() {
            let across = across(tick.place);
            svg.line("grid", (across, TOP), (across, below + 4.0));
            svg.text("tick", "middle", (across, below + 19.0), &tick.label);
        }
        svg.line("axis", (LEFT, below), (SIZE.0 - RIGHT, below));
        svg.text("name", "start", (4.0, 18.0), &y.name);
        svg.text("name", "end", (SIZE.0 - RIGHT, SIZE.1 - 8.0), &x.name);
        frame
    }

    /// A second frame in the room that was left below this one, on the same x axis.
    pub(super) fn below(&self, y: Scale, gap: f64) -> Self {
        Self {
            x: self.x,
            y,
            top: self.bottom + gap,
            bottom: SIZE.1 - BOTTOM,
        }
    }

    /// Where a pair of figures belongs.
    pub(super) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x_of(x), self.height(self.y.place(y)))
    }

    pub(super) fn x_of(&self, x: f64) -> f64 {
        across(self.x.place(x))
    }

    pub(super) const fn top(&self) -> f64 {
        self.top
    }

    pub(super) const fn bottom(&self) -> f64 {
        self.bottom
    }

    fn height(&self, place: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * place
    }
}

/// The left end of every x axis.
pub(super) const fn left() -> f64 {
    LEFT
}

fn across(place: f64) -> f64 {
    LEFT + (SIZE.0 - RIGHT - LEFT) * place
}
