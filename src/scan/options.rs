//! The options of a command line that builds an image.

use super::expand::{Known, Unexpanded};
use super::found::{Trouble, shown};
use super::limits::Budget;
use super::shell::Word;

/// A word of a command line, expanded; or what is known of it.
#[derive(Debug, Clone)]
pub(super) enum Arg {
    Known(String),
    Unknown {
        /// What it begins with.
        lead: String,
        why: Trouble,
    },
}

impl Arg {
    pub(super) fn into_known(self) -> Result<String, Trouble> {
        match self {
            Arg::Known(text) => Ok(text),
            Arg::Unknown { why, .. } => Err(why),
        }
    }
}

/// Expands the words of a command.
pub(super) fn expand_all(words: &[Word], look: &dyn Fn(&str) -> Known, budget: &Budget) -> Vec<Arg> {
    let mut args = Vec::new();
    for word in words {
        match word.expand(look, budget) {
            Ok(words) => args.extend(words.into_iter().map(Arg::Known)),
            Err(why) => {
                let why = match why {
                    Unexpanded::Variable(name) => Trouble::Variable(shown(&name)),
                    Unexpanded::Odd => Trouble::Dynamic(shown(&word.written())),
                };
                args.push(Arg::Unknown { lead: word.lead(), why });
            }
        }
    }
    args
}

/// Options that stand alone; every other one takes a value.
const SWITCHES: &[&str] = &[
    "--all-platforms",
    "--bootstrap",
    "--cache",
    "--check",
    "--cleanup",
    "--compress",
    "--debug",
    "--disable-compression",
    "--disable-content-trust",
    "--force",
    "--force-rm",
    "--help",
    "--identity-label",
    "--inherit-annotations",
    "--inherit-labels",
    "--insecure",
    "--layers",
    "--load",
    "--no-cache",
    "--no-hostname",
    "--no-hosts",
    "--no-push",
    "--omit-history",
    "--pull",
    "--pull-always",
    "--pull-never",
    "--push",
    "--quiet",
    "--reproducible",
    "--rewrite-timestamp",
    "--rm",
    "--save-stages",
    "--single-snapshot",
    "--skip-tls-verify",
    "--skip-unused-stages",
    "--squash",
    "--squash-all",
    "--stdin",
    "--stream",
    "--tls",
    "--tls-verify",
    "--tlsverify",
    "--use",
    "--use-new-run",
    "--verbose",
    "-D",
    "-h",
    "-q",
    "-v",
];

/// Options as they were given, and what is no option.
#[derive(Default)]
pub(super) struct Options {
    options: Vec<(String, Arg)>,
    pub(super) others: Vec<Arg>,
}

impl Options {
    /// Reads options up to the end; with `lead`, up to the first word that is none.
    pub(super) fn read(args: &mut std::vec::IntoIter<Arg>, lead: bool) -> Self {
        let mut read = Self::default();
        while let Some(arg) = args.next() {
            let start = match &arg {
                Arg::Known(text) => text,
                Arg::Unknown { lead, .. } => lead,
            };
            if !start.starts_with('-') || start == "-" {
                read.others.push(arg);
                if lead {
                    break;
                }
                continue;
            }
            let (name, inline) = match start.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                // `-fDockerfile`
                None if !start.starts_with("--") && start.chars().count() > 2 => {
                    let end = start.char_indices().nth(2).map_or(start.len(), |(at, _)| at);
                    (start[..end].to_owned(), Some(start[end..].to_owned()))
                }
                None => (start.clone(), None),
            };
            let value = match (arg, inline) {
                (Arg::Known(_), Some(value)) => Arg::Known(value),
                (Arg::Unknown { why, .. }, Some(lead)) => Arg::Unknown { lead, why },
                (Arg::Known(_), None) if SWITCHES.contains(&name.as_str()) => Arg::Known(String::new()),
                (Arg::Known(_), None) => match args.next() {
                    Some(value) => value,
                    None => break,
                },
                // The name of the option itself is not known.
                (unknown @ Arg::Unknown { .. }, None) => {
                    read.others.push(unknown);
                    continue;
                }
            };
            read.options.push((name, value));
        }
        read
    }

    /// Returns all values of an option that has these names, in their order.
    pub(super) fn all(&self, names: &[&str]) -> impl Iterator<Item = &Arg> {
        self.options.iter().filter(|(name, _)| names.contains(&name.as_str())).map(|(_, value)| value)
    }

    /// Returns the value that counts where an option is given more than once.
    pub(super) fn last(&self, names: &[&str]) -> Option<Arg> {
        self.all(names).last().cloned()
    }

    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.all(names).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::expand::Known;
    use super::super::limits::Budget;
    use super::super::shell::{Item, read};
    use super::{Arg, Options, expand_all};

    fn options(line: &str) -> Options {
        let items = read(line, &Budget::new());
        let [Item::Command(words)] = items.as_slice() else { panic!("{items:?}") };
        let look = |name: &str| match name {
            "ARGS" => Known::Value("-f x --pull".to_owned()),
            _ => Known::Unknown,
        };
        Options::read(&mut expand_all(words, &look, &Budget::new()).into_iter(), false)
    }

    fn text(arg: &Arg) -> String {
        match arg {
            Arg::Known(text) => text.clone(),
            Arg::Unknown { lead, .. } => format!("{lead}?"),
        }
    }

    #[test]
    fn options_are_told_from_other_words() {
        for (line, file, others) in [
            ("-f a .", Some("a"), "."),
            ("-fa --file=b .", Some("b"), "."),
            ("--pull . --file c", Some("c"), "."),
            ("--pull=true -t x .", None, "."),
            ("$ARGS .", Some("x"), "."),
            ("-f $WHO .", Some("?"), "."),
            ("--file=a/$WHO -", Some("a/?"), "-"),
            ("$WHO .", None, "? ."),
            ("--$WHO .", None, "--? ."),
            (". -f", None, "."),
        ] {
            let options = options(line);
            assert_eq!(options.last(&["-f", "--file"]).as_ref().map(text).as_deref(), file, "{line}");
            assert_eq!(options.others.iter().map(text).collect::<Vec<_>>().join(" "), others, "{line}");
        }
        let options = options("--build-arg A=1 --build-arg=B=$WHO .");
        assert_eq!(options.all(&["--build-arg"]).map(text).collect::<Vec<_>>(), ["A=1", "B=?"]);
    }
}
