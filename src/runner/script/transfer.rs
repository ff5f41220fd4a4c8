//! Cache and artifacts: work for the `gitlab-runner` command in the helper.

use super::Scripting;
use super::body::Body;
use super::quote::quote;
use crate::runner::parts::{Cache, CachePolicy};
use crate::runner::variables::expand_by_job;

impl Scripting<'_> {
    pub(super) fn restore_cache(&self) -> Option<Body> {
        let wanted = self.job.cache.iter().filter(|it| it.policy != CachePolicy::Push && holds_something(it));
        let mut inner = Body::default();
        for cache in wanted {
            let keys: Vec<String> = std::iter::once(&cache.key)
                .chain(&cache.fallback_keys)
                .map(|key| expand_by_job(self.job, key))
                .collect();
            self.extract_first(&mut inner, &keys);
        }
        if inner.text().is_empty() {
            return None;
        }
        let mut body = self.start();
        self.enter_project(&mut body);
        body.with_runner_command("Extracting cache", &inner);
        self.hand_over(&mut body, &[&self.cache_dir(), &self.layout.builds_dir]);
        Some(body)
    }

    /// Tries the keys in turn until one has an archive; having none is no failure.
    fn extract_first(&self, body: &mut Body, keys: &[String]) {
        let Some((key, others)) = keys.split_first() else { return };
        let archive = self.layout.cache_archive(&self.job.project_path, key);
        body.green(&format!("Checking cache for {key}..."));
        body.line(&format!("if gitlab-runner cache-extractor --file {} --timeout 10; then", quote(&archive)));
        body.green("Successfully extracted cache");
        body.line("else");
        body.yellow("Failed to extract cache");
        self.extract_first(body, others);
        body.line("fi");
    }

    pub(super) fn archive_cache(&self, success: bool) -> Option<Body> {
        let wanted = self
            .job
            .cache
            .iter()
            .filter(|it| it.policy != CachePolicy::Pull && it.when.holds(success) && holds_something(it));
        let mut inner = Body::default();
        for cache in wanted {
            let key = expand_by_job(self.job, &cache.key);
            let archive = self.layout.cache_archive(&self.job.project_path, &key);
            let mut words = vec!["gitlab-runner", "cache-archiver", "--file", &archive, "--timeout", "10"];
            words.extend(cache.paths.iter().flat_map(|path| ["--path", path.as_str()]));
            if cache.untracked {
                words.push("--untracked");
            }
            inner.green(&format!("Creating cache {key}..."));
            let command: Vec<String> = words.iter().map(|word| quote(word)).collect();
            inner.line(&format!("if {}; then", command.join(" ")));
            inner.green("Created cache");
            inner.line("else");
            inner.yellow("Failed to create cache");
            inner.line("fi");
        }
        self.transfer("Creating cache", &inner)
    }

    pub(super) fn download_artifacts(&self) -> Option<Body> {
        let mut inner = Body::default();
        for it in self.job.dependencies.iter().filter(|it| !it.filename.is_empty()) {
            let id = it.id.to_string();
            inner.green(&format!("Downloading artifacts for {} ({id})...", it.name));
            let url = &self.job.server_url;
            let token = it.token.expose();
            inner.run(&[
                "gitlab-runner",
                "artifacts-downloader",
                "--url",
                url,
                "--token",
                token,
                "--id",
                &id,
            ]);
        }
        let mut body = self.transfer("Artifacts downloading", &inner)?;
        self.hand_over(&mut body, &[&self.cache_dir(), &self.layout.builds_dir]);
        Some(body)
    }

    pub(super) fn upload_artifacts(&self, success: bool) -> Option<Body> {
        let job = self.job;
        let (id, url, token) = (job.id.to_string(), &job.server_url, job.token.expose());
        let mut inner = Body::default();
        for it in job.artifacts.iter().filter(|it| it.when.holds(success) && !it.paths.is_empty()) {
            let mut words =
                vec!["gitlab-runner", "artifacts-uploader", "--url", url, "--token", token, "--id", &id];
            if job.version.since(18, 10) {
                words.extend(["--timeout", "1h0m0s", "--response-header-timeout", "10m0s"]);
            }
            words.extend(it.paths.iter().flat_map(|path| ["--path", path.as_str()]));
            words.extend(it.exclude.iter().flat_map(|path| ["--exclude", path.as_str()]));
            if !it.name.is_empty() {
                words.extend(["--name", &it.name]);
            }
            words.extend(["--artifact-format", "zip", "--artifact-type", "archive"]);
            inner.green("Uploading artifacts...");
            inner.run(&words);
        }
        self.transfer("Uploading artifacts", &inner)
    }

    fn transfer(&self, what: &str, inner: &Body) -> Option<Body> {
        if inner.text().is_empty() {
            return None;
        }
        let mut body = self.start();
        self.enter_project(&mut body);
        body.with_runner_command(what, inner);
        Some(body)
    }

    fn cache_dir(&self) -> String {
        self.layout.project_cache_dir(&self.job.project_path)
    }
}

fn holds_something(cache: &Cache) -> bool {
    cache.untracked || !cache.paths.is_empty()
}
