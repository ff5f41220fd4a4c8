//! What the stages of a job tell the daemon. Where there is none, nothing is told, and nobody notices.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::begin::Begun;
use super::leases::job_of;
use crate::host::Who;
use crate::image::ImageRef;
use crate::job::Owner;
use crate::notice::{Notice, Post, Sources};
use crate::plan::wish::requested_services;
use crate::plan::{Ground, is_below};
use crate::scan::Running;
use crate::store::StorePlace;

/// How much of a script is told, in bytes: a scan reads no more.
const MOST_SCRIPT: usize = 64 * 1024;
/// How much of variables is told, in bytes of their names and values.
const MOST_VARIABLES: usize = 32 * 1024;
/// The longest value that is told: names of images, and what rules compare, are shorter.
const MOST_VALUE: usize = 1024;

/// The way to the daemon.
#[derive(Clone)]
pub struct Courier {
    place: Option<StorePlace>,
    who: Rc<dyn Fn() -> Who>,
}

impl Courier {
    /// Makes a way to the daemon of a store; `None`: there is no store, so there is none. `who` is asked only if there is
    /// somebody to be told.
    pub fn new(place: Option<StorePlace>, who: impl Fn() -> Who + 'static) -> Self {
        Self { place, who: Rc::new(who) }
    }

    fn tell(&self, notice: impl FnOnce() -> Option<Notice>) {
        let Some(post) = self.place.as_ref().and_then(Post::to) else { return };
        if let Some(notice) = notice() {
            post.send(&notice);
        }
    }

    /// Tells that a job is being prepared, and that it is prepared, or failed to be, when the answer is dropped.
    pub fn preparing(&self, begun: &Begun, owner: &Owner) -> Preparing {
        let job = job_of(begun);
        self.tell(|| Some(Notice::Prepares { job: job.clone(), owner: owner.to_string() }));
        Preparing { courier: self.clone(), job }
    }

    /// Tells that the job has its sources.
    pub fn has_sources(&self, begun: &Begun) {
        self.tell(|| Some(Notice::Sources(Box::new(sources(begun, &(self.who)())?))));
    }

    /// Tells that the job is over.
    pub fn over(&self, begun: &Begun) {
        self.tell(|| Some(Notice::Over { job: job_of(begun) }));
    }
}

/// A job that is being prepared.
pub struct Preparing {
    courier: Courier,
    job: String,
}

impl Preparing {
    /// Returns what tells that the job is about to pull `repository@digest`, of so many bytes if that is known.
    pub fn of_pulls(&self) -> impl Fn(&str, Option<u64>) + use<> {
        let (courier, job) = (self.courier.clone(), self.job.clone());
        move |image, bytes| {
            courier.tell(|| Some(Notice::Pulls { job: job.clone(), image: image.to_owned(), bytes }));
        }
    }
}

impl Drop for Preparing {
    fn drop(&mut self) {
        self.courier.tell(|| Some(Notice::Prepared { job: std::mem::take(&mut self.job) }));
    }
}

/// Says where the checkout is and with whose rights images may be fetched; `None`: it is not where checkouts are.
fn sources(begun: &Begun, who: &Who) -> Option<Sources> {
    let Begun { job, names, settings, .. } = begun;
    let rules = &settings.job;
    let dir = job.variable("CI_PROJECT_DIR").filter(|dir| is_below(dir, &settings.driver.builds_dir))?;
    let moment = who.moment();
    let owner = Owner::new(who.runner, moment.clone(), job.timeout);
    let until = moment.wall.saturating_add(owner.lasts).as_secs();
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let pipeline = job.facts.get("pipeline.id").map(String::as_str).filter(is_number);
    let pipeline = pipeline.unwrap_or(names.key());
    let ground = Ground::decide(job, names, settings, None).ok()?;
    let running = Running {
        name: job.name.clone(),
        stage: job.variable("CI_JOB_STAGE").unwrap_or_default().to_owned(),
        tags: tags(job.variable("CI_RUNNER_TAGS").unwrap_or_default()),
        variables: variables(job.public_variables()),
        script: script(job.script()),
        socket: ground.reaches_engine(),
        platform: String::new(),
    };
    let image = if job.image.name.is_empty() { job.expand(&rules.image) } else { job.image.name.clone() };
    let services = requested_services(job, rules).into_iter().map(|(service, _)| service.image.name);
    let own = std::iter::once(image).chain(services);
    let own = own.filter_map(|name| Some(name.parse::<ImageRef>().ok()?.normalized())).collect();
    Some(Sources {
        job: job_of(begun),
        owner: owner.to_string(),
        helper: names.helper(),
        dir: dir.to_owned(),
        pipeline: format!("{} {pipeline}", job.server),
        running,
        own,
        platform: rules.platform.as_ref().map(ToString::to_string).unwrap_or_default(),
        number: job.id,
        project_key: job.project_key(),
        source: job.pipeline_source.clone(),
        asker: job.asker().clone(),
        credentials: job.credentials.clone(),
        docker_auth_config: job.docker_auth_config.clone(),
        allowed_images: rules.allowed_images.as_written().to_vec(),
        allowed_services: rules.allowed_services.as_written().to_vec(),
        may_pull: rules.may_pull(),
        until,
    })
}

/// Reads CI_RUNNER_TAGS: a JSON array, or before GitLab 16 a list with commas.
fn tags(text: &str) -> Vec<String> {
    let listed = || text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    serde_json::from_str(text).unwrap_or_else(|_| listed())
}

fn variables<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let mut left = MOST_VARIABLES;
    let fits = |(name, value): &(&str, &str)| {
        let takes = name.len() + value.len();
        let fits = value.len() <= MOST_VALUE && takes <= left;
        left -= if fits { takes } else { 0 };
        fits
    };
    all.filter(fits).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn script(lines: &[String]) -> Vec<String> {
    let mut left = MOST_SCRIPT;
    let fits = |line: &&String| match left.checked_sub(line.len() + 1) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    lines.iter().take_while(fits).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::{MOST_SCRIPT, MOST_VALUE, MOST_VARIABLES, script, tags, variables};

    #[test]
    fn tags_are_read_in_both_forms() {
        for text in ["[\"arm\", \"small disk\"]", "arm, small disk", "arm,small disk,"] {
            assert_eq!(tags(text), ["arm", "small disk"], "{text}");
        }
        for text in ["", "[]", " , "] {
            assert_eq!(tags(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn what_is_told_has_a_bound() {
        let long = "x".repeat(MOST_VALUE);
        let longer = "x".repeat(MOST_VALUE + 1);
        let told = variables([("A", "1"), ("B", longer.as_str()), ("C", long.as_str())].into_iter());
        assert_eq!(told.keys().collect::<Vec<_>>(), ["A", "C"]);
        let names: Vec<String> = (0..100).map(|n| format!("N{n:03}")).collect();
        let told = variables(names.iter().map(|name| (name.as_str(), long.as_str())));
        assert_eq!(told.len(), MOST_VARIABLES / (MOST_VALUE + 4));

        let lines =
            vec!["x".repeat(MOST_SCRIPT - 10), "echo 1".to_owned(), "echo 2".to_owned(), String::new()];
        assert_eq!(script(&lines).len(), 2, "a script is cut at the end of a line");
    }
}
