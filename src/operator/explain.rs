//! `hearth explain`: why an image is kept or would go, what its coming back costs, and what it would take to keep it.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::desk::{Answer, Desk, Seen, finish};
use super::explain_words::text;
use super::find::{find, name, normalized, short, short_id, similar};
use super::images::{Image, Images};
use crate::engine::{Engine, ImageSummary};
use crate::image::ImageRef;
use crate::outcome::Failure;
use crate::policy::Cost;
use crate::policy::explain::{Fate, Remedy, explain};
use crate::policy::guard::Hold;
use crate::store::{Store, Tag};

/// The arguments of `hearth explain`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ExplainArgs {
    /// The image, by name, digest or the beginning of its ID
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// The settings file instead of the usual one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What is to be said of an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Explained {
    /// What people call it.
    pub(super) name: String,
    /// The image as `hearth images` has it; `None`: it is not on this host.
    pub(super) image: Option<Image>,
    /// `goes`, `held`, `built`, `no need`, `spared`, `unplanned`, or `absent`.
    pub(super) fate: &'static str,
    /// What holds it: `pin`, `lease`, `container`, `foreign`, `age` or `claim`.
    pub(super) held_by: Option<&'static str>,
    /// Until when it is held, in seconds since the epoch; `None`: that is open.
    pub(super) until: Option<u64>,
    /// Why it would go at its turn, or why nothing can be planned.
    pub(super) why: Option<String>,
    /// How many would go before it.
    pub(super) before: Option<usize>,
    /// What its coming back would cost.
    pub(super) back: Back,
    /// What would keep it, each by itself; empty for what stays as things are.
    pub(super) keep: Vec<Keep>,
    /// Bytes that images could still grow by before it would go; `None`: it goes now, or no growth makes it go.
    pub(super) headroom_bytes: Option<u64>,
    /// How a job's use of it is on record.
    pub(super) used: Used,
    /// Why nothing is removed at present, whatever the plan.
    pub(super) blocked: Option<String>,
    /// What readers have to know, a sentence each.
    pub(super) notes: Vec<String>,
    /// The time of the look, in seconds since the epoch.
    pub(super) at: u64,
}

/// What an image's coming back costs.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(super) struct Back {
    /// Seconds; `None`: it cannot come back, or its layers are not known.
    pub(super) seconds: Option<f64>,
    /// Bytes from the registry.
    pub(super) compressed_bytes: u64,
    /// Bytes on disk.
    pub(super) bytes: u64,
}

/// One thing that would keep an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Keep {
    /// `bytes` (images may take so many more), `inodes` (so many fewer need be free), `use` (one more by a job), `pin`.
    pub(super) by: &'static str,
    /// How many; `None` where nothing is counted.
    pub(super) amount: Option<u64>,
}

/// How an image was used.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(super) struct Used {
    /// How often in all.
    pub(super) uses: u64,
    /// How often, decayed.
    pub(super) per_day: f64,
    /// When last, in seconds since the epoch.
    pub(super) last: Option<u64>,
}

/// Runs the command and returns its exit code: 0, or 2 with what is wrong on `err`.
pub async fn run<E: Engine>(
    args: &ExplainArgs,
    desk: &Desk<'_, E>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    finish(answer(args, desk).await, out, err)
}

async fn answer<E: Engine>(args: &ExplainArgs, desk: &Desk<'_, E>) -> Result<Answer, Failure> {
    let (store, note) = desk.store()?;
    let seen = desk.look(&store).await?;
    let mut explained = match find(&seen.sight, &args.image).as_slice() {
        [] => absent(&args.image, &seen, &store)?,
        [image] => here(image, &seen, &store)?,
        several => return Err(several_mean(&args.image, several)),
    };
    explained.notes.extend(note);
    Answer::new(args.json, &explained, || text(&explained))
}

fn several_mean(asked: &str, images: &[&ImageSummary]) -> Failure {
    let failure = Failure::system(format!("{asked} means {} images", images.len()));
    let each = images.iter().map(|image| format!("{} is {}", short_id(&image.id), name(image)));
    each.fold(failure, Failure::hint).hint("write more of the ID, or a name")
}

fn here(image: &ImageSummary, seen: &Seen, store: &Store) -> Result<Explained, Failure> {
    let gone = || Failure::system(format!("{} came or went just now", name(image))).hint("ask again");
    let explanation =
        explain(&seen.sight.snapshot, &seen.sight.rules, seen.now(), &image.id).ok_or_else(gone)?;
    let shown = Images::of(seen, Vec::new()).images.into_iter().find(|one| one.id == image.id);
    let shown = shown.ok_or_else(gone)?;
    let until = |time: f64| Some(time.max(0.0) as u64);
    let mut explained = Explained {
        name: name(image),
        fate: "",
        held_by: None,
        until: None,
        why: explanation.standing.reason.map(|reason| reason.to_string()),
        before: None,
        back: Back {
            seconds: explanation.back_seconds.filter(|_| shown.unique_bytes.is_some()),
            compressed_bytes: explanation.back.compressed,
            bytes: explanation.back.unpacked,
        },
        keep: explanation.remedies.iter().map(|remedy| Keep::of(*remedy)).collect(),
        headroom_bytes: explanation.headroom,
        used: Used {
            uses: uses(store, image),
            per_day: explanation.standing.uses_per_day,
            last: shown.last_use,
        },
        blocked: seen.sight.blocked.as_ref().map(ToString::to_string),
        notes: Vec::new(),
        at: seen.now() as u64,
        image: Some(shown),
    };
    (explained.fate, explained.before) = match explanation.fate {
        Fate::Goes { before, .. } => ("goes", Some(before)),
        Fate::NoNeed { before } => ("no need", Some(before)),
        Fate::Spared { before } => ("spared", Some(before)),
        Fate::Held(hold) => {
            let (by, ends) = held(hold);
            (explained.held_by, explained.until) = (Some(by), ends.and_then(until));
            ("held", None)
        }
        Fate::Built { until: ends } => {
            explained.until = ends.and_then(until);
            ("built", None)
        }
        Fate::Unplanned(error) => {
            explained.why = Some(error.to_string());
            ("unplanned", None)
        }
    };
    Ok(explained)
}

fn held(hold: Hold) -> (&'static str, Option<f64>) {
    match hold {
        Hold::Pinned => ("pin", None),
        Hold::Leased => ("lease", None),
        Hold::Running => ("container", None),
        Hold::Foreign => ("foreign", None),
        Hold::Young { until } => ("age", Some(until)),
        Hold::Claimed { until } => ("claim", Some(until)),
    }
}

impl Keep {
    fn of(remedy: Remedy) -> Self {
        match remedy {
            Remedy::Bytes(bytes) => Self { by: "bytes", amount: Some(bytes) },
            Remedy::Inodes(inodes) => Self { by: "inodes", amount: Some(inodes) },
            Remedy::Use => Self { by: "use", amount: None },
            Remedy::Pin => Self { by: "pin", amount: None },
        }
    }
}

/// Counts the uses of all tags that an image has.
fn uses(store: &Store, image: &ImageSummary) -> u64 {
    let names = image.tags.iter().chain(&image.digests).filter_map(|name| name.parse::<ImageRef>().ok());
    names.filter_map(|name| store.tag(&name)).map(|tag| tag.uses).sum()
}

/// Explains an image that is not here: that jobs used it is on record, or nobody knows it.
fn absent(asked: &str, seen: &Seen, store: &Store) -> Result<Explained, Failure> {
    let reference = asked.parse::<ImageRef>().map_err(|problem| {
        Failure::system(problem.to_string())
            .hint("write it as a job's `image:` would, or the beginning of an ID")
    })?;
    let Some(tag) = store.tag(&reference) else { return Err(unknown(asked, seen, store)) };
    let known = store.contents().into_iter().find(|content| Some(&content.key) == tag.content.as_ref());
    let layers = known.map(|content| content.layers).unwrap_or_default();
    let here = |id: &str| {
        let contents = &seen.sight.snapshot.contents;
        contents.iter().any(|content| content.layers.iter().any(|layer| layer.id == id))
    };
    let missing: Vec<_> =
        layers.iter().filter(|layer| !here(&layer.chain)).map(|layer| layer.for_policy()).collect();
    let mut size = crate::policy::Size::default();
    missing.iter().for_each(|layer| size += layer.size);
    let cost = store.cost(reference.registry().unwrap_or_default(), Cost::default());
    Ok(Explained {
        name: short(&normalized(asked)),
        image: None,
        fate: "absent",
        held_by: None,
        until: None,
        why: None,
        before: None,
        back: Back {
            seconds: (!layers.is_empty()).then(|| cost.pull_seconds(size)),
            compressed_bytes: size.compressed,
            bytes: size.unpacked,
        },
        keep: Vec::new(),
        headroom_bytes: None,
        used: used(&tag, seen),
        blocked: None,
        notes: Vec::new(),
        at: seen.now() as u64,
    })
}

fn used(tag: &Tag, seen: &Seen) -> Used {
    let half_life = seen.sight.rules.score.half_life();
    let count = tag.rate.at(seen.standings.as_of, half_life);
    let per_day = count * std::f64::consts::LN_2 * 86_400.0 / half_life;
    Used { uses: tag.uses, per_day, last: Some(tag.last_use.as_secs()) }
}

fn unknown(asked: &str, seen: &Seen, store: &Store) -> Failure {
    let failure =
        Failure::system(format!("there is no image {asked} on this host, and no job here has used it"));
    let here =
        seen.sight.images.iter().flat_map(|image| image.tags.iter().map(|tag| short(&normalized(tag))));
    let used = store.tags().into_iter().map(|tag| short(&tag.name));
    match similar(asked, here.chain(used)).as_slice() {
        [] => failure.hint("`hearth images` lists what is here"),
        alike => failure.hint(format!("known is {}", alike.join(", "))),
    }
}
