//! Variable expansion as GitLab Runner does it, by the rules of Go's `os.Expand`.

/// Expands `$NAME` and `${NAME}` in `text` once; `lookup` gives a variable's value, and unknown names become nothing.
/// `$$` is a dollar sign; `$1`, `$@` and their like are nothing; a `$` that starts no name stays as it is.
pub fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (name, length) = name_at(rest);
        match name {
            "$" => out.push('$'),
            "" if length == 0 => out.push('$'),
            name => out.push_str(lookup(name).unwrap_or_default()),
        }
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

/// Returns the name that starts `text`, and how many bytes it takes with its braces. Broken braces are eaten.
fn name_at(text: &str) -> (&str, usize) {
    match text.chars().next() {
        Some('{') => match text.find('}') {
            Some(end) => (&text[1..end], end + 1),
            None => ("", 1),
        },
        Some(c) if "*#$@!?-0123456789".contains(c) => (&text[..1], 1),
        _ => {
            let fits = |c: char| c == '_' || c.is_ascii_alphanumeric();
            let length = text.find(|c| !fits(c)).unwrap_or(text.len());
            (&text[..length], length)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::expand;

    fn vars(name: &str) -> Option<&'static str> {
        match name {
            "A" => Some("one"),
            "B_2" => Some("two"),
            "NESTED" => Some("$A"),
            _ => None,
        }
    }

    #[test]
    fn both_forms_are_expanded_once_and_unknown_names_vanish() {
        for (text, expanded) in [
            ("plain", "plain"),
            ("$A", "one"),
            ("${A}x", "onex"),
            ("$A$B_2", "onetwo"),
            ("base/$A:1", "base/one:1"),
            ("$Ax", ""),
            ("${NESTED}", "$A"),
            ("100$", "100$"),
            ("$ A", "$ A"),
            ("pa$$word", "pa$word"),
            ("a$1b", "ab"),
            ("${A", "A"),
            ("${}", ""),
            ("ü$A€", "üone€"),
        ] {
            assert_eq!(expand(text, vars), expanded, "{text}");
        }
    }
}
