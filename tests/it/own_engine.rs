//! An engine of the test's own, which may be killed, stopped and starved.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use crate::world::{World, skip};

/// A dockerd with a store of its own. It ends with all its containers when it is dropped.
pub(crate) struct OwnEngine {
    dir: PathBuf,
    child: Option<Child>,
    /// Its default bridge. Without one of its own, it would take or delete the one of the machine's engine.
    bridge: String,
    /// The Debian that a Docker with containerd's store runs in; `None`: it is the machine's own, with its own store.
    debian: Option<PathBuf>,
    /// `unix:///…`, for settings and DOCKER_HOST.
    pub(crate) host: String,
}

impl OwnEngine {
    /// Starts one below the test's directory; `None` (said loudly) where that cannot be.
    pub(crate) fn start(test: &str, world: &World) -> Option<Self> {
        Self::start_in(test, world, None)
    }

    /// Starts one with containerd's store, where the parts have such a one.
    pub(crate) fn start_with_containerds_store(test: &str, world: &World) -> Option<Self> {
        let parts = std::env::var("HEARTH_TEST_CONTAINERD").ok();
        let socket = parts.as_ref().and_then(|host| host.strip_prefix("unix://"));
        let debian = socket.and_then(|path| Some(Path::new(path).parent()?.parent()?.join("debian")));
        if debian.is_none() {
            skip(test, "HEARTH_TEST_CONTAINERD names no engine");
        }
        Self::start_in(test, world, Some(debian?))
    }

    fn start_in(test: &str, world: &World, debian: Option<PathBuf>) -> Option<Self> {
        if !Uid::effective().is_root() || Command::new("dockerd").arg("--version").output().is_err() {
            skip(test, "an engine of its own needs root and dockerd");
            return None;
        }
        let dir = world.dir.join("engine");
        std::fs::create_dir_all(dir.join("data")).expect("a directory");
        let socket = if debian.is_some() { "shared/docker.sock" } else { "e.sock" };
        let host = format!("unix://{}", dir.join(socket).display());
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let subnet = 20 + (std::process::id() * 4 + NEXT.fetch_add(1, Ordering::Relaxed)) % 200;
        let mut engine = Self { dir, child: None, bridge: format!("hearth-t{subnet}"), debian, host };
        let bridge = &engine.bridge;
        let address = format!("10.{subnet}.255.1/24");
        let made = ip(&["link", "add", "name", bridge, "type", "bridge"])
            && ip(&["addr", "add", &address, "dev", bridge])
            && ip(&["link", "set", bridge, "up"]);
        if !made {
            skip(test, "no bridge for an engine of its own can be made here");
            return None;
        }
        if engine.launch() {
            return Some(engine);
        }
        skip(test, &format!("no second engine starts here: {}", engine.log_end()));
        None
    }

    /// Starts it again after it ended.
    pub(crate) fn relaunch(&mut self) {
        // Its containerd ends with it, but where nobody reaps it, it looks alive.
        let _ = std::fs::remove_file(self.dir.join("x/containerd/containerd.pid"));
        assert!(self.launch(), "it starts again: {}", self.log_end());
    }

    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    /// Where its images and containers are.
    pub(crate) fn data(world: &World) -> PathBuf {
        world.dir.join("engine/data")
    }

    fn command(&self) -> Command {
        if let Some(debian) = &self.debian {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parts/containerd.sh");
            let mut command = Command::new("unshare");
            command.args(["-m", "--", script, "--engine"]).args([debian, &self.dir]).arg(&self.bridge);
            command.env("HEARTH_PARTS", &self.dir);
            return command;
        }
        // No --bridge=none and no address pools: with them, a dockerd deletes docker0, whosever it is.
        let mut command = Command::new("dockerd");
        command
            .args(["--iptables=false", "--ip-masq=false", "--shutdown-timeout=2"])
            .arg(format!("--bridge={}", self.bridge))
            .arg(format!("--data-root={}", self.dir.join("data").display()))
            .arg(format!("--exec-root={}", self.dir.join("x").display()))
            .arg(format!("--pidfile={}", self.dir.join("pid").display()))
            .args(["-H", &self.host]);
        command
    }

    fn launch(&mut self) -> bool {
        let log = File::options().create(true).append(true).open(self.dir.join("log")).expect("a log");
        let child = self
            .command()
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn();
        self.child = child.ok();
        let deadline = Instant::now() + Duration::from_secs(40);
        while Instant::now() < deadline {
            if self.docker(&["version"]).is_some() {
                return true;
            }
            if self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None))) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        false
    }

    /// Runs the docker command line against it; `None`: that failed.
    pub(crate) fn docker(&self, args: &[&str]) -> Option<String> {
        let output = Command::new("docker").env("DOCKER_HOST", &self.host).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Pulls an image of the open registry.
    pub(crate) fn pull(&self, image: &str) {
        assert!(self.docker(&["pull", "-q", image]).is_some(), "{image} is pulled");
    }

    /// The process to signal.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(
            self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()).unwrap_or(i32::MAX),
        )
    }

    /// Ends it; waits until it has.
    pub(crate) fn end(&mut self, signal: Signal) {
        let Some(mut child) = self.child.take() else { return };
        let _ = kill(Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX)), signal);
        let deadline = Instant::now() + Duration::from_secs(15);
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = child.kill();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Writes settings for it; the job image serves as helper, since this store has little else.
    pub(crate) fn settings(&self, world: &World, more: &str) {
        let (host, image) = (&self.host, world.image("job/busybox"));
        let text = format!(
            "[engine]\nhost = \"{host}\"\ntimeout = 5\n[pull]\nbackoff = 0\n[job]\nhelper_image = \"{image}\"\n\
             pull_policy = [\"if-not-present\"]\n{more}\n"
        );
        world.write_settings(&text);
    }

    /// Lists all containers, and the networks and volumes of jobs.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for list in [
            &["ps", "-aq"][..],
            &["network", "ls", "-q", "--filter", "name=-job-"],
            &["volume", "ls", "-q", "--filter", "name=-job-"],
        ] {
            left.extend(self.docker(list).unwrap_or_else(|| "?".to_owned()).lines().map(str::to_owned));
        }
        left
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        let _ = kill(self.pid(), Signal::SIGCONT);
        if self.child.is_none() {
            let _ = std::fs::remove_file(self.dir.join("x/containerd/containerd.pid"));
            self.launch();
        }
        if let Some(all) = self.docker(&["ps", "-aq"]) {
            let mut args = vec!["rm", "-f"];
            args.extend(all.lines());
            if args.len() > 2 {
                self.docker(&args);
            }
        }
        self.end(Signal::SIGTERM);
        kill_its_own(&self.dir);
        unmount_below(&self.dir);
        ip(&["link", "del", &self.bridge]);
    }
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).output().is_ok_and(|output| output.status.success())
}

/// Kills what an engine that was killed leaves: its containerd and the shims, whose arguments name this directory.
fn kill_its_own(dir: &Path) {
    let dir = format!("{}/", dir.display());
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments);
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok());
        let is_engine = arguments.split('\0').next().is_some_and(|program| program.contains("containerd"));
        if let Some(pid) = pid.filter(|_| is_engine && arguments.contains(&dir)) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Unmounts all that is mounted at or below a directory.
pub(crate) fn unmount_below(dir: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|path| Path::new(path).starts_with(dir))
        .collect();
    for path in below.into_iter().rev() {
        let _ = Command::new("umount").args(["-l", path]).status();
    }
}
