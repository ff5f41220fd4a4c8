//! Names of containers, networks and volumes: functions of the job's identity, so stages share no other state.

use sha2::{Digest, Sha256};

use super::spec::{GitStrategy, JobSpec};

/// The label every object of a job carries; its value is [`Names::key`].
pub const LABEL_JOB: &str = "hearth.job";
/// The label that says what an object is for.
pub const LABEL_ROLE: &str = "hearth.role";
/// The label of volumes that outlive the job.
pub const LABEL_KEPT: &str = "hearth.kept";

/// A volume's name and whether it outlives the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeName {
    /// The engine's name for it.
    pub name: String,
    /// Whether later jobs use it too.
    pub kept: bool,
}

/// The names of one job's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    key: String,
    project: Option<String>,
    slot: Option<u32>,
    fetches: bool,
    suffix: &'static str,
}

impl Names {
    /// Derives the names of a job.
    pub fn of(job: &JobSpec) -> Self {
        let runner = match &job.short_token {
            Some(token) => token.trim_start_matches(['-', '_']).to_owned(),
            None => format!("x{}", short_hash(&job.server)),
        };
        let project =
            job.short_token.is_some().then(|| format!("hearth-{runner}-project-{}", job.project_id));
        Self {
            key: format!("hearth-{runner}-job-{}", job.id),
            project,
            slot: job.slot,
            fetches: job.strategy == GitStrategy::Fetch,
            suffix: if job.protected { "-protected" } else { "" },
        }
    }

    /// Returns the job's key: the prefix of its names and the value of [`LABEL_JOB`].
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the helper container's name.
    pub fn helper(&self) -> String {
        format!("{}-helper", self.key)
    }

    /// Returns the build container's name.
    pub fn build(&self) -> String {
        format!("{}-build", self.key)
    }

    /// Returns the name of the service at `index`.
    pub fn service(&self, index: usize) -> String {
        format!("{}-service-{index}", self.key)
    }

    /// Returns the network's name.
    pub fn network(&self) -> String {
        self.key.clone()
    }

    /// Returns a unique local IPv6 subnet (RFC 4193) for the job's network: a /64 that no other job is likely to have.
    pub fn ipv6_subnet(&self) -> String {
        let hash = Sha256::digest(self.key.as_bytes());
        let part = |at: usize| u16::from_be_bytes([hash[at], hash[at + 1]]);
        format!("fd{:02x}:{:x}:{:x}:{:x}::/64", hash[0], part(1), part(3), part(5))
    }

    /// Returns the builds volume: per runner, project and slot where the checkout is kept, else the job's own.
    pub fn builds_volume(&self) -> VolumeName {
        match (&self.project, self.slot) {
            (Some(project), Some(slot)) if self.fetches => {
                VolumeName { name: format!("{project}-slot-{slot}-builds{}", self.suffix), kept: true }
            }
            _ => VolumeName { name: format!("{}-builds", self.key), kept: false },
        }
    }

    /// Returns the volume for a path of `volumes`, `/cache` among them: per runner and project, or the job's own
    /// where `temporary` or where the identity is not certain.
    pub fn project_volume(&self, path: &str, temporary: bool) -> VolumeName {
        let part = encode(path);
        match &self.project {
            Some(project) if !temporary => {
                VolumeName { name: format!("{project}-volume-{part}{}", self.suffix), kept: true }
            }
            _ => VolumeName { name: format!("{}-volume-{part}", self.key), kept: false },
        }
    }
}

/// Returns the temporary volumes that a job with this key may have had: what its late containers make anew carries no
/// label.
pub fn temporary_volumes(key: &str, cache_dir: &str) -> [String; 2] {
    [format!("{key}-builds"), format!("{key}-volume-{}", encode(cache_dir))]
}

/// Writes a path so that two paths never share a name: letters and digits stay, `/` is `.`, other bytes are `_xx`.
fn encode(path: &str) -> String {
    let mut out = String::new();
    for byte in path.trim_matches('/').bytes() {
        match byte {
            b'/' => out.push('.'),
            b if b.is_ascii_alphanumeric() => out.push(char::from(b)),
            b => out.push_str(&format!("_{b:02x}")),
        }
    }
    out
}

fn short_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{JobSpec, Names, encode};
    use crate::job::StageEnv;

    #[test]
    fn every_job_has_an_ipv6_subnet_of_its_own() {
        let subnet = names(false, Some("tok"), "fetch").ipv6_subnet();
        let address: std::net::Ipv6Addr = subnet.strip_suffix("/64").unwrap().parse().unwrap();
        assert_eq!((address.octets()[0], &address.octets()[8..]), (0xfd, &[0; 8][..]));
        assert_ne!(subnet, names(false, Some("other"), "fetch").ipv6_subnet());
    }

    fn names(protected: bool, token: Option<&str>, strategy: &str) -> Names {
        let mut env = vec![
            ("CUSTOM_ENV_CI_CONCURRENT_PROJECT_ID".into(), "3".into()),
            ("CUSTOM_ENV_GIT_STRATEGY".into(), strategy.into()),
        ];
        if let Some(token) = token {
            env.push(("CUSTOM_ENV_CI_RUNNER_SHORT_TOKEN".into(), token.into()));
        }
        let body = format!(
            "{{\"id\":9,\"job_info\":{{\"project_id\":4}},\"git_info\":{{\"protected\":{protected},\"repo_url\":\"https://u:p@h/x\"}}}}"
        );
        Names::of(&JobSpec::read(body.as_bytes(), &StageEnv::read(env)).unwrap())
    }

    #[test]
    fn builds_are_kept_per_runner_project_and_slot_for_fetch_only() {
        let kept = names(false, Some("tok"), "fetch").builds_volume();
        assert_eq!((kept.name.as_str(), kept.kept), ("hearth-tok-project-4-slot-3-builds", true));
        let own = names(false, Some("tok"), "clone").builds_volume();
        assert_eq!((own.name.as_str(), own.kept), ("hearth-tok-job-9-builds", false));
    }

    #[test]
    fn protected_refs_have_volumes_of_their_own() {
        assert_ne!(
            names(true, Some("t"), "fetch").builds_volume(),
            names(false, Some("t"), "fetch").builds_volume()
        );
        assert_ne!(
            names(true, Some("t"), "fetch").project_volume("/cache", false),
            names(false, Some("t"), "fetch").project_volume("/cache", false)
        );
    }

    #[test]
    fn without_a_certain_identity_nothing_is_kept() {
        let names = names(false, None, "fetch");
        assert!(!names.builds_volume().kept && !names.project_volume("/cache", false).kept);
        assert!(names.key().starts_with("hearth-x"), "{}", names.key());
        let own = [names.builds_volume().name, names.project_volume("/cache", false).name];
        assert_eq!(super::temporary_volumes(names.key(), "/cache"), own);
    }

    #[test]
    fn two_paths_never_share_a_volume() {
        let paths = ["/a/b", "/a-b", "/a_b", "/a.b", "/a", "/ab", "/a b"];
        for one in paths {
            for other in paths {
                assert_eq!(encode(one) == encode(other), one == other, "{one} {other}");
            }
        }
    }
}
