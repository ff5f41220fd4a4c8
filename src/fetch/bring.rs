//! How an image comes here that is not: by one pull on this host, from the first source that has it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::desk::registry_of;
use super::fault::PullFault;
use super::flight::{Heir, Meeting, Place, State, Traveller, Turn};
use super::inquiry::Inquiry;
use super::pull::{self, Pulled, Watchers};
use super::registries::Registries;
use super::room::transfer;
use super::{Fetcher, fits};
use crate::engine::{Engine, PullRequest, Tagging};
use crate::image::decide::Pull;
use crate::image::{Fit, ImageFacts, ImageRef};

/// An image that was fetched, and under which name the engine has it.
pub(super) struct Brought {
    pub(super) facts: ImageFacts,
    /// What the pull by this process took; zero where another one's was waited for.
    pub(super) download: Option<Duration>,
    pub(super) extract: Option<Duration>,
    /// Compressed bytes that this process's pull fetched; `None`: the engine did not tell.
    pub(super) bytes: Option<u64>,
    /// Whether another process pulled it.
    pub(super) joined: bool,
}

/// What is said of a leader that may be frozen.
const NO_SIGN: &str = "the job that pulls it shows no sign of life";

fn pulls_it(leader: Traveller) -> &'static str {
    match leader {
        Traveller::Job => "another job is pulling it",
        Traveller::Ahead => "this host prefetches it already",
    }
}

fn pulled_it(leader: Traveller) -> &'static str {
    match leader {
        Traveller::Job => "another job has pulled it",
        Traveller::Ahead => "this host has prefetched it",
    }
}

fn goes_on(from: Traveller) -> &'static str {
    match from {
        Traveller::Job => "the job that pulls it has to go, this one goes on with its pull",
        Traveller::Ahead => "the prefetch of it gives way, this job goes on with its pull",
    }
}

/// One place to get it from.
struct Source {
    /// `repository@digest` there.
    name: ImageRef,
    is_mirror: bool,
}

impl<E: Engine, R: Registries> Fetcher<'_, E, R> {
    /// Fetches an image and puts its tag on it.
    pub(super) async fn bring(&self, inquiry: &Inquiry<'_>, wanted: &Pull) -> Result<Brought, PullFault> {
        let image = &inquiry.wish.reference;
        let purpose = &inquiry.wish.purpose;
        self.log.line(format!("Pulling {purpose} {} ({}) ...", image.familiar(), wanted.digest));
        // Until all of the job's images are here, its tag may move on; and nothing that goes right now shall count as here.
        let digests = [Some(wanted.digest.as_str()), wanted.manifest.as_deref()].into_iter().flatten();
        self.leases.on_digests(&self.desk.store, digests, self.log).await;
        let sources = self.sources(image, self.digest_to_pull(inquiry, wanted), wanted)?;
        let repository = image.full_repository().unwrap_or_default();
        self.desk.pulls(&format!("{repository}@{}", wanted.digest), transfer(inquiry));
        let brought = self.together(inquiry, wanted, &sources).await?;
        if image.tag().is_some() && image.digest().is_none() {
            let named =
                self.engine.tag(&brought.facts.id, &image.normalized()).await.map_err(PullFault::Engine)?;
            if named == Tagging::ImageMissing {
                return Err(PullFault::Transient("the image went again right after the pull".to_owned()));
            }
        }
        Ok(brought)
    }

    /// Docker's classic store has room for one platform of an index: another one is fetched by its own digest.
    pub(super) fn digest_to_pull<'p>(&self, inquiry: &Inquiry<'_>, wanted: &'p Pull) -> &'p str {
        match &wanted.manifest {
            Some(manifest) if !self.platform(inquiry).is_empty() => manifest,
            _ => &wanted.digest,
        }
    }

    fn sources(&self, image: &ImageRef, digest: &str, wanted: &Pull) -> Result<Vec<Source>, PullFault> {
        let mirrors = self.settings.pull.mirrors.of(image, digest);
        let mut sources: Vec<Source> =
            mirrors.into_iter().map(|name| Source { name, is_mirror: true }).collect();
        let own = image.full_repository().unwrap_or_default();
        match (format!("{own}@{digest}").parse(), &wanted.mirrors_only) {
            (_, Some(_)) => {}
            (Ok(name), None) => sources.push(Source { name, is_mirror: false }),
            (Err(_), None) => return Err(PullFault::Transient(format!("{own} has no name to pull by"))),
        }
        Ok(sources)
    }

    /// Pulls, or waits while another process of this host does.
    async fn together(
        &self,
        inquiry: &Inquiry<'_>,
        wanted: &Pull,
        sources: &[Source],
    ) -> Result<Brought, PullFault> {
        let platform = self.platform(inquiry);
        let what = format!(
            "{}@{} {platform}",
            inquiry.wish.reference.full_repository().unwrap_or_default(),
            wanted.digest
        );
        let by = if inquiry.ahead.is_some() { Traveller::Ahead } else { Traveller::Job };
        let Some(mut meeting) = self.desk.airport.meet(&what, by) else {
            return self.try_sources(inquiry, wanted, sources, None, None).await;
        };
        let rules = &self.settings.pull;
        let name = inquiry.wish.reference.familiar();
        let began = Instant::now();
        let mut printed: Option<Instant> = None;
        let mut departure = self.desk.departure.clone();
        let mut leader = Traveller::Job;
        loop {
            match meeting.turn(rules.no_progress_timeout).unwrap_or(Turn::Alone) {
                Turn::Lead => {
                    // Another one may have been through just before, or while this one waited.
                    if let Some(facts) = self.brought_meanwhile(inquiry, sources).await? {
                        self.log.line(format!("  {name}: {}", pulled_it(leader)));
                        return Ok(Brought {
                            facts,
                            download: None,
                            extract: None,
                            bytes: None,
                            joined: true,
                        });
                    }
                    return self.try_sources(inquiry, wanted, sources, Some(&mut meeting), None).await;
                }
                Turn::Inherit(from) => {
                    if let Some(heir) = meeting.try_inherit() {
                        self.log.line(format!("  {name}: {}", goes_on(from)));
                        return self
                            .try_sources(inquiry, wanted, sources, Some(&mut meeting), Some(heir))
                            .await;
                    }
                }
                Turn::Alone => {
                    if by == Traveller::Ahead {
                        return Err(PullFault::Transient(NO_SIGN.to_owned()));
                    }
                    self.log.line(format!("  {name}: {NO_SIGN}, this one pulls too"));
                    return self.try_sources(inquiry, wanted, sources, None, None).await;
                }
                Turn::Wait(by, progress) => {
                    leader = by;
                    if printed.is_none_or(|at| at.elapsed() >= rules.progress_interval) {
                        let so_far =
                            if progress.is_empty() { String::new() } else { format!(": {progress}") };
                        self.log.line(format!(
                            "  {name}: {}, waiting for {} s{so_far}",
                            pulls_it(leader),
                            began.elapsed().as_secs()
                        ));
                        printed = Some(Instant::now());
                    }
                }
            }
            tokio::select! {
                () = meeting.pause() => {}
                () = departure.wished() => return Err(PullFault::Stopped),
            }
        }
    }

    /// Looks whether another process has brought it, for the platform wanted. That something has its name proves nothing:
    /// it has to be on record where it came from.
    async fn brought_meanwhile(
        &self,
        inquiry: &Inquiry<'_>,
        sources: &[Source],
    ) -> Result<Option<ImageFacts>, PullFault> {
        let repository = inquiry.wish.reference.full_repository().unwrap_or_default();
        let origins = self.desk.origins(&repository);
        for source in sources {
            let is_it = |(digest, via): &(String, String)| {
                source.name.digest() == Some(digest) && source.name.full_repository().as_ref() == Some(via)
            };
            if !origins.iter().any(is_it) {
                continue;
            }
            let found = self.engine.image(&source.name.normalized()).await.map_err(PullFault::Engine)?;
            if let Some(facts) = found.filter(|facts| fits(inquiry.wish, facts, self.native)) {
                return Ok(Some(facts));
            }
        }
        Ok(None)
    }

    /// Tries the sources in order.
    async fn try_sources(
        &self,
        inquiry: &Inquiry<'_>,
        wanted: &Pull,
        sources: &[Source],
        mut meeting: Option<&mut Meeting>,
        mut heir: Option<Heir>,
    ) -> Result<Brought, PullFault> {
        let rules = &self.settings.pull;
        let name = inquiry.wish.reference.familiar();
        // A pull that was taken over runs already; and one ahead takes no job's place.
        let place = match (&heir, &inquiry.ahead) {
            (Some(_), _) | (_, Some(_)) => None,
            (None, None) => {
                let mut told = Duration::ZERO;
                let waits = |waited: Duration| {
                    if waited.saturating_sub(told) < Duration::from_secs(1) {
                        return;
                    }
                    if told.is_zero() {
                        self.log.line(format!("  {name}: waiting for other pulls on this host to end"));
                    }
                    told = waited;
                    if let Some(meeting) = meeting.as_deref_mut() {
                        meeting.say(&State::Pulls("it waits for other pulls to end".to_owned()));
                    }
                };
                self.desk.airport.place(rules.concurrent, rules.no_progress_timeout, waits).await
            }
        };
        if heir.is_none() {
            self.room_to_pull(inquiry, wanted, meeting.as_deref_mut(), place.as_ref()).await?;
        }
        let mut last = wanted.mirrors_only.clone().map(PullFault::Refused);
        let mut full = false;
        for source in sources {
            let attempts = if source.is_mirror { 1 } else { rules.attempts };
            let mut attempt = 1;
            let fault = loop {
                let (leads, heir) = (meeting.as_deref_mut(), heir.take());
                let pulled = self.pull_from(inquiry, source, leads, heir, place.as_ref()).await;
                let fault = match pulled {
                    Ok(brought) => return Ok(brought),
                    Err(fault) => fault,
                };
                if matches!(fault, PullFault::NoSpace(_))
                    && !std::mem::replace(&mut full, true)
                    && self.room_again(inquiry, wanted, meeting.as_deref_mut(), place.as_ref()).await?
                {
                    continue;
                }
                if attempt >= attempts || !fault.may_pass() {
                    break fault;
                }
                let pause = self.pause(attempt);
                attempt += 1;
                self.log.warn(format!(
                    "WARNING: pull of {} failed ({}); try {attempt} of {attempts} in {:.0} s",
                    source.name.normalized(),
                    fault.words(),
                    pause.as_secs_f64()
                ));
                let mut departure = self.desk.departure.clone();
                tokio::select! {
                    () = sleep(pause) => {}
                    () = departure.wished() => return Err(PullFault::Stopped),
                }
            };
            if !source.is_mirror || fault.ends_all_sources() {
                return Err(fault);
            }
            let lies = match fault {
                PullFault::WrongContent(_) => "sent something else than what was asked for, and ",
                _ => "",
            };
            self.log.warn(format!(
                "WARNING: the mirror {} {lies}is passed over: {}",
                registry_of(&source.name),
                fault.words()
            ));
            last.get_or_insert(fault);
        }
        Err(last.unwrap_or_else(|| PullFault::Transient("there is no source for it".to_owned())))
    }

    async fn pull_from(
        &self,
        inquiry: &Inquiry<'_>,
        source: &Source,
        meeting: Option<&mut Meeting>,
        heir: Option<Heir>,
        place: Option<&Place>,
    ) -> Result<Brought, PullFault> {
        let rules = &self.settings.pull;
        let login = if source.is_mirror {
            self.logins.operators(&source.name, self.log).await
        } else {
            self.tell_login(inquiry);
            inquiry.login.clone()
        };
        let registry = registry_of(&source.name);
        let account = self.desk.account(login.as_ref().map(|login| &login.credentials));
        if let Some((lasts, words)) = self.desk.back_off(registry, &account) {
            return Err(PullFault::Limited { lasts, words });
        }
        let request = PullRequest {
            reference: source.name.normalized(),
            platform: self.platform(inquiry),
            login: login.map(|login| login.for_engine()),
        };
        let patience = if source.is_mirror {
            rules.source_deadline.min(rules.no_progress_timeout)
        } else {
            rules.no_progress_timeout
        };
        let departure = self.desk.departure.clone();
        let mut watchers = Watchers { meeting, heir, place, departure, patience, meter: inquiry.ahead };
        let Pulled { totals, result } =
            pull::once(self.engine, &request, rules, self.log, &mut watchers).await;
        let facts = match result {
            Ok(()) => {
                self.engine.image(&request.reference).await.map_err(PullFault::Engine).and_then(|facts| {
                    facts.ok_or_else(|| {
                        PullFault::Transient("the image went again right after the pull".to_owned())
                    })
                })
            }
            Err(fault) => {
                if let PullFault::Limited { lasts, words } = &fault {
                    self.desk.set_back_off(registry, &account, *lasts, words);
                }
                Err(fault)
            }
        };
        self.record_pull(inquiry, source.is_mirror.then_some(registry), &source.name, &totals, &facts).await;
        let facts = facts?;
        let bytes = totals.bytes();
        Ok(Brought { facts, download: totals.download, extract: totals.extract, bytes, joined: false })
    }

    /// The platform that the engine has to be told; empty: its own.
    pub(super) fn platform(&self, inquiry: &Inquiry<'_>) -> String {
        match &inquiry.wish.platform {
            Some(platform) if platform.runs_on(self.native) != Fit::Native => platform.to_string(),
            _ => String::new(),
        }
    }
}
