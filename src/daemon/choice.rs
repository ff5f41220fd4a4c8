//! Which rule ranks this host's images: chosen once a week by a replay of the host's own last weeks.
//!
//! The replay needs memory that the daemon does without for the rest of the week, so it is done by a process of its own,
//! `hearth daemon --choose-rule`, which writes down what it finds. Rounds read it from the store.

use std::time::Duration;

use super::journal::{Journal, Level};
use super::world::World;
use crate::engine::Engine as _;
use crate::evict::Site;
use crate::outcome::Failure;
use crate::policy::tune::{Choice, tune};
use crate::policy::{Cost, Score};
use crate::record;
use crate::settings::{CacheSettings, Rule, Settings};
use crate::store::Store;

/// When it was looked for last, in seconds since the epoch.
const NOTE: &str = "rule looked for";
const EVERY: Duration = Duration::from_secs(7 * 24 * 3600);

/// Returns whether it is time to choose, and notes that it was: the next time is a week later whatever comes of it.
pub fn is_due(store: &Store, cache: &CacheSettings, now: Duration) -> bool {
    if cache.rule != Rule::Auto || !cache.evict || !store.is_working() {
        return false;
    }
    let last: Option<u64> = store.note(NOTE).and_then(|text| text.parse().ok());
    let is_due = last.is_none_or(|last| last.abs_diff(now.as_secs()) >= EVERY.as_secs());
    is_due && store.set_note(NOTE, &now.as_secs().to_string())
}

/// Chooses, writes it down and says it. Returns the exit code: 0 also where there is too little to go by.
pub async fn choose<W: World>(world: &W, journal: &Journal) -> u8 {
    match attempt(world).await {
        Ok(Some(words)) => journal.say(Level::Notice, words),
        Ok(None) => journal.say(Level::Info, "no limit is set that images could pass, so no rule is chosen"),
        Err(failure) => {
            journal.say(Level::Info, format!("no rule is chosen for this host yet: {}", failure.message));
        }
    }
    0
}

async fn attempt<W: World>(world: &W) -> Result<Option<String>, Failure> {
    let settings = world.settings()?;
    let place = world.store(&settings);
    let now = world.moment().wall;
    let history = record::history(place.as_ref(), now)?;
    let Some(budget) = budget(world, &settings).await? else { return Ok(None) };
    let Some(place) = place else { return Ok(None) };
    let store = Store::open(&place, now).0;
    let current = store.chosen_rule().unwrap_or_default();
    let choice = tune(&history.trace, now.as_secs_f64(), budget, Cost::default(), current);
    if !store.choose_rule(choice.rule) {
        return Err(Failure::system("it cannot be written down in the store"));
    }
    Ok(Some(words(&choice, current)))
}

/// Returns what images may take on this host; `None`: there is no limit.
async fn budget<W: World>(world: &W, settings: &Settings) -> Result<Option<u64>, Failure> {
    let cache = &settings.cache;
    let by_images = cache.images.map(|marks| marks.start.0);
    let Some(free) = cache.free else { return Ok(by_images) };
    let engine = world.engine(settings)?;
    let info = engine.info().await?;
    let disk = |dir: &std::path::Path| world.disk(dir);
    let site = Site::find(&info, engine.endpoint(), cache.data_root.as_deref(), &disk);
    let Some(room) = site.measure(&disk) else { return Ok(by_images) };
    // What images share counts more than once here, which makes the budget larger than it is; a rule is chosen by how the
    // others do at the same one.
    let images: u64 = engine.images().await?.iter().map(|image| image.bytes).sum();
    let by_disk = (room.free_bytes + images).saturating_sub(free.start.of(room.bytes));
    Ok(Some(by_images.map_or(by_disk, |bytes| bytes.min(by_disk))))
}

fn words(choice: &Choice, current: Score) -> String {
    let seconds =
        |rule: Score| choice.tried.iter().find(|(tried, _)| *tried == rule).map(|(_, seconds)| *seconds);
    let (before, after) = (seconds(current).unwrap_or_default(), seconds(choice.rule).unwrap_or_default());
    if choice.rule == current {
        format!(
            "images are ranked by {current} as before: no other rule would have been clearly better lately"
        )
    } else {
        format!(
            "images are ranked by {} from now on: in the last weeks jobs would have waited {after:.0} s instead of \
             {before:.0} s with {current}",
            choice.rule
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Choice, is_due, words};
    use crate::policy::Score;
    use crate::settings::Rule;
    use crate::store::{Sharing, Store, StorePlace};

    const DAY: u64 = 24 * 3600;

    #[test]
    fn it_is_due_once_a_week_where_nobody_has_set_a_rule() {
        let dir = std::env::temp_dir().join(format!("hearth-choice-{}", std::process::id()));
        let (store, _) = Store::open(&StorePlace::new(&dir, Sharing::Owner), Duration::ZERO);
        let mut cache = crate::settings::defaults().unwrap().cache;
        let day = |day: u64| Duration::from_secs(1_700_000_000 + day * DAY);
        assert!(!is_due(&Store::void(), &cache, day(0)), "it could not be written down");
        let due: Vec<u64> = (0..30).filter(|n| is_due(&store, &cache, day(*n))).collect();
        assert_eq!(due, [0, 7, 14, 21, 28]);
        cache.rule = Rule::Fixed(Score::Lru);
        assert!(!is_due(&store, &cache, day(90)));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_is_chosen_says_what_it_gains() {
        let tried = vec![(Score::Foreseen, 100.0), (Score::Lru, 60.0)];
        let gained = words(&Choice { rule: Score::Lru, tried: tried.clone() }, Score::Foreseen);
        assert!(gained.contains("60 s instead of 100 s with foreseen"), "{gained}");
        let stays = words(&Choice { rule: Score::Foreseen, tried }, Score::Foreseen);
        assert!(stays.contains("as before"), "{stays}");
    }
}
