use std::time::Duration;

use crate::runner::job::JobDescription;
use crate::runner::parts::{Service, Variable};
use crate::runner::process::{Exit, Stop};
use crate::runner::report::{FailureClass, JobFailure, JobOutcome, JobReport};
use crate::runner::stand_in::{StandIn, Transcript};
use crate::runner::test_host::Host;
use crate::runner::trouble::{Cancel, Mishap, Moment, Trouble};
use crate::runner::version::RunnerVersion;

impl Host {
    async fn run(&self, job: &JobDescription) -> (JobReport, String) {
        self.run_with(&self.stand_in(), job).await
    }

    async fn run_with(&self, stand_in: &StandIn, job: &JobDescription) -> (JobReport, String) {
        let mut log = Transcript::default();
        let report = stand_in.run(job, &mut log).await;
        (report, log.text())
    }
}

fn job() -> JobDescription {
    let mut job = JobDescription::new(11);
    job.timeouts.prepare_retry = Duration::from_millis(20);
    job.timeouts.stage_retry = Duration::from_millis(20);
    job
}

fn failed(class: FailureClass, exit_code: Option<i32>, message: &str) -> JobOutcome {
    JobOutcome::Failed(JobFailure { class, exit_code, message: message.to_owned() })
}

const SCRIPT_ONLY: [&str; 7] = [
    "config",
    "prepare",
    "prepare_script",
    "get_sources",
    "build_script",
    "cleanup_file_variables",
    "cleanup",
];

#[tokio::test]
async fn a_script_only_job_goes_through_its_stages_and_leaves_nothing() {
    let host = Host::new();
    let (report, log) = host.run(&job().script("echo \"<$CI_JOB_ID>\"; pwd")).await;
    assert_eq!(report.names(), SCRIPT_ONLY);
    assert!(report.succeeded() && report.attempts == 1, "{report:?}\n{log}");
    for part in [
        "Preparing the \"custom\" executor",
        "Using Custom executor with driver fake 1...\n",
        "Running on ",
        "Skipping Git repository setup",
        "<11>\n",
        "/builds/try/project\n",
        "Job succeeded",
    ] {
        assert!(log.contains(part), "{part} in {log}");
    }
    assert!(host.calls().starts_with("config running \nprepare running yes\n"), "{}", host.calls());
    assert!(host.calls().ends_with("cleanup success yes\n"), "{}", host.calls());
    assert_eq!(host.left_over(), 0);
}

#[tokio::test]
async fn cleanup_speaks_to_the_runners_log_only() {
    let host = Host::new();
    let mut log = Transcript::default();
    host.stand_in().run(&job().script("true"), &mut log).await;
    assert!(!log.text().contains("cleaned up"));
    assert_eq!(log.runner_log, b"cleaned up\n");
}

#[tokio::test]
async fn a_job_with_everything_runs_every_stage_and_keeps_cache_and_artifacts() {
    let host = Host::new();
    let mut job = job()
        .image("tools:1")
        .service(Service::named("db:1"))
        .cache("deps", &["cachedir"])
        .artifacts(&["out.txt"])
        .script("mkdir -p cachedir; cat cachedir/log || true; echo run >> cachedir/log; echo built > out.txt")
        .after_script("echo after $CI_JOB_STATUS");
    let (report, log) = host.run(&job).await;
    let expected = [
        "config",
        "prepare",
        "prepare_script",
        "get_sources",
        "restore_cache",
        "build_script",
        "after_script",
        "archive_cache",
        "upload_artifacts_on_success",
        "cleanup_file_variables",
        "cleanup",
    ];
    assert_eq!(report.names(), expected);
    assert!(report.succeeded(), "{log}");
    assert!(log.contains("after success\n") && log.contains("Created cache"), "{log}");
    std::fs::remove_dir_all(host.path().join("builds")).unwrap();
    job.dependencies.push(crate::runner::parts::Dependency {
        id: 10,
        name: "earlier".into(),
        token: crate::secret::Secret::new("t"),
        filename: "artifacts.zip".into(),
        size: 1,
    });
    job.script.push("cat out.txt".into());
    let (report, log) = host.run(&job).await;
    assert!(report.succeeded(), "{log}");
    assert!(report.names().contains(&"download_artifacts"));
    assert!(log.contains("\nrun\n") && log.contains("\nbuilt\n"), "cache and artifacts came back: {log}");
}

#[tokio::test]
async fn a_failing_script_fails_the_job_with_its_code_and_later_stages_run_as_failed() {
    let host = Host::new();
    let mut job = job().script("exit 42").after_script("echo after $CI_JOB_STATUS").artifacts(&["x"]);
    job.artifacts[0].when = crate::runner::parts::When::Always;
    let (report, log) = host.run(&job).await;
    assert_eq!(report.outcome, failed(FailureClass::Script, Some(42), "exit status 42"));
    assert!(report.names().contains(&"upload_artifacts_on_failure"));
    assert!(log.contains("after failed\n") && log.contains("ERROR: Job failed: exit status 42"), "{log}");
    assert!(host.calls().ends_with("cleanup failed yes\n"));
    let (report, _) = host.run(&job.version(RunnerVersion::new(16, 11, 0))).await;
    assert_eq!(report.outcome, failed(FailureClass::Script, Some(1), "exit status 1"), "no code before 17.9");
}

#[tokio::test]
async fn steps_after_the_script_run_in_order_until_one_fails() {
    let host = Host::new();
    let mut job = job().script("true");
    job.more_steps = vec![("a".into(), vec!["exit 3".into()]), ("b".into(), vec!["true".into()])];
    let (report, _) = host.run(&job).await;
    assert_eq!(report.outcome, failed(FailureClass::Script, Some(3), "exit status 3"));
    assert!(report.names().contains(&"step_a") && !report.names().contains(&"step_b"));
}

#[tokio::test]
async fn exits_of_a_stage_are_told_apart() {
    for (hook, outcome) in [
        ("exit 2", failed(FailureClass::System, None, "exit status 2")),
        ("exit 7", failed(FailureClass::System, None, "unknown Custom executor executable exit code 7")),
        ("exit 1", failed(FailureClass::Script, Some(1), "exit status 1")),
        ("echo 42 > $BUILD_EXIT_CODE_FILE; exit 1", failed(FailureClass::Script, Some(42), "exit status 42")),
        ("echo '42 ' > $BUILD_EXIT_CODE_FILE; exit 1", failed(FailureClass::System, None, "exit status 2")),
    ] {
        let host = Host::new().hook("build_script", hook);
        let (report, _) = host.run(&job().script("true").after_script("true")).await;
        assert_eq!(report.outcome, outcome, "{hook}");
        assert!(report.names().contains(&"after_script"));
    }
}

#[tokio::test]
async fn a_system_failure_in_preparation_is_tried_three_times_each_with_its_cleanup() {
    for call in ["config", "prepare"] {
        let host = Host::new().hook(call, "echo broken >&2; exit 2");
        let (report, log) = host.run(&job().script("true")).await;
        assert_eq!(report.outcome, failed(FailureClass::System, None, "exit status 2"));
        assert_eq!(report.attempts, 3);
        assert_eq!(report.names().iter().filter(|it| **it == "cleanup").count(), 3, "{:?}", report.names());
        assert_eq!(log.matches("Will be retried in").count(), 3);
        assert!(
            log.contains("broken\n") && log.contains("Job failed (system failure): exit status 2"),
            "{log}"
        );
        assert_eq!(host.left_over(), 0);
    }
    let host =
        Host::new().hook("prepare", "[ -e $FAKE_ROOT/second ] || { touch $FAKE_ROOT/second; exit 2; }");
    let (report, _) = host.run(&job().script("true")).await;
    assert!(report.succeeded() && report.attempts == 2);
}

#[tokio::test]
async fn the_jobs_fault_in_preparation_is_tried_once() {
    let host = Host::new().hook("prepare", "echo 3 > $BUILD_EXIT_CODE_FILE; exit 1");
    let (report, _) = host.run(&job().script("true")).await;
    assert_eq!(report.outcome, failed(FailureClass::Script, Some(3), "exit status 3"));
    assert_eq!(report.names(), ["config", "prepare", "cleanup"]);
}

#[tokio::test]
async fn config_that_cannot_be_read_is_retried_and_config_without_directories_is_not() {
    let host = Host::new().hook("config", "echo nonsense");
    let (report, log) = host.run(&job().script("true")).await;
    assert_eq!((report.attempts, log.contains("error while parsing JSON output")), (3, true));
    let host = Host::new().hook("config", "exit 0");
    let (report, _) = host.run(&job().script("true")).await;
    assert!(matches!(report.outcome, JobOutcome::Failed(it) if it.class == FailureClass::Configuration));
    assert_eq!(report.attempts, 1);
}

#[tokio::test]
async fn a_driver_that_cannot_start_is_a_system_failure() {
    let host = Host::new();
    let job = job().script("true").with_variable(Variable::plain("BIG", "x".repeat(200_000)));
    let (report, _) = host.run(&job).await;
    assert!(
        matches!(&report.outcome, JobOutcome::Failed(it) if it.message.starts_with("failed to start command"))
    );
    assert_eq!(report.attempts, 3);
}

#[tokio::test]
async fn failing_sources_skip_the_script_but_not_the_end_and_are_tried_as_often_as_asked() {
    let host = Host::new().hook("get_sources", "exit 1");
    let job =
        job().script("true").after_script("true").variable("GET_SOURCES_ATTEMPTS", "3").cache("c", &["p"]);
    let (report, _) = host.run(&job).await;
    assert_eq!(
        report.names()[2..],
        [
            "prepare_script",
            "get_sources",
            "clear_worktree",
            "get_sources",
            "get_sources",
            "cleanup_file_variables",
            "cleanup"
        ]
    );
    assert!(host.calls().ends_with("cleanup running yes\n"), "died before the script");
}

#[tokio::test]
async fn a_failing_prepare_script_goes_straight_to_cleanup() {
    let host = Host::new().hook("prepare_script", "exit 2");
    let (report, _) = host.run(&job().script("true").after_script("true")).await;
    assert_eq!(report.names(), ["config", "prepare", "prepare_script", "cleanup"]);
}

#[tokio::test]
async fn a_failing_upload_fails_the_job_and_a_failing_after_script_does_not() {
    let host = Host::new().hook("upload_artifacts_on_success", "exit 2");
    let (report, _) = host.run(&job().script("true").artifacts(&["x"])).await;
    assert_eq!(report.outcome, failed(FailureClass::System, None, "exit status 2"));
    let host = Host::new();
    let (report, log) = host.run(&job().script("true").after_script("exit 5")).await;
    assert!(report.succeeded() && log.contains("after_script failed"), "{log}");
}

fn cancel_when(text: &str, call: &str, level: Cancel) -> Trouble {
    Trouble::new(call, Moment::Output(text.to_owned()), Mishap::Cancel(level))
}

#[tokio::test]
async fn a_graceful_cancel_in_the_script_still_runs_after_script() {
    let host = Host::new();
    let job =
        job().script("echo begun; sleep 60").after_script("echo after $CI_JOB_STATUS").cache("c", &["p"]);
    let stand_in = host.stand_in().trouble(cancel_when("\nbegun", "build_script", Cancel::Graceful));
    let (report, log) = host.run_with(&stand_in, &job).await;
    assert_eq!(report.outcome, failed(FailureClass::Canceled, None, "canceled"));
    assert_eq!(report.call("build_script").unwrap().stopped, Some(Stop::Canceled));
    assert!(log.contains("after canceled\n"), "{log}");
    assert_eq!(
        report.names()[4..],
        ["restore_cache", "build_script", "after_script", "cleanup_file_variables", "cleanup"]
    );
    assert!(report.took < Duration::from_secs(20));
}

#[tokio::test]
async fn a_hard_cancel_and_any_cancel_of_an_old_runner_only_clean_up() {
    let host = Host::new();
    let job = job().script("echo begun; sleep 60").after_script("true");
    for (version, level) in [("18.6.0", Cancel::Hard), ("15.11.0", Cancel::Graceful)] {
        let job = job.clone().version(version.parse().unwrap());
        let stand_in = host.stand_in().trouble(cancel_when("\nbegun", "build_script", level));
        let (report, _) = host.run_with(&stand_in, &job).await;
        assert_eq!(report.outcome, failed(FailureClass::Canceled, None, "canceled"));
        assert_eq!(report.names()[3..], ["get_sources", "build_script", "cleanup"], "{version}");
    }
}

#[tokio::test]
async fn a_cancel_before_the_script_only_cleans_up_and_one_after_it_is_too_late() {
    for call in ["prepare", "prepare_script", "get_sources"] {
        let host = Host::new().hook(call, "echo begun; sleep 60");
        let stand_in = host.stand_in().trouble(cancel_when("begun", call, Cancel::Graceful));
        let (report, _) = host.run_with(&stand_in, &job().script("true")).await;
        assert_eq!(report.outcome, failed(FailureClass::Canceled, None, "canceled"), "{call}");
        assert_eq!(report.names().last(), Some(&"cleanup"));
        assert_eq!(report.names()[report.names().len() - 2], call);
        assert_eq!(report.attempts, 1);
    }
    let host = Host::new().hook("after_script", "echo begun");
    let stand_in = host.stand_in().trouble(cancel_when("begun", "after_script", Cancel::Graceful));
    let (report, _) = host.run_with(&stand_in, &job().script("true").after_script("true")).await;
    assert!(report.succeeded());
}

#[tokio::test]
async fn a_cancelled_prepare_that_exits_1_looks_like_a_script_failure() {
    let host = Host::new().hook("prepare", "trap 'exit 1' TERM; echo begun; while :; do sleep 0.05; done");
    let stand_in = host.stand_in().trouble(cancel_when("begun", "prepare", Cancel::Graceful));
    let (report, _) = host.run_with(&stand_in, &job().script("true")).await;
    assert_eq!(report.outcome, failed(FailureClass::Script, Some(1), "exit status 1"));
}

#[tokio::test]
async fn a_job_that_runs_out_of_time_is_only_cleaned_up() {
    let host = Host::new();
    let job = job().script("sleep 60").after_script("true").timeout(Duration::from_secs(1));
    let (report, log) = host.run(&job).await;
    assert_eq!(report.outcome, failed(FailureClass::Timeout, None, "execution took longer than 1s seconds"));
    assert_eq!(report.names()[3..], ["get_sources", "build_script", "cleanup"]);
    assert!(log.contains("ERROR: Job failed: execution took longer than 1s seconds"), "{log}");
}

#[tokio::test]
async fn a_script_timeout_of_its_own_still_runs_after_script() {
    let host = Host::new();
    let mut job = job().script("sleep 60").after_script("echo after $CI_JOB_STATUS");
    job.timeouts.script = Some(Duration::from_millis(300));
    let (report, log) = host.run(&job).await;
    assert!(matches!(report.outcome, JobOutcome::Failed(it) if it.class == FailureClass::Timeout));
    assert!(log.contains("after timedout\n"), "{log}");
}

#[tokio::test]
async fn a_killed_driver_is_a_system_failure_and_prepare_is_tried_again() {
    let host = Host::new()
        .hook("prepare", "[ -e $FAKE_ROOT/again ] || { touch $FAKE_ROOT/again; echo begun; sleep 60; }");
    let kill = Trouble::new("prepare", Moment::Output("begun".into()), Mishap::KillGroup);
    let (report, log) = host.run_with(&host.stand_in().trouble(kill), &job().script("true")).await;
    assert!(report.succeeded() && report.attempts == 2, "{log}");
    assert_eq!(report.call("prepare").unwrap().exit, Exit::Signal(9));
    let host = Host::new();
    let kill = Trouble::new("build_script", Moment::Output("\nbegun".into()), Mishap::KillGroup);
    let (report, _) =
        host.run_with(&host.stand_in().trouble(kill), &job().script("echo begun; sleep 60")).await;
    assert!(matches!(report.outcome, JobOutcome::Failed(it) if it.class == FailureClass::System));
}

#[tokio::test]
async fn a_runner_that_dies_leaves_the_attempt_as_it_is() {
    let host = Host::new();
    let death = Trouble::new("build_script", Moment::Output("\nbegun".into()), Mishap::RunnerDies);
    let (report, _) =
        host.run_with(&host.stand_in().trouble(death), &job().script("echo begun; sleep 1")).await;
    assert_eq!(report.outcome, JobOutcome::Abandoned);
    assert_eq!(report.names().last(), Some(&"build_script"));
    assert_eq!(host.left_over(), 1);
}
