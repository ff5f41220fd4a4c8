//! From the tables as written to the checked settings: what single keys cannot say, that they fit together.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::complaint::Complaint;
use super::model::{DriverSettings, EngineSettings, PullSettings, RegistrySettings, Settings, StoreSettings};
use super::raw::{
    RawAccess, RawCache, RawDaemon, RawDriver, RawEngine, RawJob, RawPrefetch, RawPull, RawRegistry,
    RawStore, Set,
};
use super::values::{Maybe, Seconds};
use super::wire::quote;
use crate::image::decide::AccessRules;

mod cache;
mod job;
mod limits;
mod prefetch;
mod together;

/// What checking needs from outside, and what it found.
pub(super) struct Checker<'c> {
    pub(super) complaints: &'c mut Vec<Complaint>,
    /// Reads a file that a setting names.
    pub(super) read_file: &'c dyn Fn(&Path) -> io::Result<String>,
}

impl Checker<'_> {
    /// Complains about a value.
    pub(super) fn complain<T>(&mut self, set: &Set<T>, problem: impl Into<String>) {
        set.complain(self.complaints, problem);
    }

    /// Takes a number that has to be in a range; `unset` stands for `None`.
    pub(super) fn number(
        &mut self,
        set: &Option<Set<i64>>,
        unset: &[i64],
        range: std::ops::RangeInclusive<i64>,
        meaning: &str,
    ) -> Option<i64> {
        let set = set.as_ref()?;
        if unset.contains(&set.value) {
            return None;
        }
        if !range.contains(&set.value) {
            let (first, last) = (range.start(), range.end());
            self.complain(
                set,
                format!("{} is not allowed: write a number from {first} to {last}{meaning}", set.value),
            );
        }
        Some(set.value)
    }

    /// Takes a number of seconds that may not be 0.
    fn above_zero(&mut self, set: &Option<Set<Seconds>>) -> Duration {
        let duration = value(set).0;
        if let Some(set) = set.as_ref().filter(|_| duration.is_zero()) {
            self.complain(set, "0 is not allowed: write a number of seconds from 1 on");
        }
        duration
    }
}

/// Takes a value that the defaults have.
pub(super) fn value<T: Clone + Default>(set: &Option<Set<T>>) -> T {
    set.as_ref().map(|set| set.value.clone()).unwrap_or_default()
}

/// Takes a value that may be missing.
pub(super) fn optional<T: Clone>(set: &Option<Set<Maybe<T>>>) -> Option<T> {
    set.as_ref().and_then(|set| set.value.0.clone())
}

/// The tables that are the same for every runner.
pub(super) struct HostTables {
    pub(super) driver: RawDriver,
    pub(super) engine: RawEngine,
    pub(super) registry: RawRegistry,
    pub(super) access: RawAccess,
    pub(super) pull: RawPull,
    pub(super) store: RawStore,
    pub(super) cache: RawCache,
    pub(super) daemon: RawDaemon,
    pub(super) prefetch: RawPrefetch,
}

/// Checks one set of tables. What it returns counts only if nothing was complained about.
pub(super) fn check(
    host: &HostTables,
    job: &RawJob,
    runner: Option<&str>,
    checker: &mut Checker<'_>,
) -> Settings {
    let driver = check_driver(&host.driver, checker);
    let prefetch = prefetch::check_prefetch(&host.prefetch, checker);
    Settings {
        engine: EngineSettings {
            host: optional(&host.engine.host).map(|host| host.0),
            timeout: checker.above_zero(&host.engine.timeout),
        },
        registry: RegistrySettings {
            ca_files: value(&host.registry.ca_files).into_iter().map(|file| file.0).collect(),
            timeout: checker.above_zero(&host.registry.timeout),
        },
        access: AccessRules {
            proof_ttl: value(&host.access.proof_ttl).0,
            offline_grace: value(&host.access.offline_grace).0,
        },
        pull: check_pull(&host.pull, checker),
        store: StoreSettings { dir: optional(&host.store.dir).map(|dir| dir.0) },
        cache: prefetch::join_pins(cache::check_cache(&host.cache, checker), &prefetch),
        daemon: cache::check_daemon(&host.daemon, checker),
        prefetch,
        job: job::check_job(job, &driver, checker),
        driver,
        runner: runner.map(str::to_owned),
    }
}

fn check_driver(raw: &RawDriver, checker: &mut Checker<'_>) -> DriverSettings {
    let (builds_dir, cache_dir) = (value(&raw.builds_dir).0, value(&raw.cache_dir).0);
    for set in [&raw.builds_dir, &raw.cache_dir].into_iter().flatten() {
        let path = set.value.0.as_str();
        let engines_own = ["/proc", "/sys", "/dev"].iter().any(|own| path_is_within(path, own));
        if engines_own || ["/etc", "/usr", "/bin", "/sbin", "/lib"].contains(&path) {
            checker.complain(
                set,
                format!("{} is not allowed: a volume there would hide the image's own files", quote(path)),
            );
        }
    }
    if let Some(set) = raw
        .cache_dir
        .as_ref()
        .filter(|_| path_is_within(&builds_dir, &cache_dir) || path_is_within(&cache_dir, &builds_dir))
    {
        let problem = format!(
            "{} and builds_dir {} overlap: neither may be within the other",
            quote(&cache_dir),
            quote(&builds_dir)
        );
        checker.complain(set, problem);
    }
    let hostname = optional(&raw.hostname).map(|name| name.0);
    DriverSettings { builds_dir, cache_dir, shell: value(&raw.shell).0, hostname }
}

fn check_pull(raw: &RawPull, checker: &mut Checker<'_>) -> PullSettings {
    let attempts = checker.number(&raw.attempts, &[], 1..=100, "").unwrap_or(1);
    let concurrent = checker.number(&raw.concurrent, &[], 1..=100, "").unwrap_or(1);
    PullSettings {
        no_progress_timeout: checker.above_zero(&raw.no_progress_timeout),
        attempts: u32::try_from(attempts).unwrap_or(1),
        backoff: value(&raw.backoff).0,
        progress_interval: checker.above_zero(&raw.progress_interval),
        docker_config_dir: optional(&raw.docker_config_dir).map(|path| path.0),
        concurrent: u32::try_from(concurrent).unwrap_or(1),
        mirrors: value(&raw.mirrors),
        source_deadline: checker.above_zero(&raw.source_deadline),
    }
}

/// Tells whether a path is another one or lies below it.
fn path_is_within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
