//! The tables of a settings file as they are written: every key optional, each with its place, so that layers can be laid
//! over each other and every value can say where it came from.

use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::cache::Scope;
use super::complaint::Complaint;
use super::load::{Effective, Origin};
use super::model::{DeviceSetting, PullPolicy, VolumeSetting};
use super::mounts::{ServiceDevices, Tmpfs, Ulimits};
use super::prefetch::{ListedImage, ScanMode};
use super::values::{Cpus, Environment, Inodes, Maybe, OneOrMany, Poll, RuleName, Seconds, Space, Span};
use super::wire::{Lines, Place, Wire, render, render_key, table};
use super::words::{
    Capability, ContainerPath, CpuSet, DeviceRule, DnsServer, EngineHost, EngineName, ExtraHost, HostName,
    HostPath, ImageName, LogDriver, NetworkMode, SecurityOption, Shell,
};
use crate::image::{Mirrors, Patterns, Platform, ProjectPatterns};
use crate::policy::{DueTime, Window};
use crate::units::ByteSize;

type Map<T> = std::collections::BTreeMap<String, T>;

/// One layer of a file: the text's lines, whose values they are, and the complaints so far.
pub(super) struct Reader<'r> {
    pub(super) lines: &'r Lines,
    pub(super) layer: Layer,
    pub(super) complaints: &'r mut Vec<Complaint>,
}

/// Whose values a table holds.
#[derive(Debug, Clone)]
pub(super) enum Layer {
    Default,
    File,
    Runner(Rc<str>),
}

/// A value that was written, with its place.
#[derive(Debug, Clone)]
pub(super) struct Set<T> {
    pub(super) value: T,
    /// The value as TOML, on one line.
    shown: String,
    pub(super) path: String,
    pub(super) line: usize,
    layer: Layer,
}

impl<T> Set<T> {
    /// Complains about the value, often together with another one.
    pub(super) fn complain(&self, complaints: &mut Vec<Complaint>, problem: impl Into<String>) {
        let (path, line) = (self.path.clone(), Some(self.line));
        complaints.push(Complaint { path, line, problem: problem.into() });
    }

    /// Tells whether somebody wrote it: it is no default.
    pub(super) fn is_written(&self) -> bool {
        !matches!(self.layer, Layer::Default)
    }

    fn effective(&self, key: String) -> Effective {
        let origin = match &self.layer {
            Layer::Default => Origin::Default,
            Layer::File => Origin::File { line: self.line },
            Layer::Runner(name) => Origin::Runner { name: name.to_string(), line: self.line },
        };
        Effective { key, value: Some(self.shown.clone()), origin }
    }
}

impl Reader<'_> {
    fn value<T: Wire>(&mut self, path: String, value: &Spanned<DeValue<'_>>) -> Option<Set<T>> {
        let offset = value.span().start;
        let mut at = Place { lines: self.lines, complaints: self.complaints, path: path.clone(), offset };
        let read = T::read(value.get_ref(), &mut at)?;
        let line = self.lines.number(offset);
        Some(Set { value: read, shown: render(value.get_ref()), path, line, layer: self.layer.clone() })
    }

    /// Complains about a key that does not exist.
    pub(super) fn unknown(&mut self, path: &str, key: &Spanned<std::borrow::Cow<'_, str>>, problem: String) {
        let line = Some(self.lines.number(key.span().start));
        let path = join(path, key.get_ref());
        self.complaints.push(Complaint { path, line, problem });
    }

    /// Reads a table that stands under a key; `None` after having complained.
    pub(super) fn table<'v, 'i>(
        &mut self,
        path: &str,
        value: &'v Spanned<DeValue<'i>>,
    ) -> Option<&'v DeTable<'i>> {
        let (path, offset) = (path.to_owned(), value.span().start);
        let mut at = Place { lines: self.lines, complaints: self.complaints, path, offset };
        table(value.get_ref(), &mut at)
    }
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { render_key(key) } else { format!("{path}.{}", render_key(key)) }
}

/// A table of a file.
pub(super) trait RawTable: Sized {
    /// Its keys, in the order of the example file.
    const KEYS: &'static [&'static str];

    /// Reads the table that stands at `path`.
    fn read(table: &DeTable<'_>, path: &str, reader: &mut Reader<'_>) -> Self;

    /// Lays this table over another one: a key that is set here wins as a whole.
    fn over(&self, base: &Self) -> Self;

    /// Lists all keys with their values.
    fn list(&self, path: &str, list: &mut Vec<Effective>);
}

/// Defines a table: the type, the list of its keys, and how it is read, laid over another and listed.
macro_rules! raw_table {
    ($(#[$doc:meta])* $name:ident { $($key:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default)]
        pub(super) struct $name { $(pub(super) $key: Option<Set<$type>>,)* }

        impl RawTable for $name {
            const KEYS: &'static [&'static str] = &[$(stringify!($key),)*];

            fn read(table: &DeTable<'_>, path: &str, reader: &mut Reader<'_>) -> Self {
                let mut this = Self::default();
                for (key, value) in table {
                    match key.get_ref().as_ref() {
                        $(stringify!($key) => this.$key = reader.value(join(path, stringify!($key)), value),)*
                        other => {
                            let problem = super::advice::unknown_key(path, other, Self::KEYS);
                            reader.unknown(path, key, problem);
                        }
                    }
                }
                this
            }

            fn over(&self, base: &Self) -> Self {
                Self { $($key: self.$key.as_ref().or(base.$key.as_ref()).cloned(),)* }
            }

            fn list(&self, path: &str, list: &mut Vec<Effective>) {
                $(
                    let key = join(path, stringify!($key));
                    list.push(match &self.$key {
                        Some(set) => set.effective(key),
                        None => Effective { key, value: None, origin: Origin::Default },
                    });
                )*
            }
        }
    };
}

raw_table!(
    /// `[driver]`
    RawDriver {
        builds_dir: ContainerPath,
        cache_dir: ContainerPath,
        shell: Shell,
        hostname: Maybe<HostName>,
    }
);

raw_table!(
    /// `[engine]`
    RawEngine {
        host: Maybe<EngineHost>,
        timeout: Seconds,
    }
);

raw_table!(
    /// `[registry]`
    RawRegistry {
        ca_files: Vec<HostPath>,
        timeout: Seconds,
    }
);

raw_table!(
    /// `[access]`
    RawAccess {
        proof_ttl: Seconds,
        offline_grace: Seconds,
    }
);

raw_table!(
    /// `[pull]`
    RawPull {
        no_progress_timeout: Seconds,
        attempts: i64,
        backoff: Seconds,
        progress_interval: Seconds,
        docker_config_dir: Maybe<HostPath>,
        concurrent: i64,
        mirrors: Mirrors,
        source_deadline: Seconds,
    }
);

raw_table!(
    /// `[store]`
    RawStore {
        dir: Maybe<HostPath>,
    }
);

raw_table!(
    /// `[cache]`
    RawCache {
        evict: bool,
        scope: Scope,
        images_high: Maybe<ByteSize>,
        images_low: Maybe<ByteSize>,
        free_low: Maybe<Space>,
        free_high: Maybe<Space>,
        inodes_low: Maybe<Inodes>,
        inodes_high: Maybe<Inodes>,
        rule: RuleName,
        minimum_age: Span,
        keep_dangling: Span,
        keep_local: Maybe<Span>,
        build_cache: Maybe<ByteSize>,
        keep_volumes: Maybe<Span>,
        pins: Patterns,
        data_root: Maybe<HostPath>,
    }
);

raw_table!(
    /// `[daemon]`
    RawDaemon {
        interval: Seconds,
        watch: Seconds,
        longest_job: Seconds,
    }
);

raw_table!(
    /// `[prefetch]`
    RawPrefetch {
        enabled: bool,
        history: bool,
        poll: Poll,
        scan: ScanMode,
        windows: Vec<Window>,
        monthly_limit: Maybe<ByteSize>,
        pipeline_limit: Maybe<ByteSize>,
        images: Vec<RawListed>,
    }
);

raw_table!(
    /// `[[prefetch.images]]`
    RawListed {
        image: ListedImage,
        platform: Maybe<Platform>,
        at: OneOrMany<DueTime>,
        pin: bool,
    }
);

impl Wire for RawListed {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        read_entry(value, at, |entry: &Self| {
            entry.image.is_none().then_some("the entry has no image: write image = and its name")
        })
    }
}

raw_table!(
    /// `[job]` and `[runner."NAME"]`
    RawJob {
        image: Maybe<ImageName>,
        helper_image: Maybe<ImageName>,
        helper_image_flavor: EngineName,
        helper_binary: Maybe<HostPath>,
        pull_policy: OneOrMany<PullPolicy>,
        helper_pull_policy: OneOrMany<PullPolicy>,
        allowed_pull_policies: Vec<PullPolicy>,
        allowed_images: Patterns,
        allowed_services: Patterns,
        allow_local_images: Patterns,
        user: String,
        allowed_users: Vec<String>,
        disable_entrypoint_overwrite: bool,
        platform: Maybe<Platform>,
        allow_emulation: bool,
        privileged: bool,
        allowed_privileged_images: Patterns,
        services_privileged: bool,
        allowed_privileged_services: Patterns,
        privileged_allowed_projects: ProjectPatterns,
        volumes: Vec<VolumeSetting>,
        volumes_allowed_projects: ProjectPatterns,
        disable_cache: bool,
        services: Vec<RawService>,
        services_limit: i64,
        wait_for_services_timeout: i64,
        entrypoint_timeout: Seconds,
        kill_grace: Seconds,
        network_mode: NetworkMode,
        enable_ipv6: bool,
        network_mtu: i64,
        init: bool,
        no_init_images: Patterns,
        services_init: bool,
        memory: Maybe<ByteSize>,
        memory_swap: Maybe<ByteSize>,
        memory_reservation: Maybe<ByteSize>,
        cpus: Maybe<Cpus>,
        cpu_shares: i64,
        cpuset_cpus: CpuSet,
        pids_limit: i64,
        service_memory: Maybe<ByteSize>,
        service_memory_swap: Maybe<ByteSize>,
        service_memory_reservation: Maybe<ByteSize>,
        service_cpus: Maybe<Cpus>,
        service_cpu_shares: i64,
        service_cpuset_cpus: CpuSet,
        service_pids_limit: i64,
        shm_size: Maybe<ByteSize>,
        ulimit: Ulimits,
        tmpfs: Tmpfs,
        services_tmpfs: Tmpfs,
        devices: Vec<DeviceSetting>,
        services_devices: ServiceDevices,
        device_cgroup_rules: Vec<DeviceRule>,
        group_add: Vec<String>,
        dns: Vec<DnsServer>,
        dns_search: Vec<HostName>,
        extra_hosts: Vec<ExtraHost>,
        cap_add: Vec<Capability>,
        cap_drop: Vec<Capability>,
        security_opt: Vec<SecurityOption>,
        services_security_opt: Vec<SecurityOption>,
        no_new_privileges: bool,
        userns_mode: String,
        runtime: Maybe<EngineName>,
        log_driver: Maybe<LogDriver>,
        log_max_size: ByteSize,
        hostname: Maybe<HostName>,
        container_labels: Map<String>,
    }
);

raw_table!(
    /// `[[job.services]]`
    RawService {
        name: ImageName,
        alias: String,
        entrypoint: Vec<String>,
        command: Vec<String>,
        environment: Environment,
    }
);

impl Wire for RawService {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        read_entry(value, at, |service: &Self| {
            service.name.is_none().then_some("the service has no name: write name = and its image")
        })
    }
}

/// Reads a table that stands in a list, and complains about what `missing` finds.
fn read_entry<T: RawTable>(
    value: &DeValue<'_>,
    at: &mut Place<'_>,
    missing: impl Fn(&T) -> Option<&'static str>,
) -> Option<T> {
    let keys = table(value, at)?;
    let before = at.complaints.len();
    let mut reader = Reader { lines: at.lines, layer: Layer::File, complaints: at.complaints };
    let entry = T::read(keys, &at.path, &mut reader);
    if at.complaints.len() == before
        && let Some(missing) = missing(&entry)
    {
        at.complain(missing);
    }
    (at.complaints.len() == before).then_some(entry)
}
