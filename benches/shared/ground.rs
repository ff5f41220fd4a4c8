//! What the programs that measure jobs stand on: the docker command line, an address, sources.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hearth::runner::Repository;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;

use crate::Result;

/// Runs the docker command line and returns what it printed.
pub(crate) fn docker(args: &[&str]) -> Result<String> {
    let output = Command::new("docker").args(args).stdin(Stdio::null()).output()?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        Err(format!("docker {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()).into())
    }
}

/// Removes all containers, networks and volumes with this token in their names. Where the run did not go `well`, a call
/// may still be in flight, and what it makes is found by another look.
pub(crate) fn sweep(token: &str, well: bool) {
    let name = format!("name={token}");
    let mut quiet = if well { 1 } else { 0 };
    for _ in 0..20 {
        let mut found = false;
        for (list, remove) in [
            (&["ps", "-aq", "--filter", &name][..], &["rm", "-f", "-v"][..]),
            (&["network", "ls", "-q", "--filter", &name], &["network", "rm"]),
            (&["volume", "ls", "-q", "--filter", &name], &["volume", "rm", "-f"]),
        ] {
            let ids = docker(list).unwrap_or_default();
            let ids: Vec<&str> = ids.lines().collect();
            if !ids.is_empty() {
                found |= docker(&[remove, &ids].concat()).is_err() || list[0] == "ps";
            }
        }
        quiet = if found { 0 } else { quiet + 1 };
        if quiet > 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Returns an address of this host that containers reach: that on the engine's default bridge, else another one.
pub(crate) fn reachable_address() -> Result<IpAddr> {
    let mut found: Vec<(bool, IpAddr)> = getifaddrs()?
        .filter(|it| !it.flags.contains(InterfaceFlags::IFF_LOOPBACK))
        .filter(|it| {
            it.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING) || is_default(it)
        })
        .filter_map(|it| Some((!is_default(&it), IpAddr::V4(it.address?.as_sockaddr_in()?.ip()))))
        .collect();
    found.sort_by_key(|(other, _)| *other);
    let first = found.first().map(|(_, address)| *address);
    first.ok_or_else(|| "this host has no address that a container reaches".into())
}

/// Containers on all bridges reach the default one; it has a carrier only while a container is on it.
fn is_default(interface: &InterfaceAddress) -> bool {
    interface.interface_name == "docker0"
}

/// Makes a repository in a new directory, with one commit of these files. Returns it and the commit.
pub(crate) fn sources(
    work: &Path,
    env: &[(OsString, OsString)],
    files: &[(&str, &str)],
) -> Result<(Repository, String)> {
    std::fs::create_dir_all(work)?;
    for (name, text) in files {
        let path = work.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)?;
    }
    let git = |words: &[&str]| -> Result<String> {
        let identity =
            ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "init.defaultBranch=main"];
        let mut command = Command::new("git");
        command.arg("-C").arg(work).args(identity).args(words);
        let output = command.env_clear().envs(env.iter().cloned()).stdin(Stdio::null()).output()?;
        if output.status.success() {
            Ok(String::from_utf8(output.stdout)?.trim().to_owned())
        } else {
            Err(format!("git {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()).into())
        }
    };
    git(&["init", "-q"])?;
    git(&["add", "."])?;
    git(&["commit", "-q", "-m", "sources"])?;
    let commit = git(&["rev-parse", "HEAD"])?;
    Ok((Repository::new(work.join(".git"), env), commit))
}
