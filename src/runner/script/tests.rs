use std::path::Path;
use std::process::{Command, Output};

use super::Scripting;
use crate::runner::job::JobDescription;
use crate::runner::layout::Layout;
use crate::runner::parts::{CachePolicy, Variable, When};
use crate::runner::stage::Stage;
use crate::runner::test_dir::TestDir;
use crate::runner::variables::JobStatus;
use crate::runner::version::RunnerVersion;

const VERSIONS: [RunnerVersion; 4] = [
    RunnerVersion::new(15, 11, 0),
    RunnerVersion::new(17, 9, 0),
    RunnerVersion::new(18, 6, 0),
    RunnerVersion::new(19, 4, 0),
];

fn layout(root: &Path) -> Layout {
    let root = root.display();
    Layout {
        builds_dir: format!("{root}/builds"),
        cache_dir: format!("{root}/cache"),
        project_dir: format!("{root}/builds/try/project"),
    }
}

fn script(job: &JobDescription, layout: &Layout, stage: &Stage) -> Option<String> {
    let scripting =
        Scripting { job, layout, status: JobStatus::Running, shell: "bash", hostname: Some("the host") };
    scripting.script(stage)
}

/// Runs a stage's script with every shell that is here, over standard input as drivers do.
fn run(job: &JobDescription, layout: &Layout, stage: &Stage) -> Vec<Output> {
    use std::io::Write as _;
    let text = script(job, layout, stage).expect("a script");
    let shells: [&[&str]; 2] = [&["bash"], &["busybox", "ash"]];
    let run = |shell: &&[&str]| {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().ok()?;
        child.stdin.take()?.write_all(text.as_bytes()).ok()?;
        child.wait_with_output().ok()
    };
    shells.iter().filter_map(run).collect()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn user_commands_are_shown_run_and_see_variables_files_and_no_input() {
    let dir = TestDir::new();
    let layout = layout(dir.path());
    for version in VERSIONS {
        let job = JobDescription::new(4)
            .version(version)
            .variable("GREETING", "hello it's\ntwo lines ü")
            .with_variable(Variable::plain("CONF", "a: 1\n").as_file())
            .script("echo \"$GREETING\"")
            .script("cat \"$CONF\"; cat; pwd")
            .script("if true\nthen echo many; fi");
        assert!(run(&job, &layout, &Stage::GetSources).iter().all(|it| it.status.success()));
        for output in run(&job, &layout, &Stage::BuildScript) {
            let text = text(&output);
            assert!(output.status.success(), "{version} {text}");
            assert!(
                text.contains("\x1b[32;1m$ echo \"$GREETING\"\x1b[0;m\nhello it's\ntwo lines ü\n"),
                "{text}"
            );
            assert!(text.contains(&format!("a: 1\n{}\n", layout.project_dir)), "{text}");
            assert!(text.contains("$ if true # collapsed multi-line command\x1b[0;m\nmany\n"), "{text}");
        }
    }
}

#[test]
fn a_script_ends_with_the_code_it_exits_with() {
    let dir = TestDir::new();
    let layout = layout(dir.path());
    for version in VERSIONS {
        let job =
            JobDescription::new(4).version(version).script("echo a").script("exit 42").script("echo never");
        run(&job, &layout, &Stage::GetSources);
        for output in run(&job, &layout, &Stage::BuildScript) {
            assert_eq!(output.status.code(), Some(42), "{version}");
            assert!(!text(&output).contains("\nnever\n"));
        }
    }
}

#[test]
fn a_failing_command_ends_the_script_and_new_runners_or_the_flag_keep_its_code() {
    let dir = TestDir::new();
    let layout = layout(dir.path());
    let job = JobDescription::new(4).script("sh -c 'exit 42'").script("echo never");
    run(&job, &layout, &Stage::GetSources);
    let new = job.clone().version(RunnerVersion::new(19, 4, 0));
    let flagged = job.clone().variable("FF_USE_NEW_BASH_EVAL_STRATEGY", "true");
    for job in [new, flagged] {
        for output in run(&job, &layout, &Stage::BuildScript) {
            assert_eq!(output.status.code(), Some(42), "{}", job.version);
        }
    }
    for output in run(&job, &layout, &Stage::BuildScript) {
        assert!(!output.status.success() && !text(&output).contains("\nnever\n"));
    }
}

#[test]
fn what_a_step_writes_to_gitlab_env_the_next_one_sees() {
    let dir = TestDir::new();
    let layout = layout(dir.path());
    let mut job = JobDescription::new(4).script("echo PASSED=on >> \"$GITLAB_ENV\"");
    job.more_steps.push(("release".into(), vec!["echo \"<$PASSED>\"".into()]));
    run(&job, &layout, &Stage::PrepareScript);
    run(&job, &layout, &Stage::GetSources);
    run(&job, &layout, &Stage::BuildScript);
    for output in run(&job, &layout, &Stage::Step("release".into())) {
        assert!(text(&output).contains("<on>"), "{}", text(&output));
    }
}

#[test]
fn prepare_says_where_it_runs() {
    let dir = TestDir::new();
    for output in run(&JobDescription::new(4), &layout(dir.path()), &Stage::PrepareScript) {
        let text = text(&output);
        assert!(text.starts_with("Running on ") && text.ends_with(" via the host...\n"), "{text:?}");
    }
}

#[test]
fn stages_without_work_have_no_script() {
    let layout = layout(Path::new("/x"));
    let job = JobDescription::new(4);
    for stage in [
        Stage::RestoreCache,
        Stage::DownloadArtifacts,
        Stage::BuildScript,
        Stage::AfterScript,
        Stage::ArchiveCache { success: true },
        Stage::UploadArtifacts { success: false },
    ] {
        assert_eq!(script(&job, &layout, &stage), None, "{stage:?}");
    }
    assert!(script(&job, &layout, &Stage::CleanupFileVariables).is_some());
    let old = job.version(RunnerVersion::new(16, 11, 0));
    assert_eq!(script(&old, &layout, &Stage::CleanupFileVariables), None);
    let with_file = old.with_variable(Variable::plain("K", "v").as_file());
    assert!(script(&with_file, &layout, &Stage::CleanupFileVariables).is_some());
}

#[test]
fn caches_and_artifacts_follow_policy_and_when() {
    let layout = layout(Path::new("/x"));
    let mut job = JobDescription::new(4).cache("deps", &["a/"]).artifacts(&["out"]);
    job.cache[0].policy = CachePolicy::Pull;
    job.artifacts[0].when = When::OnFailure;
    assert!(script(&job, &layout, &Stage::RestoreCache).is_some());
    assert_eq!(script(&job, &layout, &Stage::ArchiveCache { success: true }), None);
    assert_eq!(script(&job, &layout, &Stage::UploadArtifacts { success: true }), None);
    assert!(script(&job, &layout, &Stage::UploadArtifacts { success: false }).is_some());
    job.cache[0].policy = CachePolicy::Push;
    assert_eq!(script(&job, &layout, &Stage::RestoreCache), None);
}

#[test]
fn file_variables_are_gone_after_the_last_stage() {
    let dir = TestDir::new();
    let layout = layout(dir.path());
    let job = JobDescription::new(4).with_variable(Variable::plain("CONF", "x").as_file()).script("true");
    run(&job, &layout, &Stage::GetSources);
    run(&job, &layout, &Stage::BuildScript);
    let file = format!("{}/CONF", layout.temp_dir());
    assert!(Path::new(&file).exists());
    run(&job, &layout, &Stage::CleanupFileVariables);
    assert!(!Path::new(&file).exists());
}
