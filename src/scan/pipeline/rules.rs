//! Whether a job runs by itself, as far as that is known: `rules`, `only`, `except` and `when`.

use super::super::expand::Known;
use super::super::limits::Budget;
use super::super::yaml::{Map, Node};

/// How deep brackets nest in a condition, and how many parts it has.
const MAX_BRACKETS: usize = 16;
const MAX_TOKENS: usize = 512;

type LookUp<'a> = &'a dyn Fn(&str) -> Known;

/// Says whether a job may run without anybody's doing and without a failure before it. `rules` are its rules, flattened.
pub(super) fn may_run(job: &Map, rules: Option<&[Node]>, look: LookUp<'_>, budget: &Budget) -> bool {
    let when = job.get("when").and_then(Node::text).unwrap_or("on_success");
    let Some(rules) = rules else {
        let refs = |key: &str| job.get(key).and_then(|node| node.get("refs").or(Some(node)));
        let only = refs("only").is_none_or(|refs| refs.map().is_some() || any_ref(refs, look) != Some(false));
        let except = refs("except").is_some_and(|refs| any_ref(refs, look) == Some(true));
        return by_itself(when) && only && !except;
    };
    for rule in rules {
        if !budget.spend(1) {
            return false;
        }
        let matches = rule_matches(rule, look, budget);
        if matches == Some(false) {
            continue;
        }
        let when = rule.get("when").and_then(Node::text).unwrap_or(when);
        if by_itself(when) {
            return true;
        }
        if matches == Some(true) {
            return false;
        }
    }
    false
}

/// Says whether one of the rules may match: for includes, where `when` only says `never`.
pub(super) fn may_match(rules: &[Node], look: LookUp<'_>, budget: &Budget) -> bool {
    for rule in rules {
        let matches = rule_matches(rule, look, budget);
        let never = rule.get("when").and_then(Node::text) == Some("never");
        match matches {
            Some(false) => {}
            Some(true) => return !never,
            None if never => {}
            None => return true,
        }
    }
    false
}

fn by_itself(when: &str) -> bool {
    !matches!(when, "manual" | "never" | "on_failure")
}

/// Says whether a rule matches; `None` if that is not known.
fn rule_matches(rule: &Node, look: LookUp<'_>, budget: &Budget) -> Option<bool> {
    let condition = match rule.get("if") {
        Some(condition) => holds(condition.text().unwrap_or_default(), look, budget),
        None => Some(true),
    };
    let files = rule.get("changes").is_some() || rule.get("exists").is_some();
    match condition {
        Some(true) if files => None,
        condition => condition,
    }
}

/// Says whether one of the names in `only` or `except` is that of what runs.
fn any_ref(refs: &Node, look: LookUp<'_>) -> Option<bool> {
    let set = |name: &str| match look(name) {
        Known::Value(value) => Some(!value.is_empty()),
        Known::Unset => Some(false),
        Known::Unknown => None,
    };
    let source = |wanted: &str| match look("CI_PIPELINE_SOURCE") {
        Known::Value(value) => Some(value == wanted),
        _ => None,
    };
    let mut any = Some(false);
    for name in refs.items().iter().take(64) {
        let matches = match name.text().unwrap_or_default() {
            "tags" => set("CI_COMMIT_TAG"),
            "branches" => set("CI_COMMIT_TAG").zip(set("CI_MERGE_REQUEST_IID")).map(|(tag, mr)| !tag && !mr),
            "merge_requests" => source("merge_request_event"),
            "schedules" => source("schedule"),
            "triggers" => source("trigger"),
            "pipelines" => source("pipeline"),
            "pushes" => source("push"),
            "web" => source("web"),
            "api" => source("api"),
            plain if plain.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) => {
                match look("CI_COMMIT_REF_NAME") {
                    Known::Value(name) => Some(name == plain),
                    _ => None,
                }
            }
            _ => None,
        };
        any = or(any, matches);
    }
    any
}

fn or(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    or(a.map(|a| !a), b.map(|b| !b)).map(|not| !not)
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Variable(String),
    Text(String),
    Null,
    /// `/…/` with its flags: patterns are not run.
    Pattern,
    Equal,
    Unequal,
    Matches,
    And,
    Or,
    Not,
    Open,
    Close,
}

/// Says whether a condition of a rule holds; `None` if that is not known, or it is no condition.
fn holds(condition: &str, look: LookUp<'_>, budget: &Budget) -> Option<bool> {
    if !budget.spend(condition.len() / 8 + 1) {
        return None;
    }
    let tokens = tokens(condition)?;
    let mut parser = Parser { tokens: tokens.into_iter().peekable(), look };
    let holds = parser.either(0);
    // What was not understood to its end says nothing.
    if parser.tokens.next().is_some() { None } else { holds }
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let quoted = |rest: &str| {
            let inner = &rest[1..];
            inner.find(first).map(|end| (inner[..end].to_owned(), end + 2))
        };
        let two = rest.get(..2).unwrap_or_default();
        let (token, length) = match (first, two) {
            (_, "==") => (Token::Equal, 2),
            (_, "!=") => (Token::Unequal, 2),
            (_, "=~" | "!~") => (Token::Matches, 2),
            (_, "&&") => (Token::And, 2),
            (_, "||") => (Token::Or, 2),
            ('!', _) => (Token::Not, 1),
            ('(', _) => (Token::Open, 1),
            (')', _) => (Token::Close, 1),
            ('"' | '\'', _) => quoted(rest).map(|(text, length)| (Token::Text(text), length))?,
            ('/', _) => {
                let end = pattern_end(rest)?;
                (Token::Pattern, end)
            }
            ('$', _) => {
                let inner = rest[1..].trim_start_matches('{');
                let word = |c: char| c == '_' || c.is_ascii_alphanumeric();
                let length = inner.find(|c| !word(c)).unwrap_or(inner.len());
                let name = inner[..length].to_owned();
                let braces = rest.len() - 1 - inner.len();
                (Token::Variable(name), 1 + length + 2 * braces)
            }
            _ if rest.starts_with("null") => (Token::Null, 4),
            _ => return None,
        };
        tokens.push(token);
        if tokens.len() > MAX_TOKENS {
            return None;
        }
        rest = rest.get(length..)?.trim_start();
    }
    Some(tokens)
}

fn pattern_end(rest: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '/' => {
                let flags = rest[at + 1..].find(|c: char| !c.is_ascii_alphabetic());
                return Some(flags.map_or(rest.len(), |flags| at + 1 + flags));
            }
            _ => {}
        }
    }
    None
}

struct Parser<'a> {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    look: LookUp<'a>,
}

/// A side of a comparison.
enum Side {
    Text(Option<String>),
    Unknown,
    Truth(Option<bool>),
}

impl Parser<'_> {
    fn takes(&mut self, token: &Token) -> bool {
        self.tokens.next_if(|next| next == token).is_some()
    }

    fn either(&mut self, depth: usize) -> Option<bool> {
        let mut holds = self.both(depth);
        while self.takes(&Token::Or) {
            holds = or(holds, self.both(depth));
        }
        holds
    }

    fn both(&mut self, depth: usize) -> Option<bool> {
        let mut holds = self.comparison(depth);
        while self.takes(&Token::And) {
            holds = and(holds, self.comparison(depth));
        }
        holds
    }

    fn comparison(&mut self, depth: usize) -> Option<bool> {
        if depth < MAX_BRACKETS && self.takes(&Token::Not) {
            return self.comparison(depth + 1).map(|holds| !holds);
        }
        let left = self.side(depth);
        let equal = match self.tokens.peek() {
            Some(Token::Equal) => true,
            Some(Token::Unequal) => false,
            Some(Token::Matches) => {
                self.tokens.next();
                self.side(depth);
                return None;
            }
            _ => {
                return match left {
                    Side::Text(text) => Some(text.is_some_and(|text| !text.is_empty())),
                    Side::Truth(truth) => truth,
                    Side::Unknown => None,
                };
            }
        };
        self.tokens.next();
        match (left, self.side(depth)) {
            (Side::Text(left), Side::Text(right)) => Some((left == right) == equal),
            _ => None,
        }
    }

    fn side(&mut self, depth: usize) -> Side {
        match self.tokens.next() {
            Some(Token::Variable(name)) => match (self.look)(&name) {
                Known::Value(value) => Side::Text(Some(value)),
                Known::Unset => Side::Text(None),
                Known::Unknown => Side::Unknown,
            },
            Some(Token::Text(text)) => Side::Text(Some(text)),
            Some(Token::Null) => Side::Text(None),
            Some(Token::Open) if depth < MAX_BRACKETS => {
                let truth = self.either(depth + 1);
                self.takes(&Token::Close);
                Side::Truth(truth)
            }
            _ => Side::Unknown,
        }
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
