//! `hearth evict`: makes room now, by the daemon's own code, and says what it did.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::desk::{Answer, Desk, Seen, finish};
use super::find::{name, short_id};
use super::images::Planned;
use super::images_table::many;
use super::marks::Marks;
use crate::engine::Engine;
use crate::evict::{Gone, Left, Occasion, Report, Room};
use crate::outcome::Failure;
use crate::policy::{Ending, Removal};
use crate::units::ByteSize;

/// The arguments of `hearth evict`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct EvictArgs {
    /// Only say what would go, and why
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// The settings file instead of the usual one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What would go.
#[derive(Debug, Serialize)]
struct Dry {
    dry_run: bool,
    removed: Vec<Removed>,
    plan: Planned,
    marks: Marks,
    notes: Vec<String>,
}

/// What went.
#[derive(Debug, Serialize)]
struct Done {
    dry_run: bool,
    removed: Vec<Removed>,
    left: Vec<Stayed>,
    volumes: Vec<String>,
    /// Bytes by which the build cache was cut.
    build_cache_bytes: u64,
    /// Bytes that became free on the disk in all; `None`: it cannot be seen from here.
    freed_bytes: Option<u64>,
    /// Why nothing was removed, though it might have been asked for.
    blocked: Option<String>,
    /// Whether another process evicts, so that nothing was done.
    busy: bool,
    /// The limit that is still passed, and who holds the bytes.
    stuck: Option<String>,
}

#[derive(Debug, Serialize)]
struct Removed {
    id: String,
    name: String,
    why: String,
    /// Bytes that it was reckoned to free.
    bytes: u64,
    /// Bytes that became free meanwhile; `None`: nothing was removed, or the disk cannot be seen.
    freed_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Stayed {
    id: String,
    name: String,
    why: String,
}

/// Runs the command and returns its exit code: 0, or 2 if it could not do what was asked: with what is wrong on `err`.
pub async fn run<E: Engine>(
    args: &EvictArgs,
    desk: &Desk<'_, E>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let answer = if args.dry_run { dry(args, desk).await } else { turn(args, desk, out).await };
    finish(answer, out, err)
}

async fn dry<E: Engine>(args: &EvictArgs, desk: &Desk<'_, E>) -> Result<Answer, Failure> {
    let (store, note) = desk.store()?;
    let seen = desk.look(&store).await?;
    let plan = desk.evictor(&store)?.plan(&seen.sight, &Occasion::Command);
    let removals = plan.iter().flat_map(|plan| &plan.removals);
    let dry = Dry {
        dry_run: true,
        removed: removals.map(|removal| Removed::of(removal, &seen)).collect(),
        plan: Planned::new(&plan, seen.sight.blocked.as_ref().map(ToString::to_string)),
        marks: Marks::of(&seen),
        notes: note.into_iter().collect(),
    };
    let refused = dry.plan.refused.is_some();
    Ok(Answer::new(args.json, &dry, || dry.text())?.wrong(refused))
}

impl Removed {
    fn of(removal: &Removal, seen: &Seen) -> Self {
        let image = seen.sight.images.iter().find(|image| image.id == removal.id);
        Self {
            id: removal.id.clone(),
            name: image.map_or_else(|| short_id(&removal.id), name),
            why: removal.reason.to_string(),
            bytes: removal.frees.unpacked,
            freed_bytes: None,
        }
    }

    fn gone(gone: Gone) -> Self {
        Self {
            id: gone.id,
            name: gone.name,
            why: gone.reason.to_string(),
            bytes: gone.reckoned,
            freed_bytes: gone.freed,
        }
    }
}

impl Dry {
    fn text(&self) -> String {
        let mut text = String::new();
        for removed in &self.removed {
            let (name, bytes) = (&removed.name, ByteSize(removed.bytes));
            text.push_str(&format!("would remove {name}: {}; that frees {bytes}\n", removed.why));
        }
        text.push_str(&self.plan.lines());
        text.push_str(&self.marks.lines());
        self.notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
        text
    }
}

async fn turn<E: Engine>(
    args: &EvictArgs,
    desk: &Desk<'_, E>,
    out: &mut dyn Write,
) -> Result<Answer, Failure> {
    let store = desk.writable_store()?;
    let mut written = Ok(());
    // A reader that has gone stops nothing: half of what was asked would be worse.
    let mut tell = |told: crate::evict::Told| {
        if !args.json && written.is_ok() {
            written = writeln!(out, "{told}").and_then(|()| out.flush());
        }
    };
    let report = desk.evictor(&store)?.turn(Occasion::Command, &mut tell).await?;
    written
        .or_else(quiet)
        .map_err(|error| Failure::system(format!("the output cannot be written: {error}")))?;
    let done = Done::of(report);
    let wrong = done.busy || done.stuck.is_some() || done.blocked.is_some();
    Ok(Answer::new(args.json, &done, || done.text())?.wrong(wrong))
}

fn quiet(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

impl Done {
    fn of(report: Report) -> Self {
        let free = |room: Room| room.free_bytes;
        let freed = report.before.zip(report.after);
        let ends_short = matches!(report.ending, Some(Ending::NothingLeft { .. }));
        let stuck = report.stuck.or_else(|| ends_short.then(|| "a limit is still passed".to_owned()));
        let left = |left: Left| Stayed { id: left.id, name: left.name, why: left.why };
        Self {
            dry_run: false,
            removed: report.gone.into_iter().map(Removed::gone).collect(),
            left: report.left.into_iter().map(left).collect(),
            volumes: report.volumes,
            build_cache_bytes: report.build_cache,
            freed_bytes: freed.map(|(before, after)| free(after).saturating_sub(free(before))),
            blocked: report.blocked.map(|blocked| blocked.to_string()),
            busy: report.busy,
            stuck,
        }
    }

    fn text(&self) -> String {
        if self.busy {
            return "nothing was removed: another process makes room at present, try again later\n"
                .to_owned();
        }
        let mut text = match &self.blocked {
            Some(blocked) => format!("nothing is removed at present: {blocked}\n"),
            None if self.removed.is_empty() => {
                "nothing was removed: ".to_owned()
                    + if self.stuck.is_some() || !self.left.is_empty() {
                        "nothing could be\n"
                    } else {
                        "no limit is reached\n"
                    }
            }
            None => {
                let reckoned: u64 = self.removed.iter().map(|removed| removed.bytes).sum();
                let freed = self.freed_bytes.unwrap_or(reckoned);
                format!("{} removed; {} became free\n", many(self.removed.len()), ByteSize(freed))
            }
        };
        if let Some(stuck) = &self.stuck {
            text.push_str(&format!("still too much: {stuck}\n"));
        }
        text
    }
}
