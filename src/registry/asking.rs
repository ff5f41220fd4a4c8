//! Who a registry wants to know: what was learned from its challenges, and how that is noted down for later processes.

use url::Url;

use super::line::{Known, Line};
use super::place::{Scheme, authority, is_near};

/// What a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asking {
    /// A user and a password, with every request.
    Basic,
    /// A token.
    Bearer {
        /// The token server.
        realm: Url,
        /// Whom its tokens are for.
        service: String,
        /// Whether the registry itself has named it to this process: else no login is taken there.
        named: bool,
    },
}

/// Reads where a registry's tokens come from. The error says why nothing is sent there.
pub(super) fn realm(line: &Line, realm: &str) -> Result<Url, String> {
    let name = &line.place.name;
    let Ok(mut url) = Url::parse(realm) else {
        return Err(format!("{name} names a token server that is none"));
    };
    let same_host = url.host_str().is_some_and(|host| host.trim_matches(['[', ']']) == line.place.host());
    match url.scheme() {
        "https" => {}
        "http" if line.insecure && (same_host || line.place.is_loopback() && is_near(&url)) => {}
        "http" => {
            return Err(format!(
                "{name} names the token server {}, which is without TLS: no login is sent there",
                authority(&url)
            ));
        }
        _ => return Err(format!("{name} names a token server that is none")),
    }
    if is_near(&url) && !same_host && !line.place.is_loopback() {
        return Err(format!("{name} names a token server that would be this machine itself"));
    }
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    Ok(url)
}

/// The longest hint that is read.
const MAX_HINT: usize = 1024;

/// Writes down what is known, in one line without anybody's secret; `None` where nothing is.
pub(super) fn to_hint(known: &Known) -> Option<String> {
    let scheme = known.scheme?.as_str();
    let hint = match &known.asking {
        None => format!("{scheme} open"),
        Some(Asking::Basic) => format!("{scheme} basic"),
        // A query could hold anything.
        Some(Asking::Bearer { realm, service, .. })
            if realm.query().is_none() && !service.chars().any(char::is_control) =>
        {
            format!("{scheme} bearer {realm} {service}")
        }
        Some(Asking::Bearer { .. }) => format!("{scheme} open"),
    };
    (hint.len() <= MAX_HINT).then_some(hint)
}

/// Takes a hint for what it is: a guess that saves a request, and that sends no login to any place that it names.
pub(super) fn from_hint(line: &Line, hint: &str) -> Option<Known> {
    if hint.len() > MAX_HINT || hint.chars().any(char::is_control) {
        return None;
    }
    let mut words = hint.splitn(4, ' ');
    let scheme = match words.next()? {
        "https" => Scheme::Https,
        "http" if line.insecure => Scheme::Http,
        _ => return None,
    };
    let asking = match (words.next()?, words.next(), words.next()) {
        ("open", None, None) => None,
        ("basic", None, None) => Some(Asking::Basic),
        ("bearer", Some(url), service) => Some(Asking::Bearer {
            realm: realm(line, url).ok()?,
            service: service.unwrap_or_default().to_owned(),
            named: false,
        }),
        _ => return None,
    };
    Some(Known { scheme: Some(scheme), sure: false, asking })
}

#[cfg(test)]
#[path = "asking_tests.rs"]
mod tests;
