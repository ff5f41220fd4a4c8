//! Clauses on reading a job's checkout, which is written by whoever may push.

use std::collections::BTreeMap;

use hearth::daemon::scanning::{ScanFault, Scanned, candidates, read};
use hearth::engine::fake::Behaviour;
use hearth::engine::{Engine, Removal};
use hearth::image::proof::Asker;
use hearth::job::names::{LABEL_JOB, LABEL_ROLE};
use hearth::notice::Sources;
use hearth::scan::Running;

use super::world::World;

const DIR: &str = "/builds/g/p";
const JOB: &str = "hearth-contract-job";

/// Starts a helper whose checkout a script makes, below the directory that it begins in; `readable` is what of it can be
/// read.
async fn helper<E: Engine>(world: &World<E>, script: &str, readable: &[(&str, &str)]) -> String {
    for (path, holds) in readable {
        world.holds(&format!("{DIR}/{path}"), holds);
    }
    let script = format!("mkdir -p {DIR} && cd {DIR} && {{\n{script}\n}}\ntouch /made\nexec sleep 1000");
    let mut spec =
        world.spec("helper", world.program(&script, Behaviour::new().touch("/made").forever())).await;
    spec.labels.insert(LABEL_JOB.to_owned(), JOB.to_owned());
    spec.labels.insert(LABEL_ROLE.to_owned(), "helper".to_owned());
    let name = world.start(&spec).await;
    let there = "while [ ! -e /made ]; do sleep 0.1; done";
    let made = world.exec(&name, world.program(there, Behaviour::new().await_file("/made")), false).await;
    assert_eq!(world.code(&made.id).await, Some(0));
    name
}

/// A job whose script builds from these files.
fn sources(helper: &str, files: &[&str]) -> Sources {
    let script = files.iter().map(|file| format!("docker build -f '{file}' .")).collect();
    Sources {
        job: format!("{JOB} https://gitlab.test"),
        owner: String::new(),
        helper: helper.to_owned(),
        dir: DIR.to_owned(),
        pipeline: "https://gitlab.test 1".to_owned(),
        running: Running {
            name: "build".to_owned(),
            stage: "build".to_owned(),
            tags: Vec::new(),
            variables: BTreeMap::new(),
            script,
            socket: true,
            platform: String::new(),
        },
        own: Vec::new(),
        platform: String::new(),
        number: 1,
        project_key: "https://gitlab.test 1".to_owned(),
        source: None,
        asker: Asker { server: String::new(), project: 1, user_id: None, tokens: Vec::new() },
        credentials: Vec::new(),
        docker_auth_config: None,
        allowed_images: Vec::new(),
        allowed_services: Vec::new(),
        may_pull: true,
        until: 0,
    }
}

fn images(read: &Scanned, sources: &Sources) -> Vec<String> {
    let (wishes, _) = candidates(read, sources);
    wishes.iter().map(|wish| wish.wish.reference.familiar().to_owned()).collect()
}

pub(super) async fn what_is_in_a_checkout_is_read<E: Engine>(world: &World<E>) {
    let script = "mkdir -p 'a b' && echo FROM one:1 >'a b/f' && echo FROM two:1 >-n && printf 'FROM three:1' >c
        ln -s 'a b/f' link && ln -s 'a b' dir && cp -- -n \"$(printf 'new\\nline')\" && ln -s \"$(printf 'new\\nline')\" d";
    let readable = [
        ("a b/f", "FROM one:1\n"),
        ("-n", "FROM two:1\n"),
        ("c", "FROM three:1"),
        ("link", "FROM one:1\n"),
        ("dir/f", "FROM one:1\n"),
        ("d", "FROM two:1\n"),
    ];
    let helper = helper(world, script, &readable).await;
    for (files, found) in [
        (&["a b/f", "./-n", "c", "none"][..], &["one:1", "two:1", "three:1"][..]),
        (&["link", "d"], &["one:1", "two:1"]),
        (&["dir/f"], &["one:1"]),
    ] {
        let sources = sources(&helper, files);
        let read = read(&world.engine, &sources).await.unwrap();
        assert_eq!(images(&read, &sources), found, "{files:?}");
        assert_eq!(read.native.os, "linux");
    }
}

/// Links out of it, pipes, devices, and files without end. Everything that may not be read names `evil`.
pub(super) async fn nothing_beside_a_checkout_is_read<E: Engine>(world: &World<E>) {
    let script = "mkdir ../p.tmp && echo FROM evil:1 | tee ../p.tmp/token >/etc/evil && echo FROM good:1 >good
        ln -s ../p.tmp/token out && ln -s /etc/evil away && ln -s /etc etc && ln -s ../p.tmp up && ln -s loop loop
        ln -s /proc/self/environ environ && ln -s /dev/zero zero && mkfifo pipe && mkdir directory
        mknod device c 1 5 2>/dev/null || ln -s /dev/zero device
        ln -s /proc/1/root/etc/evil root && ln -s /proc/self/cwd/../p.tmp/token cwd
        dd if=/dev/zero of=sparse bs=1 count=0 seek=1073741824 2>/dev/null
        n=0; while [ $n -lt 10000 ]; do : >many$n; n=$((n + 1)); done";
    let helper = helper(world, script, &[("good", "FROM good:1\n")]).await;
    let hostile = [
        "out",
        "away",
        "etc/evil",
        "up/token",
        "loop",
        "environ",
        "zero",
        "pipe",
        "directory",
        "device",
        "root",
        "cwd",
        "sparse",
        "good",
    ];
    let asked = sources(&helper, &hostile);
    let read_here = read(&world.engine, &asked).await.unwrap();
    assert_eq!(images(&read_here, &asked), ["good:1"]);
    let missing = read_here.findings.notes.iter().map(ToString::to_string);
    let missing: Vec<String> = missing.filter(|note| note.contains("is not there")).collect();
    assert_eq!(missing.len(), hostile.len() - 1, "{missing:?}");

    let names: Vec<String> = (0..10_000).map(|n| format!("many{n}")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.insert(0, "good");
    let asked = sources(&helper, &names);
    assert_eq!(images(&read(&world.engine, &asked).await.unwrap(), &asked), ["good:1"]);
}

/// A name that leads to a file of the checkout now and to a token the next moment.
pub(super) async fn a_checkout_that_changes_gives_nothing_else_away<E: Engine>(world: &World<E>) {
    let script =
        "mkdir ../p.tmp && echo FROM evil:1 >../p.tmp/token && echo FROM good:1 >good && cp good turns
        (while :; do ln -s ../p.tmp/token a && mv a turns; cp good b && mv b turns; done) &";
    let helper = helper(world, script, &[("turns", "FROM good:1\n")]).await;
    let sources = sources(&helper, &["turns"]);
    let (mut good, mut reads) = (0, 0);
    // On a busy machine it may be the link at each look for a while.
    while reads < 20 || good == 0 && reads < 400 {
        reads += 1;
        let read = read(&world.engine, &sources).await.unwrap();
        match images(&read, &sources).as_slice() {
            [] => {}
            [image] if image == "good:1" => good += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(good > 0, "it was never the file");
}

pub(super) async fn a_link_for_a_checkout_is_not_followed<E: Engine>(world: &World<E>) {
    let script = "mkdir ../q && echo FROM evil:1 >../q/Dockerfile && ln -s q ../link && ln -s /etc ../etc";
    let helper = helper(world, script, &[]).await;
    for dir in ["/builds/g/link", "/builds/g/etc", "/builds/g/none"] {
        world.refuses_checkout(dir);
        let sources = Sources { dir: dir.to_owned(), ..sources(&helper, &["Dockerfile"]) };
        assert_eq!(read(&world.engine, &sources).await.unwrap_err(), ScanFault::NoCheckout(dir.to_owned()));
    }
}

pub(super) async fn a_checkout_goes_with_its_container<E: Engine>(world: &World<E>) {
    let helper = helper(world, "echo FROM good:1 >Dockerfile", &[]).await;
    let sources = sources(&helper, &["Dockerfile"]);
    world.engine.kill_container(&helper).await.unwrap();
    assert_eq!(read(&world.engine, &sources).await.unwrap_err(), ScanFault::Gone);
    assert_eq!(world.engine.remove_container(&helper).await, Ok(Removal::Removed));
    assert_eq!(read(&world.engine, &sources).await.unwrap_err(), ScanFault::Gone);
}
