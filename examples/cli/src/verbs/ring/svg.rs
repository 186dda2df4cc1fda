//! The circle as a picture: a band for each owner of a key, a colour for each member, and the hand.
//!
//! ```text
//!   outermost band   the first owner of each place        a sector with an outline: moves now, by both maps
//!   next bands       the second, the third                (the bands show its owners by the map before)
//! ```
//!
//! The circle begins at the top and goes clockwise. It is drawn in tenths of a degree, each with the owners of its middle,
//! so a picture has a bounded size however many vnodes there are.

use std::f64::consts::TAU;

use quoit_ring::change::{Configuration, Hand, Topology};
use quoit_ring::{Leaf, NodeId};

use crate::change::describe_change;

const SLICES: u32 = 3_600;
const SIZE: u32 = 640;
const OUTER: f64 = 290.0;
/// All bands together; what is within is left for the text.
const BANDS: f64 = 150.0;
const LEGEND_LINE: usize = 22;

/// What is drawn: an SVG document of its own.
pub(super) fn picture(now: &Configuration, topology: &Topology) -> String {
    let mut members: Vec<_> = topology.members().collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let height = (SIZE as usize).max(40 + members.len() * LEGEND_LINE);
    let width = SIZE + 300;
    let mut lines = vec![
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" font-size=\"14\">"
        ),
        "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>".to_owned(),
    ];

    let bands = bands(topology);
    for (number, member) in members.iter().enumerate() {
        let what = escaped(&format!("{}, zone {}", member.name, member.zone));
        let (colour, y) = (colour(number), 20 + number * LEGEND_LINE);
        let path = places(member.id, &bands);
        lines.push(format!(
            "<g fill=\"{colour}\"><title>{what}</title><path d=\"{path}\"/>\
             <rect x=\"{SIZE}\" y=\"{y}\" width=\"14\" height=\"14\"/></g>"
        ));
        let (x, y) = (SIZE + 22, y + 12);
        lines.push(format!("<text x=\"{x}\" y=\"{y}\">{what}</text>"));
    }
    lines.extend(topology.change().map(|(_, hand)| sector(*hand)));

    let middle = SIZE / 2;
    let change = describe_change(now).unwrap_or_else(|| "no change under way".to_owned());
    for (line, y) in [
        (format!("epoch {}", now.epoch.0), middle - 8),
        (change, middle + 14),
    ] {
        let line = escaped(&line);
        lines.push(format!(
            "<text x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\">{line}</text>"
        ));
    }
    lines.push("</svg>\n".to_owned());
    lines.join("\n")
}

/// The outline of the arc that moves.
fn sector(hand: Hand) -> String {
    let arcs = f64::from(hand.arcs().count());
    let from = f64::from(hand.arc()) / arcs;
    let path = slice(from, from + 1.0 / arcs, (OUTER - BANDS - 6.0, OUTER + 6.0));
    format!(
        "<path d=\"{path}\" fill=\"none\" stroke=\"#111\" stroke-width=\"3\">\
         <title>moves now, by both maps</title></path>"
    )
}

/// The outline of all that `node` owns, neighbours in one piece.
fn places(node: NodeId, bands: &[Vec<Option<NodeId>>]) -> String {
    let mut path = String::new();
    for (rank, owners) in bands.iter().enumerate() {
        let band = band(rank, bands.len());
        let mut from = 0;
        for piece in owners.chunk_by(|a, b| a == b) {
            let to = from + piece.len();
            if piece[0] == Some(node) {
                path += &slice(part(from), part(to), band);
            }
            from = to;
        }
    }
    path
}

/// For the first owner, the second and so on: who that is in the middle of each slice.
fn bands(topology: &Topology) -> Vec<Vec<Option<NodeId>>> {
    let leaves = u64::from(topology.leaf_bits().count());
    let middle = |slice: u32| (u64::from(slice) * 2 + 1) * leaves / (u64::from(SLICES) * 2);
    let mut bands = vec![Vec::new(); topology.copies()];
    for slice in 0..SLICES {
        let leaf = Leaf(u32::try_from(middle(slice)).unwrap_or_default());
        let mut owners = topology.lists_of_leaf(leaf).old_owners();
        for band in &mut bands {
            band.push(owners.next());
        }
    }
    bands
}

#[expect(clippy::cast_precision_loss, reason = "at most all slices")]
fn part(slice: usize) -> f64 {
    slice as f64 / f64::from(SLICES)
}

/// The inner and the outer radius of a band, with a small gap between bands.
#[expect(clippy::cast_precision_loss, reason = "a handful of copies")]
fn band(rank: usize, copies: usize) -> (f64, f64) {
    let each = BANDS / copies.max(1) as f64;
    let outer = OUTER - rank as f64 * each;
    (outer - each + 2.0, outer)
}

/// From one part of the circle to another, 0 to 1, in two pieces, since an arc that ends where it began is nothing.
fn slice(from: f64, to: f64, (inner, outer): (f64, f64)) -> String {
    let at = |part: f64, radius: f64| {
        let (sin, cos) = (part * TAU).sin_cos();
        let middle = f64::from(SIZE / 2);
        format!("{:.1} {:.1}", middle + radius * sin, middle - radius * cos)
    };
    let half = f64::midpoint(from, to);
    let (o, i) = (format!("{outer:.1}"), format!("{inner:.1}"));
    format!(
        "M{}A{o} {o} 0 0 1 {}A{o} {o} 0 0 1 {}L{}A{i} {i} 0 0 0 {}A{i} {i} 0 0 0 {}Z",
        at(from, outer),
        at(half, outer),
        at(to, outer),
        at(to, inner),
        at(half, inner),
        at(from, inner),
    )
}

/// Far from those of its neighbours in the legend, by the golden angle. In hexadecimal, since not every viewer knows
/// other forms, and draws all in black then.
#[expect(clippy::cast_precision_loss, reason = "at most a thousand members")]
fn colour(number: usize) -> String {
    let hue = (number as f64 * 137.508) % 360.0;
    let (lightness, strength) = (0.52, 0.3);
    // HSL to RGB, as CSS defines it.
    let [red, green, blue] = [0.0, 8.0, 4.0].map(|channel: f64| {
        let k = (channel + hue / 30.0) % 12.0;
        let part = lightness - strength * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        format!("{:02x}", byte(part))
    });
    format!("#{red}{green}{blue}")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of 255"
)]
fn byte(part: f64) -> u8 {
    (part.clamp(0.0, 1.0) * 255.0) as u8
}

/// Names are text of operators: what means something in XML is escaped, and what may not be there is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            sign if sign.is_control() || matches!(sign, '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}');
            }
            sign => out.push(sign),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::edits::Edits;
    use crate::change::edits::tests::{first, newcomer};

    #[test]
    fn every_slice_of_every_band_has_an_owner_and_members_have_their_names() {
        let now = first(4);
        let topology = Topology::new(&now, None).unwrap();
        let bands = bands(&topology);
        assert_eq!(bands.len(), 3);
        for band in bands {
            assert_eq!(band.len(), SLICES as usize);
            assert!(band.iter().all(Option::is_some));
        }
        let drawn = picture(&now, &topology);
        assert!((1..=4).all(|id| drawn.contains(&format!(">n{id}, zone z</text>"))));
        assert!(!drawn.contains("moves now"), "nothing moves");
    }

    #[test]
    fn what_moves_has_an_outline_and_names_cannot_leave_their_element() {
        let mut joins = newcomer(5);
        joins.name = "<script>&\"\u{1b}".into();
        let edits = Edits {
            adds: vec![joins],
            ..Edits::default()
        };
        let now = edits.apply(&first(4)).unwrap();
        let drawn = picture(&now, &Topology::new(&now, None).unwrap());
        assert!(drawn.contains("moves now, by both maps"));
        assert!(
            drawn.contains("&lt;script&gt;&amp;&quot;\u{fffd}"),
            "{drawn}"
        );
        assert!(!drawn.contains("<script>"));
    }

    #[test]
    fn neighbours_in_the_legend_have_colours_of_their_own() {
        assert_eq!(colour(0), "#d13838");
        let colours: std::collections::BTreeSet<_> = (0..20).map(colour).collect();
        assert_eq!(colours.len(), 20);
    }

    #[test]
    fn a_slice_of_the_whole_circle_is_drawn() {
        let path = slice(0.0, 1.0, (100.0, 200.0));
        assert!(
            path.contains("320.0 520.0"),
            "it goes through the bottom: {path}"
        );
    }
}
