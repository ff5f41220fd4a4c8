//! How `hearth why-cold` is told to people.

use std::time::Duration;

use super::find::{short, short_id};
use super::when::{ago, span};
use super::why_cold::{Image, Told};
use super::why_cold_cause::{Cause, Prefetch};
use crate::settings::{PrefetchSettings, ScanMode};
use crate::store::{How, JobImage};
use crate::units::ByteSize;

/// What is so on this host now, as far as it bears on what would help.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    /// The settings.
    pub(super) prefetch: &'a PrefetchSettings,
    /// Whether the daemon runs.
    pub(super) daemon: bool,
    /// Whether the operator's list has the image.
    pub(super) listed: bool,
    /// Whether only jobs' logins read its tag.
    pub(super) jobs_only: bool,
}

/// Returns the lines.
pub(super) fn text(told: &Told) -> String {
    let number = told.number.map_or_else(String::new, |number| format!(" {number}"));
    let prepared = match told.prepared_seconds {
        Some(seconds) => format!("prepared in {}", span(seconds)),
        None => "it was not prepared to the end; images that it did not get are not listed".to_owned(),
    };
    let mut text =
        format!("job{number} of {}, {}: {prepared}\n", told.server, ago(told.now as f64, told.at as f64));
    for image in &told.images {
        text.push_str(&format!("  {} ({}): {}\n", image.name, image.purpose, image.why));
        for line in image.prefetch.iter().chain(&cost(image)).chain(&image.help) {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text
}

/// What it cost; nothing worth a line for what was here.
fn cost(image: &Image) -> Option<String> {
    let bytes = image.bytes.map(|bytes| format!(", and {} from the registry", ByteSize(bytes)));
    let cold = image.how != How::Here.word();
    cold.then(|| format!("it cost {}{}", span(image.waited_seconds), bytes.unwrap_or_default()))
}

fn before(time: Duration) -> String {
    format!("{} before the job", span(time.as_secs_f64()))
}

/// Says why an image was not here.
pub(super) fn why(image: &JobImage, cause: &Cause) -> String {
    let came = image.at.saturating_sub(image.waited);
    let at = |time: Duration| before(came.saturating_sub(time));
    let mut words = match cause {
        Cause::Warm if image.unproved => {
            "was here; nobody had proved lately that this job may read it, so its registry was asked"
                .to_owned()
        }
        Cause::Warm => "was here".to_owned(),
        Cause::New => "was not here: no use of it by an earlier job is on record".to_owned(),
        Cause::Evicted(gone) => {
            let room = match gone.for_what.as_str() {
                "" => String::new(),
                what => format!("; room was needed: {what}"),
            };
            format!("was not here: hearth removed it {} ({}){room}", at(gone.at), gone.why)
        }
        Cause::Vanished { last } => {
            format!("was not here: a job used it {}, and something else than hearth removed it", at(*last))
        }
        Cause::Moved { was: Some(was), last } => {
            let last = last.map_or_else(String::new, |last| format!(", which a job used {}", at(last)));
            let now = image.digest.as_deref().map_or_else(|| "something else".to_owned(), short_id);
            format!("its tag moved: it meant {}{last}, and means {now} now", short_id(was))
        }
        Cause::Moved { was: None, .. } => "its tag moved: what was here is not what it means now".to_owned(),
        Cause::Replaced => {
            "its tag had not moved, but what was here under its name was something else: for another platform, or put there by a job"
                .to_owned()
        }
        Cause::Foreign => {
            "what was here under its name was built or loaded here, and came from no registry".to_owned()
        }
    };
    if image.how == How::Joined {
        words += "; another process was pulling it, and the job waited for that";
    }
    words
}

/// Says what a prefetch came to.
pub(super) fn prefetch(prefetch: &Prefetch) -> String {
    match prefetch {
        Prefetch::Late { source, head_start, by } => format!(
            "a prefetch of it ({source}) had begun {}: too late by {}",
            before(*head_start),
            span(by.as_secs_f64())
        ),
        Prefetch::Failed { source, before: time, cut, words } => {
            let ended = if *cut { "was cut" } else { "failed" };
            let words = if words.is_empty() { String::new() } else { format!(": {words}") };
            format!("a prefetch of it ({source}) {ended} {}{words}", before(*time))
        }
        Prefetch::Brought { source, before: time, moved } => {
            let since = if *moved { "its tag moved again since" } else { "it went again" };
            format!("a prefetch ({source}) had brought it {}, and {since}", before(*time))
        }
        Prefetch::Planned { before: time } => {
            format!("a prefetch of it was planned {}, and none ended before it came", before(*time))
        }
    }
}

/// Says what would have helped; `None`: nothing had to.
pub(super) fn help(
    image: &JobImage,
    cause: &Cause,
    prefetch: Option<&Prefetch>,
    around: &Around<'_>,
) -> Option<String> {
    let name = short(&image.name);
    let list = format!("[[prefetch.images]] image = {name:?}");
    let daemon = || (!around.daemon).then(|| "`hearth daemon`, which does not run now".to_owned());
    let off = || (!around.prefetch.enabled).then(|| "[prefetch] enabled, which is off".to_owned());
    let ways: Vec<String> = match (cause, prefetch) {
        (Cause::Warm, _) if image.unproved => vec!["a longer [access] proof_ttl".to_owned()],
        (Cause::Warm, _) => return None,
        (_, Some(Prefetch::Late { .. } | Prefetch::Planned { .. })) => late(around, list),
        (_, Some(Prefetch::Failed { .. })) => {
            vec![format!("hearth prefetch {name}, which says what is in the way")]
        }
        (Cause::New, _) if around.listed => {
            let waits = "the list, which has it by now".to_owned();
            daemon().or_else(off).map_or_else(|| vec![waits], |way| vec![way])
        }
        (Cause::New, _) => {
            let scan = (around.prefetch.scan == ScanMode::Off).then(|| "[prefetch] scan".to_owned());
            daemon().or_else(off).into_iter().chain([list]).chain(scan).collect()
        }
        (Cause::Evicted(_), _) => vec![
            format!("hearth pin {name}"),
            "more room for images ([cache] images_high, images_low, free_low, free_high)".to_owned(),
        ],
        (Cause::Vanished { .. }, _) => {
            vec!["leaving images to hearth: no `docker image rm` or `prune` by hand or by cron".to_owned()]
        }
        (Cause::Moved { .. }, _) => {
            let poll = match around.prefetch.poll {
                None => "[prefetch] poll, which is off".to_owned(),
                Some(_) if around.jobs_only => {
                    "a login of this host's own that reads it ([pull] docker_config_dir): now only jobs can ask"
                        .to_owned()
                }
                Some(every) => {
                    format!("a shorter [prefetch] poll, which is {}", span(every.as_secs_f64()))
                }
            };
            vec![daemon().or_else(off).unwrap_or(poll)]
        }
        (Cause::Replaced, _) => {
            vec!["a tag for each platform, and no job that tags something else with this name".to_owned()]
        }
        (Cause::Foreign, _) => vec!["[job] allow_local_images, if what was built here is meant".to_owned()],
    };
    Some(format!("what helps: {}", ways.join(", or ")))
}

/// What makes a prefetch begin earlier.
fn late(around: &Around<'_>, list: String) -> Vec<String> {
    let windows = (!around.prefetch.windows.is_empty())
        .then(|| "[prefetch] windows that open earlier or for longer".to_owned());
    let list = if around.listed { "an earlier `at` in the list, or none".to_owned() } else { list };
    std::iter::once(list).chain(windows).collect()
}

#[cfg(test)]
#[path = "why_cold_words_tests.rs"]
mod tests;
