//! Whole jobs on further engines: Podman, through its Docker API, and Docker with containerd's image store.

use std::process::Command;

use hearth::runner::{Events, GitStrategy, JobDescription, Service, Transcript, Variable};

use crate::front::Front;
use crate::image_policies::busybox;
use crate::pusher::{ImageSpec, Layer};
use crate::site::Site;
use crate::tools::{jobs_fault, systems_fault};
use crate::world::{Ran, World, block_on, skip, unique};

/// A world on a further engine; its objects go when it is dropped.
pub(crate) struct Further {
    /// The world. Its settings name the engine.
    pub(crate) world: World,
    /// The engine, as `unix:///…`.
    pub(crate) host: String,
    /// Its name and version begin so.
    pub(crate) name: &'static str,
}

impl Further {
    /// Makes one on Podman; `None`, after saying so, where there is none.
    pub(crate) fn podman(test: &str) -> Option<Self> {
        Self::new(test, "HEARTH_TEST_PODMAN", "Podman")
    }

    /// Makes one on Docker with containerd's store; `None`, after saying so, where there is none.
    pub(crate) fn containerd(test: &str) -> Option<Self> {
        Self::new(test, "HEARTH_TEST_CONTAINERD", "Docker")
    }

    fn new(test: &str, variable: &str, name: &'static str) -> Option<Self> {
        let world = World::new(test)?;
        let Ok(host) = std::env::var(variable) else {
            skip(test, &format!("{variable} names no engine"));
            return None;
        };
        let on = Self { world, host, name };
        on.settings("");
        Some(on)
    }

    /// Writes the settings: the usual ones, then `more`; keys first go to `[job]`.
    pub(crate) fn settings(&self, more: &str) {
        self.world.settings(&format!("{more}\n[engine]\nhost = \"{}\"", self.host));
    }

    /// Runs the docker command line on this engine, and returns what it prints.
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let output = Command::new("docker").args(["-H", &self.host]).args(args).output().expect("docker");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Lists what exists with this runner's name in it.
    fn own(&self, list: &[&str]) -> Vec<String> {
        let name = format!("hearth-{}-", self.world.token);
        self.docker(list).lines().filter(|line| line.contains(&name)).map(str::to_owned).collect()
    }

    /// Asserts that nothing of the job is left but what is kept.
    fn nothing_left(&self, ran: &Ran) {
        let left = [
            self.own(&["ps", "-a", "--format", "{{.Names}}"]),
            self.own(&["network", "ls", "--format", "{{.Name}}"]),
        ];
        assert_eq!(left.concat(), [""; 0], "{}", ran.log);
    }
}

impl Drop for Further {
    fn drop(&mut self) {
        for container in self.own(&["ps", "-a", "--format", "{{.Names}}"]) {
            self.docker(&["rm", "-f", "-v", &container]);
        }
        for network in self.own(&["network", "ls", "--format", "{{.Name}}"]) {
            self.docker(&["network", "rm", &network]);
        }
        for volume in self.own(&["volume", "ls", "--format", "{{.Name}}"]) {
            self.docker(&["volume", "rm", "-f", &volume]);
        }
        // Images of this test alone. Podman cannot list them while another one goes.
        let quiet = |args: &[&str]| Command::new("docker").args(["-H", &self.host]).args(args).output();
        let format = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}";
        let images = quiet(&["images", "--format", format]).map(|output| output.stdout).unwrap_or_default();
        let own = format!("/test/{}/", self.world.token);
        for line in String::from_utf8_lossy(&images).lines().filter(|line| line.contains(&own)) {
            line.split(' ').for_each(|name| drop(quiet(&["rmi", "-f", name])));
        }
    }
}

/// Makes a test of each job on each engine.
macro_rules! jobs {
    ($($job:ident),+ $(,)?) => {
        mod podman {
            $(#[test]
            fn $job() {
                if let Some(on) = super::Further::podman(concat!("podman: ", stringify!($job))) {
                    super::$job(&on);
                }
            })+
        }

        mod containerd {
            $(#[test]
            fn $job() {
                if let Some(on) = super::Further::containerd(concat!("containerd: ", stringify!($job))) {
                    super::$job(&on);
                }
            })+
        }
    };
}

jobs! {
    a_job_with_everything_runs,
    whose_fault_it_is_is_known,
    a_warm_image_costs_one_question_or_none,
    what_was_given_a_name_by_hand_is_not_what_the_name_means,
    a_foreign_platform_beside_the_own,
}

fn a_job_with_everything_runs(on: &Further) {
    let world = &on.world;
    block_on(async {
        let (first, second) = (world.job(), world.job());
        let site = Site::start(world, &[&first, &second]).await;
        let mut web = Service::named(world.image("job/web"));
        web.aliases.push("web".into());
        let job = site
            .attach(first, GitStrategy::Clone)
            .image(world.image("job/entry-exports"))
            .service(web)
            .with_variable(Variable::plain("CONF", "a file variable").as_file())
            .cache("vendor-$CI_COMMIT_REF_SLUG", &["vendor/"])
            .artifacts(&["out/*.txt"])
            .script("cat README; cat \"$CONF\"; echo; wget -q -O - http://web/ >web.html; echo web \"answers\"")
            .script("echo from entry: $FROM_ENTRY; mkdir vendor out; echo cached >vendor/lib; echo 1 >out/made.txt")
            .after_script("echo after: $(cat out/made.txt)");
        let ran = world.run(&job).await;
        ran.succeeded()
            .says(&format!(" on {} ", on.name))
            .says("\nthe sources\n")
            .says("a file variable")
            .says("web answers");
        ran.says("from entry: yes").says("after: 1");
        assert!(site.server.artifacts(job.id).is_some(), "artifacts were uploaded");
        on.nothing_left(&ran);

        let next = site
            .attach(second, GitStrategy::Fetch)
            .cache("vendor-$CI_COMMIT_REF_SLUG", &["vendor/"])
            .script("cat vendor/lib; exit 9");
        let ran = world.run(&next).await;
        jobs_fault(&ran).says("\ncached\n").says("exit status 9");
        on.nothing_left(&ran);
    });
}

/// Kills a container once a script says that it runs.
struct KillOnce<'a> {
    on: &'a Further,
    container: Option<String>,
    transcript: Transcript,
}

impl Events for KillOnce<'_> {
    fn log(&mut self, bytes: &[u8]) {
        self.transcript.log(bytes);
        if self.transcript.text().contains("script-runs")
            && let Some(container) = self.container.take()
        {
            self.on.docker(&["kill", &container]);
        }
    }

    fn runner_log(&mut self, bytes: &[u8]) {
        self.transcript.runner_log(bytes);
    }
}

fn whose_fault_it_is_is_known(on: &Further) {
    let world = &on.world;
    on.settings("[pull]\nattempts = 1");
    let run = |image: String| block_on(world.run(&world.job().image(image).script("true")));
    let missing = run(world.image("job/never-pushed"));
    jobs_fault(&missing).says("was not found");
    let foreign = run(world.image("job/foreign-only"));
    jobs_fault(&foreign).says("has no variant for linux/");
    let nowhere = run("127.0.0.1:9/job/busybox:1".to_owned());
    systems_fault(&nowhere).says("could not be looked up");

    let job = world.job().script("echo script-\"runs\"; sleep 300");
    let container = Some(world.container(&job, "build"));
    let mut events = KillOnce { on, container, transcript: Transcript::default() };
    let report = block_on(world.runner().run(&job, &mut events));
    let Transcript { log, .. } = events.transcript;
    let killed = Ran { report, log: String::from_utf8_lossy(&log).into_owned(), bytes: log };
    jobs_fault(&killed).says("the main process of the build container was killed: exit code 137");
    on.nothing_left(&killed);
}

fn policy(mut job: JobDescription, policy: &str) -> JobDescription {
    job.image.pull_policy = vec![policy.to_owned()];
    job
}

/// An image that says who it is.
fn marked(mark: &str) -> ImageSpec {
    let mut image = busybox();
    image.layers.push(Layer::random(1 << 10, unique()).expect("a layer"));
    image.config.env.push(format!("MARK={mark}"));
    image
}

fn a_warm_image_costs_one_question_or_none(on: &Further) {
    let world = &on.world;
    let front = Front::new(&world.parts.registry);
    let own = world.push("warm", &[marked("warm")]);
    let name = own.name.replace(&world.parts.registry, &front.address);
    let job = |by: &str| policy(world.job().image(&name).script("echo mark=$MARK"), by);
    let asked = || {
        let counts = ["HEAD", "GET"].map(|method| front.count(method, "/v2/test/"));
        front.forget();
        counts
    };
    block_on(world.run(&job("always"))).succeeded().says("mark=warm").says("pull policy always: pulled");
    assert!(asked()[1] >= 2, "a manifest and blobs came");
    for _ in 0..2 {
        let ran = block_on(world.run(&job("always")));
        ran.succeeded().says("mark=warm").says("pull policy always: up to date").is_silent_about("Pulling");
        assert_eq!(asked(), [1, 0]);
    }
    for by in ["if-not-present", "never"] {
        block_on(world.run(&job(by))).succeeded().says("mark=warm").says("here, public");
        assert_eq!(asked(), [0, 0], "{by}");
    }
}

/// These engines list what was tagged by hand with a digest of the repository that it was tagged for.
fn what_was_given_a_name_by_hand_is_not_what_the_name_means(on: &Further) {
    let world = &on.world;
    let (real, other) = (world.push("real", &[marked("real")]), world.push("other", &[marked("other")]));
    let job = |by: &str| policy(world.job().image(&real.name).script("echo mark=$MARK"), by);
    on.docker(&["pull", "-q", &other.name]);
    let forge = || {
        on.docker(&["tag", &other.name, &real.name]);
        let listed = on.docker(&["image", "inspect", "-f", "{{.RepoDigests}}", &real.name]);
        assert!(listed.contains(&format!("{}@", real.name.trim_end_matches(":1"))), "{listed}");
    };
    forge();
    let ran = block_on(world.run(&job("never")));
    jobs_fault(&ran).says("nothing shows that this project may read").is_silent_about("mark=");
    for by in ["if-not-present", "always"] {
        forge();
        let ran = block_on(world.run(&job(by)));
        ran.succeeded().says("mark=real");
    }
    on.nothing_left(&block_on(world.run(&job("always"))));
}

fn a_foreign_platform_beside_the_own(on: &Further) {
    let qemu = std::path::Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists();
    if !cfg!(target_arch = "x86_64") || !qemu {
        return skip("a foreign platform", "no emulation of arm64 on x86_64");
    }
    on.settings("allow_emulation = true");
    let world = &on.world;
    for (platform, machine) in
        [("", "x86_64"), ("linux/arm64", "aarch64"), ("", "x86_64"), ("linux/arm64", "aarch64")]
    {
        for by in ["always", "if-not-present"] {
            let mut job = policy(world.job().image(world.image("job/multi")).script("uname -m"), by);
            job.image.platform = platform.to_owned();
            block_on(world.run(&job)).succeeded().says(&format!("\n{machine}\n"));
        }
    }
}
