//! Which process above a stage is the runner. Between the two there may be shells, `sudo` and the like: they end with the
//! stage, and so say nothing of the job.

use crate::moment::Process;

/// More generations than lie between any runner and its stages.
const MOST: usize = 64;
/// What a runner is called, or how its name begins.
const RUNNER: &str = "gitlab-runner";
/// Programs that run another one and end with it.
const WRAPPERS: [&str; 53] = [
    "sh",
    "bash",
    "dash",
    "ash",
    "zsh",
    "ksh",
    "ksh93",
    "mksh",
    "yash",
    "fish",
    "busybox",
    "toybox",
    "sudo",
    "sudo-rs",
    "su",
    "doas",
    "run0",
    "pkexec",
    "runuser",
    "setpriv",
    "gosu",
    "su-exec",
    "chpst",
    "setuidgid",
    "capsh",
    "env",
    "timeout",
    "nice",
    "ionice",
    "chrt",
    "taskset",
    "numactl",
    "nohup",
    "setsid",
    "stdbuf",
    "time",
    "prlimit",
    "choom",
    "unshare",
    "nsenter",
    "chroot",
    "flock",
    "script",
    "unbuffer",
    "strace",
    "ltrace",
    "systemd-run",
    "systemd-cat",
    "systemd-inhibit",
    "xargs",
    "perl",
    "ruby",
    "node",
];
/// The beginnings of such names that have a version behind them.
const VERSIONED: [&str; 3] = ["python", "pypy", "lua"];

/// A process above this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ancestor {
    /// The process.
    pub process: Process,
    /// The number of its parent; 0: it has none here.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// What it is called: by the kernel, and by its own command line. A script's own name may be the one, its
    /// interpreter's the other.
    pub names: Vec<String>,
}

impl Ancestor {
    fn is_runner(&self) -> bool {
        self.names.iter().any(|name| program(name).starts_with(RUNNER))
    }

    fn is_wrapper(&self) -> bool {
        self.names.iter().map(|name| program(name)).any(|name| {
            WRAPPERS.contains(&name) || VERSIONED.iter().any(|beginning| is_versioned(name, beginning))
        })
    }
}

/// The program's name without its path; login shells have a dash before it.
fn program(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default().trim_start_matches('-')
}

fn is_versioned(name: &str, beginning: &str) -> bool {
    name.strip_prefix(beginning).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

/// Returns the runner above a stage: the next process that is called so, else the next one that is neither a wrapper nor
/// of the stage's own process group, since a runner gives each stage a group of its own. `group` and `parent` are the
/// stage's; `read` looks at a process. Where it cannot, that process's number is all that is known: nobody can say then
/// when the runner is gone.
pub fn runner(group: u32, parent: u32, read: impl Fn(u32) -> Option<Ancestor>) -> Process {
    let mut pid = parent;
    for _ in 0..MOST {
        let Some(ancestor) = read(pid).filter(|_| pid != 0) else { break };
        let is_above = ancestor.group != group && !ancestor.is_wrapper();
        if ancestor.is_runner() || is_above {
            return ancestor.process;
        }
        if ancestor.parent == 0 {
            break;
        }
        pid = ancestor.parent;
    }
    Process { pid, ..Process::default() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Ancestor, runner};
    use crate::moment::Process;

    /// A table of processes: number, parent, group, what the kernel calls it, and its command line's first word.
    type Row = (u32, u32, u32, &'static str, &'static str);

    fn started(pid: u32) -> Process {
        Process { pid, started: u64::from(pid) * 10, space: 9 }
    }

    /// Finds the runner of the process 100, whose row is the last one.
    fn found(table: &[Row], hidden: &[u32]) -> Process {
        let rows: BTreeMap<u32, Ancestor> = table
            .iter()
            .map(|&(pid, parent, group, comm, argv0)| {
                let names = vec![comm.to_owned(), argv0.to_owned()];
                (pid, Ancestor { process: started(pid), parent, group, names })
            })
            .collect();
        let (_, parent, group, ..) = *table.last().unwrap();
        runner(group, parent, |pid| rows.get(&pid).filter(|_| !hidden.contains(&pid)).cloned())
    }

    const INIT: Row = (1, 0, 1, "systemd", "/sbin/init");
    const RUNNER: Row = (50, 1, 50, "gitlab-runner", "/usr/bin/gitlab-runner");

    #[test]
    fn the_parent_is_the_runner_where_nothing_lies_between() {
        assert_eq!(found(&[INIT, RUNNER, (100, 50, 100, "hearth", "hearth")], &[]), started(50));
        let stand_in = (50, 1, 50, "hearth", "/usr/bin/hearth");
        assert_eq!(found(&[INIT, stand_in, (100, 50, 100, "hearth", "hearth")], &[]), started(50));
    }

    #[test]
    fn what_runs_a_stage_is_not_its_runner() {
        let chains: [&[Row]; 7] = [
            // A shell that stays.
            &[(60, 50, 60, "sh", "/bin/sh"), (100, 60, 60, "hearth", "hearth")],
            // A script by its own name.
            &[(60, 50, 60, "prepare", "/bin/sh"), (100, 60, 60, "hearth", "hearth")],
            // sudo with a terminal and its monitor, which begin groups of their own.
            &[
                (60, 50, 60, "sudo", "sudo"),
                (61, 60, 61, "sudo", "sudo"),
                (100, 61, 100, "hearth", "/usr/bin/hearth"),
            ],
            // Of all sorts.
            &[
                (60, 50, 60, "bash", "-bash"),
                (61, 60, 60, "timeout", "timeout"),
                (62, 61, 62, "nice", "nice"),
                (63, 62, 62, "env", "/usr/bin/env"),
                (100, 63, 62, "hearth", "hearth"),
            ],
            // Interpreters.
            &[(60, 50, 60, "stage", "/usr/bin/python3.11"), (100, 60, 100, "hearth", "hearth")],
            // A program that nobody knows, but the runner made it.
            &[(60, 50, 60, "our-wrapper", "our-wrapper"), (100, 60, 60, "hearth", "hearth")],
            // The same with a shell of its own group above it.
            &[
                (60, 50, 60, "bash", "bash"),
                (61, 60, 61, "our-wrapper", "our-wrapper"),
                (100, 61, 61, "hearth", "hearth"),
            ],
        ];
        for chain in chains {
            let table: Vec<Row> = [INIT, RUNNER].into_iter().chain(chain.iter().copied()).collect();
            assert_eq!(found(&table, &[]), started(50), "{chain:?}");
        }
    }

    #[test]
    fn a_runner_is_known_by_its_name_wherever_it_is() {
        // In a container, as its first process; under an entrypoint; in the same group, started by hand.
        assert_eq!(
            found(&[(1, 0, 1, "gitlab-runner", "gitlab-runner"), (100, 1, 100, "h", "h")], &[]),
            started(1)
        );
        let table = [
            (1, 0, 1, "dumb-init", "dumb-init"),
            (7, 1, 7, "sh", "/bin/sh"),
            (8, 7, 7, "gitlab-runner-l", "gitlab-runner-linux-arm64"),
            (100, 8, 7, "hearth", "hearth"),
        ];
        assert_eq!(found(&table, &[]), started(8));
    }

    #[test]
    fn where_a_process_cannot_be_seen_nobody_can_say_when_the_runner_is_gone() {
        let sudo = [INIT, RUNNER, (60, 50, 60, "sudo", "sudo"), (100, 60, 60, "hearth", "hearth")];
        assert_eq!(found(&sudo, &[1, 50, 60]), Process { pid: 60, ..Process::default() });
        assert_eq!(found(&sudo, &[1, 50]), Process { pid: 50, ..Process::default() });
        // The parent lives in another container.
        assert_eq!(found(&[(100, 0, 100, "hearth", "hearth")], &[]), Process::default());
        // A shell that is a container's first process.
        assert_eq!(
            found(&[(1, 0, 1, "sh", "sh"), (100, 1, 1, "hearth", "hearth")], &[]),
            Process { pid: 1, ..Process::default() }
        );
    }

    #[test]
    fn a_table_that_runs_in_a_circle_has_an_end() {
        let circle = |pid| {
            Some(Ancestor {
                process: started(pid),
                parent: pid % 3 + 1,
                group: 5,
                names: vec!["sh".to_owned()],
            })
        };
        assert_eq!(runner(5, 1, circle).started, 0);
    }
}
