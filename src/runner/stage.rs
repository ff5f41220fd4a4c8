//! The stages of a job, by the names the driver hears.

/// One call of the driver's run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Shows that the environment works.
    PrepareScript,
    /// Brings the sources.
    GetSources,
    /// Empties the checkout before sources are tried again.
    ClearWorktree,
    /// Fetches caches.
    RestoreCache,
    /// Fetches artifacts of earlier jobs.
    DownloadArtifacts,
    /// The user's script.
    BuildScript,
    /// A further step of the user.
    Step(String),
    /// The user's after_script.
    AfterScript,
    /// Stores caches, after a job that went well or failed.
    ArchiveCache {
        /// Whether the job went well.
        success: bool,
    },
    /// Uploads artifacts, after a job that went well or failed.
    UploadArtifacts {
        /// Whether the job went well.
        success: bool,
    },
    /// Takes file variables and credentials away.
    CleanupFileVariables,
}

impl Stage {
    /// Returns the name that the driver gets as its last argument.
    pub fn name(&self) -> String {
        match self {
            Self::PrepareScript => "prepare_script".to_owned(),
            Self::GetSources => "get_sources".to_owned(),
            Self::ClearWorktree => "clear_worktree".to_owned(),
            Self::RestoreCache => "restore_cache".to_owned(),
            Self::DownloadArtifacts => "download_artifacts".to_owned(),
            Self::BuildScript => "build_script".to_owned(),
            Self::Step(name) => format!("step_{name}"),
            Self::AfterScript => "after_script".to_owned(),
            Self::ArchiveCache { success: true } => "archive_cache".to_owned(),
            Self::ArchiveCache { success: false } => "archive_cache_on_failure".to_owned(),
            Self::UploadArtifacts { success: true } => "upload_artifacts_on_success".to_owned(),
            Self::UploadArtifacts { success: false } => "upload_artifacts_on_failure".to_owned(),
            Self::CleanupFileVariables => "cleanup_file_variables".to_owned(),
        }
    }

    /// Returns the title that the runner prints above the stage's output.
    pub fn title(&self) -> String {
        match self {
            Self::PrepareScript => "Preparing environment".to_owned(),
            Self::GetSources => "Getting source from Git repository".to_owned(),
            Self::ClearWorktree => {
                "Deleting all tracked and untracked files due to source fetch failure".to_owned()
            }
            Self::RestoreCache => "Restoring cache".to_owned(),
            Self::DownloadArtifacts => "Downloading artifacts".to_owned(),
            Self::BuildScript => "Executing \"step_script\" stage of the job script".to_owned(),
            Self::Step(name) => format!("Executing \"step_{name}\" stage of the job script"),
            Self::AfterScript => "Running after_script".to_owned(),
            Self::ArchiveCache { success } => format!("Saving cache for {} job", went(*success)),
            Self::UploadArtifacts { success } => format!("Uploading artifacts for {} job", went(*success)),
            Self::CleanupFileVariables => "Cleaning up project directory and file based variables".to_owned(),
        }
    }

    /// Says whether a cancel that GitLab announces stops this stage only and lets the later ones run.
    pub fn is_user_step(&self) -> bool {
        matches!(self, Self::BuildScript | Self::Step(_))
    }

    /// Says whether the user's scripts are over when this stage runs: a cancel then comes too late.
    pub fn comes_after_script(&self) -> bool {
        matches!(
            self,
            Self::AfterScript
                | Self::ArchiveCache { .. }
                | Self::UploadArtifacts { .. }
                | Self::CleanupFileVariables
        )
    }
}

fn went(success: bool) -> &'static str {
    if success { "successful" } else { "failed" }
}
