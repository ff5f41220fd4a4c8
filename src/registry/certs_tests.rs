use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A directory of one test, removed at its end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("hearth-certs-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, registry: &str, ca_files: Vec<PathBuf>) -> Result<Given, String> {
        let settings = RegistrySettings { certs_dir: self.0.clone(), ca_files, ..Default::default() };
        read(&settings, &Place::new(registry))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn a_registrys_directory_is_that_of_its_host_and_port() {
    let dir = Dir::new();
    let (cert, key) = pair();
    dir.file("a.example:5000/ca.crt", &format!("{cert}\n{}", pair().0));
    dir.file("a.example:5000/client.cert", &cert);
    dir.file("a.example:5000/client.key", &key);
    dir.file("a.example:5000/hosts.toml", "server = 'x'");
    let given = dir.read("a.example:5000", Vec::new()).unwrap();
    assert_eq!((given.authorities.len(), given.client.unwrap().chain.len()), (2, 1));
    for other in ["a.example", "a.example:5001", "b.example:5000"] {
        let given = dir.read(other, Vec::new()).unwrap();
        assert!(given.authorities.is_empty() && given.client.is_none(), "{other}");
    }
}

#[test]
fn the_operators_authorities_count_for_all_registries() {
    let dir = Dir::new();
    let file = dir.file("all.pem", &pair().0);
    assert_eq!(dir.read("a.example", vec![file]).unwrap().authorities.len(), 1);
}

#[test]
fn what_is_wrong_is_said_with_its_file() {
    let (cert, key) = pair();
    for (name, text, words) in [
        ("a.example/client.cert", cert.as_str(), "client.key is missing"),
        ("a.example/client.key", &key, "client.cert is missing"),
        ("a.example/ca.crt", "no PEM", "ca.crt has no certificate in PEM format"),
    ] {
        let dir = Dir::new();
        dir.file(name, text);
        let said = dir.read("a.example", Vec::new()).err().unwrap();
        assert!(said.contains(words), "{said}");
    }
    let dir = Dir::new();
    dir.file("a.example/client.cert", &cert);
    dir.file("a.example/client.key", "none");
    assert!(dir.read("a.example", Vec::new()).err().unwrap().contains("no private key"));
    let missing = dir.0.join("gone.pem");
    assert!(dir.read("b.example", vec![missing]).err().unwrap().contains("gone.pem cannot be read"));
}
