//! Mirrors: they supply bytes, and nothing else.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use hearth::runner::JobDescription;

use crate::front::{Front, on as rule};
use crate::pulling::{Cold, LONG, On, Prepare, docker_config, is_get_of, manifests, with_login};
use crate::pusher::Registry;
use crate::world::{skip, write};

/// A registry of one test's own; it ends with the test.
struct Own {
    child: Child,
    address: String,
}

impl Own {
    /// Starts one that has what another one has, and keeps what it was asked for.
    fn pull_through(on: &On, of: &str) -> Option<Self> {
        Self::start(on, &format!("proxy:\n  remoteurl: http://{of}\n"))
    }

    /// Starts an empty one.
    fn empty(on: &On) -> Option<Self> {
        Self::start(on, "")
    }

    fn start(on: &On, more: &str) -> Option<Self> {
        let program = Path::new("/usr/bin/docker-registry");
        if !program.exists() {
            skip("a registry of its own", "there is no docker-registry");
            return None;
        }
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");
        let dir = on.world().dir.join(format!("registry-{port}"));
        std::fs::create_dir_all(&dir).expect("a directory");
        let config = dir.join("config.yml");
        let storage = dir.display();
        write(
            &config,
            &format!(
                "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
                 rootdirectory: {storage}/storage\nhttp:\n  addr: {address}\n{more}"
            ),
        );
        let child = Command::new(program)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the registry starts");
        let own = Self { child, address };
        let end = Instant::now() + LONG;
        while TcpStream::connect(&own.address).is_err() {
            assert!(Instant::now() < end, "the registry does not answer");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Some(own)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes settings with these mirrors, each of one registry.
fn mirrored(on: &On, mirrors: &[(&str, &str)], more: &str) {
    let table: Vec<String> = mirrors.iter().map(|(of, mirror)| format!("{of:?} = [{mirror:?}]")).collect();
    // containerd's store needs a moment to drop what was not what it should have been.
    let backoff = u8::from(on.has_containerds_store());
    on.settings(&format!("[pull]\nbackoff = {backoff}\nmirrors = {{ {} }}\n{more}", table.join(", ")));
}

fn blobs(front: &Front, cold: &Cold<'_>) -> usize {
    front.log().iter().filter(|asked| is_get_of(asked, &cold.layers[0])).count()
}

#[test]
fn a_pull_through_mirror_supplies_the_bytes_and_upstream_says_what_a_name_means() {
    On::each("pull-through mirror", |on| {
        let upstream = Front::new(&on.world().parts.registry);
        let Some(own) = Own::pull_through(on, &upstream.address) else { return };
        let mirror = Front::new(&own.address);
        mirrored(on, &[(&upstream.address, &mirror.address)], "");
        let cold = on.cold(&upstream, &[100 << 10]);
        on.prepare(&cold.job("always")).got(&cold).says(&format!("Pulled {}/", mirror.address));
        assert_eq!(blobs(&mirror, &cold), 1);
        // What came through the mirror is the registry's own image.
        upstream.forget();
        mirror.forget();
        on.prepare(&cold.job("always")).got(&cold).says("always: up to date").is_silent_about("Pulling");
        assert_eq!((manifests(on, &upstream), mirror.lines().len()), ((1, 0), 0));
        // It has the bytes now: upstream is asked what the name means, and that is all.
        cold.forget();
        upstream.forget();
        mirror.forget();
        upstream.add(rule("/blobs/").answer(503));
        on.prepare(&cold.job("always")).got(&cold).says("always: pulled");
        assert_eq!((blobs(&mirror, &cold), blobs(&upstream, &cold)), (1, 0), "{:#?}", upstream.lines());
    });
}

#[test]
fn a_mirror_may_have_other_names_for_the_images() {
    On::each("rewritten names", |on| {
        let upstream = Front::new(&on.world().parts.registry);
        let Some(own) = Own::empty(on) else { return };
        let mirror = Front::new(&own.address);
        let (of, to) = (format!("{}/test", upstream.address), format!("{}/copies/of-it", mirror.address));
        mirrored(on, &[(&of, &to)], "");
        let cold = on.cold(&upstream, &[10 << 10]);
        let there = cold.repository.replacen("test", "copies/of-it", 1);
        Registry::new(&own.address).push(&there, "other", std::slice::from_ref(&cold.image)).expect("pushed");
        on.prepare(&cold.job("always")).got(&cold).says(&format!("Pulled {to}/"));
        assert_eq!((blobs(&mirror, &cold), blobs(&upstream, &cold)), (1, 0));
        on.prepare(&cold.job("always")).got(&cold).says("up to date");
        assert_eq!(blobs(&mirror, &cold), 1);
    });
}

#[test]
fn upstream_is_asked_where_a_mirror_fails() {
    let ways = [
        ("is down", rule("/v2/").hang_up()),
        ("does not begin", rule("/manifests/").stall_head()),
        ("stands still", rule("/blobs/").stall_after(2 << 10)),
        ("cuts", rule("/blobs/").cut_after(2 << 10)),
        ("has no such manifest", rule("/manifests/").answer(404)),
        ("has no such blob", rule("/blobs/").answer(404)),
        ("wants a login", rule("/v2/").asks_for_login()),
        ("is busy", rule("/manifests/").answer(429)),
    ];
    On::each("failing mirrors", |on| {
        let registry = &on.world().parts.registry;
        let fronts: Vec<(Front, Front)> = ways
            .iter()
            .map(|(_, rule)| (Front::new(registry), Front::with(registry, rule.clone())))
            .collect();
        let table: Vec<(&str, &str)> =
            fronts.iter().map(|(of, mirror)| (of.address.as_str(), mirror.address.as_str())).collect();
        mirrored(on, &table, "source_deadline = 4\nconcurrent = 8\n");
        let colds: Vec<Cold<'_>> =
            fronts.iter().map(|(upstream, _)| on.cold(upstream, &[20 << 10])).collect();
        let running: Vec<Prepare<'_>> = colds.iter().map(|cold| on.start(&cold.job("always"))).collect();
        let ended = on.end(running);
        for (((way, _), cold), (prepared, (upstream, mirror))) in
            ways.iter().zip(&colds).zip(ended.iter().zip(&fronts))
        {
            prepared.got(cold).says(&format!("the mirror {} is passed over: ", mirror.address));
            assert!(!mirror.log().is_empty(), "the mirror that {way} was not asked");
            assert_eq!(blobs(upstream, cold), 1, "{way}");
        }
    });
}

#[test]
fn a_mirror_that_lies_is_refused_and_reported() {
    On::each("lying mirror", |on| {
        let registry = &on.world().parts.registry;
        let fronts: Vec<(Front, Front)> =
            (0..2).map(|_| (Front::new(registry), Front::new(registry))).collect();
        let table: Vec<(&str, &str)> =
            fronts.iter().map(|(of, mirror)| (of.address.as_str(), mirror.address.as_str())).collect();
        mirrored(on, &table, "");
        let cold: Vec<Cold<'_>> = fronts.iter().map(|(upstream, _)| on.cold(upstream, &[20 << 10])).collect();
        // Another image's manifest, and another layer of the same length.
        let evil = on.cold(&fronts[0].0, &[10 << 10]);
        fronts[0].1.add(rule("/manifests/").body(evil.manifest()));
        let layer = format!("/blobs/{}", cold[1].layers[0]);
        fronts[1].1.add(rule(&layer).body(vec![7; cold[1].sizes[0] as usize]));
        for (cold, (upstream, mirror)) in cold.iter().zip(&fronts) {
            let prepared = on.prepare(&cold.job("always"));
            let says = format!("the mirror {} sent something else than what was asked for", mirror.address);
            prepared.got(cold).says(&says);
            assert_eq!(blobs(upstream, cold), 1);
        }
    });
}

#[test]
fn a_jobs_login_never_goes_to_a_mirror_and_the_operators_does() {
    On::each("mirror logins", |on| {
        let registry = &on.world().parts.registry;
        let (upstream, mirror) = (Front::new(registry), Front::new(registry));
        upstream.add(rule("/v2/").login("author", "his-secret"));
        upstream.add(rule("/v2/").asks_for_login());
        mirror.add(rule("/v2/").login("operator", "hers"));
        mirror.add(rule("/v2/").asks_for_login());
        mirrored(on, &[(&upstream.address, &mirror.address)], "");
        let cold = on.cold(&upstream, &[10 << 10]);
        // The author knows logins for both, and one of them is even right.
        let job = || -> JobDescription {
            let config = |front: &Front, user, password| -> serde_json::Value {
                serde_json::from_str(&docker_config(&front.address, user, password)).expect("JSON")
            };
            let mut both = config(&upstream, "author", "his-secret");
            let of_mirror = config(&mirror, "operator", "hers");
            both["auths"][&mirror.address] = of_mirror["auths"][&mirror.address].clone();
            let variable = hearth::runner::Variable::plain("DOCKER_AUTH_CONFIG", both.to_string());
            cold.job("always").with_variable(variable.as_masked().as_raw())
        };
        let prepared = on.prepare(&job());
        prepared.got(&cold).says(&format!("the mirror {} is passed over: ", mirror.address));
        prepared.is_silent_about("his-secret");
        assert!(
            !mirror.log().is_empty() && mirror.log().iter().all(|asked| !asked.authorised),
            "{:#?}",
            mirror.log()
        );

        let dir = on.world().dir.join(".docker");
        std::fs::create_dir_all(&dir).expect("a directory");
        write(&dir.join("config.json"), &docker_config(&mirror.address, "operator", "hers"));
        cold.forget();
        upstream.forget();
        let prepared = on.prepare(&with_login(cold.job("always"), &upstream.address, "author", "his-secret"));
        prepared.got(&cold).says(&format!("Pulled {}/", mirror.address));
        assert_eq!(blobs(&upstream, &cold), 0);
        // Bytes of a mirror are for those who may read the image.
        on.prepare(&cold.job("always")).jobs_fault().says("may not be read");
    });
}

#[test]
fn while_upstream_is_down_a_mirror_serves_those_who_could_read_it_lately() {
    On::each("upstream down", |on| {
        let registry = &on.world().parts.registry;
        let (upstream, mirror) = (Front::new(registry), Front::new(registry));
        let table = [(upstream.address.as_str(), mirror.address.as_str())];
        let asks = || upstream.add(rule("/v2/").authorised(false).asks_for_login());
        let cold = on.cold(&upstream, &[10 << 10]);
        let of = |project: u64| {
            let job = cold.job("always");
            let mut job = with_login(job, &upstream.address, "author", "his-secret");
            job.project_id = project;
            job
        };
        asks();
        mirrored(on, &table, "attempts = 1\n");
        on.prepare(&of(81)).got(&cold);
        upstream.clear();
        upstream.add(rule("/v2/").hang_up());
        // The default: it fails, and may be tried again.
        on.prepare(&of(81)).systems_fault();
        mirrored(on, &table, "attempts = 1\n[access]\noffline_grace = 3600\n");
        let prepared = on.prepare(&of(81));
        prepared.got(&cold).says("the copy on this host is used").says("last checked");
        assert_eq!(blobs(&mirror, &cold), 1);
        on.prepare(&of(82)).systems_fault();
        cold.forget();
        on.prepare(&of(82)).systems_fault();
        let prepared = on.prepare(&of(81));
        prepared.got(&cold).says(&format!("Pulled {}/", mirror.address));
        assert_eq!(blobs(&mirror, &cold), 2);
        upstream.clear();
        asks();
        on.prepare(&of(82)).got(&cold).says("up to date");
    });
}
