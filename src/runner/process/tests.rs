use std::time::Duration;

use tokio::time::Instant;

use super::{Call, CallEnd, Exit, Guard, Stop, Stream, run};
use crate::runner::trouble::{Cancel, Canceller, Mishap, Moment, Pace, Watcher};

fn guard() -> Guard {
    Guard {
        deadlines: Vec::new(),
        canceller: Canceller::new(),
        cancel_from: Some(Cancel::Graceful),
        watcher: Watcher::new(Vec::new()),
        pace: None,
        graceful: Duration::from_secs(20),
        force: Duration::from_secs(20),
    }
}

fn troubled(at: Moment, what: Mishap) -> Guard {
    Guard { watcher: Watcher::new(vec![(at, what)]), ..guard() }
}

fn call(script: &str) -> Call {
    Call {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: [("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()), ("A".into(), "1".into())].into(),
        dir: "/".into(),
    }
}

async fn output(script: &str, guard: Guard) -> (CallEnd, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let end = run(&call(script), guard, &mut |stream, bytes| match stream {
        Stream::Stdout => out.extend_from_slice(bytes),
        Stream::Stderr => err.extend_from_slice(bytes),
    })
    .await;
    (end, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[tokio::test]
async fn a_call_has_its_own_group_no_input_and_only_the_given_environment() {
    let script = "ps -o pgid= -p $$ | tr -d ' '; echo $$; cat; echo $A >&2; pwd; env | grep -c . ; exit 3";
    let (end, out, err) = output(script, guard()).await;
    assert_eq!((end.exit, end.stop, err.as_str()), (Exit::Code(3), None, "1\n"));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], lines[1], "the process leads its group");
    assert_eq!(lines[2], "/");
}

#[tokio::test]
async fn a_call_that_cannot_start_says_why() {
    let broken = Call { program: "/does/not/exist".into(), ..call("") };
    let end = run(&broken, guard(), &mut |_, _| {}).await;
    assert!(matches!(end.exit, Exit::NotStarted(reason) if reason.contains("No such file")));
    let mut nul = call("true");
    nul.env.insert("B".into(), "a\0b".into());
    let end = run(&nul, guard(), &mut |_, _| {}).await;
    assert!(matches!(end.exit, Exit::NotStarted(_)));
}

#[tokio::test]
async fn a_child_that_holds_the_pipes_keeps_the_call_open() {
    let (end, out, _) = output("(sleep 0.5; echo late) & exit 0", guard()).await;
    assert_eq!((end.exit, out.as_str()), (Exit::Code(0), "late\n"));
    assert!(end.took >= Duration::from_millis(500));
}

#[tokio::test]
async fn a_cancel_sends_sigterm_to_the_whole_group() {
    let script =
        "trap 'echo parent; exit 7' TERM; (trap 'echo child; exit 0' TERM; echo up; while :; do sleep 0.05; done) &
        while :; do sleep 0.05; done";
    let (end, out, _) =
        output(script, troubled(Moment::Output("up".into()), Mishap::Cancel(Cancel::Graceful))).await;
    assert_eq!((end.exit, end.stop), (Exit::Code(7), Some(Stop::Canceled)));
    assert!(out.contains("parent") && out.contains("child"), "{out}");
}

#[tokio::test]
async fn what_ignores_sigterm_is_killed_after_the_grace() {
    let stop_at = Instant::now() + Duration::from_millis(300);
    let guard = Guard {
        deadlines: vec![(stop_at, Stop::JobTimeout)],
        graceful: Duration::from_millis(200),
        ..guard()
    };
    let (end, _, _) = output("trap '' TERM; while :; do sleep 0.05; done", guard).await;
    assert_eq!((end.exit, end.stop), (Exit::Signal(9), Some(Stop::JobTimeout)));
    assert!(end.took >= Duration::from_millis(450));
}

#[tokio::test]
async fn a_cancel_below_the_level_does_not_stop_the_call() {
    let mut guard = troubled(Moment::Output("up".into()), Mishap::Cancel(Cancel::Graceful));
    guard.cancel_from = Some(Cancel::Hard);
    let canceller = guard.canceller.clone();
    let (end, out, _) = output("echo up; sleep 0.2; echo down", guard).await;
    assert_eq!((end.exit, end.stop, out.as_str()), (Exit::Code(0), None, "up\ndown\n"));
    assert_eq!(canceller.level(), Cancel::Graceful);
}

#[tokio::test]
async fn the_driver_alone_or_its_group_can_be_killed() {
    let script = "(sleep 0.4; echo orphan) & echo up; sleep 60; true";
    let up = || Moment::Output("up".into());
    let (end, out, _) =
        output(&format!("exec 2>/dev/null; {script}"), troubled(up(), Mishap::KillGroup)).await;
    assert_eq!((end.exit, out.contains("orphan")), (Exit::Signal(9), false));
    let script = "(sleep 0.4; echo orphan) & echo up; while :; do sleep 0.05; done";
    let (end, out, _) = output(script, troubled(up(), Mishap::KillDriver)).await;
    assert_eq!((end.exit, out.contains("orphan")), (Exit::Signal(9), true));
}

#[tokio::test]
async fn a_runner_that_hangs_up_still_waits_for_the_exit() {
    let script = "echo up; sleep 0.2; trap '' PIPE; echo more 2>/dev/null || exit 9; exit 0";
    let (end, out, _) = output(script, troubled(Moment::Bytes(3), Mishap::HangUp)).await;
    assert_eq!((end.exit, out.as_str()), (Exit::Code(9), "up\n"));
}

#[tokio::test]
async fn a_runner_that_dies_leaves_at_once() {
    let (end, _, _) =
        output("sleep 1", troubled(Moment::After(Duration::from_millis(50)), Mishap::RunnerDies)).await;
    assert_eq!(end.exit, Exit::Unknown);
    assert!(end.took < Duration::from_millis(900));
}

#[tokio::test]
async fn a_slow_reader_slows_the_writer_down_but_loses_nothing() {
    let pace = Some(Pace { chunk: 16 * 1024, pause: Duration::from_millis(20) });
    let (end, out, _) = output("head -c 200000 /dev/zero | tr '\\0' x", Guard { pace, ..guard() }).await;
    assert_eq!((end.exit, out.len()), (Exit::Code(0), 200_000));
    assert!(end.took >= Duration::from_millis(200));
}
