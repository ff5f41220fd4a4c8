//! `$NAME` and its like, expanded where the values are known and said where they are not.

use super::limits::{Budget, MAX_VALUE};

/// What is known of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    Value(String),
    /// It is known that it has no value.
    Unset,
    Unknown,
}

/// Why a text could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unexpanded {
    /// A variable that is not known.
    Variable(String),
    /// Something that is no plain variable, or too long a result.
    Odd,
}

/// What stands in a text: words of a shell, names of a Dockerfile and values of a pipeline share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Variable {
        name: String,
        otherwise: Otherwise,
    },
    /// Something that only a shell can tell.
    Odd,
}

/// What a shell or a Dockerfile takes instead of a variable's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Otherwise {
    Nothing,
    /// `${NAME:-text}` and, with `false`, `${NAME-text}`.
    Default {
        text: String,
        if_empty: bool,
    },
    /// `${NAME:+text}` and, with `false`, `${NAME+text}`.
    Instead {
        text: String,
        if_empty: bool,
    },
}

/// Reads the variable after a `$`, and how many bytes it takes; `None` if the `$` stands for itself.
pub(super) fn variable_at(rest: &str) -> Option<(Piece, usize)> {
    let word = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let Some(inner) = rest.strip_prefix('{') else {
        let length = rest.find(|c| !word(c)).unwrap_or(rest.len());
        return match rest.chars().next()? {
            c if c.is_ascii_digit() || "*#@!?-($".contains(c) => Some((Piece::Odd, c.len_utf8())),
            _ if length == 0 => None,
            _ => {
                let name = rest[..length].to_owned();
                Some((Piece::Variable { name, otherwise: Otherwise::Nothing }, length))
            }
        };
    };
    let Some(end) = closing_brace(inner) else { return Some((Piece::Odd, rest.len())) };
    let inner = &inner[..end];
    let length = inner.find(|c| !word(c)).unwrap_or(inner.len());
    let (name, rule) = inner.split_at(length);
    let after = |from: usize| rule[from..].to_owned();
    let otherwise = match rule {
        _ if name.is_empty() => return Some((Piece::Odd, end + 2)),
        "" => Otherwise::Nothing,
        _ if rule.starts_with(":-") => Otherwise::Default { text: after(2), if_empty: true },
        _ if rule.starts_with('-') => Otherwise::Default { text: after(1), if_empty: false },
        _ if rule.starts_with(":+") => Otherwise::Instead { text: after(2), if_empty: true },
        _ if rule.starts_with('+') => Otherwise::Instead { text: after(1), if_empty: false },
        _ if rule.starts_with([':', '?']) && rule.trim_start_matches(':').starts_with('?') => {
            Otherwise::Nothing
        }
        _ => return Some((Piece::Odd, end + 2)),
    };
    Some((Piece::Variable { name: name.to_owned(), otherwise }, end + 2))
}

/// Finds the brace that closes what is open at the start of the text.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate().take(MAX_VALUE) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// How deep a default holds defaults.
const MAX_DEFAULTS: usize = 4;

/// Gives a piece's text.
pub(super) fn piece(
    piece: &Piece,
    look: &dyn Fn(&str) -> Known,
    budget: &Budget,
) -> Result<String, Unexpanded> {
    expand_piece(piece, look, budget, 0)
}

fn expand_piece(
    piece: &Piece,
    look: &dyn Fn(&str) -> Known,
    budget: &Budget,
    depth: usize,
) -> Result<String, Unexpanded> {
    let (name, otherwise) = match piece {
        Piece::Text(text) => return Ok(text.clone()),
        Piece::Odd => return Err(Unexpanded::Odd),
        Piece::Variable { name, otherwise } => (name, otherwise),
    };
    if depth > MAX_DEFAULTS || !budget.spend(1) {
        return Err(Unexpanded::Odd);
    }
    let value = match look(name) {
        Known::Value(value) if budget.spend(value.len() / 8) => Some(value),
        Known::Value(_) => return Err(Unexpanded::Odd),
        Known::Unset => None,
        Known::Unknown => return Err(Unexpanded::Variable(name.clone())),
    };
    let given = |if_empty: bool| value.as_ref().is_some_and(|value| !(if_empty && value.is_empty()));
    match otherwise {
        Otherwise::Default { text, if_empty } if !given(*if_empty) => {
            expand_depth(text, look, budget, depth + 1)
        }
        Otherwise::Instead { text, if_empty } if given(*if_empty) => {
            expand_depth(text, look, budget, depth + 1)
        }
        Otherwise::Instead { .. } => Ok(String::new()),
        Otherwise::Nothing | Otherwise::Default { .. } => Ok(value.unwrap_or_default()),
    }
}

/// Expands a text as a Dockerfile does: `$NAME`, `${NAME}` and the shell's defaults; a backslash takes a `$` literally.
pub(super) fn expand(
    text: &str,
    look: &dyn Fn(&str) -> Known,
    budget: &Budget,
) -> Result<String, Unexpanded> {
    expand_depth(text, look, budget, 0)
}

fn expand_depth(
    text: &str,
    look: &dyn Fn(&str) -> Known,
    budget: &Budget,
    depth: usize,
) -> Result<String, Unexpanded> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        if let Some(before) = rest[..at].strip_suffix('\\') {
            out.push_str(before);
            out.push('$');
            rest = &rest[at + 1..];
            continue;
        }
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match variable_at(rest) {
            None => out.push('$'),
            Some((found, length)) => {
                out.push_str(&expand_piece(&found, look, budget, depth)?);
                rest = &rest[length..];
            }
        }
        if out.len() > MAX_VALUE {
            return Err(Unexpanded::Odd);
        }
    }
    out.push_str(rest);
    if out.len() > MAX_VALUE { Err(Unexpanded::Odd) } else { Ok(out) }
}

/// Expands a value of a pipeline as GitLab and its runner do: `$NAME`, `${NAME}` and `$$`.
pub(super) fn expand_plain(
    text: &str,
    look: &dyn Fn(&str) -> Known,
    budget: &Budget,
) -> Result<String, Unexpanded> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if rest.starts_with("[[") {
            // An input of a template: filled in before the pipeline is made.
            return Err(Unexpanded::Odd);
        } else {
            match variable_at(rest) {
                None => out.push('$'),
                Some((found @ Piece::Variable { otherwise: Otherwise::Nothing, .. }, length)) => {
                    out.push_str(&expand_piece(&found, look, budget, 0)?);
                    rest = &rest[length..];
                }
                Some(_) => return Err(Unexpanded::Odd),
            }
        }
        if out.len() > MAX_VALUE {
            return Err(Unexpanded::Odd);
        }
    }
    out.push_str(rest);
    if out.len() > MAX_VALUE { Err(Unexpanded::Odd) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::super::limits::Budget;
    use super::{Known, Unexpanded, expand, expand_plain};

    fn look(name: &str) -> Known {
        match name {
            "A" => Known::Value("one".to_owned()),
            "EMPTY" => Known::Value(String::new()),
            "UNSET" => Known::Unset,
            "LONG" => Known::Value("x".repeat(3000)),
            _ => Known::Unknown,
        }
    }

    #[test]
    fn a_dockerfiles_names_are_expanded_with_their_defaults() {
        for (text, expanded) in [
            ("plain", "plain"),
            ("$A/${A}x", "one/onex"),
            ("${A:-two}", "one"),
            ("${UNSET:-two}-${UNSET-two}", "two-two"),
            ("${EMPTY:-two}-${EMPTY-two}", "two-"),
            ("${UNSET:-${A}}", "one"),
            ("${A:+x}${UNSET:+y}${EMPTY+z}", "xz"),
            ("${A:?needed}", "one"),
            ("a\\$A", "a$A"),
            ("cost 5$", "cost 5$"),
            ("ü$A€", "üone€"),
        ] {
            assert_eq!(expand(text, &look, &Budget::new()).as_deref(), Ok(expanded), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_said() {
        for (text, why) in [
            ("a$WHO", Unexpanded::Variable("WHO".to_owned())),
            ("${WHO:-x}", Unexpanded::Variable("WHO".to_owned())),
            ("$1", Unexpanded::Odd),
            ("${A%x}", Unexpanded::Odd),
            ("${A", Unexpanded::Odd),
            ("${}", Unexpanded::Odd),
            ("$LONG$LONG$LONG", Unexpanded::Odd),
        ] {
            assert_eq!(expand(text, &look, &Budget::new()), Err(why), "{text}");
        }
    }

    #[test]
    fn a_pipelines_values_know_no_defaults() {
        let expand = |text| expand_plain(text, &look, &Budget::new());
        assert_eq!(expand("${A}:$A-$$A"), Ok("one:one-$A".to_owned()));
        assert_eq!(expand("$[[ inputs.image ]]"), Err(Unexpanded::Odd));
        assert_eq!(expand("${A:-x}"), Err(Unexpanded::Odd));
        assert_eq!(expand("$UNSET"), Ok(String::new()));
    }
}
