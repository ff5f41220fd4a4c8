//! Calls that fail, hang, come late, and an engine that goes away.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::{Behaviour, Call};
use super::{engine, exec, run, spec, text};
use crate::engine::{Creation, Engine, EngineError, ExecState, Removal};
use crate::plan::script;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_create_is_done_after_its_client_died() {
    let fake = engine();
    fake.delay(Call::CreateContainer, 5 * SECOND);
    let spec = spec("one", "job:1", script::idle());
    assert!(timeout(SECOND, fake.create_container(&spec)).await.is_err());
    assert_eq!(fake.containers_labelled("job", "7").await.unwrap(), []);
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(fake.containers_labelled("job", "7").await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_for_one_call_on_one_object() {
    let fake = engine();
    let error = EngineError::Refused { call: "create container".into(), status: 500, message: "no".into() };
    fake.fail_next_on(Call::CreateContainer, "-build", error.clone());
    let helper = fake.create_container(&spec("j-helper", "job:1", script::idle())).await.unwrap();
    assert!(matches!(helper, Creation::Made(_)));
    let build = spec("j-build", "job:1", script::idle());
    assert_eq!(fake.create_container(&build).await, Err(error));
    assert!(matches!(fake.create_container(&build).await, Ok(Creation::Made(_))));
    assert_eq!(fake.count(Call::CreateContainer), 3);
    assert_eq!(fake.calls()[1].object, "j-build");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_ends_with_the_clients_patience() {
    let fake = engine();
    fake.set_timeout(9 * SECOND);
    fake.hang_next(Call::InspectImage);
    let begun = Instant::now();
    let error = fake.image("job:1").await.unwrap_err();
    assert_eq!(error, EngineError::Timeout { call: "inspect image".into(), seconds: 9 });
    assert_eq!(begun.elapsed(), 9 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_was_done() {
    let fake = engine();
    fake.lose_next_answer(Call::CreateContainer);
    let spec = spec("one", "job:1", script::idle());
    assert!(matches!(fake.create_container(&spec).await, Err(EngineError::Lost { .. })));
    assert_eq!(fake.create_container(&spec).await, Ok(Creation::NameTaken));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_killed_sends_nothing_more_but_what_it_sent_is_done() {
    let fake = engine();
    fake.delay(Call::CreateContainer, SECOND);
    fake.cut_after(2);
    fake.version().await.unwrap();
    let (one, other) = (spec("one", "job:1", script::idle()), spec("other", "job:1", script::idle()));
    let both = async { tokio::join!(fake.create_container(&one), fake.create_container(&other)) };
    assert!(timeout(SECOND / 2, both).await.is_err());
    timeout(SECOND, fake.until_cut()).await.unwrap();
    assert_eq!((fake.calls().len(), fake.containers()), (2, Vec::new()));
    tokio::time::sleep(SECOND).await;
    assert_eq!(fake.containers(), ["one"]);
    fake.heal();
    let begun = Instant::now();
    assert!(matches!(fake.create_container(&other).await, Ok(Creation::Made(_))));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_a_restart_cut_may_be_asked_for_again() {
    let fake = engine();
    run(&fake, &spec("one", "job:1", script::idle())).await;
    fake.removals_take(3 * SECOND);
    assert!(timeout(SECOND, fake.remove_container("one")).await.is_err());
    assert!(fake.container("one").await.unwrap().unwrap().removing);
    fake.stop_engine();
    fake.start_engine();
    assert_eq!(fake.remove_container("one").await, Ok(Removal::Removed));
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_takes_long_is_in_use_for_others() {
    let fake = engine();
    run(&fake, &spec("one", "job:1", script::idle())).await;
    fake.removals_take(3 * SECOND);
    let (first, second) = tokio::join!(fake.remove_container("one"), fake.remove_container("one"));
    assert_eq!((first, second), (Ok(Removal::Removed), Ok(Removal::InUse)));
    assert_eq!(fake.remove_container("one").await, Ok(Removal::Gone));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_engine_has_stopped_everything_and_forgotten_the_execs() {
    let fake = engine();
    run(&fake, &spec("one", "job:1", script::idle())).await;
    fake.script(|_| Behaviour::new().out("begun\n").forever());
    let mut running = fake.exec("one", &exec(script::stage(&Default::default()))).await.unwrap();
    tokio::io::AsyncWriteExt::shutdown(&mut running.input).await.unwrap();
    tokio::time::sleep(SECOND).await;
    fake.stop_engine();
    assert_eq!(text(running.output).await, "begun\n");
    assert!(matches!(fake.exec_state(&running.id).await, Err(EngineError::Unreachable { .. })));
    assert!(matches!(fake.version().await, Err(EngineError::Unreachable { .. })));
    fake.start_engine();
    assert!(matches!(fake.exec_state(&running.id).await, Err(EngineError::NotFound { .. })));
    let state = fake.container("one").await.unwrap().unwrap();
    assert_eq!((state.running, state.exit_code), (false, 137));
    fake.start_container("one").await.unwrap();
    assert_eq!((fake.running_containers(), fake.starts("one")), (vec!["one".to_owned()], 2));
}

#[tokio::test(start_paused = true)]
async fn calls_under_way_are_lost_with_the_engine() {
    let fake = engine();
    fake.delay(Call::InspectImage, 5 * SECOND);
    let (found, ()) = tokio::join!(fake.image("job:1"), async {
        tokio::time::sleep(SECOND).await;
        fake.stop_engine();
    });
    assert!(matches!(found, Err(EngineError::Lost { .. })), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_exec_has_no_code() {
    let fake = engine();
    run(&fake, &spec("one", "job:1", script::idle())).await;
    fake.command(&["sh", "-c", "x"], Behaviour::new().out("a").lost());
    let running = fake.exec("one", &exec(["sh", "-c", "x"].map(str::to_owned).to_vec())).await.unwrap();
    assert_eq!(text(running.output).await, "a");
    let state = fake.exec_state(&running.id).await.unwrap();
    assert_eq!(state, ExecState { running: false, exit_code: None });
}

#[tokio::test(start_paused = true)]
async fn an_execs_state_may_lag_behind_its_stream() {
    let fake = engine();
    run(&fake, &spec("one", "job:1", script::idle())).await;
    fake.exec_states_lag(SECOND);
    fake.command(&["sh", "-c", "x"], Behaviour::new().exit(3));
    let running = fake.exec("one", &exec(["sh", "-c", "x"].map(str::to_owned).to_vec())).await.unwrap();
    text(running.output).await;
    assert!(fake.exec_state(&running.id).await.unwrap().running);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(fake.exec_state(&running.id).await.unwrap().exit_code, Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_the_process_back() {
    let fake = engine();
    run(&fake, &spec("one", "job:1", script::idle())).await;
    fake.command(&["sh", "-c", "x"], Behaviour::new().out_times("0123456789", 1000).touch("/end"));
    let running = fake.exec("one", &exec(["sh", "-c", "x"].map(str::to_owned).to_vec())).await.unwrap();
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(fake.container_files("one"), Vec::<String>::new());
    assert_eq!(text(running.output).await.len(), 10_000);
    assert_eq!(fake.container_files("one"), ["/end"]);
}

#[tokio::test(start_paused = true)]
async fn a_holder_may_keep_the_stream_for_ever() {
    let fake = engine();
    run(&fake, &spec("one", "job:1", script::idle())).await;
    let holder = Behaviour::new().sleep(600 * SECOND).out("late");
    fake.command(&["sh", "-c", "x"], Behaviour::new().out("done ").child(holder));
    let command = exec(["sh", "-c", "x"].map(str::to_owned).to_vec());
    let cut = fake.exec("one", &command).await.unwrap();
    let begun = Instant::now();
    assert_eq!(text(cut.output).await, "done ");
    assert_eq!(begun.elapsed(), 2 * SECOND);
    fake.exec_streams_linger(None);
    let held = fake.exec("one", &command).await.unwrap();
    assert_eq!(text(held.output).await, "done late");
}
