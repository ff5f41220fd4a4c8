use std::path::PathBuf;
use std::time::Duration;

use super::{Airport, Meeting, State, Traveller, Turn};

const PATIENCE: Duration = Duration::from_secs(600);

struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn directory(name: &str) -> Directory {
    let path = std::env::temp_dir().join(format!("hearth-flight-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    Directory(path)
}

fn meet(directory: &Directory) -> Meeting {
    Airport::new(Some(directory.0.clone()), 0o660).meet("alpine@sha256:1", Traveller::Job).unwrap()
}

#[test]
fn one_leads_and_the_others_see_how_far_it_is() {
    let directory = directory("one");
    let (mut one, mut other) = (meet(&directory), meet(&directory));
    assert_eq!(one.turn(PATIENCE).unwrap(), Turn::Lead);
    one.say(&State::Pulls("12 of 30 MiB".to_owned()));
    assert_eq!(other.turn(PATIENCE).unwrap(), Turn::Wait(Traveller::Job, "12 of 30 MiB".to_owned()));
    one.say(&State::Pulls("13 MiB".to_owned()));
    assert_eq!(other.turn(PATIENCE).unwrap(), Turn::Wait(Traveller::Job, "13 MiB".to_owned()));
    drop(one);
    assert_eq!(other.turn(PATIENCE).unwrap(), Turn::Lead);
    drop(other);
    assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 0, "nothing stays");
}

#[test]
fn what_differs_does_not_meet() {
    let directory = directory("apart");
    let airport = Airport::new(Some(directory.0.clone()), 0o660);
    let (mut one, mut other) =
        (airport.meet("a", Traveller::Job).unwrap(), airport.meet("b", Traveller::Job).unwrap());
    assert_eq!(one.turn(PATIENCE).unwrap(), Turn::Lead);
    assert_eq!(other.turn(PATIENCE).unwrap(), Turn::Lead);
}

#[test]
fn without_a_directory_everyone_pulls_for_himself() {
    assert!(Airport::new(None, 0o660).meet("a", Traveller::Job).is_none());
    let file = directory("file").0.join("file");
    assert!(Airport::new(Some(file.join("not there")), 0o660).meet("a", Traveller::Job).is_none());
}

#[test]
fn a_leader_without_a_sign_of_life_is_not_waited_for() {
    let directory = directory("patience");
    let (mut one, mut other) = (meet(&directory), meet(&directory));
    assert_eq!(one.turn(PATIENCE).unwrap(), Turn::Lead);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(other.turn(Duration::from_millis(20)).unwrap(), Turn::Alone);
    assert_eq!(other.turn(PATIENCE).unwrap(), Turn::Wait(Traveller::Job, String::new()));
}

#[tokio::test]
async fn a_leader_that_has_to_go_hands_over() {
    let directory = directory("heir");
    let (mut one, mut heir, mut third) = (meet(&directory), meet(&directory), meet(&directory));
    assert_eq!(one.turn(PATIENCE).unwrap(), Turn::Lead);
    assert_eq!(heir.turn(PATIENCE).unwrap(), Turn::Wait(Traveller::Job, String::new()));
    assert_eq!(third.turn(PATIENCE).unwrap(), Turn::Wait(Traveller::Job, String::new()));
    let inherits = async {
        while heir.turn(PATIENCE).unwrap() != Turn::Inherit(Traveller::Job) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(third.turn(PATIENCE).unwrap(), Turn::Inherit(Traveller::Job));
        let inherited = heir.try_inherit().unwrap();
        assert!(third.try_inherit().is_none(), "one heir");
        inherited.attached();
        inherited
    };
    let begun = std::time::Instant::now();
    let ((), inherited) = tokio::join!(one.hand_over(), inherits);
    assert!(begun.elapsed() < Duration::from_secs(3), "it waited on, although there was an heir");
    assert_eq!(third.turn(PATIENCE).unwrap(), Turn::Wait(Traveller::Job, String::new()));
    drop(one);
    assert_eq!(heir.turn(PATIENCE).unwrap(), Turn::Lead);
    assert_eq!(third.turn(PATIENCE).unwrap(), Turn::Wait(Traveller::Job, String::new()));
    drop((inherited, heir));
    assert_eq!(third.turn(PATIENCE).unwrap(), Turn::Lead);
}

#[tokio::test]
async fn nobody_waits_for_an_heir_where_nobody_waits() {
    let directory = directory("no heir");
    let mut one = meet(&directory);
    assert_eq!(one.turn(PATIENCE).unwrap(), Turn::Lead);
    let begun = std::time::Instant::now();
    one.hand_over().await;
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn places_are_bounded_and_free_again() {
    let directory = directory("places");
    let airport = Airport::new(Some(directory.0.clone()), 0o660);
    let one = airport.place(2, PATIENCE, |_| panic!("two are free")).await.unwrap();
    let _other = airport.place(2, PATIENCE, |_| panic!("one is free")).await.unwrap();
    let mut waited = 0;
    let third = airport.place(2, PATIENCE, |_| waited += 1);
    assert!(tokio::time::timeout(Duration::from_millis(500), third).await.is_err());
    assert!(waited > 0);
    drop(one);
    let mut third = None;
    while third.is_none() {
        third = airport.place(2, PATIENCE, |_| {}).await;
    }
}

#[tokio::test]
async fn a_place_that_gives_no_sign_of_life_is_not_waited_for() {
    let directory = directory("frozen places");
    let airport = Airport::new(Some(directory.0.clone()), 0o660);
    let frozen = airport.place(1, PATIENCE, |_| panic!("it is free")).await.unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let short = Duration::from_millis(20);
    let _second = airport.place(1, short, |_| panic!("nobody lives there")).await.unwrap();
    frozen.sign();
    let third = airport.place(1, PATIENCE, |_| {});
    assert!(
        tokio::time::timeout(Duration::from_millis(300), third).await.is_err(),
        "the first one lives again"
    );
}

#[test]
fn an_heir_without_a_sign_of_life_is_not_waited_for() {
    let directory = directory("frozen heir");
    let (mut one, mut heir, mut third) = (meet(&directory), meet(&directory), meet(&directory));
    assert_eq!(one.turn(PATIENCE).unwrap(), Turn::Lead);
    one.say(&State::Leaves);
    assert_eq!(heir.turn(PATIENCE).unwrap(), Turn::Inherit(Traveller::Job));
    let _frozen = heir.try_inherit().unwrap();
    drop(one);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(third.turn(Duration::from_millis(20)).unwrap(), Turn::Alone);
}

#[test]
fn a_waiter_sees_whether_a_job_leads_or_the_host_itself() {
    let directory = directory("ahead");
    let airport = Airport::new(Some(directory.0.clone()), 0o660);
    let mut ahead = airport.meet("a", Traveller::Ahead).unwrap();
    let mut job = airport.meet("a", Traveller::Job).unwrap();
    assert_eq!(ahead.turn(PATIENCE).unwrap(), Turn::Lead);
    assert_eq!(job.turn(PATIENCE).unwrap(), Turn::Wait(Traveller::Ahead, String::new()));
    ahead.say(&State::Pulls("3 MiB".to_owned()));
    assert_eq!(job.turn(PATIENCE).unwrap(), Turn::Wait(Traveller::Ahead, "3 MiB".to_owned()));
    ahead.say(&State::Leaves);
    assert_eq!(job.turn(PATIENCE).unwrap(), Turn::Inherit(Traveller::Ahead));
    drop(ahead);
    assert_eq!(job.turn(PATIENCE).unwrap(), Turn::Lead);
    let mut late = airport.meet("a", Traveller::Ahead).unwrap();
    assert_eq!(late.turn(PATIENCE).unwrap(), Turn::Wait(Traveller::Job, String::new()));
}
