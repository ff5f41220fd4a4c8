//! Variable expansion as GitLab Runner does it: `$NAME` and `${NAME}`, unknown names become nothing.

/// Expands variables in `text` once; `lookup` gives a variable's value. A `$` that starts no name stays as it is.
pub fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (name, after) = match rest.strip_prefix('{') {
            Some(inner) => match inner.find('}') {
                Some(end) => (&inner[..end], &inner[end + 1..]),
                None => ("", rest),
            },
            None => rest.split_at(name_length(rest)),
        };
        if name.is_empty() {
            out.push('$');
        } else {
            out.push_str(lookup(name).unwrap_or_default());
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn name_length(text: &str) -> usize {
    let mut end = 0;
    for (index, c) in text.char_indices() {
        let fits = c == '_' || c.is_ascii_alphabetic() || (index > 0 && c.is_ascii_digit());
        if !fits {
            break;
        }
        end = index + 1;
    }
    end
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
            ("${A", "${A"),
            ("${}", "$"),
            ("ü$A€", "üone€"),
        ] {
            assert_eq!(expand(text, vars), expanded, "{text}");
        }
    }
}
