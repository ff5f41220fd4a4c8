//! `$X` and `${X}` as the runner expands them.

/// Expands `$NAME` and `${NAME}`: once, without looking into the values. Names that `lookup` does not know vanish,
/// as do `$1` or `$*`; `$$` is a dollar, and so is a dollar that no name follows.
pub(super) fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (name, used) = name_at(rest);
        match name {
            Some("$") => out.push('$'),
            Some(name) => out.push_str(&lookup(name).unwrap_or_default()),
            None if used == 0 => out.push('$'),
            None => {}
        }
        rest = &rest[used..];
    }
    out.push_str(rest);
    out
}

/// Returns the name that stands at the start of `text`, and how many bytes it and its braces take.
/// No name and no bytes: a lone dollar. No name but some bytes: braces that hold nothing, or never close.
fn name_at(text: &str) -> (Option<&str>, usize) {
    if let Some(inner) = text.strip_prefix('{') {
        return match inner.find('}') {
            Some(0) => (None, 2),
            Some(end) => (Some(&inner[..end]), end + 2),
            None => (None, 1),
        };
    }
    match text.chars().next() {
        Some(c) if "*#$@!?-".contains(c) || c.is_ascii_digit() => (Some(&text[..1]), 1),
        _ => {
            let word = |c: char| c == '_' || c.is_ascii_alphanumeric();
            let end = text.find(|c| !word(c)).unwrap_or(text.len());
            if end == 0 { (None, 0) } else { (Some(&text[..end]), end) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn names_are_expanded_once_and_unknown_ones_vanish() {
        let lookup = |name: &str| match name {
            "A" => Some("one".to_owned()),
            "B" => Some("$A".to_owned()),
            _ => None,
        };
        for (text, expanded) in [
            ("plain", "plain"),
            ("$A/${A}x", "one/onex"),
            ("$B", "$A"),
            ("[$MISSING]", "[]"),
            ("cost: 5$", "cost: 5$"),
            ("a $ b", "a $ b"),
            ("$$A", "$A"),
            ("${}x", "x"),
            ("${A", "A"),
            ("$1st", "st"),
            ("ü$Aü", "üoneü"),
        ] {
            assert_eq!(expand(text, lookup), expanded, "{text}");
        }
    }
}
