//! `hearth images`: what is on this host, what it is worth, and what would go next.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::desk::{Answer, Desk, Seen, finish};
use super::find::{name, normalized, short};
use super::images_table::text;
use super::marks::Marks;
use crate::engine::Engine;
use crate::outcome::Failure;
use crate::policy::guard::Hold;
use crate::policy::standing::{Standing, pinned};
use crate::policy::{Class, Content, Ending, Plan, PlanError};

/// The arguments of `hearth images`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ImagesArgs {
    /// Print one JSON document instead of the table
    #[arg(long)]
    pub json: bool,
    /// The settings file instead of the usual one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What is on this host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Images {
    /// The images; what would go first comes last.
    pub(super) images: Vec<Image>,
    /// How full the host is.
    pub(super) marks: Marks,
    /// What pinned images take.
    pub(super) pinned_bytes: u64,
    /// What would happen now.
    pub(super) plan: Planned,
    /// Tags in use of which only jobs learn whether they moved; their images need not be here.
    pub(super) jobs_only: Vec<String>,
    /// What readers have to know, a sentence each.
    pub(super) notes: Vec<String>,
    /// The time of the look, in seconds since the epoch.
    pub(super) at: u64,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Image {
    /// The engine's ID.
    pub(super) id: String,
    /// What people call it.
    pub(super) name: String,
    /// Its names with tags.
    pub(super) tags: Vec<String>,
    /// Its names with digests.
    pub(super) digests: Vec<String>,
    /// Bytes on disk with all layers.
    pub(super) bytes: u64,
    /// Bytes on disk that no other image holds; `None`: its layers are not known.
    pub(super) unique_bytes: Option<u64>,
    /// Uses by jobs, decayed.
    pub(super) uses_per_day: f64,
    /// When a job used it last; `None`: none is on record.
    pub(super) last_use: Option<u64>,
    /// Its rank under the rule: the lowest goes first. `None`: it goes for another reason, or not at all.
    pub(super) score: Option<f64>,
    /// Seconds to pull what is its own; `None`: it cannot come back.
    pub(super) seconds_to_pull: Option<f64>,
    /// `pulled`, `built` (here, with a name), `dangling` (without one), or `foreign` (no business of hearth's).
    pub(super) class: &'static str,
    /// Whether one of its tags can be read with jobs' logins only: whether it moved, jobs alone learn.
    pub(super) jobs_only: bool,
    /// Whether somebody wants it here.
    pub(super) pinned: bool,
    /// Whether a job is about to use it.
    pub(super) leased: bool,
    /// Whether a container was made from it.
    pub(super) running: bool,
    /// Until when an announcement holds it.
    pub(super) claimed_until: Option<u64>,
    /// Until when it is too young to go.
    pub(super) young_until: Option<u64>,
    /// How many would go before it, and 1; `None`: nothing makes it go as things are.
    pub(super) turn: Option<usize>,
    /// Whether it would go now.
    pub(super) goes: bool,
    /// Why it would go at its turn.
    pub(super) reason: Option<String>,
}

/// What would happen now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Planned {
    /// How many images would go.
    pub(super) images: usize,
    /// Bytes that this would free.
    pub(super) frees_bytes: u64,
    /// Bytes that would still be missing, since nothing is left that may go.
    pub(super) short_bytes: u64,
    /// Inodes that would still be missing.
    pub(super) short_inodes: u64,
    /// Why nothing can be planned.
    pub(super) refused: Option<String>,
    /// Why nothing is removed at present, whatever the plan.
    pub(super) blocked: Option<String>,
}

/// Runs the command and returns its exit code: 0, or 2 with what is wrong on `err`.
pub async fn run<E: Engine>(
    args: &ImagesArgs,
    desk: &Desk<'_, E>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    finish(answer(args, desk).await, out, err)
}

async fn answer<E: Engine>(args: &ImagesArgs, desk: &Desk<'_, E>) -> Result<Answer, Failure> {
    let (store, note) = desk.store()?;
    let seen = desk.look(&store).await?;
    let images = Images::of(&seen, note.into_iter().collect());
    Answer::new(args.json, &images, || text(&images))
}

impl Images {
    /// Says what was seen.
    pub(super) fn of(seen: &Seen, notes: Vec<String>) -> Self {
        // What would go first comes last, where people look.
        let standings = seen.standings.images.iter().rev();
        Self {
            images: standings.filter_map(|standing| Image::of(seen, standing)).collect(),
            marks: Marks::of(seen),
            pinned_bytes: pinned(&seen.sight.snapshot).unpacked,
            plan: Planned::of(seen),
            jobs_only: seen.jobs_only.iter().map(|name| short(name)).collect(),
            notes,
            at: seen.now() as u64,
        }
    }
}

impl Image {
    fn of(seen: &Seen, standing: &Standing) -> Option<Self> {
        let content = seen.content(&standing.id)?;
        let summary = seen.sight.images.iter().find(|image| image.id == standing.id);
        let until = |time: f64| time.max(0.0) as u64;
        let known = !content.layers.is_empty();
        let claim = claimed_until(content, seen.standings.as_of);
        Some(Self {
            id: standing.id.clone(),
            name: summary.map_or_else(|| super::find::short_id(&standing.id), name),
            tags: summary.map(|image| image.tags.clone()).unwrap_or_default(),
            digests: summary.map(|image| image.digests.clone()).unwrap_or_default(),
            bytes: if known { standing.whole.unpacked } else { summary.map_or(0, |image| image.bytes) },
            unique_bytes: known.then_some(standing.alone.unpacked),
            uses_per_day: standing.uses_per_day,
            last_use: standing.last_use.map(until),
            score: standing.rank(),
            seconds_to_pull: (known && content.class == Class::Pulled).then_some(standing.seconds),
            class: class(content),
            jobs_only: summary
                .is_some_and(|image| image.tags.iter().any(|tag| seen.jobs_only.contains(&normalized(tag)))),
            pinned: content.pinned,
            leased: content.leased,
            running: content.running,
            claimed_until: claim.map(until),
            young_until: match standing.hold {
                Some(Hold::Young { until: time }) => Some(until(time)),
                _ => None,
            },
            turn: standing.place.map(|place| place + 1),
            goes: standing.goes,
            reason: standing.reason.filter(|_| standing.place.is_some()).map(|reason| reason.to_string()),
        })
    }
}

fn class(content: &Content) -> &'static str {
    match content.class {
        _ if content.foreign => "foreign",
        Class::Pulled => "pulled",
        Class::Local => "built",
        Class::Dangling => "dangling",
    }
}

fn claimed_until(content: &Content, now: f64) -> Option<f64> {
    let ends = content.claims.iter().map(|claim| claim.at + claim.grace).filter(|end| now <= *end);
    ends.reduce(f64::max)
}

impl Planned {
    /// Says what would happen now.
    pub(super) fn of(seen: &Seen) -> Self {
        Self::new(&seen.standings.plan, seen.sight.blocked.as_ref().map(ToString::to_string))
    }

    /// Says what a plan comes to.
    pub(super) fn new(plan: &Result<Plan, PlanError>, blocked: Option<String>) -> Self {
        let Ok(plan) = plan else {
            let refused = plan.as_ref().err().map(ToString::to_string);
            return Self { refused, blocked, ..Self::default() };
        };
        let (short_bytes, short_inodes) = match plan.ending {
            Ending::NothingLeft { bytes, inodes } => (bytes, inodes),
            Ending::NotNeeded | Ending::Enough => (0, 0),
        };
        Self {
            images: plan.removals.len(),
            frees_bytes: plan.removals.iter().map(|removal| removal.frees.unpacked).sum(),
            short_bytes,
            short_inodes,
            refused: None,
            blocked,
        }
    }
}
