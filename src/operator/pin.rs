//! `hearth pin` and `hearth unpin`: images that stay whatever the disk says.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::desk::{Answer, Desk, Seen, broken, finish};
use super::find::{find, is_pattern, normalized, pinned_by, short, similar};
use super::pin_set::{PinSet, budget};
use super::when::{Date, When};
use crate::engine::Engine;
use crate::image::{ImageRef, Patterns};
use crate::outcome::Failure;
use crate::store::{Pin, Store};
use crate::units::ByteSize;

/// The longest reason that is kept, in bytes.
const LONGEST_REASON: usize = 500;

/// The arguments of `hearth pin`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PinArgs {
    /// Images by name, digest or ID, or patterns such as registry.example.com/team/**; they need not be on this host yet
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Until when: a span such as 12h or 30d, or a date in UTC such as 2026-12-24. Without it: for good
    #[arg(long, value_name = "WHEN")]
    pub until: Option<When>,
    /// Why, for whoever reads the list of pins
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// The settings file instead of the usual one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The arguments of `hearth unpin`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct UnpinArgs {
    /// The images whose pins are taken back
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// The settings file instead of the usual one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What `hearth pin` did.
#[derive(Debug, Serialize)]
struct Pinned {
    pinned: Vec<PinnedImage>,
    /// Bytes that all pinned images take, as far as is known.
    pins_bytes: u64,
    /// Bytes that they may take; `None`: no limit.
    budget_bytes: Option<u64>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PinnedImage {
    name: String,
    /// Seconds since the epoch; `None`: for good.
    until: Option<u64>,
    reason: String,
    /// Whether it is on this host; `None`: the engine was not there to be asked.
    here: Option<bool>,
    /// Bytes on disk with all layers; `None`: not known yet.
    bytes: Option<u64>,
}

/// What `hearth unpin` did.
#[derive(Debug, Serialize)]
struct Unpinned {
    unpinned: Vec<String>,
    /// Those that had no pin.
    unknown: Vec<String>,
    notes: Vec<String>,
}

/// Pins images and returns the exit code: 0, or 2 with what is wrong on `err`; then nothing was pinned.
pub async fn pin<E: Engine>(
    args: &PinArgs,
    desk: &Desk<'_, E>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    finish(pin_all(args, desk).await, out, err)
}

/// Takes pins back and returns the exit code: 0, or 2 if one of the images had no pin.
pub fn unpin<E: Engine>(
    args: &UnpinArgs,
    desk: &Desk<'_, E>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    match unpin_all(args, desk) {
        Ok((answer, missing)) => {
            let code = finish(Ok(answer), out, err);
            missing.map_or(code, |failure| finish(Err(failure), out, err))
        }
        Err(failure) => finish(Err(failure), out, err),
    }
}

async fn pin_all<E: Engine>(args: &PinArgs, desk: &Desk<'_, E>) -> Result<Answer, Failure> {
    let now = desk.now().wall;
    readable(&args.images)?;
    let until = args.until.map(|when| when.at(now));
    if let Some(until) = until.filter(|until| *until <= now) {
        return Err(Failure::system(format!("--until {} is in the past: it is {}", Date(until), Date(now))));
    }
    let reason = args.reason.clone().unwrap_or_default();
    if reason.len() > LONGEST_REASON || reason.chars().any(char::is_control) {
        return Err(Failure::system(format!(
            "--reason is too long or no single line: {LONGEST_REASON} bytes are kept"
        )));
    }
    let store = desk.writable_store()?;
    let mut notes = Vec::new();
    let seen = match desk.glance(&store).await {
        Ok(seen) => Some(seen),
        Err(failure) => {
            notes.push(format!("sizes are those on record, since {}", failure.message));
            None
        }
    };
    let mut names: Vec<String> =
        args.images.iter().map(|image| pin_name(image, seen.as_ref(), &mut notes)).collect();
    names.sort_unstable();
    names.dedup();
    let set = PinSet::of(&store, seen.as_ref(), &names, now);
    let budget = budget(&desk.settings.cache, seen.as_ref());
    if let Some(budget) = budget.as_ref().filter(|budget| set.bytes > budget.bytes) {
        return Err(set.refusal(budget));
    }
    for name in &names {
        let pin = Pin { name: name.clone(), until, reason: reason.clone() };
        if !store.pin(&pin, now) {
            let unwritten = || Failure::system("the store cannot be written: the pin was not kept");
            return Err(store.trouble().map_or_else(unwritten, broken));
        }
    }
    let images: Vec<PinnedImage> = names
        .iter()
        .map(|name| PinnedImage {
            name: name.clone(),
            until: until.map(|until| until.as_secs()),
            reason: reason.clone(),
            here: seen.as_ref().map(|seen| !pinned_by(&seen.sight, name).is_empty()),
            bytes: set.size_of(name),
        })
        .collect();
    notes.extend(unknown(&images, &store, seen.as_ref()));
    let budget_bytes = budget.map(|budget| budget.bytes);
    let pinned = Pinned { pinned: images, pins_bytes: set.bytes, budget_bytes, notes };
    Answer::new(args.json, &pinned, || pinned.text(until))
}

/// Complains of all that are no names, at once.
fn readable(images: &[String]) -> Result<(), Failure> {
    let bad: Vec<String> = images.iter().filter_map(|image| unreadable(image)).collect();
    match bad.as_slice() {
        [] => Ok(()),
        [only] => Err(Failure::system(only).hint("write it as a job's `image:` would")),
        [first, more @ ..] => {
            let failure = more.iter().fold(Failure::system(first), |failure, bad| failure.hint(bad));
            Err(failure.hint("write them as a job's `image:` would; nothing was changed"))
        }
    }
}

/// Says what is wrong with a name or pattern.
fn unreadable(image: &str) -> Option<String> {
    if is_pattern(image) || image.starts_with('!') {
        let bad = Patterns::compile(&[image]).err().unwrap_or_default();
        return match image.strip_prefix('!') {
            Some(rest) => Some(format!("{image:?} would take pins from others: unpin {rest} instead")),
            None => bad.first().map(ToString::to_string),
        };
    }
    image.parse::<ImageRef>().err().map(|problem| problem.to_string())
}

/// Returns the name under which an image is pinned: its full one. The beginning of an ID that is no image's name becomes
/// that ID.
fn pin_name(image: &str, seen: Option<&Seen>, notes: &mut Vec<String>) -> String {
    let name = normalized(image);
    let Some(seen) = seen.filter(|_| !is_pattern(image)) else { return name };
    match find(&seen.sight, image).as_slice() {
        [only] if pinned_by(&seen.sight, &name).is_empty() => {
            notes.push(format!("{image} is the ID of {}", super::find::name(only)));
            only.id.clone()
        }
        _ => name,
    }
}

/// Says of images that are not here what looks like them.
fn unknown(images: &[PinnedImage], store: &Store, seen: Option<&Seen>) -> Vec<String> {
    let Some(seen) = seen else { return Vec::new() };
    let tags = store.tags();
    let known = || {
        let here = seen.sight.images.iter().flat_map(|image| image.tags.iter().cloned());
        here.chain(tags.iter().map(|tag| short(&tag.name)))
    };
    let missing = images.iter().filter(|image| image.here == Some(false) && !is_pattern(&image.name));
    let missing = missing.filter(|image| !tags.iter().any(|tag| tag.name == image.name));
    missing
        .map(|image| {
            let name = short(&image.name);
            match similar(&name, known()).as_slice() {
                [] => format!("{name} is not on this host: it stays once it comes"),
                alike => {
                    format!(
                        "{name} is not on this host: it stays once it comes; here is {}",
                        alike.join(", ")
                    )
                }
            }
        })
        .collect()
}

impl Pinned {
    fn text(&self, until: Option<Duration>) -> String {
        let until = until.map_or_else(|| "for good".to_owned(), |until| format!("until {}", Date(until)));
        let mut text = String::new();
        for image in &self.pinned {
            let size = image.bytes.map_or_else(String::new, |bytes| format!(", {}", ByteSize(bytes)));
            text.push_str(&format!("pinned {} {until}{size}\n", short(&image.name)));
        }
        let pins = ByteSize(self.pins_bytes);
        match self.budget_bytes {
            Some(budget) => text
                .push_str(&format!("all pinned images take {pins} of {} that may stay\n", ByteSize(budget))),
            None => text.push_str(&format!("all pinned images take {pins}\n")),
        }
        self.notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
        text
    }
}

fn unpin_all<E: Engine>(args: &UnpinArgs, desk: &Desk<'_, E>) -> Result<(Answer, Option<Failure>), Failure> {
    let now = desk.now().wall;
    readable(&args.images)?;
    let store = desk.writable_store()?;
    let pins: Vec<String> = store.pins(now).into_iter().map(|pin| pin.name).collect();
    let (mut done, mut notes) =
        (Unpinned { unpinned: Vec::new(), unknown: Vec::new(), notes: Vec::new() }, Vec::new());
    for image in &args.images {
        match pin_of(image, &pins) {
            Some(pin) if store.unpin(pin) => done.unpinned.push(pin.to_owned()),
            Some(pin) => {
                let words =
                    format!("the pin of {} was not taken back: the store cannot be written", short(pin));
                return Err(store.trouble().map_or_else(|| Failure::system(words), broken));
            }
            None => done.unknown.push(image.clone()),
        }
    }
    for image in &args.images {
        let patterns = &desk.settings.cache.pins;
        let name = normalized(image);
        if patterns.matches(image) || patterns.matches(&name) || patterns.matches(&short(&name)) {
            notes.push(format!("{image} stays pinned by the settings: [cache] pins"));
        }
    }
    done.notes = notes;
    let missing = (!done.unknown.is_empty()).then(|| not_pinned(&done.unknown, &pins));
    let answer = Answer::new(args.json, &done, || done.text())?;
    Ok((answer, missing))
}

/// Returns the pin that a text means: of its full name, or of an ID that it begins.
fn pin_of<'a>(image: &str, pins: &'a [String]) -> Option<&'a str> {
    let name = normalized(image);
    let digits = image.strip_prefix("sha256:").unwrap_or(image);
    let by_id = |pin: &&String| {
        digits.len() >= 4 && pin.strip_prefix("sha256:").is_some_and(|id| id.starts_with(digits))
    };
    let mut by_ids = pins.iter().filter(by_id);
    let by_id = by_ids.next().filter(|_| by_ids.next().is_none());
    pins.iter().find(|pin| **pin == name).or(by_id).map(String::as_str)
}

fn not_pinned(unknown: &[String], pins: &[String]) -> Failure {
    let names = unknown.join(", ");
    let failure = Failure::system(format!("there is no pin of {names}"));
    let alike: Vec<String> =
        unknown.iter().flat_map(|image| similar(image, pins.iter().map(|pin| short(pin)))).collect();
    match (alike.is_empty(), pins.is_empty()) {
        (false, _) => failure.hint(format!("pinned is {}", alike.join(", "))),
        (true, true) => failure.hint("nothing is pinned by hand"),
        (true, false) => failure.hint("`hearth status` lists the pins"),
    }
}

impl Unpinned {
    fn text(&self) -> String {
        let done = self.unpinned.iter().map(|name| format!("unpinned {}\n", short(name)));
        let notes = self.notes.iter().map(|note| format!("note: {note}\n"));
        done.chain(notes).collect()
    }
}
