//! The one way in: how an image that a job may have comes to be on this host.
//!
//! A shell: it joins the rules of [`crate::image::decide`] with the registries' answers, the store's facts and the engine's
//! pulls. Policies are tried in order; only what may pass goes on to the next one, never an answer such as "denied" or "not
//! found", so that no list of policies opens what the registry keeps closed.

mod ahead;
mod bring;
mod client;
mod desk;
mod facts;
#[cfg(feature = "fake-engine")]
mod fake;
mod fault;
pub mod flight;
mod inquiry;
mod leases;
mod login;
mod pull;
mod registries;
mod room;
mod words;

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::{Engine, Tagging};
use crate::image::decide::{DigestNames, Pull, Refusal, Use, WhyPull, WhyUse};
use crate::image::{Fit, ImageFacts, Platform, ResolvedImage};
use crate::joblog::JobLog;
use crate::outcome::Failure;
use crate::plan::{ImageWish, check_platform, wrong_platform};
use crate::settings::{PullPolicy, Settings};
use crate::store::{self, How};

pub use ahead::{Arrival, Arrived, Coming, Look, OnDecided};
pub use client::Client;
pub use desk::Desk;
pub use fault::{Cause, PullFault};
pub use leases::Leases;
pub use login::{Login, Logins, operator_dir};
pub use pull::Meter;
pub use registries::{Online, Registries};
pub use room::{RoomRule, Storage};

use bring::Brought;
use inquiry::{Decided, Inquiry, reason};

/// Brings images to this host for one client.
pub struct Fetcher<'a, E, R> {
    /// The engine.
    pub engine: &'a E,
    /// Facts and registries.
    pub desk: &'a Desk<R>,
    /// Whom they are brought for.
    pub client: &'a Client,
    /// The settings.
    pub settings: &'a Settings,
    /// The engine's own platform.
    pub native: &'a Platform,
    /// Its logins.
    pub logins: &'a Logins,
    /// Its leases.
    pub leases: &'a Leases,
    /// How it gets room.
    pub storage: &'a Storage,
    /// The job log.
    pub log: &'a JobLog,
}

/// An image that a job gets, and what it took.
struct Got {
    facts: ImageFacts,
    /// The digest that it is known by; `None`: it came from no registry.
    digest: Option<String>,
    /// Why it was used as it is; `None`: it was pulled.
    why: Option<WhyUse>,
    /// Why it was pulled; `None`: it was used as it is.
    lacked: Option<WhyPull>,
    download: Option<Duration>,
    extract: Option<Duration>,
    /// Compressed bytes that were fetched for it; `None`: not known.
    bytes: Option<u64>,
    /// Whether another process pulled it.
    joined: bool,
}

impl Got {
    /// Says how the job came to it.
    fn how(&self) -> How {
        match self.lacked {
            None => How::Here,
            Some(_) if self.joined => How::Joined,
            Some(WhyPull::Missing) => How::Missing,
            Some(WhyPull::Moved) => How::Moved,
            Some(WhyPull::Foreign) => How::Foreign,
        }
    }
}

/// An image settled, and what that took.
pub struct Settled {
    /// The image.
    pub image: ResolvedImage,
    /// The digest that it is known by in its registry; `None`: it came from none.
    pub digest: Option<String>,
    /// Whether it was here.
    pub warm: bool,
    /// From the first look to the last.
    pub took: Duration,
    /// The time that layers were downloaded.
    pub download: Option<Duration>,
    /// The time that layers were unpacked.
    pub extract: Option<Duration>,
}

impl<E: Engine, R: Registries> Fetcher<'_, E, R> {
    /// Makes sure that an image is on this host and that this job may have it, by the wish's policies.
    pub async fn resolve(&self, wish: &ImageWish) -> Result<Settled, Failure> {
        let began = Instant::now();
        let name = wish.reference.familiar();
        let mut inquiry = match self.inquire(wish, None).await {
            Ok(inquiry) => inquiry,
            Err(fault) => return Err(fault.failure(wish)),
        };
        let mut last: Option<(PullPolicy, PullFault)> = None;
        for policy in &wish.policies {
            let decided = self.decide(&mut inquiry, *policy).await;
            // What the next policy comes to as well is said once, by the failure.
            if let Some((policy, fault)) = last.filter(|(_, fault)| decided.as_ref().err() != Some(fault)) {
                let words = fault.words();
                self.log.warn(format!("WARNING: {} {name}, pull policy {policy}: {words}", wish.purpose));
            }
            let got = match decided {
                Ok(Decided::Use(found)) => self.use_it(&inquiry, *found).await,
                Ok(Decided::Pull(wanted)) => self.pull(&inquiry, *wanted).await,
                Err(fault) => Err(fault),
            };
            match got {
                Ok(got) => return self.settle(wish, got, *policy, began),
                Err(fault) if fault.is_final() => return Err(self.failure(&inquiry, fault).await),
                Err(fault) => last = Some((*policy, fault)),
            }
        }
        let fault = last.map(|(_, fault)| fault);
        let fault = fault.unwrap_or_else(|| PullFault::Transient("no pull policy is left".to_owned()));
        Err(self.failure(&inquiry, fault).await)
    }

    async fn use_it(&self, inquiry: &Inquiry<'_>, found: Use) -> Result<Got, PullFault> {
        let Use { why, facts, digest, retag, .. } = found;
        if let WhyUse::Offline { words, .. } = &why {
            self.log.warn(format!(
                "WARNING: {} {} {words}: the copy on this host is used, which may be out of date",
                inquiry.wish.purpose,
                inquiry.wish.reference.familiar()
            ));
        }
        if retag {
            let tagged = self.engine.tag(&facts.id, &inquiry.wish.reference.normalized()).await;
            if tagged.map_err(PullFault::Engine)? == Tagging::ImageMissing {
                return Err(PullFault::Transient("the image went while it was looked at".to_owned()));
            }
        }
        if let Some(digest) = &digest {
            self.learn_content(inquiry, digest, &facts).await;
        }
        Ok(Got {
            facts,
            digest,
            why: Some(why),
            lacked: None,
            download: None,
            extract: None,
            bytes: Some(0),
            joined: false,
        })
    }

    async fn pull(&self, inquiry: &Inquiry<'_>, wanted: Pull) -> Result<Got, PullFault> {
        let brought = self.bring(inquiry, &wanted).await?;
        self.storage.pulled();
        let (digest, lacked) = (Some(wanted.digest), Some(wanted.why));
        let Brought { facts, download, extract, bytes, joined } = brought;
        Ok(Got { facts, digest, why: None, lacked, download, extract, bytes, joined })
    }

    fn settle(
        &self,
        wish: &ImageWish,
        got: Got,
        policy: PullPolicy,
        began: Instant,
    ) -> Result<Settled, Failure> {
        let how = got.how();
        let Got { facts, digest, why, download, extract, bytes, .. } = got;
        let (platform, warning) = check_platform(wish, &facts, &self.settings.job, self.native)?;
        if let Some(warning) = warning {
            self.log.warn(warning);
        }
        let name = wish.reference.familiar().to_owned();
        // Where a digest under a repository's name says nothing, the ID does.
        let by_id = !platform.is_empty() || self.desk.names == DigestNames::OnlyNamed;
        let pinned = facts.pinned(&wish.reference, by_id);
        let known = digest.as_deref().unwrap_or(&facts.id);
        let reason = why.as_ref().map_or_else(|| "pulled".to_owned(), reason);
        self.log.line(format!("Using {} {name} ({known}), pull policy {policy}: {reason}", wish.purpose));
        let took = began.elapsed();
        let content = digest.clone().map(|digest| store::ContentKey { digest, platform: facts.platform() });
        let came = store::JobImage {
            job: self.leases.job().to_owned(),
            at: self.desk.now(),
            name: wish.reference.normalized(),
            purpose: wish.purpose.clone(),
            digest: digest.clone(),
            how,
            unproved: why == Some(WhyUse::Readable),
            waited: took,
            bytes: bytes.filter(|_| !matches!(how, How::Here | How::Joined)),
        };
        self.desk.learn(|batch| {
            batch.job_images.push(came);
            batch.uses.push(store::Use {
                reference: wish.reference.clone(),
                project: self.client.project.clone(),
                source: self.client.source.clone(),
                content,
                waited: took,
            });
        });
        let image = ResolvedImage { name, pinned, platform, facts };
        Ok(Settled { image, digest, warm: why.is_some(), took, download, extract })
    }

    async fn failure(&self, inquiry: &Inquiry<'_>, fault: PullFault) -> Failure {
        let wish = inquiry.wish;
        if fault == PullFault::NoSuchPlatform {
            let request = crate::engine::PullRequest {
                reference: wish.reference.normalized(),
                platform: String::new(),
                login: inquiry.login.as_ref().map(Login::for_engine),
            };
            let has = self.engine.platforms(&request).await.unwrap_or_default();
            return wrong_platform(wish, wish.platform.as_ref().unwrap_or(self.native), &has);
        }
        if let PullFault::Refused(Refusal::OtherPlatform { has }) = &fault {
            return wrong_platform(wish, wish.platform.as_ref().unwrap_or(self.native), has);
        }
        let may_be_meant = inquiry.local.as_ref().is_some_and(|facts| facts.repo_digests.is_empty());
        let failure = fault.failure(wish);
        match &fault {
            // The author may mean what was built here, which is not what the registry was asked about.
            PullFault::Refused(Refusal::Unreachable(_) | Refusal::Limited { .. }) if may_be_meant => {
                Refusal::LocalOnly.hints().into_iter().fold(failure, Failure::hint)
            }
            _ => failure,
        }
    }
}

/// An image of another platform under the same name does not count as being here.
fn fits(wish: &ImageWish, facts: &ImageFacts, native: &Platform) -> bool {
    let has = facts.platform();
    match &wish.platform {
        Some(asked) => crate::plan::wish::satisfies(&has, asked),
        None => has.runs_on(native) != Fit::Foreign,
    }
}
