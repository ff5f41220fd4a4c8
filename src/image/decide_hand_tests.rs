//! Rules about mirrors, pinned names and odd answers, with cases made by hand.

use super::world::{HOUR, INDEX, MANIFEST, digest, platform};
use super::*;
use crate::settings::PullPolicy::{Always, IfNotPresent, Never};

const APP: &str = "r.example/app:1";
const POLICIES: [PullPolicy; 3] = [Always, IfNotPresent, Never];

/// Decides about one image of `r.example/app` by hand.
fn by_hand(
    image: &str,
    policy: PullPolicy,
    home: &Home,
    local: Option<&ImageFacts>,
    answers: &Answers,
) -> Verdict {
    by_hand_with(image, policy, std::slice::from_ref(home), local, answers, Duration::ZERO)
}

fn by_hand_with(
    image: &str,
    policy: PullPolicy,
    homes: &[Home],
    local: Option<&ImageFacts>,
    answers: &Answers,
    offline_grace: Duration,
) -> Verdict {
    let native = platform("linux/arm64");
    let tag_was = digest("known");
    decide(&Case {
        image: &image.parse().unwrap(),
        policy,
        asked: None,
        native: &native,
        emulation: false,
        allow_local: false,
        names: DigestNames::CameFromThere,
        local,
        tag_was: Some(&tag_was),
        homes,
        rules: AccessRules { proof_ttl: Duration::from_secs(HOUR), offline_grace },
        now: 1_000_000,
        answers,
    })
}

fn home(proved: &[&str]) -> Home {
    let holder = Holder::from_stored("mine");
    let proof = |name: &&str| Proof { holder: holder.clone(), digest: digest(name), proved_at: 999_990 };
    Home { proofs: proved.iter().map(proof).collect(), ..Home::unknown("r.example/app", holder.clone()) }
}

fn facts(names: &[String]) -> ImageFacts {
    let (os, architecture) = ("linux".to_owned(), "arm64".to_owned());
    ImageFacts {
        id: "sha256:id".into(),
        repo_digests: names.to_vec(),
        os,
        architecture,
        ..ImageFacts::default()
    }
}

fn found(name: &str, media_type: &str) -> Answer {
    Answer::Found { digest: digest(name), media_type: media_type.to_owned() }
}

#[test]
fn content_of_a_mirror_counts_only_where_it_was_fetched_for_this_repository() {
    let pinned = format!("r.example/app@{}", digest("d"));
    let mirrored = facts(&[format!("m.lan/app@{}", digest("d"))]);
    let answers = Answers {
        tag: Some(found("d", MANIFEST)),
        digests: BTreeMap::from([(digest("d"), found("d", MANIFEST))]),
        looks: BTreeMap::from([(digest("d"), None)]),
        ..Answers::default()
    };
    let stranger = by_hand(APP, Always, &home(&["d"]), Some(&mirrored), &answers);
    assert!(matches!(&stranger, Verdict::Pull(pull) if pull.why == WhyPull::Foreign), "{stranger:?}");
    // Something else came from there for this repository.
    let origin = Origin { digest: digest("e"), via: "m.lan/app".into() };
    let elsewhere = Home { origins: vec![origin], ..home(&["d"]) };
    let stranger = by_hand(APP, Never, &elsewhere, Some(&mirrored), &answers);
    assert_eq!(stranger, Verdict::Refuse(Refusal::NoProof));
    let origin = Origin { digest: digest("d"), via: "m.lan/app".into() };
    let known = Home { origins: vec![origin], ..home(&["d"]) };
    for policy in POLICIES {
        let verdict = by_hand(APP, policy, &known, Some(&mirrored), &answers);
        assert!(matches!(&verdict, Verdict::Use(it) if !it.retag), "{policy} {verdict:?}");
        // Under its digest the engine knows it by the mirror's name only.
        let verdict = by_hand(&pinned, policy, &known, None, &Answers::default());
        let names = vec![format!("m.lan/app@{}", digest("d"))];
        let look = Verdict::Look { digest: digest("d"), names };
        let asks = Verdict::Ask(Question::Digest(digest("d")));
        assert_eq!(verdict, if policy == Always { asks } else { look }, "{policy}");
        let looks = BTreeMap::from([(digest("d"), Some(mirrored.clone()))]);
        let verdict = by_hand(&pinned, policy, &known, None, &Answers { looks, ..answers.clone() });
        assert!(matches!(&verdict, Verdict::Use(it) if !it.retag), "{policy} {verdict:?}");
    }
}

#[test]
fn a_pinned_image_is_asked_for_by_its_digest_and_needs_no_question_to_be_pulled_with_a_proof() {
    let pinned = format!("r.example/app:9@{}", digest("d"));
    let none = Answers::default();
    let asks = Verdict::Ask(Question::Digest(digest("d")));
    assert_eq!(by_hand(&pinned, Always, &home(&["d"]), None, &none), asks);
    assert_eq!(by_hand(&pinned, IfNotPresent, &home(&["e"]), None, &none), asks);
    let pull = by_hand(&pinned, IfNotPresent, &home(&["d"]), None, &none);
    assert!(matches!(&pull, Verdict::Pull(pull) if pull.digest == digest("d")), "{pull:?}");
    assert_eq!(by_hand(&pinned, Never, &home(&["d"]), None, &none), Verdict::Refuse(Refusal::NotHere));
    for answer in [found("other", MANIFEST), Answer::NotFound("gone".into())] {
        let digests = BTreeMap::from([(digest("d"), answer.clone())]);
        let answers = Answers { tag: Some(found("d", MANIFEST)), digests, ..Answers::default() };
        for policy in [Always, IfNotPresent] {
            let verdict = by_hand(&pinned, policy, &home(&[]), None, &answers);
            assert!(matches!(verdict, Verdict::Refuse(_)), "{policy} {answer:?} {verdict:?}");
        }
    }
}

#[test]
fn while_the_registry_is_away_mirrors_may_supply_what_this_project_could_read() {
    let away = Answers { tag: Some(Answer::Unreachable("no route".into())), ..Answers::default() };
    let grace = Duration::from_secs(60);
    for policy in [Always, IfNotPresent] {
        let verdict = by_hand_with(APP, policy, &[home(&["known"])], None, &away, grace);
        let Verdict::Pull(pull) = verdict else { panic!("{verdict:?}") };
        assert_eq!(pull.digest, digest("known"));
        assert_eq!(pull.mirrors_only, Some(Refusal::Unreachable("no route".into())));
        assert_eq!(pull.record, Record::default());
        for (home, grace) in [(home(&["other"]), grace), (home(&["known"]), Duration::ZERO)] {
            let verdict = by_hand_with(APP, policy, &[home], None, &away, grace);
            assert!(matches!(verdict, Verdict::Refuse(Refusal::Unreachable(_))), "{verdict:?}");
        }
    }
}

#[test]
fn an_index_that_cannot_be_had_refuses_and_one_that_cannot_be_read_is_left_to_the_engine() {
    let with = |contents: Contents| {
        let answers = Answers {
            tag: Some(found("i", INDEX)),
            looks: BTreeMap::from([(digest("i"), None)]),
            indexes: BTreeMap::from([(digest("i"), contents)]),
            ..Answers::default()
        };
        by_hand(APP, Always, &home(&[]), None, &answers)
    };
    for contents in [Contents::Unreadable, Contents::Manifest] {
        let verdict = with(contents);
        let Verdict::Pull(pull) = verdict else { panic!("{verdict:?}") };
        assert_eq!((pull.digest, pull.record.proved), (digest("i"), vec![digest("i")]));
    }
    let denied = with(Contents::Failed(Answer::Denied("no".into())));
    assert_eq!(denied, Verdict::Refuse(Refusal::Denied("no".into())));
    let limited = with(Contents::Failed(Answer::Limited { retry_after: None, words: "slow".into() }));
    assert!(matches!(limited, Verdict::Refuse(Refusal::Limited { .. })), "{limited:?}");
}

#[test]
fn an_answer_that_is_no_digest_is_none() {
    let answers = Answers {
        tag: Some(Answer::Found { digest: "sha256:../../x".into(), media_type: MANIFEST.into() }),
        ..Answers::default()
    };
    let verdict = by_hand(APP, Always, &home(&[]), None, &answers);
    assert!(matches!(verdict, Verdict::Refuse(Refusal::Unreachable(_))), "{verdict:?}");
}

#[test]
fn a_repository_that_the_caller_forgot_has_no_proofs() {
    let stray = Home { repository: "r.example/other".into(), ..home(&["d"]) };
    let local = facts(&[format!("r.example/app@{}", digest("d"))]);
    assert_eq!(
        by_hand(APP, Never, &stray, Some(&local), &Answers::default()),
        Verdict::Refuse(Refusal::NoProof)
    );
}

#[test]
fn an_answer_about_another_digest_opens_nothing() {
    let local = facts(&[format!("r.example/app@{}", digest("d"))]);
    let digests = BTreeMap::from([(digest("d"), found("other", MANIFEST))]);
    let verdict =
        by_hand(APP, IfNotPresent, &home(&[]), Some(&local), &Answers { digests, ..Answers::default() });
    assert!(matches!(verdict, Verdict::Refuse(Refusal::Unreachable(_))), "{verdict:?}");
}

#[test]
fn each_repository_of_an_image_has_its_own_proofs() {
    let names = ["other", "app"].map(|name| format!("r.example/{name}@{}", digest("d")));
    let local = facts(&names);
    let other = |proved: &[&str]| Home { repository: "r.example/other".into(), ..home(proved) };
    let none = Answers::default();
    let opens = |image: &str, homes: &[Home]| {
        let verdict = by_hand_with(image, Never, homes, Some(&local), &none, Duration::ZERO);
        matches!(verdict, Verdict::Use(_))
    };
    let id = "0".repeat(64);
    assert!(opens(&id, &[other(&[]), home(&["d"])]) && opens(&id, &[other(&["d"]), home(&[])]));
    assert!(!opens(&id, &[other(&["e"]), home(&["e"])]));
    assert!(opens(APP, &[other(&[]), home(&["d"])]) && !opens(APP, &[other(&["d"]), home(&[])]));
}
