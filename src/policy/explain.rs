//! Why an image is kept or would go, what its coming back would cost, and what it would take to keep it.
//!
//! Every answer is a plan's: what would happen with other limits or one more use is found by planning with them.

use super::cost::Size;
use super::evict::{Ending, PlanError, plan};
use super::guard::Hold;
use super::history::Decayed;
use super::reason::Reason;
use super::rules::{Rules, Water};
use super::snapshot::{Class, Content, Snapshot, Use};
use super::standing::{Standing, Standings, names, pinned, standings};

/// What becomes of an image as things are.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It goes now.
    Goes {
        /// Why.
        reason: Reason,
        /// How many go before it.
        before: usize,
    },
    /// Something holds it.
    Held(Hold),
    /// A build on this host made it, and it stays for so long unused.
    Built {
        /// Until when, in seconds; `None` for ever.
        until: Option<f64>,
    },
    /// No limit is reached, so nothing goes by rank.
    NoNeed {
        /// How many would go before it.
        before: usize,
    },
    /// A limit is reached, but what goes before it is enough.
    Spared {
        /// How many would go before it; those that the plan removes are among them.
        before: usize,
    },
    /// Nothing goes at all, since no plan can be made.
    Unplanned(PlanError),
}

/// What would keep an image that goes, or is safe for now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Remedy {
    /// So many bytes more for images: marks of bytes raised, marks of free bytes lowered.
    Bytes(u64),
    /// Marks of free inodes lowered by so many.
    Inodes(u64),
    /// One more use by a job now.
    Use,
    /// A pin.
    Pin,
}

/// All that is to be said of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// How it stands.
    pub standing: Standing,
    /// What becomes of it.
    pub fate: Fate,
    /// What would be missing of it once it and all that the plan removes are gone.
    pub back: Size,
    /// Seconds to pull that; `None`: it cannot come back.
    pub back_seconds: Option<f64>,
    /// What would keep it, each by itself; empty for what stays as things are.
    pub remedies: Vec<Remedy>,
    /// Bytes that images could still grow by, or the disk fill up by, before it would go; `None` where it goes now, or no
    /// growth makes it go.
    pub headroom: Option<u64>,
}

/// Explains one image; `None` if it is not here.
pub fn explain(snapshot: &Snapshot, rules: &Rules, now: f64, id: &str) -> Option<Explanation> {
    let content = snapshot.contents.iter().find(|content| content.id == id)?;
    let all = standings(snapshot, rules, now);
    let standing = all.of(id)?.clone();
    let fate = fate(content, &standing, &all, rules);
    let back = all.missing_after(snapshot, id);
    let goes = matches!(fate, Fate::Goes { .. });
    let may_go = matches!(fate, Fate::NoNeed { .. } | Fate::Spared { .. });
    let question = Question { snapshot, rules, now, id };
    Some(Explanation {
        fate,
        back,
        back_seconds: (content.class == Class::Pulled).then(|| content.cost.pull_seconds(back)),
        remedies: if goes { question.remedies(content, all.as_of) } else { Vec::new() },
        headroom: may_go.then(|| question.headroom(all.used.unpacked)).flatten(),
        standing,
    })
}

fn fate(content: &Content, standing: &Standing, all: &Standings, rules: &Rules) -> Fate {
    if let Some(hold) = standing.hold {
        return Fate::Held(hold);
    }
    let before = standing.place.unwrap_or_default();
    if let (true, Some(reason)) = (standing.goes, standing.reason) {
        return Fate::Goes { reason, before };
    }
    let plan = match &all.plan {
        Ok(plan) => plan,
        Err(error) => return Fate::Unplanned(error.clone()),
    };
    let since = content.last_use.unwrap_or(content.since).max(content.since);
    match content.class {
        Class::Local => Fate::Built { until: rules.keep_local.map(|keep| since + keep) },
        Class::Dangling => Fate::Built { until: Some(since + rules.keep_dangling) },
        Class::Pulled if plan.ending == Ending::NotNeeded => Fate::NoNeed { before },
        Class::Pulled => Fate::Spared { before },
    }
}

/// What is asked of plans again and again.
struct Question<'a> {
    snapshot: &'a Snapshot,
    rules: &'a Rules,
    now: f64,
    id: &'a str,
}

impl Question<'_> {
    fn goes(&self, snapshot: &Snapshot, rules: &Rules) -> bool {
        let planned = plan(snapshot, rules, self.now);
        planned.is_ok_and(|plan| plan.removals.iter().any(|removal| removal.id == self.id))
    }

    fn remedies(&self, content: &Content, as_of: f64) -> Vec<Remedy> {
        let mut remedies = Vec::new();
        let with_bytes = |bytes| self.goes(self.snapshot, &more_bytes(self.rules, bytes));
        remedies.extend(least(|bytes| !with_bytes(bytes)).map(Remedy::Bytes));
        let with_inodes = |inodes| self.goes(self.snapshot, &fewer_inodes(self.rules, inodes));
        if self.rules.free_inodes.is_some() {
            remedies.extend(least(|inodes| !with_inodes(inodes)).map(Remedy::Inodes));
        }
        let used = used_once_more(self.snapshot, content, self.rules, as_of);
        if used.is_some_and(|snapshot| !self.goes(&snapshot, self.rules)) {
            remedies.push(Remedy::Use);
        }
        let mut pinned = self.snapshot.clone();
        pinned.contents.iter_mut().filter(|one| one.id == self.id).for_each(|one| one.pinned = true);
        // A pin set beyond the budget is refused.
        if plan(&pinned, self.rules, self.now).is_ok() {
            remedies.push(Remedy::Pin);
        }
        remedies
    }

    /// The limits come down, instead of the images' growing: what is looked for is the same. They do not come below what
    /// is pinned, since such limits are refused.
    fn headroom(&self, used: u64) -> Option<u64> {
        let free = self.snapshot.disk.free_bytes.unwrap_or_default();
        let pinned = pinned(self.snapshot).unpacked;
        let goes = |bytes| self.goes(self.snapshot, &fewer_bytes(self.rules, bytes, pinned));
        least(goes).filter(|bytes| *bytes <= used.saturating_add(free))
    }
}

/// Finds the least number that will do, if numbers that are larger than one that will do mostly will, too; `None` if even
/// the largest does not.
fn least(will_do: impl Fn(u64) -> bool) -> Option<u64> {
    // Beyond that there are no disks, and sums stay far from the end of the numbers.
    let (mut less, mut enough) = (0_u64, 1_u64 << 60);
    if !will_do(enough) {
        return None;
    }
    while enough - less > 1 {
        let middle = less + (enough - less) / 2;
        if will_do(middle) {
            enough = middle;
        } else {
            less = middle;
        }
    }
    Some(enough)
}

fn more_bytes(rules: &Rules, bytes: u64) -> Rules {
    Rules {
        image_bytes: rules.image_bytes.map(|water| raised(water, bytes)),
        free_bytes: rules.free_bytes.map(|water| lowered(water, bytes)),
        ..rules.clone()
    }
}

fn fewer_bytes(rules: &Rules, bytes: u64, pinned: u64) -> Rules {
    let not_below = |water: Water| Water { start: water.start.max(pinned), ..water };
    Rules {
        image_bytes: rules.image_bytes.map(|water| not_below(lowered(water, bytes))),
        free_bytes: rules.free_bytes.map(|water| raised(water, bytes)),
        ..rules.clone()
    }
}

fn fewer_inodes(rules: &Rules, inodes: u64) -> Rules {
    Rules { free_inodes: rules.free_inodes.map(|water| lowered(water, inodes)), ..rules.clone() }
}

fn raised(water: Water, by: u64) -> Water {
    Water { start: water.start.saturating_add(by), stop: water.stop.saturating_add(by) }
}

fn lowered(water: Water, by: u64) -> Water {
    Water { start: water.start.saturating_sub(by), stop: water.stop.saturating_sub(by) }
}

/// What would be known if a job used the image now; `None` if none can by a name that is known.
fn used_once_more(snapshot: &Snapshot, content: &Content, rules: &Rules, now: f64) -> Option<Snapshot> {
    // What such a rule would note is not known here.
    if rules.score.notes() {
        return None;
    }
    let mut used = snapshot.clone();
    let tag = used.tags.iter_mut().find(|tag| names(tag, content))?;
    tag.recent.push(Use { at: now, project: None, scheduled: false });
    tag.last_use = Some(tag.last_use.map_or(now, |last| last.max(now)));
    if let Some(rate) = &mut tag.rate {
        Decayed::bump(rate, now, rules.score.half_life());
    }
    used.contents.iter_mut().filter(|one| one.id == content.id).for_each(|one| one.last_use = Some(now));
    Some(used)
}
