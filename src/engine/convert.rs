//! Our specs to the Docker API's shapes, and its answers to ours.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, CreateImageInfo, DeviceMapping,
    EndpointSettings, HealthStatusEnum, HostConfig, HostConfigLogConfig, ImageHistoryResponseItem,
    ImageInspect, Ipam, IpamConfig, NetworkCreateRequest, NetworkingConfig, ResourcesUlimits,
    VolumeCreateRequest,
};

use super::api::{ContainerState, Health};
use super::moment::Moment;
use super::progress::PullEvent;
use crate::image::{HistoryEntry, ImageFacts};
use crate::plan::spec::{ContainerSpec, Labels, NetworkSpec, NetworkUse, VolumeSpec};

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn list(items: &[String]) -> Option<Vec<String>> {
    (!items.is_empty()).then(|| items.to_vec())
}

fn map(labels: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    Some(labels.clone().into_iter().collect())
}

/// Turns a container's spec into the body of its create call.
pub(super) fn container(spec: &ContainerSpec) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: spec.entrypoint.clone(),
        cmd: spec.command.clone(),
        user: some(&spec.user),
        env: list(&spec.env),
        working_dir: spec.working_dir.clone(),
        hostname: some(&spec.hostname),
        open_stdin: Some(spec.open_stdin),
        stdin_once: Some(spec.open_stdin),
        attach_stdin: Some(spec.open_stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        labels: map(&spec.labels),
        host_config: Some(host_config(spec)),
        networking_config: match &spec.network {
            NetworkUse::Joined { network, aliases } => Some(NetworkingConfig {
                endpoints_config: Some(HashMap::from([(
                    network.clone(),
                    EndpointSettings { aliases: Some(aliases.clone()), ..Default::default() },
                )])),
            }),
            NetworkUse::Mode(_) => None,
        },
        ..Default::default()
    }
}

fn host_config(spec: &ContainerSpec) -> HostConfig {
    let limits = &spec.limits;
    HostConfig {
        binds: Some(
            spec.mounts
                .iter()
                .map(|m| match m.options.as_str() {
                    "" => format!("{}:{}", m.source, m.target),
                    options => format!("{}:{}:{options}", m.source, m.target),
                })
                .collect(),
        ),
        tmpfs: (!spec.tmpfs.is_empty()).then(|| spec.tmpfs.clone().into_iter().collect()),
        network_mode: Some(match &spec.network {
            NetworkUse::Joined { network, .. } => network.clone(),
            NetworkUse::Mode(mode) => mode.clone(),
        }),
        extra_hosts: list(&spec.extra_hosts),
        dns: list(&spec.dns),
        dns_search: list(&spec.dns_search),
        init: Some(spec.init),
        privileged: Some(spec.privileged),
        cap_add: list(&spec.cap_add),
        cap_drop: list(&spec.cap_drop),
        security_opt: list(&spec.security_opt),
        userns_mode: some(&spec.userns_mode),
        runtime: some(&spec.runtime),
        memory: limits.memory.map(|m| m.as_i64()),
        memory_swap: limits.memory_swap.map(|m| m.as_i64()),
        memory_reservation: limits.memory_reservation.map(|m| m.as_i64()),
        nano_cpus: limits.nano_cpus,
        cpu_shares: limits.cpu_shares,
        cpuset_cpus: some(&limits.cpuset_cpus),
        pids_limit: limits.pids,
        shm_size: spec.shm_size.map(|s| s.as_i64()),
        ulimits: (!spec.ulimit.is_empty()).then(|| {
            spec.ulimit
                .iter()
                .map(|(name, (soft, hard))| ResourcesUlimits {
                    name: Some(name.clone()),
                    soft: Some(*soft),
                    hard: Some(*hard),
                })
                .collect()
        }),
        devices: (!spec.devices.is_empty()).then(|| {
            spec.devices
                .iter()
                .map(|d| DeviceMapping {
                    path_on_host: Some(d.host.clone()),
                    path_in_container: Some(d.container.clone()),
                    cgroup_permissions: Some(d.permissions.clone()),
                })
                .collect()
        }),
        device_cgroup_rules: list(&spec.device_cgroup_rules),
        group_add: list(&spec.group_add),
        log_config: some(&spec.log.driver)
            .map(|driver| HostConfigLogConfig { typ: Some(driver), config: map(&spec.log.options) }),
        ..Default::default()
    }
}

/// Turns a network's spec into the body of its create call. `with_subnet`: with the subnet for IPv6.
pub(super) fn network(spec: &NetworkSpec, with_subnet: bool) -> NetworkCreateRequest {
    let options =
        spec.mtu.map(|mtu| HashMap::from([("com.docker.network.driver.mtu".to_owned(), mtu.to_string())]));
    NetworkCreateRequest {
        name: spec.name.clone(),
        driver: Some("bridge".to_owned()),
        enable_ipv6: Some(spec.ipv6.is_some()),
        ipam: spec.ipv6.as_ref().filter(|_| with_subnet).map(|subnet| Ipam {
            config: Some(vec![IpamConfig { subnet: Some(subnet.clone()), ..Default::default() }]),
            ..Default::default()
        }),
        options,
        labels: map(&spec.labels),
        ..Default::default()
    }
}

/// Turns a volume's spec into the body of its create call.
pub(super) fn volume(spec: &VolumeSpec) -> VolumeCreateRequest {
    VolumeCreateRequest { name: Some(spec.name.clone()), labels: map(&spec.labels), ..Default::default() }
}

/// What stands in listings for a name that an image does not have.
pub(super) const NO_NAME: &str = "<none>";

/// Returns names with a tag: containerd's store and Podman have those with a digest among them.
pub(super) fn tags(names: Vec<String>) -> Vec<String> {
    names.into_iter().filter(|name| !name.contains(NO_NAME) && !name.contains('@')).collect()
}

/// Reads an image's facts.
pub(super) fn image(inspect: ImageInspect) -> ImageFacts {
    let config = inspect.config.unwrap_or_default();
    let check = config.healthcheck.and_then(|h| h.test).unwrap_or_default();
    ImageFacts {
        id: inspect.id.unwrap_or_default(),
        tags: tags(inspect.repo_tags.unwrap_or_default()),
        repo_digests: inspect.repo_digests.unwrap_or_default(),
        os: inspect.os.unwrap_or_default(),
        architecture: inspect.architecture.unwrap_or_default(),
        variant: inspect.variant.unwrap_or_default(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        user: config.user.unwrap_or_default(),
        exposed_ports: config.exposed_ports.unwrap_or_default(),
        has_healthcheck: check.first().is_some_and(|kind| kind != "NONE"),
        env: config.env.unwrap_or_default(),
        diff_ids: inspect.root_fs.and_then(|root| root.layers).unwrap_or_default(),
        bytes: inspect.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
    }
}

/// Reads an image's history, which comes newest first.
pub(super) fn history(found: Vec<ImageHistoryResponseItem>) -> Vec<HistoryEntry> {
    let entry = |item: ImageHistoryResponseItem| HistoryEntry {
        created_by: item.created_by,
        bytes: u64::try_from(item.size).unwrap_or_default(),
    };
    found.into_iter().rev().map(entry).collect()
}

/// Reads a container's state.
pub(super) fn state(inspect: ContainerInspectResponse) -> ContainerState {
    let state = inspect.state.unwrap_or_default();
    let config = inspect.config.unwrap_or_default();
    let health = match state.health.and_then(|h| h.status) {
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
        _ => Health::None,
    };
    let addresses = inspect
        .network_settings
        .and_then(|n| n.networks)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, endpoint)| Some((name, endpoint.ip_address.filter(|a| !a.is_empty())?)))
        .collect();
    ContainerState {
        id: inspect.id.unwrap_or_default(),
        running: state.running.unwrap_or_default(),
        fresh: matches!(state.status, Some(ContainerStateStatusEnum::CREATED)),
        removing: matches!(
            state.status,
            Some(ContainerStateStatusEnum::REMOVING | ContainerStateStatusEnum::DEAD)
        ),
        exit_code: state.exit_code.unwrap_or_default(),
        ended: (state.running != Some(true))
            .then(|| Moment::parse(state.finished_at.as_deref().unwrap_or_default()))
            .flatten(),
        oom_killed: state.oom_killed.unwrap_or_default(),
        error: state.error.unwrap_or_default(),
        health,
        labels: labels(config.labels),
        user: config.user.unwrap_or_default(),
        addresses,
        memory: inspect.host_config.and_then(|h| h.memory).unwrap_or_default(),
    }
}

/// Sorts labels.
pub(super) fn labels(labels: Option<HashMap<String, String>>) -> Labels {
    labels.unwrap_or_default().into_iter().collect()
}

/// Reads one line of a pull.
pub(super) fn pull_event(info: CreateImageInfo) -> PullEvent {
    let layer = info.id.unwrap_or_default();
    let detail = info.progress_detail.unwrap_or_default();
    let number = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    let (done, total) = (number(detail.current), number(detail.total));
    let status = info.status.unwrap_or_default();
    match status.as_str() {
        "Pulling fs layer" | "Waiting" => PullEvent::Waiting(layer),
        "Downloading" => PullEvent::Downloading { layer, done, total },
        "Verifying Checksum" | "Download complete" => PullEvent::Downloaded(layer),
        "Extracting" => PullEvent::Extracting { layer, done },
        "Pull complete" => PullEvent::Done(layer),
        "Already exists" => PullEvent::Present(layer),
        other => match other.strip_prefix("Digest: ") {
            Some(digest) => PullEvent::Digest(digest.to_owned()),
            None if other.starts_with("Retrying in ") => PullEvent::Waiting(layer),
            None => PullEvent::Other,
        },
    }
}
