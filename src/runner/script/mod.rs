//! The stage scripts: what the runner generates for the driver to run.
//!
//! Every script is complete: it may be run as a file or be read from a shell's standard input, by bash or BusyBox ash.
//! It exports all variables itself, so that a driver need not.

mod body;
mod quote;
mod sources;
mod transfer;

pub use quote::quote;

use body::Body;

use super::job::JobDescription;
use super::layout::Layout;
use super::parts::Variable;
use super::stage::Stage;
use super::variables::{JobStatus, all_variables, last};

/// What scripts depend on, besides the job.
#[derive(Debug, Clone, Copy)]
pub struct Scripting<'a> {
    /// The job.
    pub job: &'a JobDescription,
    /// Its directories.
    pub layout: &'a Layout,
    /// How far it is.
    pub status: JobStatus,
    /// The shell in the first line: bash or sh.
    pub shell: &'a str,
    /// The host name that config gave.
    pub hostname: Option<&'a str>,
}

impl Scripting<'_> {
    /// Writes the script of a stage. `None` when there is nothing to do: the runner skips such stages.
    pub fn script(&self, stage: &Stage) -> Option<String> {
        let body = match stage {
            Stage::PrepareScript => Some(self.prepare()),
            Stage::GetSources => Some(self.get_sources()),
            Stage::ClearWorktree => Some(self.clear_worktree()),
            Stage::RestoreCache => self.restore_cache(),
            Stage::DownloadArtifacts => self.download_artifacts(),
            Stage::BuildScript => self.user_step(&self.job.script),
            Stage::Step(name) => {
                let step = self.job.more_steps.iter().find(|(it, _)| it == name);
                step.and_then(|(_, script)| self.user_step(script))
            }
            Stage::AfterScript => self.after_script(),
            Stage::ArchiveCache { success } => self.archive_cache(*success),
            Stage::UploadArtifacts { success } => self.upload_artifacts(*success),
            Stage::CleanupFileVariables => self.cleanup_file_variables(),
        };
        body.map(|body| self.wrap(&body))
    }

    fn variables(&self) -> Vec<Variable> {
        all_variables(self.job, self.layout, self.status)
    }

    fn prepare(&self) -> Body {
        let mut body = Body::default();
        match self.hostname.filter(|name| !name.is_empty()) {
            Some(name) => body.line(&format!("echo \"Running on $(hostname) via \"{}...", quote(name))),
            None => body.line("echo \"Running on $(hostname)...\""),
        }
        for name in ["gitlab_runner_env", "masking.db"] {
            body.run(&["rm", "-f", &self.temp(name)]);
        }
        body
    }

    fn user_step(&self, script: &[String]) -> Option<Body> {
        if script.is_empty() {
            return None;
        }
        let mut body = self.start();
        self.enter_project(&mut body);
        body.commands(script);
        Some(body)
    }

    fn after_script(&self) -> Option<Body> {
        if self.job.after_script.is_empty() {
            return None;
        }
        let mut body = self.start();
        self.enter_project(&mut body);
        body.green("Running after script...");
        body.commands(&self.job.after_script);
        Some(body)
    }

    /// Before 17.9 the stage exists only for jobs that leave something to clean up.
    fn cleanup_file_variables(&self) -> Option<Body> {
        let job = self.job;
        if !job.version.since(17, 9) && !job.has_file_variables() && job.before_sources.is_empty() {
            return None;
        }
        let mut body = Body::default();
        for name in ["gitlab_runner_env", "masking.db", ".gitlab-runner.ext.conf"] {
            body.run(&["rm", "-f", &self.temp(name)]);
        }
        for variable in self.variables().iter().filter(|variable| variable.file) {
            body.run(&["rm", "-f", &self.temp(&variable.key)]);
        }
        self.clean_git(&mut body);
        body.run(&["rm", "-f", &self.owner_file()]);
        Some(body)
    }

    /// Starts a script as all but a few do: variables exported, files written, what earlier stages exported read.
    fn start(&self) -> Body {
        let mut body = Body::default();
        for variable in self.variables() {
            let key = quote(&variable.key);
            if variable.file {
                let path = self.temp(&variable.key);
                body.run(&["mkdir", "-p", &self.layout.temp_dir()]);
                body.line(&format!("printf '%s' {} > {}", quote(&variable.value), quote(&path)));
                body.line(&format!("export {key}={}", quote(&path)));
            } else {
                body.line(&format!("export {key}={}", quote(&variable.value)));
            }
        }
        let shared = self.temp("gitlab_runner_env");
        body.line(&format!("export GITLAB_ENV={}", quote(&shared)));
        body.run(&["mkdir", "-p", &self.layout.temp_dir()]);
        body.run(&["touch", &shared]);
        body.line(&format!("while read -r line; do export \"$line\"; done < {}", quote(&shared)));
        body
    }

    fn enter_project(&self, body: &mut Body) {
        body.run(&["cd", &self.layout.project_dir]);
    }

    fn temp(&self, name: &str) -> String {
        format!("{}/{name}", self.layout.temp_dir())
    }

    fn owner_file(&self) -> String {
        format!("{}/.gitlab-build-uid-gid", self.layout.builds_dir)
    }

    /// Hands directories to the owner of a marker file, where a driver has put one (since 17.11).
    fn hand_over(&self, body: &mut Body, dirs: &[&str]) {
        if !self.job.version.since(17, 11) {
            return;
        }
        let marker = quote(&self.owner_file());
        body.line(&format!("if [ -e {marker} ]; then"));
        for dir in dirs {
            let dir = quote(dir);
            body.line(&format!("  if [ -d {dir} ]; then chown -R \"$(stat -c '%u:%g' {marker})\" {dir}; fi"));
        }
        body.line("fi");
    }

    /// Puts a body into the skeleton that all scripts share.
    fn wrap(&self, body: &Body) -> String {
        let version = self.job.version;
        let text = quote::quote_always(body.text());
        let variables = self.variables();
        let is_on = |key: &str| last(&variables, key).is_some_and(|it| it.value == "true");
        let mut script = format!("#!/usr/bin/env {}\n\n", self.shell);
        if version.since(17, 4) {
            script.push_str("trap exit 1 TERM\n\n");
        }
        if is_on("CI_DEBUG_TRACE") {
            script.push_str("set -o xtrace\n");
        }
        if version.since(19, 1) {
            script.push_str("if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi\n");
            script.push_str("set -o errexit\nset +o noclobber\n");
            script.push_str(&format!("(\ntrap exit 1 TERM\neval {text}\n) </dev/null\n"));
        } else {
            script.push_str("if set -o | grep pipefail >/dev/null; then set -o pipefail; fi\n");
            script.push_str("set -o errexit\nset +o noclobber\n");
            // Without the flag bash turns the code of a failing command (not that of `exit N`) into 1.
            let eval = if is_on("FF_USE_NEW_BASH_EVAL_STRATEGY") {
                format!("(eval {text})")
            } else {
                format!("eval {text}")
            };
            script.push_str(&format!(": | {eval}\n"));
        }
        script.push_str("exit 0\n");
        script
    }
}

#[cfg(test)]
mod tests;
