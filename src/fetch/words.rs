//! What an engine says of a pull, made fit for a job log.

/// How much of it is repeated.
const MAX_SHOWN: usize = 600;

/// Takes out of addresses what may be a secret: users, passwords and queries. Blobs often come from addresses that are signed
/// for whoever asked, and engines quote them whole.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + 3);
        out.push_str(before);
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '\\');
        let (address, after) = address.split_at(address.find(ends).unwrap_or(address.len()));
        let bare = address.split(['?', '#']).next().unwrap_or_default();
        let (host, path) = bare.split_at(bare.find('/').unwrap_or(bare.len()));
        out.push_str(host.rsplit('@').next().unwrap_or_default());
        out.push_str(path);
        // What follows an address without quotes belongs to the sentence.
        if bare.len() < address.len() && address.ends_with([':', ',']) {
            out.push_str(&address[address.len() - 1..]);
        }
        rest = after;
    }
    out.push_str(rest);
    let line: String = out.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::shown;

    #[test]
    fn addresses_lose_what_may_be_a_secret() {
        for (said, is_shown) in [
            (
                "Get \"https://cdn.example/blob/sha256:0a?X-Signature=word&b=1\": EOF",
                "Get \"https://cdn.example/blob/sha256:0a\": EOF",
            ),
            ("at https://cdn.example/x?token=word: EOF", "at https://cdn.example/x: EOF"),
            ("Get https://user:word@host.example:5000/v2/: no", "Get https://host.example:5000/v2/: no"),
            ("http://a/?q=1 and http://b#word", "http://a/ and http://b"),
            ("docker://h/x/y@sha256:00: reading", "docker://h/x/y@sha256:00: reading"),
            ("manifest unknown: what? nothing", "manifest unknown: what? nothing"),
            ("://", "://"),
            ("two\nlines", "two lines"),
        ] {
            assert_eq!(shown(said), is_shown);
        }
        assert_eq!(shown(&"x".repeat(1000)).len(), 603);
    }

    proptest! {
        #[test]
        fn no_query_is_left(text in "[a-z \"]{0,9}(https?://[a-z@:/.]{0,9}[?]WORD=[a-z=&?]{0,9}[ \":]{0,2}){0,3}") {
            prop_assert!(!shown(&text).contains("WORD"), "{}", shown(&text));
        }
    }
}
