//! One turn: look, plan, remove, until the limits are kept or nothing more may go.

use std::collections::BTreeSet;

use crate::engine::Engine;
use crate::outcome::Failure;
use crate::policy::{Ending, Plan, Rules, Score, Size, plan};
use crate::units::ByteSize;

use super::apply::Errand;
use super::limits::{Goal, Occasion, pressing, sharpen};
use super::look::Sight;
use super::told::{Blocked, Report, Told};
use super::{Evictor, lock};

/// How often it is looked and planned anew: sizes are reckoned, and what was to go may turn out to be in use.
const ROUNDS: u32 = 6;
/// What may go for an image that no job waits for.
pub struct Ahead<'a> {
    /// The images, by the engine's IDs.
    pub may_go: &'a [String],
    /// Whether whoever brings it has to go: then a removal that has begun is ended, and none is begun.
    pub stops: &'a dyn Fn() -> bool,
}

/// What was said of limits that cannot be kept, so that it is said once.
const STUCK: &str = "evictor said";

impl<E: Engine> Evictor<'_, E> {
    /// Looks, plans and removes, under the evictor's lock; what happens is told as it happens.
    ///
    /// # Errors
    /// An engine that does not answer. What cannot be removed is no error but in the report.
    pub async fn turn(&self, occasion: Occasion, tell: &mut dyn FnMut(Told)) -> Result<Report, Failure> {
        self.turn_of(occasion, None, tell).await
    }

    /// As [`Self::turn`], for what is missing of an image that no job waits for: nothing goes besides these images, and of
    /// limits that cannot be kept so nothing is said.
    ///
    /// # Errors
    /// An engine that does not answer.
    pub async fn turn_ahead(
        &self,
        needs: Size,
        ahead: &Ahead<'_>,
        tell: &mut dyn FnMut(Told),
    ) -> Result<Report, Failure> {
        self.turn_of(Occasion::Ahead { needs }, Some(ahead), tell).await
    }

    async fn turn_of(
        &self,
        occasion: Occasion,
        ahead: Option<&Ahead<'_>>,
        tell: &mut dyn FnMut(Told),
    ) -> Result<Report, Failure> {
        if !self.cache.evict {
            return Ok(Report { blocked: Some(Blocked::Off), ..Report::default() });
        }
        if !self.store.is_working() {
            return Ok(Report { blocked: Some(Blocked::NoStore), ..Report::default() });
        }
        if matches!(occasion, Occasion::AfterPull | Occasion::BeforePull { .. } | Occasion::Ahead { .. }) {
            let room = self.site().await?.measure(self.here.disk);
            if room.is_some() && !pressing(self.cache, room.as_ref(), &occasion) {
                let ending = Some(Ending::NotNeeded);
                return Ok(Report { ending, before: room, after: room, ..Report::default() });
            }
        }
        let stops = || ahead.is_some_and(|ahead| (ahead.stops)());
        let Some(_lock) = lock::take(self.store, &occasion, stops, || tell(Told::Waits)).await else {
            return Ok(Report { busy: true, ..Report::default() });
        };
        self.clear_marks().await;
        let mut report = Report::default();
        let mut keeping = |told: Told| {
            report.keep(&told);
            tell(told);
        };
        self.cut_build_cache(&occasion, &mut keeping).await;
        let (turned, sight) = self.rounds(&occasion, ahead, &mut keeping).await?;
        if turned.blocked.is_none() {
            self.drop_volumes(&sight, &occasion, &mut keeping).await;
        }
        let after = self.measure(&sight).await;
        let Turned { blocked, ending, stuck, before, .. } = turned;
        report = Report { blocked, ending, stuck, before, after, ..report };
        if ahead.is_none() {
            self.say_once(report.stuck.as_deref(), tell);
        }
        Ok(report)
    }

    async fn rounds(
        &self,
        occasion: &Occasion,
        ahead: Option<&Ahead<'_>>,
        tell: &mut dyn FnMut(Told),
    ) -> Result<(Turned, Sight), Failure> {
        let mut turned = Turned::default();
        let mut sight = self.glance().await?;
        turned.before = sight.room;
        let mut stays: BTreeSet<String> = BTreeSet::new();
        for round in 0..ROUNDS {
            if round > 0 {
                sight = self.glance().await?;
            }
            // What could not be removed is planned around, and what may not be.
            for content in &mut sight.snapshot.contents {
                let may = ahead.is_none_or(|ahead| ahead.may_go.contains(&content.id));
                content.running |= !may || stays.contains(&content.id);
            }
            let used = sight.used();
            // What was asked for beyond the marks is asked for once.
            let rules = match round {
                0 => sharpen(&sight.rules, occasion, sight.room.as_ref(), used),
                _ => turned.rules.clone().unwrap_or_else(|| sight.rules.clone()),
            };
            turned.rules = Some(rules.clone());
            let goal = Goal::of(&rules, sight.room.as_ref(), used);
            let words = goal.words(sight.room.as_ref(), used).join(", ");
            if let Some(blocked) = &sight.blocked {
                turned.stuck = (!words.is_empty()).then(|| Stuck::blocked(&words, blocked));
                turned.blocked = Some(blocked.clone());
                break;
            }
            // Whether anything goes at all does not depend on the order, which is dear.
            let any = plan(&sight.snapshot, &Rules { score: Score::Lru, ..rules.clone() }, now(&sight));
            if any.as_ref().is_ok_and(|plan| plan.removals.is_empty() && plan.ending == Ending::NotNeeded) {
                self.looked(&sight, None);
                turned.ending = Some(Ending::NotNeeded);
                break;
            }
            self.recall(&mut sight);
            let plan = match plan(&sight.snapshot, &rules, now(&sight)) {
                Ok(plan) => plan,
                Err(error) => {
                    turned.stuck = Some(Stuck::pinned(&error.to_string()));
                    break;
                }
            };
            // What no job waits for takes nothing from its place that would not be enough.
            if ahead.is_some() && matches!(plan.ending, Ending::NothingLeft { .. }) {
                turned.ending = Some(plan.ending);
                break;
            }
            if round == 0 && !words.is_empty() && !plan.removals.is_empty() {
                tell(Told::Begins(words.clone()));
            }
            turned.ending = Some(plan.ending);
            let known_to_stay = stays.len();
            let mut telling = |told: Told| {
                if let Told::Left(left) = &told {
                    stays.insert(left.id.clone());
                }
                tell(told);
            };
            let stops = &|| ahead.is_some_and(|ahead| (ahead.stops)());
            let errand = Errand { goal: &goal, for_what: &occasion.for_what(&words), stops };
            let progress = self.carry_out(&sight, &plan, &errand, &mut telling).await?;
            self.looked(&sight, Some(plan.inflation));
            if progress.storeless {
                turned.blocked = Some(Blocked::NoStore);
                turned.stuck = Some(Stuck::blocked(&words, &Blocked::NoStore));
                break;
            }
            if progress.fruitless {
                let freed = (progress.freed, progress.reckoned);
                turned.stuck = Some(Stuck::fruitless(&words, freed, &sight));
                break;
            }
            if stops() {
                break;
            }
            if progress.gone == 0 && stays.len() == known_to_stay {
                turned.stuck = stuck(&plan, &words, &sight);
                break;
            }
        }
        Ok((turned, sight))
    }

    /// Says what is stuck, unless it was said before; forgets that it was once the limits are kept.
    fn say_once(&self, stuck: Option<&str>, tell: &mut dyn FnMut(Told)) {
        let Some(words) = stuck else { return self.store.drop_note(STUCK) };
        if self.store.note(STUCK).is_none() {
            self.store.set_note(STUCK, "said");
            tell(Told::Stuck(words.to_owned()));
        }
    }
}

fn now(sight: &Sight) -> f64 {
    sight.at.wall.as_secs_f64()
}

/// What came of the rounds.
#[derive(Default)]
struct Turned {
    blocked: Option<Blocked>,
    ending: Option<Ending>,
    stuck: Option<String>,
    before: Option<super::Room>,
    rules: Option<Rules>,
}

/// Says what is wrong where a plan left something undone; `None`: the limits are kept.
fn stuck(plan: &Plan, words: &str, sight: &Sight) -> Option<String> {
    match plan.ending {
        Ending::NotNeeded | Ending::Enough => None,
        Ending::NothingLeft { .. } => Some(Stuck::nothing_left(words, sight)),
    }
}

/// Words for limits that cannot be kept.
struct Stuck;

impl Stuck {
    fn blocked(words: &str, blocked: &Blocked) -> String {
        format!("{words}, but nothing is removed: {blocked}")
    }

    fn pinned(error: &str) -> String {
        format!("nothing is removed: {error}")
    }

    fn fruitless(words: &str, (freed, reckoned): (u64, u64), sight: &Sight) -> String {
        format!(
            "{words}; removing images does not help: {} became free of {} that they should have held. {}",
            ByteSize(freed),
            ByteSize(reckoned),
            holders(sight)
        )
    }

    fn nothing_left(words: &str, sight: &Sight) -> String {
        format!("{words}, and no image is left that may go. {}", holders(sight))
    }
}

/// Says who holds the bytes.
pub(super) fn holders(sight: &Sight) -> String {
    use crate::policy::guard::{Hold, hold};
    let now = now(sight);
    let mut by: std::collections::BTreeMap<&str, (usize, u64)> = std::collections::BTreeMap::new();
    for content in &sight.snapshot.contents {
        let who = match hold(content, &sight.rules, now) {
            Some(Hold::Pinned) => "pinned",
            Some(Hold::Leased) => "needed by jobs that run",
            Some(Hold::Running) => "used by containers",
            Some(Hold::Foreign) => "neither pulled by hearth nor used by a job",
            Some(Hold::Young { .. }) => "too young to go",
            Some(Hold::Claimed { .. }) => "wanted soon",
            None => "others",
        };
        let bytes: u64 = content.layers.iter().map(|layer| layer.size.unpacked).sum();
        let entry = by.entry(who).or_default();
        *entry = (entry.0 + 1, entry.1.saturating_add(bytes));
    }
    let used = sight.used();
    let mut words = format!("Images hold {}", ByteSize(used));
    let mut parts: Vec<String> =
        by.iter().map(|(who, (count, bytes))| format!("{count} {who} ({})", ByteSize(*bytes))).collect();
    parts.sort();
    if !parts.is_empty() {
        words += &format!(": {}", parts.join(", "));
    }
    if let Some(room) = sight.room {
        let rest = room.bytes.saturating_sub(room.free_bytes).saturating_sub(used);
        words += &format!(
            "; {} of that disk is held by containers, volumes, build caches and other files",
            ByteSize(rest)
        );
    }
    words
}
