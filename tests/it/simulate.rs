//! `hearth simulate` as operators run it: on the store that the settings name.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use hearth::store::{Batch, ContentFact, ContentKey, Layer, Sharing, Store, StorePlace, Use};

use crate::world::unique;

/// A directory of the test's own, deleted when it ends.
struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn dir() -> Dir {
    let dir = std::env::temp_dir().join(format!("hearth-simulate-{}", unique()));
    std::fs::create_dir_all(&dir).expect("a directory");
    Dir(dir)
}

/// Runs the command with a home of its own: exit code, stdout, stderr.
fn hearth(home: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_hearth"))
        .arg("simulate")
        .args(args)
        .env_clear()
        .env("HOME", home)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Three weeks in which a large image comes at night between two small ones.
fn fill(directory: &Path) {
    let place =
        StorePlace { patience: Duration::from_secs(30), ..StorePlace::new(directory, Sharing::Group) };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
    let (store, trouble) = Store::open(&place, now);
    assert_eq!(trouble, None);
    let key = |name: &str| ContentKey {
        digest: format!("sha256:{name:0>64}"),
        platform: "linux/amd64".parse().expect("a platform"),
    };
    let images = [("node", 300_000_000), ("rust", 400_000_000), ("android", 900_000_000)];
    let contents = images.map(|(name, bytes)| ContentFact {
        key: key(name),
        repository: format!("docker.io/library/{name}"),
        engine_id: None,
        layers: vec![Layer {
            chain: name.to_owned(),
            unpacked: Some(bytes),
            compressed: Some(bytes / 3),
            estimated: false,
        }],
    });
    assert!(store.commit(&Batch { contents: contents.into(), ..Batch::default() }, now));
    let hours = 21 * 24;
    for hour in 0..hours {
        let name = match hour % 24 {
            3 => "android",
            9..18 if hour % 2 == 0 => "node",
            9..18 => "rust",
            _ => continue,
        };
        let one = Use {
            reference: format!("{name}:1").parse().expect("a reference"),
            project: Some("group/app".to_owned()),
            source: None,
            content: Some(key(name)),
            waited: Duration::from_secs(1),
        };
        let at = now - Duration::from_secs(3600 * (hours - hour));
        assert!(store.commit(&Batch { uses: vec![one], ..Batch::default() }, at));
    }
}

#[test]
fn the_store_that_the_settings_name_is_replayed() {
    let dir = dir();
    let store = dir.0.join("facts");
    let config = dir.0.join("config.toml");
    std::fs::write(&config, format!("[store]\ndir = {store:?}\n")).expect("the settings can be written");
    let config = config.to_str().expect("a path");
    let (code, out, err) = hearth(&dir.0, &["--config", config]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains(&format!("there is no store {}", store.join("hearth.db").display())), "{err}");
    assert!(!store.exists());

    fill(&store);
    let (code, out, err) = hearth(&dir.0, &["--config", config, "--budget", "0.75ws"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("210 jobs of 3 images in 21 days; the images in use take 1.5 GiB\n"), "{out}");
    assert!(out.contains("as it was, they waited 4 min for images"), "{out}");
    assert!(out.contains("note: no pull is on record yet"), "{out}");
    for rule in ["lru ", "decayed ", "foreseen ", "clairvoyant ", "no rule below "] {
        assert!(out.contains(&format!("\n  {rule}")), "{rule}: {out}");
    }
    let before = std::fs::read(store.join("hearth.db")).expect("the store");
    let (code, out, err) = hearth(&dir.0, &["--config", config, "--json", "--poll", "30m", "--from", "7d"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&report["jobs"], &report["recorded_seconds"]), (&140.into(), &140.0.into()));
    assert_eq!(std::fs::read(store.join("hearth.db")).expect("the store"), before);
}

#[test]
fn wrong_settings_are_said_before_anything_is_read() {
    let dir = dir();
    let config = dir.0.join("config.toml");
    std::fs::write(&config, "[store]\ndir = 7\n").expect("the settings can be written");
    let (code, out, err) = hearth(&dir.0, &["--config", config.to_str().expect("a path")]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("line 2") && err.contains("store.dir"), "{err}");
    // A trace needs no settings.
    let trace = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ci-year-2.jsonl.gz");
    let args =
        ["--trace", trace.to_str().expect("a path"), "--to", "30d", "--policy", "lru", "--budget", "0.5ws"];
    let (code, out, err) = hearth(&dir.0, &args);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains(" images in 30 days;"), "{out}");
}
