//! Tables without borders, one object a line, as wide as the terminal.
//!
//! On a terminal the columns that may shrink are cut, the widest first, until the line fits; a cut cell ends
//! with `…`. Elsewhere nothing is cut. A cell never holds a control character.

use std::borrow::Cow;
use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::printer::BOLD;
use super::words;

/// The narrowest that a column is cut to.
const COLUMN_MIN: usize = 8;
const GAP: usize = 2;

/// A table.
#[derive(Debug, Default)]
pub struct Table {
    heads: Vec<(String, Align)>,
    rows: Vec<Vec<Cell>>,
}

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Figures.
    Right,
}

/// A cell.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    style: Style,
}

impl<T: std::fmt::Display> From<T> for Cell {
    fn from(value: T) -> Self {
        let text = value.to_string();
        let text = if text.contains(char::is_control) { words::plain(&text) } else { text };
        Self { text: if text.is_empty() { "-".to_owned() } else { text }, style: Style::new() }
    }
}

impl Cell {
    /// With a style, which is left out where there is no colour.
    pub fn styled(value: impl std::fmt::Display, style: Style) -> Self {
        Self { style, ..Self::from(value) }
    }
}

impl Table {
    /// With these columns; a head that begins with `>` is of figures.
    pub fn new(heads: &[&str]) -> Self {
        Self::with_columns(heads.iter().map(ToString::to_string))
    }

    /// The same, of columns that are not known beforehand.
    pub fn with_columns(heads: impl IntoIterator<Item = String>) -> Self {
        let heads = heads.into_iter().map(|head| match head.strip_prefix('>') {
            Some(head) => (head.to_owned(), Align::Right),
            None => (head, Align::Left),
        });
        Self { heads: heads.collect(), rows: Vec::new() }
    }

    /// Adds a row; one cell for each column.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Its text, at most so many columns wide where that is possible.
    pub fn render(&self, columns: Option<usize>) -> String {
        let mut widths: Vec<usize> = self.heads.iter().map(|(head, _)| columns_of(head)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(columns_of(&cell.text));
            }
        }
        if let Some(columns) = columns {
            self.shrink(&mut widths, columns);
        }
        let mut out = String::new();
        let heads: Vec<Cell> = self.heads.iter().map(|(head, _)| Cell::styled(head, BOLD)).collect();
        for row in std::iter::once(&heads).chain(&self.rows) {
            self.write_row(&mut out, row, &widths);
        }
        out
    }

    fn shrink(&self, widths: &mut [usize], columns: usize) {
        loop {
            let all = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
            let widest = (0..widths.len())
                .filter(|i| widths[*i] > COLUMN_MIN.max(self.heads[*i].0.len()))
                .max_by_key(|i| widths[*i]);
            let (Some(widest), true) = (widest, all > columns) else { return };
            widths[widest] -= 1;
        }
    }

    fn write_row(&self, out: &mut String, row: &[Cell], widths: &[usize]) {
        let last = row.len().saturating_sub(1);
        for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
            let text = cut(&cell.text, *width);
            let space = width.saturating_sub(columns_of(&text));
            let right = self.heads.get(i).is_some_and(|(_, align)| *align == Align::Right);
            let (before, after) = if right { (space, 0) } else { (0, space) };
            out.extend(std::iter::repeat_n(' ', before));
            if cell.style == Style::new() {
                out.push_str(&text);
            } else {
                let style = cell.style;
                let _ = write!(out, "{style}{text}{style:#}");
            }
            if i < last {
                out.extend(std::iter::repeat_n(' ', after + GAP));
            }
        }
        out.push('\n');
    }
}

/// The beginning of a text, with `…` where something is missing.
pub fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if columns_of(text) <= width {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        out.push(c);
    }
    out.push('…');
    Cow::Owned(out)
}

/// How many columns a text takes. A list of 10,000 tasks has 70,000 cells, and nearly all of them are ASCII without
/// control characters, which [`Cell`] has taken out.
fn columns_of(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", ">CPU", "IMAGE"]);
        table.row(vec!["web".into(), Cell::from(12), "registry.example/team/application:1.27".into()]);
        table.row(vec!["a-longer-name".into(), Cell::from(0.5), "a\tb\u{1b}[1m".into()]);
        table
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn columns_line_up() {
        let text = plain(&table().render(None));
        assert_eq!(
            text,
            "NAME           CPU  IMAGE\n\
             web             12  registry.example/team/application:1.27\n\
             a-longer-name  0.5  a\\tb\\x1b[1m\n"
        );
    }

    #[test]
    fn the_widest_column_is_cut_to_the_terminal() {
        let text = plain(&table().render(Some(40)));
        assert!(text.lines().all(|line| line.width() <= 40), "{text}");
        assert!(text.contains("registry.example/te…"), "{text}");
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 6), "日本語");
    }
}
