//! How sources come into the project directory.

use super::Scripting;
use super::body::Body;
use super::quote::quote;
use crate::runner::git::GitStrategy;
use crate::runner::variables::git_strategy;

impl Scripting<'_> {
    pub(super) fn get_sources(&self) -> Body {
        let mut body = self.start();
        body.line("export GIT_TERMINAL_PROMPT=0");
        body.line("export GCM_INTERACTIVE=Never");
        body.commands(&self.job.before_sources);
        let project = &self.layout.project_dir;
        match git_strategy(self.job) {
            GitStrategy::None => {
                body.green("Skipping Git repository setup");
                body.run(&["mkdir", "-p", project]);
            }
            GitStrategy::Empty => {
                body.green("Skipping Git repository setup and creating an empty build directory");
                body.run(&["rm", "-r", "-f", project]);
                body.run(&["mkdir", "-p", project]);
            }
            GitStrategy::Clone => {
                body.run(&["rm", "-r", "-f", project]);
                self.fetch(&mut body);
            }
            GitStrategy::Fetch => self.fetch(&mut body),
        }
        self.hand_over(&mut body, &[&self.layout.builds_dir]);
        body
    }

    pub(super) fn clear_worktree(&self) -> Body {
        let mut body = Body::default();
        let project = quote(&self.layout.project_dir);
        body.line(&format!("if [ -d {project}/.git ]; then"));
        body.line(&format!("  cd {project}"));
        body.line("  git -c submodule.recurse=false rm -rf --ignore-unmatch . >/dev/null");
        body.line("  git clean -ffdx >/dev/null");
        body.line("fi");
        body
    }

    fn fetch(&self, body: &mut Body) {
        let (job, project) = (self.job, &self.layout.project_dir);
        body.line("export GIT_LFS_SKIP_SMUDGE=1");
        self.clean_git(body);
        let template = self.temp("git-template");
        let config = format!("{template}/config");
        body.run(&["mkdir", "-p", &template]);
        for (key, value) in [
            ("init.defaultBranch", "none"),
            ("fetch.recurseSubmodules", "false"),
            ("credential.interactive", "never"),
            ("gc.autoDetach", "false"),
        ] {
            body.run(&["git", "config", "-f", &config, key, value]);
        }
        let url = self.credentials(body, &config);
        match job.git.depth {
            0 => body.green("Fetching changes..."),
            depth => body.green(&format!("Fetching changes with git depth set to {depth}...")),
        }
        if job.git.safe_directory {
            body.run(&["git", "config", "--global", "--add", "safe.directory", project]);
        }
        body.run(&["git", "init", project, "--template", &template]);
        self.enter_project(body);
        let url = quote(&url);
        body.line(&format!("if git remote add origin {url} >/dev/null 2>&1; then"));
        body.green("Created fresh repository.");
        body.line(&format!("else\ngit remote set-url origin {url}\nfi"));
        let agent = format!("http.userAgent=gitlab-runner {}", job.version);
        let (refspecs, depth) = (job.refspecs(), job.git.depth.to_string());
        let mut command = vec!["git", "-c", &agent, "fetch", "origin", "--no-recurse-submodules"];
        command.extend(refspecs.iter().map(String::as_str));
        if job.git.depth > 0 {
            command.extend(["--depth", &depth]);
        }
        command.extend(["--prune", "--quiet"]);
        body.run(&command);
        let sha = &job.git.sha;
        let short = sha.get(..8).unwrap_or(sha);
        body.green(&format!("Checking out {short} as detached HEAD (ref is {})...", job.git.reference));
        body.run(&["git", "-c", "submodule.recurse=false", "checkout", "-f", "-q", sha]);
        body.run(&["git", "clean", "-ffdx"]);
        body.line("if git lfs version >/dev/null 2>&1; then git lfs pull; echo; fi");
        body.green("Skipping Git submodules setup");
    }

    /// Makes the token known to git and returns the URL to fetch from: since 18.6 it lies in a file beside the
    /// checkout that the template includes, before in the URL itself.
    fn credentials(&self, body: &mut Body, template_config: &str) -> String {
        let job = self.job;
        if !job.version.since(18, 6) || !job.git.with_token {
            return job.repo_url();
        }
        let file = self.temp(".gitlab-runner.ext.conf");
        body.run(&["rm", "-f", &file]);
        let key = format!("url.{}.insteadOf", job.repo_url());
        body.run(&["git", "config", "--file", &file, "--replace-all", &key, &job.git.repo_url]);
        body.run(&["git", "config", "--file", template_config, "--replace-all", "include.path", &file]);
        job.git.repo_url.clone()
    }

    /// Takes away what an earlier job may have left in the checkout: locks, configuration, hooks.
    pub(super) fn clean_git(&self, body: &mut Body) {
        let git = format!("{}/.git", self.layout.project_dir);
        for name in ["index.lock", "shallow.lock", "HEAD.lock", "config.lock", "hooks/post-checkout"] {
            body.run(&["rm", "-f", &format!("{git}/{name}")]);
        }
        let refs = quote(&format!("{git}/refs"));
        body.line(&format!(
            "if [ -d {refs} ]; then find {refs} -name '*.lock' -type f -exec rm -f {{}} \\; ; fi"
        ));
        // Leaving the repository's own configuration in place became a choice with 17.11; custom executors clean it.
        let template = self.temp("git-template");
        for dir in [&template, &git] {
            body.run(&["rm", "-f", &format!("{dir}/config")]);
            let hooks = format!("{dir}/hooks");
            body.line(&format!("if [ -d {0} ]; then chmod -R u+rwX {0}; fi", quote(&hooks)));
            body.run(&["rm", "-r", "-f", &hooks]);
        }
    }
}
