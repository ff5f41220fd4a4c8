//! One image that is wanted: what is known of it, and the answers that its rules ask for.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::time::sleep;

use super::Fetcher;
use super::desk::registry_of;
use super::fault::PullFault;
use super::login::Login;
use super::pull::Meter;
use super::registries::Registries;
use crate::engine::Engine;
use crate::image::decide::Refusal;
use crate::image::decide::{
    AccessRules, Answers, Case, Contents, Home, Pull, Question, Record, Use, Verdict, WhyUse, decide,
};
use crate::image::index::ManifestBody;
use crate::image::{Answer, ImageFacts, ImageRef, index};
use crate::plan::ImageWish;
use crate::registry::Version;
use crate::settings::PullPolicy;

/// More questions than any image needs.
const MOST_STEPS: usize = 24;
/// A registry that asks for no longer than this is waited for within the stage.
const SHORT_WAIT: Duration = Duration::from_secs(60);
/// How long an account is spared where the registry does not say.
const USUAL_WAIT: Duration = Duration::from_secs(60);

/// What is known of one wished image.
pub(super) struct Inquiry<'w> {
    pub(super) wish: &'w ImageWish,
    pub(super) login: Option<Login>,
    pub(super) homes: Vec<Home>,
    pub(super) local: Option<ImageFacts>,
    answers: Answers,
    /// The manifest of what shall be pulled, where one was read.
    pub(super) manifest: RefCell<Option<ManifestBody>>,
    /// That no job waits for it, and who is told how far its pull is.
    pub(super) ahead: Option<Meter<'w>>,
    /// Whether the job log has said whose login it is.
    told: Cell<bool>,
    tag_was: Option<String>,
}

/// How an inquiry under one policy ends.
pub(super) enum Decided {
    /// The image is here and may be used.
    Use(Box<Use>),
    /// It has to be fetched.
    Pull(Box<Pull>),
}

impl<E: Engine, R: Registries> Fetcher<'_, E, R> {
    /// Looks at what engine and store know.
    pub(super) async fn inquire<'w>(
        &self,
        wish: &'w ImageWish,
        ahead: Option<Meter<'w>>,
    ) -> Result<Inquiry<'w>, PullFault> {
        let image = &wish.reference;
        let login = self.logins.find(image, self.log).await;
        let local = self.engine.image(&image.normalized()).await.map_err(PullFault::Engine)?;
        // What an ID came from is told by the image; and whether an image came from nowhere at all.
        let mut names: Vec<ImageRef> =
            image.full_repository().and_then(|name| name.parse().ok()).into_iter().collect();
        if image.id().is_some() || self.allows_local(image) {
            let digests = local.iter().flat_map(|facts| &facts.repo_digests);
            names.extend(digests.filter_map(|name| name.parse::<ImageRef>().ok()));
        }
        let mut homes: Vec<Home> = Vec::new();
        for name in names {
            let Some(repository) = name.full_repository() else { continue };
            if homes.iter().any(|home| home.repository == repository) {
                continue;
            }
            let login = match image.full_repository() == Some(repository.clone()) {
                true => login.clone(),
                false => self.logins.find(&name, self.log).await,
            };
            homes.push(self.desk.home(&repository, login.as_ref().map(|login| &login.credentials)));
        }
        let tag_was = match image.tag() {
            Some(_) => self.desk.store.tag_digest(&image.normalized()),
            None => None,
        };
        Ok(Inquiry {
            wish,
            login,
            homes,
            local,
            answers: Answers::default(),
            manifest: RefCell::new(None),
            ahead,
            told: Cell::new(false),
            tag_was,
        })
    }

    /// Asks until it is decided what one policy means.
    pub(super) async fn decide(
        &self,
        inquiry: &mut Inquiry<'_>,
        policy: PullPolicy,
    ) -> Result<Decided, PullFault> {
        for _ in 0..MOST_STEPS {
            match self.verdict(inquiry, policy) {
                Verdict::Ask(question) => {
                    let answer = self.ask(inquiry, &question).await;
                    match question {
                        Question::Tag => inquiry.answers.tag = Some(answer),
                        Question::Digest(digest) => {
                            inquiry.answers.digests.insert(digest, answer);
                        }
                    }
                }
                Verdict::Index { digest } => {
                    let contents = self.index(inquiry, &digest).await;
                    inquiry.answers.indexes.insert(digest, contents);
                }
                Verdict::Look { digest, names } => {
                    let found = self.look(&names).await?;
                    inquiry.answers.looks.insert(digest, found);
                }
                Verdict::Use(found) => {
                    self.keep(inquiry, &found.record);
                    return Ok(Decided::Use(found));
                }
                Verdict::Pull(pull) => {
                    self.keep(inquiry, &pull.record);
                    if let Some(refusal) = &pull.mirrors_only
                        && self.settings.pull.mirrors.of(&inquiry.wish.reference, &pull.digest).is_empty()
                    {
                        return Err(PullFault::Refused(refusal.clone()));
                    }
                    return Ok(Decided::Pull(pull));
                }
                Verdict::Refuse(refusal) => {
                    // For whom no job waits may come with a login whose time is over: it proves nothing against others.
                    if matches!(refusal, Refusal::Denied(_)) && inquiry.ahead.is_none() {
                        inquiry.homes.first().inspect(|home| self.desk.learn_refusal(home));
                    }
                    return Err(PullFault::Refused(refusal));
                }
            }
        }
        Err(PullFault::Transient("the registry's answers lead nowhere".to_owned()))
    }

    fn verdict(&self, inquiry: &Inquiry<'_>, policy: PullPolicy) -> Verdict {
        let Inquiry { wish, homes, local, answers, tag_was, .. } = inquiry;
        let settings = &self.settings;
        // A copy that may be out of date is nothing that was fetched ahead.
        let rules = match inquiry.ahead {
            Some(_) => AccessRules { offline_grace: Duration::ZERO, ..settings.access },
            None => settings.access,
        };
        decide(&Case {
            image: &wish.reference,
            policy,
            asked: wish.platform.as_ref(),
            native: self.native,
            emulation: settings.job.allow_emulation,
            allow_local: self.allows_local(&wish.reference),
            names: self.desk.names,
            local: local.as_ref(),
            homes,
            tag_was: tag_was.as_deref(),
            rules,
            now: self.desk.now().as_secs(),
            answers,
        })
    }

    fn allows_local(&self, image: &ImageRef) -> bool {
        self.settings.job.allow_local_images.matches(image.familiar())
    }

    fn keep(&self, inquiry: &Inquiry<'_>, record: &Record) {
        let Some(home) = inquiry.homes.first() else { return };
        for digest in &record.proved {
            self.desk.learn_access(home, digest);
        }
        for link in &record.links {
            self.desk.learn_link(home, link);
        }
    }

    async fn look(&self, names: &[String]) -> Result<Option<ImageFacts>, PullFault> {
        for name in names {
            if let Some(found) = self.engine.image(name).await.map_err(PullFault::Engine)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Says in the job log whose login is used, once.
    pub(super) fn tell_login(&self, inquiry: &Inquiry<'_>) {
        if let Some(login) = inquiry.login.as_ref().filter(|_| !inquiry.told.replace(true)) {
            login.tell(&inquiry.wish.reference, self.log);
        }
    }

    /// Asks the registry, again where that may help; not where it was asked in vain just before, by another policy.
    async fn ask(&self, inquiry: &Inquiry<'_>, question: &Question) -> Answer {
        let image = &inquiry.wish.reference;
        let Answers { tag, digests, .. } = &inquiry.answers;
        let in_vain = |answer: &&Answer| matches!(answer, Answer::Unreachable(_) | Answer::Limited { .. });
        if let Some(answer) = tag.iter().chain(digests.values()).find(in_vain) {
            return answer.clone();
        }
        let login = inquiry.login.as_ref().map(|login| &login.credentials);
        self.tell_login(inquiry);
        let version = match question {
            Question::Tag => Version::Tag(image.tag().unwrap_or("latest")),
            Question::Digest(digest) => Version::Digest(digest),
        };
        self.patiently(inquiry, async || self.desk.registries.head(image, &version, login).await).await
    }

    async fn index(&self, inquiry: &Inquiry<'_>, digest: &str) -> Contents {
        match self.body(inquiry, digest).await {
            Err(answer) => Contents::Failed(answer),
            Ok(Some(index::Body::Index(index))) => Contents::Index(index),
            Ok(Some(index::Body::Manifest(manifest))) => {
                inquiry.manifest.replace(Some(manifest));
                Contents::Manifest
            }
            Ok(None) => Contents::Unreadable,
        }
    }

    /// Gets what a digest stands for; `None`: it cannot be read.
    pub(super) async fn body(
        &self,
        inquiry: &Inquiry<'_>,
        digest: &str,
    ) -> Result<Option<index::Body>, Answer> {
        let image = &inquiry.wish.reference;
        let login = inquiry.login.as_ref().map(|login| &login.credentials);
        let body = RefCell::new(None);
        let answer = self
            .patiently(inquiry, async || match self.desk.registries.manifest(image, digest, login).await {
                Ok(manifest) => {
                    let media_type = manifest.media_type.clone();
                    body.replace(Some(manifest.body));
                    Answer::Found { digest: digest.to_owned(), media_type }
                }
                Err(answer) => answer,
            })
            .await;
        match body.take() {
            None => Err(answer),
            Some(body) => Ok(index::read(&body).ok()),
        }
    }

    /// Asks, with the patience that the settings allow, and leaves a registry alone that has had enough of this account.
    async fn patiently(&self, inquiry: &Inquiry<'_>, ask: impl AsyncFn() -> Answer) -> Answer {
        let rules = &self.settings.pull;
        let image = &inquiry.wish.reference;
        let registry = registry_of(image);
        let account = self.desk.account(inquiry.login.as_ref().map(|login| &login.credentials));
        let known = self.desk.recall(registry);
        let mut attempt = 1;
        loop {
            let answer = match self.desk.back_off(registry, &account) {
                Some((left, words)) => Answer::Limited { retry_after: Some(left), words },
                None => {
                    let answer = ask().await;
                    self.desk.learn_hint(registry, known.as_deref());
                    if let Answer::Limited { retry_after, words } = &answer {
                        let lasts = retry_after.unwrap_or(USUAL_WAIT);
                        self.desk.set_back_off(registry, &account, lasts, words);
                    }
                    answer
                }
            };
            let (pause, words) = match &answer {
                Answer::Unreachable(words) => (self.pause(attempt), words),
                Answer::Limited { retry_after, words } => {
                    let asked = retry_after.unwrap_or(USUAL_WAIT);
                    if asked > SHORT_WAIT {
                        return answer;
                    }
                    (asked + self.pause(1), words)
                }
                Answer::Found { .. } | Answer::NotFound(_) | Answer::Denied(_) => return answer,
            };
            // Whom no job waits for comes again another time.
            if attempt >= rules.attempts || inquiry.ahead.is_some() {
                return answer;
            }
            attempt += 1;
            self.log.warn(format!(
                "WARNING: {registry} could not be asked about {} ({words}); try {attempt} of {} in {:.0} s",
                image.familiar(),
                rules.attempts,
                pause.as_secs_f64()
            ));
            sleep(pause).await;
        }
    }

    /// Returns the pause before the next try: longer each time, and not the same for jobs that failed together.
    pub(super) fn pause(&self, attempt: u32) -> Duration {
        let rules = &self.settings.pull;
        let pause = rules.backoff.saturating_mul(1 << attempt.saturating_sub(1).min(10));
        pause + super::pull::jitter(self.client.number, attempt, pause)
    }
}

/// Says why an image may be used as it is, as the end of a line of the job log.
pub(super) fn reason(why: &WhyUse) -> String {
    let ago = |age: &Duration| match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3600),
    };
    match why {
        WhyUse::Fresh => "up to date".to_owned(),
        WhyUse::Readable => "here, and this job may read it".to_owned(),
        WhyUse::Public(age) => format!("here, public {}", ago(age)),
        WhyUse::Proved(age) => format!("here, read by this project {}", ago(age)),
        WhyUse::LocalAllowed => "here, allowed by allow_local_images".to_owned(),
        WhyUse::Offline { age, .. } => format!("here, last checked {}", ago(age)),
    }
}
