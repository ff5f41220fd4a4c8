use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use clap::Parser;

use super::{TryArgs, TryContext, job_number, run_until};
use crate::runner::test_host::Host;
use crate::runner::{Cancel, Canceller};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: TryArgs,
}

struct Done {
    code: u8,
    out: String,
    err: String,
}

async fn attempt(host: &Host, words: &[&str], canceller: Canceller) -> Done {
    let args = Line::try_parse_from(std::iter::once(&"try").chain(words)).unwrap().args;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let context = TryContext {
        exe: host.path().join("driver"),
        env: host.env.clone(),
        temp_dir: host.path().join("tmp"),
        now: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        pid: 4242,
        out: &mut out,
        err: &mut err,
    };
    let code = run_until(args, context, canceller).await;
    Done { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

async fn try_it(host: &Host, words: &[&str]) -> Done {
    attempt(host, words, Canceller::new()).await
}

fn repository(host: &Host) -> String {
    let dir = host.path().join("repo");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("README"), "hello\n").unwrap();
    for words in [vec!["init", "-q", "-b", "trunk"], vec!["add", "."], vec!["commit", "-q", "-m", "one"]] {
        let mut command = Command::new("git");
        command.current_dir(&dir).args(["-c", "user.name=T", "-c", "user.email=t@example.test"]).args(words);
        assert!(command.status().unwrap().success());
    }
    dir.display().to_string()
}

#[tokio::test]
async fn a_job_shows_its_log_and_the_seconds_of_every_stage() {
    let host = Host::new();
    let done = try_it(&host, &["--after", "echo after", "--", "echo", "hello  there"]).await;
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    for part in ["Getting source from Git repository", "\nhello  there\n", "\nafter\n", "Job succeeded"] {
        assert!(done.out.contains(part), "{part} in {}", done.out);
    }
    let table = done.out.split("\nstage ").nth(1).unwrap();
    let first: Vec<&str> = table.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(
        first,
        [
            "seconds",
            "config",
            "prepare",
            "prepare_script",
            "get_sources",
            "build_script",
            "after_script",
            "cleanup_file_variables",
            "cleanup",
            "total"
        ]
    );
    assert!(table.is_ascii());
    assert_eq!(done.err, "cleaned up\n");
}

#[tokio::test]
async fn the_exit_code_says_whose_fault_it_was_and_the_document_says_it_to_programs() {
    let host = Host::new().hook("prepare", "case $CUSTOM_ENV_WRONG in '') ;; *) exit 1 ;; esac");
    let json = host.path().join("result.json").display().to_string();
    let done = try_it(&host, &["--json", &json, "--", "exit 3"]).await;
    assert_eq!(done.code, 1);
    let document: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(document["outcome"]["failed"]["exit_code"], 3);
    assert_eq!(document["outcome"]["failed"]["class"], "script");
    assert_eq!(document["calls"][0]["name"], "config");
    assert!(document["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(try_it(&host, &["--variable", "WRONG=1"]).await.code, 1);
    let done = try_it(&host, &["--driver", "/does/not/exist"]).await;
    assert_eq!((done.code, done.err.starts_with("hearth try: /does/not/exist:")), (2, true), "{}", done.err);
}

#[tokio::test]
async fn a_directory_is_served_and_artifacts_arrive() {
    let mut host = Host::new();
    host.env.push(("FAKE_UPLOAD".into(), "1".into()));
    let repo = repository(&host);
    let words = [
        "--repo",
        &repo,
        "--address",
        "127.0.0.1",
        "--artifact",
        "README",
        "--",
        "cat README; echo $CI_COMMIT_BRANCH",
    ];
    let done = try_it(&host, &words).await;
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    assert!(
        done.out.contains("Created fresh repository.") && done.out.contains("\nhello\ntrunk\n"),
        "{}",
        done.out
    );
    assert!(done.out.contains("artifacts arrived: 10240 bytes"), "{}", done.out);
    let again =
        try_it(&host, &["--repo", &repo, "--address", "127.0.0.1", "--runner-version", "16.11.0"]).await;
    assert_eq!(again.code, 0, "{}{}", again.out, again.err);
}

#[tokio::test]
async fn sources_come_under_busybox_too() {
    let mut host = Host::new();
    host.env.push(("FAKE_SHELL".into(), "busybox ash".into()));
    if Command::new("busybox").arg("true").status().is_err() {
        eprintln!("SKIPPED: busybox is not here");
        return;
    }
    let repo = repository(&host);
    for version in ["15.11.0", "18.6.0", "19.4.0"] {
        let words =
            ["--repo", &repo, "--address", "127.0.0.1", "--runner-version", version, "--", "cat README"];
        let done = try_it(&host, &words).await;
        assert!(done.code == 0 && done.out.contains("\nhello\n"), "{}{}", done.out, done.err);
    }
}

#[tokio::test]
async fn artifacts_that_do_not_arrive_are_noticed() {
    let done = try_it(&Host::new(), &["--address", "127.0.0.1", "--artifact", "x", "--", "echo > x"]).await;
    assert_eq!(
        (done.code, done.err.contains("artifacts did not arrive")),
        (2, true),
        "{}{}",
        done.out,
        done.err
    );
}

#[tokio::test]
async fn an_address_that_the_job_does_not_reach_costs_the_checks_but_not_the_job() {
    let host = Host::new().hook("get_sources", "mkdir -p $FAKE_ROOT/no; printf '#!/bin/sh\nexit 1\n' > $FAKE_ROOT/no/git; chmod +x $FAKE_ROOT/no/git; PATH=$FAKE_ROOT/no:$PATH");
    let repo = repository(&host);
    let done =
        try_it(&host, &["--repo", &repo, "--address", "127.0.0.1", "--artifact", "x", "--", "echo went on"])
            .await;
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    assert!(done.out.contains("Left out: clone and artifacts."), "{}", done.out);
    assert!(done.out.contains("(tried 127.0.0.1)") && done.out.contains("\nwent on\n"), "{}", done.out);
}

#[tokio::test]
async fn a_repository_that_is_none_is_refused_with_a_hint() {
    let host = Host::new();
    let dir = host.path().join("bin").display().to_string();
    let done = try_it(&host, &["--repo", &dir]).await;
    assert_eq!((done.code, done.err.contains("hint: is ")), (2, true), "{}", done.err);
    assert_eq!(host.calls(), "");
}

#[tokio::test]
async fn a_cancelled_try_ends_as_failed() {
    let host = Host::new();
    let canceller = Canceller::new();
    let later = canceller.clone();
    let cancel = async move {
        tokio::time::sleep(Duration::from_millis(700)).await;
        later.cancel(Cancel::Graceful);
    };
    let words = ["--after", "echo after $CI_JOB_STATUS", "--", "sleep 60"];
    let (done, ()) = tokio::join!(attempt(&host, &words, canceller), cancel);
    assert_eq!(done.code, 1);
    assert!(done.out.contains("\nafter canceled\n"), "{}", done.out);
}

#[test]
fn job_numbers_differ_by_time_and_process() {
    let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    assert_eq!(job_number(now, 4242), 100_000_000_123_242);
    assert_ne!(job_number(now, 4242), job_number(now, 4243));
    assert_eq!(job_number(UNIX_EPOCH, 7), 7);
}
