//! The types of keys that are texts of a certain form, and what is allowed in each.

use std::net::IpAddr;
use std::path::PathBuf;

use super::wire::{Word, quote};
use crate::image::ImageRef;

/// Defines a type that is a text of a certain form.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub(super) struct $name(pub(super) String);

        impl Word for $name {
            fn from_text(text: &str) -> Result<Self, String> {
                let check: fn(&str) -> Result<String, String> = $check;
                check(text).map(Self).map_err(|problem| format!("{} {problem}", quote(text)))
            }
        }
    };
}

word!(
    /// The name of an image; one with a variable in it is checked when the variable is known.
    ImageName,
    |text| {
        if !text.contains('$') {
            let reason = |bad: crate::image::BadReference| format!("is not an image name: {}", bad.reason());
            text.parse::<ImageRef>().map_err(reason)?;
        }
        Ok(text.to_owned())
    }
);
word!(
    /// A path as containers see it.
    ContainerPath,
    |text| container_path(text).ok_or_else(|| "is not an absolute path without . and .. in it".to_owned())
);
word!(
    /// The shell that scripts are written for.
    Shell,
    |text| match text {
        "bash" | "sh" => Ok(text.to_owned()),
        _ => Err("is not a shell that jobs can have: allowed are bash and sh".to_owned()),
    }
);
word!(
    /// Where the engine listens.
    EngineHost,
    |text| {
        let unix = text.strip_prefix("unix://").is_some_and(|path| path.starts_with('/'));
        let tcp = text.strip_prefix("tcp://").and_then(|rest| rest.rsplit_once(':')).is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains(['/', '@']) && port.parse::<u16>().is_ok()
        });
        if unix || tcp { Ok(text.to_owned()) } else { Err("is not an engine: write unix:///path or tcp://host:port".to_owned()) }
    }
);
word!(
    /// A host's own name, one label of a domain name or several.
    HostName,
    |text| {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let good = text.len() <= 253 && text.split('.').all(label);
        if good { Ok(text.to_owned()) } else { Err("is not a host name: letters, digits, dots and - inside are allowed".to_owned()) }
    }
);
word!(
    /// The network that containers join.
    NetworkMode,
    |text| match text {
        "" => Ok(String::new()),
        _ if text.starts_with("container:") => {
            Err("is not allowed: a job cannot share another container's network".to_owned())
        }
        _ if is_name(text) => Ok(text.to_owned()),
        _ => Err("is not a network: allowed are bridge, host, none or a network's name, and \"\" for one per job".to_owned()),
    }
);
word!(
    /// A name that the engine gives to something, such as a runtime.
    EngineName,
    |text| if is_name(text) { Ok(text.to_owned()) } else { Err("is not a name: letters, digits and _ . - are allowed".to_owned()) }
);
word!(
    /// The log driver of all containers.
    LogDriver,
    |text| match text {
        "none" => Err("is not allowed: the logs of failing services are shown in the job log".to_owned()),
        _ if is_name(text) => Ok(text.to_owned()),
        _ => Err("is not a log driver: write local, json-file or another name the engine knows".to_owned()),
    }
);
word!(
    /// A list of CPUs.
    CpuSet,
    |text| {
        let range = |part: &str| match part.split_once('-') {
            Some((first, last)) => matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last),
            None => number(part).is_some(),
        };
        let good = text.is_empty() || text.split(',').all(range);
        if good { Ok(text.to_owned()) } else { Err("is not a list of CPUs: write it as 0-2,4".to_owned()) }
    }
);
word!(
    /// The address of a DNS server.
    DnsServer,
    |text| text.parse::<IpAddr>().map(|ip| ip.to_string()).map_err(|_| "is not an IP address".to_owned())
);
word!(
    /// A line of /etc/hosts, as `name:address`.
    ExtraHost,
    |text| {
        let (name, address) = text.split_once(['=', ':']).unwrap_or(("", ""));
        let known = address == "host-gateway" || address.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if known && HostName::from_text(name).is_ok() {
            Ok(format!("{name}:{}", address.trim_matches(['[', ']'])))
        } else {
            Err("is not a host with its address: write name:IP or name:host-gateway".to_owned())
        }
    }
);
word!(
    /// A Linux capability.
    Capability,
    |text| {
        let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
        if good { Ok(text.to_ascii_uppercase()) } else { Err("is not a capability: write a name such as NET_ADMIN, or ALL".to_owned()) }
    }
);
word!(
    /// A security option.
    SecurityOption,
    |text| {
        let seccomp_file = text.strip_prefix("seccomp=").or_else(|| text.strip_prefix("seccomp:"));
        match seccomp_file {
            Some("unconfined" | "builtin") => Ok(text.to_owned()),
            Some(file) if !file.starts_with('/') => {
                Err("is not a security option: write seccomp=unconfined or seccomp= and an absolute path".to_owned())
            }
            Some(file) => Ok(format!("seccomp={file}")),
            None if text == "no-new-privileges" => Ok(text.to_owned()),
            None if text.split_once(['=', ':']).is_some_and(|(key, value)| is_name(key) && !value.is_empty()) => {
                Ok(text.to_owned())
            }
            None => Err("is not a security option: write it as key=value, such as apparmor=unconfined".to_owned()),
        }
    }
);
word!(
    /// A rule of the devices cgroup.
    DeviceRule,
    |text| {
        let id = |id: &str| id == "*" || number(id).is_some();
        let good = match text.split(' ').collect::<Vec<_>>()[..] {
            ["a" | "b" | "c", ids, access] => {
                ids.split_once(':').is_some_and(|(major, minor)| id(major) && id(minor)) && is_access(access)
            }
            _ => false,
        };
        if good { Ok(text.to_owned()) } else { Err("is not a rule for devices: write it as c 81:* rmw".to_owned()) }
    }
);
/// A path on the host that hearth itself uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPath(pub(super) PathBuf);

impl Word for HostPath {
    fn from_text(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            Ok(Self(PathBuf::from(text)))
        } else {
            Err(format!("{} is not an absolute path", quote(text)))
        }
    }
}

/// Cleans a path as containers see it; `None` where it is not an absolute one.
pub(super) fn container_path(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    let good = text.starts_with('/')
        && !parts.is_empty()
        && parts.iter().all(|part| *part != "." && *part != "..")
        && !text.contains([':', ',', '\0', '\n']);
    good.then(|| format!("/{}", parts.join("/")))
}

/// Tells whether a text is a name as engines take them for networks, volumes and the like.
pub(super) fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

/// Tells whether a text names accesses to a device: some of `r`, `w` and `m`.
pub(super) fn is_access(text: &str) -> bool {
    (1..=3).contains(&text.len()) && text.bytes().all(|b| b"rwm".contains(&b))
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
