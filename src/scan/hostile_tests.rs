//! Checkouts that mean ill.

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::world::{add, notes, running, scanned};
use super::{Files, MAX_FILE_BYTES, MAX_FILES, MAX_NOTES, MAX_WANTED, scan};

fn repeated(text: &str) -> String {
    text.repeat(MAX_FILE_BYTES / text.len())
}

fn numbered(count: usize, line: impl Fn(usize) -> String) -> String {
    let mut text: String = (0..count).map(line).collect();
    text.truncate(MAX_FILE_BYTES);
    text
}

/// Without bounds these take hours, or more memory than there is.
#[test]
fn what_would_take_for_ever_ends() {
    let keys = numbered(8000, |n| format!("  k{n}: x\n"));
    let pipelines = [
        format!(".a:\n{keys}\n{}", numbered(6000, |n| format!("j{n}: {{extends: .a, script: x}}\n"))),
        format!("variables:\n{keys}\n{}", numbered(6000, |n| format!("j{n}: {{script: x, image: $k1}}\n"))),
        numbered(3000, |n| format!("j{n}: {{extends: [j{}, j{}], script: x}}\n", n + 1, n + 2)),
        numbered(6000, |n| format!("j{n}: {{script: x, stage: s{n}}}\n"))
            + &numbered(9000, |n| format!("- s{n}\n")),
        format!(
            "j: {{script: x, image: $A0, variables: {{{}}}}}",
            numbered(4000, |n| format!("A{n}: $A{}$A{}, ", n + 1, n + 1))
        ),
        format!("x: &x [{}]\nj: {{script: [{}]}}", repeated("'docker build .',"), "*x,".repeat(1000))
            .chars()
            .take(MAX_FILE_BYTES)
            .collect(),
        format!(
            "j: {{script: x, image: 'a:$A', parallel: {{matrix: [{{A: &l [{}], B: *l, C: *l}}]}}}}",
            "1,".repeat(1000)
        ),
        format!(
            "stages: [{}]\n{}",
            "s,".repeat(20_000),
            numbered(8000, |n| format!("j{n}: {{script: x}}\n"))
        ),
        repeated("a: [*a, &a b]\n"),
        repeated("- "),
    ];
    for pipeline in pipelines {
        let findings =
            scanned(&running(""), &[(".gitlab-ci.yml", &pipeline), ("Dockerfile", &repeated("FROM a\n"))]);
        assert!(findings.wanted.len() <= MAX_WANTED && findings.notes.len() <= MAX_NOTES);
    }
    let long = "x".repeat(3000);
    let files = [
        format!("ARG A={long}\n{}FROM $A1\n", numbered(9000, |n| format!("ARG A{n}=$A$A\n"))),
        numbered(9000, |n| format!("FROM a{n} AS s{n}\nCOPY --from=s{} a b\n", n / 2)),
        repeated("RUN <<A <<B\n"),
        repeated("FROM a\\\n"),
        format!("FROM {}", repeated("${A:-")),
        repeated("ARG A=${A:-$A$A}\n"),
    ];
    let script = "docker build --platform linux/amd64,linux/386,linux/arm .\n".repeat(1000);
    for file in files {
        let findings = scanned(&running(&script), &[("Dockerfile", &file)]);
        assert!(findings.wanted.len() <= MAX_WANTED && findings.notes.len() <= MAX_NOTES);
    }
}

#[test]
fn a_bound_that_is_met_is_said() {
    let said = |running: &super::Running, files: &[(&str, &str)]| notes(&scanned(running, files)).join("\n");
    let many = numbered(MAX_WANTED + 9, |n| format!("FROM a{n}\nCOPY --from=b{n} x y\n"));
    let findings = scanned(&running("docker build ."), &[("Dockerfile", &(many + "FROM c"))]);
    assert_eq!(findings.wanted.len(), MAX_WANTED);
    assert!(notes(&findings)[0].contains("more images"), "{:?}", findings.notes);

    let builds: String = (0..MAX_FILES + 9).map(|n| format!("docker build -f f{n} .\n")).collect();
    assert!(said(&running(&builds), &[]).contains("too many files"));
    assert!(said(&running(&"docker build .\n".repeat(9000)), &[]).contains("longer than is read"));

    let files: Vec<(String, String)> =
        (0..20).map(|n| (format!("f{n}"), format!("include: f{}\nj{n}: {{script: x}}", n + 1))).collect();
    let mut files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    files.push((".gitlab-ci.yml", "include: f0"));
    assert!(said(&running(""), &files).contains("nest too deep"));

    let extends: String = (0..20).map(|n| format!(".j{n}: {{extends: .j{}}}\n", n + 1)).collect();
    let pipeline = format!("{extends}.j20: {{image: a}}\njob: {{extends: .j0, script: x}}");
    assert!(said(&running(""), &[(".gitlab-ci.yml", &pipeline)]).contains("nest too deep"));

    let huge = repeated("#") + "##########\nFROM a";
    assert!(said(&running("docker build ."), &[("Dockerfile", &huge)]).contains("Dockerfile"));
}

/// Texts made of what the readers look for.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: [&str; 72] = [
        "FROM ",
        "ARG ",
        "COPY --from=",
        "RUN --mount=from=",
        "<<EOF",
        "EOF\n",
        "\\\n",
        "\\",
        "# syntax=",
        "# escape=`\n",
        "--platform=",
        " AS ",
        "${A:-",
        "${",
        "}",
        "$A",
        "$",
        "$$",
        "$[[",
        "=",
        "a",
        "b:1",
        "é",
        "0",
        "\n",
        "\n  ",
        "  ",
        "\t",
        "- ",
        ": ",
        ":",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&a ",
        "*a",
        "<<: ",
        "!reference ",
        "'",
        "\"",
        "`",
        "$(",
        ")",
        "(",
        ";",
        "&&",
        "||",
        "|",
        "docker ",
        "buildx ",
        "build ",
        "-f ",
        "--build-arg ",
        "/kaniko/executor -c ",
        "cd ",
        ".",
        "..",
        "/",
        "image: ",
        "script: ",
        "extends: ",
        "include: ",
        "rules: ",
        "if: ",
        "stages: ",
        "needs: ",
        "parallel: ",
        "matrix: ",
        "---\n",
        "a: ",
    ];
    let piece = prop_oneof![
        8 => (0..PIECES.len()).prop_map(|at| PIECES[at].to_owned()),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// A good text with some characters taken out, doubled or replaced.
fn mutated(text: &'static str) -> impl Strategy<Value = String> {
    let change = (0..text.len(), 0..3_u8, pieces());
    (Just(text), proptest::collection::vec(change, 0..6)).prop_map(|(text, changes)| {
        let mut text = text.to_owned();
        for (at, kind, piece) in changes {
            let at = at.min(text.len());
            if !text.is_char_boundary(at) {
                continue;
            }
            match kind {
                0 => text.insert_str(at, &piece),
                1 => text.truncate(at),
                _ => drop(text.pop()),
            }
        }
        text
    })
}

const PIPELINE: &str = "include: [f]\nstages: [build, test]\nvariables: {V: '1'}\n.a: &a {image: 'a:$V', services: [b]}\n\
    job:\n  <<: *a\n  extends: [.a]\n  script:\n    - !reference [.a, script]\n    - docker build -f f --build-arg V=$V .\n  \
    rules: [{if: '$V == \"1\" && ($A || !$B)'}]\n  parallel: {matrix: [{V: [1, 2]}]}\n";
const DOCKERFILE: &str = "# syntax=a\nARG V=${W:-3}\nFROM --platform=linux/386 a:${V} AS x\nRUN cat <<EOF > y\nFROM z\nEOF\n\
    FROM b\nCOPY --from=x a b\nRUN --mount=type=bind,from=c ls\n";

proptest! {
    #[test]
    fn nothing_makes_a_scan_fail(
        script in prop_oneof![pieces(), mutated("cd a && docker build -t x --build-arg V=\"$V\" -f f . | tee\n")],
        pipeline in prop_oneof![pieces(), mutated(PIPELINE)],
        file in prop_oneof![pieces(), mutated(DOCKERFILE), mutated(PIPELINE)],
    ) {
        let mut files = Files::new();
        add(&mut files, ".gitlab-ci.yml", &pipeline);
        for path in ["f", "a/f", "Dockerfile", "a/Dockerfile"] {
            add(&mut files, path, &file);
        }
        let findings = scan(&files, &running(&script));
        for wanted in &findings.wanted {
            assert!(wanted.image.parse::<crate::image::ImageRef>().is_ok());
        }
        for path in &findings.asks {
            assert!(!path.as_str().starts_with('/') && path.as_str().split('/').all(|part| part != ".."));
        }
        assert!(findings.notes.iter().all(|note| note.to_string().len() < 2000));
    }
}
