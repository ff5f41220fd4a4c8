//! Jobs that build images on the host's own store: the pipeline of docs/image-builds.md.

use std::path::PathBuf;

use hearth::runner::{FailureClass, JobDescription, JobOutcome};
use serde_json::Value;

use crate::front::Front;
use crate::image_policies::busybox;
use crate::pusher::{Entry, Layer, Registry};
use crate::tools::docker_quiet;
use crate::world::{World, block_on, docker, skip};

const GUIDE: &str = include_str!("../../docs/image-builds.md");
const CLI: &str = "test/docker-cli";

/// Returns the script of a job of the guide's pipeline, as it stands there.
fn script_of(job: &str) -> Vec<String> {
    let yaml = GUIDE.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a pipeline");
    let start = format!("\n{job}:\n");
    let of_job = yaml.split(&start).nth(1).expect("the job").split("\n\n").next().unwrap_or_default();
    let script = of_job.split("  script:\n").nth(1).expect("its script");
    script.lines().map_while(|line| line.strip_prefix("    - ")).map(str::to_owned).collect()
}

/// Makes a job image of a shell and this machine's docker command line. `None` (said loudly): it has none that would
/// run there.
fn command_line(world: &World, test: &str) -> Option<String> {
    let path = std::env::var_os("PATH")?;
    let program: PathBuf =
        std::env::split_paths(&path).map(|dir| dir.join("docker")).find(|file| file.exists())?;
    let binary = std::fs::read(program).expect("the docker command line");
    let interpreter = binary[..binary.len().min(4096)].windows(7).any(|bytes| bytes == b"/ld-lin");
    if interpreter || !binary.starts_with(b"\x7fELF") {
        skip(test, "the docker command line is not static: the job image lacks its libraries");
        return None;
    }
    let mut image = busybox();
    let layer = Layer::from_entries(&[Entry::file("usr/local/bin/docker", 0o755, binary)]).expect("a layer");
    image.layers.push(layer);
    Registry::new(&world.parts.registry).push(CLI, "1", &[image]).expect("pushed");
    Some(world.image(CLI))
}

fn settings(world: &World, projects: &str) {
    world.settings(&format!(
        "[runner.\"images\"]\nnetwork_mode = \"host\"\nvolumes_allowed_projects = [\"{projects}\"]\n\
         volumes = [\"/cache\", \"/var/run/docker.sock:/var/run/docker.sock\"]\n"
    ));
}

/// The manifest of a tag, as registries give it to engines.
fn manifest(world: &World, repository: &str, tag: &str) -> Value {
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    let url = format!("http://{}/v2/{repository}/manifests/{tag}", world.parts.registry);
    let agent = ureq::Agent::config_builder().proxy(None).build().new_agent();
    let mut answer = agent.get(&url).header("accept", list).call().expect("the manifest");
    serde_json::from_str(&answer.body_mut().read_to_string().expect("its text")).expect("JSON")
}

#[test]
fn one_job_for_each_architecture_and_one_that_joins_them() {
    const TEST: &str = "socket builds";
    let Some(mut world) = World::new(TEST) else { return };
    let Some(cli) = command_line(&world, TEST) else { return };
    if !cfg!(target_arch = "x86_64") {
        return skip(TEST, "the catalogue's foreign image is not for this machine");
    }
    settings(&world, "try/**");
    world.options = vec!["--runner".into(), "images".into()];
    let repository = format!("test/{}/app", world.token);
    let app = format!("{}/{repository}", world.parts.registry);
    let pipeline = world.token.clone();
    // What FROM names is on this host; its registry counts who asks for it nevertheless.
    let front = Front::new(&world.parts.registry);
    let base = |arch: &str| format!("{}/base-{arch}:1", front.address);
    let build = |arch: &str, run: &str| -> JobDescription {
        let mut job = world
            .job()
            .image(&cli)
            .variable("APP", &app)
            .variable("ARCH", arch)
            .variable("CI_PIPELINE_ID", &pipeline)
            .variable("DOCKER_BUILDKIT", "0")
            .script("mkdir -p app && cd app")
            .script(format!("printf 'FROM %s\\nRUN {run}\\n' {} >Dockerfile", base(arch)));
        job.script.extend(script_of(".build"));
        job
    };
    assert!(docker_quiet(&["pull", "-q", &world.image("job/busybox")]), "pulled");
    docker(&["tag", &world.image("job/busybox"), &base("amd64")]);
    let ran = block_on(world.run(&build("amd64", "echo made for $(uname -m)")));
    ran.succeeded().says("made for x86_64").says("Successfully built");
    assert_eq!(front.lines(), [""; 0], "a base image that is here is not asked for");

    let mut arches = vec!["amd64"];
    if std::path::Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists() {
        arches.push("arm64");
        docker(&["pull", "-q", "--platform", "linux/arm64", &world.image("job/foreign-only")]);
        docker(&["tag", &world.image("job/foreign-only"), &base("arm64")]);
        let ran = block_on(world.run(&build("arm64", "echo breaks for $(uname -m); false")));
        ran.says("breaks for aarch64").is_silent_about("Successfully built");
        match &ran.report.outcome {
            JobOutcome::Failed(failure) => assert_eq!(failure.class, FailureClass::Script, "{}", ran.log),
            other => panic!("{other:?}\n{}", ran.log),
        }
        let ran = block_on(world.run(&build("arm64", "echo made for $(uname -m)")));
        ran.succeeded().says("made for aarch64");
        assert_eq!(front.lines(), [""; 0], "a base image that is here is not asked for");
    } else {
        skip(TEST, "no qemu-aarch64 in binfmt_misc: only one architecture is built and joined");
    }

    let mut join = world.job().image(&cli).variable("APP", &app).variable("CI_PIPELINE_ID", &pipeline);
    for line in script_of("join") {
        let mut line = line.replace("create ", "create --insecure ").replace("push ", "push --insecure ");
        if arches.len() == 1 {
            line = line.replace(" \"$APP:$CI_PIPELINE_ID-arm64\"", "");
        }
        join = join.script(line);
    }
    block_on(world.run(&join)).succeeded();
    let index = manifest(&world, &repository, "latest");
    let platforms: Vec<&str> = index["manifests"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["platform"]["architecture"].as_str())
        .collect();
    assert_eq!(platforms, arches, "{index}");
    for arch in ["amd64", "arm64"] {
        docker_quiet(&["rmi", "-f", &base(arch), &format!("{app}:{pipeline}-{arch}")]);
    }
}

#[test]
fn the_engines_socket_is_for_the_projects_named_and_its_price_is_told() {
    const TEST: &str = "socket projects";
    let Some(mut world) = World::new(TEST) else { return };
    let Some(cli) = command_line(&world, TEST) else { return };
    settings(&world, "infrastructure/**");
    world.options = vec!["--runner".into(), "images".into()];
    let job = world
        .job()
        .image(&cli)
        .script("docker version -f '{{.Server.Version}}' || echo no engine for this job");
    let ran = block_on(world.run(&job));
    ran.succeeded().says("no engine for this job").says("volumes_allowed_projects leaves this project out");
    let mut trusted = job.clone();
    trusted.id = crate::world::unique();
    trusted.project_path = "infrastructure/images".into();
    block_on(world.run(&trusted)).succeeded().is_silent_about("\nno engine for this job");
    let check = world.call(&["check", "--runner", "images"], &[]);
    assert!(format!("{}{}", check.stdout, check.stderr).contains("root on this host"), "{}", check.stdout);
}
