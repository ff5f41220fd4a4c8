//! Dockerfiles as BuildKit reads them: only what says which images a build takes.
//!
//! Lines are joined and here-documents skipped by BuildKit's rules, wherever on a line they begin; instructions that
//! name no image are passed over, unknown ones too.

use super::limits::Budget;

/// A Dockerfile: what goes before its first stage, and its stages.
pub(super) struct Dockerfile {
    /// `ARG` lines before the first `FROM`: names and defaults.
    pub(super) args: Vec<(String, Option<String>)>,
    pub(super) stages: Vec<Stage>,
    /// The image that reads the file, of `# syntax=`, and its line.
    pub(super) syntax: Option<(String, usize)>,
}

/// One stage.
pub(super) struct Stage {
    pub(super) line: usize,
    pub(super) platform: Option<String>,
    /// What follows `FROM`: an image, an earlier stage or `scratch`, not expanded.
    pub(super) base: String,
    /// Its name in lower case.
    pub(super) name: Option<String>,
    /// What its `COPY --from=` and `RUN --mount=…,from=` name, and their lines.
    pub(super) takes: Vec<(String, usize)>,
}

/// Reads a Dockerfile; it is empty if there is no budget for it.
pub(super) fn read(text: &str, budget: &Budget) -> Dockerfile {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (syntax, escape) = directives(text);
    let mut file = Dockerfile { args: Vec::new(), stages: Vec::new(), syntax };
    if !budget.spend(text.len() / 2 + 1) {
        return file;
    }
    let mut lines = text.lines().enumerate();
    while let Some((number, logical)) = next_logical(&mut lines, escape) {
        let line = number + 1;
        let logical = logical.trim();
        let (keyword, rest) = logical.split_once(char::is_whitespace).unwrap_or((logical, ""));
        let keyword = keyword.to_ascii_uppercase();
        if matches!(keyword.as_str(), "RUN" | "COPY" | "ADD") {
            for delimiter in here_documents(rest) {
                skip_here_document(&mut lines, &delimiter);
            }
        }
        match keyword.as_str() {
            "FROM" => file.stages.extend(from(rest, line)),
            "ARG" if file.stages.is_empty() => file.args.extend(words(rest).into_iter().map(argument)),
            "COPY" => {
                let (flags, _) = flags(rest);
                let from = flags.iter().filter_map(|flag| flag.strip_prefix("--from="));
                take(&mut file, from, line);
            }
            "RUN" => {
                let (flags, _) = flags(rest);
                let mounts = flags.iter().filter_map(|flag| flag.strip_prefix("--mount="));
                let from = mounts.flat_map(|mount| mount.split(',')).filter_map(|f| f.strip_prefix("from="));
                take(&mut file, from, line);
            }
            _ => {}
        }
    }
    file
}

fn take<'a>(file: &mut Dockerfile, from: impl Iterator<Item = &'a str>, line: usize) {
    if let Some(stage) = file.stages.last_mut() {
        stage.takes.extend(from.map(|name| (unquoted(name), line)));
    }
}

/// Reads `# syntax=` and `# escape=`: comments of that form before anything else.
fn directives(text: &str) -> (Option<(String, usize)>, char) {
    let mut syntax = None;
    let mut escape = '\\';
    for (number, line) in text.lines().enumerate() {
        let Some((name, value)) = line.trim_start().strip_prefix('#').and_then(|rest| rest.split_once('='))
        else {
            break;
        };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "syntax" if syntax.is_none() => {
                // What follows the image are options for it.
                let image = value.split_whitespace().next().unwrap_or_default().to_owned();
                syntax = Some((image, number + 1));
            }
            "escape" if value == "`" => escape = '`',
            "escape" | "check" => {}
            _ => break,
        }
    }
    (syntax.filter(|(image, _)| !image.is_empty()), escape)
}

/// Joins continued lines; comments and empty lines between them do not end an instruction.
fn next_logical<'a>(
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
    escape: char,
) -> Option<(usize, String)> {
    let mut logical = String::new();
    let mut first = None;
    for (number, line) in lines {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        first.get_or_insert(number);
        match line.trim_end().strip_suffix(escape) {
            Some(continued) => logical.push_str(continued),
            None => {
                logical.push_str(line);
                break;
            }
        }
    }
    first.map(|number| (number, logical))
}

struct Delimiter {
    word: String,
    /// `<<-`: tabs before it do not count.
    tabs: bool,
}

/// Finds the here-documents that a line begins: `<<WORD`, `<<-WORD`, `<<"WORD"`, with a number before it or not.
fn here_documents(rest: &str) -> Vec<Delimiter> {
    let mut found = Vec::new();
    for word in words(rest) {
        let word = word.trim_start_matches(|c: char| c.is_ascii_digit());
        let Some(after) = word.strip_prefix("<<") else { continue };
        let (after, tabs) = after.strip_prefix('-').map_or((after, false), |after| (after, true));
        let plain = unquoted(after);
        if !plain.is_empty() && !plain.starts_with('<') && !plain.contains(['<', '>', '$']) {
            found.push(Delimiter { word: plain, tabs });
        }
    }
    found
}

fn skip_here_document<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>, delimiter: &Delimiter) {
    for (_, line) in lines {
        let line = if delimiter.tabs { line.trim_start_matches('\t') } else { line };
        if line == delimiter.word {
            break;
        }
    }
}

/// Splits at white space outside quotes; the quotes stay.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                word.push(c);
                word.extend(chars.next());
                continue;
            }
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Takes quotes away; a `$` that single quotes or a backslash make plain is not told from another.
fn unquoted(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '\'' | '"')).collect()
}

fn argument(word: String) -> (String, Option<String>) {
    match word.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(unquoted(value))),
        None => (word, None),
    }
}

/// Splits off the `--flags` that an instruction begins with.
fn flags(rest: &str) -> (Vec<String>, Vec<String>) {
    let words = words(rest);
    let count = words.iter().take_while(|word| word.starts_with("--")).count();
    let (flags, others) = words.split_at(count);
    (flags.to_vec(), others.to_vec())
}

fn from(rest: &str, line: usize) -> Option<Stage> {
    let (flags, words) = flags(rest);
    let platform = flags.iter().find_map(|flag| flag.strip_prefix("--platform=")).map(unquoted);
    let base = unquoted(words.first()?);
    let name = match words.get(1..) {
        Some([r#as, name]) if r#as.eq_ignore_ascii_case("as") => Some(name.to_ascii_lowercase()),
        Some([]) => None,
        // No instruction: a build would fail here.
        _ => return None,
    };
    Some(Stage { line, platform, base, name, takes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::super::limits::Budget;
    use super::{Dockerfile, read};

    fn file(text: &str) -> Dockerfile {
        read(text, &Budget::new())
    }

    /// Writes the stages in one line each.
    fn stages(text: &str) -> Vec<String> {
        let stage = |stage: &super::Stage| {
            let mut line = format!("{}:{}", stage.line, stage.base);
            if let Some(name) = &stage.name {
                line.push_str(&format!(" as {name}"));
            }
            if let Some(platform) = &stage.platform {
                line.push_str(&format!(" on {platform}"));
            }
            for (taken, at) in &stage.takes {
                line.push_str(&format!(" takes {taken}@{at}"));
            }
            line
        };
        file(text).stages.iter().map(stage).collect()
    }

    #[test]
    fn stages_are_read_with_their_names_platforms_and_what_they_copy() {
        let text = "\u{feff}# build\nARG V=3\n\
            FROM --platform=$BUILDPLATFORM golang:${V} AS Build\nRUN make\n\
            from alpine\n  COPY --chown=1 --from=build /a /b\nCOPY --from=nginx:1 /c /d\nCOPY a b\n\
            RUN --mount=type=cache,target=/x --mount=type=bind,from=busybox,target=/y cp /y /z\n";
        assert_eq!(
            stages(text),
            [
                "3:golang:${V} as build on $BUILDPLATFORM",
                "5:alpine takes build@6 takes nginx:1@7 takes busybox@9"
            ]
        );
    }

    #[test]
    fn continued_lines_comments_and_the_escape_directive_are_followed() {
        assert_eq!(stages("FROM \\\n  # a comment\n\n  alpine:3 \\\n AS x\n"), ["1:alpine:3 as x"]);
        assert_eq!(stages("FROM a\nRUN x \\\nFROM b\nFROM c"), ["1:a", "4:c"]);
        assert_eq!(stages("# escape=`\nFROM a\nRUN dir c:\\\nFROM b `\n AS c"), ["2:a", "4:b as c"]);
        assert_eq!(stages("# a comment\n# escape=`\nFROM a\nRUN x \\\nFROM b"), ["3:a"]);
        assert_eq!(stages("FROM a\r\nRUN b \\\r\n  c\r\nFROM d\r\n"), ["1:a", "4:d"]);
    }

    #[test]
    fn here_documents_are_no_instructions_wherever_they_begin() {
        for run in [
            "RUN <<EOF",
            "RUN cat <<EOF > /x",
            "RUN python3 <<'EOF'",
            "RUN --network=none cat 0<<\"EOF\"",
            "COPY <<EOF /x",
            "RUN a <<B && c <<EOF\nFROM wrong\nB",
        ] {
            let text = format!("FROM a\n{run}\nfrom os import path\nFROM wrong\n EOF\nEOF\nFROM b\n");
            let last = text.lines().count();
            assert_eq!(stages(&text), ["1:a".to_owned(), format!("{last}:b")], "{run}");
        }
        assert_eq!(stages("FROM a\nRUN <<-E\n\tFROM x\n\tE\nFROM b"), ["1:a", "5:b"]);
        // None of these begins one.
        for run in ["RUN x <<<EOF", "RUN echo '<<EOF'", "RUN echo $((1<<2))", "ENV A=<<EOF"] {
            assert_eq!(stages(&format!("FROM a\n{run}\nFROM b")), ["1:a", "3:b"], "{run}");
        }
    }

    #[test]
    fn arguments_before_the_first_stage_and_the_syntax_image_are_read() {
        let file = file("# syntax=docker/dockerfile:1\nARG A=\"x y\" B\nARG C='$A'\nFROM a\nARG D=1\n");
        let args = [("A", Some("x y")), ("B", None), ("C", Some("$A"))];
        assert_eq!(file.args, args.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))));
        assert_eq!(file.syntax, Some(("docker/dockerfile:1".to_owned(), 1)));
    }

    #[test]
    fn what_is_no_instruction_is_passed_over() {
        assert_eq!(stages("FROM\nFROM a b\nFROM a AS\nMAKE coffee\nCOPY --from=x a b\nFROM ok\n"), ["6:ok"]);
        assert_eq!(stages(""), Vec::<String>::new());
        assert_eq!(stages("RUN <<EOF\nnever ends\nFROM a"), Vec::<String>::new());
    }
}
