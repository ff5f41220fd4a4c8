//! `hearth why-cold`: how a job came to its images, why each was not here, what that cost, and what would have helped.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::desk::{Answer, Desk, finish};
use super::find::short;
use super::why_cold_cause::{Cause, Earlier, Facts};
use super::why_cold_words::{self as words, Around, text};
use crate::engine::Engine;
use crate::image::ImageRef;
use crate::outcome::Failure;
use crate::settings::{ListedImage, PrefetchSettings};
use crate::store::{How, JobImage, JobTime, Store};

/// The arguments of `hearth why-cold`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct WhyColdArgs {
    /// The job: its number, its URL, or `last` for the one that was prepared last
    #[arg(value_name = "JOB")]
    pub job: String,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// The settings file instead of the usual one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What is on record of a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Told {
    /// Its number on its server.
    pub(super) number: Option<u64>,
    /// The server.
    pub(super) server: String,
    /// When it had its last image, in seconds since the epoch.
    pub(super) at: u64,
    /// How long its preparation took in all; `None`: it did not get through.
    pub(super) prepared_seconds: Option<f64>,
    /// Its images, in the order in which it had them.
    pub(super) images: Vec<Image>,
    /// The present, in seconds since the epoch.
    pub(super) now: u64,
}

/// How a job came to one image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Image {
    /// Its name.
    pub(super) name: String,
    /// What the job wanted it for.
    pub(super) purpose: String,
    /// `here`, `joined`, `missing`, `moved` or `foreign`.
    pub(super) how: &'static str,
    /// `warm`, `new`, `evicted`, `vanished`, `moved`, `replaced` or `foreign`.
    pub(super) cause: &'static str,
    /// The same as a sentence.
    pub(super) why: String,
    /// What a prefetch of it came to; `None`: there was none that matters.
    pub(super) prefetch: Option<String>,
    /// What would have helped; `None`: nothing had to.
    pub(super) help: Option<String>,
    /// The digest that it is known by; `None`: it came from no registry.
    pub(super) digest: Option<String>,
    /// The digest that its tag had before it moved.
    pub(super) digest_before: Option<String>,
    /// How long the job waited for it.
    pub(super) waited_seconds: f64,
    /// Compressed bytes that the job pulled; `None`: none, or not known.
    pub(super) bytes: Option<u64>,
}

/// Runs the command and returns its exit code: 0, or 2 with what is wrong on `err`.
pub fn run<E: Engine>(
    args: &WhyColdArgs,
    desk: &Desk<'_, E>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    finish(answer(args, desk), out, err)
}

fn answer<E: Engine>(args: &WhyColdArgs, desk: &Desk<'_, E>) -> Result<Answer, Failure> {
    let (store, note) = desk.store()?;
    if let Some(note) = note {
        return Err(Failure::system(note));
    }
    let job = one_of(&args.job, &store)?;
    let told = Told::of(&job, &store, desk);
    Answer::new(args.json, &told, || text(&told))
}

/// A job as an operator names it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Last,
    /// Its number, and its URL where that was given.
    Job(u64, Option<String>),
}

fn wanted(text: &str) -> Option<Wanted> {
    if text == "last" {
        return Some(Wanted::Last);
    }
    if let Some((_, rest)) = text.split_once("://").and_then(|_| text.rsplit_once("/jobs/")) {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        return Some(Wanted::Job(digits.parse().ok()?, Some(text.to_owned())));
    }
    Some(Wanted::Job(text.trim_start_matches('#').parse().ok()?, None))
}

/// The number and the server in a job's text.
fn parts(job: &str) -> (Option<u64>, &str) {
    let (key, server) = job.split_once(' ').unwrap_or((job, ""));
    (key.rsplit_once("-job-").and_then(|(_, number)| number.parse().ok()), server)
}

/// Finds the one job that is meant.
fn one_of(text: &str, store: &Store) -> Result<String, Failure> {
    let wanted = wanted(text).ok_or_else(|| {
        Failure::system(format!("{text:?} is no job")).hint("write its number, its URL, or last")
    })?;
    let Wanted::Job(number, url) = wanted else {
        return store.find_jobs("").into_iter().next().ok_or_else(|| {
            Failure::system("no job's images are on record yet").hint("they are once a job was prepared here")
        });
    };
    let of_server = |server: &str| {
        url.as_ref().is_none_or(|url| url.strip_prefix(server).is_some_and(|rest| rest.starts_with('/')))
    };
    let is_it = |job: &String| {
        let (found, server) = parts(job);
        found == Some(number) && of_server(server)
    };
    let found: Vec<String> = store.find_jobs(&format!("-job-{number} ")).into_iter().filter(is_it).collect();
    match found.as_slice() {
        [job] => Ok(job.clone()),
        [] => Err(unknown(number, is_it, store)),
        several => {
            let failure = Failure::system(format!("{} jobs have the number {number}", several.len()));
            let each = several.iter().map(|job| format!("one is of {}", parts(job).1));
            Err(each.fold(failure, Failure::hint).hint("write the job's URL"))
        }
    }
}

fn unknown(number: u64, is_it: impl Fn(&String) -> bool, store: &Store) -> Failure {
    if store.job_times(Duration::ZERO).iter().any(|time| is_it(&time.job)) {
        return Failure::system(format!("how job {number} came to its images is not on record"))
            .hint("it ran before this version of hearth kept that");
    }
    let failure = Failure::system(format!("no job {number} is on record"));
    match store.find_jobs("").first().and_then(|job| parts(job).0) {
        Some(last) => failure.hint(format!("the last one that was prepared here is {last}")),
        None => failure.hint("no job's images are on record yet"),
    }
}

impl Told {
    fn of<E: Engine>(job: &str, store: &Store, desk: &Desk<'_, E>) -> Self {
        let (prefetch, daemon, jobs_only) = (&desk.settings.prefetch, desk.has_daemon(), desk.jobs_only());
        let images = distinct(store.job_images(job));
        let (number, server) = parts(job);
        let at = images.iter().map(|image| image.at).max().unwrap_or_default();
        let since = images.iter().map(|image| image.at).min().unwrap_or_default();
        let gone = store.gone(Duration::ZERO);
        let aheads = store.aheads(since.saturating_sub(Duration::from_secs(2 * 24 * 3600)));
        let told = images.iter().map(|image| {
            let uses = uses(store, &image.name);
            let names = [Some(&image.name), image.digest.as_ref()].into_iter().flatten();
            let announced = names.filter_map(|name| store.announced_when(name)).max();
            let facts = Facts { image, uses: &uses, gone: &gone, aheads: &aheads, announced };
            let (listed, jobs_only) = (is_listed(prefetch, &image.name), jobs_only.contains(&image.name));
            let around = Around { prefetch, daemon, listed, jobs_only };
            Image::of(image, &facts, &around)
        });
        Self {
            number,
            server: server.to_owned(),
            at: at.as_secs(),
            prepared_seconds: prepared(store, job, since),
            images: told.collect(),
            now: desk.now().wall.as_secs(),
        }
    }
}

/// How long its preparation took.
fn prepared(store: &Store, job: &str, since: Duration) -> Option<f64> {
    let times = store.job_times(since.saturating_sub(Duration::from_secs(24 * 3600)));
    let time: Option<&JobTime> = times.iter().find(|time| time.job == job);
    Some(time?.total?.as_secs_f64())
}

/// An image that is on record more than once was looked up more than once: the first time it was not here counts.
fn distinct(images: Vec<JobImage>) -> Vec<JobImage> {
    let mut distinct: Vec<JobImage> = Vec::new();
    for image in images {
        let same = |one: &&mut JobImage| one.name == image.name && one.purpose == image.purpose;
        match distinct.iter_mut().find(same) {
            Some(first) if first.how == How::Here => *first = image,
            Some(_) => {}
            None => distinct.push(image),
        }
    }
    distinct
}

/// The uses of a name, oldest first. Those that followed on each other within the store's resolution are told apart only
/// by what jobs left; from before they did, there are the others.
fn uses(store: &Store, name: &str) -> Vec<Earlier> {
    let of_jobs: Vec<Earlier> = store
        .job_images_called(name)
        .into_iter()
        .map(|image| Earlier { at: image.at, digest: image.digest })
        .collect();
    let tag = name.parse::<ImageRef>().ok().and_then(|reference| store.tag(&reference));
    let recent = tag.map(|tag| tag.recent).unwrap_or_default().into_iter();
    recent
        .map(|one| Earlier { at: one.at, digest: one.content.map(|content| content.digest) })
        .filter(|one| of_jobs.first().is_none_or(|first| one.at < first.at))
        .chain(of_jobs.iter().cloned())
        .collect()
}

fn is_listed(prefetch: &PrefetchSettings, name: &str) -> bool {
    prefetch.images.iter().any(|listed| match &listed.image {
        ListedImage::One(image) => image.normalized() == name,
        ListedImage::Pattern(pattern) => pattern.matches(name) || pattern.matches(&short(name)),
    })
}

impl Image {
    fn of(image: &JobImage, facts: &Facts<'_>, around: &Around<'_>) -> Self {
        let (cause, prefetch) = (facts.cause(), facts.prefetch());
        Self {
            name: short(&image.name),
            purpose: image.purpose.clone(),
            how: image.how.word(),
            cause: cause.word(),
            why: words::why(image, &cause),
            prefetch: prefetch.as_ref().map(words::prefetch),
            help: words::help(image, &cause, prefetch.as_ref(), around),
            digest: image.digest.clone(),
            digest_before: match &cause {
                Cause::Moved { was, .. } => was.clone(),
                _ => None,
            },
            waited_seconds: image.waited.as_secs_f64(),
            bytes: image.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, parts, wanted};

    #[test]
    fn a_job_is_named_by_number_url_or_as_the_last() {
        let url = "https://gitlab.example/group/project/-/jobs/1234";
        for (text, expected) in [
            ("last", Some(Wanted::Last)),
            ("1234", Some(Wanted::Job(1234, None))),
            ("#1234", Some(Wanted::Job(1234, None))),
            (url, Some(Wanted::Job(1234, Some(url.to_owned())))),
            ("https://gitlab.example/group/project/-/jobs/", None),
            ("https://gitlab.example/group/project/-/pipelines/7", None),
            ("lint", None),
            ("", None),
        ] {
            assert_eq!(wanted(text), expected, "{text}");
        }
        let line = format!("{url}#L17");
        assert_eq!(wanted(&line), Some(Wanted::Job(1234, Some(line.clone()))));
    }

    #[test]
    fn a_jobs_text_has_its_number_and_server() {
        assert_eq!(
            parts("hearth-a-job-5-job-17 https://gitlab.example"),
            (Some(17), "https://gitlab.example")
        );
        assert_eq!(parts("something"), (None, ""));
    }
}
