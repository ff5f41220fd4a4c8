//! `hearth check`: is the settings file right, what is in force, and what does it cost.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use crate::plan::reaches_engine;
use crate::settings::{JobSettings, Loaded, PullPolicy, Settings, Sources, VolumeSetting, load};

/// The exit code where the settings are wrong.
const WRONG: u8 = 2;
/// The exit code where the output could not be written.
const UNWRITTEN: u8 = 1;
/// Where the comments with the origins begin.
const COLUMN: usize = 56;

/// The arguments of `hearth check`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CheckArgs {
    /// The settings file to check instead of the usual one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Show what is in force for the table [runner."NAME"]
    #[arg(long, value_name = "NAME")]
    pub runner: Option<String>,
}

/// Runs the command and returns its exit code: 0 where the settings are right, 2 with the complaints on `err` where not.
pub fn run(args: &CheckArgs, mut sources: Sources, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    if args.config.is_some() {
        sources.explicit.clone_from(&args.config);
    }
    let (written, code) = match load(&sources, args.runner.as_deref()) {
        Ok(loaded) => (print(&loaded, out), 0),
        Err(complaints) => (writeln!(err, "{complaints}"), WRONG),
    };
    match written {
        Ok(()) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
        Err(_) => UNWRITTEN,
    }
}

fn print(loaded: &Loaded, out: &mut dyn Write) -> io::Result<()> {
    match &loaded.file {
        Some(file) => writeln!(out, "# {} over the built-in defaults", file.display())?,
        None => writeln!(out, "# no settings file: only the built-in defaults are in force")?,
    }
    for one in &loaded.effective {
        match &one.value {
            Some(value) => {
                let setting = format!("{} = {value}", one.key);
                writeln!(out, "{setting:COLUMN$} # {}", one.origin)?;
            }
            None => writeln!(out, "# {} is not set", one.key)?,
        }
    }
    let mut warnings = warnings(&loaded.settings.job);
    warnings.extend(warn_of_access(&loaded.settings));
    if !warnings.is_empty() {
        writeln!(out)?;
    }
    warnings.iter().try_for_each(|warning| writeln!(out, "{warning}"))?;
    out.flush()
}

/// Lists what the settings cost in safety or speed, one line each with the key, the price and the way to lower it.
pub fn warnings(job: &JobSettings) -> Vec<String> {
    let mut list = Vec::new();
    let mut warn = |text: String| list.push(format!("warning: {text}"));
    warn_of_volumes(job, &mut warn);
    warn_of_privilege(job, &mut warn);
    if job.allow_emulation {
        warn(
            "allow_emulation: images of a foreign architecture run 10 to 50 times slower than native ones"
                .to_owned(),
        );
    }
    if job.limits.pids.is_none() {
        warn("pids_limit: unlimited, so one job's fork bomb takes the whole host".to_owned());
    }
    if job.service_limits.pids.is_none() {
        warn("service_pids_limit: unlimited, so one service's fork bomb takes the whole host".to_owned());
    }
    if job.network_mode == "host" {
        warn("network_mode: with \"host\" jobs reach everything that listens on this host, and ports of jobs collide".to_owned());
    } else if !job.network_mode.is_empty() && (job.enable_ipv6 || job.network_mtu.is_some()) {
        warn("enable_ipv6 and network_mtu have no effect: they are for a network of the job's own, and network_mode names another".to_owned());
    }
    if !job.allow_local_images.is_empty() {
        let images = job.allow_local_images.as_written().join(", ");
        warn(format!(
            "allow_local_images: what stands under a name like {images} starts for every job, wherever it came from; with \"**\" that is any name"
        ));
    }
    if !job.no_new_privileges {
        list.push(
            "advice: no_new_privileges = true, unless jobs need sudo or other setuid programs".to_owned(),
        );
    }
    list
}

/// Lists what the settings of access cost, in the same form.
fn warn_of_access(settings: &Settings) -> Vec<String> {
    let (job, access) = (&settings.job, settings.access);
    let mut list = Vec::new();
    let hour = Duration::from_secs(3600);
    if access.proof_ttl > hour || !access.offline_grace.is_zero() {
        let longest = access.proof_ttl.saturating_add(access.offline_grace).as_secs();
        list.push(format!(
            "warning: proof_ttl and offline_grace: who may no longer read an image can get the copy that is here for up to {longest} s"
        ));
    }
    let policies =
        [&job.pull_policy[..], &job.helper_pull_policy[..], &job.allowed_pull_policies[..]].concat();
    if access.proof_ttl.is_zero() && policies.contains(&PullPolicy::Never) {
        list.push(
            "warning: pull_policy: \"never\" opens no image that came from a registry, since with proof_ttl = 0 no proof counts"
                .to_owned(),
        );
    }
    list
}

fn warn_of_volumes(job: &JobSettings, warn: &mut dyn FnMut(String)) {
    let limit = match job.volumes_allowed_projects.as_written() {
        [] => "every job".to_owned(),
        projects => format!("every job of {}", projects.join(", ")),
    };
    for volume in &job.volumes {
        let VolumeSetting::Bind { source, options, .. } = volume else { continue };
        let advice = "limit it with volumes_allowed_projects";
        if reaches_engine(source) {
            warn(format!(
                "volumes: {source} lets jobs reach the engine's socket, so {limit} is root on this host; {advice}"
            ));
        } else if is_system(source) && !options.split(',').any(|option| option == "ro") {
            warn(format!(
                "volumes: {source} is a directory of the system, so {limit} can take over this host; {advice}"
            ));
        }
    }
}

fn is_system(source: &str) -> bool {
    let first = source.split('/').find(|part| !part.is_empty()).unwrap_or_default();
    matches!(first, "etc" | "root" | "boot" | "usr" | "bin" | "sbin" | "lib" | "proc" | "sys")
        || source.starts_with("/var/lib/docker")
        || matches!(source.trim_end_matches('/'), "/home" | "/var/lib" | "/dev")
}

fn warn_of_privilege(job: &JobSettings, warn: &mut dyn FnMut(String)) {
    let services = job.services_privileged.unwrap_or(job.privileged);
    let narrowed = |images: &[String]| {
        let projects = job.privileged_allowed_projects.as_written();
        let of = |what: &str, list: &[String]| match list {
            [] => String::new(),
            list => format!(" {what} {}", list.join(", ")),
        };
        format!("{}{}", of("with an image like", images), of("of", projects))
    };
    let advice = "limit it with privileged_allowed_projects";
    if job.privileged {
        let narrowed = narrowed(job.allowed_privileged_images.as_written());
        warn(format!("privileged: every job{narrowed} is root on this host; {advice}"));
    } else if !job.allowed_privileged_images.is_empty() {
        warn("allowed_privileged_images has no effect: privileged is false".to_owned());
    }
    if services {
        let narrowed = narrowed(job.allowed_privileged_services.as_written());
        warn(format!(
            "services_privileged: every job that names a service{narrowed} is root on this host; {advice}"
        ));
    } else if !job.allowed_privileged_services.is_empty() {
        warn("allowed_privileged_services has no effect: services are not privileged".to_owned());
    }
    let mighty = ["ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "SYS_PTRACE", "DAC_READ_SEARCH"];
    for capability in &job.cap_add {
        if mighty.contains(&capability.strip_prefix("CAP_").unwrap_or(capability)) {
            warn(format!("cap_add: {capability} lets every job out of its container"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{CheckArgs, Sources, run};

    /// Runs the command on a file of this text: its exit code, and what it wrote.
    fn check(name: &str, text: &str, runner: Option<&str>) -> (u8, String, String) {
        let file = std::env::temp_dir().join(format!("hearth-check-{}-{name}.toml", std::process::id()));
        std::fs::write(&file, text).unwrap();
        let args = CheckArgs { config: Some(file.clone()), runner: runner.map(str::to_owned) };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(&args, Sources { explicit: None, usual: Vec::new() }, &mut out, &mut err);
        std::fs::remove_file(&file).unwrap();
        let shown =
            |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&file.display().to_string(), "FILE");
        (code, shown(out), shown(err))
    }

    #[test]
    fn every_setting_is_shown_with_its_origin() {
        let (code, out, err) = check(
            "origins",
            "[job]\nmemory = \"1g\"\n[runner.pi]\nvolumes = [\"/cache\", \"/srv/x:/x:ro\"]\n",
            Some("pi"),
        );
        assert_eq!((code, err.as_str()), (0, ""));
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], "# FILE over the built-in defaults");
        let line = |start: &str| *lines.iter().find(|line| line.starts_with(start)).unwrap();
        assert_eq!(line("job.memory ="), format!("{:56} # line 2", "job.memory = \"1g\""));
        assert_eq!(
            line("job.volumes ="),
            format!("{:56} # runner \"pi\", line 4", "job.volumes = [\"/cache\", \"/srv/x:/x:ro\"]")
        );
        assert_eq!(
            line("driver.builds_dir ="),
            format!("{:56} # default", "driver.builds_dir = \"/builds\"")
        );
        assert!(lines.contains(&"# job.cpus is not set"));
        assert_eq!(
            lines.last(),
            Some(&"advice: no_new_privileges = true, unless jobs need sudo or other setuid programs")
        );
        assert!(!out.contains("warning:"), "{out}");
    }

    #[test]
    fn complaints_go_to_stderr_with_exit_code_2() {
        let (code, out, err) = check("wrong", "[job]\nmemory = 1g\n", None);
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.starts_with("the settings in FILE are not valid\n  line 2: "), "{err}");
        let args = CheckArgs { config: Some(Path::new("/nonexistent/x.toml").to_owned()), runner: None };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(run(&args, Sources { explicit: None, usual: Vec::new() }, &mut out, &mut err), 2);
        assert!(String::from_utf8(err).unwrap().contains("does not exist"));
    }

    #[test]
    fn each_dangerous_setting_has_its_price_named() {
        for (name, text, price) in [
            (
                "socket",
                "volumes = ['/var/run/docker.sock:/var/run/docker.sock']",
                "so every job is root on this host",
            ),
            (
                "podman",
                "volumes = ['/run/podman/podman.sock:/s']\nvolumes_allowed_projects = ['g/*']",
                "so every job of g/* is root",
            ),
            ("root", "volumes = ['/:/host:ro']", "reach the engine's socket"),
            ("etc", "volumes = ['/etc:/host-etc']", "can take over this host"),
            ("privileged", "privileged = true", "warning: privileged: every job is root on this host"),
            (
                "inherited",
                "privileged = true",
                "warning: services_privileged: every job that names a service is root",
            ),
            (
                "services",
                "services_privileged = true\nallowed_privileged_services = ['docker:*']",
                "like docker:* is root",
            ),
            (
                "projects",
                "privileged = true\nprivileged_allowed_projects = ['id:7']",
                "every job of id:7 is root",
            ),
            ("idle", "allowed_privileged_images = ['docker:*']", "has no effect"),
            ("emulation", "allow_emulation = true", "slower than native"),
            ("pids", "pids_limit = -1", "fork bomb"),
            ("service-pids", "service_pids_limit = 0", "one service's fork bomb"),
            ("host", "network_mode = 'host'", "reach everything"),
            ("mtu", "network_mode = 'bridge'\nnetwork_mtu = 1400", "no effect"),
            ("local", "allow_local_images = ['app:*']", "a name like app:* starts for every job"),
            ("grace", "[access]\noffline_grace = 60", "for up to 3660 s"),
            ("ttl", "[access]\nproof_ttl = 86400", "for up to 86400 s"),
            ("never", "pull_policy = 'never'\n[access]\nproof_ttl = 0", "no proof counts"),
            ("caps", "cap_add = ['sys_admin']", "out of its container"),
            ("nnp", "", "advice: no_new_privileges = true"),
        ] {
            let (code, out, err) = check(name, &format!("[job]\n{text}\n"), None);
            assert_eq!((code, err.as_str()), (0, ""), "{name}");
            assert!(out.contains(price), "{name}: {out}");
        }
        let (_, out, _) =
            check("calm", "[job]\nno_new_privileges = true\nvolumes = ['/etc/ssl:/etc/ssl:ro']\n", None);
        assert!(!out.contains("warning:") && !out.contains("advice:"), "{out}");
    }
}
