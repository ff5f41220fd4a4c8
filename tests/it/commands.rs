//! The commands that look at a host: the built binary on real engines. Each test has a store of its own that knows its own
//! images alone, so those of other tests are none of its business.

use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use hearth::image::ImageRef;
use hearth::store::{Batch, ContentFact, ContentKey, Sharing, Store, StorePlace, Use};
use serde_json::Value;

use crate::front::Front;
use crate::image_policies::busybox;
use crate::pulling::On;
use crate::pusher::{Layer, Pushed, Registry};
use crate::world::{World, skip, unique};

/// Bytes that may be in use where every image that may go has to. Any disk with an engine on it has more.
const FULL: u64 = 512 << 20;
/// Bytes of an image's own layer, which does not compress.
const OWN: usize = 3_000_000;

/// What a command said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// Asserts how it ended.
    fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    /// Reads the document that it printed.
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).expect("one JSON document")
    }
}

/// Runs the built binary with the settings of the world.
fn hearth(world: &World, words: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_hearth"))
        .args(words)
        .arg("--config")
        .arg(world.dir.join("config.toml"))
        .env_clear()
        .env("HOME", &world.dir)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn store(world: &World) -> Store {
    let place = StorePlace {
        patience: Duration::from_secs(30),
        ..StorePlace::new(world.dir.join("store"), Sharing::Group)
    };
    let (store, trouble) = Store::open(&place, now());
    assert_eq!(trouble, None);
    store
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock")
}

/// An image of the test's own on the engine; it is gone when this is dropped.
struct Image<'o> {
    on: &'o On,
    name: String,
    pushed: Pushed,
}

impl<'o> Image<'o> {
    /// Pushes and pulls an image with a random layer of its own, and writes down that a job used it so many hours ago.
    fn new(on: &'o On, hours_ago: u32) -> Self {
        let world = on.world();
        let repository = format!("test/{}/command{}", world.token, unique());
        let mut image = busybox();
        image.layers.push(Layer::random(OWN, unique()).expect("a layer"));
        let registry = Registry::new(&world.parts.registry);
        let pushed = registry.push(&repository, "1", &[image]).expect("the registry takes it");
        let name = format!("{}/{repository}:1", world.parts.registry);
        on.engine(&["pull", "-q", &name]);
        let id = on.engine(&["image", "inspect", "-f", "{{.Id}}", &name]);
        assert!(!id.is_empty(), "{name} was pulled");
        let platform = on.engine(&["image", "inspect", "-f", "{{.Os}}/{{.Architecture}}", &name]);
        let key =
            ContentKey { digest: pushed.digest.clone(), platform: platform.parse().expect("a platform") };
        let content = ContentFact {
            key: key.clone(),
            repository: format!("{}/{repository}", world.parts.registry),
            engine_id: Some(if id.starts_with("sha256:") { id } else { format!("sha256:{id}") }),
            layers: Vec::new(),
        };
        let used = Use {
            reference: name.parse::<ImageRef>().expect("a name"),
            project: None,
            source: None,
            content: Some(key),
            waited: Duration::ZERO,
        };
        let store = store(world);
        // The jobs of other tests are not this store's: it waits for none of them.
        assert!(store.set_note("jobs before the store", ""));
        let batch = Batch { contents: vec![content], uses: vec![used], ..Batch::default() };
        assert!(store.commit(&batch, now() - Duration::from_secs(3600) * hours_ago));
        Self { on, name, pushed }
    }

    fn is_here(&self) -> bool {
        !self.on.engine(&["image", "ls", "-q", &self.name]).is_empty()
    }

    /// Returns what `hearth images` says of it.
    fn shown(&self, images: &Value) -> Value {
        let all = images["images"].as_array().expect("images");
        let has_name = |image: &&Value| {
            image["tags"].as_array().is_some_and(|tags| tags.iter().any(|tag| tag == self.name.as_str()))
        };
        all.iter().find(has_name).unwrap_or_else(|| panic!("{} in {images:#}", self.name)).clone()
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        self.on.forget(&self.pushed);
    }
}

/// Writes settings by which every image has to go that may.
fn all_must_go(on: &On) {
    let images = hearth(on.world(), &["images", "--json"]).ended(0).json();
    let disk = images["marks"]["disk_bytes"].as_u64().expect("the disk can be seen");
    let free = disk.saturating_sub(FULL);
    on.settings(&format!(
        "[cache]\nminimum_age = 0\nrule = \"lru\"\nfree_low = \"{free}b\"\nfree_high = \"{free}b\"\n\
         inodes_low = \"\"\ninodes_high = \"\"\n"
    ));
}

/// Says so where nothing is removed because this machine came up less than an hour ago and no time server set its clock.
fn clock_is_believed(world: &World, test: &str) -> bool {
    let images = hearth(world, &["images", "--json"]).ended(0).json();
    let blocked = images["plan"]["blocked"].as_str().unwrap_or_default().to_owned();
    if blocked.contains("clock") {
        skip(test, &blocked);
    }
    !blocked.contains("clock")
}

#[test]
fn what_is_shown_is_what_goes_and_pins_hold_it() {
    let test = "commands on real engines";
    On::each(test, |on| {
        let world = on.world();
        all_must_go(on);
        let (fresh, stale) = (Image::new(on, 2), Image::new(on, 400));
        if !clock_is_believed(world, test) {
            return;
        }
        let images = hearth(world, &["images", "--json"]).ended(0).json();
        let (young, old) = (fresh.shown(&images), stale.shown(&images));
        assert!(old["turn"].as_u64() < young["turn"].as_u64(), "{old:#} {young:#}");
        assert_eq!((&old["goes"], &young["goes"]), (&true.into(), &true.into()), "{images:#}");
        for image in [&old, &young] {
            let own = image["unique_bytes"].as_u64().expect("layers are known");
            // Stores that keep what came beside what it was unpacked to count both.
            assert!((OWN as u64 * 9 / 10..OWN as u64 * 5 / 2).contains(&own), "{image:#}");
            assert!(image["bytes"].as_u64() > Some(own), "{image:#}");
        }
        let foreign = images["images"].as_array().expect("images").iter().filter(|one| one["goes"] == true);
        assert_eq!(foreign.count(), 2, "those of other tests stay: {images:#}");
        let table = hearth(world, &["images"]).ended(0).out;
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");

        let said = hearth(world, &["explain", &stale.name]).ended(0).out;
        assert!(said.contains("would go now") && said.contains("to keep it: "), "{said}");
        assert!(said.contains(&format!("hearth pin {}", stale.name)), "{said}");

        hearth(world, &["pin", &stale.name, "--until", "1h", "--reason", "a test"]).ended(0);
        let said = hearth(world, &["explain", &stale.name]).ended(0).out;
        assert!(said.contains("stays: it is pinned"), "{said}");
        let planned = hearth(world, &["evict", "--dry-run", "--json"]).ended(0).json();
        let names: Vec<&Value> =
            planned["removed"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
        assert_eq!(names, [&Value::from(fresh.name.as_str())], "{planned:#}");
        assert!(fresh.is_here() && stale.is_here(), "nothing was removed so far");

        // So much can never be free, so it is no success.
        let done = hearth(world, &["evict"]).ended(2).out;
        assert!(done.contains(&format!("removed {}: ", fresh.name)), "{done}");
        assert!(done.contains("1 image removed;") && done.contains("still too much: "), "{done}");
        assert!(!fresh.is_here() && stale.is_here(), "{done}");

        let said = hearth(world, &["explain", &fresh.name]).ended(0).out;
        assert!(said.contains("is not on this host") && said.contains("used once"), "{said}");
        hearth(world, &["unpin", &stale.name]).ended(0);
        let done = hearth(world, &["evict", "--json"]).ended(2).json();
        assert_eq!(done["removed"][0]["name"], stale.name.as_str(), "{done:#}");
        assert!(!stale.is_here());
    });
}

#[test]
fn pins_beyond_the_budget_are_refused_and_similar_names_told() {
    let Some(on) = On::docker("pins beyond the budget") else { return };
    on.settings("[cache]\nimages_high = \"64m\"\nimages_low = \"64m\"\n");
    let world = on.world();
    let image = Image::new(&on, 2);
    // One that was here, and was larger than all may be.
    let key = ContentKey {
        digest: format!("sha256:{}", "1".repeat(64)),
        platform: "linux/amd64".parse().expect("a platform"),
    };
    let layer = hearth::store::Layer {
        chain: "huge".to_owned(),
        unpacked: Some(100 << 20),
        compressed: Some(40 << 20),
        estimated: false,
    };
    let content = ContentFact {
        key: key.clone(),
        repository: "registry.test/huge".to_owned(),
        engine_id: None,
        layers: vec![layer],
    };
    let used = Use {
        reference: "registry.test/huge:1".parse::<ImageRef>().expect("a name"),
        project: None,
        source: None,
        content: Some(key),
        waited: Duration::ZERO,
    };
    let batch = Batch { contents: vec![content], uses: vec![used], ..Batch::default() };
    assert!(store(world).commit(&batch, now()));
    hearth(world, &["pin", &image.name]).ended(0);
    let said = hearth(world, &["pin", "registry.test/huge:1"]).ended(2);
    assert!(said.err.contains("but they may take 64 MiB at most ([cache] images_high)"), "{}", said.err);
    assert!(said.err.contains("registry.test/huge:1 takes 100 MiB"), "{}", said.err);
    assert_eq!(store(world).pins(now()).len(), 1);
    let typed = image.name.replace("command", "comand");
    let said = hearth(world, &["explain", &typed]).ended(2);
    assert!(said.err.contains("there is no image") && said.err.contains(&image.name), "{}", said.err);
}

#[test]
fn how_a_job_came_to_its_image_is_told_afterwards() {
    On::each("why-cold on real engines", |on| {
        let world = on.world();
        on.settings("");
        let front = Front::new(&world.parts.registry);
        let cold = on.cold(&front, &[300 << 10]);
        let (first, second) = (cold.job("always"), cold.job("always"));
        on.prepare(&first).got(&cold);
        let number = first.id.to_string();
        let said = hearth(world, &["why-cold", &number]).ended(0);
        assert!(said.out.starts_with(&format!("job {number} of http")), "{}", said.out);
        let first_use =
            "(build image): was not here: no use of it by an earlier job is on record\n    it cost ";
        assert!(said.out.contains(first_use), "{}", said.out);
        let document = hearth(world, &["why-cold", &number, "--json"]).ended(0).json();
        let images = document["images"].as_array().expect("images");
        let build = images.iter().find(|image| image["purpose"] == "build image").expect("an image");
        assert_eq!(
            (build["how"].as_str(), build["cause"].as_str()),
            (Some("missing"), Some("new")),
            "{build}"
        );
        // Podman does not tell what came.
        if let Some(bytes) = build["bytes"].as_u64() {
            assert!(bytes >= 300 << 10, "{build}");
        }
        on.prepare(&second).got(&cold);
        let said = hearth(world, &["why-cold", "last"]).ended(0);
        assert!(said.out.contains("(build image): was here\n"), "{}", said.out);
    });
}

#[test]
fn without_an_engine_pins_and_the_status_work() {
    let Some(world) = World::new("commands without an engine") else { return };
    world.settings(&format!("[engine]\nhost = \"unix://{}/none.sock\"\n", world.dir.display()));
    let said = hearth(&world, &["pin", "debian:12"]).ended(0);
    assert!(said.out.starts_with("pinned debian:12 for good\n"), "{}", said.out);
    let status = hearth(&world, &["status", "--json"]).ended(2).json();
    assert_eq!(status["engine"]["answers"], false);
    assert_eq!(status["pins"][0]["name"], "debian:12");
    assert_eq!(status["daemon"]["runs"], false);
    let said = hearth(&world, &["status"]).ended(2);
    assert!(said.out.contains("engine   does not answer at unix://"), "{}", said.out);
    for words in [&["images"][..], &["explain", "debian:12"], &["evict"], &["evict", "--dry-run"]] {
        let said = hearth(&world, words).ended(2);
        assert!(said.err.contains("no container engine answers at"), "{words:?}: {}", said.err);
        assert_eq!(said.out, "");
    }
    hearth(&world, &["unpin", "debian:12"]).ended(0);
}

#[test]
fn a_store_that_is_locked_and_settings_that_are_wrong_are_told() {
    let Some(world) = World::new("commands with a locked store") else { return };
    drop(store(&world));
    let file = world.dir.join("store/hearth.db");
    let other = rusqlite::Connection::open(&file).expect("the file");
    let lock = "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; INSERT INTO project (key) VALUES ('x')";
    other.execute_batch(lock).expect("a lock");
    for words in [&["images"][..], &["pin", "debian:12"], &["unpin", "debian:12"], &["explain", "debian:12"]]
    {
        let said = hearth(&world, words).ended(2);
        assert!(said.err.contains("hearth.db is locked by another process"), "{words:?}: {}", said.err);
    }
    let said = hearth(&world, &["status"]).ended(2);
    assert!(said.out.contains("problem: the store") && said.out.contains("engine   Docker"), "{}", said.out);
    drop(other);
    world.write_settings("[cache]\nrule = \"best\"\n");
    let said = hearth(&world, &["status"]).ended(2);
    assert!(said.err.contains("cache.rule"), "{}", said.err);
}
