//! Services: names, variables, commands, readiness, and what they leave.

use std::time::Duration;

use hearth::runner::{Image, JobDescription, Service, Variable};

use crate::tools::{inspect, jobs_fault};
use crate::world::{World, block_on, docker};

fn service(image: impl Into<String>, aliases: &[&str]) -> Service {
    Service { aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(), ..Service::named(image) }
}

fn shell(image: impl Into<String>, aliases: &[&str], script: &str) -> Service {
    let command = Some(["sh", "-c", script].map(str::to_owned).to_vec());
    Service { command, ..service(image, aliases) }
}

#[test]
fn a_service_answers_to_the_names_of_its_image_and_to_all_aliases() {
    let Some(world) = World::new("aliases") else { return };
    let job = world
        .job()
        .service(service(world.image("job/web"), &["web", "www.example.test"]))
        .script("for name in 127.0.0.1__job__web 127.0.0.1-job-web web www.example.test; do")
        .script("  wget -q -O - http://$name/ || exit 3; echo \"$name answers\"; done");
    let job = JobDescription { script: vec![job.script.join("\n")], ..job };
    let ran = block_on(world.run(&job));
    ran.succeeded();
    for name in ["127.0.0.1__job__web", "127.0.0.1-job-web", "web", "www.example.test"] {
        ran.says(&format!("{name} answers"));
    }
}

#[test]
fn two_equal_services_both_run_and_the_second_is_told_to_lack_the_names() {
    let Some(world) = World::new("twice") else { return };
    let job = world
        .job()
        .service(service(world.image("job/web"), &["one"]))
        .service(service(world.image("job/web"), &["two", "one", "build", "no good!"]))
        .script("wget -q -O - http://one/ && wget -q -O - http://two/ && echo both answer");
    let ran = block_on(world.run_and_look(&job, || {
        for role in ["service-0", "service-1"] {
            assert_eq!(inspect(&world.container(&job, role))["State"]["Running"], true, "{role}");
        }
    }));
    ran.succeeded().says("both answer").says("the host name 127.0.0.1__job__web is taken already");
    ran.says("the host name one is taken already").says("the host name build is taken already");
    ran.says("\"good!\" is no host name");
}

#[test]
fn a_service_gets_public_variables_and_its_own_and_no_secrets() {
    let Some(world) = World::new("variables") else { return };
    let print = "env | sort >/builds/env; exec httpd -f -p 80";
    let mut web = shell(world.image("job/web"), &[], print);
    web.variables = vec![
        Variable::plain("OWN", "from $OPEN and $CI_JOB_ID"),
        Variable::plain("RAW", "$OPEN").as_raw(),
        Variable::plain("OPEN_TOO", "mine"),
    ];
    let job = world
        .job()
        .variable("OPEN", "seen")
        .variable("OPEN_TOO", "job's")
        .with_variable(Variable::plain("HIDDEN", "s3cr3t").as_masked())
        .with_variable(Variable::plain("FILE", "f1le").as_file())
        .service(web)
        .script("cat /builds/env");
    let ran = block_on(world.run(&job));
    ran.succeeded().says("OPEN=seen\n").says("RAW=$OPEN\n").says("OPEN_TOO=mine\n");
    ran.says(&format!("OWN=from seen and {}\n", job.id));
    for hidden in ["HIDDEN", "s3cr3t", "f1le", job.token.expose(), "CI_JOB_TOKEN"] {
        ran.is_silent_about(hidden);
    }
}

#[test]
fn entrypoint_command_and_user_of_a_service_are_the_jobs() {
    let Some(world) = World::new("service command") else { return };
    let mut one = shell(world.image("job/web"), &["one"], "exec httpd -f -p 80 -h /srv/www");
    one.image.entrypoint = Some(vec!["env".into(), "MARK=entry".into()]);
    let mut two =
        shell(world.image("job/web"), &["two"], "id -u >/tmp/index.html; exec httpd -f -p 8080 -h /tmp");
    two.image.user = "dev".into();
    two.variables.push(Variable::plain("HEALTHCHECK_TCP_PORT", "8080"));
    let job = world
        .job()
        .service(one)
        .service(two)
        .script("wget -q -O - http://one/; echo \"uid of two: $(wget -q -O - http://two:8080/)\"");
    let ran = block_on(world.run_and_look(&job, || {
        let config = inspect(&world.container(&job, "service-0"))["Config"].clone();
        assert_eq!(config["Entrypoint"], serde_json::json!(["env", "MARK=entry"]));
        assert_eq!(config["Cmd"][2], "exec httpd -f -p 80 -h /srv/www");
    }));
    ran.succeeded().says("uid of two: 1000").is_silent_about("probably did not start");
}

#[test]
fn the_job_starts_when_the_exposed_port_or_the_healthcheck_says_so() {
    let Some(world) = World::new("readiness") else { return };
    for image in ["job/web", "job/web-healthy"] {
        let mut web = service(world.image(image), &["web"]);
        web.variables.push(Variable::plain("WEB_DELAY", "2"));
        let job = world.job().service(web).script("wget -q -O - http://web/ && echo it answers at once");
        let ran = block_on(world.run_and_look(&job, || {
            let label = format!("name=hearth-{}-job-{}-", world.token, job.id);
            let names = docker(&["ps", "-a", "--filter", &label, "--format", "{{.Names}}"]);
            assert_eq!(names.lines().count(), 3, "helper, build and service, and no other: {names}");
        }));
        ran.succeeded().says("it answers at once").says("Waiting for services");
        ran.is_silent_about("probably did not start");
        assert!(
            ran.report.call("prepare").is_some_and(|call| call.took >= Duration::from_secs(2)),
            "{image}"
        );
    }
}

#[test]
fn services_that_do_not_get_ready_are_shown_and_the_job_goes_on() {
    let Some(world) = World::new("not ready") else { return };
    world.settings("wait_for_services_timeout = 2");
    let mut slow = service(world.image("job/web"), &["slow"]);
    slow.variables.push(Variable::plain("WEB_DELAY", "60"));
    slow.command = Some(["sh", "-c", "echo 'slow: warming up'; exec /serve.sh"].map(str::to_owned).to_vec());
    let job = world
        .job()
        .service(service(world.image("job/web-unhealthy"), &["ill"]))
        .service(service(world.image("job/service-dies"), &["dead"]))
        .service(slow)
        .script("echo the job goes on");
    let ran = block_on(world.run(&job));
    ran.succeeded().says("the job goes on");
    ran.says("job__web-unhealthy probably did not start properly: its HEALTHCHECK fails");
    ran.says("job__service-dies probably did not start properly: it ended with exit code 1");
    ran.says("service: starting").says("service: no disk");
    ran.says("job__web probably did not start properly: it was not ready within 2 s")
        .says("slow: warming up");
    let took = ran.report.call("prepare").expect("prepare").took;
    assert!(took < Duration::from_secs(12), "{took:?}");
}

#[test]
fn services_are_not_waited_for_where_settings_say_so() {
    let Some(world) = World::new("no wait") else { return };
    world.settings("wait_for_services_timeout = -1");
    let mut web = service(world.image("job/web"), &["web"]);
    web.variables.push(Variable::plain("WEB_DELAY", "30"));
    let ran = block_on(world.run(&world.job().service(web).script("echo at once")));
    ran.succeeded().says("at once").is_silent_about("Waiting for services");
    let took = ran.report.call("prepare").expect("prepare").took;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn every_line_of_a_chatty_service_is_in_the_job_log_once() {
    let Some(world) = World::new("service logs") else { return };
    // Bursts on both outputs, over several stages.
    let talk = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo \"line $i.\"; echo \"err $i.\" >&2; \
                [ $((i % 500)) = 0 ] && sleep 0.3; done; touch /builds/said; exec sleep 600";
    let job = world
        .job()
        .variable("CI_DEBUG_SERVICES", "true")
        .service(shell(world.image("job/busybox"), &["chatty"], talk))
        .script("while [ ! -e /builds/said ]; do sleep 0.1; done; echo script is over")
        .after_script("echo after it");
    let ran = block_on(world.run(&job));
    ran.succeeded().says("[service:chatty]").says("script is over");
    for kind in ["line", "err"] {
        let mut seen: Vec<u32> = ran
            .log
            .lines()
            .filter(|line| line.contains("[service:chatty]"))
            .filter_map(|line| line.split(&format!(" {kind} ")).nth(1)?.split('.').next()?.parse().ok())
            .collect();
        let count = seen.len();
        seen.sort_unstable();
        let doubles = seen.windows(2).filter(|two| two[0] == two[1]).count();
        let missing: Vec<u32> = (1..=3000).filter(|number| seen.binary_search(number).is_err()).collect();
        assert!(count == 3000, "{kind}: {count} lines, {doubles} doubles, missing {missing:?}");
    }
}

#[test]
fn services_share_builds_find_the_job_and_leave_no_volume() {
    let Some(world) = World::new("shared") else { return };
    let volume = docker(&["volume", "ls", "-q", "--filter", "dangling=true"]);
    let script = "touch /data/mine; echo shared >/builds/of-service; while ! wget -q -O /builds/found http://build:8080/hello; do sleep 0.1; done; exec sleep 600";
    let job = world
        .job()
        .service(shell(world.image("job/volume"), &["keeper"], script))
        .script("mkdir /tmp/www; echo from the job >/tmp/www/hello; httpd -p 8080 -h /tmp/www")
        .script("while [ ! -s /builds/found ]; do sleep 0.1; done; cat /builds/found /builds/of-service");
    let mut anonymous = String::new();
    let ran = block_on(world.run_and_look(&job, || {
        let mounts = inspect(&world.container(&job, "service-0"))["Mounts"].clone();
        let own = mounts.as_array().into_iter().flatten().find(|mount| mount["Destination"] == "/data");
        anonymous = own.and_then(|mount| mount["Name"].as_str()).unwrap_or_default().to_owned();
    }));
    ran.succeeded().says("from the job").says("shared");
    assert!(anonymous.len() == 64 && !volume.contains(&anonymous), "{anonymous}");
    assert!(!docker(&["volume", "ls", "-q"]).contains(&anonymous), "{anonymous} stayed");
}

#[test]
fn services_of_the_settings_come_with_every_job_and_count() {
    let Some(world) = World::new("configured") else { return };
    let configured = format!(
        "allowed_services = [\"127.0.0.1:*/job/busybox:1\"]\nservices_limit = 2\n\
         [[job.services]]\nname = \"{}\"\nalias = \"mirror other\"\nenvironment = [\"OWNER=$CI_PROJECT_ID\"]\n\
         command = [\"sh\", \"-c\", \"echo owner $OWNER >/srv/www/index.html; exec /serve.sh\"]\n",
        world.image("job/web")
    );
    world.settings(&configured);
    let busybox = || shell(world.image("job/busybox"), &[], "exec sleep 600");
    let job =
        world.job().service(busybox()).script("wget -q -O - http://mirror/; wget -q -O - http://other/");
    block_on(world.run(&job)).succeeded().says("owner 1");
    let job = world.job().service(busybox()).service(busybox()).script("true");
    jobs_fault(&block_on(world.run(&job))).says("the job has 3 services, this host allows 2");
    let job = world.job().service(Service { image: Image::named(world.image("job/user")), ..busybox() });
    jobs_fault(&block_on(world.run(&job.script("true")))).says("allowed_services");
}
