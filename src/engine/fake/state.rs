//! All that exists in the fake engine, and the rules of what may be done to it. Nothing here waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::behaviour::Behaviour;
use super::call::Calls;
use super::container::{Container, Kind, Signal, Status};
use super::disk::Disk;
use super::image::FakeImage;
use super::program::Run;
use super::pulling::Pulls;
use super::registry::Registries;
use super::removing::{self, Loss};
use super::store::{self, HostImage};
use crate::engine::{
    Created, Creation, EngineError, EngineInfo, EngineVersion, Event, EventKind, InsecureRegistries, Moment,
    Removal, StoreKind, Tagging,
};
use crate::image::{ImageFacts, Platform};
use crate::plan::spec::{ContainerSpec, Labels, NetworkSpec, NetworkUse, VolumeSpec};

/// When a fake engine begins, in seconds after the epoch.
const BIRTH: i128 = 1_700_000_000;

/// How long Docker keeps an exec's stream open for those who hold it when the exec's own process has ended.
const LINGER: Duration = Duration::from_secs(2);

/// What programs are asked for.
pub(super) type Program = Arc<dyn Fn(&Run<'_>) -> Option<Behaviour> + Send + Sync>;

/// A network.
pub(super) struct Network {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) created: i128,
}

/// A volume.
#[derive(Default)]
pub(super) struct Volume {
    pub(super) labels: Labels,
    pub(super) created: i128,
    /// Files in it, by their paths below its top.
    pub(super) files: BTreeSet<String>,
}

/// A command in a container.
pub(super) struct Exec {
    pub(super) container: String,
    pub(super) argv: Vec<String>,
    pub(super) running: bool,
    pub(super) exit_code: Option<i64>,
}

/// Everything.
pub(super) struct State {
    pub(super) version: EngineVersion,
    pub(super) info: EngineInfo,
    pub(super) calls: Calls,
    pub(super) timeout: Duration,
    pub(super) registries: Registries,
    pub(super) pulls: Pulls,
    pub(super) images: Vec<HostImage>,
    pub(super) networks: Vec<Network>,
    pub(super) volumes: BTreeMap<String, Volume>,
    pub(super) containers: Vec<Container>,
    pub(super) execs: BTreeMap<String, Exec>,
    /// What files of checkouts hold, by their paths in the containers.
    pub(super) texts: BTreeMap<String, Vec<u8>>,
    pub(super) programs: Vec<Program>,
    pub(super) warnings: Vec<String>,
    pub(super) removal_takes: Duration,
    pub(super) helper_takes: Duration,
    pub(super) exec_lags: Duration,
    pub(super) exec_lingers: Option<Duration>,
    pub(super) began: Moment,
    /// `None`: it has no end.
    pub(super) disk: Option<Disk>,
    /// Bytes of the build cache; `None`: the engine has none.
    pub(super) build_cache: Option<u64>,
    /// Those who hear of events.
    pub(super) listeners: Vec<mpsc::UnboundedSender<Event>>,
    born: Instant,
    made: u64,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            version: EngineVersion {
                name: "Docker 20.10.24".to_owned(),
                api: "1.41".to_owned(),
                os: "linux".to_owned(),
                arch: "amd64".to_owned(),
            },
            info: EngineInfo {
                store: StoreKind::DockerClassic,
                storage_driver: "overlay2".to_owned(),
                data_root: "/var/lib/docker".to_owned(),
                insecure: InsecureRegistries { hosts: Vec::new(), cidrs: vec!["127.0.0.0/8".to_owned()] },
                mirrors: Vec::new(),
            },
            calls: Calls::default(),
            timeout: Duration::from_secs(120),
            registries: Registries::default(),
            pulls: Pulls::default(),
            images: Vec::new(),
            networks: Vec::new(),
            volumes: BTreeMap::new(),
            containers: Vec::new(),
            execs: BTreeMap::new(),
            texts: BTreeMap::new(),
            programs: Vec::new(),
            warnings: Vec::new(),
            removal_takes: Duration::ZERO,
            helper_takes: Duration::ZERO,
            exec_lags: Duration::ZERO,
            exec_lingers: Some(LINGER),
            began: Moment(BIRTH * 1_000_000_000),
            disk: None,
            build_cache: Some(0),
            listeners: Vec::new(),
            born: Instant::now(),
            made: 0,
        }
    }

    /// Returns the time in nanoseconds since the epoch.
    pub(super) fn now(&self) -> i128 {
        BIRTH * 1_000_000_000 + i128::try_from(self.born.elapsed().as_nanos()).unwrap_or_default()
    }

    /// Returns a number that nothing else has.
    pub(super) fn next(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// Returns an ID as engines make them.
    pub(super) fn next_id(&mut self) -> String {
        format!("{:064x}", 0xfa4e_0000_0000_u64 + self.next())
    }

    pub(super) fn image(&self, reference: &str) -> Option<&FakeImage> {
        self.images.iter().find(|host| host.is(reference)).map(|host| &host.image)
    }

    pub(super) fn image_facts(&self, reference: &str) -> Option<ImageFacts> {
        self.images.iter().find(|host| host.is(reference)).map(|host| host.facts(self.info.store))
    }

    /// Gives an image a name.
    pub(super) fn tag(&mut self, source: &str, target: &str) -> Tagging {
        let tagging = store::tag(&mut self.images, source, target, self.info.store);
        if let Some(id) = self.image(target).map(|image| image.facts.id.clone()) {
            self.tell(EventKind::Image, "tag", &id, &Labels::new());
        }
        tagging
    }

    /// Takes a name from an image.
    pub(super) fn remove_image(&mut self, name: &str) -> Result<Removal, EngineError> {
        let used: Vec<String> = self.containers.iter().map(|c| c.image.facts.id.clone()).collect();
        let in_use = |id: &str| used.iter().any(|used| used == id);
        let loss = removing::remove(&mut self.images, name, self.info.store, in_use);
        match &loss {
            Loss::Untagged(id) => self.tell(EventKind::Image, "untag", id, &Labels::new()),
            Loss::Deleted(id) => {
                self.tell(EventKind::Image, "untag", id, &Labels::new());
                self.tell(EventKind::Image, "delete", id, &Labels::new());
            }
            Loss::Kept | Loss::Missing => {}
        }
        Ok(loss.removal())
    }

    pub(super) fn has_layer(&self, layer: &str) -> bool {
        self.images.iter().any(|host| host.image.layers.iter().any(|(id, _)| id == layer))
    }

    /// Keeps an image that was pulled.
    pub(super) fn arrived(&mut self, reference: &str, image: FakeImage) -> Result<(), EngineError> {
        let native = Platform::new(&self.version.os, &self.version.arch, "");
        // What was left of its layers belongs to it now, and goes with it.
        for (layer, _) in &image.layers {
            self.pulls.kept.remove(layer);
            self.pulls.begun.remove(layer);
        }
        store::settle(&mut self.images, reference, image, self.info.store, &native)?;
        self.tell(EventKind::Image, "pull", reference, &Labels::new());
        Ok(())
    }

    pub(super) fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|c| c.is(name))
    }

    pub(super) fn container_mut(&mut self, name: &str) -> Option<&mut Container> {
        self.containers.iter_mut().find(|c| c.is(name))
    }

    pub(super) fn create_network(&mut self, spec: &NetworkSpec) -> Creation {
        if self.networks.iter().any(|n| n.name == spec.name) {
            return Creation::NameTaken;
        }
        let id = self.next_id();
        let (name, labels, created) = (spec.name.clone(), spec.labels.clone(), self.now());
        self.networks.push(Network { id: id.clone(), name, labels, created });
        Creation::Made(Created { id, warnings: Vec::new() })
    }

    pub(super) fn network(&self, name: &str) -> Option<&Network> {
        self.networks.iter().find(|n| n.name == name || n.id == name)
    }

    pub(super) fn remove_network(&mut self, name: &str) -> Removal {
        let Some(network) = self.network(name) else { return Removal::Gone };
        let (id, name) = (network.id.clone(), network.name.clone());
        if self.containers.iter().any(|c| c.address.as_ref().is_some_and(|(network, _)| *network == name)) {
            return Removal::InUse;
        }
        self.networks.retain(|n| n.id != id);
        Removal::Removed
    }

    pub(super) fn create_volume(&mut self, spec: &VolumeSpec) {
        if !self.volumes.contains_key(&spec.name) {
            let volume = Volume { labels: spec.labels.clone(), created: self.now(), ..Volume::default() };
            self.volumes.insert(spec.name.clone(), volume);
            self.tell(EventKind::Volume, "create", &spec.name, &Labels::new());
        }
    }

    pub(super) fn remove_volume(&mut self, name: &str) -> Removal {
        if self.containers.iter().any(|c| c.volumes.iter().any(|(_, volume)| volume == name)) {
            return Removal::InUse;
        }
        if self.volumes.remove(name).is_none() {
            return Removal::Gone;
        }
        self.tell(EventKind::Volume, "destroy", name, &Labels::new());
        Removal::Removed
    }

    pub(super) fn create_container(&mut self, spec: &ContainerSpec) -> Result<Creation, EngineError> {
        let Some(image) = self.image(&spec.image).cloned() else { return Ok(Creation::ImageMissing) };
        if self.containers.iter().any(|c| c.spec.name == spec.name) {
            return Ok(Creation::NameTaken);
        }
        self.room_for_container()?;
        let id = self.next_id();
        let now = self.now();
        let mut container = Container::new(id.clone(), spec.clone(), image, now);
        for path in &container.image.volumes {
            if !container.spec.mounts.iter().any(|m| m.target == *path) {
                let name = self.next_id();
                container.volumes.push((path.clone(), name.clone()));
                container.anonymous.push(name);
            }
        }
        for (_, volume) in &container.volumes {
            self.volumes
                .entry(volume.clone())
                .or_insert_with(|| Volume { created: now, ..Volume::default() });
        }
        self.containers.push(container);
        self.tell(EventKind::Container, "create", &id, &spec.labels);
        Ok(Creation::Made(Created { id, warnings: self.warnings.clone() }))
    }

    /// Lets go of a container that does not run any more.
    pub(super) fn drop_container(&mut self, id: &str) {
        let Some(at) = self.containers.iter().position(|c| c.id == id) else { return };
        let container = self.containers.remove(at);
        container.stdin.abandon();
        self.volumes.retain(|name, _| !container.anonymous.contains(name));
        self.execs.retain(|_, exec| exec.container != id);
        self.tell(EventKind::Container, "destroy", id, &container.spec.labels);
    }

    /// Connects a container that starts: the name of its network, and its address there.
    pub(super) fn connect(&mut self, spec: &ContainerSpec) -> Result<Option<(String, String)>, EngineError> {
        let (at, name) = match &spec.network {
            NetworkUse::Mode(mode) if mode == "bridge" => (0, "bridge".to_owned()),
            NetworkUse::Mode(_) => return Ok(None),
            NetworkUse::Joined { network, .. } => {
                let found = self.networks.iter().position(|n| n.name == *network || n.id == *network);
                let at = found.ok_or_else(|| EngineError::NotFound {
                    message: format!("network {network} not found"),
                })?;
                (at + 1, self.networks[at].name.clone())
            }
        };
        let host = self.next();
        Ok(Some((name, format!("172.{}.{}.{}", 17 + at % 200, host / 250 % 250, 2 + host % 250))))
    }

    /// Writes to a container's log.
    pub(super) fn log(&mut self, id: &str, stderr: bool, bytes: &[u8]) {
        let now = self.now();
        if let Some(container) = self.container_mut(id) {
            container.log.write(now, stderr, bytes);
        }
    }

    fn volume_of<'a>(container: &'a Container, path: &str) -> Option<(&'a str, String)> {
        let mounts = container.volumes.iter().filter_map(|(target, volume)| {
            let rest = path.strip_prefix(target.as_str())?;
            (rest.is_empty() || rest.starts_with('/'))
                .then(|| (target.len(), volume.as_str(), rest.to_owned()))
        });
        mounts.max_by_key(|(length, ..)| *length).map(|(_, volume, rest)| (volume, rest))
    }

    /// Tells whether a container sees a file.
    pub(super) fn has_file(&self, id: &str, path: &str) -> bool {
        let Some(container) = self.container(id) else { return false };
        match Self::volume_of(container, path) {
            Some((volume, rest)) => self.volumes.get(volume).is_some_and(|v| v.files.contains(&rest)),
            None => container.files.contains(path),
        }
    }

    /// Writes a file in a container.
    pub(super) fn touch(&mut self, id: &str, path: &str) {
        let Some(container) = self.containers.iter_mut().find(|c| c.id == id) else { return };
        match Self::volume_of(container, path) {
            Some((volume, rest)) => {
                self.volumes.entry(volume.to_owned()).or_default().files.insert(rest);
            }
            None => {
                container.files.insert(path.to_owned());
            }
        }
    }

    /// Deletes what lies in directories named `*.tmp` of a container's volume, as the helper does.
    pub(super) fn sweep(&mut self, id: &str, builds: &str) {
        let found =
            self.container(id).and_then(|c| Self::volume_of(c, builds)).map(|(volume, _)| volume.to_owned());
        if let Some(volume) = found.and_then(|volume| self.volumes.get_mut(&volume)) {
            volume.files.retain(|path| !path.rsplit('/').skip(1).any(|part| part.ends_with(".tmp")));
        }
    }

    /// Signals processes of a container.
    pub(super) fn signal(&self, id: &str, signal: Signal, which: impl Fn(u64, Kind) -> bool) {
        if let Some(container) = self.container(id) {
            container.signal(signal, which);
        }
    }

    /// Tells whether a container has such a process.
    pub(super) fn has_process(&self, id: &str, which: impl Fn(u64, Kind) -> bool) -> bool {
        self.container(id).is_some_and(|c| c.processes.iter().any(|(pid, p)| which(*pid, p.kind)))
    }

    /// Returns the wrappers of that name that run in a container.
    pub(super) fn stages(&self, id: &str, name: u64) -> Vec<u64> {
        let Some(container) = self.container(id) else { return Vec::new() };
        container.processes.iter().filter(|(_, p)| p.kind == Kind::Stage(name)).map(|(pid, _)| *pid).collect()
    }

    /// Tells whether a TCP port answers to a container under a host name.
    pub(super) fn answers(&self, from: &str, host: &str, ports: &[u16]) -> bool {
        let Some(from) = self.container(from) else { return false };
        let line = from.spec.extra_hosts.iter().find_map(|line| line.strip_prefix(host)?.strip_prefix(':'));
        let address = line.unwrap_or(host);
        let network = from.address.as_ref().map(|(network, _)| network);
        self.containers.iter().any(|c| {
            let here =
                c.address.as_ref().is_some_and(|(name, at)| {
                    at == address
                        || Some(name) == network
                            && (c.spec.name == host || c.aliases().iter().any(|alias| alias == host))
                }) || address == "127.0.0.1" && c.spec.network == from.spec.network && c.address.is_none();
            let Some(up) = c.up_for().filter(|_| here) else { return false };
            c.image.listens.iter().any(|(port, after)| ports.contains(port) && up >= *after)
        })
    }

    /// Stops everything, as a restart of the engine does, and forgets all execs.
    pub(super) fn restart(&mut self) {
        let now = self.now();
        for container in self.containers.iter_mut().filter(|c| matches!(c.status, Status::Running { .. })) {
            container.end(137, false, now - 1);
        }
        self.containers.iter_mut().for_each(|container| container.removing = false);
        self.execs.clear();
        self.began = Moment(now);
    }
}
