//! Tokens: right, wrong, old and rotated ones, for somebody and for anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hearth::image::{Answer, Credentials, ImageRef};
use hearth::secret::Secret;

use crate::registry::{client, denied, head, image, login, unreachable, words};
use crate::scripted::{Question, Says, Scripted, says};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A registry and its token server in one, and what they think of logins.
struct Gate {
    server: Scripted,
    /// Part of every good token: who changes it makes all others bad.
    round: Arc<AtomicU32>,
}

impl Gate {
    fn new() -> Self {
        Self::with(300, |_| None)
    }

    /// With tokens of a life in seconds, and answers that come before its own.
    fn with(life: u32, first: impl Fn(&Question) -> Option<Says> + Send + Sync + 'static) -> Self {
        let round = Arc::new(AtomicU32::new(1));
        let of_server = Arc::clone(&round);
        let server = Scripted::new(move |own, asked| {
            if let Some(says) = first(asked) {
                return says;
            }
            let round = of_server.load(Ordering::SeqCst);
            if asked.path.starts_with("/token") {
                return token(asked, round, life);
            }
            let repository =
                asked.path.split("/manifests/").next().unwrap_or_default().trim_start_matches("/v2/");
            let scope = format!("repository:{repository}:pull");
            let public = repository.starts_with("public/");
            let good = [format!("Bearer me-{round}-{scope}"), format!("Bearer nobody-{round}-{scope}")];
            if asked.login() == good[0] || public && asked.login() == good[1] {
                return says(200)
                    .header("docker-content-digest", DIGEST)
                    .header("content-type", "application/vnd.oci.image.index.v1+json");
            }
            says(401).header(
                "www-authenticate",
                format!("Bearer realm=\"http://{own}/token\",service=\"gate, the\",scope=\"{scope}\""),
            )
        });
        Self { server, round }
    }

    fn image(&self, name: &str) -> ImageRef {
        image(&format!("{}/{name}:1", self.server.address))
    }

    fn rotate(&self) {
        self.round.fetch_add(1, Ordering::SeqCst);
    }
}

/// Answers as a token server does.
fn token(asked: &Question, round: u32, life: u32) -> Says {
    let text = if asked.method == "POST" { asked.body.as_str() } else { &asked.path };
    let scope = text.split(['&', '?']).find_map(|part| part.strip_prefix("scope=")).unwrap_or_default();
    let scope = scope.replace("%3A", ":").replace("%2F", "/");
    let me = format!("Basic {}", STANDARD.encode("me:right"));
    let who = match (asked.method.as_str(), asked.login()) {
        ("POST", _) if asked.body.contains("refresh_token=identity-right") => "me",
        ("POST", _) => return says(400).body(r#"{"error":"invalid_grant"}"#),
        (_, "") => "nobody",
        (_, login) if login == me => "me",
        _ => return says(401).body(r#"{"details":"incorrect username or password"}"#),
    };
    says(200)
        .body(serde_json::json!({"token": format!("{who}-{round}-{scope}"), "expires_in": life}).to_string())
}

fn found(answer: &Answer) {
    assert_eq!(words(answer), DIGEST, "{answer:?}");
}

const HEAD: &str = "HEAD /v2/group/app/manifests/1";

#[test]
fn a_token_is_fetched_once_and_serves_until_it_is_old() {
    let gate = Gate::new();
    let registry = client();
    let me = login("me", "right");
    found(&head(&registry, &gate.image("group/app"), Some(&me)));
    assert_eq!(gate.server.lines(), [HEAD, "GET /token", HEAD]);
    let asked = &gate.server.asked()[1].path;
    assert_eq!(asked, "/token?service=gate%2C+the&scope=repository%3Agroup%2Fapp%3Apull&account=me");
    found(&head(&registry, &gate.image("group/app"), Some(&me)));
    assert_eq!(gate.server.lines()[3..], [HEAD]);
    // Another repository needs a token of its own, and no question why.
    found(&head(&registry, &gate.image("group/other"), Some(&me)));
    assert_eq!(gate.server.lines()[4..], ["GET /token", "HEAD /v2/group/other/manifests/1"]);

    // The registry stops taking the token: once more with a new one.
    gate.rotate();
    found(&head(&registry, &gate.image("group/app"), Some(&me)));
    assert_eq!(gate.server.lines()[6..], [HEAD, "GET /token", HEAD]);
}

#[test]
fn a_token_of_no_life_is_not_kept() {
    let gate = Gate::with(1, |_| None);
    let registry = client();
    let me = login("me", "right");
    found(&head(&registry, &gate.image("group/app"), Some(&me)));
    std::thread::sleep(Duration::from_millis(1100));
    found(&head(&registry, &gate.image("group/app"), Some(&me)));
    assert_eq!(gate.server.lines()[3..], ["GET /token", HEAD]);
}

#[test]
fn nobodys_token_is_not_somebodys_and_somebodys_is_nobody_elses() {
    let gate = Gate::new();
    let registry = client();
    let private = gate.image("group/app");
    found(&head(&registry, &private, Some(&login("me", "right"))));
    assert!(denied(&head(&registry, &private, None)).contains("without a login"));
    let answer = head(&registry, &private, Some(&login("me", "wrong-canary")));
    assert!(denied(&answer).contains("incorrect username or password"), "{answer:?}");
    assert!(!words(&answer).contains("canary"));
    found(&head(&registry, &private, Some(&login("me", "right"))));
}

#[test]
fn anybody_may_read_what_is_public_and_a_wrong_login_may_not() {
    let gate = Gate::new();
    let public = gate.image("public/app");
    found(&head(&client(), &public, None));
    assert!(!gate.server.asked().iter().any(|asked| asked.login().starts_with("Basic")));
    denied(&head(&client(), &public, Some(&login("me", "wrong"))));
    found(&head(&client(), &public, Some(&login("me", "right"))));
}

#[test]
fn an_identity_token_is_shown_to_the_token_server_only() {
    let gate = Gate::new();
    let by = |token: &str| Credentials {
        username: String::new(),
        password: Secret::default(),
        identity_token: Some(Secret::new(token)),
        ..login("", "")
    };
    found(&head(&client(), &gate.image("group/app"), Some(&by("identity-right"))));
    assert_eq!(gate.server.lines(), [HEAD, "POST /token", HEAD]);
    let asked = gate.server.asked();
    assert!(asked[1].body.starts_with("grant_type=refresh_token&") && asked[1].login().is_empty());
    assert!(!asked[2].login().contains("identity-right"));
    let answer = head(&client(), &gate.image("group/app"), Some(&by("identity-canary")));
    assert!(denied(&answer).contains("invalid_grant") && !words(&answer).contains("canary"), "{answer:?}");
}

#[test]
fn a_hint_saves_the_first_question_and_takes_no_login_anywhere() {
    let gate = Gate::new();
    let first = client();
    found(&head(&first, &gate.image("public/app"), None));
    let hint = first.hint(&gate.server.address).expect("something was learned");
    assert_eq!(hint, format!("http bearer http://{}/token gate, the", gate.server.address));
    let asked = gate.server.lines().len();

    let next = client();
    next.remember(&gate.server.address, &hint);
    found(&head(&next, &gate.image("public/app"), None));
    assert_eq!(gate.server.lines()[asked..], ["GET /token", "HEAD /v2/public/app/manifests/1"]);

    // Somebody wrote another server into the hint: a login waits for the registry's own word.
    let thief = Scripted::new(|_, _| says(200).body(r#"{"token":"stolen"}"#));
    let forged = hint.replace(&format!("{}/token", gate.server.address), &format!("{}/token", thief.address));
    assert_ne!(forged, hint);
    for (name, login) in [("group/app", Some(login("me", "right"))), ("public/app", None)] {
        let next = client();
        next.remember(&gate.server.address, &forged);
        found(&head(&next, &gate.image(name), login.as_ref()));
    }
    assert!(thief.asked().iter().all(|asked| asked.login().is_empty()), "{:?}", thief.asked());
    // A hint from before the registry moved to another scheme only costs a question.
    let next = client();
    next.remember(&gate.server.address, "https open");
    found(&head(&next, &gate.image("public/app"), None));
}

#[test]
fn what_a_token_server_refuses_is_told_apart() {
    let at_token = |says: Says| {
        let gate = Gate::with(300, move |asked| asked.path.starts_with("/token").then(|| says.clone()));
        head(&client(), &gate.image("group/app"), Some(&login("me", "right")))
    };
    let busy = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"rest"}]}"#;
    let Answer::Limited { retry_after, words } = at_token(says(429).header("retry-after", "30").body(busy))
    else {
        panic!("not limited");
    };
    assert_eq!(retry_after, Some(Duration::from_secs(30)));
    assert!(words.contains("this account") && words.contains("toomanyrequests: rest"), "{words}");
    denied(&at_token(says(403)));
    denied(&at_token(says(401)));
    assert!(unreachable(&at_token(says(503))).contains("503"));
    assert!(unreachable(&at_token(says(404))).contains("404"));
    assert!(unreachable(&at_token(says(200).body("{}"))).contains("no token"));
    assert!(unreachable(&at_token(says(200).body(vec![b' '; 2 << 20]))).contains("1024 KiB"));
}

#[test]
fn a_registry_that_is_never_content_is_asked_no_more_than_it_must_be() {
    let server = Scripted::new(|own, asked| match asked.path.starts_with("/token") {
        true => says(200).body(r#"{"token":"good"}"#),
        false => says(401).header("www-authenticate", format!("Bearer realm=\"http://{own}/token\"")),
    });
    let registry = client();
    let wanted = image(&format!("{}/a:1", server.address));
    denied(&head(&registry, &wanted, None));
    assert_eq!(server.lines().len(), 3, "{:?}", server.lines());
    denied(&head(&registry, &wanted, None));
    assert_eq!(server.lines().len(), 6, "{:?}", server.lines());

    let strange = Scripted::new(|_, _| says(401).header("www-authenticate", "Negotiate"));
    let answer = head(&client(), &image(&format!("{}/a:1", strange.address)), Some(&login("me", "right")));
    assert!(denied(&answer).contains("negotiate"), "{answer:?}");
}
