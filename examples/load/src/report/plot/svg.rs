//! SVG as text: the few elements that the plots are made of.
//!
//! Hand-made, since a plotting library's SVG has colours written into every element: here they are classes,
//! so one picture is readable in light, in dark and on paper, and its letters are the page's own. Everything
//! that is text is escaped, here and nowhere else; numbers are written by this module, one decimal each.

use std::fmt::Write as _;

/// An SVG that is being written.
#[derive(Debug)]
pub(super) struct Svg {
    out: String,
}

impl Svg {
    /// A picture of so many units, with what a screen reader says: `id` is unique on the page.
    pub(super) fn new(id: &str, size: (f64, f64), title: &str, description: &str) -> Self {
        let (width, height) = size;
        let (title, description) = (escaped(title), escaped(description));
        Self {
            out: format!(
                "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" \
                 aria-labelledby=\"{id}-title {id}-desc\">\n\
                 <title id=\"{id}-title\">{title}</title>\n\
                 <desc id=\"{id}-desc\">{description}</desc>\n"
            ),
        }
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// A rectangle by its corners, in any order.
    pub(super) fn rect(&mut self, class: &str, a: (f64, f64), b: (f64, f64)) {
        let (x, y) = (a.0.min(b.0), a.1.min(b.1));
        let (width, height) = ((a.0 - b.0).abs(), (a.1 - b.1).abs());
        self.push(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        ));
    }

    pub(super) fn circle(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        self.push(format_args!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>"
        ));
    }

    /// Text whose `anchor` (start, middle or end) stands at a place.
    pub(super) fn text(&mut self, class: &str, anchor: &str, (x, y): (f64, f64), text: &str) {
        let text = escaped(text);
        self.push(format_args!(
            "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
        ));
    }

    /// A line through points; `None` interrupts it. A point that stands alone becomes a dot.
    pub(super) fn path(
        &mut self,
        class: &str,
        points: impl IntoIterator<Item = Option<(f64, f64)>>,
    ) {
        let points: Vec<_> = points.into_iter().collect();
        let mut path = String::new();
        for piece in points.split(Option::is_none) {
            for (index, (x, y)) in piece.iter().flatten().enumerate() {
                path.push(if index == 0 { 'M' } else { 'L' });
                path += &format!("{x:.1} {y:.1}");
            }
            if piece.len() == 1 {
                path.push_str("h0");
            }
        }
        if !path.is_empty() {
            self.push(format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
        }
    }

    /// The area between points and a height.
    pub(super) fn area(&mut self, class: &str, points: &[(f64, f64)], floor: f64) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return;
        };
        let mut path = format!("M{:.1} {floor:.1}", first.0);
        for (x, y) in points {
            path += &format!("L{x:.1} {y:.1}");
        }
        path += &format!("L{:.1} {floor:.1}Z", last.0);
        self.push(format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
    }

    pub(super) fn finish(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // a String takes everything
        if writeln!(self.out, "{element}").is_err() {
            self.out.clear();
        }
    }
}

/// Text as it may stand between tags and inside of quotes; control characters are no part of XML.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            escaped("<script>\"a\" & 'b'</script>\u{1b}"),
            "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;\u{fffd}"
        );
    }

    #[test]
    fn a_line_is_interrupted_where_nothing_was_measured() {
        let mut svg = Svg::new("p", (10.0, 10.0), "t", "d");
        let at = |x: f64| Some((x, 1.0));
        svg.path("c", [at(1.0), at(2.0), None, at(4.0), None, None]);
        let text = svg.finish();
        assert!(text.contains("d=\"M1.0 1.0L2.0 1.0M4.0 1.0h0\""), "{text}");
    }
}
