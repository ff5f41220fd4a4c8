//! What all containers of a job have in common.

use std::collections::BTreeMap;

use super::job::{Ground, labels};
use super::spec::{ContainerSpec, LogSpec, NetworkUse};
use crate::image::{Patterns, ResolvedImage};
use crate::job::{JobSpec, Names, Owner};
use crate::settings::{DeviceSetting, JobSettings, Settings};

/// The build container's label that says whether it has an ENTRYPOINT: `real` or `none`.
pub const LABEL_ENTRYPOINT: &str = "hearth.entrypoint";

/// What plans are made from.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The job.
    pub job: &'a JobSpec,
    /// Its names.
    pub names: &'a Names,
    /// The settings.
    pub settings: &'a Settings,
    /// Its network and volumes.
    pub ground: &'a Ground,
    /// The network's name or ID; unused with `network_mode`.
    pub network: &'a str,
    /// What the engine calls itself.
    pub engine: &'a str,
    /// Who vouches for the job.
    pub owner: &'a Owner,
}

/// Makes a container with everything that build, helper and services share; build and helper keep it as it is.
pub fn base(context: &Context<'_>, name: &str, role: &str, image: &ResolvedImage) -> ContainerSpec {
    let Context { job, names, settings, ground, network, engine, owner } = *context;
    let rules = &settings.job;
    ContainerSpec {
        name: name.to_owned(),
        image: image.pinned.clone(),
        platform: image.platform.clone(),
        entrypoint: None,
        command: None,
        user: String::new(),
        env: Vec::new(),
        working_dir: None,
        hostname: String::new(),
        open_stdin: false,
        mounts: ground.mounts.clone(),
        tmpfs: rules.tmpfs.clone(),
        network: match rules.network_mode.as_str() {
            "" => NetworkUse::Joined { network: network.to_owned(), aliases: Vec::new() },
            mode @ ("bridge" | "host" | "none") => NetworkUse::Mode(mode.to_owned()),
            other => NetworkUse::Joined { network: other.to_owned(), aliases: Vec::new() },
        },
        extra_hosts: rules.extra_hosts.clone(),
        dns: rules.dns.clone(),
        dns_search: rules.dns_search.clone(),
        init: true,
        privileged: false,
        cap_add: rules.cap_add.clone(),
        cap_drop: rules.cap_drop.clone(),
        security_opt: security_opt(rules, &rules.security_opt),
        userns_mode: rules.userns_mode.clone(),
        runtime: rules.runtime.clone(),
        limits: rules.limits.clone(),
        shm_size: rules.shm_size,
        ulimit: rules.ulimit.clone(),
        devices: rules.devices.clone(),
        device_cgroup_rules: rules.device_cgroup_rules.clone(),
        group_add: Vec::new(),
        log: log(rules, engine),
        labels: labels(job, names, rules, Some(owner), role),
    }
}

/// One small file a container: logs are read back only for services and trouble, and flash wears.
fn log(rules: &JobSettings, engine: &str) -> LogSpec {
    let podman = engine.starts_with("Podman");
    let driver = match rules.log_driver.as_str() {
        "" if podman => "k8s-file",
        "" => "local",
        driver => driver,
    };
    let size = format!("{}k", (rules.log_max_size.0 / 1024).max(16));
    let mut options = BTreeMap::new();
    if matches!(driver, "local" | "json-file" | "k8s-file") {
        options.insert("max-size".to_owned(), size);
    }
    if matches!(driver, "local" | "json-file") {
        options.insert("max-file".to_owned(), "1".to_owned());
    }
    if driver == "local" {
        options.insert("compress".to_owned(), "false".to_owned());
    }
    LogSpec { driver: driver.to_owned(), options }
}

/// Adds `no-new-privileges` where the settings want it.
pub fn security_opt(rules: &JobSettings, options: &[String]) -> Vec<String> {
    let mut options = options.to_vec();
    if rules.no_new_privileges {
        options.push("no-new-privileges:true".to_owned());
    }
    options
}

/// Returns whether privilege, where the settings give it at all, is for this image and project.
pub fn may_be_privileged(context: &Context<'_>, images: &Patterns, image: &str) -> bool {
    let path = context.job.project_path.as_str();
    let id = u64::try_from(context.job.project_id).unwrap_or_default();
    images.allows(image)
        && context.settings.job.privileged_allowed_projects.allows((!path.is_empty()).then_some(path), id)
}

/// Returns the devices of a service's image.
pub fn service_devices(rules: &JobSettings, image: &str) -> Vec<DeviceSetting> {
    rules
        .services_devices
        .iter()
        .filter(|(patterns, _)| patterns.matches(image))
        .flat_map(|(_, devices)| devices.clone())
        .collect()
}

/// Returns the build container's own host name.
pub fn hostname(context: &Context<'_>) -> String {
    let Context { job, settings, .. } = *context;
    if context.settings.job.network_mode == "host" {
        return String::new();
    }
    if !settings.job.hostname.is_empty() {
        return settings.job.hostname.clone();
    }
    let token = job.short_token.as_deref().unwrap_or("x").to_ascii_lowercase().replace('_', "-");
    let slot = job.slot.unwrap_or_default();
    format!("runner-{}-project-{}-concurrent-{slot}", token.trim_matches('-'), job.project_id)
}
