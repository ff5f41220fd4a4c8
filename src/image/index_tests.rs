use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Body, Index, MAX_BODY, Platform, is_index, read};

fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

fn entry(digit: char, platform: &str) -> Value {
    let parts: Vec<&str> = platform.split('/').collect();
    json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest(digit),
        "size": 500,
        "platform": {"os": parts[0], "architecture": parts[1], "variant": parts.get(2).unwrap_or(&"")},
    })
}

fn index(entries: &[Value]) -> Index {
    let body = json!({"schemaVersion": 2, "manifests": entries});
    match read(body.to_string().as_bytes()) {
        Ok(Body::Index(index)) => index,
        other => panic!("{other:?}"),
    }
}

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

/// Which of an index's platforms a host gets, as `PLATFORMS on NATIVE [asked]`.
fn chosen(platforms: &[&str], asked: Option<&str>, native: &str) -> Option<usize> {
    let digits = ['a', 'b', 'c', 'd', 'e'];
    let entries: Vec<Value> =
        platforms.iter().zip(digits).map(|(platform, digit)| entry(digit, platform)).collect();
    let index = index(&entries);
    let asked = asked.map(platform);
    let entry = index.choose(asked.as_ref(), &platform(native))?;
    digits.iter().position(|digit| entry.digest == self::digest(*digit))
}

#[test]
fn a_host_gets_its_own_platform_else_the_nearest_older_one_else_32_bit() {
    for (platforms, native, place) in [
        (&["linux/amd64", "linux/arm64/v8"][..], "linux/arm64", Some(1)),
        (&["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], "linux/arm/v7", Some(2)),
        (&["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", Some(1)),
        (&["linux/arm/v7", "linux/arm/v6"], "linux/arm/v6", Some(1)),
        (&["linux/arm/v7"], "linux/arm/v6", None),
        (&["linux/arm/v6", "linux/arm/v7"], "linux/arm64", Some(1)),
        (&["linux/arm/v7", "linux/arm64"], "linux/arm64", Some(1)),
        (&["linux/386"], "linux/amd64", Some(0)),
        (&["linux/amd64/v3", "linux/amd64"], "linux/amd64", Some(1)),
        (&["windows/amd64"], "linux/amd64", None),
        (&["linux/amd64"], "linux/arm64", None),
        (&["linux/amd64", "linux/amd64"], "linux/amd64", Some(0)),
        (&[], "linux/amd64", None),
    ] {
        assert_eq!(chosen(platforms, None, native), place, "{platforms:?} on {native}");
    }
}

#[test]
fn a_platform_that_was_asked_for_has_to_be_there() {
    let platforms = ["linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8"];
    for (asked, place) in [
        ("linux/arm/v7", Some(2)),
        ("linux/arm/v6", Some(1)),
        ("linux/arm", Some(2)),
        ("linux/arm64", Some(3)),
        ("linux/amd64", Some(0)),
        ("linux/riscv64", None),
        ("linux/arm/v5", None),
    ] {
        assert_eq!(chosen(&platforms, Some(asked), "linux/arm64"), place, "{asked}");
    }
}

#[test]
fn attestations_are_no_variants() {
    let mut attestation = entry('b', "unknown/unknown");
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let mut disguised = entry('c', "linux/arm64");
    disguised["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest", "other": 1});
    let mut annotated = entry('d', "linux/arm64");
    annotated["annotations"] = json!({"org.opencontainers.image.version": "1"});
    let index = index(&[entry('a', "linux/amd64"), attestation, disguised, annotated]);
    let digests: Vec<&str> = index.entries.iter().map(|entry| entry.digest.as_str()).collect();
    assert_eq!(digests, [digest('a'), digest('d')]);
    assert_eq!(index.list(), "linux/amd64, linux/arm64");
}

#[test]
fn an_entry_without_a_platform_is_taken_only_where_it_is_the_only_one() {
    let mut bare = entry('a', "linux/arm64");
    bare["platform"] = Value::Null;
    let mut empty = entry('b', "linux/arm64");
    empty["platform"] = json!({"os": "", "architecture": ""});
    let native = platform("linux/arm64");
    assert!(index(&[bare.clone()]).choose(None, &native).is_some());
    assert!(index(&[empty.clone()]).choose(None, &native).is_some());
    assert!(index(&[bare, empty]).choose(None, &native).is_none());
}

#[test]
fn a_manifest_tells_what_its_layers_weigh() {
    let body = json!({
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"digest": digest('c'), "size": 10},
        "layers": [{"digest": digest('1'), "size": 100}, {"digest": digest('2'), "size": 1000}],
    });
    let Ok(Body::Manifest(manifest)) = read(body.to_string().as_bytes()) else { panic!("{body}") };
    assert_eq!(manifest.config.digest, digest('c'));
    assert_eq!(manifest.layers[1].digest, digest('2'));
    assert_eq!((manifest.layers.len(), manifest.bytes()), (2, 1110));
}

#[test]
fn sizes_that_no_image_has_are_refused() {
    let gib = |gib: u64| gib << 30;
    let weighs = |config: u64, layers: &[u64]| {
        let layer = |size: &u64| json!({"digest": digest('1'), "size": size});
        let layers: Vec<Value> = layers.iter().map(layer).collect();
        let body = json!({"config": {"digest": digest('c'), "size": config}, "layers": layers});
        read(body.to_string().as_bytes()).is_ok()
    };
    assert!(weighs(0, &[gib(128), gib(128), gib(100)]));
    for (config, layers) in [
        (0, &[u64::MAX][..]),
        (0, &[9_000_000_000_000_000_000, 9_000_000_000_000_000_000, 9_000_000_000_000_000_000]),
        (0, &[gib(128) + 1]),
        (gib(129), &[]),
        (0, &[gib(128), gib(128), gib(128), gib(128), 1]),
        (1, &[gib(128), gib(128), gib(128), gib(128)]),
    ] {
        assert!(!weighs(config, layers), "{config} {layers:?}");
    }
}

#[test]
fn bodies_that_registry_and_engine_could_read_differently_are_refused() {
    let manifest = json!({"config": {"digest": digest('c')}, "layers": []});
    let both = json!({"config": {"digest": digest('c')}, "layers": [], "manifests": []});
    let mut lying = manifest.clone();
    lying["mediaType"] = json!("application/vnd.oci.image.index.v1+json");
    let index = json!({"manifests": [], "mediaType": "application/vnd.oci.image.manifest.v1+json"});
    let first = json!({"schemaVersion": 1, "fsLayers": []});
    let short = json!({"manifests": [{"digest": "sha256:abc"}]});
    let path = json!({"config": {"digest": digest('c')}, "layers": [{"digest": "../x"}]});
    for body in [both, lying, index, first, short, path, json!([]), json!({}), json!("x")] {
        assert!(read(body.to_string().as_bytes()).is_err(), "{body}");
    }
    assert!(read(&vec![b' '; MAX_BODY + 1]).is_err());
    let many: Vec<Value> = (0..3000).map(|_| entry('a', "linux/amd64")).collect();
    assert!(read(json!({"manifests": many}).to_string().as_bytes()).is_err());
    assert!(read(manifest.to_string().as_bytes()).is_ok());
}

#[test]
fn media_types_are_told_apart_whatever_follows_them() {
    assert_eq!(is_index("application/vnd.oci.image.index.v1+json; charset=utf-8"), Some(true));
    assert_eq!(is_index("application/vnd.docker.distribution.manifest.list.v2+json"), Some(true));
    assert_eq!(is_index("Application/vnd.docker.distribution.manifest.v2+json"), Some(false));
    assert_eq!(is_index("text/html"), None);
}

proptest! {
    #[test]
    fn no_body_makes_the_reader_panic(body in proptest::collection::vec(any::<u8>(), 0..200), text in ".*") {
        let _ = read(&body);
        let _ = read(text.as_bytes());
    }
}
