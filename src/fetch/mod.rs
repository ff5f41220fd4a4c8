//! The one way in: how an image that a job may have comes to be on this host.
//!
//! A shell: it joins the rules of [`crate::image`] with the engine's pulls. Policies are tried in order; only a transient
//! failure goes on to the next one, never an answer such as "denied" or "not found", so that no list of policies opens
//! what the registry keeps closed.

mod fault;
pub mod flight;
mod login;
mod pull;

use crate::engine::{Engine, PullRequest};
use crate::image::{Fit, ImageFacts, Platform, ResolvedImage};
use crate::job::JobSpec;
use crate::joblog::JobLog;
use crate::outcome::Failure;
use crate::plan::{ImageWish, check_platform, wrong_platform};
use crate::settings::{PullPolicy, Settings};

pub use fault::PullFault;
pub use login::{Logins, operator_dir};

/// Brings images to this host for one job.
pub struct Fetcher<'a, E> {
    /// The engine.
    pub engine: &'a E,
    /// The job.
    pub job: &'a JobSpec,
    /// The settings.
    pub settings: &'a Settings,
    /// The engine's own platform.
    pub native: &'a Platform,
    /// The job's logins.
    pub logins: &'a Logins,
    /// The job log.
    pub log: &'a JobLog,
}

impl<E: Engine> Fetcher<'_, E> {
    /// Makes sure that an image is on this host, by the wish's policies.
    pub async fn resolve(&self, wish: &ImageWish) -> Result<ResolvedImage, Failure> {
        let name = wish.reference.familiar();
        let mut last = None;
        for policy in &wish.policies {
            match self.by_policy(wish, *policy).await {
                Ok(facts) => return self.settle(wish, facts, *policy).await,
                Err(fault) if fault.is_final() => return Err(self.failure(wish, fault).await),
                Err(fault) => {
                    self.log.warn(format!(
                        "WARNING: {} {name}, pull policy {policy}: {}",
                        wish.purpose,
                        fault.words()
                    ));
                    last = Some(fault);
                }
            }
        }
        let fault = last.unwrap_or(PullFault::NotHere);
        Err(self.failure(wish, fault).await)
    }

    async fn by_policy(&self, wish: &ImageWish, policy: PullPolicy) -> Result<ImageFacts, PullFault> {
        let pulls = wish.reference.id().is_none();
        if policy == PullPolicy::Always && pulls {
            return self.pull(wish).await;
        }
        let local = self.engine.image(&wish.reference.normalized()).await.map_err(PullFault::Engine)?;
        match local {
            Some(facts) if fits(wish, &facts, self.native) || !pulls => Ok(facts),
            Some(_) if policy == PullPolicy::Never => Err(PullFault::OtherPlatformHere),
            _ if policy == PullPolicy::Never || !pulls => Err(PullFault::NotHere),
            _ => self.pull(wish).await,
        }
    }

    async fn pull(&self, wish: &ImageWish) -> Result<ImageFacts, PullFault> {
        self.log.line(format!("Pulling {} {} ...", wish.purpose, wish.reference.familiar()));
        let request = self.request(wish).await;
        pull::with_retries(self, &request).await?;
        match self.engine.image(&wish.reference.normalized()).await.map_err(PullFault::Engine)? {
            Some(facts) => Ok(facts),
            None => Err(PullFault::Transient("the image went again right after the pull".to_owned())),
        }
    }

    async fn request(&self, wish: &ImageWish) -> PullRequest {
        let platform = match &wish.platform {
            Some(platform) if platform.runs_on(self.native) != Fit::Native => platform.to_string(),
            _ => String::new(),
        };
        let login = self.logins.find(&wish.reference, self.log).await;
        PullRequest { reference: wish.reference.normalized(), platform, login }
    }

    async fn settle(
        &self,
        wish: &ImageWish,
        facts: ImageFacts,
        policy: PullPolicy,
    ) -> Result<ResolvedImage, Failure> {
        let (platform, warning) = check_platform(wish, &facts, &self.settings.job, self.native)?;
        if let Some(warning) = warning {
            self.log.warn(warning);
        }
        let name = wish.reference.familiar().to_owned();
        let pinned = facts.pinned(&wish.reference, !platform.is_empty());
        let digest = pinned.rsplit('@').next().unwrap_or_default();
        self.log.line(format!("Using {} {name} ({digest}), pull policy {policy}", wish.purpose));
        Ok(ResolvedImage { name, pinned, platform, facts })
    }

    async fn failure(&self, wish: &ImageWish, fault: PullFault) -> Failure {
        if fault == PullFault::NoSuchPlatform {
            let request = self.request(wish).await;
            let has = self.engine.platforms(&request).await.unwrap_or_default();
            return wrong_platform(wish, wish.platform.as_ref().unwrap_or(self.native), &has);
        }
        fault.failure(wish)
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
