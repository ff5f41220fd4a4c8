//! A small world for tests: registries with accounts, an engine with images, a store, and jobs that come and go. It knows
//! the rules of registries and engines, and none of the rules under test.

use std::collections::BTreeMap;

use super::*;
use crate::image::Credentials;
use crate::image::index::Entry;
use crate::image::proof::{Account, Asker, HashKey};
use crate::secret::Secret;

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const HOUR: u64 = 3600;

/// A digest with a name of its own.
pub(super) fn digest(name: &str) -> String {
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex:0>64}")
}

pub(super) fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

/// How a registry behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Up,
    Says401,
    Says403,
    Says404,
    Says429,
    Says503,
    Down,
}

pub(super) const STATES: [State; 7] =
    [State::Up, State::Says401, State::Says403, State::Says404, State::Says429, State::Says503, State::Down];

impl State {
    pub(super) fn is_transient(self) -> bool {
        matches!(self, Self::Says429 | Self::Says503 | Self::Down)
    }
}

/// A repository on its registry.
#[derive(Debug, Clone, Default)]
pub(super) struct Repository {
    pub(super) is_public: bool,
    /// Passwords that are let in.
    pub(super) passwords: Vec<String>,
    pub(super) tags: BTreeMap<String, String>,
    /// Indexes with platform and manifest of each entry.
    pub(super) indexes: BTreeMap<String, Vec<(String, String)>>,
    /// Manifests with their platforms.
    pub(super) manifests: BTreeMap<String, String>,
}

impl Repository {
    /// Pushes an index with one manifest per platform, named after the tag's version.
    pub(super) fn push(&mut self, tag: &str, version: &str, platforms: &[&str]) -> String {
        let entries: Vec<(String, String)> =
            platforms.iter().map(|p| ((*p).to_owned(), digest(&format!("{version}-{p}")))).collect();
        self.manifests
            .extend(entries.iter().map(|(platform, manifest)| (manifest.clone(), platform.clone())));
        let index = digest(version);
        self.indexes.insert(index.clone(), entries);
        self.tags.insert(tag.to_owned(), index.clone());
        index
    }

    fn contents(&self, digest: &str) -> Contents {
        match self.indexes.get(digest) {
            Some(entries) => {
                let entry = |(p, manifest): &(String, String)| Entry {
                    digest: manifest.clone(),
                    platform: Some(platform(p)),
                };
                Contents::Index(Index { entries: entries.iter().map(entry).collect() })
            }
            None => Contents::Manifest,
        }
    }
}

/// A job at the driver.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) server: &'static str,
    pub(super) project: i64,
    pub(super) login: Option<Credentials>,
    pub(super) image: String,
    pub(super) policies: Vec<PullPolicy>,
    pub(super) asked: Option<&'static str>,
}

pub(super) fn login(password: &str) -> Option<Credentials> {
    let (server, username) = ("r.example".to_owned(), "me".to_owned());
    Some(Credentials { server, username, password: Secret::new(password), identity_token: None })
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    Started { id: String, why: Option<WhyUse> },
    Refused(Refusal),
}

impl End {
    pub(super) fn started(&self) -> bool {
        matches!(self, Self::Started { .. })
    }
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) now: u64,
    pub(super) state: State,
    pub(super) names: DigestNames,
    pub(super) rules: AccessRules,
    pub(super) repositories: BTreeMap<String, Repository>,
    /// Names on this host, and what they mean.
    pub(super) tags: BTreeMap<String, String>,
    /// Images by ID.
    pub(super) images: BTreeMap<String, ImageFacts>,
    pub(super) homes: BTreeMap<String, Home>,
    pub(super) allow_local: bool,
    pub(super) emulation: bool,
    pub(super) native: Platform,
    /// What the registries were asked.
    pub(super) asked: Vec<String>,
    pub(super) pulls: usize,
}

impl World {
    pub(super) fn new(names: DigestNames) -> Self {
        let seconds = Duration::from_secs;
        Self {
            now: 1_000_000,
            state: State::Up,
            names,
            rules: AccessRules { proof_ttl: seconds(HOUR), offline_grace: seconds(0) },
            repositories: BTreeMap::new(),
            tags: BTreeMap::new(),
            images: BTreeMap::new(),
            homes: BTreeMap::new(),
            allow_local: false,
            emulation: false,
            native: platform("linux/arm64"),
            asked: Vec::new(),
            pulls: 0,
        }
    }

    pub(super) fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    /// What the registry answers, by its own rules.
    fn ask(&mut self, repository: &str, at: &str, login: Option<&Credentials>) -> Answer {
        self.asked.push(format!("{repository} {at}"));
        let words = || "words".to_owned();
        match self.state {
            State::Up => {}
            State::Says401 | State::Says403 => return Answer::Denied(words()),
            State::Says404 => return Answer::NotFound(words()),
            State::Says429 => return Answer::Limited { retry_after: None, words: words() },
            State::Says503 | State::Down => return Answer::Unreachable(words()),
        }
        let Some(there) = self.repositories.get(repository) else { return Answer::Denied(words()) };
        let is_let_in = match login {
            Some(login) => there.passwords.iter().any(|password| password == login.password.expose()),
            None => there.is_public,
        };
        if !is_let_in {
            return Answer::Denied(words());
        }
        let digest = there.tags.get(at).cloned().unwrap_or_else(|| at.to_owned());
        let media_type = match (there.indexes.contains_key(&digest), there.manifests.contains_key(&digest)) {
            (true, _) => INDEX,
            (_, true) => MANIFEST,
            _ => return Answer::NotFound(words()),
        };
        Answer::Found { digest, media_type: media_type.to_owned() }
    }

    /// What the engine has under a name.
    pub(super) fn inspect(&self, name: &str) -> Option<ImageFacts> {
        let image: ImageRef = name.parse().unwrap();
        if let Some(id) = image.id() {
            return self.images.get(&id).cloned();
        }
        match image.digest() {
            Some(digest) => {
                let name = format!("{}@{digest}", image.full_repository().unwrap());
                self.images.values().find(|facts| facts.repo_digests.contains(&name)).cloned()
            }
            None => self.images.get(self.tags.get(&image.normalized())?).cloned(),
        }
    }

    /// Pulls as the engine does: with its own question to the registry, for the platform, under the tag.
    fn pull(
        &mut self,
        image: &ImageRef,
        digest: &str,
        wanted: &Platform,
        login: Option<&Credentials>,
    ) -> Option<String> {
        let repository = image.full_repository().unwrap();
        let Answer::Found { .. } = self.ask(&repository, digest, login) else { return None };
        self.pulls += 1;
        let there = &self.repositories[&repository];
        let manifest = match there.indexes.get(digest) {
            Some(entries) => {
                let fits = |p: &str| platform(p).runs_on(wanted);
                let best = entries.iter().find(|(p, _)| fits(p) == crate::image::Fit::Native);
                best.or(entries.iter().find(|(p, _)| fits(p) == crate::image::Fit::Compat32))?.1.clone()
            }
            None => digest.to_owned(),
        };
        let has = platform(&there.manifests[&manifest]);
        let id = format!("sha256:{}", manifest.trim_start_matches("sha256:").replace('2', "e"));
        let facts = self.images.entry(id.clone()).or_insert_with(|| ImageFacts {
            id: id.clone(),
            os: has.os.clone(),
            architecture: has.architecture.clone(),
            variant: has.variant.clone().unwrap_or_default(),
            ..ImageFacts::default()
        });
        let mut digests = vec![digest.to_owned()];
        // Podman lists both.
        digests.extend((self.names == DigestNames::OnlyNamed).then_some(manifest));
        for digest in digests {
            let name = format!("{repository}@{digest}");
            if !facts.repo_digests.contains(&name) {
                facts.repo_digests.push(name);
            }
        }
        if image.digest().is_none() {
            self.tags.insert(image.normalized(), id.clone());
        }
        Some(id)
    }

    /// Puts an image on this host that came from no registry.
    pub(super) fn build(&mut self, tag: &str) -> String {
        let id = digest("built");
        let image: ImageRef = tag.parse().unwrap();
        let names = match self.names {
            DigestNames::CameFromThere => Vec::new(),
            DigestNames::OnlyNamed => {
                vec![format!("{}@{}", image.full_repository().unwrap(), digest("built-m"))]
            }
        };
        let facts = ImageFacts {
            id: id.clone(),
            repo_digests: names,
            os: "linux".into(),
            architecture: "arm64".into(),
            ..ImageFacts::default()
        };
        self.images.insert(id.clone(), facts);
        self.tags.insert(image.normalized(), id.clone());
        id
    }

    fn homes_for(&self, image: &ImageRef, local: Option<&ImageFacts>, job: &Job) -> Vec<Home> {
        let asker =
            Asker { server: job.server.to_owned(), project: job.project, user_id: None, tokens: Vec::new() };
        let account = Account::of(job.login.as_ref(), &asker, &HashKey::new([1; 32]));
        let holder = Holder::of(&asker, &account);
        let named = local
            .iter()
            .flat_map(|facts| &facts.repo_digests)
            .filter_map(|name| name.parse::<ImageRef>().ok());
        let mut repositories: Vec<String> =
            std::iter::once(image.clone()).chain(named).filter_map(|name| name.full_repository()).collect();
        repositories.dedup();
        let home = |name: String| match self.homes.get(&name) {
            Some(home) => Home { holder: holder.clone(), ..home.clone() },
            None => Home::unknown(name, holder.clone()),
        };
        repositories.into_iter().map(home).collect()
    }

    fn keep(&mut self, home: &Home, record: &Record) {
        let kept = self
            .homes
            .entry(home.repository.clone())
            .or_insert_with(|| Home::unknown(home.repository.clone(), Holder::public()));
        let proved_at = self.now;
        let proof =
            |digest: &String| Proof { holder: home.holder.clone(), digest: digest.clone(), proved_at };
        kept.proofs.extend(record.proved.iter().map(proof));
        kept.links.extend(record.links.iter().cloned());
    }

    /// Runs a job's image through all its policies.
    pub(super) fn run(&mut self, job: &Job) -> End {
        let mut last = Refusal::NotHere;
        for policy in &job.policies {
            match self.by_policy(job, *policy) {
                End::Refused(refusal) if !refusal.is_final() => last = refusal,
                end => return end,
            }
        }
        End::Refused(last)
    }

    fn by_policy(&mut self, job: &Job, policy: PullPolicy) -> End {
        let image: ImageRef = job.image.parse().unwrap();
        let asked = job.asked.map(platform);
        let native = self.native.clone();
        let local = self.inspect(&job.image);
        let homes = self.homes_for(&image, local.as_ref(), job);
        let mut answers = Answers::default();
        for _ in 0..20 {
            let verdict = decide(&Case {
                image: &image,
                policy,
                asked: asked.as_ref(),
                native: &native,
                emulation: self.emulation,
                allow_local: self.allow_local,
                names: self.names,
                local: local.as_ref(),
                tag_was: None,
                homes: &homes,
                rules: self.rules,
                now: self.now,
                answers: &answers,
            });
            let repository = image.full_repository().unwrap_or_default();
            let login = job.login.as_ref();
            match verdict {
                Verdict::Ask(Question::Tag) => {
                    answers.tag = Some(self.ask(&repository, image.tag().unwrap(), login));
                }
                Verdict::Ask(Question::Digest(digest)) => {
                    let answer = self.ask(&repository, &digest, login);
                    assert!(answers.digests.insert(digest, answer).is_none(), "asked twice");
                }
                Verdict::Index { digest } => {
                    let contents = match self.ask(&repository, &digest, login) {
                        Answer::Found { .. } => self.repositories[&repository].contents(&digest),
                        answer => Contents::Failed(answer),
                    };
                    assert!(answers.indexes.insert(digest, contents).is_none(), "asked twice");
                }
                Verdict::Look { digest, names } => {
                    let found = names.iter().find_map(|name| self.inspect(name));
                    assert!(answers.looks.insert(digest, found).is_none(), "looked twice");
                }
                Verdict::Use(it) => {
                    if let Some(home) = homes.first() {
                        self.keep(home, &it.record);
                    }
                    if it.retag {
                        self.tags.insert(image.normalized(), it.facts.id.clone());
                    }
                    return End::Started { id: it.facts.id.clone(), why: Some(it.why.clone()) };
                }
                Verdict::Pull(pull) => {
                    // There are no mirrors here.
                    if let Some(refusal) = pull.mirrors_only {
                        return End::Refused(refusal);
                    }
                    let wanted = asked.clone().unwrap_or(native);
                    let Some(id) = self.pull(&image, &pull.digest, &wanted, login) else {
                        return End::Refused(Refusal::Unreachable("the engine's pull failed".into()));
                    };
                    self.keep(&homes[0], &pull.record);
                    let origin = Origin { digest: pull.digest.clone(), via: repository.clone() };
                    self.homes.get_mut(&repository).unwrap().origins.push(origin);
                    return End::Started { id, why: None };
                }
                Verdict::Refuse(refusal) => return End::Refused(refusal),
            }
        }
        panic!("it never comes to an end: {answers:?}");
    }
}
