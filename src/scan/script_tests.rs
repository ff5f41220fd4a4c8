use super::world::{lines, notes, running, scanned};

const FILE: &str = "ARG V=3\nFROM alpine:${V}\n";

/// Scans a script in a checkout with some Dockerfiles.
fn found(script: &str) -> Vec<String> {
    let files = [
        ("Dockerfile", FILE),
        (
            "app/Dockerfile",
            "FROM golang:1 AS build\nFROM busybox:1 AS odd\nFROM debian:12\nCOPY --from=build / /\n",
        ),
        (
            "app/other.df",
            "FROM --platform=$BUILDPLATFORM rust:1\nFROM --platform=$TARGETPLATFORM fedora:$TARGETARCH\n",
        ),
        ("Containerfile", "FROM ubi:9\n"),
    ];
    lines(&scanned(&running(script), &files))
}

#[test]
fn builds_are_found_where_they_run_with_what_they_are_given() {
    for (script, expected) in [
        ("docker build .", &["now alpine:3"][..]),
        ("docker build -t x --build-arg V=4 .", &["now alpine:4"]),
        ("docker buildx build --push --build-arg=V=4 -t x .", &["now alpine:4"]),
        ("V=5\ndocker image build --build-arg V .", &["now alpine:5"]),
        ("export V='6'; sudo -E docker build --build-arg \"V=$V\" \"$CI_PROJECT_DIR\"", &["now alpine:6"]),
        ("docker build app", &["now debian:12", "now golang:1", "now busybox:1 unneeded"]),
        ("cd app && docker build .", &["now debian:12", "now golang:1", "now busybox:1 unneeded"]),
        ("(cd app && true); docker build .", &["now alpine:3"]),
        ("docker build --target build app", &["now golang:1"]),
        ("docker build --target odd app", &["now busybox:1", "now golang:1 unneeded"]),
        ("DOCKER_BUILDKIT=0 docker build app", &["now golang:1", "now busybox:1", "now debian:12"]),
        ("if true; then docker build -f Dockerfile app; fi", &["now alpine:3"]),
        ("docker build -f app/other.df .", &["now rust:1 unneeded", "now fedora:arm64"]),
        (
            "docker build --build-context golang:1=docker-image://x.io/go:2 --target build app",
            &["now x.io/go:2"],
        ),
        ("docker build --build-context golang:1=./go --target build app", &[]),
        ("docker build --platform linux/amd64 .", &["now alpine:3 on linux/amd64"]),
        ("docker build --platform linux/arm64 .", &["now alpine:3"]),
        (
            "docker buildx build --platform linux/amd64,linux/arm64 .",
            &["now alpine:3 on linux/amd64", "now alpine:3"],
        ),
        ("echo docker build .", &[]),
        ("docker build", &[]),
        ("docker build https://example.com/x.git", &[]),
        ("docker build - < Dockerfile", &[]),
        ("docker build ../..", &[]),
        ("docker build /etc", &[]),
        ("cd \"$WHERE\"; docker build .", &[]),
        ("docker build -t alpine:3 .", &[]),
    ] {
        let mut expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
        let mut found = found(script);
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{script}");
    }
}

#[test]
fn builders_that_do_not_use_the_engines_store_are_told() {
    for (script, expected) in [
        ("docker build .", "now alpine:3"),
        ("/kaniko/executor --context $CI_PROJECT_DIR --destination x", "now alpine:3 in Kaniko"),
        ("/kaniko/executor -c dir://$CI_PROJECT_DIR -f ./Dockerfile --cache", "now alpine:3 in Kaniko"),
        ("buildah bud -t x .", "now ubi:9 in Buildah"),
        ("podman build -f Dockerfile .", "now alpine:3 in Podman"),
        ("docker buildx create --use\ndocker buildx build .", "now alpine:3 in Buildx"),
        ("docker buildx create --use\ndocker build .", "now alpine:3"),
        ("docker buildx create --use\ndocker buildx use default\ndocker buildx build .", "now alpine:3"),
        ("docker buildx build --builder mine .", "now alpine:3 in Buildx"),
        ("BUILDX_BUILDER=mine docker build .", "now alpine:3 in Buildx"),
        ("docker -H tcp://docker:2375 build .", "now alpine:3 in OtherEngine"),
        ("export DOCKER_HOST=tcp://docker:2375\ndocker build .", "now alpine:3 in OtherEngine"),
        ("DOCKER_HOST=unix:///run/docker.sock docker build .", "now alpine:3"),
        ("docker context use far && docker build .", "now alpine:3 in OtherEngine"),
    ] {
        assert_eq!(found(script), [expected], "{script}");
    }
    let mut without = running("docker build .");
    without.socket = false;
    let findings = scanned(&without, &[("Dockerfile", FILE)]);
    assert_eq!(lines(&findings), ["now alpine:3 in NoSocket"]);
    assert!(notes(&findings)[0].contains("socket"), "{:?}", findings.notes);
}

#[test]
fn what_cannot_be_told_is_noted_with_its_place() {
    let noted = |script: &str, file: &str| {
        let findings = scanned(&running(script), &[("Dockerfile", file)]);
        assert!(lines(&findings).is_empty(), "{script}: {:?}", findings.wanted);
        notes(&findings).join("\n")
    };
    for (script, file, note) in [
        ("docker build --build-arg V=$(date) .", FILE, "Dockerfile:2: the value of $V"),
        ("docker build $WHERE", FILE, "the value of $WHERE"),
        ("docker build -f $(find) .", FILE, "only known when it runs"),
        ("docker build nowhere", FILE, "nowhere/Dockerfile"),
        ("docker build .", "FROM a:b:c", "Dockerfile:1: \"a:b:c\" is not an image name"),
        ("docker build .", "FROM ${X%y}", "only known when it runs"),
        ("docker build .", "RUN x", "it has no FROM"),
        ("docker build .", "FROM --platform=x/y/z/w x", "is not a platform"),
        ("docker buildx bake", FILE, "docker buildx bake"),
        ("docker compose build", FILE, "docker compose build"),
        ("docker build $OTHER_SECRET", FILE, "$OTHER_SECRET"),
    ] {
        let notes = noted(script, file);
        assert!(notes.contains(note), "{script}: {notes}");
    }
}

#[test]
fn the_syntax_image_and_images_that_are_only_copied_from_are_wanted() {
    let file = "# syntax=docker/dockerfile:1\nFROM scratch\nCOPY --from=nginx:1 /a /b\n\
        RUN --mount=from=busybox:1,target=/x ls\nCOPY --from=0 a b\nCOPY --from=9 a b\n";
    let findings = scanned(&running("docker build ."), &[("Dockerfile", file)]);
    assert_eq!(lines(&findings), ["now docker/dockerfile:1", "now nginx:1", "now busybox:1"]);
    assert_eq!(findings.wanted[1].place.to_string(), "Dockerfile:3");
}
