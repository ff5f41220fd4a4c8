//! What tests tell the fake engine, and what they ask it.

use std::sync::Arc;
use std::time::Duration;

use super::behaviour::Behaviour;
use super::call::{Call, Called, Fault};
use super::container::Signal;
use super::disk::Disk;
use super::image::FakeImage;
use super::program::{Place, Run};
use super::registry::Trouble;
use super::{Fake, container::Container};
use crate::engine::{EngineError, EngineInfo, EngineVersion, StoreKind};
use crate::plan::spec::ContainerSpec;

/// What processes do.
impl Fake {
    /// Answers for commands: the last program that returns something decides. It is asked for every main process, for
    /// every stage once its script is read, and for every other exec; hearth's own scripts go on as usual where none
    /// answers, a stage's script without an answer exits with 0, any other command with 127.
    pub fn program(&self, program: impl Fn(&Run<'_>) -> Option<Behaviour> + Send + Sync + 'static) {
        self.look(|state| state.programs.push(Arc::new(program)));
    }

    /// Answers for the scripts of all stages.
    pub fn script(&self, program: impl Fn(&[u8]) -> Behaviour + Send + Sync + 'static) {
        self.program(move |run| (run.place == Place::Stage).then(|| program(run.stdin)));
    }

    /// Says what a file of a checkout holds, by its path as containers see it.
    pub fn checkout_has(&self, path: &str, holds: impl Into<Vec<u8>>) {
        self.look(|state| state.texts.insert(path.to_owned(), holds.into()));
    }

    /// Answers for one command, wherever it runs.
    pub fn command(&self, argv: &[&str], behaviour: Behaviour) {
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        self.program(move |run| (run.argv == argv).then(|| behaviour.clone()));
    }
}

/// Images.
impl Fake {
    /// Puts an image on the host, as a pull from its registry or (`local/…` or any other name) a build would.
    pub fn image_here(&self, reference: &str, image: FakeImage) {
        let _ = self.change(|state| state.arrived(reference, image));
    }

    /// Puts an image on the host as a build does: Docker's own store gives it no digest, and the image that had the name
    /// before is left without one.
    pub fn build_here(&self, reference: &str, image: FakeImage) {
        self.change(|state| {
            let id = image.facts.id.clone();
            let _ = state.arrived(reference, image);
            let is_classic = state.info.store == StoreKind::DockerClassic;
            for host in state.images.iter_mut().filter(|host| is_classic && host.image.facts.id == id) {
                host.image.facts.repo_digests.clear();
            }
        });
    }

    /// Takes an image from the host behind everybody's back; containers of it live on.
    pub fn forget_image(&self, reference: &str) {
        self.change(|state| state.images.retain(|host| !host.is(reference)));
    }

    /// Puts an image into a registry, or moves its tag there.
    pub fn publish(&self, reference: &str, image: FakeImage) {
        self.look(|state| state.registries.publish(reference, image));
    }

    /// Takes an image from its registry.
    pub fn unpublish(&self, reference: &str) {
        self.look(|state| state.registries.unpublish(reference));
    }

    /// Asks for a login before an image that was published is handed out.
    pub fn protect(&self, reference: &str, user: &str, password: &str) {
        self.look(|state| state.registries.protect(reference, user, password));
    }

    /// Makes the next `times` pulls of a published image go wrong; then it is fine, or the next trouble's turn.
    pub fn trouble(&self, reference: &str, trouble: Trouble, times: usize) {
        self.look(|state| state.registries.trouble(reference, trouble, times));
    }

    /// Takes back what [`Fake::trouble`] has left for an image.
    pub fn calm(&self, reference: &str) {
        self.look(|state| state.registries.calm(reference));
    }

    /// Sets how many bytes a second layers come with; at first they come at once.
    pub fn download_rate(&self, rate: u64) {
        self.look(|state| state.pulls.rate = rate);
    }

    /// Gives the engine a link of so many bytes a second, which all layers that come share; at first there is no limit.
    pub fn link_rate(&self, rate: u64) {
        self.look(|state| state.pulls.link = Some(rate));
    }

    /// Makes every layer take its time to be unpacked; nothing is heard of it meanwhile.
    pub fn unpacking_takes(&self, time: Duration) {
        self.look(|state| state.pulls.unpacking = time);
    }

    /// Lets nothing more come over the network, as a link that is dead without a word; or lets it go on.
    pub fn freeze_downloads(&self, frozen: bool) {
        self.change(|state| state.pulls.frozen = frozen);
    }

    /// Gives the disk an end: pulls and containers take of it, removals give back.
    pub fn set_disk(&self, bytes: u64) {
        self.look(|state| state.disk = Some(Disk { bytes, others: 0 }));
    }

    /// Says how much of the disk others than the engine have.
    pub fn fill_disk(&self, others: u64) {
        self.look(|state| state.disk.iter_mut().for_each(|disk| disk.others = others));
    }

    /// Returns how many bytes of the disk are free; `None`: it has no end.
    pub fn free_bytes(&self) -> Option<u64> {
        self.look(|state| state.free_bytes())
    }

    /// Fills the build cache; `None`: the engine has none.
    pub fn set_build_cache(&self, bytes: Option<u64>) {
        self.look(|state| state.build_cache = bytes);
    }

    /// Returns what all images on the host take, each layer once.
    pub fn image_bytes(&self) -> u64 {
        self.look(|state| {
            let layers = state.images.iter().flat_map(|host| host.image.sizes());
            layers.collect::<std::collections::BTreeMap<_, _>>().values().sum()
        })
    }

    /// Returns the bytes of the build cache.
    pub fn build_cache(&self) -> Option<u64> {
        self.look(|state| state.build_cache)
    }

    /// Keeps images as another kind of store does, from now on.
    pub fn set_store(&self, kind: StoreKind) {
        self.look(|state| state.info.store = kind);
    }

    /// Returns how often the download of a layer was begun.
    pub fn fetches(&self, layer: &str) -> usize {
        self.look(|state| state.pulls.fetches.iter().filter(|begun| *begun == layer).count())
    }

    /// Returns how many bytes came over the network so far; bytes of a pull that was lost count.
    pub fn downloaded(&self) -> u64 {
        self.look(|state| state.pulls.downloaded)
    }
}

/// Failures and delays of calls.
impl Fake {
    fn fault(&self, call: Call, ending: &str, fault: Fault) {
        self.look(|state| state.calls.faults.push((call, ending.to_owned(), fault)));
    }

    /// Refuses the next call of a kind.
    pub fn fail_next(&self, call: Call, error: EngineError) {
        self.fault(call, "", Fault::Error(error));
    }

    /// Refuses the next call of a kind whose object's name ends so.
    pub fn fail_next_on(&self, call: Call, ending: &str, error: EngineError) {
        self.fault(call, ending, Fault::Error(error));
    }

    /// Never answers the next call of a kind, and does nothing: its client sees [`EngineError::Timeout`] in the end.
    pub fn hang_next(&self, call: Call) {
        self.fault(call, "", Fault::Silence);
    }

    /// Does the next call of a kind, but breaks the connection before the answer.
    pub fn lose_next_answer(&self, call: Call) {
        self.fault(call, "", Fault::LostAnswer);
    }

    /// Makes all calls of a kind take their time; they are done at its end, even if the client is gone by then.
    pub fn delay(&self, call: Call, time: Duration) {
        self.look(|state| state.calls.delays.push((call, time)));
    }

    /// Sets how long clients wait for an answer; 120 s at first.
    pub fn set_timeout(&self, time: Duration) {
        self.look(|state| state.timeout = time);
    }

    /// Lets `calls` more calls in; those after them never come, as if their client was killed when it had sent the last.
    /// What was let in is done.
    pub fn cut_after(&self, calls: usize) {
        self.change(|state| state.calls.left = Some(calls));
    }

    /// Waits until the last call that [`Fake::cut_after`] lets in has come.
    pub async fn until_cut(&self) {
        self.until(|state| state.calls.left == Some(0)).await;
    }

    /// Takes back all failures, delays and cuts of calls that were asked for.
    pub fn heal(&self) {
        self.change(|state| {
            state.calls.faults.clear();
            state.calls.delays.clear();
            state.calls.left = None;
        });
    }

    /// Makes removals of containers take their time; meanwhile the container is being removed.
    pub fn removals_take(&self, time: Duration) {
        self.look(|state| state.removal_takes = time);
    }

    /// Makes the helper take its time before the volumes are ready.
    pub fn helper_takes(&self, time: Duration) {
        self.look(|state| state.helper_takes = time);
    }

    /// Lets the state of execs say `running` for a while after their end, as the real engine's does.
    pub fn exec_states_lag(&self, time: Duration) {
        self.look(|state| state.exec_lags = time);
    }

    /// Sets how long an exec's stream stays open for background processes that hold it, counted from the exec's own
    /// end: 2 s at first, as in Docker 20.10; `None`: until the last of them is gone.
    pub fn exec_streams_linger(&self, time: Option<Duration>) {
        self.look(|state| state.exec_lingers = time);
    }

    /// Makes every create of a container return these warnings.
    pub fn warn_on_create(&self, warnings: &[&str]) {
        self.look(|state| state.warnings = warnings.iter().map(|w| (*w).to_owned()).collect());
    }

    /// Sets what the engine says it is.
    pub fn set_version(&self, version: EngineVersion) {
        self.look(|state| state.version = version);
    }

    /// Sets what the engine says of its store and registries.
    pub fn set_info(&self, change: impl FnOnce(&mut EngineInfo)) {
        self.look(|state| change(&mut state.info));
    }

    /// Kills the engine: all connections break, and until [`Fake::start_engine`] nothing answers.
    pub fn stop_engine(&self) {
        self.0.up.send_replace(false);
        self.change(|state| {
            state.listeners.clear();
            for container in &mut state.containers {
                container.attached.clear();
                container.processes.values().filter_map(|p| p.sink.upgrade()).for_each(|sink| sink.cut());
            }
        });
    }

    /// Starts the engine again: what ran is stopped, and all execs are forgotten.
    pub fn start_engine(&self) {
        self.change(super::state::State::restart);
        self.0.up.send_replace(true);
    }
}

/// What others do on the host, written down nowhere.
impl Fake {
    fn signal_named(&self, name: &str, signal: Signal) {
        if let Some(id) = self.look(|state| state.container(name).map(|c| c.id.clone())) {
            self.signal_main(&id, signal);
        }
    }

    /// Kills a container's main process.
    pub fn kill(&self, container: &str) {
        self.signal_named(container, Signal::Kill);
    }

    /// Kills a container's main process for lack of memory.
    pub fn kill_for_memory(&self, container: &str) {
        self.signal_named(container, Signal::OutOfMemory);
    }

    /// Removes a container by force.
    pub async fn remove_behind(&self, container: &str) {
        self.remove(container).await;
    }

    /// Forgets an exec: its state is not found any more.
    pub fn forget_exec(&self, id: &str) {
        self.change(|state| state.execs.remove(id));
    }
}

/// What exists and what was done.
impl Fake {
    /// Returns all calls so far, in order.
    pub fn calls(&self) -> Vec<Called> {
        self.look(|state| state.calls.made.clone())
    }

    /// Returns how many calls of a kind there were so far.
    pub fn count(&self, call: Call) -> usize {
        self.look(|state| state.calls.made.iter().filter(|made| made.call == call).count())
    }

    /// Forgets the calls so far, and what the registries were asked.
    pub fn forget_calls(&self) {
        self.look(|state| {
            state.calls.made.clear();
            state.registries.asked.clear();
        });
    }

    fn names(&self, of: impl Fn(&Container) -> bool) -> Vec<String> {
        self.look(|state| state.containers.iter().filter(|c| of(c)).map(|c| c.spec.name.clone()).collect())
    }

    /// Returns the names of all containers, in the order of their creation.
    pub fn containers(&self) -> Vec<String> {
        self.names(|_| true)
    }

    /// Returns the names of the containers that run.
    pub fn running_containers(&self) -> Vec<String> {
        self.names(Container::running)
    }

    /// Returns the names of all networks.
    pub fn networks(&self) -> Vec<String> {
        self.look(|state| state.networks.iter().map(|n| n.name.clone()).collect())
    }

    /// Returns the names of all volumes, anonymous ones too.
    pub fn volumes(&self) -> Vec<String> {
        self.look(|state| state.volumes.keys().cloned().collect())
    }

    /// Returns the volumes that the engine made for a container's image alone.
    pub fn anonymous_volumes(&self, container: &str) -> Vec<String> {
        self.look(|state| state.container(container).map(|c| c.anonymous.clone()).unwrap_or_default())
    }

    /// Returns the files of a volume, by their paths below its top, each with a leading `/`.
    pub fn volume_files(&self, volume: &str) -> Vec<String> {
        let files = |v: &super::state::Volume| v.files.iter().cloned().collect();
        self.look(|state| state.volumes.get(volume).map(files).unwrap_or_default())
    }

    /// Returns the files in a container's own layer.
    pub fn container_files(&self, container: &str) -> Vec<String> {
        self.look(|state| {
            state.container(container).map(|c| c.files.iter().cloned().collect()).unwrap_or_default()
        })
    }

    /// Returns what a container was created from.
    pub fn spec(&self, container: &str) -> Option<ContainerSpec> {
        self.look(|state| state.container(container).map(|c| c.spec.clone()))
    }

    /// Returns how often a container that exists was started.
    pub fn starts(&self, container: &str) -> usize {
        self.look(|state| state.container(container).map_or(0, |c| c.starts))
    }

    /// Returns the commands of all execs of containers that exist: container and command.
    pub fn execs(&self) -> Vec<(String, Vec<String>)> {
        self.look(|state| {
            let name = |id: &str| state.container(id).map_or_else(|| id.to_owned(), |c| c.spec.name.clone());
            state.execs.values().map(|exec| (name(&exec.container), exec.argv.clone())).collect()
        })
    }

    /// Returns the engine's time in seconds after the epoch.
    pub fn now(&self) -> i64 {
        self.look(|state| i64::try_from(state.now() / 1_000_000_000).unwrap_or_default())
    }

    /// Waits until a container's main process ended.
    pub async fn until_ended(&self, container: &str) {
        self.until(|state| !state.container(container).is_some_and(Container::running)).await;
    }
}
