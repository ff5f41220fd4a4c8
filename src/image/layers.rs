//! The layers of an image: what identifies them, and how many bytes they hold.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// How many unpacked bytes come out of a compressed one, on the average of what jobs use.
const UNPACKED_PER_COMPRESSED: f64 = 2.65;
/// The diff ID of a layer in which nothing is: 1,024 bytes of zeros, as an empty archive is.
const EMPTY_DIFF: &str = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
/// The instructions that leave a layer behind, also where no file in it has bytes.
const MAKES_LAYERS: [&str; 4] = ["RUN", "COPY", "ADD", "WORKDIR"];

/// A step in the making of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The instruction, as the builder wrote it down.
    pub created_by: String,
    /// Unpacked bytes of the layer it made; 0 also where it made none.
    pub bytes: u64,
}

/// A layer of an image that is on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerFact {
    /// What it is together with all below it: layers of equal chain IDs are kept once.
    pub chain_id: String,
    /// The digest of its unpacked archive.
    pub diff_id: String,
    /// Its unpacked bytes; `None`: the history does not tell.
    pub bytes: Option<u64>,
}

/// The compressed bytes of something, and how they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compressed {
    /// A registry or a pull told.
    Told(u64),
    /// Reckoned from the unpacked bytes.
    Estimated(u64),
}

impl Compressed {
    /// Reckons from unpacked bytes.
    pub fn of_unpacked(bytes: u64) -> Self {
        Self::Estimated((bytes as f64 / UNPACKED_PER_COMPRESSED) as u64)
    }

    /// Reckons unpacked bytes from compressed ones.
    pub fn unpacked(bytes: u64) -> u64 {
        (bytes as f64 * UNPACKED_PER_COMPRESSED) as u64
    }

    /// Returns the bytes, however they are known.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Told(bytes) | Self::Estimated(bytes) => bytes,
        }
    }
}

fn sha256(text: &str) -> String {
    let hex: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Folds diff IDs, base first, to chain IDs, as the OCI image specification says: the first is its own chain; each
/// other is the digest of the chain below it, a space and its diff ID.
pub fn chain_ids(diff_ids: &[String]) -> Vec<String> {
    let mut chains: Vec<String> = Vec::with_capacity(diff_ids.len());
    for diff in diff_ids {
        chains.push(match chains.last() {
            None => diff.clone(),
            Some(below) => sha256(&format!("{below} {diff}")),
        });
    }
    chains
}

/// Finds which entries of a history, oldest first, made which of so many layers; `None`: they do not fit.
///
/// Engines list entries that made no layer with 0 bytes, and layers whose files have no bytes as well. So:
///
/// 1. An entry with bytes made a layer.
/// 2. If those are as many as the layers, no entry of 0 bytes made one. If all entries are as many, each made one.
/// 3. Else as many entries of 0 bytes made layers as are missing: first those whose instruction is one that does (`RUN`,
///    `COPY`, `ADD`, `WORKDIR`), and among equals the oldest.
/// 4. A history with fewer entries than layers, or with more entries with bytes, tells of no layer.
fn makers(history: &[HistoryEntry], layers: usize) -> Option<Vec<usize>> {
    let (full, empty): (Vec<usize>, Vec<usize>) = (0..history.len()).partition(|at| history[*at].bytes > 0);
    let missing = layers.checked_sub(full.len()).filter(|missing| *missing <= empty.len())?;
    let (likely, unlikely): (Vec<usize>, Vec<usize>) =
        empty.into_iter().partition(|at| makes_layers(&history[*at].created_by));
    let mut makers: Vec<usize> = likely.into_iter().chain(unlikely).take(missing).chain(full).collect();
    makers.sort_unstable();
    Some(makers)
}

/// Tells whether an instruction is one that leaves a layer: `RUN …`, `COPY …`; `/bin/sh -c #(nop) ADD …` of the older
/// builder, whose plain `/bin/sh -c …` (or `|1 ARG=x /bin/sh -c …`) is a RUN.
fn makes_layers(created_by: &str) -> bool {
    let (old, rest) = match created_by.split_once("#(nop)") {
        Some((_, rest)) => (false, rest),
        None => (created_by.starts_with(['/', '|']), created_by),
    };
    old || rest.split_whitespace().next().is_some_and(|word| MAKES_LAYERS.contains(&word))
}

/// Joins an image's diff IDs, base first, with its history, oldest first.
pub fn layers(diff_ids: &[String], history: &[HistoryEntry]) -> Vec<LayerFact> {
    let makers = makers(history, diff_ids.len());
    let told = |at: usize| makers.as_ref().map(|makers| history[makers[at]].bytes);
    let facts = diff_ids.iter().zip(chain_ids(diff_ids)).enumerate();
    facts
        .map(|(at, (diff_id, chain_id))| {
            let bytes = if diff_id == EMPTY_DIFF { Some(0) } else { told(at) };
            LayerFact { chain_id, diff_id: diff_id.clone(), bytes }
        })
        .collect()
}

/// Sums up what images hold together: each layer once, however many of them have it. Layers of unknown bytes count as 0.
pub fn unique_bytes<'a>(images: impl IntoIterator<Item = &'a [LayerFact]>) -> u64 {
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for layer in images.into_iter().flatten() {
        let bytes = seen.entry(&layer.chain_id).or_default();
        *bytes = layer.bytes.unwrap_or_default().max(*bytes);
    }
    seen.values().sum()
}

/// Sums up what would go with an image while others stay: its layers that none of them has.
pub fn own_bytes<'a>(image: &[LayerFact], others: impl IntoIterator<Item = &'a [LayerFact]>) -> u64 {
    let mut own: BTreeMap<&str, u64> =
        image.iter().map(|layer| (layer.chain_id.as_str(), layer.bytes.unwrap_or_default())).collect();
    for layer in others.into_iter().flatten() {
        own.remove(layer.chain_id.as_str());
    }
    own.values().sum()
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
