use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::{EXAMPLE, Effective, Layer, Sources, assemble, defaults, load, parse};
use crate::settings::load::complaint_tests::complaints;
use crate::settings::model::{PullPolicy, Settings, VolumeSetting};
use crate::settings::{Amount, Marks, Rule, Scope};
use crate::units::ByteSize;

pub(super) fn no_files(_: &Path) -> io::Result<String> {
    Err(io::ErrorKind::NotFound.into())
}

fn settings(text: &str, runner: Option<&str>) -> Settings {
    assemble(text, runner, &no_files).unwrap_or_else(|complaints| panic!("{complaints:#?}")).0
}

/// A file made by uncommenting every key and table of the example.
fn uncommented() -> String {
    let key = |line: &str| {
        let rest = line.strip_prefix("# ")?;
        let name = rest.split(" = ").next()?;
        let is_key = rest.contains(" = ") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let is_table = rest.starts_with('[') && rest.ends_with(']');
        (is_key || is_table).then(|| rest.to_owned())
    };
    EXAMPLE.lines().map(|line| key(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

#[test]
fn the_example_is_the_defaults() {
    let defaults = defaults().unwrap();
    assert_eq!(defaults.driver.builds_dir, "/builds");
    assert_eq!(defaults.driver.hostname, None);
    assert_eq!(defaults.engine.timeout, Duration::from_secs(120));
    assert_eq!(defaults.pull.attempts, 3);
    assert_eq!((defaults.pull.concurrent, defaults.pull.source_deadline), (2, Duration::from_secs(20)));
    assert!(defaults.pull.mirrors.is_empty() && defaults.registry.ca_files.is_empty());
    assert_eq!(defaults.registry.timeout, Duration::from_secs(30));
    assert_eq!(defaults.access.proof_ttl, Duration::from_secs(3600));
    assert_eq!(defaults.access.offline_grace, Duration::ZERO);
    assert_eq!(defaults.store.dir, None);
    let (cache, daemon) = (defaults.cache, defaults.daemon);
    assert!(cache.evict && cache.pins.is_empty());
    assert_eq!((cache.scope, cache.rule), (Scope::Used, Rule::Auto));
    assert_eq!(
        (cache.images, cache.build_cache, cache.keep_local, cache.keep_volumes),
        (None, None, None, None)
    );
    let percent = |start, stop| Some(Marks { start: Amount::Percent(start), stop: Amount::Percent(stop) });
    assert_eq!((cache.free, cache.free_inodes), (percent(10, 15), percent(5, 8)));
    assert_eq!((daemon.interval, daemon.watch), (Duration::from_secs(600), Duration::from_secs(30)));
    let job = defaults.job;
    assert!(job.allow_local_images.is_empty());
    assert_eq!(job.pull_policy, [PullPolicy::Always]);
    assert_eq!(job.helper_pull_policy, [PullPolicy::IfNotPresent]);
    assert_eq!(job.volumes, [VolumeSetting::Project { path: "/cache".to_owned() }]);
    assert_eq!((job.services_limit, job.wait_for_services_timeout), (None, Some(Duration::from_secs(30))));
    assert_eq!((job.limits.pids, job.service_limits.pids), (Some(4096), Some(4096)));
    assert_eq!((job.limits.memory, job.limits.nano_cpus, job.limits.cpu_shares), (None, None, None));
    assert_eq!((job.network_mtu, job.platform, job.services_privileged), (None, None, None));
    assert_eq!(job.log_max_size, ByteSize(1 << 20));
    assert!(job.init && !job.privileged && !job.no_new_privileges && !job.allow_emulation);
    assert!(job.no_init_images.matches("lscr.io/linuxserver/code:1"));
}

#[test]
fn the_example_as_a_file_changes_nothing() {
    assert_eq!(settings(EXAMPLE, None), defaults().unwrap());
}

#[test]
fn every_key_stands_in_the_example_and_those_without_a_default_stand_there_as_comments() {
    let (_, effective) = assemble("", None, &no_files).unwrap();
    let mut commented: BTreeSet<String> = BTreeSet::new();
    let mut table = String::new();
    for line in uncommented().lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = name.to_owned();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            commented.insert(format!("{table}.{key}"));
        }
    }
    for Effective { key, value, .. } in &effective {
        let (table, name) = key.split_once('.').unwrap();
        let is_set = EXAMPLE.lines().any(|line| line.starts_with(&format!("{name} = ")));
        assert_eq!(is_set, value.is_some(), "{key} has a default if and only if it is no comment");
        let listed = commented.contains(key) || ["job.services", "prefetch.images"].contains(&key.as_str());
        assert!(listed, "{key} is missing under [{table}]");
    }
    let keys: BTreeSet<&str> = effective.iter().map(|one| one.key.as_str()).collect();
    for key in commented.iter().filter(|key| !key.starts_with('[') && !key.starts_with("runner.")) {
        assert!(keys.contains(key.as_str()), "{key} is no key");
    }
}

#[test]
fn the_example_with_every_key_set_loads_too() {
    let loaded = settings(&uncommented(), Some("images"));
    assert_eq!(loaded.job.limits.memory, Some(ByteSize(2 << 30)));
    assert_eq!(loaded.job.limits.nano_cpus, Some(1_500_000_000));
    assert_eq!(loaded.job.services[0].environment, ["UPSTREAM=https://example.com"]);
    assert_eq!(loaded.job.services_privileged, Some(true));
    assert_eq!(loaded.job.platform.map(|p| p.to_string()).as_deref(), Some("linux/arm64"));
    assert_eq!(loaded.job.volumes.len(), 2);
    assert_eq!(loaded.runner.as_deref(), Some("images"));
    let unset: Vec<String> = assemble(&uncommented(), None, &no_files)
        .unwrap()
        .1
        .into_iter()
        .filter(|one| one.value.is_none())
        .map(|one| one.key)
        .collect();
    assert_eq!(unset, Vec::<String>::new());
}

#[test]
fn a_runners_table_lies_over_the_job_table_which_lies_over_the_defaults() {
    let text = r#"
        [job]
        memory = "1g"
        cpus = 2
        privileged = false
        ulimit = { nofile = "1024:2048", core = 0 }
        [runner."My.Runner 1"]
        memory = "2g"
        privileged = true
        ulimit = { nproc = -1 }
        [runner.pi]
        memory = ""
    "#;
    let limits = |runner| {
        let Settings { job, .. } = settings(text, runner);
        (
            job.limits.memory,
            job.limits.nano_cpus,
            job.privileged,
            job.limits.pids,
            job.ulimit.into_keys().collect(),
        )
    };
    let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<String>>();
    let cpus = Some(2_000_000_000);
    assert_eq!(limits(None), (Some(ByteSize(1 << 30)), cpus, false, Some(4096), names(&["core", "nofile"])));
    assert_eq!(
        limits(Some("My.Runner 1")),
        (Some(ByteSize(2 << 30)), cpus, true, Some(4096), names(&["nproc"]))
    );
    assert_eq!(limits(Some("pi")), (None, cpus, false, Some(4096), names(&["core", "nofile"])));
}

#[test]
fn mirrors_are_a_table_of_registries_or_parts_of_them() {
    let text = "[pull.mirrors]\n\"docker.io\" = [\"m.lan:5000\", \"g.example/proxy\"]\n'r.example/team' = 'm.lan/team'\n\
                [job]\nallow_local_images = ['app:*']\n[runner.x]\nallow_local_images = []\n[store]\ndir = '/srv/hearth'\n";
    let Settings { pull, job, store, .. } = settings(text, None);
    let digest = format!("sha256:{}", "0".repeat(64));
    let of = |image: &str| pull.mirrors.of(&image.parse().unwrap(), &digest).len();
    assert_eq!((of("alpine"), of("r.example/team/x"), of("r.example/x")), (2, 1, 0));
    assert!(job.allow_local_images.matches("app:1"));
    assert!(settings(text, Some("x")).job.allow_local_images.is_empty());
    assert_eq!(store.dir, Some(PathBuf::from("/srv/hearth")));
}

#[test]
fn marks_of_the_cache_are_sizes_or_parts_and_a_default_gives_way() {
    let cache = |text: &str| settings(&format!("[cache]\n{text}"), None).cache;
    let limit = cache("images_high = '20g'\nimages_low = '17g'\nkeep_local = 2592000\npins = ['debian:*']");
    assert_eq!(limit.images, Some(Marks { start: ByteSize(20 << 30), stop: ByteSize(17 << 30) }));
    assert_eq!(limit.keep_local, Some(Duration::from_secs(30 * 24 * 3600)));
    assert!(limit.pins.matches("debian:12"));
    let only = cache("images_high = '20g'").images;
    assert_eq!(only, Some(Marks { start: ByteSize(20 << 30), stop: ByteSize(20 << 30) }));
    let high = cache("free_low = '20%'").free;
    assert_eq!(high, Some(Marks { start: Amount::Percent(20), stop: Amount::Percent(20) }));
    assert_eq!(cache("free_low = ''\ninodes_low = ''").free, None);
    let bytes = cache("free_low = '4g'\nfree_high = '6g'\ninodes_low = 1000");
    assert_eq!(bytes.free, Some(Marks { start: Amount::Number(4 << 30), stop: Amount::Number(6 << 30) }));
    assert_eq!(bytes.free_inodes, Some(Marks { start: Amount::Number(1000), stop: Amount::Percent(8) }));
}

#[test]
fn every_value_says_where_it_came_from() {
    let text = "[job]\nmemory = \"1g\"\nuser = \"me\"\n\n[runner.\"a.b\"]\nuser = \"you\"\nvolumes = [\n  \"/x\", # one\n  \"/y\",\n]\n";
    let (_, effective) = assemble(text, Some("a.b"), &no_files).unwrap();
    let told = |key: &str| {
        let one = effective.iter().find(|one| one.key == key).unwrap();
        format!("{} ({})", one.value.as_deref().unwrap_or("-"), one.origin)
    };
    assert_eq!(told("job.memory"), "\"1g\" (line 2)");
    assert_eq!(told("job.user"), "\"you\" (runner \"a.b\", line 6)");
    assert_eq!(told("job.volumes"), "[\"/x\", \"/y\"] (runner \"a.b\", line 7)");
    assert_eq!(told("job.pids_limit"), "4096 (default)");
    assert_eq!(told("job.cpus"), "- (default)");
}

#[test]
fn an_unknown_runner_is_refused_with_the_known_names() {
    for (runner, advice) in [
        ("pii", "unknown runner \"pii\": did you mean \"pi\"? Known are \"My.Runner\", \"pi\""),
        ("PI", "unknown runner \"PI\": did you mean \"pi\"? Known are \"My.Runner\", \"pi\""),
        ("other", "unknown runner \"other\": known are \"My.Runner\", \"pi\""),
        ("", "unknown runner \"\": known are \"My.Runner\", \"pi\""),
    ] {
        let list = assemble("[runner.pi]\n[runner.\"My.Runner\"]\n", Some(runner), &no_files).unwrap_err();
        assert_eq!((list.len(), list[0].problem.as_str()), (1, advice));
    }
    let list = assemble("", Some("pi"), &no_files).unwrap_err();
    assert_eq!(list[0].to_string(), "--runner: unknown runner \"pi\": there is no table [runner.\"NAME\"]");
}

#[test]
fn values_that_are_not_set_are_written_as_an_empty_text_or_with_their_number() {
    let text = "[job]\nmemory = ''\ncpus = ''\nshm_size = 0\nplatform = ''\npids_limit = -1\nservices_limit = 2\n\
                wait_for_services_timeout = -1\nhelper_binary = ''\nnetwork_mtu = 1400\n[engine]\nhost = ''\n";
    let Settings { job, engine, .. } = settings(text, None);
    assert_eq!(
        (job.limits.memory, job.limits.nano_cpus, job.shm_size, job.limits.pids),
        (None, None, None, None)
    );
    assert_eq!(
        (job.platform, job.wait_for_services_timeout, job.helper_binary, engine.host),
        (None, None, None, None)
    );
    assert_eq!((job.services_limit, job.network_mtu), (Some(2), Some(1400)));
}

#[test]
fn the_environment_of_services_is_not_shown() {
    let text = "[[job.services]]\nname = 'db'\nenvironment = ['PASSWORD=hunter2']\n";
    let (settings, effective) = assemble(text, None, &no_files).unwrap();
    assert_eq!(settings.job.services[0].environment, ["PASSWORD=hunter2"]);
    let shown = &effective.iter().find(|one| one.key == "job.services").unwrap().value;
    assert_eq!(shown.as_deref(), Some("[{ environment = [\"PASSWORD=[hidden]\"], name = \"db\" }]"));
    for wrong in ["['hunter2']", "'A=hunter2'", "{ A = 'hunter2' }", "['A=hunter2', 3]"] {
        let list = complaints(&format!("[[job.services]]\nname = 'db'\nenvironment = {wrong}\n"));
        assert_eq!(
            list,
            ["line 3: job.services[0].environment: write a list of texts such as [\"KEY=value\"]"]
        );
    }
}

#[test]
fn a_seccomp_profile_is_read_in() {
    let read = |path: &Path| match path.to_str() {
        Some("/p.json") => Ok("{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\"\n}\n".to_owned()),
        _ => Ok("no json".to_owned()),
    };
    let text = "[job]\nsecurity_opt = ['seccomp=/p.json', 'apparmor=unconfined', 'seccomp=unconfined']\n";
    let (settings, _) = assemble(text, None, &read).unwrap();
    let profile = "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}";
    assert_eq!(settings.job.security_opt, [profile, "apparmor=unconfined", "seccomp=unconfined"]);
    let list = assemble("[job]\nsecurity_opt = ['seccomp=/q.json']\n", None, &read).unwrap_err();
    assert!(list[0].problem.contains("is not JSON"), "{list:?}");
}

#[test]
fn the_file_is_the_explicit_one_or_the_first_usual_one() {
    let directory = std::env::temp_dir().join(format!("hearth-settings-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (one, two, none) =
        (directory.join("one.toml"), directory.join("two.toml"), directory.join("none.toml"));
    std::fs::write(&one, "[job]\nuser = \"one\"\n").unwrap();
    std::fs::write(&two, "[job]\nuser = \"two\"\n[runner.x]\nuser = \"x\"\n").unwrap();
    let sources = |explicit: Option<&PathBuf>, usual: &[&PathBuf]| Sources {
        explicit: explicit.cloned(),
        usual: usual.iter().map(|&path| path.clone()).collect(),
    };
    let user = |sources: Sources, runner| {
        load(&sources, runner).map(|loaded| (loaded.settings.job.user, loaded.file))
    };
    let usual = [&none, &one, &two];
    assert_eq!(user(sources(None, &usual), None), Ok(("one".to_owned(), Some(one.clone()))));
    assert_eq!(user(sources(Some(&two), &usual), None), Ok(("two".to_owned(), Some(two.clone()))));
    assert_eq!(user(sources(Some(&two), &usual), Some("x")), Ok(("x".to_owned(), Some(two.clone()))));
    assert_eq!(user(sources(None, &[&none]), None), Ok((String::new(), None)));
    let missing = load(&sources(Some(&none), &usual), None).unwrap_err().to_string();
    assert_eq!(
        missing,
        format!("the settings in {} are not valid\n  the file does not exist", none.display())
    );
    let unreadable = load(&sources(None, &[&directory, &one]), None).unwrap_err().to_string();
    assert!(unreadable.contains("the file cannot be read"), "{unreadable}");
    std::fs::write(&one, b"\xff").unwrap();
    assert!(load(&sources(Some(&one), &[]), None).unwrap_err().to_string().contains("not UTF-8"));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn the_usual_places_are_etc_and_the_users_configuration_directory() {
    let places = |xdg: Option<&str>, home: Option<&str>| -> Vec<String> {
        let sources = Sources::new(None, xdg.map(OsStr::new), home.map(OsStr::new));
        sources.usual.iter().map(|path| path.display().to_string()).collect()
    };
    assert_eq!(places(None, None), ["/etc/hearth/config.toml"]);
    assert_eq!(
        places(None, Some("/home/me")),
        ["/etc/hearth/config.toml", "/home/me/.config/hearth/config.toml"]
    );
    assert_eq!(places(Some("/x"), Some("/home/me")), ["/etc/hearth/config.toml", "/x/hearth/config.toml"]);
    assert_eq!(places(Some("x"), Some("")), ["/etc/hearth/config.toml"]);
}

#[test]
fn complaints_are_the_systems_fault() {
    let complaints =
        load(&Sources { explicit: Some(PathBuf::from("/nonexistent")), usual: Vec::new() }, None)
            .unwrap_err();
    let failure = crate::outcome::Failure::from(complaints);
    assert_eq!(failure.fault, crate::outcome::Fault::System);
    assert_eq!(failure.hints[0], "the file does not exist");
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in ".*", key in "[a-z_]{1,12}", value in "[0-9a-z'\"\\[\\]{}=.:/-]{0,16}") {
        let _ = assemble(&text, None, &no_files);
        let _ = assemble(&format!("[job]\n{key} = {value}\n[runner.x]\nmemory = {value}\n"), Some("x"), &no_files);
    }

    #[test]
    fn runners_of_any_name_are_found(name in "[^\\x00-\\x1f\\x7f\"\\\\]{1,20}") {
        let mut complaints = Vec::new();
        let tables = parse(&format!("[runner.\"{name}\"]\nprivileged = true\n"), Layer::File, &mut complaints);
        prop_assert_eq!(complaints, vec![]);
        prop_assert!(tables.runners.contains_key(&name));
    }
}
