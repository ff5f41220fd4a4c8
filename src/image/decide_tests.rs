//! Each rule by its name.

use super::world::{End, HOUR, Job, State, World, digest, login, platform};
use super::*;
use crate::settings::PullPolicy::{Always, IfNotPresent, Never};

const APP: &str = "r.example/app:1";
const POLICIES: [PullPolicy; 3] = [Always, IfNotPresent, Never];
const BOTH: [DigestNames; 2] = [DigestNames::CameFromThere, DigestNames::OnlyNamed];

fn job(image: &str, policy: PullPolicy) -> Job {
    let (server, image, policies) = ("https://git.example", image.to_owned(), vec![policy]);
    Job { server, project: 7, login: login("old"), image, policies, asked: None }
}

/// A world with an image on its registry, and nothing on the host.
fn cold(names: DigestNames, platforms: &[&str]) -> World {
    let mut world = World::new(names);
    let app = world.repository("r.example/app");
    app.passwords.push("old".into());
    app.push("1", "app1", platforms);
    world
}

/// The same after one job of this policy, with the registry's log empty.
fn warm(names: DigestNames) -> World {
    let mut world = cold(names, &["linux/amd64", "linux/arm64", "linux/arm/v7"]);
    assert!(world.run(&job(APP, Always)).started());
    world.asked.clear();
    world.pulls = 0;
    world
}

fn why(end: &End) -> &WhyUse {
    match end {
        End::Started { why: Some(why), .. } => why,
        other => panic!("it was not used as it is: {other:?}"),
    }
}

fn refusal(end: End) -> Refusal {
    match end {
        End::Refused(refusal) => refusal,
        End::Started { .. } => panic!("it started"),
    }
}

#[test]
fn an_always_job_on_a_warm_image_asks_once_and_pulls_nothing() {
    for names in BOTH {
        let mut world = warm(names);
        assert_eq!(why(&world.run(&job(APP, Always))), &WhyUse::Fresh);
        assert_eq!((world.asked, world.pulls), (vec!["r.example/app 1".to_owned()], 0));
    }
}

#[test]
fn a_tag_that_moved_to_an_index_with_the_same_manifest_is_fresh_and_the_index_is_read_once() {
    for names in BOTH {
        let mut world = warm(names);
        let app = world.repository("r.example/app");
        // Only the variant of another platform is new.
        let mut entries = app.indexes[&digest("app1")].clone();
        entries[0].1 = digest("new-amd64");
        app.manifests.insert(digest("new-amd64"), "linux/amd64".into());
        app.indexes.insert(digest("app1b"), entries);
        app.tags.insert("1".into(), digest("app1b"));
        assert_eq!(why(&world.run(&job(APP, Always))), &WhyUse::Fresh, "{names:?}");
        assert_eq!((world.asked.len(), world.pulls), (2, 0), "tag and index");
        assert_eq!(why(&world.run(&job(APP, Always))), &WhyUse::Fresh);
        assert_eq!((world.asked.len(), world.pulls), (3, 0), "the tag");
    }
}

#[test]
fn a_tag_that_moved_is_pulled_by_the_digest_it_has_now() {
    for names in BOTH {
        let mut world = warm(names);
        world.repository("r.example/app").push("1", "app2", &["linux/arm64"]);
        assert!(matches!(world.run(&job(APP, Always)), End::Started { why: None, .. }));
        assert_eq!(world.asked.last(), Some(&format!("r.example/app {}", digest("app2"))));
        assert_eq!(world.pulls, 1);
    }
}

#[test]
fn content_that_is_here_under_another_tag_of_the_repository_gets_the_tag() {
    for names in BOTH {
        let mut world = warm(names);
        world.repository("r.example/app").tags.insert("2".into(), digest("app1"));
        let end = world.run(&job("r.example/app:2", Always));
        assert_eq!((why(&end), world.pulls), (&WhyUse::Fresh, 0), "{names:?}");
        assert_eq!(world.inspect("r.example/app:2"), world.inspect(APP));
    }
}

#[test]
fn an_image_without_a_variant_for_the_host_is_refused_before_a_pull_and_says_what_it_has() {
    let mut world = cold(DigestNames::CameFromThere, &["linux/amd64", "linux/s390x"]);
    let refusal = refusal(world.run(&job(APP, Always)));
    assert!(refusal.is_final());
    assert_eq!(
        refusal.to_string(),
        "has no variant for the platform wanted; it has linux/amd64, linux/s390x"
    );
    assert_eq!(world.pulls, 0);
}

#[test]
fn two_platforms_of_one_index_are_two_images() {
    for names in BOTH {
        let mut world = warm(names);
        let arm = Job { asked: Some("linux/arm/v7"), ..job(APP, Always) };
        assert!(matches!(world.run(&arm), End::Started { why: None, .. }), "{names:?}");
        assert_eq!(why(&world.run(&arm)), &WhyUse::Fresh);
        assert_eq!(world.pulls, 1);
        // The tag means 32-bit code now, and both have the index's digest.
        for policy in [Always, IfNotPresent] {
            let End::Started { id, .. } = world.run(&job(APP, policy)) else { panic!("{policy}") };
            assert_eq!(world.images[&id].architecture, "arm64", "{names:?} {policy}");
        }
    }
}

#[test]
fn an_image_that_has_32_bit_code_only_is_used_without_a_question_too() {
    for names in BOTH {
        for is_index in [true, false] {
            let mut world = cold(names, &["linux/arm/v7"]);
            if !is_index {
                let app = world.repository("r.example/app");
                app.tags.insert("1".into(), digest("app1-linux/arm/v7"));
            }
            assert!(world.run(&job(APP, IfNotPresent)).started());
            assert!(world.run(&job(APP, IfNotPresent)).started());
            world.asked.clear();
            assert!(
                matches!(why(&world.run(&job(APP, IfNotPresent))), WhyUse::Proved(_)),
                "{names:?} {is_index}"
            );
            assert_eq!(world.asked, Vec::<String>::new());
        }
    }
}

#[test]
fn a_manifest_of_a_foreign_platform_is_used_under_emulation_only() {
    for names in BOTH {
        let mut world = cold(names, &["linux/amd64"]);
        world.repository("r.example/app").tags.insert("1".into(), digest("app1-linux/amd64"));
        world.emulation = true;
        assert!(world.run(&job(APP, Always)).started());
        assert_eq!(why(&world.run(&job(APP, Always))), &WhyUse::Fresh);
        world.emulation = false;
        let has = vec![platform("linux/amd64")];
        assert_eq!(refusal(world.run(&job(APP, Always))), Refusal::OtherPlatform { has });
        let has = platform("linux/amd64");
        assert_eq!(refusal(world.run(&job(APP, Never))), Refusal::OtherPlatformHere { has });
    }
}

#[test]
fn what_the_project_proved_lately_is_used_without_a_question() {
    for names in BOTH {
        let mut world = warm(names);
        world.state = State::Down;
        world.now += HOUR - 1;
        for policy in [IfNotPresent, Never] {
            let proved = WhyUse::Proved(Duration::from_secs(HOUR - 1));
            assert_eq!(why(&world.run(&job(APP, policy))), &proved);
        }
        assert_eq!(world.asked, Vec::<String>::new());
    }
}

#[test]
fn an_old_proof_is_renewed_by_a_question_about_the_digest_that_is_here() {
    for names in BOTH {
        let mut world = warm(names);
        world.now += HOUR;
        world.repository("r.example/app").push("1", "app2", &["linux/arm64"]);
        assert_eq!(refusal(world.run(&job(APP, Never))), Refusal::NoProof);
        assert_eq!(why(&world.run(&job(APP, IfNotPresent))), &WhyUse::Readable);
        assert_eq!(world.asked, [format!("r.example/app {}", digest("app1"))]);
        assert_eq!(why(&world.run(&job(APP, IfNotPresent))), &WhyUse::Proved(Duration::ZERO));
        assert!(world.run(&job(APP, Never)).started());
        assert_eq!((world.asked.len(), world.pulls), (1, 0));
    }
}

#[test]
fn a_digest_that_the_registry_no_longer_knows_makes_the_image_not_present() {
    for names in BOTH {
        let mut world = warm(names);
        world.now += HOUR;
        let app = world.repository("r.example/app");
        app.indexes.clear();
        app.manifests.clear();
        app.push("1", "app2", &["linux/arm64"]);
        assert!(matches!(world.run(&job(APP, IfNotPresent)), End::Started { why: None, .. }));
        assert_eq!(world.pulls, 1);
        assert!(matches!(why(&world.run(&job(APP, IfNotPresent))), WhyUse::Proved(_)));
    }
}

#[test]
fn an_anonymous_answer_opens_an_image_to_everybody() {
    let mut world = warm(DigestNames::CameFromThere);
    world.repository("r.example/app").is_public = true;
    world.now += HOUR;
    let nobody = Job { login: None, project: 9, ..job(APP, IfNotPresent) };
    assert_eq!(why(&world.run(&nobody)), &WhyUse::Readable);
    let other = Job { login: login("whatever"), server: "https://other.example", ..job(APP, Never) };
    assert_eq!(why(&world.run(&other)), &WhyUse::Public(Duration::ZERO));
}

#[test]
fn while_the_registry_is_away_a_copy_is_used_only_if_the_operator_lets_it_and_within_the_grace() {
    for (names, state) in BOTH.into_iter().zip([State::Down, State::Says429]) {
        let mut world = warm(names);
        world.state = state;
        let away = refusal(world.run(&job(APP, Always)));
        assert!(!away.is_final() && away.fault() == crate::outcome::Fault::System, "{away:?}");
        world.rules.offline_grace = Duration::from_secs(600);
        world.now += HOUR + 599;
        let end = world.run(&job(APP, Always));
        let WhyUse::Offline { age, words } = why(&end) else { panic!("{end:?}") };
        assert_eq!(age.as_secs(), HOUR + 599);
        assert!(words.contains("words"), "{words}");
        assert!(matches!(why(&world.run(&job(APP, IfNotPresent))), WhyUse::Offline { .. }));
        let other = Job { project: 8, ..job(APP, Always) };
        assert!(!world.run(&other).started());
        world.now += 1;
        assert!(!world.run(&job(APP, Always)).started());
        assert!(!world.run(&job(APP, IfNotPresent)).started());
    }
}

#[test]
fn what_was_built_here_cannot_stand_in_for_an_image_of_a_registry() {
    for names in BOTH {
        for policy in POLICIES {
            let mut world = warm(names);
            let built = world.build(APP);
            match world.run(&job(APP, policy)) {
                End::Started { id, .. } => assert!(id != built && policy != Never, "{names:?} {policy}"),
                End::Refused(refusal) => {
                    assert_eq!((refusal.clone(), policy), (Refusal::LocalOnly, Never), "{names:?}");
                    assert!(refusal.hints().iter().any(|hint| hint.contains("allow_local_images")));
                }
            }
            // The engine still has the real one, under its digest.
            assert_eq!(world.pulls, 0, "{names:?} {policy}");
        }
    }
}

#[test]
fn the_refusal_of_an_image_that_exists_only_here_names_the_setting() {
    for names in BOTH {
        for policy in [Always, IfNotPresent] {
            let mut world = warm(names);
            world.build("r.example/app:mine");
            let refusal = refusal(world.run(&job("r.example/app:mine", policy)));
            assert!(
                matches!(refusal, Refusal::NotFound { local: true, .. }),
                "{names:?} {policy} {refusal:?}"
            );
            assert!(refusal.hints().iter().any(|hint| hint.contains("allow_local_images")), "{refusal:?}");
        }
    }
}

#[test]
fn what_was_built_here_starts_where_the_operator_lets_it_and_no_registry_is_asked() {
    for names in BOTH {
        for policy in POLICIES {
            let mut world = warm(names);
            world.allow_local = true;
            let built = world.build("r.example/app:mine");
            for image in ["r.example/app:mine", &built] {
                let end = world.run(&job(image, policy));
                assert_eq!(why(&end), &WhyUse::LocalAllowed, "{names:?} {policy} {image}");
            }
            assert_eq!(world.asked, Vec::<String>::new());
        }
    }
}

#[test]
fn a_private_image_does_not_become_a_local_one_by_a_new_name() {
    for names in BOTH {
        for policy in POLICIES {
            let mut world = warm(names);
            world.allow_local = true;
            world.now += HOUR;
            let id = world.inspect(APP).unwrap().id;
            world.tags.insert("docker.io/library/mine:1".into(), id.clone());
            if names == DigestNames::OnlyNamed {
                let name = format!("docker.io/library/mine@{}", digest("app1"));
                world.images.get_mut(&id).unwrap().repo_digests.push(name);
            }
            for image in ["mine:1", &id] {
                let stranger = Job { project: 8, login: None, ..job(image, policy) };
                assert!(!world.run(&stranger).started(), "{names:?} {policy} {image}");
            }
        }
    }
}

#[test]
fn an_id_is_never_asked_for_and_opens_by_a_proof_for_any_of_its_repositories() {
    for names in BOTH {
        for policy in POLICIES {
            let mut world = warm(names);
            let id = world.inspect(APP).unwrap().id;
            assert!(matches!(why(&world.run(&job(&id, policy))), WhyUse::Proved(_)));
            let other = Job { project: 8, ..job(&id, policy) };
            assert_eq!(refusal(world.run(&other)), Refusal::NoProof);
            world.now += HOUR;
            assert_eq!(refusal(world.run(&job(&id, policy))), Refusal::NoProof);
            assert_eq!(refusal(world.run(&job(&"0".repeat(64), policy))), Refusal::NotHere);
            let built = world.build("mine:1");
            assert_eq!(refusal(world.run(&job(&built, policy))), Refusal::LocalOnly);
            assert_eq!(world.asked, Vec::<String>::new());
        }
    }
}
