//! The Debian package on a machine of its own: a container that boots systemd, with an engine's socket from outside.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::own_engine::OwnEngine;
use crate::world::{World, skip, unique};

/// How long a loaded machine may take for anything here.
const PATIENCE: Duration = Duration::from_secs(120);

/// A Debian that boots systemd. It is gone when it is dropped.
struct Machine {
    name: String,
}

impl Machine {
    fn boot(world: &World, engine: &OwnEngine) -> Self {
        let name = format!("hearth-package-{}", unique());
        let socket = engine.host.trim_start_matches("unix://");
        let mut command = Command::new("docker");
        command.args(["run", "-d", "--name", &name, "--network", "host", "--cap-add", "SYS_ADMIN"]);
        command.args(["--security-opt", "apparmor=unconfined", "--security-opt", "seccomp=unconfined"]);
        command.args([
            "--tmpfs",
            "/run",
            "--tmpfs",
            "/run/lock",
            "--tmpfs",
            "/tmp",
            "-e",
            "container=docker",
        ]);
        command.args(["-v", "/sys/fs/cgroup:/sys/fs/cgroup:ro"]);
        // The usual place is below /run, which systemd has for itself.
        command.args(["-v", &format!("{socket}:/srv/docker.sock")]);
        // The disk of its data, for the settings' data_root.
        command.args(["-v", &format!("{}:/srv/data:ro", OwnEngine::data(world).display())]);
        let output = command.args(["hearth-parts/systemd:1", "/sbin/init"]).output().expect("docker runs");
        let machine = Self { name };
        assert!(output.status.success(), "it boots: {}", String::from_utf8_lossy(&output.stderr));
        machine.is_up();
        machine
    }

    fn is_up(&self) {
        self.until("systemd is up", || {
            let (_, state) = self.try_sh("systemctl is-system-running");
            matches!(state.trim(), "running" | "degraded")
        });
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(
                Instant::now() < end,
                "{what}, in time: {}",
                self.try_sh("journalctl -n 40 --no-pager").1
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn try_sh(&self, script: &str) -> (bool, String) {
        let output = Command::new("docker")
            .args(["exec", &self.name, "sh", "-c", script])
            .stdin(Stdio::null())
            .output()
            .expect("docker runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Runs a script as root; it has to succeed.
    fn sh(&self, script: &str) -> String {
        let (done, text) = self.try_sh(script);
        let journal = || self.try_sh("journalctl -n 40 --no-pager").1;
        assert!(done, "{script}: {text}\n{}", journal());
        text
    }

    fn install(&self, package: &Path) {
        let copied = Command::new("docker")
            .args(["cp", &package.display().to_string(), &format!("{}:/root/hearth.deb", self.name)])
            .status();
        assert!(copied.is_ok_and(|status| status.success()), "the package is copied");
        self.sh("DEBIAN_FRONTEND=noninteractive dpkg --force-confold -i /root/hearth.deb");
    }

    /// Tells which process the daemon is.
    fn daemon(&self) -> String {
        self.until("the daemon is active", || self.try_sh("systemctl is-active -q hearth").0);
        self.sh("systemctl show -p MainPID --value hearth").trim().to_owned()
    }

    fn try_job(&self, image: &str, script: &str) {
        let log = self.sh(&format!("hearth try --image {image} -- '{script}'"));
        assert!(log.contains("it is green"), "{log}");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", "-v", &self.name]).output();
    }
}

/// Installed, used, started again, upgraded, removed and purged.
#[test]
fn the_package_lives_on_a_machine_that_boots_systemd() {
    let test = "the Debian package";
    let Some(world) = World::new(test) else { return };
    let Ok(packages) = std::env::var("HEARTH_TEST_PACKAGE") else {
        return skip(test, "HEARTH_TEST_PACKAGE names no packages; `make test` makes them");
    };
    let package = |version: &str| Path::new(&packages).join(format!("hearth-{version}.deb"));
    // One of its own, since daemons look after all that is on an engine.
    let Some(engine) = OwnEngine::start(test, &world) else { return };
    let image = world.image("job/busybox");
    engine.pull(&image);
    let machine = Machine::boot(&world, &engine);

    // The group of the socket is what the machine outside says it is.
    machine.sh("groupadd -o -g $(stat -c %g /srv/docker.sock) docker");
    machine.install(&package("0.1.0-1"));
    machine.sh(&format!(
        "printf '[engine]\\nhost = \"unix:///srv/docker.sock\"\\n[job]\\nhelper_image = \"{image}\"\\n\
         pull_policy = [\"if-not-present\"]\\n[cache]\\ndata_root = \"/srv/data\"\\n' >>/etc/hearth/config.toml"
    ));
    machine.sh("hearth check && systemctl reload-or-restart hearth");
    let first = machine.daemon();
    assert_eq!(machine.sh("stat -c '%U:%G %a' /var/lib/hearth").trim(), "hearth:hearth 2770");
    assert_eq!(machine.sh(&format!("stat -c %U /proc/{first}")).trim(), "hearth");
    machine.try_job(&image, "echo it is green");
    // What root's stages wrote and what the daemon wrote is for both.
    let foreign = machine.sh("find /var/lib/hearth -name 'hearth.db*' ! '(' -group hearth -perm -660 ')'");
    assert_eq!(foreign.trim(), "", "all facts are the group's");
    // It sees that the runner of root's job lives, and how full the disk of the engine is.
    let log = machine.sh(&format!(
        "hearth try --image {image} -- 'sleep 8; echo it is green' >/root/job.log 2>&1 & job=$!; sleep 4; \
         systemctl restart hearth; wait $job; code=$?; cat /root/job.log; exit $code"
    ));
    assert!(log.contains("it is green"), "{log}");
    machine.until("it knows the disk", || {
        let (_, report) = machine.try_sh("cat /var/lib/hearth/daemon.json");
        serde_json::from_str::<serde_json::Value>(&report).is_ok_and(|report| !report["disk"].is_null())
    });
    assert_ne!(machine.daemon(), first);

    let again = Command::new("docker").args(["restart", &machine.name]).output();
    assert!(again.is_ok_and(|output| output.status.success()), "it starts again");
    machine.is_up();
    machine.daemon();
    machine.try_job(&image, "echo it is green");

    let before = machine.daemon();
    machine.install(&package("0.1.0-2"));
    machine.until("the new version runs", || machine.daemon() != before);
    assert!(machine.sh("cat /etc/hearth/config.toml").contains("helper_image"), "the settings stay");
    machine.try_job(&image, "echo it is green");

    machine.sh("dpkg -r hearth");
    assert!(!machine.try_sh("systemctl is-active -q hearth").0, "the daemon is gone");
    machine.sh("test -s /var/lib/hearth/hearth.db && test -s /etc/hearth/config.toml");
    machine.sh("dpkg -P hearth && test ! -e /var/lib/hearth && test ! -e /etc/hearth/config.toml");
}
