//! Keys that bring something of the host into containers: volumes, devices, tmpfs and ulimits.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::model::{DeviceSetting, VolumeSetting};
use super::wire::{Place, Wire, Word, quote, text_or_number};
use super::words::{container_path, is_access, is_name};
use crate::image::Patterns;

/// Mount options that engines know.
const MOUNT_OPTIONS: [&str; 15] = [
    "ro",
    "rw",
    "z",
    "Z",
    "U",
    "nocopy",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "private",
    "rprivate",
    "cached",
    "delegated",
    "consistent",
];
/// The limits that engines know (`getrlimit(2)`).
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl Word for VolumeSetting {
    fn from_text(text: &str) -> Result<Self, String> {
        let bad = |problem: &str| {
            Err(format!(
                "{} is not a volume: {problem}; write /path, /host/path:/path[:ro] or name:/path[:ro]",
                quote(text)
            ))
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (source, path, options) = match parts[..] {
            [path] => ("", path, ""),
            [source, path] => (source, path, ""),
            [source, path, options] => (source, path, options),
            _ => return bad("it has too many parts"),
        };
        let Some(path) = container_path(path) else {
            return bad(&format!("{} is not an absolute path in the container", quote(path)));
        };
        if let Some(option) = options.split(',').find(|option| !MOUNT_OPTIONS.contains(option))
            && !options.is_empty()
        {
            return bad(&format!("{} is not a mount option ({})", quote(option), MOUNT_OPTIONS.join(", ")));
        }
        if parts.len() == 1 {
            return Ok(Self::Project { path });
        }
        let (source, options) = (source.to_owned(), options.to_owned());
        if source.starts_with('/') {
            Ok(Self::Bind { source, path, options })
        } else if is_name(&source) {
            Ok(Self::Named { name: source, path, options })
        } else {
            bad(&format!("{} is neither an absolute path nor a volume's name", quote(&source)))
        }
    }
}

impl Word for DeviceSetting {
    fn from_text(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let (host, container, permissions) = match parts[..] {
            [host] => (host, host, "rwm"),
            [host, permissions] if is_access(permissions) => (host, host, permissions),
            [host, container] => (host, container, "rwm"),
            [host, container, permissions] => (host, container, permissions),
            _ => ("", "", ""),
        };
        if host.starts_with('/') && container.starts_with('/') && is_access(permissions) {
            let (host, container, permissions) =
                (host.to_owned(), container.to_owned(), permissions.to_owned());
            Ok(Self { host, container, permissions })
        } else {
            Err(format!("{} is not a device: write /dev/host[:/dev/container[:rwm]]", quote(text)))
        }
    }
}

/// Devices of services: which images get which.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ServiceDevices(pub(super) Vec<(Patterns, Vec<DeviceSetting>)>);

impl Wire for ServiceDevices {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let map: BTreeMap<String, Vec<DeviceSetting>> = BTreeMap::read(value, at)?;
        let compiled: Vec<_> = map
            .into_iter()
            .map(|(glob, devices)| match Patterns::compile(&[glob]) {
                Ok(patterns) => Some((patterns, devices)),
                Err(bad) => {
                    bad.iter().for_each(|bad| at.complain(bad.to_string()));
                    None
                }
            })
            .collect();
        compiled.into_iter().collect::<Option<_>>().map(Self)
    }
}

/// tmpfs mounts: path to options.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tmpfs(pub(super) BTreeMap<String, String>);

impl Wire for Tmpfs {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let map: BTreeMap<String, String> = BTreeMap::read(value, at)?;
        let (good, bad): (BTreeMap<_, _>, BTreeMap<_, _>) =
            map.into_iter().partition(|(path, _)| container_path(path).is_some());
        for path in bad.keys() {
            at.complain(format!("{} is not an absolute path in the container", quote(path)));
        }
        bad.is_empty().then_some(Self(good))
    }
}

/// Ulimits: name to soft and hard.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Ulimits(pub(super) BTreeMap<String, (i64, i64)>);

/// One ulimit, as `soft[:hard]`; -1 is unlimited.
struct Ulimit(i64, i64);

impl Wire for Ulimit {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let text = text_or_number(value, at)?;
        let (soft, hard) = text.split_once(':').unwrap_or((&text, &text));
        let limit = |text: &str| text.parse().ok().filter(|limit: &i64| *limit >= -1);
        let rank = |limit: i64| if limit < 0 { i64::MAX } else { limit };
        match (limit(soft), limit(hard)) {
            (Some(soft), Some(hard)) if rank(soft) <= rank(hard) => Some(Self(soft, hard)),
            _ => {
                at.complain(format!(
                    "{} is not a limit: write soft or soft:hard, numbers with soft at most hard, -1 for unlimited",
                    quote(&text)
                ));
                None
            }
        }
    }
}

impl Wire for Ulimits {
    fn read(value: &DeValue<'_>, at: &mut Place<'_>) -> Option<Self> {
        let map: BTreeMap<String, Ulimit> = BTreeMap::read(value, at)?;
        let before = at.complaints.len();
        for name in map.keys().filter(|name| !ULIMITS.contains(&name.as_str())) {
            at.complain(format!("{} is not a limit's name: allowed are {}", quote(name), ULIMITS.join(", ")));
        }
        let limits = map.into_iter().map(|(name, Ulimit(soft, hard))| (name, (soft, hard))).collect();
        (at.complaints.len() == before).then_some(Self(limits))
    }
}
