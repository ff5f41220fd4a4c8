//! Further ways to drive a job and to say what came of it.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use hearth::runner::{
    CallReport, DriverCommand, Environment, Events, FailureClass, JobDescription, JobFailure, JobOutcome,
    JobStatus, Layout, StandIn, Surroundings, Transcript, call_environment, response_json,
};

use crate::world::{Ran, World};

impl World {
    /// Makes a runner whose driver is a shell script: these lines, and then hearth with the arguments that it was given.
    pub(crate) fn runner_through(&self, lines: &str) -> StandIn {
        let path = self.dir.join("driver");
        let hearth = env!("CARGO_BIN_EXE_hearth");
        let text = format!("#!/bin/sh\n{lines}\nexec '{hearth}' \"$@\"\n");
        std::fs::write(&path, text).expect("a driver script");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("an executable driver");
        StandIn::new(DriverCommand::new(path, &self.driver_options()), self.runner_env(), self.dir.clone())
    }

    /// Writes the settings: where the test's own facts are, and then these.
    pub(crate) fn write_settings(&self, text: &str) {
        let text = format!("[store]\ndir = {:?}\n{text}", self.dir.join("store"));
        std::fs::write(self.dir.join("config.toml"), text).expect("settings can be written");
    }

    /// Runs one driver call by hand, as a runner would that was restarted meanwhile.
    pub(crate) fn by_hand(&self, job: &JobDescription, args: &[&str]) -> Output {
        self.hand(job, args).output().expect("hearth runs")
    }

    /// Makes one driver call that is ready to be run by hand.
    pub(crate) fn hand(&self, job: &JobDescription, args: &[&str]) -> Command {
        let dir = self.dir.join("by-hand");
        std::fs::create_dir_all(&dir).expect("a directory");
        std::fs::write(dir.join("response.json"), response_json(job)).expect("a payload");
        let layout = Layout {
            builds_dir: "/builds".to_owned(),
            cache_dir: "/cache".to_owned(),
            project_dir: format!("/builds/{}", job.project_path),
        };
        let around = Surroundings {
            inherited: &self.runner_env(),
            temp_dir: &dir,
            job_env: &Default::default(),
            layout: &layout,
            status: JobStatus::Running,
        };
        let env: Environment = call_environment(job, around);
        let (stage, rest) = args.split_first().expect("a subcommand");
        let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
        command.arg(stage).args(self.driver_options()).args(rest).env_clear().envs(env).current_dir(dir);
        command
    }

    /// Runs cleanup by hand; it must go well.
    pub(crate) fn cleanup_by_hand(&self, job: &JobDescription) {
        let output = self.by_hand(job, &["cleanup"]);
        assert!(output.status.success(), "cleanup: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs a job, and hands what it says to a function as it comes.
    pub(crate) async fn run_watched(
        &self,
        runner: &StandIn,
        job: &JobDescription,
        watch: &mut dyn FnMut(&str),
    ) -> Ran {
        let mut watched = Watched { transcript: Transcript::default(), watch };
        let report = runner.run(job, &mut watched).await;
        let transcript = watched.transcript;
        let ran = Ran { report, log: transcript.text(), bytes: transcript.log };
        let left = self.left(job);
        assert!(left.is_empty(), "job {} left {left:?}\n{}", job.id, ran.log);
        ran
    }

    /// Finds the driver's running processes, as their directories below /proc and their command lines.
    pub(crate) fn driver_processes(&self) -> Vec<(PathBuf, String)> {
        let config = self.dir.join("config.toml").display().to_string();
        let processes = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
        let lines = processes.map(|it| {
            let line = std::fs::read(it.path().join("cmdline")).unwrap_or_default();
            (it.path(), String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned())
        });
        lines.filter(|(_, line)| line.contains(&config)).collect()
    }

    /// The name of one of the job's containers, such as `build`.
    pub(crate) fn container(&self, job: &JobDescription, role: &str) -> String {
        format!("hearth-{}-job-{}-{role}", job.short_token, job.id)
    }

    fn driver_options(&self) -> Vec<OsString> {
        let mut options: Vec<OsString> =
            vec!["--config".into(), self.dir.join("config.toml").into_os_string()];
        options.extend(self.options.iter().cloned());
        options
    }

    fn runner_env(&self) -> Vec<(OsString, OsString)> {
        let mut env: Vec<(OsString, OsString)> = vec![
            ("PATH".into(), std::env::var_os("PATH").unwrap_or_default()),
            ("HOME".into(), self.dir.clone().into_os_string()),
        ];
        env.extend(self.env.iter().cloned());
        env
    }
}

struct Watched<'a> {
    transcript: Transcript,
    watch: &'a mut dyn FnMut(&str),
}

impl Events for Watched<'_> {
    fn log(&mut self, bytes: &[u8]) {
        self.transcript.log(bytes);
        (self.watch)(&self.transcript.text());
    }

    fn runner_log(&mut self, bytes: &[u8]) {
        self.transcript.runner_log(bytes);
    }
}

impl Ran {
    /// Returns why the job failed.
    pub(crate) fn failure(&self) -> &JobFailure {
        match &self.report.outcome {
            JobOutcome::Failed(failure) => failure,
            other => panic!("{other:?}\n{}", self.log),
        }
    }

    /// Asserts that the job's script failed with this code.
    pub(crate) fn failed_with(&self, code: i32) -> &Self {
        self.failed_as(FailureClass::Script);
        assert_eq!(self.failure().exit_code, Some(code), "{}", self.log);
        self
    }

    /// Asserts whose fault the failure is.
    pub(crate) fn failed_as(&self, class: FailureClass) -> &Self {
        assert_eq!(self.failure().class, class, "{:?}\n{}", self.failure(), self.log);
        self
    }

    /// Asserts that a stage ran, and returns how it went.
    pub(crate) fn call(&self, name: &str) -> &CallReport {
        self.report
            .call(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}\n{}", self.report.names(), self.log))
    }

    /// Asserts that a stage did not run.
    pub(crate) fn never_ran(&self, name: &str) -> &Self {
        assert!(self.report.call(name).is_none(), "{name} is in {:?}\n{}", self.report.names(), self.log);
        self
    }

    /// Asserts that these calls, and no others, came after that one.
    pub(crate) fn after(&self, name: &str, calls: &[&str]) -> &Self {
        let names = self.report.names();
        let at = names.iter().rposition(|it| *it == name).unwrap_or_else(|| panic!("no {name} in {names:?}"));
        assert_eq!(names[at + 1..], *calls, "{names:?}\n{}", self.log);
        self
    }

    /// Asserts that a call was over in time: a busy machine gets more than the bound, what waits for ever does not.
    pub(crate) fn took_at_most(&self, name: &str, seconds: u64) -> &Self {
        const BUSY: u64 = 40;
        let took = self.call(name).took;
        assert!(took < Duration::from_secs(seconds + BUSY), "{name} took {took:?}\n{}", self.log);
        self
    }
}

/// The address of this host that containers reach: the one of the engine's default bridge.
pub(crate) fn host_address() -> IpAddr {
    let interfaces = nix::ifaddrs::getifaddrs().expect("the interfaces");
    let address = interfaces
        .filter(|it| it.interface_name == "docker0")
        .find_map(|it| Some(it.address?.as_sockaddr_in()?.ip()))
        .unwrap_or(Ipv4Addr::LOCALHOST);
    IpAddr::V4(address)
}

/// Runs git in a directory, and returns what it prints.
pub(crate) fn git(dir: &PathBuf, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .args(["-c", "user.name=test", "-c", "user.email=test@example.invalid"])
        .args(args);
    let output = command.output().expect("git");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
