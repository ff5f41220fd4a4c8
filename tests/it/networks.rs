//! The network of a job: its own, the engine's, or another one.

use hearth::runner::{JobDescription, Service};
use serde_json::json;

use crate::tools::{docker_quiet, inspect, jobs_fault};
use crate::world::{World, block_on, docker, skip};

fn with_web(world: &World) -> JobDescription {
    let mut web = Service::named(world.image("job/web"));
    web.aliases.push("web".into());
    world.job().service(web)
}

#[test]
fn a_job_has_a_network_of_its_own_with_names() {
    let Some(world) = World::new("own network") else { return };
    let job = with_web(&world)
        .script("wget -q -O - http://web/ && echo found; hostname; nslookup build >/dev/null && echo self");
    let mut network = json!(null);
    let ran = block_on(world.run_and_look(&job, || {
        network = inspect(&format!("hearth-{}-job-{}", world.token, job.id));
    }));
    ran.succeeded()
        .says("found")
        .says("self")
        .says(&format!("runner-{}-project-1-concurrent-0", world.token));
    assert_eq!(network["Driver"], "bridge");
    assert_eq!(network["Containers"].as_object().map(|all| all.len()), Some(3), "{network}");
    assert_eq!(network["Labels"]["hearth.job"], json!(format!("hearth-{}-job-{}", world.token, job.id)));
}

#[test]
fn services_are_found_on_the_bridge_and_on_the_host_too() {
    let Some(world) = World::new("modes") else { return };
    world.settings("network_mode = \"bridge\"");
    let ran = block_on(
        world.run(&with_web(&world).script("wget -q -O - http://web/ && echo on the bridge; cat /etc/hosts")),
    );
    ran.succeeded().says("on the bridge").is_silent_about("probably did not start");
    world.settings("network_mode = \"host\"");
    let mut job =
        with_web(&world).script("grep web /etc/hosts; wget -q -O - http://web:18099/ && echo on the host");
    let serve = "exec httpd -f -p 127.0.0.1:18099 -h /srv/www";
    job.services[0].command = Some(["sh", "-c", serve].map(str::to_owned).to_vec());
    job.services[0].variables.push(hearth::runner::Variable::plain("HEALTHCHECK_TCP_PORT", "18099"));
    let ran = block_on(world.run(&job));
    ran.succeeded().says("on the host").says("127.0.0.1").is_silent_about("probably did not start");
}

#[test]
fn a_job_without_a_network_runs_and_may_have_no_services() {
    let Some(world) = World::new("none") else { return };
    world.settings("network_mode = \"none\"");
    let ran = block_on(world.run(&world.job().script("ip -o addr | grep -v ' lo ' || echo nothing but lo")));
    ran.succeeded().says("nothing but lo");
    let ran = block_on(world.run(&with_web(&world).script("true")));
    jobs_fault(&ran).says("has services").says("network_mode");
}

#[test]
fn a_named_network_is_joined_and_stays() {
    let Some(world) = World::new("named network") else { return };
    let name = format!("test-{}", world.token);
    docker(&["network", "create", &name]);
    world.settings(&format!("network_mode = \"{name}\""));
    let job = with_web(&world).script("wget -q -O - http://web/ && echo found on the named one");
    let ran = block_on(world.run_and_look(&job, || {
        let build = inspect(&world.container(&job, "build"));
        assert!(build["NetworkSettings"]["Networks"][&name].is_object(), "{build}");
    }));
    ran.succeeded().says("found on the named one").is_silent_about("probably did not start");
    assert!(docker_quiet(&["network", "rm", &name]), "it stays, and nothing is in it");
    let ran = block_on(world.run(&world.job().script("true")));
    crate::tools::systems_fault(&ran).says(&name);
}

#[test]
fn mtu_hosts_and_name_servers_are_those_of_the_settings() {
    let Some(world) = World::new("network settings") else { return };
    world.settings(
        "network_mtu = 1280\nextra_hosts = [\"cache.test:192.0.2.7\", \"gate.test:host-gateway\"]\n\
         dns = [\"192.0.2.53\"]\ndns_search = [\"corp.test\"]\n",
    );
    let job = with_web(&world).script("cat /sys/class/net/eth0/mtu /etc/hosts /etc/resolv.conf");
    let ran = block_on(world.run_and_look(&job, || {
        for role in ["build", "helper", "service-0"] {
            let host = inspect(&world.container(&job, role))["HostConfig"].clone();
            assert_eq!(host["Dns"], json!(["192.0.2.53"]), "{role}");
            assert_eq!(host["DnsSearch"], json!(["corp.test"]), "{role}");
            assert!(host["ExtraHosts"].to_string().contains("cache.test:192.0.2.7"), "{role}");
        }
    }));
    ran.succeeded().says("1280").says("192.0.2.7\tcache.test").says("gate.test").says("search corp.test");
}

#[test]
fn ipv6_is_there_where_the_kernel_has_it() {
    let Some(world) = World::new("IPv6") else { return };
    world.settings("enable_ipv6 = true");
    let job = world.job().script("ip -6 -o addr show dev eth0; echo ran");
    let ran = block_on(world.run(&job));
    let enabled = std::fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6");
    if enabled.is_ok_and(|text| text.trim() == "0") {
        ran.succeeded().says("inet6").says("scope global");
        // Two jobs at once have subnets of their own.
        block_on(async {
            let (one, other) = (world.job().script("sleep 3"), world.job().script("sleep 3"));
            let (one, other) = futures_util::future::join(world.run(&one), world.run(&other)).await;
            one.succeeded();
            other.succeeded();
        });
    } else {
        crate::tools::systems_fault(&ran).says("enable_ipv6").says("network");
        skip("IPv6", "this kernel has none; only the refusal was seen");
    }
}
