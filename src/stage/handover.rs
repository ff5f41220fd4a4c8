//! Starts a build container that has an ENTRYPOINT, and waits until that hands over to a shell.
//!
//! The ENTRYPOINT receives the command that looks for a shell; the shell reads a script from stdin, which writes down
//! the environment, working directory and umask it was given, says so with a marker, and stays.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::apply::refused_container;
use super::ended::ended;
use super::output::JobOutput;
use crate::engine::{ContainerState, Engine};
use crate::outcome::Failure;
use crate::plan::script;
use crate::plan::spec::ExecSpec;

const MARK: &[u8] = b"\x1ehearth-handover ";
const END: u8 = 0x1e;
const HINT: &str =
    "an ENTRYPOINT has to run the command it is given (exec \"$@\"); without it: entrypoint: [\"\"]";

/// Starts the container and returns the user that stages run as; empty: the container's own.
pub async fn run<E: Engine>(
    engine: &E,
    container: &str,
    state: &ContainerState,
    state_name: &str,
    limit: Duration,
    out: &JobOutput,
) -> Result<String, Failure> {
    let attached = engine.attach(container).await?;
    engine.start_container(container).await.map_err(|e| refused_container("build", "the job's image", e))?;
    let (mut output, mut input) = (attached.output, attached.input);
    let _ = input.write_all(script::handover(state_name).as_bytes()).await;
    let _ = input.flush().await;
    let mut finder = MarkFinder::default();
    let wait = async {
        while let Some(chunk) = output.next().await {
            let Ok(chunk) = chunk else { break };
            let (print, found) = finder.take(&chunk.bytes);
            out.write(print).await;
            if found.is_some() {
                return found;
            }
        }
        None
    };
    match timeout(limit, wait).await {
        Ok(Some(identity)) => Ok(stage_user(&state.user, &identity)),
        Ok(None) => {
            out.write(finder.rest()).await;
            Err(ended_early(engine, container).await)
        }
        Err(_) => {
            let _ = engine.kill_container(container).await;
            Err(Failure::job(format!(
                "the image's ENTRYPOINT handed over to no shell within {} s",
                limit.as_secs()
            ))
            .hint(HINT)
            .hint("an ENTRYPOINT that needs longer: the host's operator sets entrypoint_timeout"))
        }
    }
}

/// Asks a running container who stages run as: the hint of that was lost. `None`: its ENTRYPOINT handed over to nobody
/// yet, since the stage that waited for it was killed.
pub async fn ask<E: Engine>(
    engine: &E,
    container: &str,
    state: &ContainerState,
    state_name: &str,
) -> Result<Option<String>, Failure> {
    let spec = ExecSpec {
        command: script::identity(state_name),
        user: String::new(),
        env: Vec::new(),
        stdin: false,
    };
    let mut exec = engine.exec(container, &spec).await?;
    let mut text = Vec::new();
    while let Some(Ok(chunk)) = exec.output.next().await {
        text.extend_from_slice(&chunk.bytes);
    }
    let text = String::from_utf8_lossy(&text);
    Ok((!text.trim().is_empty()).then(|| stage_user(&state.user, &text)))
}

async fn ended_early<E: Engine>(engine: &E, container: &str) -> Failure {
    match engine.container(container).await {
        Ok(Some(state)) if !state.running => ended(engine, "build", &state, entrypoint_ended).await,
        Ok(Some(_)) => Failure::system("the connection to the starting build container broke"),
        Ok(None) => Failure::system("the build container was removed while it started"),
        Err(error) => error.into(),
    }
}

fn entrypoint_ended(state: &ContainerState) -> Failure {
    let killed = if state.oom_killed { ", killed for lack of memory," } else { "" };
    let code = u8::try_from(state.exit_code).ok().filter(|code| *code != 0).unwrap_or(1);
    Failure::job(format!(
        "the image's ENTRYPOINT ended{killed} with exit code {} before it handed over to a shell",
        state.exit_code
    ))
    .hint(HINT)
    .with_exit_code(code)
}

/// Decides who stages run as, by `uid gid groups… /gid-of-that-user`. Only root can have become somebody else; anybody
/// else stays who the container's configuration says, so that nothing an image prints gives it another user.
fn stage_user(configured: &str, identity: &str) -> String {
    let (ids, own) = identity.split_once('/').unwrap_or((identity, ""));
    let mut words = ids.split_ascii_whitespace();
    let number =
        |word: Option<&str>| word.filter(|w| w.chars().all(|c| c.is_ascii_digit())).map(str::to_owned);
    let is_root = matches!(configured.split(':').next(), None | Some("" | "0" | "root"));
    let (Some(uid), Some(gid)) = (number(words.next()), number(words.next())) else { return String::new() };
    if !is_root || (uid == "0" && gid == "0") {
        return String::new();
    }
    // The engine adds the groups of /etc/group only where no group is named, and then takes that user's own one.
    let more_groups = words.any(|group| group != gid);
    if more_groups && own.trim() == gid { uid } else { format!("{uid}:{gid}") }
}

/// Finds the marker in a stream, however it is cut, and holds nothing else back.
#[derive(Debug, Default)]
struct MarkFinder {
    held: Vec<u8>,
}

impl MarkFinder {
    /// Takes bytes; returns what to print, and the marker's content once it is complete.
    fn take(&mut self, bytes: &[u8]) -> (Bytes, Option<String>) {
        self.held.extend_from_slice(bytes);
        if let Some(at) = find(&self.held, MARK) {
            let start = at + MARK.len();
            if let Some(length) = self.held[start..].iter().position(|byte| *byte == END) {
                let content = String::from_utf8_lossy(&self.held[start..start + length]).into_owned();
                let mut print = self.held[..at].to_vec();
                print.extend_from_slice(&self.held[start + length + 1..]);
                self.held.clear();
                return (print.into(), Some(content));
            }
            let print = self.held.drain(..at).collect::<Vec<u8>>();
            return (print.into(), None);
        }
        let keep = (1..MARK.len().min(self.held.len() + 1))
            .rev()
            .find(|n| self.held.ends_with(&MARK[..*n]))
            .unwrap_or(0);
        let print = self.held.drain(..self.held.len() - keep).collect::<Vec<u8>>();
        (print.into(), None)
    }

    fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.held).into()
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::{MarkFinder, stage_user};

    #[test]
    fn the_marker_is_found_however_the_stream_is_cut() {
        let text = b"before \x1e not \x1ehearth-handover 1000 1000 1000 \x1eafter";
        for cut in 0..text.len() {
            let mut finder = MarkFinder::default();
            let mut printed = Vec::new();
            let mut found = None;
            for part in [&text[..cut], &text[cut..]] {
                let (print, mark) = finder.take(part);
                printed.extend_from_slice(&print);
                found = found.or(mark);
            }
            assert_eq!(printed, b"before \x1e not after", "cut at {cut}");
            assert_eq!(found.as_deref(), Some("1000 1000 1000 "), "cut at {cut}");
        }
    }

    #[test]
    fn only_root_can_have_become_somebody_else() {
        for (configured, identity, user) in [
            ("", "1000 1000 1000", "1000:1000"),
            ("root", "1000 1000 1000 27 /1000", "1000"),
            ("root", "1000 1000 1000 27 /100", "1000:1000"),
            ("root", "4242 4242 4242 27 /", "4242:4242"),
            ("0:0", "0 0 0 1 2", ""),
            ("1000", "0 0 0", ""),
            ("dev", "1001 1001 ", ""),
            ("", "x y", ""),
        ] {
            assert_eq!(stage_user(configured, identity), user, "{configured} {identity}");
        }
    }
}
