use super::world::{lines, notes, running, scanned};
use super::{Findings, Running};

fn found_in(running: &Running, pipeline: &str) -> Findings {
    scanned(running, &[(".gitlab-ci.yml", pipeline)])
}

fn found(pipeline: &str) -> Vec<String> {
    lines(&found_in(&running(""), pipeline))
}

#[test]
fn later_stages_come_first_and_then_what_runs_beside() {
    let pipeline = "
stages: [prepare, build, test, ship]
ready: {stage: prepare, image: a:1, script: x}
compile: {stage: build, image: a:2, script: x}
lint: {stage: build, image: a:3, script: x}
last: {stage: .post, image: a:4, script: x}
ship: {stage: ship, image: a:5, script: x, needs: [other]}
soon: {stage: ship, image: a:6, script: x, needs: [{job: compile}]}
early: {stage: ship, image: a:7, script: x, needs: []}
check: {image: a:8, script: x, services: [b:1, {name: b:2, alias: y}]}
.hidden: {image: a:9, script: x}
child: {stage: test, image: a:10, trigger: {include: x}}
nothing: {stage: test, image: a:11}
";
    let expected = ["+1 a:8", "+1 b:1", "+1 b:2", "+1 a:6", "+2 a:5", "+3 a:4", "beside a:7", "beside a:3"];
    assert_eq!(found(pipeline), expected);
}

#[test]
fn defaults_old_globals_and_inherit_are_followed() {
    let job = "check: {script: x";
    for (head, keys, expected) in [
        ("image: a:1\nservices: [b:1]", "", &["+1 a:1", "+1 b:1"][..]),
        ("default: {image: a:1}\nimage: a:2", "", &["+1 a:1"]),
        ("default: {image: a:1}", ", image: a:3", &["+1 a:3"]),
        ("default: {image: a:1, services: [b:1]}", ", services: []", &["+1 a:1"]),
        ("default: {image: a:1}", ", inherit: {default: false}", &[]),
        ("default: {image: a:1, services: [b:1]}", ", inherit: {default: [services]}", &["+1 b:1"]),
        ("default: {image: {name: a:1, entrypoint: ['']}}", "", &["+1 a:1"]),
        ("default: {image: {name: a:1, docker: {platform: linux/amd64}}}", "", &["+1 a:1 on linux/amd64"]),
        ("default: {image: {name: a:1, docker: {platform: linux/arm64}}}", "", &["+1 a:1"]),
    ] {
        assert_eq!(found(&format!("{head}\n{job}{keys}}}\n")), expected, "{head} {keys}");
    }
}

#[test]
fn extends_references_anchors_and_merge_keys_are_followed() {
    for (pipeline, expected) in [
        (".a: {image: a:1}\njob: {extends: .a, script: x}", &["+1 a:1"][..]),
        (
            ".a: {image: a:1}\n.b: {image: a:2, services: [b:1]}\njob: {extends: [.a, .b], script: x}",
            &["+1 a:2", "+1 b:1"],
        ),
        (
            ".a: {image: {name: a:1}}\njob: {extends: .a, image: {docker: {platform: linux/386}}, script: x}",
            &["+1 a:1 on linux/386"],
        ),
        (
            ".a: {variables: {V: 1, W: 1}}\njob: {extends: .a, variables: {W: 2}, image: 'a:$V.$W', script: x}",
            &["+1 a:1.2"],
        ),
        (".a: &a {image: a:1, script: x}\njob: {<<: *a, image: a:2}", &["+1 a:2"]),
        (".a: {image: a:1}\n.b: {extends: .a}\njob: {image: !reference [.b, image], script: x}", &["+1 a:1"]),
        (
            ".a: {services: [b:1]}\njob: {services: [!reference [.a, services], b:2], script: x}",
            &["+1 b:1", "+1 b:2"],
        ),
        (".a: {variables: {V: a:1}}\njob: {image: !reference [.a, variables, V], script: x}", &["+1 a:1"]),
        (
            ".a: {image: !reference [.b, image]}\n.b: {image: a:1}\njob: {image: !reference [.a, image], script: x}",
            &["+1 a:1"],
        ),
        // None of these ends by itself.
        ("job: {image: !reference [job, image], script: x}", &[]),
        (
            ".a: {extends: .b}\n.b: {extends: [.a, .a, .a]}\njob: {extends: [.a, .b], image: a:1, script: x}",
            &["+1 a:1"],
        ),
    ] {
        assert_eq!(found(pipeline), expected, "{pipeline}");
    }
}

#[test]
fn variables_come_from_the_file_and_from_what_overrides_it() {
    let image = |head: &str, job: &str, running: &Running| {
        let findings = found_in(running, &format!("{head}\ncheck: {{script: x, image: 'a:$V', {job}}}\n"));
        lines(&findings).into_iter().chain(notes(&findings)).collect::<Vec<_>>().join("\n")
    };
    let plain = running("");
    assert_eq!(
        image("variables: {V: '1'}", "", &plain),
        ".gitlab-ci.yml:2: the value of $V is not known here"
    );
    let with = |value: &str| {
        let mut running = running("");
        running.variables.insert("V".to_owned(), value.to_owned());
        running
    };
    // What the running job has is the file's, or overrides it.
    assert_eq!(image("variables: {V: '1'}", "", &with("1")), "+1 a:1");
    assert_eq!(image("variables: {V: '1'}", "variables: {V: '2'}", &with("1")), "+1 a:2");
    assert_eq!(image("variables: {V: '1'}", "variables: {V: '2'}", &with("9")), "+1 a:9");
    assert_eq!(image("", "variables: {V: '2'}", &with("9")), "+1 a:9");
    assert_eq!(image("", "variables: {V: '2'}", &plain), "+1 a:2");
    // What the running job alone sets says nothing of others.
    let own = "compile: {stage: build, script: x, variables: {V: '1'}}";
    assert!(image(own, "", &with("1")).contains("not known"));
    assert_eq!(image(own, "variables: {V: '2'}", &with("1")), "+1 a:2");
    // Nested, in maps, not expanded, and without end.
    assert_eq!(image("", "variables: {V: '$W.$W', W: {value: '1'}}", &plain), "+1 a:1.1");
    assert_eq!(image("", "variables: {V: '$CI_JOB_NAME'}", &plain), "+1 a:check");
    assert!(
        image("", "variables: {V: {value: '$W', expand: 'false'}}", &plain).contains("not an image name")
    );
    assert!(image("", "variables: {V: '$W', W: '$V'}", &plain).contains("not known"));
    assert!(image("", "variables: {V: '$CI_JOB_IMAGE'}", &plain).contains("not known"));
    assert!(image("", "variables: {V: '$[[ inputs.v ]]'}", &plain).contains("not known"));
}

#[test]
fn only_jobs_that_this_runner_gets_and_that_run_by_themselves_count() {
    for (keys, gets) in [
        ("", true),
        ("tags: [small]", true),
        ("tags: [arm, small]", true),
        ("tags: [large]", false),
        ("tags: [small, large]", false),
        ("tags: [$WHO]", false),
        ("tags: [$T], variables: {T: arm}", true),
        ("when: manual", false),
        ("rules: [{when: never}]", false),
        ("rules: [{if: $CI_COMMIT_TAG}]", false),
        ("rules: [{if: $CI_COMMIT_BRANCH == 'main'}]", true),
        ("rules: [!reference [.r, rules]]", false),
        ("except: [tags]", true),
    ] {
        let pipeline =
            format!(".r: {{rules: [{{when: manual}}]}}\ncheck: {{script: x, image: a:1, {keys}}}\n");
        assert_eq!(!found(&pipeline).is_empty(), gets, "{keys}");
    }
}

#[test]
fn a_matrix_makes_jobs_and_the_running_one_has_siblings() {
    let matrix = "parallel: {matrix: [{V: ['1', '2'], W: x}, {V: '3', W: [y]}]}";
    let check = format!("check: {{script: x, image: 'a:$V$W', {matrix}}}");
    assert_eq!(found(&check), ["+1 a:1x", "+1 a:2x", "+1 a:3y"]);
    let compile = format!("compile: {{stage: build, script: x, image: 'a:$V$W', {matrix}}}");
    let mut running = running("");
    running.name = "compile: [1, x]".to_owned();
    running.variables.extend([("V".to_owned(), "1".to_owned()), ("W".to_owned(), "x".to_owned())]);
    assert_eq!(lines(&found_in(&running, &compile)), ["beside a:1x", "beside a:2x", "beside a:3y"]);
    assert_eq!(lines(&found_in(&running, &check)), ["+1 a:1x"], "the project's variables override a matrix");
    let big = "check: {script: x, image: 'a:$V$W$X', parallel: {matrix: [{V: &l [1, 2, 3, 4, 5, 6, 7, 8, 9, 0], W: *l, X: *l}]}}";
    let findings = found_in(&self::running(""), big);
    assert!(findings.wanted.len() <= 200);
    assert!(notes(&findings).iter().any(|note| note.contains("matrix")), "{:?}", findings.notes);
}

#[test]
fn local_includes_are_read_and_the_others_noted() {
    let pipeline = "
include:
  - /ci/a.yml
  - local: ci/b.yml
  - local: ci/tag.yml
    rules: [{if: $CI_COMMIT_TAG}]
  - 'ci/*.yml'
  - {project: g/other, file: x.yml}
  - https://example.com/x.yml
  - ../../etc/passwd
  - gone.yml
check: {script: x, image: a:1}
";
    let files = [
        (".gitlab-ci.yml", pipeline),
        (
            "ci/a.yml",
            "include: [ci/c.yml]\ncheck: {image: a:2, services: [b:1]}\ntwo: {script: x, image: a:3}",
        ),
        ("ci/b.yml", "spec: {inputs: {}}\n---\ntwo: {image: a:4}\n"),
        ("ci/c.yml", "include: ci/a.yml\nthree: {script: x, image: a:5}\n"),
        ("ci/tag.yml", "four: {script: x, image: a:6}\n"),
    ];
    let findings = scanned(&running(""), &files);
    assert_eq!(lines(&findings), ["+1 a:1", "+1 b:1", "+1 a:5", "+1 a:4"]);
    let notes = notes(&findings).join("\n");
    for noted in ["ci/*.yml", "project: g/other", "https://example.com", "etc/passwd", "gone.yml"] {
        assert!(notes.contains(noted), "{noted}: {notes}");
    }
    assert_eq!(findings.notes.len(), 5, "{notes}");
}

#[test]
fn builds_of_jobs_to_come_are_found_but_not_what_the_pipeline_makes_itself() {
    let pipeline = "
image: docker:28-cli
pack:
  stage: test
  before_script: [cd app]
  script:
    - [!reference [.args, script]]
    - docker build --build-arg V=$V -t $CI_REGISTRY_IMAGE:$CI_COMMIT_SHA .
  variables: {V: '4'}
.args: {script: ['export X=1']}
use: {stage: deploy, image: '$CI_REGISTRY_IMAGE:$CI_COMMIT_SHA', script: x}
far:
  stage: deploy
  variables: {DOCKER_HOST: 'tcp://docker:2375'}
  services: [docker:28-dind]
  script: docker build app
";
    let files = [(".gitlab-ci.yml", pipeline), ("app/Dockerfile", "ARG V=3\nFROM alpine:$V\n")];
    assert_eq!(
        lines(&scanned(&running(""), &files)),
        ["+1 docker:28-cli", "+1 alpine:4", "+2 docker:28-dind", "+2 alpine:3 in OtherEngine",]
    );
}

#[test]
fn a_file_that_is_elsewhere_broken_or_without_the_running_stage_is_noted() {
    let mut elsewhere = running("");
    elsewhere.variables.insert("CI_CONFIG_PATH".to_owned(), "x.yml@g/p".to_owned());
    assert!(notes(&found_in(&elsewhere, "a: {script: x}"))[0].contains("x.yml@g/p"));
    let mut renamed = running("");
    renamed.variables.insert("CI_CONFIG_PATH".to_owned(), "ci/x.yml".to_owned());
    let findings = scanned(&renamed, &[("ci/x.yml", "check: {script: x, image: a:1}")]);
    assert_eq!(lines(&findings), ["+1 a:1"]);
    assert!(notes(&found_in(&running(""), "a: ["))[0].contains("cannot be read"));
    assert!(notes(&found_in(&running(""), "[a]"))[0].contains("no map of jobs"));
    assert!(notes(&found_in(&running(""), "stages: [x]\na: {script: x}"))[0].contains("\"build\""));
    assert_eq!(scanned(&running(""), &[]), Findings::default());
}

#[test]
fn what_an_image_is_wanted_for_is_told() {
    let pipeline = "
compile: {stage: build, image: a:1, script: x}
check: {image: a:2, services: [b:1], script: docker build .}
other: {image: b:1, services: [c:1], script: x}
";
    let found =
        scanned(&running(""), &[(".gitlab-ci.yml", pipeline), ("Dockerfile", "FROM d:1\nFROM c:1\n")]);
    let uses = |image: &str| found.wanted.iter().find(|wanted| wanted.image == image).expect(image).uses;
    let told = |image: &str| (uses(image).job, uses(image).service, uses(image).build);
    assert_eq!(told("a:2"), (true, false, false));
    assert_eq!(told("b:1"), (true, true, false));
    assert_eq!(told("c:1"), (false, true, true));
    assert_eq!(told("d:1"), (false, false, true));
}
