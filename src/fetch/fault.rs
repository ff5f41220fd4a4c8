//! Why a pull failed, read from the engine's words, and whose fault that is.

use std::time::Duration;

use super::words::shown;
use crate::engine::EngineError;
use crate::engine::refusal::says_no_space;
use crate::image::Answer;
use crate::image::decide::Refusal;
use crate::outcome::{Failure, Fault};
use crate::plan::ImageWish;
use crate::store::PullOutcome;

/// How long a registry is left alone that refused a pull for its number and did not say how long.
const USUAL_WAIT: Duration = Duration::from_secs(60);

/// What kept an image from coming, for who decides when to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The registry has no such image.
    Gone,
    /// This login may not read it.
    Denied,
    /// It is not made for the platform wanted.
    Platform,
    /// The name leads to no registry that could be asked, such as an ID.
    Name,
    /// The registry has had enough of this account, for so long.
    Limited(Duration),
    /// The registry or the way to it failed.
    Link,
    /// There is no room for it.
    Room,
    /// It was stopped to make way.
    Stopped,
    /// The engine failed.
    Engine,
}

/// Why an image is not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullFault {
    /// The registry knows no such image.
    NotFound(String),
    /// The registry does not let this job read it.
    Denied(String),
    /// It has no variant for the platform wanted.
    NoSuchPlatform,
    /// The engine's disk is full.
    NoSpace(String),
    /// The rules refuse it, before anything was pulled.
    Refused(Refusal),
    /// The registry has had enough of this account for now.
    Limited {
        /// How long it is to be left alone.
        lasts: Duration,
        /// Its words.
        words: String,
    },
    /// What came is not what its digest says.
    WrongContent(String),
    /// The runner wished that this process ends.
    Stopped,
    /// The link, the registry or the engine's way to it failed: another try may help.
    Transient(String),
    /// The engine itself failed.
    Engine(EngineError),
}

impl PullFault {
    /// Reads the engine's answer to a pull of `reference`.
    pub fn of(error: EngineError, reference: &str) -> Self {
        match error {
            EngineError::Refused { .. } | EngineError::NotFound { .. } | EngineError::Conflict { .. } => {
                Self::of_words(shown(&error.words()), reference)
            }
            EngineError::Timeout { .. } | EngineError::Lost { .. } => Self::Transient(error.to_string()),
            other => Self::Engine(other),
        }
    }

    /// Reads a registry's answer that is not the one hoped for.
    pub(super) fn of_answer(answer: Answer) -> Self {
        match answer {
            Answer::NotFound(words) => Self::NotFound(words),
            Answer::Denied(words) => Self::Denied(words),
            Answer::Limited { retry_after, words } => {
                Self::Limited { lasts: retry_after.unwrap_or(USUAL_WAIT), words }
            }
            Answer::Unreachable(words) => Self::Transient(words),
            Answer::Found { .. } => Self::Transient("it answers about something else".to_owned()),
        }
    }

    fn of_words(words: String, reference: &str) -> Self {
        // The image's own name may have any word in it.
        let path = reference.rsplit_once([':', '@']).map_or(reference, |(path, _)| path);
        let name = path.split_once('/').map_or(path, |(_, name)| name);
        let lower = [reference, path, name].iter().fold(words.clone(), |text, part| match *part {
            "" => text,
            part => text.replace(part, ""),
        });
        let lower = lower.to_ascii_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
        if says_no_space(&lower) {
            Self::NoSpace(words)
        } else if has(&[
            "no matching manifest",
            "no image found in manifest list",
            "does not match the specified platform",
            "no match for platform",
        ]) {
            Self::NoSuchPlatform
        } else if has(&["toomanyrequests", "too many requests"]) {
            Self::Limited { lasts: USUAL_WAIT, words }
        } else if has(&[
            "verification failed",
            "digest did not match",
            "does not match digest",
            "does not match provided manifest digest",
            "unexpected commit digest",
        ]) {
            Self::WrongContent(words)
        } else if has(&[
            "unauthorized",
            "denied",
            "authentication required",
            "no basic auth",
            "403 forbidden",
        ]) {
            Self::Denied(words)
        } else if has(&[
            "manifest unknown",
            "not found",
            "does not exist",
            "name unknown",
            "invalid reference",
        ]) {
            Self::NotFound(words)
        } else {
            Self::Transient(words)
        }
    }

    /// Returns whether no other policy may be tried.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.is_final(),
            Self::NotFound(_)
            | Self::Denied(_)
            | Self::NoSuchPlatform
            | Self::NoSpace(_)
            | Self::Stopped
            | Self::Engine(_) => true,
            Self::Limited { .. } | Self::WrongContent(_) | Self::Transient(_) => false,
        }
    }

    /// Returns whether the same may work in a moment.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Transient(_) | Self::WrongContent(_))
    }

    /// Returns whether no other source can help.
    pub fn ends_all_sources(&self) -> bool {
        matches!(self, Self::NoSpace(_) | Self::Engine(_) | Self::Stopped)
    }

    /// Returns what has to change before another try makes sense.
    pub fn cause(&self) -> Cause {
        match self {
            Self::NotFound(_) | Self::Refused(Refusal::NotFound { .. }) => Cause::Gone,
            Self::Denied(_) | Self::Refused(Refusal::Denied(_)) => Cause::Denied,
            Self::NoSuchPlatform
            | Self::Refused(Refusal::OtherPlatform { .. } | Refusal::OtherPlatformHere { .. }) => {
                Cause::Platform
            }
            Self::NoSpace(_) => Cause::Room,
            Self::Limited { lasts, .. } => Cause::Limited(*lasts),
            Self::Refused(Refusal::Limited { retry_after, .. }) => {
                Cause::Limited(retry_after.unwrap_or(USUAL_WAIT))
            }
            Self::WrongContent(_) | Self::Transient(_) | Self::Refused(Refusal::Unreachable(_)) => {
                Cause::Link
            }
            Self::Refused(Refusal::NotHere | Refusal::LocalOnly | Refusal::NoProof) => Cause::Name,
            Self::Stopped => Cause::Stopped,
            Self::Engine(_) => Cause::Engine,
        }
    }

    /// Returns how the store puts it.
    pub fn outcome(&self) -> PullOutcome {
        match self {
            Self::NotFound(_) | Self::NoSuchPlatform => PullOutcome::NotFound,
            Self::Denied(_) => PullOutcome::Denied,
            Self::Limited { .. } => PullOutcome::Limited,
            Self::WrongContent(_) => PullOutcome::WrongContent,
            Self::Transient(_) => PullOutcome::Cut,
            Self::NoSpace(_) | Self::Refused(_) | Self::Stopped | Self::Engine(_) => PullOutcome::Failed,
        }
    }

    /// Returns the reason in words.
    pub fn words(&self) -> String {
        match self {
            Self::NotFound(words)
            | Self::Denied(words)
            | Self::NoSpace(words)
            | Self::WrongContent(words)
            | Self::Transient(words) => words.clone(),
            Self::Limited { lasts, words } => {
                format!("{words} (the registry is left alone for {} s)", lasts.as_secs())
            }
            Self::Refused(refusal) => refusal.to_string(),
            Self::Stopped => "stopped by the runner".to_owned(),
            Self::NoSuchPlatform => "it has no variant for this platform".to_owned(),
            Self::Engine(error) => error.to_string(),
        }
    }

    /// Makes the failure: what the author can mend is the job's fault, unless the operator chose the image.
    pub fn failure(&self, wish: &ImageWish) -> Failure {
        let name = format!("{} {}", wish.purpose, wish.reference.familiar());
        let theirs = |message: String| match wish.chosen_by {
            Fault::Job => Failure::job(message),
            Fault::System => {
                Failure::system(message).hint("the host's operator chose this image: see hearth check")
            }
        };
        match self {
            Self::NotFound(words) => theirs(format!("{name} was not found: {words}"))
                .hint("check the name and the tag, and that it was pushed"),
            Self::Denied(words) => {
                theirs(format!("{name} may not be read: {words}")).hint(credentials_for(wish))
            }
            Self::NoSuchPlatform => theirs(format!("{name} has no variant for this platform")),
            Self::Refused(refusal) => {
                let message = format!("{name} {refusal}");
                let failure = match refusal.fault() {
                    Fault::Job => theirs(message),
                    Fault::System => Failure::system(message),
                };
                hints(refusal, wish).into_iter().fold(failure, Failure::hint)
            }
            Self::Limited { .. } => {
                Failure::system(format!("{name} could not be pulled: {}", self.words())).hint(Refusal::SPARED)
            }
            Self::WrongContent(words) => Failure::system(format!(
                "{name} could not be pulled, what came is not what was asked for: {words}"
            ))
            .hint("a proxy or a mirror on the way may be broken"),
            Self::Stopped => Failure::system("prepare was stopped by the runner"),
            Self::NoSpace(words) => {
                Failure::system(format!("{name} does not fit on the engine's disk: {words}"))
                    .hint("see hearth status for what holds the disk, and docker system df for what else the engine keeps")
            }
            Self::Transient(words) => Failure::system(format!("{name} could not be pulled: {words}"))
                .hint("the registry or the way to it failed; the runner tries again"),
            Self::Engine(error) => error.clone().into(),
        }
    }
}

/// Says where credentials for an image belong.
fn credentials_for(wish: &ImageWish) -> &'static str {
    match wish.chosen_by {
        Fault::Job => {
            "the job needs credentials for it: the variable DOCKER_AUTH_CONFIG, or access of this project's job token to the registry"
        }
        Fault::System => {
            "this host needs credentials for it: docker login writes them where [pull] docker_config_dir says"
        }
    }
}

fn hints(refusal: &Refusal, wish: &ImageWish) -> Vec<&'static str> {
    match refusal {
        Refusal::Denied(_) => vec![credentials_for(wish)],
        Refusal::NotHere if wish.reference.id().is_some() => {
            vec!["an ID names no registry that it could be fetched from: name the image itself"]
        }
        other => other.hints(),
    }
}

#[cfg(test)]
mod tests {
    use super::PullFault;

    #[test]
    fn the_words_of_engines_and_registries_are_told_apart() {
        let of = |w: &str| PullFault::of_words(w.to_owned(), "127.0.0.1:5501/x/not-found-timeout:1");
        let denied = |w: &str| matches!(of(w), PullFault::Denied(_));
        let missing = |w: &str| matches!(of(w), PullFault::NotFound(_));
        let transient = |w: &str| matches!(of(w), PullFault::Transient(_));
        assert!(transient("Get \"http://127.0.0.1:5501/v2/x/not-found-timeout/manifests/1\": EOF"));
        assert!(denied(
            "pull access denied for x, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"
        ));
        assert!(denied("Get \"http://127.0.0.1:5502/v2/x/manifests/1\": no basic auth credentials"));
        assert!(denied("unauthorized: authentication required"));
        assert!(missing("manifest for 127.0.0.1:5501/x:9 not found: manifest unknown: manifest unknown"));
        assert!(missing("received unexpected HTTP status: 404 Not Found"));
        assert!(transient(
            "Get \"http://127.0.0.1:5999/v2/\": dial tcp 127.0.0.1:5999: connect: connection refused"
        ));
        assert!(transient("received unexpected HTTP status: 503 Service Unavailable"));
        assert!(matches!(
            of("toomanyrequests: You have reached your pull rate limit"),
            PullFault::Limited { .. }
        ));
        assert!(matches!(
            of("manifest verification failed for digest sha256:00"),
            PullFault::WrongContent(_)
        ));
        assert!(transient("dial tcp: lookup nowhere.example: no such host"));
        assert!(transient("unexpected EOF"));
        for words in [
            "no matching manifest for linux/amd64 in the manifest list entries",
            "choosing an image from manifest list docker://127.0.0.1:5501/x:1: no image found in manifest list for architecture amd64, variant \"\", OS linux",
        ] {
            assert_eq!(of(words), PullFault::NoSuchPlatform, "{words}");
        }
        assert!(matches!(
            of("failed to register layer: write /x: no space left on device"),
            PullFault::NoSpace(_)
        ));
    }

    #[test]
    fn only_what_another_try_may_mend_goes_on_to_the_next_policy() {
        assert!(PullFault::Denied(String::new()).is_final());
        assert!(PullFault::NotFound(String::new()).is_final());
        assert!(!PullFault::Transient(String::new()).is_final());
        assert!(!PullFault::Refused(crate::image::decide::Refusal::NotHere).is_final());
    }
}
