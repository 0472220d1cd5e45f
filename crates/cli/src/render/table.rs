//! A table of text: columns as wide as their widest cell, numbers to the right.

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a header.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            columns: columns
                .iter()
                .map(|(name, align)| ((*name).to_owned(), *align))
                .collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells that are missing are empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let mut row: Vec<String> = cells
            .into_iter()
            .map(|cell| printable(&cell.into()))
            .collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, each ended; the header in bold if `color`.
    pub(crate) fn text(&self, color: bool) -> String {
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, (name, _))| {
                let cells = self.rows.iter().map(|row| width(&row[index]));
                cells.chain([width(name)]).max().unwrap_or(0)
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for ((cell, width_of_column), (_, align)) in cells.zip(&widths).zip(&self.columns) {
                let padding = " ".repeat(width_of_column - width(cell));
                match align {
                    Align::Left => line.push_str(&format!("{cell}{padding}  ")),
                    Align::Right => line.push_str(&format!("{padding}{cell}  ")),
                }
            }
            line.truncate(line.trim_end().len());
            line
        };
        let header = line(&mut self.columns.iter().map(|(name, _)| name.as_str()));
        let mut text = match (header.is_empty(), color) {
            (true, _) => String::new(),
            (false, true) => format!("\x1b[1m{header}\x1b[0m\n"),
            (false, false) => format!("{header}\n"),
        };
        for row in &self.rows {
            text.push_str(&line(&mut row.iter().map(String::as_str)));
            text.push('\n');
        }
        text
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// A file name from an image may hold control characters that would drive
/// the reader's terminal: they are shown, not sent.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escape = c.is_control();
            let plain = (!escape).then_some(c);
            let escaped = escape.then(|| c.escape_default());
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[("NAME", Align::Left), ("SIZE", Align::Right)]);
        table.row(["a", "1 B"]);
        table.row(["longer", "10 KB"]);
        assert_eq!(
            table.text(false),
            "NAME     SIZE\na         1 B\nlonger  10 KB\n"
        );
    }

    #[test]
    fn control_characters_in_a_cell_do_not_reach_the_terminal() {
        let mut table = Table::new(&[("", Align::Left)]);
        table.row(["evil\x1b[2J\nname"]);
        assert_eq!(table.text(false), "evil\\u{1b}[2J\\nname\n");
    }
}
