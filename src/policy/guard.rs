//! What must stay whatever the disk says, and the clock by which that is judged.

use super::rules::Rules;
use super::snapshot::{Content, Snapshot};

/// Returns the time to judge by. A clock that stepped back, or further ahead than the time between two looks can be, is
/// not believed: then no time has passed since the last look.
pub fn believed_time(snapshot: &Snapshot, rules: &Rules, now: f64) -> f64 {
    match snapshot.looked_at {
        Some(last) if now < last || now - last > rules.longest_step => last,
        _ => now,
    }
}

/// Why an image must stay, whatever the disk says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Hold {
    /// The operator wants it here.
    Pinned,
    /// A job is about to use it.
    Leased,
    /// A container was made from it.
    Running,
    /// Neither did hearth pull it nor did a job use it.
    Foreign,
    /// It came just now.
    Young {
        /// Until when that counts, in seconds.
        until: f64,
    },
    /// It was announced that it will be wanted.
    Claimed {
        /// Until when that counts, in seconds.
        until: f64,
    },
}

/// Returns why an image must stay; `None` if it may go. `now` is the believed time; what came later than that is young.
pub fn hold(content: &Content, rules: &Rules, now: f64) -> Option<Hold> {
    if content.pinned {
        return Some(Hold::Pinned);
    }
    if content.leased {
        return Some(Hold::Leased);
    }
    if content.running {
        return Some(Hold::Running);
    }
    if content.foreign {
        return Some(Hold::Foreign);
    }
    if now - content.since < rules.minimum_age {
        return Some(Hold::Young { until: content.since + rules.minimum_age });
    }
    let ends = content.claims.iter().map(|claim| claim.at + claim.grace).filter(|end| now <= *end);
    ends.reduce(f64::max).map(|until| Hold::Claimed { until })
}

/// Says whether an image must stay.
pub fn must_stay(content: &Content, rules: &Rules, now: f64) -> bool {
    hold(content, rules, now).is_some()
}

/// Returns what claims count for that were not fulfilled: a use each at its time, fading.
pub fn faded_claims(content: &Content, now: f64, half_life: f64) -> f64 {
    let late = content.claims.iter().map(|claim| now - claim.at).filter(|late| *late > 0.0);
    late.map(|late| (-late / half_life).exp2()).sum()
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Claim;
    use super::{Content, Hold, Rules, hold, must_stay};

    #[test]
    fn what_holds_an_image_is_told_the_strongest_first() {
        let now = 100_000.0;
        let rules = Rules { minimum_age: 3600.0, ..Rules::default() };
        let old = Content { since: 0.0, ..Content::default() };
        let claim = |at, grace| Claim { at, grace };
        let young = Content { since: now - 3599.0, ..old.clone() };
        let claimed = Content {
            claims: vec![claim(now - 20.0, 10.0), claim(now - 10.0, 10.0), claim(now - 10.0, 90.0)],
            ..old.clone()
        };
        for (what, content, expected) in [
            ("nothing", old.clone(), None),
            ("its age", young.clone(), Some(Hold::Young { until: now + 1.0 })),
            ("exactly the minimum age", Content { since: now - 3600.0, ..old.clone() }, None),
            ("a claim, the latest end counts", claimed.clone(), Some(Hold::Claimed { until: now + 80.0 })),
            ("a claim that is over", Content { claims: vec![claim(now - 20.0, 10.0)], ..old.clone() }, None),
            ("a container before its age", Content { running: true, ..young.clone() }, Some(Hold::Running)),
            ("that it is somebody else's", Content { foreign: true, ..young.clone() }, Some(Hold::Foreign)),
            ("a lease before a claim", Content { leased: true, ..claimed }, Some(Hold::Leased)),
            (
                "a pin before all else",
                Content { pinned: true, leased: true, running: true, ..old },
                Some(Hold::Pinned),
            ),
        ] {
            assert_eq!(hold(&content, &rules, now), expected, "{what}");
            assert_eq!(must_stay(&content, &rules, now), expected.is_some(), "{what}");
        }
    }
}
