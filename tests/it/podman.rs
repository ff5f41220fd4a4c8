//! Whole jobs on Podman, through its Docker API.

use std::process::Command;

use hearth::runner::{Events, GitStrategy, Service, Transcript, Variable};

use crate::site::Site;
use crate::tools::{jobs_fault, systems_fault};
use crate::world::{Ran, World, block_on, skip};

/// A world on Podman; its objects go when it is dropped.
pub(crate) struct OnPodman {
    pub(crate) world: World,
    pub(crate) host: String,
}

impl OnPodman {
    /// Makes one; `None`, after saying so, where there is no Podman.
    pub(crate) fn new(test: &str) -> Option<Self> {
        let world = World::new(test)?;
        let Ok(host) = std::env::var("HEARTH_TEST_PODMAN") else {
            skip(test, "HEARTH_TEST_PODMAN names no Podman");
            return None;
        };
        world.settings(&format!("[engine]\nhost = \"{host}\""));
        Some(Self { world, host })
    }

    pub(crate) fn podman(&self, args: &[&str]) -> String {
        let output = Command::new("docker").args(["-H", &self.host]).args(args).output().expect("docker");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Lists what exists with this runner's name in it.
    fn own(&self, list: &[&str]) -> Vec<String> {
        let name = format!("hearth-{}-", self.world.token);
        self.podman(list).lines().filter(|line| line.contains(&name)).map(str::to_owned).collect()
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

impl Drop for OnPodman {
    fn drop(&mut self) {
        for container in self.own(&["ps", "-a", "--format", "{{.Names}}"]) {
            self.podman(&["rm", "-f", "-v", &container]);
        }
        for network in self.own(&["network", "ls", "--format", "{{.Name}}"]) {
            self.podman(&["network", "rm", &network]);
        }
        for volume in self.own(&["volume", "ls", "--format", "{{.Name}}"]) {
            self.podman(&["volume", "rm", "-f", &volume]);
        }
    }
}

#[test]
fn a_job_with_everything_runs_on_podman() {
    let Some(on) = OnPodman::new("podman: everything") else { return };
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
            .script("cat README; cat \"$CONF\"; echo; wget -q -O - http://web/ >web.html && echo web answers")
            .script("echo from entry: $FROM_ENTRY; mkdir vendor out; echo cached >vendor/lib; echo 1 >out/made.txt")
            .after_script("echo after: $(cat out/made.txt)");
        let ran = world.run(&job).await;
        ran.succeeded()
            .says("on Podman ")
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
    on: &'a OnPodman,
    container: Option<String>,
    transcript: Transcript,
}

impl Events for KillOnce<'_> {
    fn log(&mut self, bytes: &[u8]) {
        self.transcript.log(bytes);
        if self.transcript.text().contains("script-runs")
            && let Some(container) = self.container.take()
        {
            self.on.podman(&["kill", &container]);
        }
    }

    fn runner_log(&mut self, bytes: &[u8]) {
        self.transcript.runner_log(bytes);
    }
}

#[test]
fn whose_fault_it_is_is_known_on_podman_too() {
    let Some(on) = OnPodman::new("podman: faults") else { return };
    let world = &on.world;
    let run = |image: String| block_on(world.run(&world.job().image(image).script("true")));
    let missing = run(world.image("job/never-pushed"));
    jobs_fault(&missing).says("was not found");
    let foreign = run(world.image("job/foreign-only"));
    jobs_fault(&foreign).says("has no variant for linux/");
    let nowhere = run("127.0.0.1:9/job/busybox:1".to_owned());
    systems_fault(&nowhere).says("could not be pulled");

    let job = world.job().script("echo script-\"runs\"; sleep 300");
    let container = Some(world.container(&job, "build"));
    let mut events = KillOnce { on: &on, container, transcript: Transcript::default() };
    let report = block_on(world.runner().run(&job, &mut events));
    let Transcript { log, .. } = events.transcript;
    let killed = Ran { report, log: String::from_utf8_lossy(&log).into_owned(), bytes: log };
    jobs_fault(&killed).says("the main process of the build container was killed: exit code 137");
    on.nothing_left(&killed);
}
