//! The engine's disk seen from inside: where it is another machine's, a running helper of a job is asked. None is started
//! for that, so an idle host is left alone.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::engine::{ContainerSummary, Engine};
use crate::job::names::{LABEL_JOB, LABEL_ROLE};
use crate::plan::spec::ExecSpec;

use super::gauge::Room;

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer is a line.
const MOST: usize = 4096;
/// What the file system below `/` is: a unit, all blocks, those free to users, all inodes, free ones. Known to BusyBox and
/// to GNU alike.
const FORMAT: &str = "%S %b %f %a %c %d";

/// Measures the disk that containers' own layers are on; `None`: there is no running helper, or it does not say.
pub(super) async fn measure<E: Engine>(engine: &E, containers: &[ContainerSummary]) -> Option<Room> {
    let is_helper = |c: &&ContainerSummary| {
        c.running
            && c.labels.contains_key(LABEL_JOB)
            && c.labels.get(LABEL_ROLE).is_some_and(|role| role == "helper")
    };
    let helper = containers.iter().find(is_helper)?;
    timeout(PATIENCE, ask(engine, &helper.name)).await.ok().flatten()
}

async fn ask<E: Engine>(engine: &E, container: &str) -> Option<Room> {
    let command = ["stat", "-f", "-c", FORMAT, "/"].map(str::to_owned).to_vec();
    let spec = ExecSpec { command, user: String::new(), env: Vec::new(), stdin: false };
    let mut running = engine.exec(container, &spec).await.ok()?;
    let mut said = Vec::new();
    while let Some(chunk) = running.output.next().await {
        let chunk = chunk.ok()?;
        if !chunk.stderr {
            said.extend_from_slice(&chunk.bytes);
        }
        if said.len() > MOST {
            return None;
        }
    }
    read(&String::from_utf8(said).ok()?)
}

/// Reads the answer.
fn read(text: &str) -> Option<Room> {
    let numbers: Vec<u64> = text.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let [unit, blocks, free, available, inodes, free_inodes] = numbers[..] else { return None };
    let has_inodes = inodes > 0;
    (unit > 0 && blocks > 0).then(|| Room {
        bytes: blocks.saturating_sub(free).saturating_add(available).saturating_mul(unit),
        free_bytes: available.saturating_mul(unit),
        inodes: has_inodes.then_some(inodes),
        free_inodes: has_inodes.then_some(free_inodes),
    })
}

#[cfg(test)]
mod tests {
    use super::{Room, read};

    #[test]
    fn the_answer_is_one_line_of_numbers() {
        let room =
            Room { bytes: 95 * 4096, free_bytes: 35 * 4096, inodes: Some(1000), free_inodes: Some(900) };
        assert_eq!(read("4096 100 40 35 1000 900\n"), Some(room));
        assert_eq!(read("4096 100 40 35 0 0\n").unwrap().inodes, None);
        for text in ["", "4096 100", "a b c d e f", "0 0 0 0 0 0", "4096 100 40 35 1000 900 7"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
