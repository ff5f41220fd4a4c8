use super::*;

fn login(username: &str, password: &str, identity: Option<&str>) -> Credentials {
    Credentials {
        server: "a.example".into(),
        username: username.into(),
        password: Secret::new(password),
        identity_token: identity.map(Secret::new),
    }
}

fn realm() -> Url {
    Url::parse("https://auth.example/token?tenant=7").unwrap()
}

#[test]
fn tokens_are_read_with_their_life() {
    for (body, expected) in [
        (r#"{"token":"t","expires_in":300}"#, Some(("t", 300))),
        (r#"{"access_token":"t"}"#, Some(("t", 60))),
        (r#"{"token":"","access_token":"a","expires_in":0}"#, Some(("a", 60))),
        (r#"{"token":"t","access_token":"a","expires_in":1e300}"#, Some(("t", 1_000_000_000))),
        (r#"{"token":"t","expires_in":null,"issued_at":"2026-11-24T09:00:00Z"}"#, Some(("t", 60))),
        (r#"{"token":"two\nlines"}"#, None),
        (r#"{"token":""}"#, None),
        (r#"{"token":7}"#, None),
        ("{}", None),
        ("<html>", None),
    ] {
        let read = read(body.as_bytes());
        assert_eq!(read.as_ref().map(|(t, life)| (t.expose(), life.as_secs())), expected, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_kept_for_its_own_account_and_until_shortly_before_its_end() {
    let tokens = Tokens::default();
    let key = |login: Option<&Credentials>, scope: &str| TokenKey::new(&realm(), "s", scope, login);
    let mine = key(Some(&login("gitlab-ci-token", "one", None)), "repository:a:pull");
    tokens.keep(&mine, &Secret::new("token-of-one"), Duration::from_secs(300));
    for (name, other) in [
        ("another password", key(Some(&login("gitlab-ci-token", "two", None)), "repository:a:pull")),
        ("nobody", key(None, "repository:a:pull")),
        ("an identity token", key(Some(&login("gitlab-ci-token", "one", Some("x"))), "repository:a:pull")),
        ("another repository", key(Some(&login("gitlab-ci-token", "one", None)), "repository:b:pull")),
        ("parts cut elsewhere", key(Some(&login("gitlab-ci-token", "on", Some("e"))), "repository:a:pull")),
    ] {
        assert_eq!(tokens.get(&other), None, "{name}");
    }
    tokio::time::advance(Duration::from_secs(289)).await;
    assert_eq!(tokens.get(&mine), Some(Secret::new("token-of-one")));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(tokens.get(&mine), None);
}

#[tokio::test]
async fn no_more_tokens_are_kept_than_there_is_room_for() {
    let tokens = Tokens::default();
    for n in 0..1000 {
        let key = TokenKey::new(&realm(), "s", &n.to_string(), None);
        tokens.keep(&key, &Secret::new("t"), Duration::from_secs(300));
    }
    assert!(tokens.0.lock().unwrap().len() <= MAX_KEPT);
}

#[test]
fn a_token_is_asked_for_with_a_password_in_the_header_or_an_identity_token_in_the_body() {
    let user = login("me", "canary", None);
    let key = TokenKey::new(&realm(), "the registry", "repository:a/b:pull", Some(&user));
    let (url, ask) = by_login(&realm(), &key, Some(&user)).unwrap();
    assert_eq!(
        url.as_str(),
        "https://auth.example/token?tenant=7&service=the+registry&scope=repository%3Aa%2Fb%3Apull&account=me"
    );
    assert_eq!(ask.headers[AUTHORIZATION], format!("Basic {}", STANDARD.encode("me:canary")));
    assert!(!format!("{:?} {key:?}", ask.headers).contains(&STANDARD.encode("me:canary")));

    let (url, ask) = by_login(&realm(), &key, None).unwrap();
    assert!(!url.as_str().contains("account") && ask.headers.is_empty());

    let ask = by_identity(&key, &Secret::new("re&fresh"));
    assert_eq!(ask.method, Method::POST);
    assert_eq!(
        &ask.body[..],
        b"grant_type=refresh_token&service=the+registry&client_id=hearth&scope=repository%3Aa%2Fb%3Apull&refresh_token=re%26fresh"
    );
}

#[test]
fn a_user_with_a_colon_would_be_somebody_else() {
    assert!(matches!(basic(&login("a:b", "c", None)), Err(Answer::Denied(_))));
}
