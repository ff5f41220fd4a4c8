//! Reads the checkout of a running job, and tells which images its pipeline will want.
//!
//! [`crate::scan`] knows what to look for; here its files are read, by one command in the job's helper container for each
//! round of them: so it works where the engine is in a VM too. A checkout is written by whoever may push, so nothing in it
//! is believed (`reading`), and what comes of it is held to what jobs of this host may name (`wishes`).

mod reading;
mod wishes;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::timeout;

use crate::engine::{Engine, EngineError};
use crate::image::Platform;
use crate::job::names::{LABEL_JOB, LABEL_ROLE};
use crate::notice::Sources;
use crate::scan::{Files, Findings, MAX_ROUNDS, Running, scan};
use reading::Reader;

pub use wishes::{ScanWish, candidates};

/// How long a scan may take: a helper that hangs is left alone.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of how many pipelines it is remembered what was said.
const PIPELINES: usize = 32;

/// Why a checkout was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanFault {
    /// The job has ended meanwhile.
    #[error("the job's helper container is gone")]
    Gone,
    /// The container is not the helper of the job that the notice names.
    #[error("{0} is not the job's helper container")]
    Stranger(String),
    /// The directory is none, or a link leads to it.
    #[error("the job has no checkout at {0}, or a link leads there")]
    NoCheckout(String),
    /// What reads it did not come to its end.
    #[error("the checkout's files were not read to their end")]
    Broken,
    /// It took too long.
    #[error("the checkout's files were not read within {} s", PATIENCE.as_secs())]
    Slow,
    /// The engine's own trouble.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What a scan found, and for which engine.
#[derive(Debug)]
pub struct Scanned {
    /// What it found.
    pub findings: Findings,
    /// The engine's own platform.
    pub native: Platform,
}

/// Reads what a scan asks for until it knows all, and returns what it found.
///
/// # Errors
/// The container is gone or another one's, or its files cannot be read.
pub async fn read<E: Engine>(engine: &E, sources: &Sources) -> Result<Scanned, ScanFault> {
    timeout(PATIENCE, read_all(engine, sources)).await.unwrap_or(Err(ScanFault::Slow))
}

async fn read_all<E: Engine>(engine: &E, sources: &Sources) -> Result<Scanned, ScanFault> {
    let mut reader = Reader::new(engine, helper(engine, sources).await?, &sources.dir)?;
    let version = engine.version().await?;
    let native = Platform::new(&version.os, &version.arch, "");
    let running = Running { platform: native.to_string(), ..sources.running.clone() };
    let mut files = Files::new();
    let mut findings = scan(&files, &running);
    for _ in 0..MAX_ROUNDS {
        if findings.asks.is_empty() {
            break;
        }
        let texts = reader.read(&findings.asks).await?;
        for (path, text) in findings.asks.into_iter().zip(texts) {
            files.add(path, text);
        }
        findings = scan(&files, &running);
    }
    Ok(Scanned { findings, native })
}

/// Makes sure that the container is what the notice says: whoever may write to the socket could name any. Returns its ID.
async fn helper<E: Engine>(engine: &E, sources: &Sources) -> Result<String, ScanFault> {
    let state = engine.container(&sources.helper).await?;
    let state = state.filter(|state| state.running && !state.removing).ok_or(ScanFault::Gone)?;
    let key = sources.job.split(' ').next().unwrap_or_default();
    let is = |label: &str, value: &str| state.labels.get(label).is_some_and(|has| has == value);
    if is(LABEL_JOB, key) && is(LABEL_ROLE, "helper") {
        Ok(state.id)
    } else {
        Err(ScanFault::Stranger(sources.helper.clone()))
    }
}

/// Remembers what was said of the pipelines of late: each of their jobs finds the same.
#[derive(Debug, Default)]
pub struct ScanDesk {
    said: VecDeque<(String, BTreeSet<String>)>,
}

impl ScanDesk {
    /// Returns the notes that were not said of a pipeline yet, and remembers them.
    pub fn news(&mut self, pipeline: &str, notes: Vec<String>) -> Vec<String> {
        let known = self.said.iter().position(|(of, _)| of == pipeline).and_then(|at| self.said.remove(at));
        let (_, mut said) = known.unwrap_or_default();
        let news = notes.into_iter().filter(|note| said.insert(note.clone())).collect();
        self.said.push_back((pipeline.to_owned(), said));
        if self.said.len() > PIPELINES {
            self.said.pop_front();
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::{PIPELINES, ScanDesk};

    #[test]
    fn a_note_is_said_once_a_pipeline() {
        let mut desk = ScanDesk::default();
        let notes = |list: &[&str]| list.iter().map(|note| (*note).to_owned()).collect::<Vec<_>>();
        assert_eq!(desk.news("1", notes(&["a", "b"])), ["a", "b"]);
        assert_eq!(desk.news("1", notes(&["b", "c"])), ["c"]);
        assert_eq!(desk.news("2", notes(&["a"])), ["a"]);
        for other in 0..PIPELINES {
            desk.news(&format!("other {other}"), Vec::new());
        }
        assert_eq!(desk.said.len(), PIPELINES);
        assert_eq!(desk.news("1", notes(&["a"])), ["a"], "it was long ago");
    }
}
