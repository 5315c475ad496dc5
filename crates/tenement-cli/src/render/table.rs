//! Columns, aligned by the widest cell, two spaces apart. Cells are plain text of the domain
//! (names, numbers, addresses), so a character is a column.

use std::fmt::Write;

use anstyle::Style;

use super::PLAIN;

/// Between columns.
const GAP: &str = "  ";
/// The last column keeps at least this much when it is cut.
const MIN_LAST: usize = 12;

/// One cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(text: impl ToString) -> Self {
        Self { text: text.to_string(), style: PLAIN }
    }

    pub(crate) fn styled(text: impl ToString, style: Style) -> Self {
        Self { text: text.to_string(), style }
    }

    /// `-` where there is nothing to tell.
    pub(crate) fn maybe(text: Option<impl ToString>) -> Self {
        text.map_or_else(|| Self::new("-"), Self::new)
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Renders rows under a heading. The last column is cut where a line would be wider than
/// `width`; without a width it never is.
pub(crate) fn render<const N: usize>(
    heading: [(&str, Align); N],
    rows: &[[Cell; N]],
    width: Option<usize>,
) -> String {
    let heading_row = heading.map(|(text, _)| Cell::styled(text, Style::new().bold()));
    let mut widths = [0; N];
    for row in rows.iter().chain([&heading_row]) {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = cell.width().max(*widest);
        }
    }
    let before_last: usize = widths.iter().take(N - 1).map(|width| width + GAP.len()).sum();
    let last = width.map(|width| width.saturating_sub(before_last).max(MIN_LAST));
    let mut text = String::new();
    for row in [&heading_row].into_iter().chain(rows) {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            let shown = if i + 1 == N { cut(&cell.text, last) } else { cell.text.clone() };
            let style = cell.style;
            let pad = " ".repeat(widths[i].saturating_sub(shown.chars().count()));
            let (left, right) = match heading[i].1 {
                Align::Left if i + 1 == N => ("", ""),
                Align::Left => ("", pad.as_str()),
                Align::Right => (pad.as_str(), ""),
            };
            let gap = if i == 0 { "" } else { GAP };
            write!(line, "{gap}{left}{style}{shown}{style:#}{right}").expect("a String takes all");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Keeps the end, which tells paths apart.
fn cut(text: &str, width: Option<usize>) -> String {
    let len = text.chars().count();
    match width {
        Some(width) if len > width => {
            let end: String = text.chars().skip(len + 1 - width).collect();
            format!("…{end}")
        }
        _ => text.to_owned(),
    }
}
