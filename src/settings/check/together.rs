//! Keys of `[job]` that do not go together.

use super::{Checker, optional, value};
use crate::settings::model::{DriverSettings, PullPolicy, VolumeSetting};
use crate::settings::raw::RawJob;
use crate::settings::wire::quote;

/// Complains about keys that contradict each other.
pub(super) fn check_together(raw: &RawJob, driver: &DriverSettings, checker: &mut Checker<'_>) {
    check_services(raw, checker);
    check_policies(raw, checker);
    check_mounts(raw, driver, checker);
    if let (Some(add), Some(drop)) = (&raw.cap_add, &raw.cap_drop) {
        for both in add.value.iter().filter(|capability| drop.value.contains(capability)) {
            checker.complain(add, format!("{} is in cap_drop too", quote(&both.0)));
        }
    }
    if let Some(set) = raw.log_max_size.as_ref().filter(|set| set.value.0 < 4096) {
        checker.complain(set, format!("{} is too little: write at least 4k, such as 1m", set.value));
    }
}

fn check_services(raw: &RawJob, checker: &mut Checker<'_>) {
    let count = raw.services.as_ref().map_or(0, |set| set.value.len());
    if let Some(set) = raw.network_mode.as_ref().filter(|set| set.value.0 == "none" && count > 0) {
        checker.complain(set, "\"none\" is not allowed with services: they could not be reached");
    }
    if let Some(set) = &raw.services_limit
        && usize::try_from(set.value).is_ok_and(|limit| limit < count)
    {
        checker.complain(set, format!("{} is less than the {count} services of every job", set.value));
    }
}

fn check_policies(raw: &RawJob, checker: &mut Checker<'_>) {
    let allowed = value(&raw.allowed_pull_policies);
    if let Some(set) = &raw.pull_policy
        && !allowed.is_empty()
        && !set.value.0.iter().any(|policy| allowed.contains(policy))
    {
        let list =
            |policies: &[PullPolicy]| policies.iter().map(|p| p.as_str()).collect::<Vec<_>>().join(", ");
        let (own, allowed) = (list(&set.value.0), list(&allowed));
        checker.complain(
            set,
            format!("{own} is not in allowed_pull_policies ({allowed}), so no image could be had"),
        );
    }
}

fn check_mounts(raw: &RawJob, driver: &DriverSettings, checker: &mut Checker<'_>) {
    let Some(volumes) = &raw.volumes else { return };
    let mut paths: Vec<&str> = Vec::new();
    for volume in &volumes.value {
        let (VolumeSetting::Project { path }
        | VolumeSetting::Named { path, .. }
        | VolumeSetting::Bind { path, .. }) = volume;
        if *path == driver.builds_dir {
            let problem = format!("{} is builds_dir, which has volumes of its own", quote(path));
            checker.complain(volumes, problem);
        }
        if paths.contains(&path.as_str()) {
            checker.complain(volumes, format!("{} is mounted twice", quote(path)));
        }
        paths.push(path);
    }
    for tmpfs in [&raw.tmpfs, &raw.services_tmpfs].into_iter().flatten() {
        for path in
            tmpfs.value.0.keys().filter(|path| paths.contains(&path.as_str()) || **path == driver.builds_dir)
        {
            checker.complain(tmpfs, format!("{} has a volume already", quote(path)));
        }
    }
    if let Some(set) = &raw.helper_binary
        && let Some(binary) = optional(&raw.helper_binary)
        && binary.0.as_os_str().as_encoded_bytes().contains(&b':')
    {
        checker.complain(set, "a path with a colon cannot be mounted");
    }
}
