//! Tables: in columns, for results; and in boxes, for values that a person compares.

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

use super::text::{Text, Tone};
use super::{plain, width};
use crate::escape;

/// Rows in columns that are as wide as they need to be, the first row in capitals as given.
pub(super) fn columns(rows: Vec<Vec<Text>>, colours: bool) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .style_text_only();
    if colours {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    for row in rows {
        table.add_row(row.iter().map(cell));
    }
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    without_trailing_blanks(&table)
}

/// Values beside each other, as wide as the terminal allows, for a person to compare. Cells may have several lines.
pub(crate) fn side_by_side(header: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let safe = |row: Vec<String>| row.into_iter().map(|cell| escape::lines(cell.as_bytes()));
    let mut table = Table::new();
    if plain() {
        table
            .load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .force_no_tty();
    } else {
        table
            .load_preset(presets::UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic);
        if let Some(width) = width() {
            table.set_width(width);
        }
    }
    table.set_header(safe(header));
    for row in rows {
        table.add_row(safe(row));
    }
    without_trailing_blanks(&table)
}

fn cell(text: &Text) -> Cell {
    let cell = Cell::new(text.in_one_line());
    match text.tone() {
        None => cell,
        Some(Tone::Strong) => cell.add_attribute(Attribute::Bold),
        Some(Tone::Good) => cell.fg(Color::DarkGreen),
        Some(Tone::Bad) => cell.fg(Color::DarkRed).add_attribute(Attribute::Bold),
    }
}

fn without_trailing_blanks(table: &Table) -> String {
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::text::painted;

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let row = |cells: [&str; 2]| cells.map(Text::from).to_vec();
        let text = columns(vec![row(["NAME", "STATE"]), row(["node-1", "up"])], false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].find("STATE"), lines[1].find("up"));
        assert!(lines.iter().all(|line| *line == line.trim_end()));
    }

    #[test]
    fn a_cell_is_one_line_whatever_is_in_it_and_colours_move_no_column() {
        let rows = |first: &str| {
            let row = |a: Text, b: Text| vec![a, b];
            vec![
                row("NAME".into(), "B".into()),
                row(painted(Tone::Bad, first), "up".into()),
            ]
        };
        let text = columns(rows("a\n\x1b[31mb"), false);
        assert_eq!(text, "NAME          B\na\\n\\x1b[31mb  up");
        let coloured = columns(rows("dead"), true);
        let plain = columns(rows("dead"), false);
        assert!(coloured.contains('\x1b') && !plain.contains('\x1b'));
        let uncoloured: String = coloured
            .split('\x1b')
            .map(|part| part.split_once('m').map_or(part, |(_, rest)| rest))
            .collect();
        assert_eq!(uncoloured, plain);
    }

    #[test]
    fn a_value_in_a_box_keeps_its_lines_and_nothing_that_acts() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = side_by_side(
            row(["", "sibling 1"]),
            vec![row(["value", "bread\n\x1b[2Jmilk"])],
        );
        assert!(
            text.contains("\\x1b[2Jmilk") && !text.contains('\x1b'),
            "{text}"
        );
        assert!(!text.contains("bread\\n"), "{text}");
    }
}
