//! The [`JobPlan`]: every object a job needs, decided.

use super::containers::{self, Context};
use super::script::{self, StageOptions};
use super::spec::{ContainerSpec, Labels, MountSpec, NetworkSpec, NetworkUse, VolumeSpec};
use super::wish::{ServiceWish, Wishes};
use crate::image::ResolvedImage;
use crate::job::names::{LABEL_JOB, LABEL_KEPT, LABEL_ROLE, VolumeName};
use crate::job::owner::LABEL_OWNER;
use crate::job::{Feature, JobSpec, Names, Owner};
use crate::outcome::Failure;
use crate::settings::{JobSettings, Settings, VolumeSetting};

/// What can be made before any image is known: network and volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// The network; `None` where `network_mode` names another one.
    pub network: Option<NetworkSpec>,
    /// The volumes.
    pub volumes: Vec<VolumeSpec>,
    /// What every container of the job mounts.
    pub mounts: Vec<MountSpec>,
    /// Directories that all users may write to.
    pub open_directories: Vec<String>,
    /// Lines for the job log.
    pub notes: Vec<String>,
}

/// How it is told that a service is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// The image's own HEALTHCHECK.
    Healthcheck,
    /// One of these TCP ports accepts a connection.
    Ports(Vec<u16>),
    /// There is nothing to go by.
    Unknown,
}

/// A service, decided.
#[derive(Debug, Clone, PartialEq)]
pub struct ServicePlan {
    /// Its container.
    pub container: ContainerSpec,
    /// Its host names.
    pub aliases: Vec<String>,
    /// How to tell that it is ready.
    pub readiness: Readiness,
}

/// All containers of a job, decided.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPlan {
    /// The helper container.
    pub helper: ContainerSpec,
    /// Whether the builds volume may hold what an earlier job left: the helper, which clears it away, has to be ready
    /// before the services are started, since they mount it too.
    pub helper_first: bool,
    /// The build container.
    pub build: ContainerSpec,
    /// Whether the build container is started at once: it has no ENTRYPOINT that could use the checkout.
    pub start_build: bool,
    /// The services.
    pub services: Vec<ServicePlan>,
}

/// Labels of an object of a job. Who only needs names leaves the owner out.
pub fn labels(
    job: &JobSpec,
    names: &Names,
    settings: &JobSettings,
    owner: Option<&Owner>,
    role: &str,
) -> Labels {
    let mut labels: Labels =
        settings.container_labels.iter().map(|(k, v)| (k.clone(), job.expand(v))).collect();
    labels.extend(job.facts.iter().map(|(k, v)| (format!("com.gitlab.gitlab-runner.{k}"), v.clone())));
    labels.insert("com.gitlab.gitlab-runner.managed".to_owned(), "true".to_owned());
    labels.insert("com.gitlab.gitlab-runner.type".to_owned(), role.to_owned());
    labels.insert(LABEL_JOB.to_owned(), names.key().to_owned());
    labels.insert(LABEL_ROLE.to_owned(), role.to_owned());
    labels.extend(owner.map(owner_label));
    labels
}

fn owner_label(owner: &Owner) -> (String, String) {
    (LABEL_OWNER.to_owned(), owner.to_string())
}

fn volume(job: &JobSpec, names: &Names, owner: Option<&Owner>, name: VolumeName, role: &str) -> VolumeSpec {
    let mut labels = Labels::from([
        (LABEL_ROLE.to_owned(), role.to_owned()),
        ("com.gitlab.gitlab-runner.managed".to_owned(), "true".to_owned()),
        ("com.gitlab.gitlab-runner.project.id".to_owned(), job.project_id.to_string()),
    ]);
    if name.kept {
        labels.insert(LABEL_KEPT.to_owned(), "true".to_owned());
    } else {
        labels.insert(LABEL_JOB.to_owned(), names.key().to_owned());
        labels.extend(owner.map(owner_label));
    }
    VolumeSpec { name: name.name, kept: name.kept, labels }
}

impl Ground {
    /// Decides network and volumes. The owner is for their labels only.
    pub fn decide(
        job: &JobSpec,
        names: &Names,
        settings: &Settings,
        owner: Option<&Owner>,
    ) -> Result<Self, Failure> {
        let rules = &settings.job;
        let mut notes = Vec::new();
        let network = rules.network_mode.is_empty().then(|| NetworkSpec {
            name: names.network(),
            ipv6: rules.enable_ipv6.then(|| names.ipv6_subnet()),
            mtu: rules.network_mtu,
            labels: labels(job, names, rules, owner, "network"),
        });
        let mut ground = Self {
            network,
            volumes: Vec::new(),
            mounts: Vec::new(),
            open_directories: Vec::new(),
            notes: Vec::new(),
        };
        let project = job.project_path.as_str();
        let id = u64::try_from(job.project_id).unwrap_or_default();
        let host_paths = rules.volumes_allowed_projects.allows((!project.is_empty()).then_some(project), id);
        for setting in &rules.volumes {
            match setting {
                VolumeSetting::Project { path } => ground.add_project_volume(job, names, rules, owner, path),
                VolumeSetting::Named { name: source, path, options }
                | VolumeSetting::Bind { source, path, options } => {
                    if host_paths {
                        ground.mounts.push(MountSpec {
                            source: source.clone(),
                            target: path.clone(),
                            options: options.clone(),
                        });
                    } else {
                        notes.push(format!("{path} of this host is not mounted: volumes_allowed_projects leaves this project out"));
                    }
                }
            }
        }
        let builds_dir = &settings.driver.builds_dir;
        if !ground.covers(builds_dir) {
            let name = names.builds_volume();
            ground.mount(volume(job, names, owner, name, "builds"), builds_dir);
        }
        if !ground.covers(&settings.driver.cache_dir) {
            ground.add_project_volume(job, names, rules, owner, &settings.driver.cache_dir);
        }
        ground.notes = notes;
        Ok(ground)
    }

    /// Returns whether the job's containers can talk to the engine, by its socket on the host.
    pub fn reaches_engine(&self) -> bool {
        self.mounts.iter().any(|mount| reaches_engine(&mount.source))
    }

    fn covers(&self, path: &str) -> bool {
        self.mounts.iter().any(|m| m.target.trim_end_matches('/') == path.trim_end_matches('/'))
    }

    /// Returns whether nothing can be in a directory yet: its volume is made for this job.
    fn is_fresh(&self, path: &str) -> bool {
        let mut mounts =
            self.mounts.iter().filter(|m| m.target.trim_end_matches('/') == path.trim_end_matches('/'));
        mounts.all(|m| self.volumes.iter().any(|v| v.name == m.source && !v.kept))
    }

    fn add_project_volume(
        &mut self,
        job: &JobSpec,
        names: &Names,
        rules: &JobSettings,
        owner: Option<&Owner>,
        path: &str,
    ) {
        let name = names.project_volume(path, rules.disable_cache);
        self.mount(volume(job, names, owner, name, "cache"), path);
    }

    fn mount(&mut self, volume: VolumeSpec, path: &str) {
        self.mounts.push(MountSpec {
            source: volume.name.clone(),
            target: path.to_owned(),
            options: String::new(),
        });
        self.open_directories.push(path.to_owned());
        self.volumes.push(volume);
    }
}

/// The images of a job, as they are on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobImages {
    /// The helper's.
    pub helper: ResolvedImage,
    /// The build container's.
    pub build: ResolvedImage,
    /// The services', in their order.
    pub services: Vec<ResolvedImage>,
}

impl JobPlan {
    /// Decides all containers.
    pub fn decide(context: &Context<'_>, wishes: &Wishes, images: &JobImages) -> Self {
        let Context { job, names, settings, ground, .. } = *context;
        let rules = &settings.job;
        let mut helper = containers::base(context, &names.helper(), "helper", &images.helper);
        helper.entrypoint = Some(vec![String::new()]);
        let temporary = temporary_directory(job, &settings.driver.builds_dir);
        helper.command = Some(script::helper(
            &settings.driver.builds_dir,
            job.needs_runner_binary,
            HELPER_UMASK,
            &temporary,
            &ground.open_directories,
        ));
        helper.hostname = containers::hostname(context);
        helper.user = "0:0".to_owned();
        helper.env = job.container_env();
        if let Some(binary) = &rules.helper_binary {
            helper.mounts.push(MountSpec {
                source: binary.display().to_string(),
                target: "/usr/local/bin/gitlab-runner".to_owned(),
                options: "ro".to_owned(),
            });
        }
        let (build, start_build) = build(context, wishes, &images.build);
        let helper_first = !temporary.is_empty() && !ground.is_fresh(&settings.driver.builds_dir);
        let services = wishes
            .services
            .iter()
            .zip(&images.services)
            .enumerate()
            .map(|(index, (wish, image))| service(context, index, wish, image))
            .collect();
        Self { helper, helper_first, build, start_build, services }
    }
}

/// The helper writes for all users, as the docker executor's does.
const HELPER_UMASK: &str = "0000";

/// Returns the directory where the job's scripts keep tokens and file variables; empty where it is not below the builds
/// directory as it should be.
fn temporary_directory(job: &JobSpec, builds_dir: &str) -> String {
    let directory = job.variable("RUNNER_TEMP_PROJECT_DIR").unwrap_or_default();
    let is_it = is_below(directory, builds_dir) && directory.ends_with(".tmp");
    if is_it { directory.to_owned() } else { String::new() }
}

/// Returns whether a path is written as one below a directory: nothing in it leads up or elsewhere, links aside.
pub fn is_below(path: &str, directory: &str) -> bool {
    let below = path.strip_prefix(directory.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/'));
    below.is_some_and(|below| below.split('/').all(|part| !matches!(part, "" | "." | "..")))
}

/// Tells whether a path of the host is the engine's socket or a directory that holds it.
pub fn reaches_engine(source: &str) -> bool {
    let source = source.trim_end_matches('/');
    let is_socket = source.ends_with("/docker.sock") || source.ends_with("/podman.sock");
    is_socket || matches!(source, "" | "/run" | "/var" | "/var/run" | "/run/podman" | "/run/docker")
}

/// Decides what a stage's wrapper is told.
pub fn stage_options(settings: &JobSettings, in_helper: bool, state: &str, mark: &str) -> StageOptions {
    let mark = mark.to_owned();
    let memory = settings.limits.memory.map_or_else(|| "none".to_owned(), |m| m.to_string());
    if in_helper {
        StageOptions {
            ready_file: script::READY_FILE.to_owned(),
            state: String::new(),
            memory,
            umask: HELPER_UMASK.to_owned(),
            mark,
        }
    } else {
        StageOptions {
            ready_file: String::new(),
            state: state.to_owned(),
            memory,
            umask: String::new(),
            mark,
        }
    }
}

/// Returns the ENTRYPOINT that a container ends up with; empty: none.
pub fn effective_entrypoint<'a>(asked: Option<&'a [String]>, image: &'a [String]) -> &'a [String] {
    match asked {
        Some([only]) if only.is_empty() => &[],
        Some(entrypoint) => entrypoint,
        None if image.iter().all(String::is_empty) => &[],
        None => image,
    }
}

fn build(context: &Context<'_>, wishes: &Wishes, image: &ResolvedImage) -> (ContainerSpec, bool) {
    let Context { job, names, settings, .. } = *context;
    let rules = &settings.job;
    let mut spec = containers::base(context, &names.build(), "build", image);
    let real = !effective_entrypoint(wishes.entrypoint.as_deref(), &image.facts.entrypoint).is_empty();
    spec.entrypoint = wishes.entrypoint.clone();
    spec.command = Some(if real { script::probe() } else { script::idle() });
    spec.open_stdin = real;
    spec.labels
        .insert(containers::LABEL_ENTRYPOINT.to_owned(), if real { "real" } else { "none" }.to_owned());
    spec.user = wishes.user.clone();
    spec.env = job.container_env();
    spec.init = rules.init && !rules.no_init_images.matches(&image.name);
    spec.privileged = rules.privileged
        && containers::may_be_privileged(context, &rules.allowed_privileged_images, &image.name);
    spec.group_add = rules.group_add.clone();
    spec.hostname = containers::hostname(context);
    if let NetworkUse::Joined { aliases, .. } = &mut spec.network {
        aliases.push("build".to_owned());
    }
    (spec, !real)
}

fn service(context: &Context<'_>, index: usize, wish: &ServiceWish, image: &ResolvedImage) -> ServicePlan {
    let Context { job, names, settings, .. } = *context;
    let rules = &settings.job;
    let mut spec = containers::base(context, &names.service(index), "service", image);
    spec.entrypoint = wish.entrypoint.clone();
    spec.command = wish.command.clone();
    spec.user = wish.user.clone();
    spec.env = wish.env.clone();
    spec.init = rules.services_init || job.has(Feature::InitEverywhere);
    spec.privileged = rules.services_privileged.unwrap_or(rules.privileged)
        && containers::may_be_privileged(context, &rules.allowed_privileged_services, &image.name);
    spec.limits = rules.service_limits.clone();
    spec.tmpfs = rules.services_tmpfs.clone();
    spec.security_opt = containers::security_opt(rules, &rules.services_security_opt);
    spec.cap_add = Vec::new();
    spec.cap_drop = Vec::new();
    spec.devices = containers::service_devices(rules, &image.name);
    spec.device_cgroup_rules = Vec::new();
    spec.labels.insert("com.gitlab.gitlab-runner.service".to_owned(), image.name.clone());
    if let NetworkUse::Joined { aliases, .. } = &mut spec.network {
        aliases.extend(wish.aliases.iter().cloned());
    }
    ServicePlan { container: spec, aliases: wish.aliases.clone(), readiness: readiness(wish, image) }
}

/// The image's HEALTHCHECK, else the port the service's own variable names, else the ports the image exposes.
fn readiness(wish: &ServiceWish, image: &ResolvedImage) -> Readiness {
    const MOST_PORTS: usize = 20;
    if image.facts.has_healthcheck {
        return Readiness::Healthcheck;
    }
    let variable = |env: &[String]| {
        env.iter()
            .find_map(|line| line.strip_prefix("HEALTHCHECK_TCP_PORT="))
            .and_then(|port| port.parse().ok())
    };
    if let Some(port) = variable(&wish.env).or_else(|| variable(&image.facts.env)) {
        return Readiness::Ports(vec![port]);
    }
    let mut ports: Vec<u16> = image
        .facts
        .exposed_ports
        .iter()
        .filter_map(|port| match port.split_once('/') {
            Some((number, "tcp")) => number.parse().ok(),
            Some(_) => None,
            None => port.parse().ok(),
        })
        .collect();
    ports.sort_unstable();
    ports.truncate(MOST_PORTS);
    if ports.is_empty() { Readiness::Unknown } else { Readiness::Ports(ports) }
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
