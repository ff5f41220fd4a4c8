//! The small shell programs that hearth runs inside containers, and the commands that start them.
//!
//! Images need nothing but a shell: `/proc` is read with builtins, since many images have no ps, pkill or sleep.

const SHELL: &str = include_str!("scripts/shell.sh");
const IDLE: &str = include_str!("scripts/idle.sh");
const HANDOVER: &str = include_str!("scripts/handover.sh");
const PROCESSES: &str = include_str!("scripts/procs.sh");
const STAGE: &str = include_str!("scripts/stage.sh");
const STOP: &str = include_str!("scripts/stop.sh");
const HELPER: &str = include_str!("scripts/helper.sh");
const WAIT: &str = include_str!("scripts/wait.sh");
const READ: &str = include_str!("scripts/read.sh");

/// The file by which the helper says that the volumes are ready.
pub const READY_FILE: &str = "/tmp/.hearth-ready";
/// What the helper prints then.
pub const READY_LINE: &str = "ready";
/// The helper's exit code for "no gitlab-runner in PATH".
pub const EXIT_NO_RUNNER: i64 = 97;
/// The helper's exit code for "a volume cannot be opened for all users".
pub const EXIT_BAD_VOLUME: i64 = 96;
/// The exit code of [`read`] for "there is no such directory, or a link leads to it".
pub const EXIT_NO_CHECKOUT: i64 = 3;

fn sh(script: String, arguments: &[&str]) -> Vec<String> {
    let mut command = vec!["sh".to_owned(), "-c".to_owned(), script];
    command.extend(arguments.iter().map(|a| (*a).to_owned()));
    command
}

/// Returns the command of a build container without ENTRYPOINT: it only stays.
pub fn idle() -> Vec<String> {
    sh(IDLE.to_owned(), &[])
}

/// Returns the command that an ENTRYPOINT receives: it looks for a shell, which reads [`handover`] from stdin.
pub fn probe() -> Vec<String> {
    sh(SHELL.to_owned(), &[])
}

/// Returns the script that an ENTRYPOINT's shell reads: it writes down what was handed over, says so, and stays.
pub fn handover(state: &str) -> String {
    HANDOVER.replace("@STATE@", state)
}

/// Returns the name of the file in the build container that holds what an ENTRYPOINT handed over.
pub fn state_name(job_key: &str) -> String {
    format!(".{job_key}")
}

/// Returns the command that prints uid, gid and groups of the shell that an ENTRYPOINT handed over to.
pub fn identity(state: &str) -> Vec<String> {
    let script = "for d in /dev/shm /tmp /var/tmp \"$HOME\" .; do [ -r \"$d/$0\" ] && . \"$d/$0\" && break; done; echo \"$HEARTH_IDENTITY\"";
    sh(script.to_owned(), &[state])
}

/// What a stage's wrapper is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StageOptions {
    /// A file to wait for before the script runs; empty for none.
    pub ready_file: String,
    /// The name of the state that an ENTRYPOINT handed over; empty for none.
    pub state: String,
    /// The memory limit, for people.
    pub memory: String,
    /// The umask; empty: as it is.
    pub umask: String,
    /// What tells this stage's wrapper from another one's in the same container, so that [`stop`] ends no other stage.
    pub mark: String,
}

/// Returns the command that runs a stage's script from stdin and ends what it leaves behind. Its text is in
/// [`stage_env`]: on the command line every `pkill -f` of a job's script would find something in it.
pub fn stage(options: &StageOptions) -> Vec<String> {
    sh(
        "eval \"$HEARTH_STAGE\"".to_owned(),
        &[&wrapper(&options.mark), &options.ready_file, &options.state, &options.memory, &options.umask],
    )
}

/// Returns the name that a stage's wrapper goes by.
fn wrapper(mark: &str) -> String {
    format!("hearth-stage-{mark}")
}

/// Returns the environment that [`stage`] needs.
pub fn stage_env() -> Vec<String> {
    vec![format!("HEARTH_STAGE={PROCESSES}{STAGE}")]
}

/// Returns the command that ends the stage of that mark: TERM, and KILL after `tenths` of a second.
pub fn stop(tenths: u64, mark: &str) -> Vec<String> {
    sh(format!("{PROCESSES}{STOP}"), &["hearth", &tenths.to_string(), &wrapper(mark)])
}

/// Returns the command of the helper container. `temporary` is the job's directory for tokens and file variables; empty
/// where it is not certain.
pub fn helper(
    builds_dir: &str,
    need_runner: bool,
    umask: &str,
    temporary: &str,
    directories: &[String],
) -> Vec<String> {
    let need = if need_runner { "1" } else { "0" };
    let mut command = sh(HELPER.to_owned(), &["hearth", builds_dir, READY_FILE, need, umask, temporary]);
    command.extend(directories.iter().cloned());
    command
}

/// Returns the command that adds names to /etc/hosts; each line is a name and an address, as `extra_hosts` has them.
pub fn add_hosts(lines: &[String]) -> Vec<String> {
    let mut command = sh(
        "for l in \"$@\"; do printf '%s\\t%s\\n' \"${l#*:}\" \"${l%%:*}\"; done >>/etc/hosts".to_owned(),
        &["hearth"],
    );
    command.extend(lines.iter().cloned());
    command
}

/// Returns the command that reads files of a checkout, each up to so many bytes; which ones comes on stdin. What it prints
/// is told by `scripts/read.sh`. It ends with [`EXIT_NO_CHECKOUT`] where the checkout is not what it is called.
pub fn read(checkout: &str, bytes: usize) -> Vec<String> {
    sh(READ.to_owned(), &["hearth", checkout, &bytes.to_string()])
}

/// A service to wait for: its place in the job, a host name and its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitFor {
    /// The service's place.
    pub index: usize,
    /// The name it is found by from the helper.
    pub host: String,
    /// Its TCP ports; any that answers will do.
    pub ports: Vec<u16>,
}

/// Returns the command that waits in the helper until services accept connections; it prints `ready INDEX` for each.
pub fn wait(seconds: u64, services: &[WaitFor]) -> Vec<String> {
    let mut command = sh(WAIT.to_owned(), &["hearth", &seconds.to_string()]);
    for service in services {
        let ports: Vec<String> = service.ports.iter().map(u16::to_string).collect();
        command.extend([service.index.to_string(), service.host.clone(), ports.join(",")]);
    }
    command
}
