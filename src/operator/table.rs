//! Tables for people: columns as wide as they must be, and one that gives way.

/// How wide a table may be.
pub(super) const WIDTH: usize = 100;
const GAP: &str = "  ";

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// Text that is cut in the middle where the table would be too wide.
    Name(&'static str),
    /// Text.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

impl Column {
    fn head(self) -> &'static str {
        match self {
            Self::Name(head) | Self::Left(head) | Self::Right(head) => head,
        }
    }
}

/// Returns the table, a line for each row below the heads.
pub(super) fn table(columns: &[Column], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = columns.iter().map(|column| column.head().chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let all = widths.iter().sum::<usize>() + GAP.len() * columns.len().saturating_sub(1);
    for (width, column) in widths.iter_mut().zip(columns) {
        if let Column::Name(head) = column {
            *width = width.saturating_sub(all.saturating_sub(WIDTH)).max(head.chars().count()).max(8);
        }
    }
    let heads: Vec<String> = columns.iter().map(|column| column.head().to_owned()).collect();
    let mut text = String::new();
    for row in [heads].iter().chain(rows) {
        let cells = row.iter().zip(columns).zip(&widths).map(|((cell, column), &width)| match column {
            Column::Name(_) => format!("{:<width$}", cut(cell, width)),
            Column::Left(_) => format!("{cell:<width$}"),
            Column::Right(_) => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join(GAP).trim_end());
        text.push('\n');
    }
    text
}

/// Cuts the middle out of a text: the end of an image's name, its tag, says most.
pub(super) fn cut(text: &str, width: usize) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= width || width == 0 {
        return text.to_owned();
    }
    let tail = (width - 1) * 2 / 3;
    let head = width - 1 - tail;
    let (head, tail) = (&characters[..head], &characters[characters.len() - tail..]);
    head.iter().chain(&['…']).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::{Column, WIDTH, cut, table};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".to_owned(), "10 MiB".into(), "x".into()],
            vec!["bcd".into(), "1 B".into(), String::new()],
        ];
        let columns = [Column::Name("NAME"), Column::Right("SIZE"), Column::Left("WHY")];
        assert_eq!(table(&columns, &rows), "NAME        SIZE  WHY\na         10 MiB  x\nbcd          1 B\n");
    }

    #[test]
    fn a_long_name_gives_way_and_keeps_its_end() {
        let name = format!("registry.example.com/{}/image:1.2.3", "group/".repeat(20));
        let rows = [vec![name, "10 MiB".to_owned()]];
        let shown = table(&[Column::Name("NAME"), Column::Right("SIZE")], &rows);
        for line in shown.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert!(shown.contains("registry.example.com/") && shown.contains("image:1.2.3"), "{shown}");
        assert_eq!(cut("abcdefgh", 4), "a…gh");
    }
}
