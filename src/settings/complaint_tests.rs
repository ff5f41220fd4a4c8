use super::assemble;
use super::tests::no_files;

/// The complaints about a file, one per line.
pub(super) fn complaints(text: &str) -> Vec<String> {
    let list = assemble(text, None, &no_files).err().unwrap_or_default();
    crate::settings::Complaints::new(None, list).list.iter().map(ToString::to_string).collect()
}

#[test]
fn all_complaints_come_at_once_each_with_its_place() {
    let text = r#"
[drivers]
[driver]
buildsdir = "/builds"
shell = "fish"
[engine]
timeout = "2m"
[job]
memmory = "1g"
memory = "12x"
volumes = ["/good", "bad", "/x:/y:rx"]
pull_policy = ["always", "sometimes"]
[runner."a.b"]
cpus = -1
gpus = "all"
builds_dir = "/x"
"#;
    assert_eq!(
        complaints(text),
        [
            "line 2: drivers: unknown table: did you mean [driver]?",
            "line 4: driver.buildsdir: unknown key: did you mean builds_dir?",
            "line 5: driver.shell: \"fish\" is not a shell that jobs can have: allowed are bash and sh",
            "line 7: engine.timeout: \"2m\" is not a time: write a whole number of seconds from 0 to 604800, without a unit",
            "line 9: job.memmory: unknown key: did you mean memory?",
            "line 10: job.memory: \"12x\" is not a size: write a number with b, k, m, g or t, such as 512m or 1.5g",
            "line 11: job.volumes[1]: \"bad\" is not a volume: \"bad\" is not an absolute path in the container; \
             write /path, /host/path:/path[:ro] or name:/path[:ro]",
            "line 11: job.volumes[2]: \"/x:/y:rx\" is not a volume: \"rx\" is not a mount option (ro, rw, z, Z, U, nocopy, \
             shared, rshared, slave, rslave, private, rprivate, cached, delegated, consistent); \
             write /path, /host/path:/path[:ro] or name:/path[:ro]",
            "line 12: job.pull_policy[1]: \"sometimes\" is not a pull policy: allowed are always, if-not-present and never",
            "line 14: runner.\"a.b\".cpus: \"-1\" is not a number of CPUs: write a number above 0 such as 1.5",
            "line 15: runner.\"a.b\".gpus: unknown key: the docker executor has it, hearth does not",
            "line 16: runner.\"a.b\".builds_dir: unknown key: builds_dir belongs to [driver]",
        ]
    );
}

/// Each line of a file that is wrong, and a part of the complaint.
const WRONG: [(&str, &str); 86] = [
    ("[driver]\nbuilds_dir = 'builds'", "not an absolute path"),
    ("[driver]\nbuilds_dir = '/a/../b'", "not an absolute path"),
    ("[driver]\nbuilds_dir = '/'", "not an absolute path"),
    ("[driver]\nbuilds_dir = '/proc/x'", "hide the image's own files"),
    ("[driver]\nbuilds_dir = '/cache'", "overlap"),
    ("[driver]\ncache_dir = '/builds/cache/'", "overlap"),
    ("[driver]\nbuilds_dir = '/cache/builds'", "overlap"),
    ("[driver]\nhostname = 'my host'", "not a host name"),
    ("[driver]\nshell = true", "true is not a text in quotes"),
    ("[engine]\nhost = '/var/run/docker.sock'", "unix:///path"),
    ("[engine]\nhost = 'ssh://host'", "unix:///path"),
    ("[engine]\nhost = 'tcp://host'", "tcp://host:port"),
    ("[engine]\ntimeout = 0", "from 1 on"),
    ("[engine]\ntimeout = -1", "not a time"),
    ("[engine]\ntimeout = 1.5", "not a time"),
    ("[engine]\ntimeout = 99999999", "not a time"),
    ("[pull]\nattempts = 0", "from 1 to 100"),
    ("[pull]\nattempts = '3'", "not a whole number"),
    ("[pull]\ndocker_config_dir = '~/.docker'", "not an absolute path"),
    ("[pull]\nconcurrent = 0", "from 1 to 100"),
    ("[pull]\nsource_deadline = 0", "from 1 on"),
    ("[pull]\nmirrors = 'm.lan'", "not a table"),
    ("[pull.mirrors]\n'docker.io' = []", "pull.mirrors.\"docker.io\": the list is empty"),
    ("[pull.mirrors]\n'docker.io' = ['http://m.lan']", "without a scheme"),
    ("[pull.mirrors]\n'hub' = ['m.lan']", "begin with a host name"),
    ("[pull.mirrors]\n'docker.io' = ['docker.io']", "its own mirror"),
    ("[registry]\ntimeout = 0", "from 1 on"),
    ("[registry]\nca_files = ['ca.pem']", "registry.ca_files[0]: \"ca.pem\" is not an absolute path"),
    ("[access]\nproof_ttl = '1h'", "not a time"),
    ("[access]\noffline_grace = -1", "not a time"),
    ("[store]\ndir = 'hearth'", "not an absolute path"),
    ("[job]\nallow_local_images = ['[']", "not a pattern"),
    ("[job]\nimage = 'Alpine'", "lower case"),
    ("[job]\nhelper_binary = 'gitlab-runner'", "not an absolute path"),
    ("[job]\nhelper_image_flavor = 'a b'", "not a name"),
    ("[job]\npull_policy = []", "at least one"),
    ("[job]\npull_policy = 'Always'", "not a pull policy"),
    ("[job]\nallowed_pull_policies = ['newest']", "not a pull policy"),
    ("[job]\nallowed_pull_policies = ['never']", "no image could be had"),
    ("[job]\nallowed_images = ['[', 'good', '{a']", "not a pattern"),
    ("[job]\nallowed_images = 'ruby:*'", "not a list"),
    ("[job]\nprivileged_allowed_projects = ['id:x']", "a number after id:"),
    ("[job]\nplatform = 'linux'", "not a platform"),
    ("[job]\nprivileged = 'yes'", "\"yes\" is not true or false"),
    ("[job]\nvolumes = ['/builds']", "volumes of its own"),
    ("[job]\nvolumes = ['/a', '/x:/a']", "mounted twice"),
    ("[job]\nvolumes = ['./x:/a']", "neither an absolute path"),
    ("[job]\nvolumes = ['/a:/b:ro:z']", "too many parts"),
    ("[job]\nservices_limit = -2", "-1 for no limit"),
    ("[job]\nservices_limit = 0\n[[job.services]]\nname = 'a'", "less than the 1 services"),
    ("[job]\nwait_for_services_timeout = 0", "-1 to wait for none"),
    ("[job]\nentrypoint_timeout = 0", "from 1 on"),
    ("[job]\nnetwork_mode = 'container:x'", "another container's network"),
    ("[job]\nnetwork_mode = 'a b'", "not a network"),
    ("[job]\nnetwork_mode = 'none'\n[[job.services]]\nname = 'a'", "not allowed with services"),
    ("[job]\nnetwork_mtu = 10", "from 68 to 65535"),
    ("[job]\nmemory = '1m'", "too little"),
    ("[job]\nmemory = '1g'\nmemory_swap = '512m'", "less than the memory limit of 1 GiB"),
    ("[job]\nmemory_swap = '512m'", "needs a limit of memory"),
    ("[job]\nmemory = '1g'\nmemory_reservation = '2g'", "more than the memory limit"),
    (
        "[job]\nservice_memory = '1g'\nservice_memory_swap = '512m'",
        "job.service_memory_swap: 512 MiB is less",
    ),
    ("[job]\ncpus = '0'", "above 0"),
    ("[job]\ncpus = 'two'", "above 0"),
    ("[job]\ncpus = 'nan'", "above 0"),
    ("[job]\ncpu_shares = 1", "from 2 to"),
    ("[job]\ncpuset_cpus = '2-0'", "0-2,4"),
    ("[job]\npids_limit = -2", "-1 for no limit"),
    ("[job]\nshm_size = 'big'", "not a size"),
    ("[job]\nulimit = { nofile = '20:10' }", "job.ulimit.nofile"),
    ("[job]\nulimit = { files = 10 }", "not a limit's name"),
    ("[job]\ntmpfs = { 'tmp' = '' }", "not an absolute path"),
    ("[job]\ntmpfs = { '/cache' = '' }", "has a volume already"),
    ("[job]\ndevices = ['ttyUSB0']", "not a device"),
    ("[job]\ndevices = ['/dev/a:/dev/b:x']", "not a device"),
    ("[job]\nservices_devices = { '[' = ['/dev/a'] }", "not a pattern"),
    ("[job]\ndevice_cgroup_rules = ['c 81 rw']", "c 81:* rmw"),
    ("[job]\ndns = ['dns.example']", "not an IP address"),
    ("[job]\nextra_hosts = ['host']", "name:IP"),
    ("[job]\ncap_add = ['NET ADMIN']", "not a capability"),
    ("[job]\ncap_add = ['kill']\ncap_drop = ['KILL']", "is in cap_drop too"),
    ("[job]\nsecurity_opt = ['seccomp=profile.json']", "absolute path"),
    ("[job]\nsecurity_opt = ['seccomp=/none.json']", "cannot be read"),
    ("[job]\nsecurity_opt = ['privileged']", "key=value"),
    ("[job]\nlog_driver = 'none'", "failing services"),
    ("[job]\nlog_max_size = '1k'", "at least 4k"),
    ("[[job.services]]\nalias = 'a'", "job.services[0]: the service has no name"),
];

#[test]
fn every_kind_of_wrong_value_is_complained_about() {
    for (text, part) in WRONG {
        let list = complaints(text);
        assert!(list.iter().any(|line| line.contains(part)), "{text}: {list:?}");
        assert!(list.iter().all(|line| line.starts_with("line ")), "{text}: {list:?}");
    }
}

#[test]
fn a_wrong_table_of_another_runner_is_told_too_and_what_is_shared_only_once() {
    let text = "[job]\nmemory_swap = '1g'\n[runner.a]\nprivileged = true\n[runner.b]\nmemory = '2g'\n";
    assert_eq!(
        complaints(text),
        [
            "line 2: job.memory_swap: a limit of memory and swap needs a limit of memory too",
            "line 2: job.memory_swap: 1 GiB is less than the memory limit of 2 GiB: the key counts memory and swap together",
        ]
    );
}

#[test]
fn a_text_that_is_no_toml_is_complained_about_with_its_lines() {
    let list = complaints("[job]\nmemory = 1g\n\nuser = \"a\"\nuser = \"b\"\n");
    assert!(list.iter().any(|line| line.starts_with("line 2: this is not TOML: ")), "{list:?}");
    assert!(list.iter().any(|line| line.starts_with("line 5: ")), "{list:?}");
    assert!(list.iter().all(|line| !line.contains('\n')), "{list:?}");
}

#[test]
fn keys_and_tables_in_the_wrong_place_are_sent_to_the_right_one() {
    for (text, advice) in [
        ("memory = '1g'", "line 1: memory: unknown table: the key memory belongs under [job]"),
        (
            "[[runners]]",
            "line 1: runners: unknown table: tables for certain runners are written [runner.\"NAME\"]",
        ),
        (
            "[runner]\nmemory = '1g'",
            "line 2: runner.memory: this is no table: write keys under [runner.\"NAME\"]",
        ),
        ("job = 1", "line 1: job: 1 is not a table"),
        ("[job.services]\nname = 'a'", "line 1: job.services: { name = \"a\" } is not a list in [ ]"),
        (
            "[[job.services]]\nname = 'a'\nimage = 'b'",
            "line 3: job.services[0].image: unknown key: image belongs to [job]",
        ),
    ] {
        assert_eq!(complaints(text), [advice]);
    }
}

#[test]
fn marks_that_do_not_go_together_are_complained_about() {
    let text = r#"
[cache]
scope = "mine"
images_low = "3g"
free_low = "20%"
free_high = "10%"
inodes_low = "most"
rule = "best"
keep_local = "30d"
"#;
    assert_eq!(
        complaints(text),
        [
            "line 3: cache.scope: \"mine\" is not a choice of images: allowed are used and all",
            "line 4: cache.images_low: images_low says where eviction stops, but images_high, where it starts, is not set",
            "line 5: cache.free_low: eviction starts below free_low and stops at free_high, so it cannot be the larger one",
            "line 7: cache.inodes_low: \"most\" is no number of inodes: write a whole number, or a part of the disk's such as 5%",
            "line 8: cache.rule: \"best\" is not a rule: lru, lfu-da, gdsf, layer-gdsf, decayed, decayed:DAYS, foreseen, auto",
            "line 9: cache.keep_local: \"30d\" is not a time: write a whole number of seconds from 0 to 315360000, without a unit",
        ]
    );
    assert_eq!(
        complaints("[cache]\nimages_high = '1g'\nimages_low = '2g'\n[daemon]\nwatch = 0"),
        [
            "line 2: cache.images_high: 1 GiB is less than images_low, where eviction stops",
            "line 5: daemon.watch: 0 is not allowed: write a number of seconds from 1 on",
        ]
    );
    assert_eq!(
        complaints("[cache]\nimages_high = '12m'"),
        ["line 2: cache.images_high: 12 MiB is too little: write at least 64 MiB, such as 20g"]
    );
}
