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

/// Renders rows under a heading. Where a line would be wider than `width`, the last column is
/// cut; where that is not enough, columns are left out from the right. Without a width, as for
/// a file or a pipe, everything is there.
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
    let columns = fit(&mut widths, width.unwrap_or(usize::MAX));
    let mut text = String::new();
    for row in [&heading_row].into_iter().chain(rows) {
        let mut line = String::new();
        for (i, cell) in row.iter().take(columns).enumerate() {
            let gap = if i == 0 { "" } else { GAP };
            let shown = cut(&cell.text, widths[i]);
            let pad = " ".repeat(widths[i] - shown.chars().count());
            let (left, right) = match heading[i].1 {
                Align::Left => ("", pad.as_str()),
                Align::Right => (pad.as_str(), ""),
            };
            let style = cell.style;
            write!(line, "{gap}{left}{style}{shown}{style:#}{right}").expect("a String takes all");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// How many columns there is room for. Narrows the last one where that keeps it.
fn fit(widths: &mut [usize], width: usize) -> usize {
    let last = widths.len() - 1;
    let before: usize = widths[..last].iter().map(|width| width + GAP.len()).sum();
    let room = width.saturating_sub(before);
    if widths[last] <= room || room >= MIN_LAST {
        widths[last] = widths[last].min(room);
        return widths.len();
    }
    let mut used = 0;
    let fits = |own: &&usize| {
        used += **own + GAP.len();
        used - GAP.len() <= width
    };
    widths[..last].iter().take_while(fits).count().max(1)
}

/// Keeps the end, which tells paths apart.
fn cut(text: &str, width: usize) -> String {
    let len = text.chars().count();
    if len <= width {
        return text.to_owned();
    }
    let end: String = text.chars().skip(len + 1 - width).collect();
    format!("…{end}")
}
