use proptest::prelude::*;

use super::*;

fn bearer(realm: &str, service: &str, scope: Option<&str>) -> Challenge {
    Challenge::Bearer { realm: realm.into(), service: service.into(), scope: scope.map(str::to_owned) }
}

#[test]
fn challenges_are_read_as_registries_write_them() {
    let cases: [(&str, &[&str], Vec<Challenge>); 14] = [
        (
            "Docker Hub",
            &[
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull""#,
            ],
            vec![bearer(
                "https://auth.docker.io/token",
                "registry.docker.io",
                Some("repository:library/alpine:pull"),
            )],
        ),
        (
            "a comma inside quotes",
            &[r#"Bearer realm="https://a/t",scope="repository:x:pull,push",service="s""#],
            vec![bearer("https://a/t", "s", Some("repository:x:pull,push"))],
        ),
        ("an htpasswd registry", &[r#"Basic realm="hearth""#], vec![Challenge::Basic]),
        (
            "two in one header",
            &[r#"Basic realm="a", Bearer realm="https://a/t",service=s"#],
            vec![Challenge::Basic, bearer("https://a/t", "s", None)],
        ),
        (
            "two headers",
            &[r#"Basic realm="a""#, r#"Bearer realm="https://a/t""#],
            vec![Challenge::Basic, bearer("https://a/t", "", None)],
        ),
        (
            "names in any case, spaces around",
            &[r#"  bEARER  Realm = "https://a/t" ,  SERVICE="s"  "#],
            vec![bearer("https://a/t", "s", None)],
        ),
        (
            "an escaped quote",
            &[r#"Bearer realm="https://a/t",service="a \"b\" \\ c""#],
            vec![bearer("https://a/t", "a \"b\" \\ c", None)],
        ),
        (
            "others, with and without a token68",
            &["Negotiate", r#"NTLM TlRMTVNTUAAC+/==, Basic realm="x""#],
            vec![
                Challenge::Other("negotiate".into()),
                Challenge::Other("ntlm".into()),
                Challenge::Other("tlrmtvntuaac+/".into()),
                Challenge::Basic,
            ],
        ),
        (
            "an error beside it",
            &[r#"Bearer realm="https://a/t",service="s",scope="x",error="insufficient_scope""#],
            vec![bearer("https://a/t", "s", Some("x"))],
        ),
        ("no realm", &[r#"Bearer service="s""#], vec![]),
        ("an empty realm", &[r#"Bearer realm="""#], vec![]),
        ("a quote that does not end", &[r#"Bearer realm="https://a/t"#], vec![]),
        ("nothing", &["", "  ,, "], vec![]),
        ("parameters without a scheme", &[r#"realm="https://a/t""#], vec![]),
    ];
    for (name, headers, expected) in cases {
        let read = read(headers.iter().copied());
        // What a token68 looks like does not matter, only that the next challenge is found.
        let read: Vec<_> =
            read.into_iter().filter(|c| *c != Challenge::Other("tlrmtvntuaac+/".into())).collect();
        let expected: Vec<_> =
            expected.into_iter().filter(|c| *c != Challenge::Other("tlrmtvntuaac+/".into())).collect();
        assert_eq!(read, expected, "{name}");
    }
}

#[test]
fn a_token_is_preferred_to_a_password_and_both_to_the_unknown() {
    let token = bearer("https://a/t", "", None);
    let other = || Challenge::Other("negotiate".into());
    assert_eq!(best(vec![other(), Challenge::Basic, token.clone()]), Some(token));
    assert_eq!(best(vec![other(), Challenge::Basic]), Some(Challenge::Basic));
    assert_eq!(best(vec![other()]), Some(other()));
    assert_eq!(best(Vec::new()), None);
}

#[test]
fn a_bomb_of_challenges_is_not_read() {
    let many: Vec<String> = (0..10_000).map(|n| format!("Scheme{n}")).collect();
    assert!(read(many.iter().map(String::as_str)).len() < 1000);
    assert_eq!(read([format!("Bearer realm=\"{}\"", "a".repeat(9 << 10)).as_str()]), Vec::new());
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in "\\PC*", quoted in r#"[ -~]{0,60}"#) {
        let _ = read([text.as_str()]);
        let escaped = quoted.replace('\\', "\\\\").replace('"', "\\\"");
        let header = format!("Basic realm=\"x\", Bearer realm=\"r{escaped}\", scope=\"{escaped}\"");
        let scope = (!quoted.is_empty()).then_some(quoted.as_str());
        prop_assert_eq!(
            read([header.as_str()]),
            vec![Challenge::Basic, bearer(&format!("r{quoted}"), "", scope)]
        );
    }
}
