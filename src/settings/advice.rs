//! What an unknown key was probably meant to be.

use super::raw::{
    RawAccess, RawCache, RawDaemon, RawDriver, RawEngine, RawJob, RawPrefetch, RawPull, RawRegistry,
    RawStore, RawTable,
};

/// How alike two keys have to be (Jaro-Winkler) for one to be a misspelling of the other.
const ALIKE: f64 = 0.85;

/// Keys of `[runners.docker]` that have no counterpart here, so that who brings a configuration along is told so.
const DOCKER_EXECUTOR_ONLY: [&str; 25] = [
    "cgroup_parent",
    "cpuset_mems",
    "gpus",
    "helper_image_autoset_arch_and_os",
    "ipcmode",
    "isolation",
    "links",
    "log_options",
    "mac_address",
    "oom_kill_disable",
    "oom_score_adjust",
    "pid_mode",
    "service_cgroup_parent",
    "service_gpus",
    "service_slot_cgroup_template",
    "slot_cgroup_template",
    "sysctls",
    "tls_cert_path",
    "tls_verify",
    "use_slot_cgroups",
    "volume_driver",
    "volume_driver_ops",
    "volume_keep",
    "volumes_from",
    "container_name",
];

/// The tables with their keys.
fn tables() -> [(&'static str, &'static [&'static str]); 10] {
    [
        ("driver", RawDriver::KEYS),
        ("engine", RawEngine::KEYS),
        ("registry", RawRegistry::KEYS),
        ("access", RawAccess::KEYS),
        ("pull", RawPull::KEYS),
        ("store", RawStore::KEYS),
        ("cache", RawCache::KEYS),
        ("daemon", RawDaemon::KEYS),
        ("prefetch", RawPrefetch::KEYS),
        ("job", RawJob::KEYS),
    ]
}

/// Says what to do about a key that the table at `path` does not have.
pub(super) fn unknown_key(path: &str, key: &str, keys: &[&'static str]) -> String {
    if DOCKER_EXECUTOR_ONLY.contains(&key) {
        return "unknown key: the docker executor has it, hearth does not".to_owned();
    }
    let elsewhere = tables().into_iter().find(|(table, keys)| *table != path && keys.contains(&key));
    match (elsewhere, nearest(key, keys)) {
        (Some((table, _)), _) => format!("unknown key: {key} belongs to [{table}]"),
        (None, Some(near)) => format!("unknown key: did you mean {near}?"),
        (None, None) => format!("unknown key: allowed are {}", keys.join(", ")),
    }
}

/// Says what to do about a table that does not exist, or about a key that stands outside of all tables.
pub(super) fn unknown_table(key: &str, known: &[&'static str]) -> String {
    let elsewhere = tables().into_iter().find(|(_, keys)| keys.contains(&key));
    if let Some((table, _)) = elsewhere {
        return format!("unknown table: the key {key} belongs under [{table}]");
    }
    if key == "runners" {
        return "unknown table: tables for certain runners are written [runner.\"NAME\"]".to_owned();
    }
    match nearest(key, known) {
        Some(near) => format!("unknown table: did you mean [{near}]?"),
        None => format!("unknown table: allowed are {}", known.join(", ")),
    }
}

/// Finds the known word that is most like another one; `None` where none is alike.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let likeness = |known: &str| strsim::jaro_winkler(&word, known);
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= ALIKE).then_some(best)
}
