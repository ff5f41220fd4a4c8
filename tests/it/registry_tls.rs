//! TLS: whom a registry is trusted by, and what this host shows.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use hearth::image::Answer;
use hearth::registry::{Proxies, Registry, RegistrySettings};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::registry::{head, image, settings, unreachable, words};
use crate::scripted::{Scripted, says};
use crate::world::unique;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// The registry's host. Nobody resolves it: a proxy of the test's own leads there, since this machine's own names are
/// insecure by themselves, and their certificates are not looked at.
const HOST: &str = "registry.example";

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

struct Pair {
    cert: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("authority {}", unique()));
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn signs(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("parameters");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Pair { cert, key: key.serialize_pem() }
    }
}

fn server(pair: &Pair, clients: Option<&Authority>) -> Scripted {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate");
            roots.add(root).expect("an authority");
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let cert = CertificateDer::from_pem_slice(pair.cert.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
    let config = builder.with_single_cert(vec![cert], key).expect("a configuration");
    Scripted::with_tls(Arc::new(config), |_, _| says(200).header("docker-content-digest", DIGEST))
}

/// A proxy that leads every name to this machine, and notes what it is asked.
struct Proxy {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Its thread ends with the process.
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let of_thread = Arc::clone(&asked);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let asked = Arc::clone(&of_thread);
                std::thread::spawn(move || tunnel(client, &asked));
            }
        });
        Self { address, asked }
    }
}

fn tunnel(client: TcpStream, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut line) = (String::new(), String::from("-"));
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line)?;
        head.push_str(&line);
    }
    asked.lock().expect("no thread panics").push(head.clone());
    let to = head.split(' ').nth(1).unwrap_or_default();
    let port: u16 = to.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(9);
    let mut client = client;
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n");
    };
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut from, mut back) = (server.try_clone()?, client.try_clone()?);
    let down = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut back);
        back.shutdown(std::net::Shutdown::Write)
    });
    let mut to = server;
    let _ = std::io::copy(&mut reader, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
    let _ = down.join();
    Ok(())
}

/// A directory of certificates for one registry, gone at the end.
struct Ground {
    dir: PathBuf,
    proxy: Proxy,
    server: Scripted,
    name: String,
}

impl Ground {
    fn new(server: Scripted) -> Self {
        let dir = std::env::temp_dir().join(format!("hearth-tls-{}", unique()));
        let port = server.address.rsplit(':').next().unwrap_or_default().to_owned();
        let name = format!("{HOST}:{port}");
        std::fs::create_dir_all(dir.join(&name)).expect("a directory");
        Self { dir, proxy: Proxy::new(), server, name }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(&self.name).join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn settings(&self) -> RegistrySettings {
        RegistrySettings {
            certs_dir: self.dir.clone(),
            proxies: Proxies {
                https: format!("http://p:canary-proxy@{}", self.proxy.address),
                ..Proxies::default()
            },
            ..settings()
        }
    }

    fn ask(&self, settings: RegistrySettings) -> Answer {
        head(&Registry::new(settings), &image(&format!("{}/a:1", self.name)), None)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn an_unknown_authority_is_named_as_what_it_is_and_a_known_one_is_enough() {
    let authority = Authority::new();
    let ground = Ground::new(server(&authority.signs(&[HOST], |_| {}), None));
    let answer = ground.ask(ground.settings());
    let hint = format!("{}/ca.crt", ground.dir.join(&ground.name).display());
    assert!(
        unreachable(&answer).contains("unknown authority") && words(&answer).contains(&hint),
        "{answer:?}"
    );
    assert_eq!(ground.server.lines(), [""; 0], "nothing is said to who is not trusted");

    let file = ground.file("mine.pem", &authority.pem);
    let settings = RegistrySettings { ca_files: vec![file], ..ground.settings() };
    assert_eq!(words(&ground.ask(settings)), DIGEST, "by the operator's file");
    ground.file("ca.crt", &authority.pem);
    assert_eq!(words(&ground.ask(ground.settings())), DIGEST, "by docker's directory");
    ground.file("ca.crt", &Authority::new().pem);
    unreachable(&ground.ask(ground.settings()));
    ground.file("ca.crt", "nothing");
    assert!(unreachable(&ground.ask(ground.settings())).contains("ca.crt has no certificate"));
}

#[test]
fn the_proxy_is_asked_for_hosts_elsewhere_and_its_password_stays_with_it() {
    let authority = Authority::new();
    let ground = Ground::new(server(&authority.signs(&[HOST], |_| {}), None));
    ground.file("ca.crt", &authority.pem);
    let registry = Registry::new(ground.settings());
    assert_eq!(words(&head(&registry, &image(&format!("{}/a:1", ground.name)), None)), DIGEST);
    assert!(!format!("{registry:?}").contains("canary"));
    let asked = ground.proxy.asked.lock().expect("no thread panics").join("");
    assert!(asked.starts_with(&format!("CONNECT {}", ground.name)), "{asked}");
    assert!(asked.to_lowercase().contains("proxy-authorization: basic"), "{asked}");
    assert!(!ground.server.asked()[0].headers.contains_key("proxy-authorization"));
    let answer = head(&registry, &image(&format!("{HOST}:9/a:1")), None);
    assert!(unreachable(&answer).contains("the proxy does not let through"), "{answer:?}");
}

#[test]
fn old_and_foreign_certificates_are_told_apart() {
    let authority = Authority::new();
    for (pair, expected) in [
        (authority.signs(&[HOST], |params| params.not_after = date_time_ymd(2020, 1, 1)), "has expired"),
        (authority.signs(&[HOST], |params| params.not_before = date_time_ymd(4000, 1, 1)), "not valid yet"),
        (authority.signs(&["other.example"], |_| {}), "not for this name"),
    ] {
        let ground = Ground::new(server(&pair, None));
        ground.file("ca.crt", &authority.pem);
        let answer = ground.ask(ground.settings());
        assert!(unreachable(&answer).contains(expected), "{answer:?}");
    }
}

/// A certificate as Docker's manual makes it: its own authority, and nobody else's.
fn own_authority(names: &[&str], until: i32) -> Pair {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let cert = params.self_signed(&key).expect("a certificate").pem();
    Pair { cert, key: key.serialize_pem() }
}

#[test]
fn a_certificate_that_signed_itself_counts_where_the_operator_gave_it() {
    let pair = own_authority(&[HOST], 4000);
    let ground = Ground::new(server(&pair, None));
    let answer = ground.ask(ground.settings());
    assert!(unreachable(&answer).contains("/ca.crt"), "{answer:?}");
    ground.file("ca.crt", &own_authority(&[HOST], 4000).cert);
    unreachable(&ground.ask(ground.settings()));
    ground.file("ca.crt", &pair.cert);
    assert_eq!(words(&ground.ask(ground.settings())), DIGEST);
    for (pair, expected) in [
        (own_authority(&[HOST], 2020), "has expired"),
        (own_authority(&["other.example"], 4000), "not for this name"),
    ] {
        let ground = Ground::new(server(&pair, None));
        ground.file("ca.crt", &pair.cert);
        let answer = ground.ask(ground.settings());
        assert!(unreachable(&answer).contains(expected), "{answer:?}");
    }
}

#[test]
fn a_registry_that_wants_this_hosts_certificate_gets_the_one_for_it() {
    let authority = Authority::new();
    let clients = Authority::new();
    let ground = Ground::new(server(&authority.signs(&[HOST], |_| {}), Some(&clients)));
    ground.file("ca.crt", &authority.pem);
    let answer = ground.ask(ground.settings());
    assert!(unreachable(&answer).contains("client.cert"), "{answer:?}");
    let pair = clients.signs(&["this host"], |_| {});
    ground.file("client.cert", &pair.cert);
    assert!(unreachable(&ground.ask(ground.settings())).contains("client.key is missing"));
    ground.file("client.key", &pair.key);
    assert_eq!(words(&ground.ask(ground.settings())), DIGEST);
    let stranger = Authority::new().signs(&["this host"], |_| {});
    ground.file("client.cert", &stranger.cert);
    ground.file("client.key", &stranger.key);
    let answer = ground.ask(ground.settings());
    assert!(unreachable(&answer).contains("client.cert"), "{answer:?}");
    ground.file("client.key", &pair.key);
    let answer = ground.ask(ground.settings());
    assert!(
        unreachable(&answer).contains("cannot be used"),
        "a key that is not the certificate's: {answer:?}"
    );
}

#[test]
fn an_insecure_registry_may_show_any_certificate_or_none() {
    let pair = Authority::new().signs(&["other.example"], |_| {});
    let ground = Ground::new(server(&pair, None));
    let mut settings = ground.settings();
    settings.insecure.add_host(&ground.name);
    assert_eq!(words(&ground.ask(settings)), DIGEST);
    // On this machine itself, nothing has to be said for it.
    let local = image(&format!("{}/a:1", ground.server.address));
    let registry = Registry::new(ground.settings());
    assert_eq!(words(&head(&registry, &local, None)), DIGEST);
    assert_eq!(registry.hint(&ground.server.address).as_deref(), Some("https open"));

    let plain = Scripted::new(|_, _| says(200).header("docker-content-digest", DIGEST));
    let ground = Ground::new(plain);
    let answer = ground.ask(ground.settings());
    assert!(unreachable(&answer).contains("insecure-registries"), "{answer:?}");
    assert_eq!(ground.server.lines(), [""; 0], "nothing is said in the open");
    let mut settings = ground.settings();
    settings.proxies.http = settings.proxies.https.clone();
    settings.insecure.add_host(&ground.name);
    // The proxy of these tests only tunnels, and without TLS there is no tunnel: its answer is what comes.
    let answer = ground.ask(settings);
    assert!(
        ground.proxy.asked.lock().expect("no thread panics").join("").contains("HEAD http://"),
        "{answer:?}"
    );
}

#[test]
fn tls_that_never_comes_is_given_up() {
    // It takes the connection, since the kernel does, and never looks at it.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("an address").port();
    let proxy = Proxy::new();
    let settings = RegistrySettings {
        proxies: Proxies { https: format!("http://{}", proxy.address), ..Proxies::default() },
        connect_timeout: std::time::Duration::from_millis(300),
        ..settings()
    };
    let answer = head(&Registry::new(settings), &image(&format!("{HOST}:{port}/a:1")), None);
    assert!(unreachable(&answer).contains("within 0.3 s"), "{answer:?}");
}

#[test]
fn a_redirect_away_from_tls_is_not_followed() {
    let authority = Authority::new();
    for to in ["http://registry.example/", "https://127.0.0.1/", "http://169.254.169.254/"] {
        let pair = authority.signs(&[HOST], |_| {});
        let cert = CertificateDer::from_pem_slice(pair.cert.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert], key)
            .expect("a configuration");
        let ground =
            Ground::new(Scripted::with_tls(Arc::new(config), move |_, _| says(307).header("location", to)));
        ground.file("ca.crt", &authority.pem);
        let answer = ground.ask(ground.settings());
        assert!(unreachable(&answer).contains("points to"), "{to}: {answer:?}");
        assert_eq!(ground.server.lines().len(), 1);
    }
}
