//! The feature flags that the runner resolves for every job.

use super::job::JobDescription;

/// Flags that a driver may look at, or that every version since 15 has, with their default for custom executors.
const FLAGS: [(&str, bool); 14] = [
    ("FF_NETWORK_PER_BUILD", false),
    ("FF_USE_DIRECT_DOWNLOAD", true),
    ("FF_SKIP_NOOP_BUILD_STAGES", true),
    ("FF_USE_FASTZIP", false),
    ("FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR", false),
    ("FF_ENABLE_BASH_EXIT_CODE_CHECK", false),
    ("FF_USE_NEW_BASH_EVAL_STRATEGY", false),
    ("FF_SCRIPT_SECTIONS", false),
    ("FF_ENABLE_JOB_CLEANUP", false),
    ("FF_POSIXLY_CORRECT_ESCAPES", false),
    ("FF_RESOLVE_FULL_TLS_CHAIN", false),
    ("FF_DISABLE_POWERSHELL_STDIN", false),
    ("FF_SET_PERMISSIONS_BEFORE_CLEANUP", true),
    ("FF_USE_INIT_WITH_DOCKER_EXECUTOR", false),
];

/// Returns every flag as the job has it: its own variable of that name, else the default.
pub(super) fn resolved(job: &JobDescription) -> impl Iterator<Item = (&str, bool)> {
    let asked = |name: &str| {
        let last = job.variables.iter().rev().find(|variable| variable.key == name)?;
        match last.value.as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    };
    FLAGS.iter().map(move |&(name, default)| (name, asked(name).unwrap_or(default)))
}
