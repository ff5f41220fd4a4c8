//! One TOML value read as one type: the seam between the file and the checked types.
//!
//! The values are read by hand and not through serde, which would stop at the first error of a file; and from the parser's
//! own tree, which knows the line of each value.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::complaint::Complaint;

/// How much of a bad value a complaint repeats.
const MAX_SHOWN: usize = 80;

/// A type that a key of the settings can have.
pub(super) trait Wire: Sized {
    /// Reads a value; `None` after having complained.
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self>;
}

/// A type that is written as a text.
pub(super) trait Word: Sized {
    /// Reads a text; the error begins with the text and says what is allowed.
    fn from_text(text: &str) -> Result<Self, String>;
}

/// Where a value stands, to complain about it.
pub(super) struct Place<'r> {
    pub(super) lines: &'r Lines,
    pub(super) complaints: &'r mut Vec<Complaint>,
    pub(super) path: String,
    pub(super) offset: usize,
}

impl Place<'_> {
    /// Complains about the value.
    pub(super) fn complain(&mut self, problem: impl Into<String>) {
        let line = Some(self.lines.number(self.offset));
        self.complaints.push(Complaint { path: self.path.clone(), line, problem: problem.into() });
    }

    /// Goes to a value within this one.
    pub(super) fn inner<T>(&mut self, suffix: &str, value: &Spanned<T>) -> Place<'_> {
        Place {
            lines: self.lines,
            complaints: self.complaints,
            path: format!("{}{suffix}", self.path),
            offset: value.span().start,
        }
    }

    fn wrong_type(&mut self, value: &DeValue<'_>, expected: &str) {
        let shown = shorten(&render(value));
        self.complain(format!("{shown} is not {expected}"));
    }
}

/// Where the lines of a text begin.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(offset, _)| offset).collect())
    }

    /// The number of the line that holds the byte at an offset, from 1 on.
    pub(super) fn number(&self, offset: usize) -> usize {
        self.0.partition_point(|newline| *newline < offset) + 1
    }
}

/// Writes a value on one line, as TOML has it. Values of service environments are hidden.
pub(super) fn render(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quote(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| render(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let entries: Vec<String> = table
                .iter()
                .map(|(key, value)| {
                    let value = match value.get_ref() {
                        DeValue::Array(items) if key.get_ref() == "environment" => render_environment(items),
                        value => render(value),
                    };
                    format!("{} = {value}", render_key(key.get_ref()))
                })
                .collect();
            if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
        }
    }
}

/// Writes the names of variables without their values.
fn render_environment(items: &DeArray<'_>) -> String {
    let name = |item: &Spanned<DeValue<'_>>| {
        item.get_ref()
            .as_str()
            .and_then(|text| text.split_once('='))
            .map_or_else(String::new, |(name, _)| name.to_owned())
    };
    let items: Vec<String> = items.iter().map(|item| quote(&format!("{}=[hidden]", name(item)))).collect();
    format!("[{}]", items.join(", "))
}

/// Writes a key, in quotes where TOML wants them.
pub(super) fn render_key(key: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !key.is_empty() && key.bytes().all(bare) { key.to_owned() } else { quote(key) }
}

/// Writes a text in quotes, on one line and without control characters.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for sign in text.chars() {
        match sign {
            '"' | '\\' => quoted.extend(['\\', sign]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= MAX_SHOWN {
        return text.to_owned();
    }
    text.chars().take(MAX_SHOWN).chain(['…']).collect()
}

impl<T: Word> Wire for T {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let DeValue::String(text) = value else {
            at.wrong_type(value, "a text in quotes");
            return None;
        };
        T::from_text(text).map_err(|problem| at.complain(problem)).ok()
    }
}

impl Word for String {
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Wire for bool {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let DeValue::Boolean(truth) = value else {
            at.wrong_type(value, "true or false");
            return None;
        };
        Some(*truth)
    }
}

impl Wire for i64 {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let number = match value {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        if number.is_none() {
            at.wrong_type(value, "a whole number");
        }
        number
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let DeValue::Array(items) = value else {
            at.wrong_type(value, "a list in [ ]");
            return None;
        };
        // Each item is read, so that each bad one is complained about, before the first `None` counts.
        let read: Vec<Option<T>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| T::read(item.get_ref(), &mut at.inner(&format!("[{index}]"), item)))
            .collect();
        read.into_iter().collect()
    }
}

impl<T: Wire> Wire for BTreeMap<String, T> {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let table = table(value, at)?;
        let read: Vec<Option<(String, T)>> = table
            .iter()
            .map(|(key, item)| {
                let suffix = format!(".{}", render_key(key.get_ref()));
                let value = T::read(item.get_ref(), &mut at.inner(&suffix, item))?;
                Some((key.get_ref().to_string(), value))
            })
            .collect();
        read.into_iter().collect()
    }
}

/// Reads a table.
pub(super) fn table<'v, 'i>(value: &'v DeValue<'i>, at: &mut Place<'_>) -> Option<&'v DeTable<'i>> {
    let DeValue::Table(table) = value else {
        at.wrong_type(value, "a table");
        return None;
    };
    Some(table)
}

/// A text or a number, read as its text.
pub(super) fn text_or_number(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.trim().to_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => {
            at.wrong_type(value, "a text or a number");
            None
        }
    }
}
