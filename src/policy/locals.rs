//! What builds on this host left: it can not be pulled again, so it has a rule of its own and no rank.

use super::reason::Reason;
use super::rules::Rules;
use super::snapshot::{Class, Content};

/// Returns why a local build goes; `None` if it stays or was pulled. `now` is the believed time.
pub fn goes(content: &Content, rules: &Rules, now: f64) -> Option<Reason> {
    let age = now - content.since;
    let idle = now - content.last_use.unwrap_or(content.since).max(content.since);
    match content.class {
        Class::Pulled => None,
        Class::Dangling => (idle > rules.keep_dangling).then_some(Reason::Dangling { age }),
        Class::Local => rules.keep_local.filter(|keep| idle > *keep).map(|_| Reason::LocalUnused { idle }),
    }
}
