//! What one process knows of images beyond the engine, and what it learned: facts come from the store and go back to it
//! in one piece.

use std::cell::RefCell;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::flight::{Airport, Departure};
use super::registries::Registries;
use crate::engine::{Engine, EngineError, EngineVersion, InsecureRegistries, StoreKind};
use crate::host;
use crate::image::decide::{DigestNames, Home, Link, Origin};
use crate::image::proof::{Account, Asker, HashKey, Holder, Proof};
use crate::image::{Credentials, ImageRef};
use crate::store::{self, BackOff, Batch, EngineFacts, Store};

/// How long what the engine says of itself is believed without asking: it has to be restarted or reloaded to change.
const ENGINE_TTL: Duration = Duration::from_secs(600);

/// How long it is remembered in which way a registry wants to be asked.
const HINT_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// Hears of a pull: of `repository@digest`, and of its bytes if they are known.
type OnPull = Box<dyn Fn(&str, Option<u64>)>;

/// Facts and registries, for one process.
pub struct Desk<R> {
    /// The facts.
    pub store: Store,
    /// The registries.
    pub registries: R,
    /// Where pulls meet those of other processes.
    pub airport: Airport,
    /// The wish that this process ends.
    pub departure: Departure,
    /// What a digest under a repository's name says on this engine.
    pub names: DigestNames,
    asker: Asker,
    key: HashKey,
    learned: RefCell<Batch>,
    /// Who is told of each pull before it begins.
    on_pull: Option<OnPull>,
    /// The wall clock when the desk was opened: a step of it within one process is of no use.
    wall: Duration,
    opened: Instant,
}

/// What is kept of [`crate::engine::EngineInfo`].
#[derive(Serialize, Deserialize)]
struct Known {
    classic: bool,
    hosts: Vec<String>,
    cidrs: Vec<String>,
}

impl<R: Registries> Desk<R> {
    /// Opens the desk for a job; asks the engine about itself where the store does not know.
    pub async fn open<E: Engine>(
        store: Store,
        registries: R,
        departure: Departure,
        asker: Asker,
        engine: &E,
        version: &EngineVersion,
    ) -> Result<Self, EngineError> {
        let at = format!("{} {}", engine.endpoint(), version.name);
        let now = host::now();
        let mut learned = Batch::default();
        let kept = store.engine_facts(&at, ENGINE_TTL, now);
        let known = match kept.and_then(|kept| serde_json::from_str::<Known>(&kept.facts).ok()) {
            Some(known) => known,
            None => {
                let info = engine.info().await?;
                let known = Known {
                    classic: info.store == StoreKind::DockerClassic,
                    hosts: info.insecure.hosts,
                    cidrs: info.insecure.cidrs,
                };
                let facts = serde_json::to_string(&known).unwrap_or_default();
                learned.engines.push(EngineFacts { endpoint: at, facts, at: now });
                known
            }
        };
        registries.trust(&InsecureRegistries { hosts: known.hosts, cidrs: known.cidrs });
        let names = if known.classic { DigestNames::CameFromThere } else { DigestNames::OnlyNamed };
        let place = store.place();
        let directory = store.is_working().then(|| place.directory.clone());
        let airport = Airport::new(directory, place.sharing.file_mode());
        // Without a store no hash is ever compared with another process's.
        let key = store.hash_key().map_or([0; 32], |key| *key.expose());
        let (key, learned) = (HashKey::new(key), RefCell::new(learned));
        let (wall, opened) = (now, Instant::now());
        let on_pull = None;
        Ok(Self { store, registries, airport, departure, names, asker, key, learned, on_pull, wall, opened })
    }

    /// Has somebody told of each pull before it begins: of `repository@digest`, and its bytes if they are known.
    pub fn on_pull(&mut self, tell: impl Fn(&str, Option<u64>) + 'static) {
        self.on_pull = Some(Box::new(tell));
    }

    /// Tells of a pull.
    pub(super) fn pulls(&self, image: &str, bytes: Option<u64>) {
        self.on_pull.iter().for_each(|tell| tell(image, bytes));
    }

    /// Returns the time since the epoch.
    pub fn now(&self) -> Duration {
        self.wall + self.opened.elapsed()
    }

    /// Returns as whom a job comes to a registry.
    pub fn account(&self, login: Option<&Credentials>) -> Account {
        Account::of(login, &self.asker, &self.key)
    }

    /// Returns what is known of a repository, for a job that comes with this login.
    pub fn home(&self, repository: &str, login: Option<&Credentials>) -> Home {
        let holder = Holder::of(&self.asker, &self.account(login));
        let facts = self.store.repository(repository);
        let of_key = |key: Option<Vec<u8>>| match key {
            None => Holder::public(),
            Some(key) => Holder::from_stored(String::from_utf8_lossy(&key)),
        };
        Home {
            repository: repository.to_owned(),
            holder,
            proofs: facts
                .proofs
                .into_iter()
                .map(|(proof, at)| Proof {
                    holder: of_key(proof.key),
                    digest: proof.digest,
                    proved_at: at.as_secs(),
                })
                .collect(),
            links: facts
                .links
                .into_iter()
                .map(|link| Link {
                    index: link.index,
                    wanted: link.wanted,
                    manifest: link.manifest,
                    platform: link.platform,
                })
                .collect(),
            origins: facts
                .origins
                .into_iter()
                .map(|origin| Origin {
                    via: origin.through.unwrap_or(origin.repository),
                    digest: origin.digest,
                })
                .collect(),
        }
    }

    /// Tells the registries what earlier processes learned of one of them.
    pub fn recall(&self, registry: &str) -> Option<String> {
        let known = self.store.engine_facts(&hint_name(registry), HINT_TTL, self.now())?.facts;
        self.registries.remember(registry, &known);
        Some(known)
    }

    /// Notes what was learned of a registry, if that is another thing than was known.
    pub fn learn_hint(&self, registry: &str, known: Option<&str>) {
        let Some(facts) = self.registries.hint(registry).filter(|hint| Some(hint.as_str()) != known) else {
            return;
        };
        let fact = EngineFacts { endpoint: hint_name(registry), facts, at: self.now() };
        self.learn(|batch| {
            if !batch.engines.contains(&fact) {
                batch.engines.push(fact);
            }
        });
    }

    /// Returns whether a registry wants to be left alone by this account, for how long, and in which words.
    pub fn back_off(&self, registry: &str, account: &Account) -> Option<(Duration, String)> {
        let now = self.now();
        let found = self.store.back_off(registry, &account_text(account), now)?;
        Some((found.until.saturating_sub(now), found.words))
    }

    /// Notes at once, for all processes of this host, that a registry wants to be left alone by this account.
    pub fn set_back_off(&self, registry: &str, account: &Account, lasts: Duration, words: &str) {
        let now = self.now();
        let back_off = BackOff {
            registry: registry.to_owned(),
            account: account_text(account),
            until: now + lasts,
            words: words.to_owned(),
        };
        self.store.commit(&Batch { back_offs: vec![back_off], ..Batch::default() }, now);
    }

    /// Returns what was obtained for a repository: digests, and the repositories they came through.
    pub fn origins(&self, repository: &str) -> Vec<(String, String)> {
        let found = self.store.repository(repository).origins.into_iter();
        found.map(|origin| (origin.digest, origin.through.unwrap_or(origin.repository))).collect()
    }

    /// Adds to what is written down later.
    pub fn learn(&self, add: impl FnOnce(&mut Batch)) {
        add(&mut self.learned.borrow_mut());
    }

    /// Notes a proof or a refusal of access.
    pub fn learn_access(&self, home: &Home, digest: &str) {
        let (key, repository) = (key_of(&home.holder), home.repository.clone());
        let proof = store::Proof { key, repository, digest: digest.to_owned() };
        self.learn(|batch| batch.proofs.push(proof));
    }

    /// Notes what an index means.
    pub fn learn_link(&self, home: &Home, link: &Link) {
        let Link { index, wanted, manifest, platform } = link.clone();
        let repository = home.repository.clone();
        self.learn(|batch| batch.links.push(store::Link { repository, index, wanted, manifest, platform }));
    }

    /// Notes that a registry does not let this job's like in any more.
    pub fn learn_refusal(&self, home: &Home) {
        let (key, repository) = (key_of(&home.holder), home.repository.clone());
        self.learn(|batch| batch.revocations.push(store::Revocation { key, repository }));
    }

    /// Writes down what was learned so far.
    pub fn write_down(&self) {
        let learned = self.learned.take();
        if !learned.is_empty() {
            self.store.commit(&learned, self.now());
        }
    }
}

fn key_of(holder: &Holder) -> Option<Vec<u8>> {
    (!holder.is_public()).then(|| holder.as_str().as_bytes().to_vec())
}

fn hint_name(registry: &str) -> String {
    format!("registry {registry}")
}

/// An account as a text that is no secret.
fn account_text(account: &Account) -> String {
    match account {
        Account::Anonymous => String::new(),
        Account::JobToken { user, user_id } => format!("token {user:?} {user_id:?}"),
        Account::Static(hash) => format!("login {hash}"),
    }
}

/// Returns the registry that an image comes from.
pub(super) fn registry_of(image: &ImageRef) -> &str {
    image.registry().unwrap_or_default()
}
