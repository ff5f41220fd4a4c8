//! What shall exist, in our own words: the engine edge turns these into its API's shapes.

use std::collections::BTreeMap;

use crate::settings::{DeviceSetting, Limits};
use crate::units::ByteSize;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A network that shall exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Its name.
    pub name: String,
    /// The IPv6 subnet to use where the engine has no pool to take one from; `None`: the network has no IPv6.
    pub ipv6: Option<String>,
    /// Its MTU; `None`: the engine's default.
    pub mtu: Option<u32>,
    /// Its labels.
    pub labels: Labels,
}

/// A volume that shall exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Its name.
    pub name: String,
    /// Whether it outlives the job.
    pub kept: bool,
    /// Its labels.
    pub labels: Labels,
}

/// Something mounted into a container, written as the engine's bind syntax has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSpec {
    /// A volume's name or a path on the engine's host.
    pub source: String,
    /// Where the container sees it.
    pub target: String,
    /// Options such as `ro`; empty for none.
    pub options: String,
}

/// How a container is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkUse {
    /// A user-defined network, with the names it is found by.
    Joined {
        /// The network's name or id.
        network: String,
        /// Host names on that network.
        aliases: Vec<String>,
    },
    /// One of the engine's own modes: `bridge`, `host` or `none`.
    Mode(String),
}

/// A container that shall exist. Everything is decided; creating it leaves no choices.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// The image: digest-pinned reference or ID.
    pub image: String,
    /// The platform, where the image is not of the engine's own; empty otherwise.
    pub platform: String,
    /// Replaces ENTRYPOINT; `None`: the image's own.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces CMD; `None`: the image's own.
    pub command: Option<Vec<String>>,
    /// The user; empty: the image's own.
    pub user: String,
    /// The environment, as `NAME=value`.
    pub env: Vec<String>,
    /// The working directory; `None`: the image's own.
    pub working_dir: Option<String>,
    /// The container's own host name; empty: the engine's choice.
    pub hostname: String,
    /// Whether its stdin is kept open for an attach.
    pub open_stdin: bool,
    /// Mounts.
    pub mounts: Vec<MountSpec>,
    /// tmpfs mounts: path to options.
    pub tmpfs: BTreeMap<String, String>,
    /// How it is connected.
    pub network: NetworkUse,
    /// `host:address` lines for /etc/hosts.
    pub extra_hosts: Vec<String>,
    /// DNS servers.
    pub dns: Vec<String>,
    /// DNS search domains.
    pub dns_search: Vec<String>,
    /// Whether the engine's init process is PID 1.
    pub init: bool,
    /// Whether it is privileged.
    pub privileged: bool,
    /// Capabilities added.
    pub cap_add: Vec<String>,
    /// Capabilities dropped.
    pub cap_drop: Vec<String>,
    /// Security options.
    pub security_opt: Vec<String>,
    /// The user namespace mode; empty: the engine's default.
    pub userns_mode: String,
    /// The OCI runtime; empty: the engine's default.
    pub runtime: String,
    /// Limits.
    pub limits: Limits,
    /// Size of /dev/shm; `None`: the engine's default.
    pub shm_size: Option<ByteSize>,
    /// Ulimits: name to soft and hard.
    pub ulimit: BTreeMap<String, (i64, i64)>,
    /// Devices.
    pub devices: Vec<DeviceSetting>,
    /// Rules of the devices cgroup.
    pub device_cgroup_rules: Vec<String>,
    /// Supplementary groups.
    pub group_add: Vec<String>,
    /// The log driver and its options.
    pub log: LogSpec,
    /// Labels.
    pub labels: Labels,
}

/// Where a container's output is logged by the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSpec {
    /// The driver.
    pub driver: String,
    /// Its options.
    pub options: BTreeMap<String, String>,
}

/// A command to run in a running container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecSpec {
    /// The command.
    pub command: Vec<String>,
    /// The user; empty: the container's own.
    pub user: String,
    /// Variables added, as `NAME=value`.
    pub env: Vec<String>,
    /// Whether stdin is wanted.
    pub stdin: bool,
}
