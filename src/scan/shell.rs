//! Shell scripts, read just far enough to see which commands they hold.
//!
//! Nothing is run and nothing is guessed: a word whose text only a shell can tell is marked as such. Conditions and
//! loops are not followed, each command in them counts once.

use super::expand::{Known, Piece, Unexpanded, piece, variable_at};
use super::limits::{Budget, MAX_SCRIPT, MAX_VALUE};

/// A part of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Command(Vec<Word>),
    /// A subshell begins: what it changes is forgotten at its end.
    Open,
    Close,
}

/// A word of a command; quoted parts are not split where they are expanded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Word {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    piece: Piece,
    quoted: bool,
}

impl Word {
    fn push(&mut self, c: char, quoted: bool) {
        match self.parts.last_mut() {
            Some(Part { piece: Piece::Text(text), quoted: last }) if *last == quoted => text.push(c),
            _ => self.parts.push(Part { piece: Piece::Text(c.to_string()), quoted }),
        }
    }

    /// Returns the word if it holds no variable and nothing that only a shell can tell.
    pub(super) fn plain(&self) -> Option<String> {
        let text = |part: &Part| match &part.piece {
            Piece::Text(text) => Some(text.clone()),
            _ => None,
        };
        self.parts.iter().map(text).collect()
    }

    /// Returns the text that the word begins with before its first variable.
    pub(super) fn lead(&self) -> String {
        let text = |part: &Part| match &part.piece {
            Piece::Text(text) => Some(text.clone()),
            _ => None,
        };
        self.parts.iter().map_while(text).collect()
    }

    /// Returns name and value of an assignment `NAME=value`.
    pub(super) fn assignment(&self) -> Option<(String, Word)> {
        let (first, rest) = self.parts.split_first()?;
        let Part { piece: Piece::Text(text), quoted: false } = first else { return None };
        let (name, value) = text.split_once('=')?;
        let good = |c: char| c == '_' || c.is_ascii_alphanumeric();
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(good) {
            return None;
        }
        let mut parts = vec![Part { piece: Piece::Text(value.to_owned()), quoted: true }];
        parts.extend(rest.iter().map(|part| Part { piece: part.piece.clone(), quoted: true }));
        Some((name.to_owned(), Word { parts }))
    }

    /// Expands the word to what the shell makes of it: one word, several or none.
    pub(super) fn expand(
        &self,
        look: &dyn Fn(&str) -> Known,
        budget: &Budget,
    ) -> Result<Vec<String>, Unexpanded> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut length = 0;
        for part in &self.parts {
            let text = piece(&part.piece, look, budget)?;
            length += text.len();
            if length > MAX_VALUE {
                return Err(Unexpanded::Odd);
            }
            if part.quoted || matches!(part.piece, Piece::Text(_)) {
                word.get_or_insert_default().push_str(&text);
                continue;
            }
            for (at, field) in text.split(char::is_whitespace).enumerate() {
                if at > 0 {
                    words.extend(word.take());
                }
                if !field.is_empty() {
                    word.get_or_insert_default().push_str(field);
                }
            }
        }
        words.extend(word);
        Ok(words)
    }

    /// Returns the word as it was written, nearly, for a note.
    pub(super) fn written(&self) -> String {
        let text = |part: &Part| match &part.piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable { name, .. } => format!("${name}"),
            Piece::Odd => "$(…)".to_owned(),
        };
        self.parts.iter().map(text).collect()
    }
}

/// Reads a script. What is longer than a scan reads is cut off, and said.
pub(super) fn read(script: &str, budget: &Budget) -> Vec<Item> {
    let mut end = script.len().min(MAX_SCRIPT);
    if end < script.len() {
        budget.stopped_by("a job's script is longer than is read");
        while !script.is_char_boundary(end) {
            end -= 1;
        }
    }
    let mut reader = Reader { rest: &script[..end], items: Vec::new(), words: Vec::new(), word: None };
    let mut here: Vec<(String, bool)> = Vec::new();
    if !budget.spend(end / 8 + 1) {
        return Vec::new();
    }
    while let Some(c) = reader.next() {
        match c {
            '\n' => {
                reader.end_command();
                for (delimiter, tabs) in here.drain(..) {
                    reader.skip_here_document(&delimiter, tabs);
                }
            }
            ' ' | '\t' | '\r' => reader.end_word(),
            ';' | '&' | '|' => reader.end_command(),
            '(' => reader.mark(Item::Open),
            ')' => reader.mark(Item::Close),
            '#' if reader.word.is_none() => reader.skip_line(),
            '<' | '>' => here.extend(reader.redirection(c)),
            '\'' => reader.single_quoted(),
            '"' => reader.double_quoted(),
            '\\' => match reader.next() {
                Some('\n') | None => {}
                Some(c) => reader.word().push(c, true),
            },
            '$' => reader.dollar(false),
            '`' => reader.backquoted(false),
            c => reader.word().push(c, false),
        }
    }
    reader.end_command();
    reader.items
}

struct Reader<'a> {
    rest: &'a str,
    items: Vec<Item>,
    words: Vec<Word>,
    word: Option<Word>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn word(&mut self) -> &mut Word {
        self.word.get_or_insert_default()
    }

    fn part(&mut self, piece: Piece, quoted: bool) {
        self.word().parts.push(Part { piece, quoted });
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_command(&mut self) {
        self.end_word();
        if !self.words.is_empty() {
            self.items.push(Item::Command(std::mem::take(&mut self.words)));
        }
    }

    fn mark(&mut self, item: Item) {
        self.end_command();
        self.items.push(item);
    }

    fn skip_line(&mut self) {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
    }

    fn skip_here_document(&mut self, delimiter: &str, tabs: bool) {
        while !self.rest.is_empty() {
            let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
            self.rest = rest;
            if (if tabs { line.trim_start_matches('\t') } else { line }) == delimiter {
                break;
            }
        }
    }

    /// Passes over a redirection and its target; returns the delimiter of a here-document.
    fn redirection(&mut self, first: char) -> Option<(String, bool)> {
        // The number before it is no word.
        let number = |word: &Word| word.plain().is_some_and(|w| w.bytes().all(|b| b.is_ascii_digit()));
        if self.word.as_ref().is_some_and(number) {
            self.word = None;
        }
        self.end_word();
        let here = first == '<' && self.rest.starts_with('<') && !self.rest.starts_with("<<");
        let operator = self.rest.find(|c| !matches!(c, '<' | '>' | '&' | '|')).unwrap_or(self.rest.len());
        self.rest = &self.rest[operator..];
        let tabs = here && self.rest.starts_with('-');
        self.rest = self.rest.strip_prefix('-').filter(|_| tabs).unwrap_or(self.rest);
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        if self.rest.starts_with('(') {
            return None;
        }
        let end = self.rest.find(|c: char| c.is_whitespace() || ";&|()<>".contains(c));
        let (target, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        let word = target.replace(['\'', '"', '\\'], "");
        (here && !word.is_empty()).then_some((word, tabs))
    }

    fn single_quoted(&mut self) {
        let end = self.rest.find('\'').unwrap_or(self.rest.len());
        let text = self.rest[..end].to_owned();
        self.part(Piece::Text(text), true);
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
    }

    fn double_quoted(&mut self) {
        self.part(Piece::Text(String::new()), true);
        while let Some(c) = self.next() {
            match c {
                '"' => break,
                '\\' => match self.next() {
                    Some('\n') | None => {}
                    Some(c @ ('$' | '`' | '"' | '\\')) => self.word().push(c, true),
                    Some(c) => {
                        self.word().push('\\', true);
                        self.word().push(c, true);
                    }
                },
                '$' => self.dollar(true),
                '`' => self.backquoted(true),
                c => self.word().push(c, true),
            }
        }
    }

    fn dollar(&mut self, quoted: bool) {
        if self.rest.starts_with('(') {
            self.substitution();
            return self.part(Piece::Odd, quoted);
        }
        match variable_at(self.rest) {
            None => self.word().push('$', quoted),
            Some((piece, length)) => {
                self.rest = &self.rest[length..];
                self.part(piece, quoted);
            }
        }
    }

    /// Passes over `(…)`, by its brackets.
    fn substitution(&mut self) {
        let mut depth = 0;
        while let Some(c) = self.next() {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                '\\' => drop(self.next()),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }

    fn backquoted(&mut self, quoted: bool) {
        let end = self.rest.find('`').unwrap_or(self.rest.len());
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        self.part(Piece::Odd, quoted);
    }
}

#[cfg(test)]
mod tests {
    use super::super::expand::Known;
    use super::super::limits::{Budget, MAX_SCRIPT};
    use super::{Item, read};

    /// Writes commands with `|` between their words.
    fn commands(script: &str) -> Vec<String> {
        let look = |name: &str| match name {
            "A" => Known::Value("one".to_owned()),
            "TWO" => Known::Value("b c".to_owned()),
            "EMPTY" => Known::Unset,
            _ => Known::Unknown,
        };
        let budget = Budget::new();
        let write = |item: &Item| match item {
            Item::Open => "(".to_owned(),
            Item::Close => ")".to_owned(),
            Item::Command(words) => {
                let word = |word: &super::Word| match word.expand(&look, &budget) {
                    Ok(words) => words.join("|"),
                    Err(_) => format!("?{}", word.written()),
                };
                words.iter().map(word).collect::<Vec<_>>().join("|")
            }
        };
        read(script, &budget).iter().map(write).collect()
    }

    #[test]
    fn commands_are_told_apart_and_their_words_unquoted() {
        for (script, expected) in [
            ("a b\nc", &["a|b", "c"][..]),
            ("a && b || c; d | e &", &["a", "b", "c", "d", "e"]),
            ("a 'b c' \"d e\"f\\ g", &["a|b c|d ef g"]),
            ("a \\\n  b # no\n# c\nd#e", &["a|b", "d#e"]),
            ("(cd x; a) && b", &["(", "cd|x", "a", ")", "b"]),
            ("a > /dev/null 2>&1 b", &["a|b"]),
            ("a <<EOF b\nno\nEOF\nc", &["a|b", "c"]),
            ("a <<-'E'\nno\n\tE\nc <<< d e", &["a", "c|e"]),
            ("a '' b", &["a||b"]),
        ] {
            assert_eq!(commands(script), expected, "{script}");
        }
    }

    #[test]
    fn variables_are_expanded_and_split_where_they_are_not_quoted() {
        for (script, expected) in [
            ("x $A ${A}s \"$A $A\" '$A' \\$A", "x|one|ones|one one|$A|$A"),
            ("x a$TWO d", "x|ab|c|d"),
            ("x \"a$TWO\"", "x|ab c"),
            ("x ${EMPTY:-y} $A", "x|y|one"),
            ("x $(y \"(z)\") `a b`", "x|?$(…)|?$(…)"),
            ("x $WHO $1", "x|?$WHO|?$(…)"),
            ("x $((1 + 2))y", "x|?$(…)y"),
            ("x 5$", "x|5$"),
        ] {
            assert_eq!(commands(script), [expected], "{script}");
        }
    }

    #[test]
    fn assignments_are_told_from_other_words() {
        let assignment = |text: &str| match read(text, &Budget::new()).as_slice() {
            [Item::Command(words)] => words[0].assignment().map(|(name, value)| (name, value.plain())),
            other => panic!("{other:?}"),
        };
        assert_eq!(assignment("A=b"), Some(("A".to_owned(), Some("b".to_owned()))));
        assert_eq!(assignment("A='b c'"), Some(("A".to_owned(), Some("b c".to_owned()))));
        assert_eq!(assignment("A=$B"), Some(("A".to_owned(), None)));
        for text in ["'A'=b", "a", "=b", "1=b", "--a=b"] {
            assert_eq!(assignment(text), None, "{text}");
        }
    }

    #[test]
    fn what_never_ends_ends_and_long_scripts_are_cut() {
        for script in ["'", "\"", "`", "$(", "${", "a <<EOF", "a <", "\\", "((((", "))))", "$", "a <<"] {
            commands(script);
        }
        let budget = Budget::new();
        let items = read(&"é\n".repeat(MAX_SCRIPT), &budget);
        assert!(items.len() <= MAX_SCRIPT / 3 + 1 && !budget.bounds_met().is_empty());
    }
}
