//! The rules of [`super::decide`], one method each.

use super::decide::{
    Case, Contents, Home, Link, Pull, Question, Record, Refusal, Use, Verdict, WhyPull, WhyUse,
};
use super::index::is_index;
use super::local::{all_digests_of, digests_of, is_entry, is_for, is_homemade};
use super::proof::{Proof, live};
use super::reference::is_digest;
use super::{Answer, Fit, ImageFacts, Platform};
use crate::settings::PullPolicy;

/// One case at its repository.
pub(super) struct Step<'s> {
    case: &'s Case<'s>,
    home: &'s Home,
    /// The platform that was asked for, or else the engine's own.
    wanted: &'s Platform,
}

/// What is known of the digest that the registry named.
struct Named<'s> {
    digest: &'s str,
    is_index: Option<bool>,
}

impl<'s> Step<'s> {
    pub(super) fn new(case: &'s Case<'s>, home: &'s Home) -> Self {
        Self { case, home, wanted: case.asked.unwrap_or(case.native) }
    }

    /// An ID names no registry that could be asked.
    pub(super) fn by_id(&self) -> Verdict {
        let Some(facts) = self.case.local else { return Verdict::Refuse(Refusal::NotHere) };
        if !self.fits(facts) {
            return Verdict::Refuse(Refusal::OtherPlatformHere { has: facts.platform() });
        }
        for home in self.case.homes {
            let step = Step { home, ..*self };
            if let Some(proof) = step.proof(facts, step.case.rules.proof_ttl) {
                return step.use_proved(facts, proof);
            }
        }
        match (is_homemade(facts, self.case.homes, self.case.names), self.case.allow_local) {
            (true, true) => self.use_homemade(facts),
            (true, false) => Verdict::Refuse(Refusal::LocalOnly),
            (false, _) => Verdict::Refuse(Refusal::NoProof),
        }
    }

    pub(super) fn by_name(&self) -> Verdict {
        if let Some(facts) = self.case.local.filter(|facts| self.case.allow_local && self.is_homemade(facts))
            && self.fits(facts)
        {
            return self.use_homemade(facts);
        }
        match self.case.policy {
            PullPolicy::Always => self.as_named(),
            PullPolicy::IfNotPresent => self.if_not_present(),
            PullPolicy::Never => self.never(),
        }
        .unwrap_or_else(|verdict| verdict)
    }

    fn never(&self) -> Result<Verdict, Verdict> {
        let refuse = |refusal| Err(Verdict::Refuse(refusal));
        let Some(facts) = self.here()? else { return refuse(Refusal::NotHere) };
        if !self.fits(facts) {
            return refuse(Refusal::OtherPlatformHere { has: facts.platform() });
        }
        match self.proof(facts, self.case.rules.proof_ttl) {
            Some(proof) => Ok(self.use_proved(facts, proof)),
            None if self.is_homemade(facts) => refuse(Refusal::LocalOnly),
            None => refuse(Refusal::NoProof),
        }
    }

    fn if_not_present(&self) -> Result<Verdict, Verdict> {
        let ttl = self.case.rules.proof_ttl;
        let Some((facts, digest)) = self.present()? else {
            return match self.case.image.digest() {
                Some(pinned) if self.live(&[pinned], ttl).is_some() => {
                    Ok(Verdict::Pull(Box::new(self.pull(pinned, Record::default()))))
                }
                _ => self.as_named(),
            };
        };
        if let Some(proof) = self.proof(facts, ttl) {
            return Ok(self.use_proved(facts, proof));
        }
        match self.asked_about(&digest)? {
            Answer::Found { digest: found, .. } if *found == digest => {
                let record = Record { proved: vec![digest.clone()], links: Vec::new() };
                Ok(self.use_it(facts, WhyUse::Readable, Some(digest), record))
            }
            Answer::NotFound(_) if self.case.image.digest().is_none() => self.as_named(),
            answer => Err(self.refused(answer)),
        }
    }

    /// The registry says what the name means now.
    fn as_named(&self) -> Result<Verdict, Verdict> {
        let pinned = self.case.image.digest();
        let answer = match pinned {
            Some(digest) => self.asked_about(digest)?,
            None => self.case.answers.tag.as_ref().ok_or(Verdict::Ask(Question::Tag))?,
        };
        match answer {
            Answer::Found { digest, media_type }
                if is_digest(digest) && pinned.is_none_or(|pinned| pinned == digest) =>
            {
                self.found(&Named { digest, is_index: is_index(media_type) })
            }
            answer => Err(self.refused(answer)),
        }
    }

    fn found(&self, named: &Named<'_>) -> Result<Verdict, Verdict> {
        let mut named = Named { ..*named };
        if self.case.answers.indexes.get(named.digest) == Some(&Contents::Manifest) {
            named.is_index = Some(false);
        }
        let proved = vec![named.digest.to_owned()];
        let fresh = |facts: &ImageFacts, links: Vec<Link>| {
            if !self.fits(facts) {
                return Verdict::Refuse(Refusal::OtherPlatform { has: vec![facts.platform()] });
            }
            let record = Record { proved: proved.clone(), links };
            self.use_it(facts, WhyUse::Fresh, Some(named.digest.to_owned()), record)
        };
        if let Some(facts) = self.candidate(|facts| self.is_exactly(facts, &named)) {
            let is_odd = named.is_index == Some(false) && !is_for(facts, self.wanted);
            return Ok(fresh(
                facts,
                if is_odd { vec![self.means_itself(named.digest, facts)] } else { Vec::new() },
            ));
        }
        self.look(named.digest)?;
        if named.is_index == Some(false) {
            let manifest = Some(named.digest.to_owned());
            let pull = self.pull(named.digest, Record { proved, links: Vec::new() });
            return Ok(Verdict::Pull(Box::new(Pull { manifest, ..pull })));
        }
        let (link, is_new) = match self.home.link(named.digest, self.wanted) {
            Some(link) => (link.clone(), false),
            None => match self.read_index(named.digest)? {
                Some(link) => (link, true),
                None => {
                    let record = Record { proved, links: Vec::new() };
                    return Ok(Verdict::Pull(Box::new(self.pull(named.digest, record))));
                }
            },
        };
        let is_it = |facts: &ImageFacts| is_entry(facts, self.home, self.wanted, &link);
        let links = if is_new { vec![link.clone()] } else { Vec::new() };
        if let Some(facts) = self.candidate(is_it) {
            return Ok(fresh(facts, links));
        }
        self.look(&link.manifest)?;
        let pull = self.pull(named.digest, Record { proved, links });
        Ok(Verdict::Pull(Box::new(Pull {
            manifest: Some(link.manifest),
            platform: Some(link.platform),
            ..pull
        })))
    }

    /// Tells whether an image is what a digest means, without a look into the index.
    fn is_exactly(&self, facts: &ImageFacts, named: &Named<'_>) -> bool {
        let has = all_digests_of(facts, self.home, self.wanted).iter().any(|have| have == named.digest);
        match (self.home.link(named.digest, self.wanted), named.is_index) {
            (Some(link), Some(true) | None) => is_entry(facts, self.home, self.wanted, link),
            (_, Some(false)) => has,
            (None, Some(true) | None) => has && is_for(facts, self.wanted),
        }
    }

    /// What is the same for all platforms has no better one.
    fn means_itself(&self, digest: &str, facts: &ImageFacts) -> Link {
        let (index, manifest) = (digest.to_owned(), digest.to_owned());
        Link { index, manifest, wanted: self.wanted.clone(), platform: facts.platform() }
    }

    /// Reads from an index what it means here; `None` where it does not say.
    fn read_index(&self, digest: &str) -> Result<Option<Link>, Verdict> {
        match self.case.answers.indexes.get(digest) {
            None => Err(Verdict::Index { digest: digest.to_owned() }),
            Some(Contents::Manifest | Contents::Unreadable) => Ok(None),
            Some(Contents::Failed(answer)) => Err(self.refused(answer)),
            Some(Contents::Index(index)) => match index.choose(self.case.asked, self.case.native) {
                None => Err(Verdict::Refuse(Refusal::OtherPlatform { has: index.platforms() })),
                Some(entry) => Ok(entry.platform.clone().map(|platform| Link {
                    index: digest.to_owned(),
                    wanted: self.wanted.clone(),
                    manifest: entry.digest.clone(),
                    platform,
                })),
            },
        }
    }

    /// What comes of an answer that is not the one hoped for.
    fn refused(&self, answer: &Answer) -> Verdict {
        let refusal = match answer {
            Answer::NotFound(words) => {
                let local = self.case.local.is_some_and(|facts| self.is_homemade(facts));
                return Verdict::Refuse(Refusal::NotFound { words: words.clone(), local });
            }
            Answer::Denied(words) => return Verdict::Refuse(Refusal::Denied(words.clone())),
            Answer::Limited { retry_after, words } => {
                Refusal::Limited { retry_after: *retry_after, words: words.clone() }
            }
            Answer::Unreachable(words) => Refusal::Unreachable(words.clone()),
            Answer::Found { .. } => {
                Refusal::Unreachable("it answers about another digest than the one asked for".to_owned())
            }
        };
        self.offline(refusal).unwrap_or_else(|verdict| verdict)
    }

    /// The registry cannot be asked.
    fn offline(&self, refusal: Refusal) -> Result<Verdict, Verdict> {
        let rules = &self.case.rules;
        if rules.offline_grace.is_zero() {
            return Err(Verdict::Refuse(refusal));
        }
        let lasts = rules.proof_ttl.saturating_add(rules.offline_grace);
        if let Some((facts, _)) = self.present()?
            && let Some(proof) = self.proof(facts, lasts)
        {
            let why = WhyUse::Offline { age: self.age(proof), words: refusal.to_string() };
            return Ok(self.use_it(facts, why, Some(proof.digest.clone()), Record::default()));
        }
        match self.case.image.digest().or(self.case.tag_was) {
            Some(digest) if self.live(&[digest], lasts).is_some() => {
                let pull = self.pull(digest, Record::default());
                Ok(Verdict::Pull(Box::new(Pull { mirrors_only: Some(refusal), ..pull })))
            }
            _ => Err(Verdict::Refuse(refusal)),
        }
    }

    /// The image under the name as asked, whatever it is; a pinned one may be here under a mirror's name only.
    fn here(&self) -> Result<Option<&'s ImageFacts>, Verdict> {
        match (self.case.local, self.case.image.digest()) {
            (Some(facts), _) => Ok(Some(facts)),
            (None, Some(digest)) => self.look(digest),
            (None, None) => Ok(None),
        }
    }

    /// The image under the name as asked, with a digest of its own to ask about, if it is one of this repository and for
    /// the platform wanted.
    fn present(&self) -> Result<Option<(&'s ImageFacts, String)>, Verdict> {
        let Some(facts) = self.here()?.filter(|facts| self.fits(facts)) else { return Ok(None) };
        let digests = digests_of(facts, self.home);
        // Another job may have left 32-bit code under this name, where the index has something better.
        let mut meant = self
            .home
            .links
            .iter()
            .filter(|link| link.wanted == *self.wanted && digests.contains(&link.index));
        let is_meant = match meant.next() {
            Some(link) => is_for(facts, &link.platform) && meant.all(|link| is_for(facts, &link.platform)),
            None => is_for(facts, self.wanted),
        };
        let digest = match self.case.image.digest() {
            Some(pinned) => Some(pinned.to_owned())
                .filter(|_| all_digests_of(facts, self.home, self.wanted).iter().any(|have| have == pinned)),
            None => digests.into_iter().next(),
        };
        Ok(digest.filter(|_| is_meant).map(|digest| (facts, digest)))
    }

    /// Finds an image among all that were looked at.
    fn candidate(&self, is_it: impl Fn(&ImageFacts) -> bool) -> Option<&'s ImageFacts> {
        let looked = self.case.answers.looks.values().flatten();
        self.case.local.into_iter().chain(looked).find(|facts| is_it(facts))
    }

    fn look(&self, digest: &str) -> Result<Option<&'s ImageFacts>, Verdict> {
        if let Some(looked) = self.case.answers.looks.get(digest) {
            return Ok(looked.as_ref());
        }
        let was_asked = self.case.image.digest() == Some(digest);
        let own = (!was_asked).then_some(self.home.repository.as_str());
        let others = self.home.origins.iter().filter(|origin| origin.digest == digest);
        let others = others.map(|origin| origin.via.as_str()).filter(|via| *via != self.home.repository);
        let names: Vec<String> =
            own.into_iter().chain(others).map(|name| format!("{name}@{digest}")).collect();
        if names.is_empty() { Ok(None) } else { Err(Verdict::Look { digest: digest.to_owned(), names }) }
    }

    fn asked_about(&self, digest: &str) -> Result<&'s Answer, Verdict> {
        let answer = self.case.answers.digests.get(digest);
        answer.ok_or_else(|| Verdict::Ask(Question::Digest(digest.to_owned())))
    }

    fn is_homemade(&self, facts: &ImageFacts) -> bool {
        is_homemade(facts, self.case.homes, self.case.names)
    }

    /// Tells whether an image may run where it is the only one there is.
    fn fits(&self, facts: &ImageFacts) -> bool {
        match self.case.asked {
            Some(asked) => is_for(facts, asked),
            None => self.case.emulation || facts.platform().runs_on(self.case.native) != Fit::Foreign,
        }
    }

    fn proof(&self, facts: &ImageFacts, lasts: std::time::Duration) -> Option<&'s Proof> {
        let digests = all_digests_of(facts, self.home, self.wanted);
        self.live(&digests.iter().map(String::as_str).collect::<Vec<_>>(), lasts)
    }

    fn live(&self, digests: &[&str], lasts: std::time::Duration) -> Option<&'s Proof> {
        live(&self.home.proofs, digests, &self.home.holder, self.case.now, lasts)
    }

    fn age(&self, proof: &Proof) -> std::time::Duration {
        proof.age(self.case.now).unwrap_or_default()
    }

    fn use_proved(&self, facts: &ImageFacts, proof: &Proof) -> Verdict {
        let age = self.age(proof);
        let why = if proof.holder.is_public() { WhyUse::Public(age) } else { WhyUse::Proved(age) };
        self.use_it(facts, why, Some(proof.digest.clone()), Record::default())
    }

    fn use_homemade(&self, facts: &ImageFacts) -> Verdict {
        self.use_it(facts, WhyUse::LocalAllowed, None, Record::default())
    }

    fn use_it(&self, facts: &ImageFacts, why: WhyUse, digest: Option<String>, record: Record) -> Verdict {
        let by_tag = self.case.image.tag().is_some() && self.case.image.digest().is_none();
        let retag = by_tag && self.case.local.is_none_or(|local| local.id != facts.id);
        Verdict::Use(Box::new(Use { why, facts: facts.clone(), digest, retag, record }))
    }

    fn pull(&self, digest: &str, record: Record) -> Pull {
        let why = match self.case.local {
            None => WhyPull::Missing,
            Some(facts) if digests_of(facts, self.home).is_empty() => WhyPull::Foreign,
            Some(_) => WhyPull::Moved,
        };
        let digest = digest.to_owned();
        Pull { why, digest, manifest: None, platform: None, mirrors_only: None, record }
    }
}
