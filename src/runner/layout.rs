//! Where a job's directories are, as the scripts see them.

use super::config::DriverConfig;
use super::git::GitStrategy;
use super::job::JobDescription;

/// The directories of a job inside its containers.
///
/// The default is what the runner has before config was called: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// The root of all checkouts.
    pub builds_dir: String,
    /// The root of local caches.
    pub cache_dir: String,
    /// The job's checkout.
    pub project_dir: String,
}

impl Layout {
    /// Computes the directories from what config printed, or else from the operator's settings. `None` when neither
    /// gives the two roots: the runner refuses such a job.
    pub fn new(job: &JobDescription, config: &DriverConfig, strategy: GitStrategy) -> Option<Self> {
        let pick = |first: &Option<String>, second: &Option<String>| {
            let given = |text: &&String| !text.is_empty();
            first.as_ref().filter(given).or(second.as_ref().filter(given)).cloned()
        };
        let builds_dir = pick(&config.builds_dir, &job.builds_dir)?;
        let cache_dir = pick(&config.cache_dir, &job.cache_dir)?;
        let unique = if config.builds_dir_is_shared == Some(true) {
            format!("{}/{}/{}", job.short_token, job.concurrent_project_id, job.project_path)
        } else {
            job.project_path.clone()
        };
        let suffix = if strategy == GitStrategy::Empty { "-empty" } else { "" };
        let project_dir = format!("{}/{unique}{suffix}", builds_dir.trim_end_matches('/'));
        Some(Self { builds_dir, cache_dir, project_dir })
    }

    /// Returns the directory for file variables and the like: a sibling of the project directory.
    pub fn temp_dir(&self) -> String {
        format!("{}.tmp", self.project_dir)
    }

    /// Returns the project's directory of cache archives.
    pub(super) fn project_cache_dir(&self, project_path: &str) -> String {
        format!("{}/{project_path}", self.cache_dir.trim_end_matches('/'))
    }

    /// Returns a cache archive's path as the runner writes it: relative to the project directory.
    pub(super) fn cache_archive(&self, project_path: &str, key: &str) -> String {
        relative(&self.project_dir, &format!("{}/{key}/cache.zip", self.project_cache_dir(project_path)))
    }
}

/// Returns `target` relative to the directory `from`, both absolute and without `.` or `..`.
fn relative(from: &str, target: &str) -> String {
    let parts =
        |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (from, target) = (parts(from), parts(target));
    let common = from.iter().zip(&target).take_while(|(a, b)| a == b).count();
    let mut path = vec!["..".to_owned(); from.len() - common];
    path.extend_from_slice(&target[common..]);
    path.join("/")
}

#[cfg(test)]
mod tests {
    use super::{Layout, relative};
    use crate::runner::config::DriverConfig;
    use crate::runner::git::GitStrategy;
    use crate::runner::job::JobDescription;

    #[test]
    fn the_project_lies_under_builds_and_its_temp_dir_beside_it() {
        let job = JobDescription::new(1);
        let config = DriverConfig::parse(br#"{"builds_dir":"/builds","cache_dir":"/cache"}"#).unwrap();
        let layout = Layout::new(&job, &config, GitStrategy::None).unwrap();
        assert_eq!(layout.project_dir, "/builds/try/project");
        assert_eq!(layout.temp_dir(), "/builds/try/project.tmp");
        assert_eq!(layout.cache_archive("try/project", "k"), "../../../cache/try/project/k/cache.zip");
        assert!(
            Layout::new(&job, &config, GitStrategy::Empty).unwrap().project_dir.ends_with("/project-empty")
        );
    }

    #[test]
    fn a_shared_builds_dir_gets_runner_and_slot_into_the_path() {
        let config =
            DriverConfig::parse(br#"{"builds_dir":"/b","cache_dir":"/c","builds_dir_is_shared":true}"#);
        let layout = Layout::new(&JobDescription::new(1), &config.unwrap(), GitStrategy::Fetch).unwrap();
        assert_eq!(layout.project_dir, "/b/HearthTry/0/try/project");
    }

    #[test]
    fn the_operators_directories_serve_when_config_gives_none_and_none_at_all_is_refused() {
        let mut job = JobDescription::new(1);
        let config = DriverConfig::parse(br#"{"builds_dir":""}"#).unwrap();
        assert_eq!(Layout::new(&job, &config, GitStrategy::None), None);
        job.builds_dir = Some("/x".into());
        job.cache_dir = Some("/y".into());
        assert_eq!(Layout::new(&job, &config, GitStrategy::None).unwrap().builds_dir, "/x");
    }

    #[test]
    fn relative_paths_go_up_and_down() {
        assert_eq!(relative("/a/b", "/a/c/d"), "../c/d");
        assert_eq!(relative("/a", "/a/c"), "c");
    }
}
