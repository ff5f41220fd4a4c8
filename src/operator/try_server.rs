//! The addresses at which a job may reach this host, best first, and what the job is told about the server there.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::try_repo::Sources;
use crate::runner::{Git, GitStrategy, HttpServer, JobDescription};

/// How many addresses are tried: each costs an attempt at the job.
const MOST_CANDIDATES: usize = 4;

/// Tried in the job, in the helper, before its sources are fetched. Short, so that an address that swallows everything
/// does not hold the job up.
const PROBE: &str = "# is the server of this try reached from here?
limit=; if command -v timeout >/dev/null 2>&1; then limit='timeout 10'; fi
if ! $limit git -c http.proxy= ls-remote \"$CI_SERVER_URL/reach.git\" >/dev/null; then
  echo \"this job does not reach $CI_SERVER_URL\"; exit 1
fi";

/// Returns this host's addresses, those of container bridges first.
pub(super) fn candidates() -> Vec<IpAddr> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    let mut found: Vec<(u8, IpAddr)> = interfaces
        .filter(|it| {
            it.flags.contains(InterfaceFlags::IFF_UP) && !it.flags.contains(InterfaceFlags::IFF_LOOPBACK)
        })
        .filter_map(|it| {
            let address = it.address?.as_sockaddr_in()?.ip();
            Some((rank(&it.interface_name), IpAddr::V4(address)))
        })
        .collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, address)| address).take(MOST_CANDIDATES).collect()
}

/// The engine's default bridge is reached from all its other bridges too; then bridges of other makes, then the rest.
fn rank(interface: &str) -> u8 {
    match interface {
        "docker0" => 0,
        name if name.starts_with("podman") || name.starts_with("cni") => 1,
        name if name.starts_with("br-") || name.starts_with("bridge") => 2,
        _ => 3,
    }
}

/// Points a job to the server: for artifacts, and for sources that are local.
pub(super) fn attach(job: &mut JobDescription, server: &HttpServer, sources: Option<&Sources>) {
    job.server_url = server.url();
    job.before_sources = vec![PROBE.to_owned()];
    if let Some(Sources::Local { reference, sha, detached, .. }) = sources {
        let refspecs = if *detached { vec![format!("+{sha}:refs/pipelines/{}", job.id)] } else { Vec::new() };
        job.git = Git {
            repo_url: format!("{}/{}.git", server.url(), job.project_path),
            with_token: true,
            reference: reference.clone(),
            sha: sha.clone(),
            refspecs,
            strategy: Some(GitStrategy::Fetch),
            ..job.git.clone()
        };
    }
}

/// Points a job to sources elsewhere.
pub(super) fn attach_remote(job: &mut JobDescription, sources: Option<&Sources>) {
    if let Some(Sources::Remote { url, reference, sha }) = sources {
        job.git = Git {
            repo_url: url.clone(),
            with_token: false,
            reference: reference.clone(),
            sha: sha.clone(),
            strategy: Some(GitStrategy::Fetch),
            ..job.git.clone()
        };
    }
}
