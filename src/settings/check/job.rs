//! `[job]`: every key taken over into its checked type.

use std::path::Path;
use std::time::Duration;

use super::limits::{build_limits, service_limits};
use super::together::check_together;
use super::{Checker, optional, value};
use crate::settings::model::{DriverSettings, JobSettings, ServiceSetting};
use crate::settings::raw::{RawJob, RawService, Set};
use crate::settings::wire::quote;
use crate::settings::words::SecurityOption;
use crate::units::ByteSize;

/// Checks `[job]` with the overlay of a runner already on it.
pub(super) fn check_job(raw: &RawJob, driver: &DriverSettings, checker: &mut Checker<'_>) -> JobSettings {
    check_together(raw, driver, checker);
    let limits = build_limits(raw, checker);
    let service_limits = service_limits(raw, checker);
    let services_limit = checker.number(&raw.services_limit, &[-1], 0..=1000, ", or -1 for no limit");
    let wait = match raw.wait_for_services_timeout.as_ref().map(|set| set.value) {
        Some(seconds) if seconds < 0 => None,
        _ => checker.number(
            &raw.wait_for_services_timeout,
            &[],
            1..=86400,
            " of seconds, or -1 to wait for none",
        ),
    };
    let mtu = checker.number(&raw.network_mtu, &[0], 68..=65535, ", or 0 for the engine's own");
    JobSettings {
        image: optional(&raw.image).unwrap_or_default().0,
        helper_image: optional(&raw.helper_image).unwrap_or_default().0,
        helper_image_flavor: value(&raw.helper_image_flavor).0,
        helper_binary: optional(&raw.helper_binary).map(|path| path.0),
        pull_policy: value(&raw.pull_policy).0,
        helper_pull_policy: value(&raw.helper_pull_policy).0,
        allowed_pull_policies: value(&raw.allowed_pull_policies),
        allowed_images: value(&raw.allowed_images),
        allowed_services: value(&raw.allowed_services),
        allow_local_images: value(&raw.allow_local_images),
        user: value(&raw.user),
        allowed_users: value(&raw.allowed_users),
        disable_entrypoint_overwrite: value(&raw.disable_entrypoint_overwrite),
        platform: optional(&raw.platform),
        allow_emulation: value(&raw.allow_emulation),
        privileged: value(&raw.privileged),
        allowed_privileged_images: value(&raw.allowed_privileged_images),
        services_privileged: raw.services_privileged.as_ref().map(|set| set.value),
        allowed_privileged_services: value(&raw.allowed_privileged_services),
        privileged_allowed_projects: value(&raw.privileged_allowed_projects),
        volumes: value(&raw.volumes),
        volumes_allowed_projects: value(&raw.volumes_allowed_projects),
        disable_cache: value(&raw.disable_cache),
        services: raw.services.iter().flat_map(|set| set.value.iter().map(service)).collect(),
        services_limit: services_limit.and_then(|limit| u32::try_from(limit).ok()),
        wait_for_services_timeout: wait
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map(Duration::from_secs),
        entrypoint_timeout: checker.above_zero(&raw.entrypoint_timeout),
        kill_grace: value(&raw.kill_grace).0,
        network_mode: value(&raw.network_mode).0,
        enable_ipv6: value(&raw.enable_ipv6),
        network_mtu: mtu.and_then(|mtu| u32::try_from(mtu).ok()),
        init: value(&raw.init),
        no_init_images: value(&raw.no_init_images),
        services_init: value(&raw.services_init),
        limits,
        service_limits,
        shm_size: optional(&raw.shm_size).filter(|size| *size != ByteSize(0)),
        ulimit: value(&raw.ulimit).0,
        tmpfs: value(&raw.tmpfs).0,
        services_tmpfs: value(&raw.services_tmpfs).0,
        devices: value(&raw.devices),
        services_devices: value(&raw.services_devices).0,
        device_cgroup_rules: list(&raw.device_cgroup_rules, |rule| &rule.0),
        group_add: value(&raw.group_add),
        dns: list(&raw.dns, |server| &server.0),
        dns_search: list(&raw.dns_search, |domain| &domain.0),
        extra_hosts: list(&raw.extra_hosts, |host| &host.0),
        cap_add: list(&raw.cap_add, |capability| &capability.0),
        cap_drop: list(&raw.cap_drop, |capability| &capability.0),
        security_opt: inline_seccomp(&raw.security_opt, checker),
        services_security_opt: inline_seccomp(&raw.services_security_opt, checker),
        no_new_privileges: value(&raw.no_new_privileges),
        userns_mode: value(&raw.userns_mode),
        runtime: optional(&raw.runtime).unwrap_or_default().0,
        log_driver: optional(&raw.log_driver).unwrap_or_default().0,
        log_max_size: value(&raw.log_max_size),
        hostname: optional(&raw.hostname).unwrap_or_default().0,
        container_labels: value(&raw.container_labels),
    }
}

fn list<T: Clone>(set: &Option<Set<Vec<T>>>, text: impl Fn(&T) -> &String) -> Vec<String> {
    set.iter().flat_map(|set| set.value.iter().map(|item| text(item).clone())).collect()
}

fn service(raw: &RawService) -> ServiceSetting {
    let list = |set: &Option<Set<Vec<String>>>| {
        set.as_ref().map(|set| set.value.clone()).filter(|list| !list.is_empty())
    };
    ServiceSetting {
        name: value(&raw.name).0,
        alias: value(&raw.alias),
        entrypoint: list(&raw.entrypoint),
        command: list(&raw.command),
        environment: value(&raw.environment).0,
    }
}

/// Puts the content of `seccomp=FILE` in place of the file, since the engine wants the profile itself.
fn inline_seccomp(set: &Option<Set<Vec<SecurityOption>>>, checker: &mut Checker<'_>) -> Vec<String> {
    let Some(set) = set else { return Vec::new() };
    let mut options = Vec::new();
    for SecurityOption(option) in &set.value {
        let Some(file) = option.strip_prefix("seccomp=").filter(|file| file.starts_with('/')) else {
            options.push(option.clone());
            continue;
        };
        let profile = (checker.read_file)(Path::new(file))
            .map_err(|error| format!("the seccomp profile {} cannot be read: {error}", quote(file)))
            .and_then(|text| {
                let profile = serde_json::from_str::<serde_json::Value>(&text);
                profile.map_err(|error| format!("the seccomp profile {} is not JSON: {error}", quote(file)))
            });
        match profile {
            Ok(profile) => options.push(format!("seccomp={profile}")),
            Err(problem) => checker.complain(set, problem),
        }
    }
    options
}
