//! What this host itself might want: the operator's list, and what its jobs are likely to use again.

use std::collections::{HashMap, HashSet};

use super::prospect::{Prospect, Whose, wish};
use crate::evict::Sight;
use crate::image::{ImageRef, Platform};
use crate::plan::ImageWish;
use crate::policy::prefetch::Moves;
use crate::policy::wanted::{Absent, Candidate, Demand, Foresight, Source, claim};
use crate::policy::{Cost, LocalTime, Size};
use crate::settings::{Listed, ListedImage, Settings};
use crate::store::{ContentKey, Store};

/// What this host might want.
#[derive(Debug, Default)]
pub struct Gathered {
    /// What it does not have by name.
    pub absent: Vec<Prospect>,
    /// The tags that it has, and whether they moved is worth a look. Each as it would be wanted if it did.
    pub looked_up: Vec<Prospect>,
}

/// Returns whether there is nothing that this host might want, so that nothing has to be looked at.
pub fn wants_nothing(store: &Store, settings: &Settings) -> bool {
    let prefetch = &settings.prefetch;
    let of_jobs = (prefetch.history || prefetch.poll.is_some()) && settings.job.may_pull();
    prefetch.images.is_empty() && !(of_jobs && store.newest_fact().is_some())
}

/// Gathers what this host might want: where jobs may pull nothing, what the operator lists alone. `now` is in seconds.
pub fn gather(store: &Store, sight: &Sight, settings: &Settings, local: LocalTime, now: f64) -> Gathered {
    let ground = Ground::new(store, sight, settings, now);
    let foresight = Foresight::new(&sight.snapshot, &sight.rules, now);
    let prefetch = &settings.prefetch;
    let mut gathered = ground.listed(local);
    let of_jobs = settings.job.may_pull();
    if prefetch.history && of_jobs {
        let candidates = foresight.candidates(|tag| ground.absent(&tag.name));
        let listed: HashSet<String> = gathered.absent.iter().map(Prospect::key).collect();
        // One that a schedule uses may be wanted before its time, too: then it is there twice.
        let foreseen = candidates.into_iter().filter_map(|candidate| ground.foreseen(candidate));
        gathered.absent.extend(foreseen.filter(|prospect| !listed.contains(&prospect.key())));
    }
    if prefetch.poll.is_some() {
        let in_use = foresight.to_look_up().into_iter();
        let in_use = in_use.filter(|tag| of_jobs && ground.names.contains(tag));
        let moved = in_use.filter_map(|tag| {
            let image = ground.absent(tag)?;
            // One for which no job will probably come is looked up all the same: once jobs do, it is known to have moved.
            Some(
                foresight
                    .moved(tag, image)
                    .unwrap_or_else(|| Candidate::of_nobody(tag, image.missing, image.cost)),
            )
        });
        for prospect in moved.filter_map(|candidate| ground.foreseen(candidate)) {
            let is_new = gathered.looked_up.iter().all(|known| known.key() != prospect.key());
            gathered.looked_up.extend(is_new.then_some(prospect));
        }
    } else {
        gathered.looked_up.clear();
    }
    gathered
}

/// What is here.
struct Ground<'a> {
    store: &'a Store,
    sight: &'a Sight,
    settings: &'a Settings,
    names: HashSet<&'a str>,
    layers: HashSet<&'a str>,
    /// How often each tag was seen to move.
    moves: HashMap<String, Moves>,
    now: f64,
}

impl<'a> Ground<'a> {
    fn new(store: &'a Store, sight: &'a Sight, settings: &'a Settings, now: f64) -> Self {
        let names = sight.names.values().flat_map(|names| &names.all).map(String::as_str).collect();
        let contents = &sight.snapshot.contents;
        let layers = contents.iter().flat_map(|content| &content.layers).map(|layer| layer.id.as_str());
        let moves = moves(store, sight, now);
        Self { store, sight, settings, names, layers: layers.collect(), moves, now }
    }

    /// What is known of the image of a tag that jobs used; `None` for what has no tag that could be looked up.
    fn absent(&self, name: &str) -> Option<Absent> {
        let image: ImageRef = name.parse().ok()?;
        image.tag().filter(|_| image.digest().is_none() && image.id().is_none())?;
        let cost = self.store.cost(image.registry().unwrap_or_default(), Cost::default());
        let moves = self.moves.get(name).copied().unwrap_or_default();
        Some(Absent { missing: self.missing(&image), cost, moves })
    }

    /// What jobs are likely to use again.
    fn foreseen(&self, candidate: Candidate) -> Option<Prospect> {
        let image: ImageRef = candidate.name.parse().ok()?;
        let platform = self.settings.job.platform.clone();
        let why = match (candidate.demand, candidate.source) {
            (Demand::At(_), _) => "a schedule uses it",
            (Demand::Soon(_), _) => "a pipeline that has begun uses it next",
            (_, Source::Moved) => "its tag has moved",
            _ => "jobs use it",
        };
        let platform_text = platform.as_ref().map(ToString::to_string).unwrap_or_default();
        let candidate = Candidate { platform: platform_text, ..candidate };
        Some(self.of_host(candidate, wish(image, platform), why.to_owned()))
    }

    /// The operator's list: what is not here, and what is here and may have moved.
    fn listed(&self, local: LocalTime) -> Gathered {
        let mut found = Gathered::default();
        for listed in &self.settings.prefetch.images {
            for image in self.images(listed) {
                let platform = listed.platform.as_ref().or(self.settings.job.platform.as_ref());
                // A name says nothing of a platform: the registry is asked.
                let is_here = listed.platform.is_none() && self.names.contains(image.normalized().as_str());
                if is_here && image.digest().is_some() {
                    continue;
                }
                let prospect = self.prospect(image, platform, listed, local);
                let known = if is_here { &mut found.looked_up } else { &mut found.absent };
                if known.iter().all(|known| known.key() != prospect.key()) {
                    known.push(prospect);
                }
            }
        }
        found
    }

    fn images(&self, listed: &Listed) -> Vec<ImageRef> {
        match &listed.image {
            ListedImage::One(image) => vec![image.clone()],
            ListedImage::Pattern(patterns) => {
                let tags = self.store.tags_alone();
                let images = tags.iter().filter_map(|tag| tag.name.parse::<ImageRef>().ok());
                let has = |image: &ImageRef| {
                    image.tag().is_some()
                        && (patterns.matches(image.familiar()) || patterns.matches(&image.normalized()))
                };
                images.filter(has).collect()
            }
        }
    }

    fn prospect(
        &self,
        image: ImageRef,
        platform: Option<&Platform>,
        listed: &Listed,
        local: LocalTime,
    ) -> Prospect {
        let due = listed.at.iter().map(|at| (at.next_in(local), at)).min_by_key(|(next, _)| *next);
        let (demand, why) = match due {
            None => (Demand::Listed, "in the list".to_owned()),
            Some((next, at)) => (Demand::At(self.now + next.as_secs_f64()), format!("in the list for {at}")),
        };
        let candidate = Candidate {
            name: image.normalized(),
            platform: platform.map(ToString::to_string).unwrap_or_default(),
            source: Source::List,
            demand,
            cold: 1.0,
            missing: self.missing(&image),
            cost: self.store.cost(image.registry().unwrap_or_default(), Cost::default()),
            pipeline: None,
        };
        self.of_host(candidate, wish(image, platform.cloned()), why)
    }

    fn of_host(&self, candidate: Candidate, wish: ImageWish, why: String) -> Prospect {
        let claim = claim(&candidate, self.now);
        Prospect { candidate, wish, whose: Whose::Host, why, until: claim.at + claim.grace }
    }

    /// What is missing of a tag's image as it was when a job used it last; `None`: none has.
    fn missing(&self, image: &ImageRef) -> Option<Size> {
        let key = self.store.tag(image)?.content?;
        self.missing_of(&key)
    }

    fn missing_of(&self, key: &ContentKey) -> Option<Size> {
        let content = self.store.content(key).filter(|content| !content.layers.is_empty())?;
        let mut missing = Size::default();
        for layer in content.layers.iter().filter(|layer| !self.layers.contains(layer.chain.as_str())) {
            missing += self.sight.size(layer);
        }
        Some(missing)
    }
}

/// Counts how often each tag was seen to move: jobs got so many contents by it, less one.
fn moves(store: &Store, sight: &Sight, now: f64) -> HashMap<String, Moves> {
    let mut contents: HashMap<String, HashSet<String>> = HashMap::new();
    for used in store.tag_contents() {
        contents.entry(used.tag).or_default().insert(used.content.digest);
    }
    let tags = sight.snapshot.tags.iter();
    tags.map(|tag| {
        let first = tag.recent.iter().map(|one| one.at).fold(now, f64::min);
        let seen = contents.get(&tag.name).map_or(0, |digests| digests.len().saturating_sub(1));
        (tag.name.clone(), Moves { seen: u32::try_from(seen).unwrap_or(u32::MAX), over: now - first })
    })
    .collect()
}
