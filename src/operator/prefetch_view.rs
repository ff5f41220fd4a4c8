//! What `hearth prefetch` says: a table of what is to come, then a line for each image that came or did not.

use serde::Serialize;

use super::find::short_id;
use super::images_table::many;
use super::table::{Column, table};
use super::when::span;
use crate::evict::Sight;
use crate::fetch::{Arrival, Arrived, Cause, Look, PullFault};
use crate::policy::Size;
use crate::policy::wanted::Fit;
use crate::units::ByteSize;

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Fetching {
    dry_run: bool,
    /// In the order in which they come: what saves most first.
    pub(super) images: Vec<Row>,
}

/// One image.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) image: String,
    /// Empty: this host's own.
    platform: String,
    /// The registry or mirror that is asked first.
    from: String,
    /// What the name means now; `None`: that was not learnt.
    digest: Option<String>,
    /// `here`, `missing`, `moved` or `unknown`, before.
    was: &'static str,
    /// Compressed bytes that were missing; `None`: not known.
    missing_bytes: Option<u64>,
    /// Bytes that they take on the disk; `None`: not known.
    disk_bytes: Option<u64>,
    /// Seconds that the pull was expected to take; `None`: there is nothing to pull, or that is not known.
    seconds: Option<f64>,
    /// The images that go for it, by their names.
    removes: Vec<String>,
    /// Whether there is room for it; `None`: that was not looked at.
    fits: Option<bool>,
    /// `done`, `here`, `joined`, `cut`, `failed` or `not begun`; `None`: it was a dry run.
    outcome: Option<&'static str>,
    /// Compressed bytes that were fetched; `None`: none were, or the engine did not tell.
    fetched_bytes: Option<u64>,
    /// How long that took in seconds.
    took: Option<f64>,
    /// What went wrong.
    problem: Option<String>,
    /// What to do about it.
    hint: Option<&'static str>,
}

impl Row {
    pub(super) fn new(image: String, platform: String, from: String) -> Self {
        Self {
            image,
            platform,
            from,
            digest: None,
            was: "unknown",
            missing_bytes: None,
            disk_bytes: None,
            seconds: None,
            removes: Vec::new(),
            fits: None,
            outcome: None,
            fetched_bytes: None,
            took: None,
            problem: None,
            hint: None,
        }
    }

    /// Takes what the registry said.
    pub(super) fn looked(&mut self, look: &Look, missing: Option<Size>, seconds: Option<f64>) {
        self.digest = Some(look.digest.clone());
        self.was = match look {
            Look { here: true, .. } => "here",
            Look { moved: true, .. } => "moved",
            _ => "missing",
        };
        let missing = if look.here { Some(Size::default()) } else { missing };
        self.missing_bytes = missing.map(|size| size.compressed);
        self.disk_bytes = missing.map(|size| size.unpacked);
        self.seconds = seconds.filter(|_| !look.here);
        if look.here && !look.retag {
            self.outcome = Some("here");
        }
    }

    /// Takes whether there is room for it and all before it.
    pub(super) fn room(&mut self, fit: Fit, sight: &Sight) {
        match fit.room() {
            Ok(ids) => {
                self.fits = Some(true);
                self.removes = ids.iter().map(|id| sight.called(id).to_owned()).collect();
            }
            Err(held) => {
                self.fits = Some(false);
                self.problem = Some(held.to_string());
                self.hint = Some(NO_ROOM);
            }
        }
    }

    /// Takes that it came.
    pub(super) fn arrived(&mut self, arrived: &Arrived) {
        self.outcome = Some(match arrived.how {
            Arrival::Here => "here",
            Arrival::Joined => "joined",
            Arrival::Pulled => "done",
        });
        self.digest = Some(arrived.digest.clone());
        self.fetched_bytes = arrived.bytes;
        self.took = Some(arrived.took.as_secs_f64());
        (self.problem, self.hint) = (None, None);
    }

    /// Takes why it is not to be had.
    pub(super) fn failed(&mut self, fault: &PullFault) {
        let cause = fault.cause();
        self.outcome = Some(if cause == Cause::Stopped { "cut" } else { "failed" });
        self.problem = (cause != Cause::Stopped).then(|| fault.words());
        self.hint = match cause {
            Cause::Gone => Some("check the name and the tag, and that it was pushed"),
            Cause::Denied => Some(
                "this host needs credentials for it: docker login writes them where [pull] docker_config_dir says",
            ),
            Cause::Room => Some(NO_ROOM),
            Cause::Name => Some("name it with its registry and tag: what has only an ID cannot be fetched"),
            Cause::Platform | Cause::Limited(_) | Cause::Link | Cause::Stopped | Cause::Engine => None,
        };
    }

    /// Takes that its turn did not come.
    pub(super) fn not_begun(&mut self) {
        if self.outcome.is_none() {
            self.outcome = Some("not begun");
        }
    }

    fn cells(&self) -> Vec<String> {
        let bytes =
            |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), |bytes| ByteSize(bytes).to_string());
        let known = self.digest.is_some();
        let room = match (self.fits, self.removes.len()) {
            (None, _) => String::new(),
            (Some(true), 0) => "fits".to_owned(),
            (Some(true), count) => format!("removes {}", many(count)),
            (Some(false), _) => "no room".to_owned(),
        };
        vec![
            self.image.clone(),
            self.digest.as_deref().map(short_id).unwrap_or_default(),
            self.was.to_owned(),
            if known { bytes(self.missing_bytes) } else { String::new() },
            self.seconds.map(span).unwrap_or_default(),
            self.from.clone(),
            room,
        ]
    }

    fn line(&self, dry_run: bool) -> Option<String> {
        let image = &self.image;
        let why = |words: &str| {
            let hint = self.hint.map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
            format!("{words}{hint}")
        };
        Some(match (self.outcome, &self.problem) {
            (Some("done"), _) => {
                let bytes =
                    self.fetched_bytes.map(|bytes| format!("{} ", ByteSize(bytes))).unwrap_or_default();
                format!("{image}: fetched {bytes}in {}", span(self.took.unwrap_or_default()))
            }
            (Some("joined"), _) => format!("{image}: another process of this host has just pulled it"),
            (Some("here"), _) => format!("{image}: here, and up to date"),
            (Some("cut"), _) => format!("{image}: stopped"),
            (Some("not begun"), _) => format!("{image}: not begun"),
            (_, Some(problem)) if dry_run => format!("{image}: would not come: {}", why(problem)),
            (_, Some(problem)) => format!("{image}: not fetched: {}", why(problem)),
            (_, None) if !self.removes.is_empty() => {
                format!("{image}: would remove {}", self.removes.join(", "))
            }
            (_, None) => return None,
        })
    }
}

/// What to do where there is no room.
const NO_ROOM: &str =
    "hearth status says what holds the disk; pins and the marks under [cache] say what stays";

impl Fetching {
    pub(super) fn new(dry_run: bool, images: Vec<Row>) -> Self {
        Self { dry_run, images }
    }

    /// Returns whether one of them did not come, or would not.
    pub(super) fn failed(&self) -> bool {
        let is_bad =
            |row: &Row| matches!(row.outcome, Some("failed" | "cut" | "not begun")) || row.problem.is_some();
        self.images.iter().any(is_bad)
    }

    /// Returns what is to come.
    pub(super) fn table(&self) -> String {
        let columns = [
            Column::Name("IMAGE"),
            Column::Left("DIGEST"),
            Column::Left("WAS"),
            Column::Right("FETCH"),
            Column::Right("TAKES"),
            Column::Left("FROM"),
            Column::Left("ROOM"),
        ];
        table(&columns, &self.images.iter().map(Row::cells).collect::<Vec<_>>())
    }

    /// Returns a line for each image of which there is something to say.
    pub(super) fn lines(&self) -> String {
        self.images.iter().filter_map(|row| row.line(self.dry_run)).map(|line| line + "\n").collect()
    }
}
