use std::sync::Arc;

use super::super::RegistrySettings;
use super::super::place::Place;
use super::*;

fn line(name: &str, insecure: bool) -> Line {
    Line::new(&Arc::new(RegistrySettings::default()), Place::new(name), insecure, &Arc::default())
}

#[test]
fn a_token_server_has_tls_unless_the_registry_itself_may_go_without() {
    for (registry, insecure, url, good) in [
        ("a.example", false, "https://auth.example/token", true),
        ("a.example", false, "http://auth.example/token", false),
        ("a.example", false, "http://a.example/token", false),
        ("a.example:5000", true, "http://a.example:5001/token", true),
        ("a.example:5000", true, "http://auth.example/token", false),
        ("a.example:5000", true, "http://127.0.0.1/token", false),
        ("a.example", false, "https://127.0.0.1/token", false),
        ("a.example", false, "https://169.254.169.254/token", false),
        ("127.0.0.1:5000", true, "http://127.0.0.1:5001/token", true),
        ("127.0.0.1:5000", true, "http://localhost:5001/token", true),
        ("127.0.0.1:5000", true, "http://auth.example/token", false),
        ("[::1]:5000", true, "http://[::1]:5001/token", true),
        ("a.example", false, "file:///etc/passwd", false),
        ("a.example", false, "token", false),
        ("a.example", false, "", false),
    ] {
        assert_eq!(realm(&line(registry, insecure), url).is_ok(), good, "{registry} {url}");
    }
    let url = realm(&line("a.example", false), "https://user:canary@auth.example/t?x=1#f").unwrap();
    assert_eq!(url.as_str(), "https://auth.example/t?x=1");
    let said = realm(&line("a.example", false), "http://user:canary@auth.example/?canary").unwrap_err();
    assert!(said.contains("auth.example") && !said.contains("canary"), "{said}");
}

#[test]
fn what_is_known_comes_back_from_its_hint() {
    let secure = line("a.example", false);
    let token = |named| Asking::Bearer {
        realm: Url::parse("https://auth.example/token").unwrap(),
        service: "the registry".into(),
        named,
    };
    for asking in [None, Some(Asking::Basic), Some(token(true))] {
        let known = Known { scheme: Some(Scheme::Https), sure: true, asking: asking.clone() };
        let back = from_hint(&secure, &to_hint(&known).unwrap()).unwrap();
        let expected = asking.map(|asking| if asking == Asking::Basic { asking } else { token(false) });
        assert_eq!((back.scheme, back.asking), (Some(Scheme::Https), expected));
    }
    assert_eq!(to_hint(&Known::default()), None);
}

#[test]
fn a_hint_cannot_take_tls_away_or_name_a_bad_token_server() {
    let secure = line("a.example", false);
    let plain = line("127.0.0.1:5000", true);
    assert!(from_hint(&plain, "http open").is_some());
    for hint in [
        "http open",
        "http basic",
        "https bearer http://auth.example/ s",
        "https",
        "",
        "ftp open",
        "https basic x",
        "https bearer",
        "https open\n",
    ] {
        assert!(from_hint(&secure, hint).is_none(), "{hint}");
    }
    let query = Asking::Bearer {
        realm: Url::parse("https://auth.example/token?key=canary").unwrap(),
        service: String::new(),
        named: true,
    };
    let hint = to_hint(&Known { scheme: Some(Scheme::Https), sure: true, asking: Some(query) });
    assert_eq!(hint.as_deref(), Some("https open"));
}
