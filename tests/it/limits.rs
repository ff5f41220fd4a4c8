//! What containers are given and denied: limits, devices, capabilities, volumes, privilege, labels.

use hearth::runner::{JobDescription, Service};
use serde_json::{Value, json};

use crate::tools::{docker_quiet, inspect, systems_fault};
use crate::world::{Ran, World, block_on, docker, write};

/// The build, helper and service container of a job, as the engine describes them, and the job's end.
struct Seen {
    build: Value,
    helper: Value,
    service: Value,
    ran: Ran,
}

fn see(world: &World, job: &JobDescription) -> Seen {
    let mut all = [Value::Null, Value::Null, Value::Null];
    let ran = block_on(world.run_and_look(job, || {
        all = ["build", "helper", "service-0"].map(|role| inspect(&world.container(job, role)));
    }));
    let [build, helper, service] = all;
    Seen { build, helper, service, ran }
}

fn job(world: &World) -> JobDescription {
    world.job().service(Service::named(world.image("job/web"))).script("echo it runs")
}

#[test]
fn without_settings_containers_are_capped_where_it_costs_nothing() {
    let Some(world) = World::new("defaults") else { return };
    let seen = see(&world, &job(&world));
    seen.ran.succeeded();
    for container in [&seen.build, &seen.helper, &seen.service] {
        let host = &container["HostConfig"];
        assert_eq!(host["PidsLimit"], 4096);
        assert_eq!(host["Privileged"], false);
        assert_eq!(host["Memory"], 0);
        assert_eq!(host["LogConfig"]["Type"], "local", "small, capped, and readable");
        assert_eq!(host["LogConfig"]["Config"]["max-size"], "1024k");
        assert_eq!(host["LogConfig"]["Config"]["max-file"], "1");
        assert!(host["CapAdd"].is_null() && host["SecurityOpt"].is_null(), "{host}");
    }
    assert_eq!(seen.build["HostConfig"]["Init"], true);
    assert_eq!(seen.service["HostConfig"]["Init"], false);
    let hostname = seen.build["Config"]["Hostname"].as_str().unwrap_or_default();
    assert!(hostname.starts_with("runner-") && hostname.ends_with("-project-1-concurrent-0"), "{hostname}");
}

#[test]
fn limits_reach_build_and_helper_and_services_have_their_own() {
    let Some(world) = World::new("limits") else { return };
    world.settings(
        "memory = \"256m\"\nmemory_swap = \"512m\"\nmemory_reservation = \"128m\"\ncpus = \"1.5\"\ncpu_shares = 512\n\
         cpuset_cpus = \"0\"\npids_limit = 512\nservice_memory = \"64m\"\nservice_cpus = \"0.5\"\n\
         service_pids_limit = -1\nshm_size = \"32m\"\ntmpfs = { \"/scratch\" = \"rw,size=1m\" }\n\
         services_tmpfs = { \"/var/lib/db\" = \"rw\" }\nulimit = { nofile = \"512:1024\", core = 0 }\n\
         log_max_size = \"64k\"\n",
    );
    let mut job = job(&world);
    job.script = vec!["ulimit -n; df /dev/shm | tail -n 1; touch /scratch/x && cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null".into()];
    job.script.push("echo it runs".into());
    job.script[0].push_str(" || true");
    let seen = see(&world, &job);
    seen.ran.succeeded().says("\n512\n").says("32768").says("268435456");
    for container in [&seen.build, &seen.helper] {
        let host = &container["HostConfig"];
        assert_eq!(host["Memory"], 256 << 20);
        assert_eq!(host["MemorySwap"], 512 << 20);
        assert_eq!(host["MemoryReservation"], 128 << 20);
        assert_eq!(host["NanoCpus"], 1_500_000_000);
        assert_eq!(host["CpuShares"], 512);
        assert_eq!(host["CpusetCpus"], "0");
        assert_eq!(host["PidsLimit"], 512);
        assert_eq!(host["Tmpfs"], json!({"/scratch": "rw,size=1m"}));
    }
    let host = &seen.service["HostConfig"];
    assert_eq!(host["Memory"], 64 << 20);
    assert_eq!(host["NanoCpus"], 500_000_000);
    assert_eq!(host["Tmpfs"], json!({"/var/lib/db": "rw"}));
    assert!(host["PidsLimit"].as_i64().is_none_or(|limit| limit <= 0), "{}", host["PidsLimit"]);
    for container in [&seen.build, &seen.helper, &seen.service] {
        let host = &container["HostConfig"];
        assert_eq!(host["ShmSize"], 32 << 20);
        assert!(host["Ulimits"].to_string().contains("\"nofile\""), "{}", host["Ulimits"]);
        assert_eq!(host["LogConfig"]["Config"]["max-size"], "64k");
    }
}

#[test]
fn devices_capabilities_and_security_are_those_of_the_settings() {
    let Some(world) = World::new("security") else { return };
    world.settings(
        "devices = [\"/dev/full:/dev/filled:rw\"]\ndevice_cgroup_rules = [\"c 1:7 rw\"]\n\
         services_devices = { \"127.0.0.1:*/job/web:*\" = [\"/dev/zero:/dev/nought\"], \"other\" = [\"/dev/null:/dev/x\"] }\n\
         cap_add = [\"SYS_PTRACE\"]\ncap_drop = [\"MKNOD\", \"net_raw\"]\nsecurity_opt = [\"apparmor=unconfined\"]\n\
         no_new_privileges = true\ngroup_add = [\"shared\"]\nhostname = \"workshop\"\n\
         container_labels = { \"team\" = \"cellar-$CI_PROJECT_ID\" }\n",
    );
    let mut job = job(&world);
    job.script = vec!["hostname; id; ls -l /dev/filled; grep NoNewPrivs /proc/self/status".into()];
    let seen = see(&world, &job);
    seen.ran.succeeded().says("workshop").says("2000(shared)").says("/dev/filled").says("NoNewPrivs:\t1");
    for container in [&seen.build, &seen.helper] {
        let host = &container["HostConfig"];
        let device =
            json!({"PathOnHost": "/dev/full", "PathInContainer": "/dev/filled", "CgroupPermissions": "rw"});
        assert_eq!(host["Devices"], json!([device]));
        assert_eq!(host["DeviceCgroupRules"], json!(["c 1:7 rw"]));
        assert_eq!(host["CapAdd"], json!(["SYS_PTRACE"]));
        assert_eq!(host["CapDrop"], json!(["MKNOD", "NET_RAW"]));
        assert_eq!(host["SecurityOpt"], json!(["apparmor=unconfined", "no-new-privileges:true"]));
    }
    let host = &seen.service["HostConfig"];
    assert_eq!(host["Devices"][0]["PathInContainer"], "/dev/nought");
    assert_eq!(host["Devices"].as_array().map(Vec::len), Some(1));
    assert!(host["CapAdd"].is_null(), "{host}");
    assert_eq!(host["SecurityOpt"], json!(["no-new-privileges:true"]));
    assert_eq!(seen.build["HostConfig"]["GroupAdd"], json!(["shared"]));
    assert_eq!(seen.service["Config"]["Labels"]["team"], "cellar-1");
}

#[test]
fn containers_carry_gitlabs_labels_and_hearths() {
    let Some(world) = World::new("labels") else { return };
    let job = job(&world);
    let seen = see(&world, &job);
    seen.ran.succeeded();
    for (container, role) in [(&seen.build, "build"), (&seen.helper, "helper"), (&seen.service, "service")] {
        let labels = &container["Config"]["Labels"];
        let gitlab = |name: &str| {
            labels[format!("com.gitlab.gitlab-runner.{name}")].as_str().unwrap_or("-").to_owned()
        };
        assert_eq!(gitlab("managed"), "true");
        assert_eq!(gitlab("type"), role);
        assert_eq!(gitlab("job.id"), job.id.to_string());
        assert_eq!(gitlab("project.id"), "1");
        assert_eq!(gitlab("runner.id"), world.token);
        assert_eq!(gitlab("job.sha"), job.git.sha);
        assert_eq!(gitlab("job.ref"), job.git.reference);
        for name in [
            "job.url",
            "job.before_sha",
            "job.timeout",
            "pipeline.id",
            "project.runner_id",
            "runner.local_id",
        ] {
            assert!(!matches!(gitlab(name).as_str(), "" | "-"), "{name}: {labels}");
        }
        assert_eq!(labels["hearth.job"], format!("hearth-{}-job-{}", world.token, job.id));
        assert_eq!(labels["hearth.role"], role);
    }
}

#[test]
fn privilege_is_for_the_images_and_projects_that_settings_name() {
    let Some(world) = World::new("privileged") else { return };
    // Containers are only made here: not every machine can start a privileged one.
    let privileged = |settings: &str, project: &str| -> (Value, Value) {
        world.settings(&format!("privileged = true\n{settings}"));
        let mut job =
            world.job().service(Service::named(world.image("job/web"))).image(world.image("job/entry-exec"));
        job.project_path = project.into();
        let attempt = world.attempt(&job);
        let called = world.call(&["prepare"], &attempt.env);
        let of = |role: &str| inspect(&world.container(&job, role))["HostConfig"]["Privileged"].clone();
        let both = (of("build"), of("service-0"));
        assert_eq!(of("helper"), false, "never the helper: {}", called.stdout);
        assert_eq!(world.call(&["cleanup"], &attempt.env).code, Some(0));
        both
    };
    let (yes, no) = (json!(true), json!(false));
    assert_eq!(privileged("", "a/b"), (yes.clone(), yes.clone()));
    let images =
        "allowed_privileged_images = [\"**/entry-exec:1\"]\nallowed_privileged_services = [\"other:*\"]";
    assert_eq!(privileged(images, "a/b"), (yes.clone(), no.clone()));
    let images = "allowed_privileged_images = [\"other:*\"]\nallowed_privileged_services = [\"**/web:1\"]";
    assert_eq!(privileged(images, "a/b"), (no.clone(), yes.clone()));
    let projects = "privileged_allowed_projects = [\"infra/**\", \"id:77\"]";
    assert_eq!(privileged(projects, "a/b"), (no.clone(), no.clone()));
    assert_eq!(privileged(projects, "infra/images/build"), (yes.clone(), yes.clone()));
    assert_eq!(privileged("services_privileged = false", "a/b").1, no);
}

#[test]
fn volumes_are_kept_per_project_and_host_paths_are_for_the_projects_named() {
    let Some(world) = World::new("volumes") else { return };
    let shared = world.dir.join("shared");
    std::fs::create_dir(&shared).expect("a directory");
    write(&shared.join("from-host"), "from the host\n");
    let named = format!("test-{}-named", world.token);
    let settings = |more: &str| {
        world.settings(&format!(
            "volumes = [\"/cache\", \"/root/.m2\", \"{}:/host:ro\", \"{named}:/named\"]\n{more}",
            shared.display()
        ));
    };
    settings("");
    let first = world
        .job()
        .script("cat /host/from-host; touch /host/x 2>/dev/null || echo read-only")
        .script("echo kept >/root/.m2/file; echo named >/named/file");
    block_on(world.run(&first)).succeeded().says("from the host").says("read-only");
    let second = || world.job().script("cat /root/.m2/file /named/file 2>/dev/null || echo nothing here");
    block_on(world.run(&second())).succeeded().says("kept").says("named");
    let mut other = second();
    other.project_id = 2;
    block_on(world.run(&other)).succeeded().says("nothing here");
    let mut protected = second();
    protected.git.protected = Some(true);
    block_on(world.run(&protected)).succeeded().says("nothing here");

    settings("disable_cache = true");
    block_on(world.run(&second())).succeeded().says("nothing here");
    settings("volumes_allowed_projects = [\"try/proj*\"]");
    let look = || {
        world.job().script("cat /host/from-host /named/file 2>/dev/null || echo not mounted; ls /root/.m2")
    };
    block_on(world.run(&look())).succeeded().says("from the host");
    settings("volumes_allowed_projects = [\"infra/**\"]");
    let ran = block_on(world.run(&look()));
    ran.succeeded().says("not mounted").says("volumes_allowed_projects").says("file");
    assert!(docker_quiet(&["volume", "rm", &named]), "a named volume stays until somebody removes it");
}

#[test]
fn a_runners_own_table_overlays_the_settings_of_all() {
    let Some(mut world) = World::new("overlay") else { return };
    world.settings(
        "memory = \"512m\"\ncap_add = [\"SYS_PTRACE\"]\n[runner.\"images\"]\nmemory = \"128m\"\ncap_add = []\n\
         [runner.\"other\"]\nnetwork_mode = \"none\"\n",
    );
    let plain = see(&world, &job(&world));
    assert_eq!(plain.build["HostConfig"]["Memory"], 512 << 20);
    world.options = vec!["--runner".into(), "images".into()];
    let seen = see(&world, &job(&world));
    seen.ran.succeeded().says("settings of runner images");
    assert_eq!(seen.build["HostConfig"]["Memory"], 128 << 20);
    assert!(seen.build["HostConfig"]["CapAdd"].is_null());
    assert_eq!(seen.build["HostConfig"]["PidsLimit"], 4096);
    world.options = vec!["--runner".into(), "images".into(), "--bad".into()];
    systems_fault(&block_on(world.run(&job(&world)))).says("--bad");
    assert_eq!(docker(&["ps", "-aq", "--filter", &format!("name={}", world.token)]), "");
}
