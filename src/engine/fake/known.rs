//! The commands of hearth's own scripts, told from others: the fake plays them without a shell.

use crate::plan::script;

/// A command that hearth runs in containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// Only stays.
    Idle,
    /// Becomes a shell that reads stdin.
    Probe,
    /// The helper's main process.
    Helper { builds: String, ready: String, need_runner: bool, open: Vec<String> },
    /// Prints whom the ENTRYPOINT handed over to.
    Identity { state: String },
    /// A stage's wrapper.
    Stage { name: String, ready: String, memory: String },
    /// Ends the running stage.
    Stop { tenths: u64, name: String },
    /// Adds names to /etc/hosts.
    AddHosts { lines: Vec<String> },
    /// Waits for services: place, host and ports of each.
    Wait { seconds: u64, services: Vec<(String, String, Vec<u16>)> },
    /// Reads files of a checkout, each up to so many bytes.
    Read { checkout: String, bytes: usize },
}

fn script_of(command: &[String]) -> &str {
    command.get(2).map_or("", String::as_str)
}

impl Known {
    /// Recognises a command; `None`: it is none of hearth's own.
    pub(super) fn of(argv: &[String]) -> Option<Self> {
        if argv.first().map(String::as_str) != Some("sh") || argv.get(1).map(String::as_str) != Some("-c") {
            return None;
        }
        let text = script_of(argv);
        let word = |at: usize| argv.get(4 + at).cloned().unwrap_or_default();
        let number = |at: usize| word(at).parse().unwrap_or_default();
        let is = |command: Vec<String>| text == script_of(&command);
        if is(script::idle()) {
            Some(Self::Idle)
        } else if is(script::probe()) {
            Some(Self::Probe)
        } else if is(script::helper("", false, "", "", &[])) {
            let open = argv.get(9..).unwrap_or_default().to_vec();
            Some(Self::Helper { builds: word(0), ready: word(1), need_runner: word(2) == "1", open })
        } else if is(script::stage(&script::StageOptions::default())) {
            Some(Self::Stage {
                name: argv.get(3).cloned().unwrap_or_default(),
                ready: word(0),
                memory: word(2),
            })
        } else if is(script::identity("")) {
            Some(Self::Identity { state: argv.get(3).cloned().unwrap_or_default() })
        } else if is(script::stop(0, "")) {
            Some(Self::Stop { tenths: number(0), name: word(1) })
        } else if is(script::add_hosts(&[])) {
            Some(Self::AddHosts { lines: argv.get(4..).unwrap_or_default().to_vec() })
        } else if is(script::wait(0, &[])) {
            let services = argv.get(5..).unwrap_or_default().chunks_exact(3);
            let services = services
                .map(|s| {
                    (s[0].clone(), s[1].clone(), s[2].split(',').filter_map(|p| p.parse().ok()).collect())
                })
                .collect();
            Some(Self::Wait { seconds: number(0), services })
        } else if is(script::read("", 0)) {
            Some(Self::Read { checkout: word(0), bytes: word(1).parse().unwrap_or_default() })
        } else {
            None
        }
    }
}

/// The end of the script that an ENTRYPOINT's shell reads: with it, the shell has all of it.
fn handover_parts() -> (String, String, String) {
    let marker = "\u{1}";
    let script = script::handover(marker);
    let first = script.find(marker).unwrap_or(0);
    let (head, rest) = script.split_at(first);
    let rest = rest.strip_prefix(marker).unwrap_or(rest);
    let stop = rest.chars().next().map(String::from).unwrap_or_default();
    let tail = script.lines().last().unwrap_or_default().to_owned();
    (head.to_owned(), stop, tail)
}

/// Finds the state's name in what was read from stdin, once all of the handover script is there.
pub(super) fn handover_state(stdin: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(stdin);
    let (head, stop, tail) = handover_parts();
    let rest = text.strip_prefix(&head)?;
    let state = rest.split(stop.as_str()).next().unwrap_or_default().to_owned();
    text.trim_end().ends_with(&tail).then_some(state)
}

#[cfg(test)]
mod tests {
    use super::{Known, handover_state, script};

    #[test]
    fn every_script_of_the_plan_is_recognised() {
        let helper = script::helper("/builds", true, "0000", "", &["/builds".into(), "/cache".into()]);
        let wait = script::wait(9, &[script::WaitFor { index: 1, host: "db".into(), ports: vec![5432, 80] }]);
        let stage = script::StageOptions {
            ready_file: "/r".into(),
            memory: "1 GiB".into(),
            mark: "m".into(),
            ..Default::default()
        };
        for (command, known) in [
            (script::idle(), Known::Idle),
            (script::probe(), Known::Probe),
            (
                helper,
                Known::Helper {
                    builds: "/builds".into(),
                    ready: script::READY_FILE.into(),
                    need_runner: true,
                    open: vec!["/builds".into(), "/cache".into()],
                },
            ),
            (
                script::stage(&stage),
                Known::Stage { name: "hearth-stage-m".into(), ready: "/r".into(), memory: "1 GiB".into() },
            ),
            (script::identity(".s"), Known::Identity { state: ".s".into() }),
            (script::stop(100, "m"), Known::Stop { tenths: 100, name: "hearth-stage-m".into() }),
            (script::add_hosts(&["db:1.2.3.4".into()]), Known::AddHosts { lines: vec!["db:1.2.3.4".into()] }),
            (script::read("/b/p", 9), Known::Read { checkout: "/b/p".into(), bytes: 9 }),
            (wait, Known::Wait { seconds: 9, services: vec![("1".into(), "db".into(), vec![5432, 80])] }),
        ] {
            assert_eq!(Known::of(&command), Some(known));
        }
        assert_eq!(Known::of(&["sh".into(), "-c".into(), "exit 1".into()]), None);
    }

    #[test]
    fn the_handover_is_known_once_all_of_it_is_there() {
        let text = script::handover("hearth-state-7");
        assert_eq!(handover_state(text.as_bytes()).as_deref(), Some("hearth-state-7"));
        assert_eq!(handover_state(&text.as_bytes()[..text.len() - 9]), None);
        assert_eq!(handover_state(b"echo hello\n"), None);
    }
}
