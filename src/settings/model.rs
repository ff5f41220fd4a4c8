//! The checked settings: what the rest of the program sees. Key names are the docker executor's wherever it has one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::cache::{CacheSettings, DaemonSettings};
use super::prefetch::PrefetchSettings;
use crate::image::decide::AccessRules;
use crate::image::{Mirrors, Patterns, Platform, ProjectPatterns, may_pull};
use crate::units::ByteSize;

/// All settings in force for one process: defaults, file and `[runner."NAME"]` overlay already merged and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What the config stage tells the runner.
    pub driver: DriverSettings,
    /// How to reach the engine.
    pub engine: EngineSettings,
    /// How registries are asked.
    pub registry: RegistrySettings,
    /// How long it counts that somebody could read an image.
    pub access: AccessRules,
    /// How pulls behave on weak links.
    pub pull: PullSettings,
    /// Where facts are kept.
    pub store: StoreSettings,
    /// Which images stay on this host.
    pub cache: CacheSettings,
    /// How the daemon looks after the host.
    pub daemon: DaemonSettings,
    /// What is brought ahead of jobs.
    pub prefetch: PrefetchSettings,
    /// What jobs get and may ask for.
    pub job: JobSettings,
    /// The name of the `[runner."NAME"]` overlay in force; `None` without one.
    pub runner: Option<String>,
}

/// `[driver]`: what the config stage tells the runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverSettings {
    /// Where sources are checked out, as the containers see it: an absolute path.
    pub builds_dir: String,
    /// Where local cache archives are kept, as the containers see it: an absolute path.
    pub cache_dir: String,
    /// The shell that the runner writes scripts for: `bash` or `sh`.
    pub shell: String,
    /// The name the job log shows for this host; `None`: the host's own name.
    pub hostname: Option<String>,
}

/// `[engine]`: how to reach the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSettings {
    /// `unix:///path` or `tcp://host:port`; `None`: DOCKER_HOST, else the usual socket.
    pub host: Option<String>,
    /// How long one short call (inspect, create) may take.
    pub timeout: Duration,
}

/// `[registry]`: how registries are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Files with certificates that registries' own may be signed by, besides the host's.
    pub ca_files: Vec<PathBuf>,
    /// How long one question may take.
    pub timeout: Duration,
}

/// `[store]`: where facts are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// The directory; `None`: `/var/lib/hearth` for root, else the user's state directory.
    pub dir: Option<PathBuf>,
}

/// `[pull]`: how pulls behave on weak links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullSettings {
    /// A pull in which nothing moves for this long is given up.
    pub no_progress_timeout: Duration,
    /// How often a pull is tried in all when the error is a transient one.
    pub attempts: u32,
    /// The first pause between two tries; doubled each time.
    pub backoff: Duration,
    /// At most one progress line in this time.
    pub progress_interval: Duration,
    /// The directory of the operator's `config.json`; `None`: DOCKER_CONFIG, else `~/.docker`.
    pub docker_config_dir: Option<PathBuf>,
    /// How many pulls may run at once on this host.
    pub concurrent: u32,
    /// Other places to get an image's bytes from.
    pub mirrors: Mirrors,
    /// How long a mirror has to begin, before the next source is asked.
    pub source_deadline: Duration,
}

/// `[job]`, overlaid by `[runner."NAME"]`: what jobs get and may ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSettings {
    /// The image for jobs that name none; empty: such jobs are refused.
    pub image: String,
    /// The helper image; empty: GitLab's own for the runner's version and the engine's architecture. Variables are expanded.
    pub helper_image: String,
    /// The flavour of GitLab's helper image: `alpine`, `alpine-latest`, `ubuntu`, … ; `alpine` has no prefix in the tag.
    pub helper_image_flavor: String,
    /// The host's own `gitlab-runner`, mounted read-only into the helper (Linux hosts only); `None`: the image's.
    pub helper_binary: Option<PathBuf>,
    /// Pull policies in fallback order for build and service images.
    pub pull_policy: Vec<PullPolicy>,
    /// Pull policies in fallback order for the helper image.
    pub helper_pull_policy: Vec<PullPolicy>,
    /// The policies a job may ask for; empty: those of `pull_policy`.
    pub allowed_pull_policies: Vec<PullPolicy>,
    /// Globs of images a job may name; empty: all.
    pub allowed_images: Patterns,
    /// Globs of service images a job may name; empty: all.
    pub allowed_services: Patterns,
    /// Globs of images that start though they came from no registry; empty: none.
    pub allow_local_images: Patterns,
    /// The user of the build container, whatever the job says; empty: the job's choice, else the image's.
    pub user: String,
    /// Users a job may name (exact match); empty and no `user`: any.
    pub allowed_users: Vec<String>,
    /// Ignores `entrypoint` of images and services in the job.
    pub disable_entrypoint_overwrite: bool,
    /// The platform of build and service images unless the job says otherwise; `None`: the engine's own.
    pub platform: Option<Platform>,
    /// Lets images of a foreign architecture run through binfmt emulation.
    pub allow_emulation: bool,
    /// Runs build containers privileged.
    pub privileged: bool,
    /// Globs of images that `privileged` is limited to; empty: all.
    pub allowed_privileged_images: Patterns,
    /// Runs services privileged; `None`: as `privileged`.
    pub services_privileged: Option<bool>,
    /// Globs of service images that privilege is limited to; empty: all.
    pub allowed_privileged_services: Patterns,
    /// Globs of project paths (or `id:NUMBER`) that get privilege; empty: all.
    pub privileged_allowed_projects: ProjectPatterns,
    /// Volumes: `/path`, `name:/path[:ro]` or `/host:/path[:ro]`.
    pub volumes: Vec<VolumeSetting>,
    /// Globs of project paths (or `id:NUMBER`) that get `volumes` with a host path or a name; empty: all.
    pub volumes_allowed_projects: ProjectPatterns,
    /// Makes cache volumes and `volumes = ["/path"]` temporary.
    pub disable_cache: bool,
    /// Services that every job gets.
    pub services: Vec<ServiceSetting>,
    /// How many services a job may have; `None`: no limit.
    pub services_limit: Option<u32>,
    /// How long services may take to become ready; `None`: not waited for.
    pub wait_for_services_timeout: Option<Duration>,
    /// How long a real ENTRYPOINT may take to hand over.
    pub entrypoint_timeout: Duration,
    /// How long a cancelled stage's processes have between TERM and KILL.
    pub kill_grace: Duration,
    /// `""`: a network of the job's own; else `bridge`, `host`, `none` or a network's name.
    pub network_mode: String,
    /// Gives the job's network IPv6.
    pub enable_ipv6: bool,
    /// The MTU of the job's network; `None`: the engine's default.
    pub network_mtu: Option<u32>,
    /// Runs an init process as PID 1 of the build container.
    pub init: bool,
    /// Globs of images that insist on being PID 1.
    pub no_init_images: Patterns,
    /// Runs an init process in services.
    pub services_init: bool,
    /// Limits of build and helper containers.
    pub limits: Limits,
    /// Limits of services.
    pub service_limits: Limits,
    /// `shm_size` for build, helper and services; `None`: the engine's default.
    pub shm_size: Option<ByteSize>,
    /// Ulimits: name to soft and hard.
    pub ulimit: BTreeMap<String, (i64, i64)>,
    /// tmpfs mounts of build and helper: path to options.
    pub tmpfs: BTreeMap<String, String>,
    /// tmpfs mounts of services.
    pub services_tmpfs: BTreeMap<String, String>,
    /// Devices of build and helper.
    pub devices: Vec<DeviceSetting>,
    /// Devices of services: which images get which.
    pub services_devices: Vec<(Patterns, Vec<DeviceSetting>)>,
    /// Rules added to the devices cgroup.
    pub device_cgroup_rules: Vec<String>,
    /// Supplementary groups of the build container.
    pub group_add: Vec<String>,
    /// DNS servers (IP addresses).
    pub dns: Vec<String>,
    /// DNS search domains.
    pub dns_search: Vec<String>,
    /// `host:address` lines for /etc/hosts.
    pub extra_hosts: Vec<String>,
    /// Capabilities added to build and helper.
    pub cap_add: Vec<String>,
    /// Capabilities dropped from build and helper.
    pub cap_drop: Vec<String>,
    /// Security options of build and helper; `seccomp=FILE` is already read in.
    pub security_opt: Vec<String>,
    /// Security options of services.
    pub services_security_opt: Vec<String>,
    /// Forbids gaining privileges through setuid programs.
    pub no_new_privileges: bool,
    /// The user namespace mode; empty: the engine's default.
    pub userns_mode: String,
    /// The OCI runtime; empty: the engine's default.
    pub runtime: String,
    /// The log driver of every container; empty: the best capped one the engine has.
    pub log_driver: String,
    /// The size a container's log file may reach.
    pub log_max_size: ByteSize,
    /// The container's own host name; empty: a name made of the job's identity.
    pub hostname: String,
    /// Labels added to every container; variables are expanded.
    pub container_labels: BTreeMap<String, String>,
}

/// What one kind of container may use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// Memory; `None`: unlimited.
    pub memory: Option<ByteSize>,
    /// Memory and swap together; `None`: the engine's default.
    pub memory_swap: Option<ByteSize>,
    /// The soft limit of memory.
    pub memory_reservation: Option<ByteSize>,
    /// CPUs in billionths; `None`: unlimited.
    pub nano_cpus: Option<i64>,
    /// The relative weight of CPU time.
    pub cpu_shares: Option<i64>,
    /// The CPUs to run on, as `0-2,4`; empty: all.
    pub cpuset_cpus: String,
    /// How many processes and threads may exist; `None`: unlimited.
    pub pids: Option<i64>,
}

/// When an image is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PullPolicy {
    /// The registry is asked for every job.
    Always,
    /// The registry is asked when the image is not on this host.
    IfNotPresent,
    /// The registry is never asked.
    Never,
}

impl JobSettings {
    /// Whether a job may have any image pulled, or a service's, whatever it asks for.
    pub fn may_pull(&self) -> bool {
        may_pull(&self.pull_policy, &self.allowed_pull_policies)
    }
}

impl PullPolicy {
    /// Returns the name by which GitLab knows the policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::IfNotPresent => "if-not-present",
            Self::Never => "never",
        }
    }
}

impl fmt::Display for PullPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not a pull policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a pull policy: allowed are always, if-not-present and never")]
pub struct BadPullPolicy(pub String);

impl FromStr for PullPolicy {
    type Err = BadPullPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "always" => Ok(Self::Always),
            "if-not-present" => Ok(Self::IfNotPresent),
            "never" => Ok(Self::Never),
            _ => Err(BadPullPolicy(text.to_owned())),
        }
    }
}

/// One entry of `volumes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSetting {
    /// `/path`: a volume of the project's own, kept between jobs.
    Project {
        /// Where the containers see it.
        path: String,
    },
    /// `name:/path[:ro]`: an engine volume of that name.
    Named {
        /// The volume's name.
        name: String,
        /// Where the containers see it.
        path: String,
        /// Mount options such as `ro`; empty for none.
        options: String,
    },
    /// `/host:/path[:ro]`: a path of the engine's host.
    Bind {
        /// The path on the engine's host.
        source: String,
        /// Where the containers see it.
        path: String,
        /// Mount options such as `ro`, `z`, `rslave`; empty for none.
        options: String,
    },
}

/// One entry of `[[job.services]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSetting {
    /// The image; variables are expanded.
    pub name: String,
    /// Aliases, separated by spaces or commas.
    pub alias: String,
    /// The entrypoint; `None`: the image's.
    pub entrypoint: Option<Vec<String>>,
    /// The command; `None`: the image's.
    pub command: Option<Vec<String>>,
    /// Environment of the service: `KEY=VALUE`.
    pub environment: Vec<String>,
}

/// One device: `host[:container[:permissions]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSetting {
    /// The path on the engine's host.
    pub host: String,
    /// The path in the container.
    pub container: String,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}
