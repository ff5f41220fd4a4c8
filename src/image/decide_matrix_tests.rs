//! Who gets a private image that is here: every kind of credentials, project, policy and registry.

use proptest::prelude::*;

use super::world::{End, HOUR, Job, STATES, State, World, login};
use super::{DigestNames, Refusal, Verdict, WhyUse};
use crate::image::Fit;
use crate::outcome::Fault;
use crate::settings::PullPolicy::{self, Always, IfNotPresent, Never};

const NAMES: [DigestNames; 2] = [DigestNames::CameFromThere, DigestNames::OnlyNamed];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Creds {
    None,
    Wrong,
    /// Those of the job that fetched the image.
    Right,
    /// New ones, after the old ones were changed.
    Rotated,
    /// The old ones, after they were changed.
    Expired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    SameProject,
    OtherProject,
    SameNumbersElsewhere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    ByTag(&'static [PullPolicy]),
    Pinned(&'static [PullPolicy]),
    ById(&'static [PullPolicy]),
}

const ASKS: [Asks; 13] = [
    Asks::ByTag(&[Always]),
    Asks::ByTag(&[IfNotPresent]),
    Asks::ByTag(&[Never]),
    Asks::ByTag(&[Always, IfNotPresent]),
    Asks::ByTag(&[Always, Never]),
    Asks::ByTag(&[Never, Always]),
    Asks::ByTag(&[IfNotPresent, IfNotPresent]),
    Asks::Pinned(&[Always]),
    Asks::Pinned(&[IfNotPresent]),
    Asks::Pinned(&[Never]),
    Asks::ById(&[Always]),
    Asks::ById(&[IfNotPresent]),
    Asks::ById(&[Never]),
];

/// A world where project 7 has just fetched a private image.
fn warmed(names: DigestNames) -> (World, String, String) {
    let mut world = World::new(names);
    let team = world.repository("r.example/team/app");
    team.passwords.push("old".into());
    let index = team.push("1", "app1", &["linux/amd64", "linux/arm64"]);
    let job = job(Who::SameProject, "old", "r.example/team/app:1", &[Always]);
    let End::Started { id, .. } = world.run(&job) else { panic!("it is let in") };
    (world, index, id)
}

fn job(who: Who, password: &str, image: &str, policies: &[PullPolicy]) -> Job {
    let (server, project) = match who {
        Who::SameProject => ("https://git.example", 7),
        Who::OtherProject => ("https://git.example", 8),
        Who::SameNumbersElsewhere => ("https://other.example", 7),
    };
    let login = if password.is_empty() { None } else { login(password) };
    Job { server, project, login, image: image.to_owned(), policies: policies.to_vec(), asked: None }
}

/// The rules in one place, spelled another way: may this job have the image?
fn may(creds: Creds, who: Who, asks: Asks, state: State, age: u64, ttl: u64, grace: u64) -> bool {
    let reads_now = state == State::Up && matches!(creds, Creds::Right | Creds::Rotated);
    let proved = who == Who::SameProject && matches!(creds, Creds::Right | Creds::Expired) && age < ttl;
    let lasts = if grace > 0 { ttl + grace } else { 0 };
    let bridged = who == Who::SameProject
        && matches!(creds, Creds::Right | Creds::Expired)
        && state.is_transient()
        && age < lasts;
    let by = |policy: PullPolicy| match policy {
        Always => reads_now || bridged,
        IfNotPresent => reads_now || proved || bridged,
        Never => proved,
    };
    match asks {
        Asks::ById(_) => proved,
        Asks::ByTag(policies) | Asks::Pinned(policies) => {
            // A registry that says no ends the list.
            let ends = policies.iter().position(|policy| match policy {
                Never => false,
                Always => !state.is_transient(),
                IfNotPresent => !state.is_transient(),
            });
            let tried = ends.map_or(policies, |end| &policies[..=end]);
            tried.iter().any(|policy| by(*policy))
        }
    }
}

#[test]
fn a_private_image_is_started_for_exactly_those_who_may_have_it() {
    let mut count = 0;
    for names in NAMES {
        let (warm, index, id) = warmed(names);
        for creds in [Creds::None, Creds::Wrong, Creds::Right, Creds::Rotated, Creds::Expired] {
            for who in [Who::SameProject, Who::OtherProject, Who::SameNumbersElsewhere] {
                for asks in ASKS {
                    for state in STATES {
                        for (age, grace) in
                            [(60, 0), (2 * HOUR, 0), (60, HOUR), (HOUR + 60, HOUR), (3 * HOUR, HOUR)]
                        {
                            let mut world = warm.clone();
                            world.state = state;
                            world.now += age;
                            world.rules.offline_grace = std::time::Duration::from_secs(grace);
                            if matches!(creds, Creds::Rotated | Creds::Expired) {
                                world.repository("r.example/team/app").passwords = vec!["new".into()];
                            }
                            let password = match creds {
                                Creds::None => "",
                                Creds::Wrong => "wrong",
                                Creds::Right | Creds::Expired => "old",
                                Creds::Rotated => "new",
                            };
                            let job = match asks {
                                Asks::ByTag(policies) => job(who, password, "r.example/team/app:1", policies),
                                Asks::Pinned(policies) => {
                                    job(who, password, &format!("r.example/team/app@{index}"), policies)
                                }
                                Asks::ById(policies) => job(who, password, &id, policies),
                            };
                            let end = world.run(&job);
                            let told = format!(
                                "{names:?} {creds:?} {who:?} {asks:?} {state:?} {age} {grace}: {end:?}"
                            );
                            assert_eq!(
                                end.started(),
                                may(creds, who, asks, state, age, HOUR, grace),
                                "{told}"
                            );
                            assert_eq!(world.pulls, 1, "what is here is not pulled again: {told}");
                            check_fault(&end, state, &told);
                            check_questions(&world, asks, &told);
                            count += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(count, 2 * 5 * 3 * 13 * 7 * 5);
}

fn check_fault(end: &End, state: State, told: &str) {
    let End::Refused(refusal) = end else { return };
    if refusal.fault() == Fault::System {
        assert!(state.is_transient() && !refusal.is_final(), "{told}");
    }
    if matches!(refusal, Refusal::Denied(_) | Refusal::NotFound { .. }) {
        assert!(!state.is_transient() && refusal.is_final(), "{told}");
    }
}

/// The first job of the world asked for tag and index, and pulled.
fn check_questions(world: &World, asks: Asks, told: &str) {
    let since = world.asked.len() - 3;
    match asks {
        Asks::ById(_) | Asks::ByTag([Never]) | Asks::Pinned([Never]) => assert_eq!(since, 0, "{told}"),
        Asks::ByTag(policies) | Asks::Pinned(policies) => {
            assert!(since <= 2 * policies.len(), "{:?} {told}", world.asked);
        }
    }
}

#[test]
fn wrong_credentials_on_a_public_image_are_refused_as_by_the_docker_executor() {
    for names in NAMES {
        let mut world = World::new(names);
        let public = world.repository("r.example/lib");
        public.is_public = true;
        public.push("1", "lib1", &["linux/arm64"]);
        let wrong = job(Who::SameProject, "wrong", "r.example/lib:1", &[Always, IfNotPresent]);
        assert!(matches!(world.run(&wrong), End::Refused(Refusal::Denied(_))));
        let none = job(Who::OtherProject, "", "r.example/lib:1", &[Always]);
        assert!(world.run(&none).started());
        assert!(matches!(world.run(&wrong), End::Refused(Refusal::Denied(_))));
        // It is known to be public, so that nobody is asked.
        let asked = world.asked.len();
        let wrong = job(Who::SameProject, "wrong", "r.example/lib:1", &[IfNotPresent]);
        let End::Started { why, .. } = world.run(&wrong) else { panic!("it is public") };
        assert!(matches!(why, Some(WhyUse::Public(_))), "{why:?}");
        assert_eq!(world.asked.len(), asked);
    }
}

#[test]
fn a_registry_of_the_authors_own_unlocks_nothing() {
    for names in NAMES {
        for policy in [Always, IfNotPresent, Never] {
            let (mut world, index, private) = warmed(names);
            let team = world.repositories["r.example/team/app"].clone();
            // It names the private image's digests, index and manifest, and lets everybody in.
            let evil = world.repository("evil.example/x");
            evil.is_public = true;
            evil.tags.insert("1".into(), index.clone());
            evil.indexes = team.indexes.clone();
            evil.manifests = team.manifests.clone();
            for image in ["evil.example/x:1".to_owned(), format!("evil.example/x@{index}"), private.clone()] {
                let thief = job(Who::OtherProject, "", &image, &[policy]);
                let pulls = world.pulls;
                let mut world = world.clone();
                let end = world.run(&thief);
                let pulled = world.pulls > pulls;
                assert!(
                    !end.started() || pulled,
                    "{names:?} {policy:?} {image}: only what it delivers itself: {end:?}"
                );
            }
            let thief = job(Who::OtherProject, "", "r.example/team/app:1", &[policy]);
            assert!(!world.run(&thief).started());
        }
    }
}

/// One thing that happens in a world.
#[derive(Debug, Clone)]
enum Event {
    Run {
        who: usize,
        password: &'static str,
        image: usize,
        policies: Vec<PullPolicy>,
        asked: Option<&'static str>,
    },
    Wait(u64),
    Registry(State),
    Rotate(bool),
    Move,
    Build(usize),
}

const IMAGES: [&str; 4] =
    ["r.example/team/app:1", "r.example/team/app:2", "r.example/lib:1", "evil.example/x:1"];

fn events() -> impl Strategy<Value = Vec<Event>> {
    let policy = prop_oneof![Just(Always), Just(IfNotPresent), Just(Never)];
    let run = (
        0..3_usize,
        prop_oneof![Just(""), Just("old"), Just("new"), Just("wrong")],
        0..7_usize,
        proptest::collection::vec(policy, 1..3),
        prop_oneof![4 => Just(None), 1 => Just(Some("linux/arm/v7")), 1 => Just(Some("linux/arm64"))],
    );
    let run = run.prop_map(|(who, password, image, policies, asked)| Event::Run {
        who,
        password,
        image,
        policies,
        asked,
    });
    let event = prop_oneof![
        8 => run,
        2 => (0..2 * HOUR).prop_map(Event::Wait),
        1 => proptest::sample::select(STATES.to_vec()).prop_map(Event::Registry),
        1 => Just(Event::Registry(State::Up)),
        1 => any::<bool>().prop_map(Event::Rotate),
        1 => Just(Event::Move),
        1 => (0..IMAGES.len()).prop_map(Event::Build),
    ];
    proptest::collection::vec(event, 1..40)
}

/// Plays the events and checks each start against what the registry really let happen.
fn play(names: DigestNames, grace: u64, events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut world = World::new(names);
    world.rules.offline_grace = std::time::Duration::from_secs(grace);
    let platforms = ["linux/arm64", "linux/arm/v7", "linux/amd64"];
    let team = world.repository("r.example/team/app");
    team.passwords.push("old".into());
    let first = team.push("1", "app1", &platforms);
    team.tags.insert("2".into(), first.clone());
    let lib = world.repository("r.example/lib");
    lib.is_public = true;
    lib.push("1", "lib1", &platforms);
    let evil = world.repository("evil.example/x");
    evil.is_public = true;
    evil.push("1", "evil1", &["linux/arm64"]);
    evil.tags.insert("2".into(), first.clone());
    // Who really read the private repository: time, project, password.
    let mut read: Vec<(u64, Who, &str)> = Vec::new();
    let mut version = 1;
    for event in events {
        match event {
            Event::Wait(seconds) => world.now += seconds,
            Event::Registry(state) => world.state = state,
            Event::Rotate(to_new) => {
                world.repository("r.example/team/app").passwords =
                    vec![if to_new { "new" } else { "old" }.into()];
            }
            Event::Move => {
                version += 1;
                let version = format!("app{version}");
                world.repository("r.example/team/app").push("1", &version, &platforms);
            }
            Event::Build(image) => {
                world.build(IMAGES[image]);
            }
            Event::Run { who, password, image, policies, asked } => {
                let who = [Who::SameProject, Who::OtherProject, Who::SameNumbersElsewhere][who];
                let name = match image {
                    4 => format!("r.example/team/app@{first}"),
                    5 => format!("evil.example/x@{first}"),
                    6 => match world.images.keys().next() {
                        Some(id) => id.clone(),
                        None => continue,
                    },
                    tagged => IMAGES[tagged].to_owned(),
                };
                let mut job = job(who, password, &name, &policies);
                job.asked = asked;
                let reads_now = world.state == State::Up
                    && world.repositories["r.example/team/app"].passwords.contains(&password.to_owned());
                if reads_now {
                    read.push((world.now, who, password));
                }
                let end = world.run(&job);
                let End::Started { id, .. } = &end else { continue };
                let facts = &world.images[id];
                prop_assert!(!facts.repo_digests.is_empty(), "{:?} came from no registry", job);
                prop_assert!(facts.id != super::world::digest("built"), "{:?} came from no registry", job);
                let is_private = facts.repo_digests.iter().all(|name| name.starts_with("r.example/team/"));
                let lasts = HOUR + grace;
                let may = read
                    .iter()
                    .any(|(at, whose, with)| *whose == who && *with == password && world.now - at < lasts);
                prop_assert!(!is_private || may, "{:?} got a foreign private image: {:?}", job, end);
                let native = super::world::platform("linux/arm64");
                let wanted = asked.map_or(native.clone(), super::world::platform);
                // Without asking, nobody knows whether there is something better than 32-bit code.
                let is_blind = asked.is_none() && (image == 6 || job.policies.contains(&Never));
                let fits = facts.platform().meets(&wanted)
                    || is_blind && facts.platform().runs_on(&native) != Fit::Foreign;
                prop_assert!(fits, "{:?} {:?}", job, facts);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_foreign_private_image_is_never_started_whatever_happened_before(
        podman in any::<bool>(), grace in prop_oneof![Just(0), Just(HOUR)], events in events()
    ) {
        play(NAMES[usize::from(podman)], grace, events)?;
    }
}

#[test]
fn a_verdict_is_small() {
    assert!(size_of::<Verdict>() <= 128);
}
