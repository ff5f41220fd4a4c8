//! The images of the tests: a busybox userland, and small variations on it that share its layer.
//!
//! Each function says in its first line what is special about the image. [`Catalogue::all`] lists them with
//! the names they are pushed under; a test may as well push its own variation under its own name.
#![allow(dead_code, unreachable_pub, reason = "a module of several targets, none of which uses all of it")]

use std::path::Path;
use std::process::Command;

use super::pusher::{Entry, Error, Healthcheck, ImageConfig, ImageSpec, Layer, Platform, Result};

/// The unprivileged user of the images, who is also in the group `shared` (2000).
pub const DEV: &str = "dev";
pub const DEV_ID: u64 = 1000;

const ENTRY: &str = "entry.sh";

/// The busybox layer of one platform, and the images on top of it.
#[derive(Clone)]
pub struct Catalogue {
    base: Layer,
    /// The static busybox itself, for the images that have little else.
    binary: Vec<u8>,
    platform: Platform,
}

impl Catalogue {
    /// The images for this machine, out of its static busybox.
    pub fn native(busybox: &Path) -> Result<Self> {
        Self::new(busybox, Platform::native(), &applets(busybox)?)
    }

    /// The images for another platform, out of a static busybox built for it. It cannot be asked here which
    /// applets it has: they are those of this machine's own.
    pub fn foreign(busybox: &Path, platform: Platform, native_busybox: &Path) -> Result<Self> {
        Self::new(busybox, platform, &applets(native_busybox)?)
    }

    fn new(busybox: &Path, platform: Platform, applets: &[String]) -> Result<Self> {
        let binary = std::fs::read(busybox).map_err(|e| Error::new(format!("{}: {e}", busybox.display())))?;
        let base = Layer::from_entries(&userland(&binary, applets))?;
        Ok(Catalogue { base, binary, platform })
    }

    /// The layer that all images of the catalogue but `no-shell` stand on.
    pub fn base(&self) -> &Layer {
        &self.base
    }

    /// Every image with the name of its repository; the tag is `1` for all.
    pub fn all(&self) -> Result<Vec<(&'static str, ImageSpec)>> {
        Ok(vec![
            ("job/busybox", self.busybox()),
            ("job/user", self.user()),
            ("job/volume", self.volume()),
            ("job/no-shell", self.no_shell()?),
            ("job/entry-shell", self.entry_shell()),
            ("job/entry-exec", self.entry_exec()?),
            ("job/entry-prints", self.entry_prints()?),
            ("job/entry-exports", self.entry_exports()?),
            ("job/entry-state", self.entry_state()?),
            ("job/entry-drops", self.entry_drops()?),
            ("job/entry-daemon", self.entry_daemon()?),
            ("job/entry-slow", self.entry_slow()?),
            ("job/entry-exits", self.entry_exits()?),
            ("job/entry-sleep", self.entry_sleep()),
            ("job/entry-ignores", self.entry_ignores()),
            ("job/web", self.web()?),
            ("job/web-healthy", self.web_healthy()?),
            ("job/web-unhealthy", self.web_unhealthy()?),
            ("job/service-dies", self.service_dies()?),
        ])
    }

    /// No ENTRYPOINT, a shell as CMD: what most job images are like.
    pub fn busybox(&self) -> ImageSpec {
        self.image(Vec::new(), ImageConfig { cmd: words(&["sh"]), ..ImageConfig::default() })
    }

    /// USER is `dev` (1000).
    pub fn user(&self) -> ImageSpec {
        let mut image = self.busybox();
        image.config.user = Some(DEV_ID.to_string());
        image
    }

    /// Declares a VOLUME, `/data`.
    pub fn volume(&self) -> ImageSpec {
        let mut image = self.busybox();
        image.config.volumes = vec!["/data".into()];
        image
    }

    /// Has no shell at all, only `sleep`.
    pub fn no_shell(&self) -> Result<ImageSpec> {
        let layer = Layer::from_entries(&[
            Entry::directory("bin", 0o755),
            Entry::directory("etc", 0o755),
            Entry::directory("tmp", 0o1777),
            Entry::file("bin/sleep", 0o755, self.binary.clone()),
            Entry::file("etc/passwd", 0o644, "root:x:0:0:root:/:/bin/false\n"),
        ])?;
        let config = ImageConfig { cmd: words(&["/bin/sleep", "3600"]), ..ImageConfig::default() };
        Ok(ImageSpec { config, platform: self.platform.clone(), ..ImageSpec::new(vec![layer]) })
    }

    /// ENTRYPOINT is `["/bin/sh", "-c"]`, which takes one word as its command and drops the others.
    pub fn entry_shell(&self) -> ImageSpec {
        let config = ImageConfig { entrypoint: words(&["/bin/sh", "-c"]), ..ImageConfig::default() };
        self.image(Vec::new(), config)
    }

    /// ENTRYPOINT is a script that hands over to its command.
    pub fn entry_exec(&self) -> Result<ImageSpec> {
        self.entry("exec \"$@\"\n")
    }

    /// ENTRYPOINT prints a line on each of its outputs, then hands over.
    pub fn entry_prints(&self) -> Result<ImageSpec> {
        self.entry("echo 'entry: out'\necho 'entry: err' >&2\nexec \"$@\"\n")
    }

    /// ENTRYPOINT exports variables (one of them of two lines), puts a directory before PATH, then hands over.
    pub fn entry_exports(&self) -> Result<ImageSpec> {
        self.entry(
            "export FROM_ENTRY=yes\n\
             export FROM_ENTRY_LINES='one\ntwo'\n\
             export PATH=\"/opt/entry/bin:$PATH\"\n\
             exec \"$@\"\n",
        )
    }

    /// ENTRYPOINT sets a umask (027) and a working directory (`/srv`), then hands over.
    pub fn entry_state(&self) -> Result<ImageSpec> {
        self.entry("umask 027\ncd /srv\nexec \"$@\"\n")
    }

    /// ENTRYPOINT becomes the user `dev`, then hands over.
    pub fn entry_drops(&self) -> Result<ImageSpec> {
        self.entry("exec su -s /bin/sh dev -c 'exec \"$@\"' sh \"$@\"\n")
    }

    /// ENTRYPOINT starts a web server on 127.0.0.1:8099 that says `daemon`, then hands over.
    pub fn entry_daemon(&self) -> Result<ImageSpec> {
        self.entry(
            "mkdir -p /srv/daemon\n\
             echo daemon >/srv/daemon/index.html\n\
             httpd -p 127.0.0.1:8099 -h /srv/daemon\n\
             exec \"$@\"\n",
        )
    }

    /// ENTRYPOINT takes ENTRY_SECONDS (20 if unset), then hands over.
    pub fn entry_slow(&self) -> Result<ImageSpec> {
        self.entry("echo 'entry: busy'\nsleep \"${ENTRY_SECONDS:-20}\"\nexec \"$@\"\n")
    }

    /// ENTRYPOINT says so and exits with ENTRY_CODE (3 if unset) instead of handing over.
    pub fn entry_exits(&self) -> Result<ImageSpec> {
        self.entry("echo 'entry: giving up' >&2\nexit \"${ENTRY_CODE:-3}\"\n")
    }

    /// ENTRYPOINT is a program that makes nothing of a command: `sleep`, which refuses it.
    pub fn entry_sleep(&self) -> ImageSpec {
        let config = ImageConfig { entrypoint: words(&["/bin/sleep"]), ..ImageConfig::default() };
        self.image(Vec::new(), config)
    }

    /// ENTRYPOINT is a script that never looks at its command and stays.
    pub fn entry_ignores(&self) -> ImageSpec {
        let entrypoint = words(&["/bin/sh", "-c", "exec sleep 3600", "ignores"]);
        self.image(Vec::new(), ImageConfig { entrypoint, ..ImageConfig::default() })
    }

    /// A service: EXPOSE 80, serves `web` there after WEB_DELAY seconds (0 if unset).
    pub fn web(&self) -> Result<ImageSpec> {
        let layer = Layer::from_entries(&[
            script(
                "serve.sh",
                "sleep \"${WEB_DELAY:-0}\"\necho 'web: serving'\nexec httpd -f -v -p 80 -h /srv/www\n",
            ),
            Entry::directory("srv", 0o755),
            Entry::directory("srv/www", 0o755),
            Entry::file("srv/www/index.html", 0o644, "web\n"),
        ])?;
        let config = ImageConfig {
            cmd: words(&["/serve.sh"]),
            exposed_ports: vec!["80/tcp".into()],
            ..ImageConfig::default()
        };
        Ok(self.image(vec![layer], config))
    }

    /// The service with a HEALTHCHECK that is true once it serves.
    pub fn web_healthy(&self) -> Result<ImageSpec> {
        let mut image = self.web()?;
        image.config.healthcheck = Some(Healthcheck {
            command: "wget -q -O /dev/null http://127.0.0.1/".into(),
            interval_ms: 500,
            retries: 100,
        });
        Ok(image)
    }

    /// The service with a HEALTHCHECK that is never true.
    pub fn web_unhealthy(&self) -> Result<ImageSpec> {
        let mut image = self.web()?;
        let command = "echo 'never well'; exit 1".into();
        image.config.healthcheck = Some(Healthcheck { command, interval_ms: 500, retries: 2 });
        Ok(image)
    }

    /// A service that prints two lines and dies with code 1, though it exposes a port.
    pub fn service_dies(&self) -> Result<ImageSpec> {
        let layer = Layer::from_entries(&[script(
            "serve.sh",
            "echo 'service: starting'\necho 'service: no disk' >&2\nexit 1\n",
        )])?;
        let config = ImageConfig {
            cmd: words(&["/serve.sh"]),
            exposed_ports: vec!["5432/tcp".into()],
            ..ImageConfig::default()
        };
        Ok(self.image(vec![layer], config))
    }

    fn entry(&self, body: &str) -> Result<ImageSpec> {
        let layer = Layer::from_entries(&[script(ENTRY, body)])?;
        let config =
            ImageConfig { entrypoint: words(&["/entry.sh"]), cmd: words(&["sh"]), ..ImageConfig::default() };
        Ok(self.image(vec![layer], config))
    }

    fn image(&self, above: Vec<Layer>, config: ImageConfig) -> ImageSpec {
        let layers = std::iter::once(self.base.clone()).chain(above).collect();
        ImageSpec { config, platform: self.platform.clone(), ..ImageSpec::new(layers) }
    }
}

fn words(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|&word| word.to_owned()).collect())
}

fn script(path: &str, body: &str) -> Entry {
    Entry::file(path, 0o755, format!("#!/bin/sh\n{body}"))
}

/// The paths of a busybox's applets, without the first slash.
fn applets(busybox: &Path) -> Result<Vec<String>> {
    let output = Command::new(busybox)
        .arg("--list-full")
        .output()
        .map_err(|e| Error::new(format!("{}: {e}", busybox.display())))?;
    let list = String::from_utf8_lossy(&output.stdout);
    let applets: Vec<String> = list.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if applets.is_empty() {
        return Err(Error::new(format!("{} names no applets: is it busybox-static's?", busybox.display())));
    }
    Ok(applets)
}

/// A whole small system: the applets, the users, the usual directories.
fn userland(busybox: &[u8], applets: &[String]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for path in ["bin", "dev", "etc", "home", "opt", "proc", "run", "sbin", "srv", "sys", "usr", "var"] {
        entries.push(Entry::directory(path, 0o755));
    }
    for path in ["usr/bin", "usr/sbin", "usr/local", "usr/local/bin", "var/log", "var/run"] {
        entries.push(Entry::directory(path, 0o755));
    }
    for path in ["tmp", "var/tmp"] {
        entries.push(Entry::directory(path, 0o1777));
    }
    entries.push(Entry::directory("root", 0o700));
    entries.push(Entry::directory("home/dev", 0o755).owned_by(DEV_ID, DEV_ID));
    entries.push(Entry::file("bin/busybox", 0o755, busybox));
    for applet in applets {
        if applet != "bin/busybox" && applet != "usr/bin/busybox" && applet != "linuxrc" {
            entries.push(Entry::symlink(applet, "/bin/busybox"));
        }
    }
    for (path, content) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndev:x:1000:1000:dev:/home/dev:/bin/sh\n"),
        ("etc/group", "root:x:0:\ndev:x:1000:\nshared:x:2000:dev\n"),
        ("etc/nsswitch.conf", "hosts: files dns\n"),
        ("etc/os-release", "ID=busybox\nNAME=busybox\nPRETTY_NAME=\"busybox\"\n"),
    ] {
        entries.push(Entry::file(path, 0o644, content));
    }
    entries
}
