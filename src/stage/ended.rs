//! Containers that ended under a stage: what their exit codes mean, and whose fault it is.

use crate::engine::{ContainerState, Engine};
use crate::outcome::Failure;
use crate::plan::script;

/// Makes the failure for a container that does not exist any more.
pub fn gone(role: &str) -> Failure {
    Failure::system(format!("the {role} container was removed while the job ran"))
        .hint("something on this host removes containers of running jobs")
}

/// Makes the failure for a container that does not run any more. A restart of the engine stops containers as a kill does;
/// only the times tell them apart.
pub async fn ended<E: Engine>(
    engine: &E,
    role: &str,
    state: &ContainerState,
    otherwise: impl FnOnce(&ContainerState) -> Failure,
) -> Failure {
    if let Some(ended) = state.ended
        && let Ok(Some(began)) = engine.began().await
        && ended < began
    {
        return Failure::system(format!(
            "the container engine was restarted, which stopped the {role} container"
        ))
        .hint("with live-restore in Docker's daemon.json, containers outlive a restart of the engine");
    }
    otherwise(state)
}

/// The main process of the helper is hearth's own: its exit codes say what is wrong with image or volumes.
pub fn helper_ended(state: &ContainerState) -> Failure {
    match state.exit_code {
        script::EXIT_NO_RUNNER => Failure::system(
            "the helper image has no gitlab-runner, but the job has a cache or artifacts, which would be lost",
        )
        .hint("use GitLab's helper image, or set helper_binary to the host's own gitlab-runner (Linux hosts)"),
        script::EXIT_BAD_VOLUME => {
            Failure::system("the helper could not open the builds or cache directory for all users")
                .hint("a volume of this host is mounted there: it must be writable for root in the container")
        }
        code => Failure::system(format!("the helper container ended{} with exit code {code}", why(state)))
            .hint("its image needs sh and coreutils; it runs as root"),
    }
}

/// The main process of the build container is the author's to keep alive.
pub fn build_ended(state: &ContainerState) -> Failure {
    let code = u8::try_from(state.exit_code).ok().filter(|code| *code != 0).unwrap_or(137);
    if matches!(code, 126 | 127) && !state.oom_killed {
        return Failure::job("the job's image has no shell: sh could not be started in it")
            .hint("stages are shell scripts: the image needs sh in PATH")
            .hint("an image of another architecture needs emulation (binfmt) on this host")
            .with_exit_code(code);
    }
    Failure::job(format!(
        "the main process of the build container was killed{}: exit code {code}",
        why(state)
    ))
    .with_exit_code(code)
}

fn why(state: &ContainerState) -> String {
    if !state.oom_killed {
        return String::new();
    }
    let limit = crate::units::ByteSize(u64::try_from(state.memory).unwrap_or_default());
    format!(" for lack of memory (limit {limit})")
}
