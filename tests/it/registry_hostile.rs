//! Registries that mean no good: everything they send is bounded, and nothing they say carries a login elsewhere.

use std::io::Write as _;
use std::time::Duration;

use hearth::image::{Answer, Credentials};
use hearth::registry::{Registry, RegistrySettings, Version};
use hearth::secret::Secret;

use crate::registry::{client, denied, head, image, login, settings, unreachable, words};
use crate::scripted::{Scripted, raw, says};
use crate::world::block_on;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn an_endless_body_is_not_read_to_its_end() {
    let address = raw(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")?;
        loop {
            stream.write_all(&[b' '; 1 << 16])?;
        }
    });
    let answer = block_on(client().manifest(&image(&format!("{address}/a:1")), DIGEST, None));
    assert!(unreachable(&answer.expect_err("it has no end")).contains("4096 KiB"));
    let address = raw(|stream| {
        stream.write_all(b"HTTP/1.1 500 Oh\r\n\r\n")?;
        loop {
            stream.write_all(&[b' '; 1 << 16])?;
        }
    });
    let answer = block_on(client().manifest(&image(&format!("{address}/a:1")), DIGEST, None));
    assert!(unreachable(&answer.expect_err("it has no end")).contains("500"));
}

#[test]
fn a_head_without_end_or_with_too_many_headers_is_no_answer() {
    for (name, one) in [("many", false), ("one", true)] {
        let address = raw(move |stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX-Long: ")?;
            for n in 0..2_000_000 {
                let line = if one { "aaaaaaaaaaaaaaaa".to_owned() } else { format!("\r\nX-{n}: a") };
                stream.write_all(line.as_bytes())?;
            }
            Ok(())
        });
        let answer = head(&client(), &image(&format!("{address}/a:1")), None);
        assert!(unreachable(&answer).contains(&address), "{name}: {answer:?}");
    }
}

#[test]
fn nonsense_is_no_answer() {
    for bytes in [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"", b"HTTP/1.1 999 \r\n\r\n", b"\x15\x03\x01\x00\x02\x02"]
    {
        let address = raw(move |stream| stream.write_all(bytes));
        let answer = head(&client(), &image(&format!("{address}/a:1")), None);
        assert!(unreachable(&answer).contains(&address), "{answer:?}");
    }
}

#[test]
fn an_answer_that_drips_is_given_up() {
    let address = raw(|stream| {
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'a')) {
            stream.write_all(&[*byte])?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    });
    let settings = RegistrySettings { timeout: Duration::from_millis(500), ..settings() };
    let answer = head(&Registry::new(settings), &image(&format!("{address}/a:1")), None);
    assert!(unreachable(&answer).contains("within 0.5 s"), "{answer:?}");
}

#[test]
fn redirects_come_to_an_end() {
    let server = Scripted::new(|_, asked| says(307).header("location", format!("{}x", asked.path)));
    let answer = head(&client(), &image(&format!("{}/a:1", server.address)), None);
    assert!(unreachable(&answer).contains("without end"), "{answer:?}");
    assert!(server.lines().len() <= 10, "{}", server.lines().len());
    for to in ["file:///etc/passwd", "ftp://a.example/", "http://", "http://[", "\u{e9}"] {
        let server = Scripted::new(move |_, _| says(302).header("location", to));
        let answer = head(&client(), &image(&format!("{}/a:1", server.address)), None);
        unreachable(&answer);
    }
}

#[test]
fn a_redirect_is_followed_and_a_login_stays_behind() {
    let other = Scripted::new(|_, _| says(200).header("docker-content-digest", DIGEST));
    let target = other.address.clone();
    let server = Scripted::new(move |_, asked| match asked.login() {
        "" => says(401).header("www-authenticate", "Basic realm=\"x\""),
        _ if asked.path.ends_with("/2") => says(200).header("docker-content-digest", DIGEST),
        _ if asked.path.contains("/own/") => says(301).header("location", "/2"),
        _ => says(307).header("location", format!("http://{target}/elsewhere")),
    });
    let me = login("me", "canary-pass");
    let answer = head(&client(), &image(&format!("{}/other/a:1", server.address)), Some(&me));
    assert_eq!(words(&answer), DIGEST);
    let asked = other.asked();
    assert_eq!((asked.len(), asked[0].path.as_str(), asked[0].login()), (1, "/elsewhere", ""));
    let answer = head(&client(), &image(&format!("{}/own/a:1", server.address)), Some(&me));
    assert_eq!(words(&answer), DIGEST);
    assert!(server.asked().last().is_some_and(|asked| asked.path == "/2" && !asked.login().is_empty()));
}

/// A registry that tells all it was told, in every place that is read.
fn gossip() -> Scripted {
    Scripted::new(|own, asked| {
        let secret = asked.login().split(' ').next_back().unwrap_or_default().to_owned();
        let told = format!("{secret} {} canary-pass canary-identity canary-token", asked.body);
        if asked.path.starts_with("/token") {
            let body =
                serde_json::json!({"error": told, "details": told, "token": "canary-token"}).to_string();
            return says(if asked.path.contains("fail") { 403 } else { 200 }).body(body);
        }
        if asked.method == "HEAD" {
            return says(405);
        }
        let errors = serde_json::json!({"errors": [{"code": told, "message": told}]}).to_string();
        let which = if asked.path.contains("/fail/") { "token/fail" } else { "token" };
        match (secret.as_str(), asked.path.contains("/basic/")) {
            ("", true) => says(401).header("www-authenticate", "Basic realm=\"canary-realm\""),
            ("", false) => says(401).header(
                "www-authenticate",
                format!("Bearer realm=\"http://u:canary-user@{own}/{which}?canary-query\",service=\"s\""),
            ),
            _ => says(403).header("x", "y").body(errors),
        }
    })
}

#[test]
fn no_secret_is_in_the_words_of_an_answer_whatever_the_registry_says() {
    let server = gossip();
    let password = login("me", "canary-pass");
    let identity = Credentials {
        username: String::new(),
        password: Secret::default(),
        identity_token: Some(Secret::new("canary-identity")),
        ..login("", "")
    };
    let pair = "bWU6Y2FuYXJ5LXBhc3M="; // me:canary-pass
    for path in ["basic", "bearer", "fail"] {
        for (name, login) in [("password", &password), ("identity", &identity)] {
            let registry = client();
            let answer = head(&registry, &image(&format!("{}/{path}/a:1", server.address)), Some(login));
            let own = if name == "password" {
                ["canary-pass", pair]
            } else {
                ["canary-identity", "canary-identity"]
            };
            let shown = format!("{answer:?} {registry:?} {:?}", registry.hint(&server.address));
            denied(&answer);
            for secret in own.iter().chain(&["canary-query", "canary-user"]) {
                assert!(!shown.contains(secret), "{path} {name}: {shown}");
            }
            // Only who has been given the token can be told it.
            assert!(path != "bearer" || !shown.contains("canary-token"), "{path} {name}: {shown}");
        }
    }
    assert!(server.asked().iter().any(|asked| asked.login().ends_with(pair)), "the password was shown to it");
    assert!(server.asked().iter().any(|asked| asked.body.contains("canary-identity")));
}

#[test]
fn a_token_server_in_the_open_on_another_host_gets_no_login() {
    let server = Scripted::new(|_, _| {
        says(401).header("www-authenticate", "Bearer realm=\"http://auth.example/t?canary\",service=\"s\"")
    });
    for login in [None, Some(&login("me", "canary-pass"))] {
        let answer = head(&client(), &image(&format!("{}/a:1", server.address)), login);
        assert!(unreachable(&answer).contains("auth.example, which is without TLS"), "{answer:?}");
        assert!(!words(&answer).contains("canary"), "{answer:?}");
    }
}

#[test]
fn a_digest_that_is_none_is_not_asked_for() {
    let server = Scripted::new(|_, _| says(200));
    for digest in ["latest", "sha256:../../x", "", "sha256:E3B0"] {
        let asked = image(&format!("{}/a:1", server.address));
        let answer = block_on(client().manifest(&asked, digest, None)).expect_err("it is no digest");
        unreachable(&answer);
    }
    assert_eq!(server.lines(), [""; 0]);
    let at = Version::Tag("1");
    let answer = block_on(client().head(&image(&format!("{}/a:1", server.address)), &at, None));
    assert!(matches!(answer, Answer::Unreachable(_)), "no digest and no manifest: {answer:?}");
}
