use std::time::Duration;

use proptest::prelude::*;

use super::{Account, Asker, Credentials, HashKey, Holder, Proof, Secret, live};

const HOUR: Duration = Duration::from_secs(3600);

fn asker(server: &str, project: i64, user_id: Option<&str>) -> Asker {
    let (server, user_id) = (server.to_owned(), user_id.map(str::to_owned));
    Asker { server, project, user_id, tokens: vec![Secret::new("token-of-this-job")] }
}

fn login(username: &str, password: &str) -> Credentials {
    let (username, password) = (username.to_owned(), Secret::new(password));
    Credentials { server: "r.example".to_owned(), username, password, identity_token: None }
}

fn key() -> HashKey {
    HashKey::new([7; 32])
}

fn holder(asker: &Asker, login: Option<&Credentials>) -> Holder {
    Holder::of(asker, &Account::of(login, asker, &key()))
}

#[test]
fn a_job_token_is_known_by_its_user_since_it_changes_with_every_job() {
    let one = asker("https://git.example", 7, Some("5"));
    let next = Asker { tokens: vec![Secret::new("token-of-the-next-job")], ..one.clone() };
    let first = holder(&one, Some(&login("gitlab-ci-token", "token-of-this-job")));
    assert_eq!(first, holder(&next, Some(&login("gitlab-ci-token", "token-of-the-next-job"))));
    let other_user = Asker { user_id: Some("6".to_owned()), ..next.clone() };
    assert_ne!(first, holder(&other_user, Some(&login("gitlab-ci-token", "token-of-the-next-job"))));
    assert_ne!(first, holder(&next, Some(&login("somebody", "token-of-the-next-job"))));
    // A token of another job is a login like any other.
    assert_ne!(first, holder(&next, Some(&login("gitlab-ci-token", "token-of-this-job"))));
}

#[test]
fn a_job_token_without_a_user_known_for_sure_is_good_for_one_job_only() {
    let one = asker("https://git.example", 7, None);
    let next = Asker { tokens: vec![Secret::new("token-of-the-next-job")], ..one.clone() };
    assert_ne!(
        holder(&one, Some(&login("gitlab-ci-token", "token-of-this-job"))),
        holder(&next, Some(&login("gitlab-ci-token", "token-of-the-next-job")))
    );
}

#[test]
fn a_proof_is_good_for_one_server_project_and_login() {
    let one = asker("https://git.example", 7, Some("5"));
    let right = login("me", "secret");
    let first = holder(&one, Some(&right));
    assert_eq!(first, holder(&one, Some(&right.clone())));
    let mut others = vec![
        holder(&asker("https://git.example", 8, Some("5")), Some(&right)),
        holder(&asker("https://other.example", 7, Some("5")), Some(&right)),
        holder(&one, Some(&login("me", "rotated"))),
        holder(&one, Some(&login("you", "secret"))),
        holder(&one, Some(&login("mes", "ecret"))),
        Holder::of(&one, &Account::of(Some(&right), &one, &HashKey::new([8; 32]))),
        holder(&one, Some(&Credentials { identity_token: Some(Secret::new("secret")), ..login("me", "") })),
        holder(&one, None),
    ];
    others.push(first);
    let count = others.len();
    others.sort();
    others.dedup();
    assert_eq!(others.len(), count, "{others:?}");
}

#[test]
fn neither_logins_nor_the_key_are_in_a_proof_or_in_debug_output() {
    let one = asker("https://git.example", 7, Some("5"));
    for login in [login("me", "hunter2"), login("gitlab-ci-token", "token-of-this-job")] {
        let account = Account::of(Some(&login), &one, &key());
        let holder = Holder::of(&one, &account);
        let shown = format!("{one:?} {account:?} {holder:?} {} {:?}", holder.as_str(), key());
        assert!(
            !shown.contains("hunter2") && !shown.contains("token-of-this-job") && !shown.contains("7, 7"),
            "{shown}"
        );
        assert_eq!(Holder::from_stored(holder.as_str()), holder);
    }
}

#[test]
fn a_proof_counts_until_it_is_too_old_and_not_before_it_was_made() {
    let proof = Proof { holder: Holder::public(), digest: "d".to_owned(), proved_at: 10_000 };
    for (now, lasts, is_live) in [
        (10_000, 3600, true),
        (13_599, 3600, true),
        (13_600, 3600, false),
        (10_000, 0, false),
        (9_940, 3600, true),
        (9_939, 3600, false),
        (0, 3600, false),
        (u64::MAX, u64::MAX, true),
    ] {
        assert_eq!(proof.is_live(now, Duration::from_secs(lasts)), is_live, "{now} {lasts}");
    }
}

#[test]
fn the_newest_proof_counts_that_is_public_or_ones_own_and_for_the_digest() {
    let proof = |holder: &str, digest: &str, proved_at| Proof {
        holder: Holder::from_stored(holder),
        digest: digest.to_owned(),
        proved_at,
    };
    let proofs = [
        proof("public", "a", 100),
        proof("mine", "a", 200),
        proof("other", "a", 300),
        proof("mine", "b", 400),
    ];
    let mine = Holder::from_stored("mine");
    let newest = |digests: &[&str], holder: &Holder| {
        live(&proofs, digests, holder, 500, HOUR).map(|proof| proof.proved_at)
    };
    assert_eq!(newest(&["a"], &mine), Some(200));
    assert_eq!(newest(&["a", "b"], &mine), Some(400));
    assert_eq!(newest(&["c"], &mine), None);
    assert_eq!(newest(&["a"], &Holder::from_stored("third")), Some(100));
    assert_eq!(newest(&["b"], &Holder::from_stored("third")), None);
}

proptest! {
    #[test]
    fn no_texts_make_two_holders_one(a in ("[ -~]{0,6}", "[ -~]{0,6}", "[ -~]{0,6}"), b in ("[ -~]{0,6}", "[ -~]{0,6}", "[ -~]{0,6}")) {
        let holder = |(server, user, user_id): &(String, String, String)| {
            let account = Account::JobToken { user: user.clone(), user_id: user_id.clone() };
            Holder::of(&asker(server, 7, None), &account)
        };
        prop_assert_eq!(holder(&a) == holder(&b), a == b);
        prop_assert!(!holder(&a).is_public());
    }
}
