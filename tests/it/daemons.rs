//! A daemon of the test's own: the built binary, with a service manager that listens.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hearth::daemon::report::Report;
use hearth::store::{Sharing, StorePlace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::world::{World, write};

/// The longest that anything is waited for on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon; it is killed when it is dropped.
pub(crate) struct TheDaemon {
    child: Child,
    manager: UnixDatagram,
    heard: Vec<String>,
    log: PathBuf,
    store: PathBuf,
}

impl TheDaemon {
    /// Starts one with the settings of the world, and waits until it says that it is ready.
    pub(crate) fn start(world: &World) -> Self {
        let mut daemon = Self::spawn(world);
        daemon.hears("READY=1");
        daemon
    }

    /// Starts one.
    pub(crate) fn spawn(world: &World) -> Self {
        let socket = world.dir.join("notify.sock");
        let _ = std::fs::remove_file(&socket);
        let manager = UnixDatagram::bind(&socket).expect("a socket in the test's directory");
        manager.set_read_timeout(Some(Duration::from_millis(100))).expect("a limit");
        let log = world.dir.join("daemon.log");
        let err = File::options().create(true).append(true).open(&log).expect("a log");
        let child = command(world)
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "3000000")
            .stderr(err)
            .spawn()
            .expect("the driver starts");
        Self { child, manager, heard: Vec::new(), log, store: world.dir.join("store") }
    }

    /// Waits until the service manager hears something, and forgets what came before it.
    pub(crate) fn hears(&mut self, what: &str) {
        let found = self.waits(|daemon| {
            let mut bytes = [0; 4096];
            if let Ok(length) = daemon.manager.recv(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]);
                daemon.heard.extend(text.lines().map(str::to_owned));
            }
            daemon.heard.iter().any(|line| line.starts_with(what))
        });
        assert!(found, "{what} is not among {:?}\n{}", self.heard, self.told());
        let at = self.heard.iter().position(|line| line.starts_with(what)).unwrap_or_default();
        self.heard.drain(..=at);
    }

    /// Waits until something holds; `false`: it never did.
    pub(crate) fn waits(&mut self, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if holds(self) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// Waits until it has told something.
    pub(crate) fn tells(&mut self, words: &str) {
        assert!(self.waits(|daemon| daemon.told().contains(words)), "{words:?} is not in\n{}", self.told());
    }

    /// Waits until a round is over that began after now. Returns the report.
    pub(crate) fn round(&mut self, why: &str) -> Report {
        let done = |daemon: &mut Self| {
            daemon.report().and_then(|report| report.last_round).is_some_and(|round| round.why == why)
        };
        assert!(self.waits(done), "no round because of {why:?}: {:?}\n{}", self.report(), self.told());
        self.report().unwrap_or_default()
    }

    /// Returns what it wrote down last.
    pub(crate) fn report(&self) -> Option<Report> {
        Report::read(&StorePlace::new(&self.store, Sharing::Group))
    }

    /// Returns what it has told.
    pub(crate) fn told(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process's number");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }

    /// Waits for its end.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        let mut status = None;
        self.waits(|daemon| {
            status = daemon.child.try_wait().expect("a child of this process");
            status.is_some()
        });
        status.unwrap_or_else(|| panic!("it does not end\n{}", self.told()))
    }

    /// Returns its resident memory in bytes, without the pages of the program's own file: those of a debug build are several
    /// times as many as what is shipped has in all.
    pub(crate) fn memory_beside_its_program(&self) -> u64 {
        let maps = std::fs::read_to_string(format!("/proc/{}/smaps", self.pid())).expect("the system tells");
        let program = env!("CARGO_BIN_EXE_hearth");
        let (mut is_programs, mut kib) = (false, 0);
        for line in maps.lines() {
            match line.strip_prefix("Rss:") {
                Some(rss) if !is_programs => {
                    kib += rss.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number");
                }
                // A mapping begins with its addresses, and ends with its file.
                None if line.split(' ').next().is_some_and(|word| word.contains('-')) => {
                    is_programs = line.ends_with(program);
                }
                _ => {}
            }
        }
        kib << 10
    }
}

impl Drop for TheDaemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The daemon's command line, hermetic.
pub(crate) fn command(world: &World) -> Command {
    // A machine that was started a minute ago has a clock that is not believed yet.
    let bin = world.dir.join("bin");
    std::fs::create_dir_all(&bin).expect("a directory");
    let time_service = bin.join("timedatectl");
    write(&time_service, "#!/bin/sh\necho yes\n");
    std::fs::set_permissions(&time_service, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
    command
        .arg("daemon")
        .arg("--config")
        .arg(world.dir.join("config.toml"))
        .env_clear()
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("HOME", &world.dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// A job that `hearth try` runs, and with it a runner that may be killed.
pub(crate) struct KilledRunner {
    child: Child,
}

impl KilledRunner {
    /// Starts one whose job has containers by now.
    pub(crate) fn start(world: &World, docker: impl Fn(&[&str]) -> String) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_hearth"))
            .args(["try", "--config"])
            .arg(world.dir.join("config.toml"))
            .args(["--image", &world.image("job/busybox"), "--", "sleep 600"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &world.dir)
            .env("TMPDIR", &world.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the driver starts");
        let runner = Self { child };
        let end = Instant::now() + PATIENCE;
        while runner.things(&docker).len() < 3 {
            assert!(Instant::now() < end, "its job makes containers: {:?}", runner.things(&docker));
            std::thread::sleep(Duration::from_millis(100));
        }
        runner
    }

    /// Lists the containers and networks whose label says that this runner vouches for them.
    pub(crate) fn things(&self, docker: impl Fn(&[&str]) -> String) -> Vec<String> {
        let owner = format!("{}/", self.child.id());
        let format = "{{.Label \"hearth.owner\"}} {{.ID}}";
        let mut things = Vec::new();
        for list in [&["ps", "-a", "--format", format][..], &["network", "ls", "--format", format]] {
            things.extend(docker(list).lines().filter(|line| line.starts_with(&owner)).map(str::to_owned));
        }
        things
    }

    /// Kills it, and with it whatever stage of its job is under way.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for KilledRunner {
    fn drop(&mut self) {
        self.kill();
    }
}
