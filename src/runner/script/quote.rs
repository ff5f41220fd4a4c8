//! Quoting for the shells that read the stage scripts: bash and BusyBox ash.

/// Returns a word that the shell reads as exactly this text. Words of harmless characters stay as they are.
pub fn quote(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "_-+./,:@%^".contains(c);
    if text.is_empty() {
        "''".to_owned()
    } else if text.chars().all(harmless) {
        text.to_owned()
    } else {
        quote_always(text)
    }
}

/// Returns the word in `$'…'`, everything but printable ASCII escaped.
pub(super) fn quote_always(text: &str) -> String {
    use std::fmt::Write as _;
    let mut word = String::with_capacity(text.len() + text.len() / 8 + 3);
    word.push_str("$'");
    for byte in text.bytes() {
        match byte {
            b'\\' => word.push_str("\\\\"),
            b'\'' => word.push_str("\\'"),
            b'\n' => word.push_str("\\n"),
            b'\r' => word.push_str("\\r"),
            b'\t' => word.push_str("\\t"),
            b' '..=b'~' => word.push(char::from(byte)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(word, "\\x{byte:02x}");
            }
        }
    }
    word.push('\'');
    word
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::{quote, quote_always};

    fn shells() -> Vec<Vec<&'static str>> {
        let all = [vec!["bash", "-c"], vec!["busybox", "ash", "-c"]];
        all.into_iter().filter(|it| said(it, "printf ok").as_deref() == Some(b"ok")).collect()
    }

    fn said(shell: &[&str], command: &str) -> Option<Vec<u8>> {
        let output = Command::new(shell[0]).args(&shell[1..]).arg(command).output().ok()?;
        output.status.success().then_some(output.stdout)
    }

    fn assert_read_back(text: &str) {
        for shell in shells() {
            for nested in [
                format!("printf %s {}", quote(text)),
                format!("eval {}", quote_always(&format!("printf %s {}", quote(text)))),
            ] {
                let read = said(&shell, &nested);
                assert_eq!(read.as_deref(), Some(text.as_bytes()), "{shell:?} {nested}");
            }
        }
    }

    #[test]
    fn there_is_a_shell_to_test_with() {
        assert!(!shells().is_empty(), "neither bash nor busybox is here: quoting cannot be tested");
    }

    #[test]
    fn shells_read_back_what_was_quoted() {
        for text in [
            "",
            "plain",
            "two words",
            "it's",
            "a\\b",
            "\n",
            "\u{81}Á€ü",
            "\x1b[0m",
            "$HOME `id` \"x\" !",
            "-n",
            "*",
        ] {
            assert_read_back(text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn shells_read_back_any_text(text in "[^\\x00]{0,40}") {
            assert_read_back(&text);
        }
    }
}
