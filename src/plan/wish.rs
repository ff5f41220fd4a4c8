//! Which images a job gets, as far as that can be decided before anything is looked at.

use crate::image::{
    Fit, ImageFacts, ImageRef, Platform, check_image, decide_policies, decide_service_user, decide_user,
    list_platforms,
};
use crate::job::spec::split_aliases;
use crate::job::{ImageRequest, JobSpec, ServiceRequest};
use crate::outcome::{Failure, Fault};
use crate::settings::{JobSettings, PullPolicy};

const GITLAB_HELPER: &str = "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper";

/// An image that a container shall be made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageWish {
    /// What it is for, in a sentence: `build image`, `service`, `helper image`.
    pub purpose: String,
    /// The image.
    pub reference: ImageRef,
    /// Pull policies in fallback order.
    pub policies: Vec<PullPolicy>,
    /// The platform that was asked for; `None`: the engine's own.
    pub platform: Option<Platform>,
    /// Who chose it, and so has to act where it is not to be had.
    pub chosen_by: Fault,
}

/// A service that shall run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceWish {
    /// Its image.
    pub image: ImageWish,
    /// Its user; empty: the image's own.
    pub user: String,
    /// Its ENTRYPOINT; `None`: the image's own.
    pub entrypoint: Option<Vec<String>>,
    /// Its CMD; `None`: the image's own.
    pub command: Option<Vec<String>>,
    /// Its host names.
    pub aliases: Vec<String>,
    /// Its environment.
    pub env: Vec<String>,
}

/// All images of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// The helper image.
    pub helper: ImageWish,
    /// The build image.
    pub build: ImageWish,
    /// The build container's user; empty: the image's own.
    pub user: String,
    /// The build container's ENTRYPOINT; `None`: the image's own.
    pub entrypoint: Option<Vec<String>>,
    /// The services.
    pub services: Vec<ServiceWish>,
    /// Lines for the job log.
    pub notes: Vec<String>,
}

impl Wishes {
    /// Returns the images of all containers.
    pub fn images(&self) -> impl Iterator<Item = &ImageWish> {
        [&self.build, &self.helper].into_iter().chain(self.services.iter().map(|service| &service.image))
    }

    /// Decides all images of a job, or says why it may not have one.
    pub fn decide(job: &JobSpec, settings: &JobSettings, native: &Platform) -> Result<Self, Failure> {
        let mut notes = Vec::new();
        let own = job.expand(&settings.image);
        let name = if job.image.name.is_empty() { own.clone() } else { job.image.name.clone() };
        if name.is_empty() {
            return Err(Failure::job("the job names no image, and this host has no default one")
                .hint("write image: in .gitlab-ci.yml; the host's operator can set image under [job]"));
        }
        let chosen_by = if job.image.name.is_empty() { Fault::System } else { Fault::Job };
        let build = ImageWish { chosen_by, ..wish("build image", &name, &job.image, settings, native)? };
        check_image(&name, &[&own, &settings.image], &settings.allowed_images, "allowed_images")?;
        let user = decide_user(&job.image.user, &settings.user, &settings.allowed_users)?.unwrap_or_default();
        let entrypoint = entrypoint(&job.image, "image", settings, &mut notes);
        let services = services(job, settings, native, &mut notes)?;
        Ok(Self { helper: helper(job, settings, native)?, build, user, entrypoint, services, notes })
    }
}

fn entrypoint(
    image: &ImageRequest,
    what: &str,
    settings: &JobSettings,
    notes: &mut Vec<String>,
) -> Option<Vec<String>> {
    if settings.disable_entrypoint_overwrite && image.entrypoint.is_some() {
        notes
            .push(format!("WARNING: {what}:entrypoint is ignored: this host does not let jobs overwrite it"));
        return None;
    }
    image.entrypoint.clone()
}

fn wish(
    purpose: &str,
    name: &str,
    request: &ImageRequest,
    settings: &JobSettings,
    native: &Platform,
) -> Result<ImageWish, Failure> {
    let reference: ImageRef = name.parse().map_err(|bad| {
        Failure::job(format!("{purpose}: {bad}"))
            .hint("variables in a name that are not set expand to nothing")
    })?;
    let policies =
        decide_policies(&request.pull_policy, &settings.pull_policy, &settings.allowed_pull_policies)?;
    let platform = match request.platform.as_str() {
        "" => settings.platform.clone(),
        text => Some(text.parse::<Platform>().map_err(|bad| Failure::job(format!("{purpose}: {bad}")))?),
    };
    if let Some(platform) = &platform
        && platform.runs_on(native) == Fit::Foreign
        && !settings.allow_emulation
    {
        return Err(Failure::job(format!("{purpose} {name:?} is asked for {platform}, but this host is {native}"))
            .hint("leave the platform out, or run the job on a runner of that architecture")
            .hint("the host's operator can allow emulation, at several times the run time: allow_emulation under [job]"));
    }
    Ok(ImageWish { purpose: purpose.to_owned(), reference, policies, platform, chosen_by: Fault::Job })
}

/// GitLab's architecture words in the tags of its helper image.
fn helper_architecture(native: &Platform) -> &str {
    match native.architecture.as_str() {
        "amd64" => "x86_64",
        other => other,
    }
}

fn helper(job: &JobSpec, settings: &JobSettings, native: &Platform) -> Result<ImageWish, Failure> {
    let name = match settings.helper_image.as_str() {
        "" => {
            let version = job
                .runner_version
                .as_deref()
                .filter(|v| v.chars().all(|c| c.is_ascii_alphanumeric() || "._-~".contains(c)));
            let flavour = match settings.helper_image_flavor.as_str() {
                "" | "alpine" => String::new(),
                flavour => format!("{flavour}-"),
            };
            let architecture = helper_architecture(native);
            match version {
                Some(version) => format!("{GITLAB_HELPER}:{flavour}{architecture}-v{version}"),
                None => format!("{GITLAB_HELPER}:{flavour}{architecture}-latest"),
            }
        }
        name => job.expand(name),
    };
    let reference: ImageRef = name.parse().map_err(|bad| {
        Failure::system(format!("helper image: {bad}"))
            .hint("the host's operator sets helper_image under [job]")
    })?;
    Ok(ImageWish {
        purpose: "helper image".to_owned(),
        reference,
        policies: settings.helper_pull_policy.clone(),
        platform: None,
        chosen_by: Fault::System,
    })
}

/// Returns the services of a job in their order, the settings' own first, and whether each is one of those.
pub fn requested_services(job: &JobSpec, settings: &JobSettings) -> Vec<(ServiceRequest, bool)> {
    let configured = settings.services.iter().map(|s| {
        let request = ServiceRequest {
            image: ImageRequest {
                name: job.expand(&s.name),
                entrypoint: s.entrypoint.clone(),
                ..ImageRequest::default()
            },
            aliases: split_aliases(&job.expand(&s.alias)),
            command: s.command.clone(),
            variables: s
                .environment
                .iter()
                .filter_map(|line| line.split_once('='))
                .map(|(name, value)| (name.to_owned(), job.expand(value)))
                .collect(),
        };
        (request, true)
    });
    let asked = job.services.iter().map(|s| (s.clone(), false));
    configured.chain(asked).collect()
}

fn services(
    job: &JobSpec,
    settings: &JobSettings,
    native: &Platform,
    notes: &mut Vec<String>,
) -> Result<Vec<ServiceWish>, Failure> {
    let all = requested_services(job, settings);
    if settings.network_mode == "none" && !all.is_empty() {
        return Err(Failure::job("the job has services, but this host runs jobs without a network")
            .hint("network_mode = \"none\" is the host operator's setting"));
    }
    if let Some(limit) = settings.services_limit
        && all.len() > limit as usize
    {
        return Err(Failure::job(format!("the job has {} services, this host allows {limit}", all.len()))
            .hint("services_limit under [job] is the host operator's setting"));
    }
    let own: Vec<String> = settings.services.iter().map(|s| job.expand(&s.name)).collect();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let mut taken: Vec<String> = vec!["build".to_owned()];
    let mut wishes = Vec::new();
    for (request, configured) in &all {
        let name = &request.image.name;
        if name.is_empty() {
            return Err(
                Failure::job("a service names no image").hint("variables that are not set expand to nothing")
            );
        }
        let chosen_by = if *configured { Fault::System } else { Fault::Job };
        let image = ImageWish { chosen_by, ..wish("service", name, &request.image, settings, native)? };
        check_image(name, &own, &settings.allowed_services, "allowed_services")?;
        let user = decide_service_user(&request.image.user, &settings.user, &settings.allowed_users)?;
        let mut names = image.reference.service_aliases();
        names.extend(request.aliases.iter().cloned());
        let mut aliases = Vec::new();
        for alias in names {
            if taken.contains(&alias) {
                notes.push(format!(
                    "WARNING: the host name {alias} is taken already, service {name} does without it"
                ));
            } else if !is_host_name(&alias) {
                notes.push(format!("WARNING: {alias:?} is no host name, service {name} does without it"));
            } else {
                taken.push(alias.clone());
                aliases.push(alias);
            }
        }
        let entrypoint = if *configured {
            request.image.entrypoint.clone()
        } else {
            entrypoint(&request.image, "service", settings, notes)
        };
        wishes.push(ServiceWish {
            image,
            user: user.unwrap_or_default(),
            entrypoint,
            command: request.command.clone(),
            aliases,
            env: job.service_env(request),
        });
    }
    Ok(wishes)
}

fn is_host_name(name: &str) -> bool {
    name.len() <= 253 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Checks that an image that is here runs here. Returns the platform to ask for on create (empty: the engine's own)
/// and a warning where it runs under emulation.
pub fn check_platform(
    wish: &ImageWish,
    facts: &ImageFacts,
    settings: &JobSettings,
    native: &Platform,
) -> Result<(String, Option<String>), Failure> {
    let has = facts.platform();
    if let Some(asked) = &wish.platform
        && !satisfies(&has, asked)
    {
        return Err(wrong_platform(wish, asked, std::slice::from_ref(&has)));
    }
    match has.runs_on(native) {
        Fit::Native => Ok((String::new(), None)),
        Fit::Compat32 => Ok((has.to_string(), None)),
        Fit::Foreign if settings.allow_emulation => {
            let warning = format!(
                "WARNING: {} {} is for {has} and runs under emulation on this {native} host: expect several times the run time",
                wish.purpose,
                wish.reference.familiar()
            );
            Ok((has.to_string(), Some(warning)))
        }
        Fit::Foreign => Err(wrong_platform(wish, native, std::slice::from_ref(&has))),
    }
}

/// Returns whether an image of the platform `has` is what was asked for.
pub fn satisfies(has: &Platform, asked: &Platform) -> bool {
    has.meets(asked)
}

/// Makes the failure for an image that has no variant for the platform wanted, listing what it has.
pub fn wrong_platform(wish: &ImageWish, wanted: &Platform, has: &[Platform]) -> Failure {
    let has: Vec<&Platform> = has.iter().filter(|p| p.is_known()).collect();
    let list = if has.is_empty() { String::new() } else { format!("; it has {}", list_platforms(has)) };
    let message = format!("{} {} has no variant for {wanted}{list}", wish.purpose, wish.reference.familiar());
    let failure = match wish.chosen_by {
        Fault::Job => Failure::job(message),
        Fault::System => Failure::system(message),
    };
    failure.hint("use an image built for this architecture, or run the job on a runner of the image's own")
}

#[cfg(test)]
#[path = "wish_tests.rs"]
mod tests;
