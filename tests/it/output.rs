//! What scripts print: all of it, as it is, when it comes.

use std::time::Duration;

use hearth::runner::{Cancel, Events, FailureClass, Mishap, Moment, Trouble};
use sha2::{Digest, Sha256};

use crate::world::{World, block_on};

/// Checks a large output as it comes, and looks at the driver when it is over.
struct Check<'a> {
    world: &'a World,
    /// What was printed before the part that is checked.
    before: Vec<u8>,
    /// How many bytes of it are still to come; `None` before it begins.
    left: Option<usize>,
    size: usize,
    hash: Sha256,
    after: Vec<u8>,
    /// The most memory that the driver had, in KiB.
    peak: Option<u64>,
}

impl Events for Check<'_> {
    fn log(&mut self, bytes: &[u8]) {
        const BEGIN: &[u8] = b"BEGIN\n";
        let mut bytes = bytes.to_vec();
        if self.left.is_none() {
            self.before.append(&mut bytes);
            let Some(at) = self.before.windows(BEGIN.len()).position(|it| it == BEGIN) else { return };
            bytes = self.before.split_off(at + BEGIN.len());
            self.left = Some(self.size);
        }
        let left = self.left.as_mut().expect("it has begun");
        let (part, rest) = bytes.split_at(bytes.len().min(*left));
        self.hash.update(part);
        *left -= part.len();
        self.after.extend_from_slice(rest);
        if self.peak.is_none() && self.after.starts_with(b"END\n") {
            self.peak = Some(peak_of_driver(self.world));
        }
    }
}

/// Returns the most memory that the running build_script call of this world had so far, in KiB.
fn peak_of_driver(world: &World) -> u64 {
    let status = world
        .driver_processes()
        .into_iter()
        .filter(|(_, line)| line.ends_with("build_script"))
        .find_map(|(process, _)| std::fs::read_to_string(process.join("status")).ok())
        .expect("the driver runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Prints so many blocks of about 1 MB, checks that they arrive, and returns the driver's peak in KiB.
fn print_blocks(world: &World, blocks: usize) -> u64 {
    let block: String = (1..=150_000).map(|number| format!("{number}\n")).collect();
    let mut expected = Sha256::new();
    (0..blocks).for_each(|_| expected.update(&block));
    let job = world
        .job()
        .script("seq 1 150000 >/tmp/block; printf 'B%s\\n' EGIN")
        .script(format!(": # blocks\ni=0; while [ $i -lt {blocks} ]; do cat /tmp/block; i=$((i + 1)); done"))
        .script("printf 'E%s\\n' ND; sleep 1");
    // The commands that the log shows would be in between.
    let job = hearth::runner::JobDescription { script: vec![job.script.join("\n")], ..job };
    let mut check = Check {
        world,
        before: Vec::new(),
        left: None,
        size: blocks * block.len(),
        hash: Sha256::new(),
        after: Vec::new(),
        peak: None,
    };
    let report = block_on(world.runner().run(&job, &mut check));
    assert!(report.succeeded(), "{report:?}");
    assert_eq!(check.left, Some(0), "bytes are missing");
    assert_eq!(check.hash.finalize(), expected.finalize(), "other bytes");
    let after = String::from_utf8_lossy(&check.after);
    assert!(after.starts_with("END\n"), "{}", after.chars().take(300).collect::<String>());
    assert_eq!(world.left(&job), Vec::<String>::new());
    check.peak.expect("the driver was looked at")
}

#[test]
fn a_log_of_200_megabytes_arrives_whole_and_takes_no_more_memory_than_a_small_one() {
    let Some(world) = World::new("large log") else { return };
    let small = print_blocks(&world, 1);
    let large = print_blocks(&world, 214);
    assert!(large < small * 2 + 8 * 1024, "{large} KiB for a large log, {small} KiB for a small one");
}

#[test]
fn bytes_that_are_no_text_come_as_they_are() {
    let Some(world) = World::new("odd bytes") else { return };
    let job =
        world.job().script("printf '<\\377\\376 \\200 \\000 \\r\\033[1m \\303\\050>'; printf '<no end'");
    let ran = block_on(world.run(&job));
    let wanted = b"<\xff\xfe \x80 \x00 \r\x1b[1m \xc3\x28><no end";
    assert!(ran.succeeded().bytes.windows(wanted.len()).any(|it| it == wanted), "{}", ran.log);
}

#[test]
fn the_two_outputs_of_a_script_keep_their_order() {
    let Some(world) = World::new("order of outputs") else { return };
    let count = "i=0; while [ $i -lt 500 ]; do echo \"[out $i]\"; echo \"[err $i]\" >&2; i=$((i + 1)); done";
    let mut job = world.job().script(count);
    job.before_sources = vec![count.to_owned()];
    let ran = block_on(world.run(&job));
    let seen: Vec<&str> =
        ran.succeeded().log.lines().filter(|it| it.starts_with("[out") || it.starts_with("[err")).collect();
    let once = (0..500).flat_map(|i| [format!("[out {i}]"), format!("[err {i}]")]);
    let wanted: Vec<String> = once.clone().chain(once).collect();
    assert!(seen == wanted, "{}", ran.log);
}

#[test]
fn half_a_line_is_shown_while_the_script_still_runs() {
    let Some(world) = World::new("half a line") else { return };
    let job = world.job().script("printf 'half a %s' line; sleep 600").timeout(Duration::from_secs(60));
    let cancel =
        Trouble::new("build_script", Moment::Output("half a line".into()), Mishap::Cancel(Cancel::Hard));
    block_on(world.run_with(&world.runner().trouble(cancel), &job)).failed_as(FailureClass::Canceled);
}
