//! An engine to hold to the contract, and what is known of its backstage.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bollard::query_parameters::{InspectContainerOptions, RemoveImageOptions};
use futures_util::FutureExt;
use hearth::engine::fake::{Behaviour, Fake, FakeImage, Place, Run};
use hearth::engine::{
    ContainerState, Created, Creation, Docker, Engine, ExecRunning, Health, PullRequest, Removal, StoreKind,
};
use hearth::plan::script;
use hearth::plan::spec::{ContainerSpec, ExecSpec, LogSpec, MountSpec, NetworkSpec, NetworkUse, VolumeSpec};
use hearth::scan::MAX_FILE_BYTES;
use hearth::settings::Limits;

use super::streams::patiently;
use crate::front::{Front, on};
use crate::pusher::{ImageSpec, Layer, Registry};
use crate::support::{self, Parts};

const LABEL: &str = "hearth.contract";

/// What only the engine's own side knows.
enum Backstage {
    Fake(Fake),
    Real(bollard::Docker),
}

/// An image of two layers. The upper one comes slowly on the fake engine, and only trickles from half way on on a real one.
pub(super) struct Slow {
    /// Its name by tag.
    pub(super) reference: String,
    /// Its name by digest.
    pub(super) by_digest: String,
    /// The lower layer, as pulls name it.
    pub(super) base: String,
    /// The upper one.
    pub(super) top: String,
    /// How much the fake engine will have downloaded when it has the whole image.
    bytes: u64,
    front: Option<Front>,
}

/// An image that nobody else knows, in the registry.
pub(super) struct Own {
    /// Its name by tag.
    pub(super) reference: String,
    /// Its name by digest.
    pub(super) by_digest: String,
}

impl Own {
    /// Returns a name of its repository with another tag.
    pub(super) fn with_tag(&self, tag: &str) -> String {
        format!("{}:{tag}", self.reference.trim_end_matches(":1"))
    }
}

/// An engine, and names that nobody else uses on it.
pub(super) struct World<E> {
    /// The engine.
    pub(super) engine: E,
    /// The registry's address.
    pub(super) registry: String,
    run: String,
    log_driver: &'static str,
    backstage: Backstage,
}

fn run() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("hearth-contract-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Makes a world on the fake engine, whose registry has what the real one has.
pub(super) fn fake(kind: StoreKind) -> World<Fake> {
    let fake = Fake::new();
    fake.set_store(kind);
    let registry = "127.0.0.1:5501".to_owned();
    let web = |seed| FakeImage::new(seed).listens(80, Duration::ZERO);
    for (name, image) in [
        ("busybox", FakeImage::new("busybox")),
        ("volume", FakeImage::new("volume").volume("/data")),
        ("web-healthy", web("web-healthy").health(Duration::from_secs(1), Health::Healthy)),
        ("web-unhealthy", web("web-unhealthy").health(Duration::from_secs(1), Health::Unhealthy)),
    ] {
        fake.publish(&format!("{registry}/job/{name}:1"), image);
    }
    let multi = FakeImage::new("multi").index_of(&["linux/amd64", "linux/arm64", "linux/arm/v7"]);
    fake.publish(&format!("{registry}/job/multi:1"), multi);
    let only = FakeImage::new("foreign-only").index_of(&["linux/arm64"]);
    fake.publish(&format!("{registry}/job/foreign-only:1"), only);
    World {
        engine: fake.clone(),
        registry,
        run: run(),
        log_driver: "local",
        backstage: Backstage::Fake(fake),
    }
}

/// Makes a world on the real engine; `None`, after saying so, if it is missing.
pub(super) async fn real() -> Option<World<Docker>> {
    let parts = Parts::find()?;
    world_at(parts.endpoint, parts.registry).await
}

/// Makes a world on Podman; `None`, after saying so, if it is missing.
pub(super) async fn podman() -> Option<World<Docker>> {
    further("HEARTH_TEST_PODMAN").await
}

/// Makes a world on Docker with containerd's store; `None`, after saying so, if it is missing.
pub(super) async fn containerd() -> Option<World<Docker>> {
    further("HEARTH_TEST_CONTAINERD").await
}

async fn further(variable: &str) -> Option<World<Docker>> {
    let parts = Parts::find()?;
    let Ok(endpoint) = std::env::var(variable) else {
        support::skip(&format!("{variable} names no engine"));
        return None;
    };
    world_at(endpoint, parts.registry).await
}

async fn world_at(endpoint: String, registry: String) -> Option<World<Docker>> {
    let docker = Docker::new(&endpoint, Duration::from_secs(60), None).expect("the endpoint is one");
    let version = match docker.version().await {
        Ok(version) => version,
        Err(error) => {
            support::skip(&error.to_string());
            return None;
        }
    };
    let raw = match endpoint.strip_prefix("unix://") {
        Some(path) => bollard::Docker::connect_with_unix(path, 60, bollard::API_DEFAULT_VERSION),
        None => bollard::Docker::connect_with_http(&endpoint, 60, bollard::API_DEFAULT_VERSION),
    };
    let raw = raw.expect("the endpoint is one");
    let log_driver = if version.name.starts_with("Podman") { "k8s-file" } else { "local" };
    Some(World { engine: docker, registry, run: run(), log_driver, backstage: Backstage::Real(raw) })
}

impl<E: Engine> World<E> {
    /// Holds the engine to a clause, and empties the world also if it fails.
    pub(super) async fn hold(&self, clause: impl Future<Output = ()>) {
        let result = AssertUnwindSafe(clause).catch_unwind().await;
        let left = self.empty().await;
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
        assert_eq!(left, Vec::<String>::new(), "left behind");
    }

    async fn empty(&self) -> Vec<String> {
        let mut left = Vec::new();
        let mut note = |what: &str, result| match result {
            Ok(Removal::Removed | Removal::Gone) => {}
            other => left.push(format!("{what}: {other:?}")),
        };
        for container in self.engine.containers_labelled(LABEL, &self.run).await.unwrap_or_default() {
            note(&container.name, self.engine.remove_container(&container.id).await);
        }
        for network in self.engine.networks_labelled(LABEL, &self.run).await.unwrap_or_default() {
            note(&network, self.engine.remove_network(&network).await);
        }
        for volume in self.engine.volumes_labelled(LABEL, &self.run).await.unwrap_or_default() {
            // Podman lets go of it a moment after its container.
            let free = async || {
                let result = self.engine.remove_volume(&volume).await;
                (result != Ok(Removal::InUse)).then_some(result)
            };
            note(&volume, self.until(free).await);
        }
        left
    }

    /// Returns a name of this world.
    pub(super) fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.run)
    }

    /// Returns the label of everything in this world.
    pub(super) fn label(&self) -> (&str, &str) {
        (LABEL, &self.run)
    }

    fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(LABEL.to_owned(), self.run.clone())])
    }

    /// Returns the command for a shell script, and tells the fake what it does.
    pub(super) fn program(&self, script: &str, behaviour: Behaviour) -> Vec<String> {
        if let Backstage::Fake(fake) = &self.backstage {
            fake.command(&["sh", "-c", script], behaviour);
        }
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    /// Tells the fake what a script does that comes on stdin.
    pub(super) fn answer(&self, place: Place, script: &'static str, behaviour: Behaviour) {
        if let Backstage::Fake(fake) = &self.backstage {
            let says = move |run: &Run<'_>| run.place == place && run.stdin == script.as_bytes();
            fake.program(move |run| says(run).then(|| behaviour.clone()));
        }
    }

    /// Tells the fake what a file of a checkout holds.
    pub(super) fn holds(&self, path: &str, text: &str) {
        if let Backstage::Fake(fake) = &self.backstage {
            fake.checkout_has(path, text);
        }
    }

    /// Tells the fake what it says of a checkout that is none.
    pub(super) fn refuses_checkout(&self, dir: &str) {
        if let Backstage::Fake(fake) = &self.backstage {
            let argv = script::read(dir, MAX_FILE_BYTES + 1);
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            fake.command(&argv, Behaviour::new().exit(script::EXIT_NO_CHECKOUT));
        }
    }

    /// Returns a command that stays until it is killed; TERM does nothing to it as PID 1.
    pub(super) fn stays(&self) -> Vec<String> {
        self.program("exec sleep 1000", Behaviour::new().forever())
    }

    /// Returns the engine's time in seconds after the epoch.
    pub(super) fn now(&self) -> i64 {
        match &self.backstage {
            Backstage::Fake(fake) => fake.now(),
            Backstage::Real(_) => support::now(),
        }
    }

    /// Returns the names of a container's volumes that were asked for by its image alone.
    pub(super) async fn anonymous_volumes(&self, container: &str) -> Vec<String> {
        match &self.backstage {
            Backstage::Fake(fake) => fake.anonymous_volumes(container),
            Backstage::Real(raw) => {
                let found = raw.inspect_container(container, None::<InspectContainerOptions>).await.unwrap();
                found.mounts.unwrap_or_default().into_iter().filter_map(|mount| mount.name).collect()
            }
        }
    }

    /// Returns a name for an image that nobody else has, in a repository of its own.
    pub(super) fn own_name(&self, what: &str) -> String {
        format!("{}/test/{}/{what}:1", self.registry, self.run)
    }

    /// Puts an image that nobody else knows into the registry.
    pub(super) async fn own(&self, what: &str) -> Own {
        let reference = self.own_name(what);
        let (address, repository) = (&self.registry, format!("test/{}/{what}", self.run));
        let digest = if let Backstage::Fake(fake) = &self.backstage {
            let image = FakeImage::new(&format!("{repository} {}", crate::world::unique()));
            let digest = image.digest();
            fake.publish(&reference, image);
            digest
        } else {
            let layer = Layer::random(4 << 10, crate::world::unique()).expect("a layer");
            Registry::new(address)
                .push(&repository, "1", &[ImageSpec::new(vec![layer])])
                .expect("it is pushed")
                .digest
        };
        Own { by_digest: format!("{address}/{repository}@{digest}"), reference }
    }

    /// Puts an image that nobody else knows behind a slow way.
    pub(super) async fn slow(&self) -> Slow {
        const BASE: usize = 64 << 10;
        const TOP: usize = 3 << 20;
        const HALF: u64 = 3 << 19;
        const RATE: usize = 768 << 10;
        let repository = format!("test/{}/slow-{}", self.run, crate::world::unique());
        let bytes = (BASE + TOP) as u64;
        if let Backstage::Fake(fake) = &self.backstage {
            let [base, top] = ["base", "top"].map(|layer| format!("{layer} of {repository}"));
            let image = FakeImage::new(&repository).layers(&[(&base, BASE as u64), (&top, TOP as u64)]);
            let (reference, digest) = (format!("{}/{repository}:1", self.registry), image.digest());
            fake.publish(&reference, image);
            fake.download_rate(RATE as u64);
            let by_digest = format!("{}/{repository}@{digest}", self.registry);
            let bytes = fake.downloaded() + bytes;
            return Slow { reference, by_digest, base, top, bytes, front: None };
        }
        let layers = [BASE, TOP].map(|bytes| Layer::random(bytes, crate::world::unique()).expect("a layer"));
        let [base, top] = layers.each_ref().map(|layer| layer.digest()["sha256:".len()..][..12].to_owned());
        let image = ImageSpec::new(layers.to_vec());
        let pushed = Registry::new(&self.registry).push(&repository, "1", &[image]).expect("it is pushed");
        let front = Front::with(&self.registry, on(&format!("/blobs/sha256:{top}")).trickle_after(HALF));
        let reference = format!("{}/{repository}:1", front.address);
        let by_digest = format!("{}/{repository}@{}", front.address, pushed.digest);
        Slow { reference, by_digest, base, top, bytes, front: Some(front) }
    }

    /// Lets come what trickles, and whatever is asked for from now on.
    pub(super) fn let_go(&self, slow: &Slow) {
        if let Some(front) = &slow.front {
            front.clear();
            front.release();
        }
    }

    /// Returns how much of a layer is on its way or here, of the pull that has most of it.
    pub(super) fn came(&self, slow: &Slow, layer: &str) -> u64 {
        let of_layer = format!("/blobs/sha256:{layer}");
        let log = slow.front.as_ref().map(Front::log).unwrap_or_default();
        log.iter()
            .filter(|asked| asked.path.contains(&of_layer))
            .map(|asked| asked.sent)
            .max()
            .unwrap_or(u64::MAX)
    }

    /// Tells whether nobody fetches anything of an image any more.
    pub(super) fn hung_up(&self, slow: &Slow) -> bool {
        slow.front.as_ref().is_none_or(|front| front.log().iter().all(|asked| asked.over))
    }

    /// Returns how often the download of a layer was begun.
    pub(super) fn fetches(&self, slow: &Slow, layer: &str) -> usize {
        match (&self.backstage, &slow.front) {
            (Backstage::Fake(fake), _) => fake.fetches(layer),
            (Backstage::Real(_), Some(front)) => {
                let of_layer = format!("/blobs/sha256:{layer}");
                front.count("GET", &of_layer)
            }
            (Backstage::Real(_), None) => 0,
        }
    }

    /// Tells whether a layer was fetched once in all, though in parts.
    pub(super) fn went_on(&self, slow: &Slow, layer: &str) -> bool {
        match (&self.backstage, &slow.front) {
            (Backstage::Fake(fake), _) => fake.downloaded() == slow.bytes,
            (Backstage::Real(_), Some(front)) => {
                let of_layer = format!("/blobs/sha256:{layer}");
                front.log().iter().any(|asked| asked.path.contains(&of_layer) && asked.status == Some(206))
            }
            (Backstage::Real(_), None) => false,
        }
    }

    /// Takes a name from an image.
    pub(super) async fn untag(&self, name: &str) {
        match &self.backstage {
            Backstage::Fake(fake) => fake.forget_image(name),
            Backstage::Real(raw) => {
                let _ = raw.remove_image(name, None::<RemoveImageOptions>, None).await;
            }
        }
    }

    /// Tells whether a volume exists.
    pub(super) async fn has_volume(&self, name: &str) -> bool {
        match &self.backstage {
            Backstage::Fake(fake) => fake.volumes().iter().any(|volume| volume == name),
            Backstage::Real(raw) => raw.inspect_volume(name).await.is_ok(),
        }
    }

    /// Returns the name of an image of the registry.
    pub(super) fn image(&self, name: &str) -> String {
        format!("{}/job/{name}:1", self.registry)
    }

    /// Sees to it that an image is on the host; returns its name.
    pub(super) async fn image_here(&self, name: &str) -> String {
        let reference = self.image(name);
        if self.engine.image(&reference).await.unwrap().is_none() {
            self.engine.pull(&pull(&reference), &mut |_| {}).await.unwrap();
        }
        reference
    }

    /// Makes a network's spec.
    pub(super) fn network(&self, what: &str) -> NetworkSpec {
        NetworkSpec { name: self.name(what), ipv6: None, mtu: None, labels: self.labels() }
    }

    /// Makes a volume's spec.
    pub(super) fn volume(&self, what: &str) -> VolumeSpec {
        VolumeSpec { name: self.name(what), kept: false, labels: self.labels() }
    }

    /// Makes a container's spec: busybox, no network, no init.
    pub(super) async fn spec(&self, what: &str, command: Vec<String>) -> ContainerSpec {
        ContainerSpec {
            name: self.name(what),
            image: self.image_here("busybox").await,
            platform: String::new(),
            entrypoint: None,
            command: Some(command),
            user: String::new(),
            env: Vec::new(),
            working_dir: None,
            hostname: String::new(),
            open_stdin: false,
            mounts: Vec::new(),
            tmpfs: BTreeMap::new(),
            network: NetworkUse::Mode("none".to_owned()),
            extra_hosts: Vec::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            init: false,
            privileged: false,
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            security_opt: Vec::new(),
            userns_mode: String::new(),
            runtime: String::new(),
            limits: Limits::default(),
            shm_size: None,
            ulimit: BTreeMap::new(),
            devices: Vec::new(),
            device_cgroup_rules: Vec::new(),
            group_add: Vec::new(),
            log: LogSpec { driver: self.log_driver.to_owned(), options: BTreeMap::new() },
            labels: self.labels(),
        }
    }

    /// Creates a container; returns its name.
    pub(super) async fn create(&self, spec: &ContainerSpec) -> String {
        made(self.engine.create_container(spec).await.unwrap());
        spec.name.clone()
    }

    /// Creates and starts a container; returns its name.
    pub(super) async fn start(&self, spec: &ContainerSpec) -> String {
        let name = self.create(spec).await;
        self.engine.start_container(&name).await.unwrap();
        name
    }

    /// Creates and starts a container that stays; returns its name.
    pub(super) async fn home(&self) -> String {
        self.start(&self.spec("home", self.stays()).await).await
    }

    /// Returns the state of a container that exists.
    pub(super) async fn state(&self, name: &str) -> ContainerState {
        self.engine.container(name).await.unwrap().expect("the container exists")
    }

    /// Waits for the end of a container's main process.
    pub(super) async fn ended(&self, name: &str) -> ContainerState {
        self.until(async || Some(self.state(name).await).filter(|state| !state.running)).await
    }

    /// Starts an exec.
    pub(super) async fn exec(&self, container: &str, command: Vec<String>, stdin: bool) -> ExecRunning {
        self.engine.exec(container, &exec(command, stdin)).await.unwrap()
    }

    /// Waits until an exec's state says that it ended; returns its code.
    pub(super) async fn code(&self, id: &str) -> Option<i64> {
        // A busy engine may answer before it has started the command: then it does not run, and has no code.
        let state = async || {
            let state = self.engine.exec_state(id).await.unwrap();
            (!state.running && state.exit_code.is_some()).then_some(state)
        };
        self.until(state).await.exit_code
    }

    /// Asks again and again until there is an answer.
    pub(super) async fn until<T>(&self, ask: impl AsyncFn() -> Option<T>) -> T {
        patiently(async {
            loop {
                if let Some(answer) = ask().await {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }
}

/// Makes an exec's spec.
pub(super) fn exec(command: Vec<String>, stdin: bool) -> ExecSpec {
    ExecSpec { command, user: String::new(), env: hearth::plan::script::stage_env(), stdin }
}

/// Makes an anonymous pull.
pub(super) fn pull(reference: &str) -> PullRequest {
    PullRequest { reference: reference.to_owned(), platform: String::new(), login: None }
}

/// Makes a mount of a volume.
pub(super) fn mount(volume: &str, target: &str) -> MountSpec {
    MountSpec { source: volume.to_owned(), target: target.to_owned(), options: String::new() }
}

/// Returns how the engine keeps its images.
pub(super) async fn kind<E: Engine>(world: &World<E>) -> StoreKind {
    world.engine.info().await.unwrap().store
}

/// Tells whether the engine is Podman, which some clauses know to be otherwise.
pub(super) async fn on_podman<E: Engine>(world: &World<E>) -> bool {
    kind(world).await == StoreKind::Podman
}

/// Returns what was made.
pub(super) fn made(creation: Creation) -> Created {
    match creation {
        Creation::Made(made) => made,
        other => panic!("it was not made: {other:?}"),
    }
}
