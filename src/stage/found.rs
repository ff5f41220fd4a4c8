//! The images of a job: looked up side by side, and held until its containers exist.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::engine::Engine;
use crate::fetch::{Fetcher, Registries, Settled};
use crate::host;
use crate::job::{JobSpec, Names};
use crate::outcome::Failure;
use crate::plan::{ImageWish, JobImages, Wishes};
use crate::store::JobTime;

/// How often images are looked at again that went while they were; what goes after that is noticed when it is used.
const MOST_LOOKS: usize = 5;

/// What tells wishes apart that cannot have the same answer.
type Key = (String, Option<String>, String);

fn key(wish: &ImageWish) -> Key {
    let platform = wish.platform.as_ref().map(ToString::to_string);
    (wish.reference.normalized(), platform, format!("{:?}", wish.policies))
}

/// All images of a job, and what it took to have them.
pub struct Found<'w> {
    wishes: &'w Wishes,
    /// The wishes that differ.
    asked: Vec<&'w ImageWish>,
    /// What came of each of them.
    settled: Vec<Settled>,
}

impl<'w> Found<'w> {
    /// Brings every image once, all side by side. The first failure ends it: other pulls would only delay the answer.
    pub async fn of<E: Engine, R: Registries>(
        fetcher: &Fetcher<'_, E, R>,
        wishes: &'w Wishes,
    ) -> Result<Self, Failure> {
        let mut unique: BTreeMap<Key, &ImageWish> = BTreeMap::new();
        for wish in wishes.images() {
            unique.entry(key(wish)).or_insert(wish);
        }
        let mut under_way: FuturesUnordered<_> =
            unique.into_values().map(|wish| async move { (wish, fetcher.resolve(wish).await) }).collect();
        let mut found = Self { wishes, asked: Vec::new(), settled: Vec::new() };
        while let Some((wish, result)) = under_way.next().await {
            found.settled.push(result?);
            found.asked.push(wish);
        }
        secure(fetcher, &found.asked, &mut found.settled).await?;
        Ok(found)
    }

    /// Returns the image of each container.
    pub fn images(&self) -> Result<JobImages, Failure> {
        let find = |wish: &ImageWish| {
            let found = self.asked.iter().position(|asked| key(asked) == key(wish));
            found.map(|at| self.settled[at].image.clone()).ok_or_else(|| {
                Failure::system(format!("{} {} was not looked up", wish.purpose, wish.reference.familiar()))
            })
        };
        Ok(JobImages {
            build: find(&self.wishes.build)?,
            helper: find(&self.wishes.helper)?,
            services: self.wishes.services.iter().map(|s| find(&s.image)).collect::<Result<_, _>>()?,
        })
    }

    /// Returns where the time went; downloads and unpackings of several images run side by side, so the longest counts.
    pub fn time(&self, job: &JobSpec, names: &Names, total: Duration, created: Duration) -> JobTime {
        let longest = |of: fn(&Settled) -> Option<Duration>| self.settled.iter().filter_map(of).max();
        let resolve = longest(|settled| Some(settled.took)).unwrap_or_default();
        JobTime {
            job: format!("{} {}", names.key(), job.server),
            project: Some(job.project_key()),
            started: host::now().saturating_sub(total),
            image: self.wishes.build.reference.familiar().to_owned(),
            warm: self.settled.iter().all(|settled| settled.warm),
            resolve: Some(resolve),
            download: longest(|settled| settled.download),
            extract: longest(|settled| settled.extract),
            create: Some(created.saturating_sub(resolve)),
            services: Some(total.saturating_sub(created)),
            total: Some(total),
        }
    }
}

/// Brings an image once more that went before it was used.
pub async fn again<E: Engine, R: Registries>(
    fetcher: &Fetcher<'_, E, R>,
    wish: &ImageWish,
) -> Result<Settled, Failure> {
    let mut settled = fetcher.resolve(wish).await?;
    secure(fetcher, &[wish], std::slice::from_mut(&mut settled)).await?;
    Ok(settled)
}

/// Takes leases on images before they are used, and brings back what went between look and lease.
async fn secure<E: Engine, R: Registries>(
    fetcher: &Fetcher<'_, E, R>,
    asked: &[&ImageWish],
    settled: &mut [Settled],
) -> Result<(), Failure> {
    let mut since = fetcher.leases.changes();
    for _ in 0..MOST_LOOKS {
        let taken = fetcher.leases.on_contents(&fetcher.desk.store, settled, since, fetcher.log).await;
        let Some(now) = taken else { break };
        since = now;
        let mut all_here = true;
        for (wish, one) in asked.iter().zip(settled.iter_mut()) {
            let found = fetcher.engine.image(&one.image.pinned).await?;
            if found.is_none_or(|facts| facts.id != one.image.facts.id) {
                all_here = false;
                *one = fetcher.resolve(wish).await?;
            }
        }
        if all_here {
            break;
        }
    }
    Ok(())
}
