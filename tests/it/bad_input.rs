//! What comes from outside and is not as it should be: payload, environment, arguments, settings.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use hearth::runner::{Credential, Service, Variable};
use serde_json::{Value, json};

use crate::tools::{Attempt, contents, jobs_fault, pair};
use crate::world::{World, block_on, docker, write};

const STAGES: [&[&str]; 3] = [&["prepare"], &["run", "/nonexistent/script", "build_script"], &["cleanup"]];

#[test]
fn a_payload_that_cannot_be_read_is_the_systems_fault_and_named() {
    let Some(world) = World::new("bad payload") else { return };
    let job = world.job();
    type Spoil = fn(&Attempt);
    let kinds: [(Spoil, &str); 6] = [
        (|it| std::fs::remove_file(it.response()).expect("removed"), "No such file"),
        (
            |it| {
                std::fs::remove_file(it.response()).expect("removed");
                std::fs::create_dir(it.response()).expect("made");
            },
            "Is a directory",
        ),
        (
            |it| {
                let text = std::fs::read(it.response()).expect("read");
                std::fs::write(it.response(), &text[..text.len() / 2]).expect("written");
            },
            "ends too early",
        ),
        (|it| write(&it.response(), "<html>glcbt-try-secret</html>"), "is not the JSON object"),
        (
            |it| File::create(it.response()).and_then(|f| f.set_len(40 << 20)).expect("sparse"),
            "larger than 32 MiB",
        ),
        (|it| it.rewrite(|payload| payload["id"] = json!(0)), "names no job"),
    ];
    for (spoil, reason) in kinds {
        for stage in STAGES {
            let attempt = world.attempt(&job);
            spoil(&attempt);
            let called = world.call(stage, &attempt.env);
            called.failed_with(2, reason).failed_with(2, "JOB_RESPONSE_FILE");
            let all = format!("{}{}", called.stdout, called.stderr);
            assert!(!all.contains("glcbt-try"), "{all}");
        }
    }
}

#[test]
fn a_payload_of_null_arrays_and_few_keys_runs() {
    let Some(world) = World::new("few keys") else { return };
    let mut job = world.job().script("echo it runs");
    job.null_arrays = true;
    block_on(world.run(&job)).succeeded().says("it runs");
}

#[test]
fn a_stage_that_no_runner_started_says_so() {
    let Some(world) = World::new("no runner") else { return };
    for stage in STAGES {
        world.call(stage, &[]).failed_with(2, "JOB_RESPONSE_FILE is not set").failed_with(2, "hearth try");
        let called = world.call(stage, &[pair("SYSTEM_FAILURE_EXIT_CODE", "77")]);
        called.failed_with(77, "JOB_RESPONSE_FILE is not set");
    }
}

#[test]
fn wrong_arguments_are_the_systems_fault_and_leave_stdout_alone() {
    let Some(world) = World::new("arguments") else { return };
    let cases: [(&[&str], &str); 7] = [
        (&[], "Usage"),
        (&["prepair"], "unrecognized subcommand 'prepair'"),
        (&["run"], "<SCRIPT>"),
        (&["run", "/a/script"], "<STEP>"),
        (&["run", "/a/script", "build_script", "more"], "unexpected argument 'more'"),
        (&["cleanup", "more"], "unexpected argument 'more'"),
        (&["config", "--runner"], "--runner"),
    ];
    for (args, text) in cases {
        let called = world.call_bare(args, &[pair("SYSTEM_FAILURE_EXIT_CODE", "9")]);
        called.failed_with(9, text);
        assert_eq!(called.stdout, "", "{args:?}");
    }
}

#[test]
fn a_script_that_is_gone_is_the_systems_fault() {
    let Some(world) = World::new("script gone") else { return };
    let attempt = world.attempt(&world.job());
    let script = attempt.dir.join("script0001/script");
    let script = script.to_str().expect("a path");
    world
        .call(&["run", script, "build_script"], &attempt.env)
        .failed_with(2, script)
        .failed_with(2, "No such file");
}

#[test]
fn an_image_name_that_is_none_costs_one_attempt() {
    let Some(world) = World::new("image names") else { return };
    let registry = world.parts.registry.clone();
    for (image, text) in [
        ("", "names no image"),
        ("$NOTHING", "names no image"),
        ("Upper/case", "Upper/case"),
        ("a b", "a b"),
        ("x:$NOTHING", "x:"),
        ("busybox@sha256:abc", "sha256:abc"),
        ("../../etc", "../../etc"),
        ("http://registry/x", "http://registry/x"),
    ] {
        let ran = block_on(world.run(&world.job().image(image).script("true")));
        jobs_fault(&ran).says(text).says("hint:").is_silent_about("Pulling");
    }
    for (value, shown) in
        [("a\nb", r"a\nb"), ("a\"b", r#"a\"b"#), ("a'; rm -rf /", "rm -rf"), ("a\u{1b}[2Jb", r"a\u{1b}")]
    {
        let job = world.job().variable("ODD", value).image(format!("{registry}/$ODD:1")).script("true");
        let ran = block_on(world.run(&job));
        jobs_fault(&ran).says(shown).is_silent_about("\u{1b}[2J");
        let job = world.job().variable("ODD", value).service(Service::named(format!("{registry}/$ODD:1")));
        let ran = block_on(world.run(&job.script("true")));
        jobs_fault(&ran).says(shown).is_silent_about("\u{1b}[2J");
    }
}

#[test]
fn odd_characters_in_the_payload_itself_are_shown_escaped() {
    let Some(world) = World::new("NUL") else { return };
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 6] = [
        (|it| it["image"]["name"] = json!("a\0b"), r"a\0b"),
        (|it| it["image"]["pull_policy"] = json!(["al\0ways"]), r"al\0ways"),
        (|it| it["image"]["executor_opts"] = json!({"docker": {"platform": "li\nnux"}}), r"li\nnux"),
        (|it| it["services"] = json!([{"name": "a\0b"}]), r"a\0b"),
        (|it| it["services"] = json!([{"name": "a\nb", "pull_policy": ["never"]}]), r"a\nb"),
        (|it| it["services"] = json!([{"name": ""}]), "names no image"),
    ];
    for (change, shown) in changes {
        let attempt = world.attempt(&world.job());
        attempt.rewrite(change);
        let called = world.call(&["prepare"], &attempt.env);
        called.failed_with(1, shown);
        let raw = |c: char| c.is_control() && c != '\n' && c != '\u{1b}';
        assert!(!called.stdout.contains(raw), "{:?}", called.stdout);
        world.call(&["cleanup"], &attempt.env);
    }
}

#[test]
fn long_many_and_odd_variables_reach_the_script_as_they_are() {
    let Some(world) = World::new("variables") else { return };
    let mut job = world
        .job()
        .with_variable(Variable::plain("LONG", "x".repeat(100_000)).as_raw())
        .with_variable(Variable::plain("LINES", "one\ntwo 'quoted' \"double\" `tick` $NOT \\ end").as_raw());
    for number in 0..500 {
        job = job.variable(format!("MANY_{number}"), format!("value {number}"));
    }
    let job = job
        .script("echo \"long: ${#LONG}\"")
        .script("printf '<%s>\\n' \"$LINES\"")
        .script("echo \"many: $(env | grep -c ^MANY_)\"");
    let ran = block_on(world.run(&job));
    ran.succeeded().says("long: 100000").says("many: 500");
    ran.says("<one\ntwo 'quoted' \"double\" `tick` $NOT \\ end>");
}

#[test]
fn an_environment_that_is_not_utf8_is_mended_and_named() {
    let Some(mut world) = World::new("not UTF-8") else { return };
    world.env.push(pair("CUSTOM_ENV_ODD", b"a\xffb"));
    world.env.push((OsString::from_vec(b"\xfe\xff".to_vec()), "x".into()));
    let ran = block_on(world.run(&world.job().script("echo it runs")));
    ran.succeeded().says("it runs").says("variable ODD is not UTF-8");
}

#[test]
fn output_that_is_not_utf8_is_passed_on_as_it_is() {
    let Some(world) = World::new("odd output") else { return };
    let ran = block_on(world.run(&world.job().script(r"printf 'a\377\376\000\033[31mb\n'")));
    ran.succeeded();
    let wanted = b"a\xff\xfe\0\x1b[31mb\n";
    assert!(ran.bytes.windows(wanted.len()).any(|bytes| bytes == wanted), "{}", ran.log);
}

#[test]
fn an_unknown_runner_is_refused_by_every_stage_with_the_known_ones() {
    let Some(world) = World::new("unknown runner") else { return };
    world.settings("[runner.\"images\"]\nmemory = \"1g\"");
    let attempt = world.attempt(&world.job());
    for stage in [&["config"][..]].into_iter().chain(STAGES) {
        let mut args = stage.to_vec();
        args.extend(["--runner", "image"]);
        let called = world.call(&args, &attempt.env);
        called.failed_with(2, "unknown runner \"image\"").failed_with(2, "did you mean \"images\"?");
        assert!(stage != ["config"] || called.stdout.is_empty(), "{}", called.stdout);
    }
}

#[test]
fn broken_settings_are_told_all_at_once_with_their_keys() {
    let Some(world) = World::new("broken settings") else { return };
    let file = world.dir.join("config.toml");
    write(
        &file,
        "[job]\nmemory = 5.5\npull_policy = \"sometimes\"\nmemry = \"1g\"\nvolumes = [\"relative\"]\n\
         [pull]\nbackoff = \"2s\"\n[enigne]\nhost = \"x\"\n[runner.\"a\"]\nmemory_swap = \"1\"\n",
    );
    let attempt = world.attempt(&world.job());
    for stage in [&["config"][..]].into_iter().chain(STAGES) {
        let called = world.call(stage, &attempt.env);
        for key in ["job.pull_policy", "job.memry", "job.volumes", "pull.backoff", "enigne", "line 3"] {
            called.failed_with(2, key);
        }
        assert!(stage != ["config"] || called.stdout.is_empty(), "{}", called.stdout);
    }
    for (text, reason) in [("[job\n", "not TOML"), ("\u{0}", "not TOML")] {
        write(&file, text);
        assert_eq!(world.call(&["config"], &[]).failed_with(2, reason).stdout, "");
    }
    std::fs::remove_file(&file).expect("removed");
    assert_eq!(world.call(&["config"], &[]).failed_with(2, "config.toml").stdout, "");
}

#[test]
fn config_prints_one_json_document_and_nothing_else() {
    let Some(world) = World::new("config") else { return };
    let loud = [
        pair("HEARTH_LOG", "trace"),
        pair("DOCKER_HOST", "unix:///nonexistent.sock"),
        pair("JOB_RESPONSE_FILE", "/nonexistent"),
        pair("RUST_BACKTRACE", "1"),
    ];
    for env in [&[][..], &loud[..]] {
        let called = world.call(&["config"], env);
        assert_eq!(called.code, Some(0), "{}", called.stderr);
        let value: Value = serde_json::from_str(&called.stdout).expect("JSON and nothing else");
        assert_eq!(value["builds_dir"], "/builds");
        assert!(!called.stdout.contains('\n'), "{:?}", called.stdout);
    }
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
    command.env_clear().args(["config", "--config"]).arg(world.dir.join("config.toml"));
    let output = command.stdout(full).stderr(Stdio::piped()).output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("stdout cannot be written"));
    let nothing = Command::new("/bin/sh")
        .arg0("sh")
        .args(["-c", "exec \"$0\" config >&-"])
        .arg(env!("CARGO_BIN_EXE_hearth"))
        .env_clear()
        .status();
    assert!(nothing.is_ok_and(|status| status.code().is_some()), "a closed stdout ends it by a code");
}

#[test]
fn no_secret_reaches_logs_labels_names_or_hints() {
    let Some(mut world) = World::new("secrets") else { return };
    const MARKS: [&str; 7] =
        ["mark-token", "mark-masked", "mark-file", "mark-payload", "bWFyay1hdXRo", "mark-auth", "mark-git"];
    world.env.push(pair("HEARTH_LOG", "trace"));
    let denied = format!("{}/test/{}/private:1", world.parts.private, world.token);
    let auth = json!({"auths": {&world.parts.private: {"auth": "bWFyay1hdXRoOm1hcms="}}}).to_string();
    let base = || {
        let mut job = world
            .job()
            .with_variable(Variable::plain("MASKED", "mark-masked").as_masked())
            .with_variable(Variable::plain("KEY", "mark-file").as_file())
            .service(Service::named(world.image("job/web")))
            .script("echo fine");
        job.token = hearth::secret::Secret::new("mark-token");
        job.git.repo_url = "https://me:mark-git@gitlab.invalid/x.git".into();
        job.credentials.push(Credential {
            url: world.parts.private.clone(),
            username: "someone".into(),
            password: hearth::secret::Secret::new("mark-payload"),
        });
        job
    };
    let clean = |text: &str, what: &str| {
        for mark in MARKS {
            assert!(!text.contains(mark), "{mark} is in {what}:\n{text}");
        }
    };
    let job = base().with_variable(Variable::plain("DOCKER_AUTH_CONFIG", &auth).as_masked());
    let ran = block_on(world.run_and_look(&job, || {
        let all = docker(&[
            "ps",
            "-a",
            "--filter",
            &format!("name=-job-{}-", job.id),
            "--format",
            "{{.Names}} {{.Labels}} {{.Command}}",
        ]);
        assert!(all.lines().count() == 3, "{all}");
        clean(&all, "names, labels and commands");
        for (path, text) in contents(&world.dir) {
            let hint = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("hearth"));
            if hint {
                clean(&text, &path.display().to_string());
            }
        }
    }));
    clean(&ran.succeeded().log, "the job log");
    for auth in [auth.clone(), auth.replace('}', ""), "mark-masked".to_owned()] {
        let job =
            base().image(&denied).with_variable(Variable::plain("DOCKER_AUTH_CONFIG", auth).as_masked());
        let ran = block_on(world.run(&job));
        clean(&jobs_fault(&ran).log, "the log of a denied job");
    }
    for stage in STAGES {
        let attempt = world.attempt(&job);
        attempt.rewrite(|payload| payload["id"] = json!("mark-token"));
        let mut env = attempt.env.clone();
        env.push(pair("HEARTH_LOG", "trace"));
        let called = world.call(stage, &env);
        clean(&format!("{}{}", called.stdout, called.stderr), "the output of a failing stage");
    }
}
