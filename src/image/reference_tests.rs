use proptest::prelude::*;

use super::ImageRef;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn image(text: &str) -> ImageRef {
    text.parse().unwrap()
}

#[test]
fn short_names_mean_docker_hub_and_the_latest_tag() {
    let at_digest = format!("alpine@sha256:{HEX}");
    let tag_and_digest = format!("alpine:3.20@sha256:{HEX}");
    for (typed, full) in [
        ("alpine", "docker.io/library/alpine:latest".to_owned()),
        ("alpine:3.20", "docker.io/library/alpine:3.20".to_owned()),
        ("docker.io/alpine", "docker.io/library/alpine:latest".to_owned()),
        ("index.docker.io/alpine", "docker.io/library/alpine:latest".to_owned()),
        ("group/image", "docker.io/group/image:latest".to_owned()),
        ("localhost/image", "localhost/image:latest".to_owned()),
        ("localhost:5000/image:1", "localhost:5000/image:1".to_owned()),
        ("Registry.Example.com/a/b/c", "registry.example.com/a/b/c:latest".to_owned()),
        ("[::1]:5000/image", "[::1]:5000/image:latest".to_owned()),
        ("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f:latest".to_owned()),
        (&at_digest, format!("docker.io/library/alpine@sha256:{HEX}")),
        (&tag_and_digest, format!("docker.io/library/alpine:3.20@sha256:{HEX}")),
    ] {
        assert_eq!(image(typed).normalized(), full, "{typed}");
        assert_eq!(image(typed).familiar(), typed);
    }
}

#[test]
fn the_parts_of_a_name_are_given_apart() {
    let full = image(&format!("Host:5000/group/image:1.0@sha256:{HEX}"));
    assert_eq!(full.registry(), Some("host:5000"));
    assert_eq!(full.repository(), Some("group/image"));
    assert_eq!(full.tag(), Some("1.0"));
    assert_eq!(full.digest(), Some(format!("sha256:{HEX}").as_str()));
    assert_eq!(image(&format!("alpine@sha256:{HEX}")).tag(), None);
    assert_eq!(image("alpine").tag(), Some("latest"));
}

#[test]
fn image_ids_are_not_names() {
    for typed in [HEX.to_owned(), format!("sha256:{HEX}")] {
        let id = image(&typed);
        assert_eq!(id.id(), Some(format!("sha256:{HEX}")));
        assert_eq!((id.registry(), id.repository(), id.tag(), id.digest()), (None, None, None, None));
        assert_eq!(id.normalized(), format!("sha256:{HEX}"));
        assert!(id.service_aliases().is_empty());
    }
    assert_eq!(image(&HEX[..12]).id(), None, "a short ID looks like a name, and is read as one");
}

#[test]
fn services_get_the_host_names_of_the_docker_executor() {
    for (typed, aliases) in [
        ("postgres", vec!["postgres"]),
        ("postgres:16", vec!["postgres"]),
        ("tutum/wordpress:latest", vec!["tutum__wordpress", "tutum-wordpress"]),
        ("host.example.com:5000/a/b:1", vec!["host.example.com__a__b", "host.example.com-a-b"]),
        ("localhost:5000/a", vec!["localhost__a", "localhost-a"]),
        ("a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", vec!["a__b", "a-b"]),
    ] {
        assert_eq!(image(typed).service_aliases(), aliases, "{typed}");
    }
}

#[test]
fn bad_names_are_refused_with_what_is_wrong() {
    let long_path = "a/".repeat(150) + "a";
    let long = "a".repeat(2000);
    for (typed, reason) in [
        ("", "empty"),
        (" alpine", "spaces"),
        ("alpine latest", "spaces"),
        ("alpine\n", "spaces"),
        ("alpïne", "outside ASCII"),
        ("Alpine", "lower case"),
        ("Group/image", "lower case"),
        ("host.example.com/Group/image", "lower case"),
        ("$CI_IMAGE", "variable"),
        ("https://host/image", "scheme"),
        ("a//b", "empty"),
        ("/a", "empty"),
        ("a/", "empty"),
        ("alpine:", "tag is empty"),
        ("alpine:-x", "not a tag"),
        ("alpine:a:b", "not a tag"),
        ("host:port/alpine", "not a port"),
        ("host:99999/alpine", "not a port"),
        ("-host.example/alpine", "not a registry host"),
        ("[xyz]:1/alpine", "not an IPv6 address"),
        ("alpine@sha256:abc", "not a digest"),
        ("alpine@md5:0123456789abcdef0123456789abcdef", "not a digest"),
        ("a___b", "not a part"),
        ("a..b", "not a part"),
        ("-a", "not a part"),
        ("a-", "not a part"),
        ("@", "empty"),
        (&long_path, "too long"),
        (&long, "too long"),
    ] {
        let error = typed.parse::<ImageRef>().unwrap_err().to_string();
        assert!(error.contains(reason), "{typed:?}: {error}");
        assert!(error.len() < 600, "{error}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".*") {
        let _ = text.parse::<ImageRef>();
    }

    #[test]
    fn texts_made_of_the_grammars_own_signs_never_panic(text in "[a-zA-Z0-9:/@._\\[\\]-]{0,40}") {
        if let Ok(image) = text.parse::<ImageRef>() {
            let _ = image.service_aliases();
        }
    }

    #[test]
    fn names_survive_being_shown_and_read_again(
        host in prop::option::of("[a-z]{1,6}\\.[a-z]{2,3}(:[0-9]{1,4})?"),
        path in "[a-z0-9]{1,6}(/[a-z0-9]{1,4}([._-][a-z0-9]{1,3})?){0,3}",
        tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}"),
        digest in prop::option::of("[0-9a-f]{64}"),
    ) {
        let host = host.map(|h| format!("{h}/")).unwrap_or_default();
        let tag = tag.map(|t| format!(":{t}")).unwrap_or_default();
        let digest = digest.map(|d| format!("@sha256:{d}")).unwrap_or_default();
        let typed = format!("{host}{path}{tag}{digest}");
        let parsed = typed.parse::<ImageRef>().unwrap();
        prop_assert_eq!(&parsed.to_string().parse::<ImageRef>().unwrap(), &parsed);
        let again = parsed.normalized().parse::<ImageRef>().unwrap();
        prop_assert_eq!(again.normalized(), parsed.normalized());
    }
}
