//! Eviction on real engines: an image that nobody needs goes with all its names, one in use stays.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptions};
use hearth::engine::{Docker, Engine, PullRequest};
use hearth::evict::{self, Evictor, Here, Occasion, Report, Told};
use hearth::host;
use hearth::image::ImageRef;
use hearth::moment::Process;
use hearth::settings::{CacheSettings, Marks};
use hearth::store::{Batch, ContentFact, ContentKey, Lease, LeaseKind, Sharing, Store, StorePlace, Use};
use hearth::units::ByteSize;

use crate::pusher::{ImageSpec, Layer, Registry};
use crate::support::{Parts, skip};
use crate::world::unique;

const HOUR: Duration = Duration::from_secs(3600);
/// The note of jobs that a new store does not know: those of other tests are none of this one's.
const BARRIER: &str = "jobs before the store";

/// An engine, and a store of this test's own that knows nothing of what else is on that engine.
struct Host {
    engine: Docker,
    raw: bollard::Docker,
    registry: String,
    directory: PathBuf,
    store: Store,
    cache: CacheSettings,
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Host {
    /// The engines of this machine; those that are missing are said.
    async fn all() -> Vec<Self> {
        let Some(parts) = Parts::find() else { return Vec::new() };
        let mut endpoints = vec![parts.endpoint.clone()];
        for variable in ["HEARTH_TEST_PODMAN", "HEARTH_TEST_CONTAINERD"] {
            match variable_of(variable) {
                Some(endpoint) => endpoints.push(endpoint),
                None => skip(&format!("{variable} names no engine")),
            }
        }
        let mut hosts = Vec::new();
        for endpoint in endpoints {
            let engine = Docker::new(&endpoint, Duration::from_secs(60), None).unwrap();
            match engine.version().await {
                Ok(_) => hosts.push(Self::new(engine, &endpoint, &parts.registry)),
                Err(error) => skip(&error.to_string()),
            }
        }
        hosts
    }

    fn new(engine: Docker, endpoint: &str, registry: &str) -> Self {
        let path = endpoint.strip_prefix("unix://").expect("engines of tests have sockets");
        let raw = bollard::Docker::connect_with_unix(path, 60, bollard::API_DEFAULT_VERSION).unwrap();
        let directory = std::env::temp_dir().join(format!("hearth-evicting-{}", unique()));
        let (store, trouble) = Store::open(&StorePlace::new(&directory, Sharing::Owner), host::now());
        assert_eq!(trouble, None);
        assert!(store.set_note(BARRIER, ""));
        let nothing = Marks { start: ByteSize(0), stop: ByteSize(0) };
        let cache = CacheSettings {
            images: Some(nothing),
            free: None,
            free_inodes: None,
            minimum_age: Duration::ZERO,
            ..hearth::settings::defaults().unwrap().cache
        };
        Self { engine, raw, registry: registry.to_owned(), directory, store, cache }
    }

    /// Pulls an image of so many bytes that nobody else knows, and writes down that a job used it yesterday.
    async fn used(&self, what: &str, bytes: usize) -> String {
        let repository = format!("test/evicting-{}/{what}", unique());
        let layer = Layer::random(bytes, unique()).unwrap();
        let pushed =
            Registry::new(&self.registry).push(&repository, "1", &[ImageSpec::new(vec![layer])]).unwrap();
        let reference = format!("{}/{repository}:1", self.registry);
        self.pull(&reference, &pushed.digest).await;
        let facts = self.engine.image(&reference).await.unwrap().unwrap();
        let name: ImageRef = reference.parse().unwrap();
        let key = ContentKey { digest: pushed.digest, platform: facts.platform() };
        let batch = Batch {
            contents: vec![ContentFact {
                key: key.clone(),
                repository: name.full_repository().unwrap(),
                engine_id: Some(facts.id),
                layers: Vec::new(),
            }],
            uses: vec![Use {
                reference: name,
                project: None,
                source: None,
                content: Some(key),
                waited: Duration::ZERO,
            }],
            ..Batch::default()
        };
        assert!(self.store.commit(&batch, host::now() - HOUR * 24));
        reference
    }

    /// Pulls as hearth does: by digest, and then it gets its tag.
    async fn pull(&self, reference: &str, digest: &str) {
        let by_digest = format!("{}@{digest}", reference.trim_end_matches(":1"));
        let request = PullRequest { reference: by_digest.clone(), platform: String::new(), login: None };
        self.engine.pull(&request, &mut |_| {}).await.unwrap();
        self.engine.tag(&by_digest, reference).await.unwrap();
    }

    async fn turn(&self, occasion: Occasion) -> (Report, Vec<Told>) {
        let mut told = Vec::new();
        let here = Here {
            process: host::process(std::process::id()).unwrap_or_default(),
            moment: &host::moment,
            clock_is_set: Some(true),
            lives: &|_| true,
            disk: &|dir: &Path| evict::disk(dir),
        };
        let evictor = Evictor { engine: &self.engine, store: &self.store, cache: &self.cache, here };
        let report = evictor.turn(occasion, &mut |one| told.push(one)).await.unwrap();
        (report, told)
    }

    async fn has(&self, reference: &str) -> bool {
        self.engine.image(reference).await.unwrap().is_some()
    }

    /// Makes a container and does not start it.
    async fn contain(&self, reference: &str) -> String {
        let body = ContainerCreateBody {
            image: Some(reference.to_owned()),
            cmd: Some(vec!["nothing".to_owned()]),
            ..Default::default()
        };
        self.raw.create_container(None::<CreateContainerOptions>, body).await.unwrap().id
    }

    async fn uncontain(&self, container: &str) {
        self.raw.remove_container(container, None::<RemoveContainerOptions>).await.unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "tests find the machine's parts by the environment")]
fn variable_of(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[tokio::test]
async fn what_nobody_needs_goes_with_all_its_names_and_what_is_in_use_stays() {
    for host in Host::all().await {
        let at = host.engine.endpoint().to_owned();
        let idle = host.used("idle", 8 << 20).await;
        let in_use = host.used("in-use", 1 << 20).await;
        let leased = host.used("leased", 1 << 20).await;
        let other_name = format!("{}-other:2", idle.trim_end_matches(":1"));
        host.engine.tag(&idle, &other_name).await.unwrap();
        let id = host.engine.image(&idle).await.unwrap().unwrap().id;
        let container = host.contain(&in_use).await;
        host.store.lease(&[Lease {
            job: "a job".to_owned(),
            kind: LeaseKind::Reference,
            name: leased.clone(),
            taken: host::moment(),
            owner: Process::default(),
            lasts: HOUR,
        }]);

        let (report, told) = host.turn(Occasion::Tick).await;
        let gone: Vec<&str> = report.gone.iter().map(|gone| gone.id.as_str()).collect();
        assert_eq!(gone, [id.as_str()], "{at}: {report:?}");
        for name in [&idle, &other_name, &id] {
            assert!(!host.has(name).await, "{at}: {name}");
        }
        assert!(host.has(&in_use).await && host.has(&leased).await, "{at}");
        let reckoned = report.gone[0].reckoned;
        assert!((8 << 20..20 << 20).contains(&reckoned), "{at}: {reckoned}");
        // Where the disk can be seen it was measured; others write to it, so how much is not said here.
        assert_eq!(report.gone[0].freed.is_some(), report.before.is_some(), "{at}");
        let stuck = report.stuck.unwrap_or_default();
        // What other tests have on the engine is none of hearth's business, and stays.
        for words in ["used by containers", "needed by jobs that run", "neither pulled by hearth"] {
            assert!(stuck.contains(words), "{at}: {stuck}");
        }
        assert!(told.iter().any(|one| matches!(one, Told::Stuck(_))), "{at}");
        assert!(host.store.removals(&host::moment()).is_empty(), "{at}");

        // As soon as nothing holds it any more it goes too.
        host.uncontain(&container).await;
        host.store.drop_leases("a job");
        let (report, told) = host.turn(Occasion::Tick).await;
        assert_eq!(report.gone.len(), 2, "{at}: {report:?}");
        assert!(!host.has(&in_use).await && !host.has(&leased).await, "{at}");
        assert!(!told.iter().any(|one| matches!(one, Told::Stuck(_))), "{at}: it was said before");
    }
}

#[tokio::test]
async fn an_image_that_its_tag_has_left_goes_and_the_tag_stays() {
    for host in Host::all().await {
        let at = host.engine.endpoint().to_owned();
        let reference = host.used("moves", 1 << 20).await;
        let old = host.engine.image(&reference).await.unwrap().unwrap();
        let repository = reference.trim_start_matches(&host.registry).trim_start_matches('/');
        let layer = Layer::random(1 << 20, unique()).unwrap();
        let repository = repository.trim_end_matches(":1");
        let pushed =
            Registry::new(&host.registry).push(repository, "1", &[ImageSpec::new(vec![layer])]).unwrap();
        host.pull(&reference, &pushed.digest).await;
        let new_name = format!("{}@{}", reference.trim_end_matches(":1"), pushed.digest);
        let new = host.engine.image(&reference).await.unwrap().unwrap();
        assert_ne!(old.id, new.id, "{at}");
        // The store knows the old content only, so the new one is none of hearth's business.
        let (report, _) = host.turn(Occasion::Tick).await;
        let gone: Vec<&str> = report.gone.iter().map(|gone| gone.id.as_str()).collect();
        assert_eq!(gone, [old.id.as_str()], "{at}: {report:?}");
        assert!(!host.has(&old.id).await, "{at}");
        assert_eq!(host.engine.image(&reference).await.unwrap().map(|facts| facts.id), Some(new.id), "{at}");
        host.engine.remove_image(&reference).await.unwrap();
        host.engine.remove_image(&new_name).await.unwrap();
    }
}
