//! What a registry says that it wants to see: the `WWW-Authenticate` headers.

/// How long all challenges together may be.
const MAX_BYTES: usize = 8 << 10;

/// A registry's wish to know who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token of the server `realm`.
    Bearer {
        /// The token server's URL.
        realm: String,
        /// Whom the token is for; empty where that was not said.
        service: String,
        /// What it must allow; `None` where that was not said.
        scope: Option<String>,
    },
    /// A user and a password.
    Basic,
    /// Something that is not known here.
    Other(String),
}

/// Reads all headers; what does not follow the grammar is left out.
pub(super) fn read<'a>(headers: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut left = MAX_BYTES;
    for header in headers {
        if header.len() > left {
            break;
        }
        left -= header.len();
        Reader { rest: header }.read_into(&mut challenges);
    }
    challenges
}

/// Returns the challenge to answer: a token before a password, as engines do it.
pub(super) fn best(challenges: Vec<Challenge>) -> Option<Challenge> {
    let rank = |challenge: &Challenge| match challenge {
        Challenge::Bearer { .. } => 0,
        Challenge::Basic => 1,
        Challenge::Other(_) => 2,
    };
    challenges.into_iter().min_by_key(rank)
}

struct Reader<'a> {
    rest: &'a str,
}

/// One scheme with its parameters, names in lower case.
type Raw = (String, Vec<(String, String)>);

impl Reader<'_> {
    fn read_into(mut self, challenges: &mut Vec<Challenge>) {
        let mut open: Option<Raw> = None;
        loop {
            self.skip(" \t,");
            let word = self.token();
            if word.is_empty() {
                break;
            }
            self.skip(" \t");
            if !self.rest.starts_with('=') {
                challenges.extend(open.take().and_then(checked));
                open = Some((word.to_ascii_lowercase(), Vec::new()));
                continue;
            }
            self.rest = &self.rest[1..];
            self.skip(" \t");
            let Some(value) = self.value() else { break };
            if let Some((_, parameters)) = &mut open {
                parameters.push((word.to_ascii_lowercase(), value));
            }
        }
        challenges.extend(open.and_then(checked));
    }

    fn skip(&mut self, characters: &str) {
        self.rest = self.rest.trim_start_matches(|c| characters.contains(c));
    }

    fn token(&mut self) -> String {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token.to_owned()
    }

    /// Reads a token or a quoted text, or the end of a `token68`; `None` where a quoted text does not end.
    fn value(&mut self) -> Option<String> {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            self.skip("=");
            return Some(self.token());
        };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                c => value.push(c),
            }
        }
        None
    }
}

fn checked((scheme, parameters): Raw) -> Option<Challenge> {
    let find = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    match scheme.as_str() {
        "bearer" => Some(Challenge::Bearer {
            realm: find("realm").filter(|realm| !realm.is_empty())?,
            service: find("service").unwrap_or_default(),
            scope: find("scope").filter(|scope| !scope.is_empty()),
        }),
        "basic" => Some(Challenge::Basic),
        _ => Some(Challenge::Other(scheme)),
    }
}

#[cfg(test)]
#[path = "challenge_tests.rs"]
mod tests;
