//! The stages that the runner names in `run`, and which container each belongs to.

/// Which container a stage's script runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The helper container: git, caches and artifacts.
    Helper,
    /// The build container: the author's image.
    Build,
}

/// A stage of the job, by the runner's name for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The name as the runner gave it.
    pub name: String,
    /// Where it runs.
    pub place: Place,
}

impl Step {
    /// Routes a stage name. Unknown names are the author's, as in the docker executor.
    pub fn of(name: &str) -> Self {
        let place = match name {
            "prepare_script"
            | "get_sources"
            | "clear_worktree"
            | "restore_cache"
            | "download_artifacts"
            | "archive_cache"
            | "archive_cache_on_failure"
            | "upload_artifacts_on_success"
            | "upload_artifacts_on_failure"
            | "cleanup_file_variables" => Place::Helper,
            _ => Place::Build,
        };
        Self { name: name.to_owned(), place }
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Step};

    #[test]
    fn the_authors_stages_and_unknown_ones_run_in_the_build_container() {
        for name in ["build_script", "step_script", "step_release", "after_script", "something_new"] {
            assert_eq!(Step::of(name).place, Place::Build, "{name}");
        }
        for name in ["prepare_script", "get_sources", "archive_cache_on_failure", "cleanup_file_variables"] {
            assert_eq!(Step::of(name).place, Place::Helper, "{name}");
        }
    }
}
