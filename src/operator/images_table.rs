//! How `hearth images` is shown to people.

use super::images::{Image, Images, Planned};
use super::table::{Column, table};
use super::when::{ago, rate, span};
use crate::units::ByteSize;

/// Returns the table, and below it the totals and what would happen now.
pub(super) fn text(images: &Images) -> String {
    let columns = [
        Column::Name("IMAGE"),
        Column::Right("SIZE"),
        Column::Right("ITS OWN"),
        Column::Right("USED"),
        Column::Left("LAST USE"),
        Column::Right("SCORE"),
        Column::Right("TURN"),
        Column::Left("STAYS FOR"),
    ];
    let rows: Vec<Vec<String>> = images.images.iter().map(|image| row(image, images.at as f64)).collect();
    let mut text = if rows.is_empty() { "there are no images\n".to_owned() } else { table(&columns, &rows) };
    text.push('\n');
    text.push_str(&images.marks.lines());
    let pinned = images.images.iter().filter(|image| image.pinned).count();
    if pinned > 0 {
        text.push_str(&format!("pinned   {}, {}\n", many(pinned), ByteSize(images.pinned_bytes)));
    }
    if !images.jobs_only.is_empty() {
        text.push_str(&format!("checked by jobs only: {}\n", images.jobs_only.join(", ")));
    }
    text.push_str(&images.plan.lines());
    images.notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
    text
}

fn row(image: &Image, now: f64) -> Vec<String> {
    let used = if image.uses_per_day > 0.0 { rate(image.uses_per_day) } else { "-".to_owned() };
    vec![
        image.name.clone(),
        ByteSize(image.bytes).to_string(),
        image.unique_bytes.map_or_else(|| "?".to_owned(), |bytes| ByteSize(bytes).to_string()),
        used,
        image.last_use.map_or_else(|| "never".to_owned(), |at| ago(now, at as f64)),
        image.score.map_or_else(|| "-".to_owned(), score),
        match (image.goes, image.turn) {
            (true, _) => "now".to_owned(),
            (false, Some(turn)) => turn.to_string(),
            (false, None) => "-".to_owned(),
        },
        stays_for(image, now),
    ]
}

/// Ranks are small numbers, or times where the rule goes by the last use; what counts is which is larger.
fn score(score: f64) -> String {
    if score == 0.0 { "0".to_owned() } else { format!("{score:.1e}") }
}

/// Says all that holds an image.
fn stays_for(image: &Image, now: f64) -> String {
    let left = |until: u64| span(until as f64 - now);
    let mut why: Vec<String> = Vec::new();
    why.extend(image.pinned.then(|| "pin".to_owned()));
    why.extend(image.leased.then(|| "lease".to_owned()));
    why.extend(image.running.then(|| "container".to_owned()));
    why.extend(image.claimed_until.map(|until| format!("claim {}", left(until))));
    why.extend(image.young_until.map(|until| format!("age {}", left(until))));
    match image.class {
        "foreign" => why.push("foreign".to_owned()),
        "built" | "dangling" if image.turn.is_none() && why.is_empty() => why.push("built here".to_owned()),
        _ => {}
    }
    why.join(", ")
}

impl Planned {
    /// Says what would happen now, with a line's end.
    pub(super) fn lines(&self) -> String {
        let mut text = match &self.refused {
            Some(refused) => format!("nothing can go: {refused}\n"),
            None if self.images == 0 => "nothing goes now\n".to_owned(),
            None => {
                format!("{} would go now and free {}\n", many(self.images), ByteSize(self.frees_bytes))
            }
        };
        let mut missing = Vec::new();
        missing.extend((self.short_bytes > 0).then(|| ByteSize(self.short_bytes).to_string()));
        missing.extend((self.short_inodes > 0).then(|| format!("{} inodes", self.short_inodes)));
        if !missing.is_empty() {
            text.push_str(&format!(
                "{} too much would be left: nothing else may go\n",
                missing.join(" and ")
            ));
        }
        if let Some(blocked) = &self.blocked {
            text.push_str(&format!("nothing is removed at present: {blocked}\n"));
        }
        text
    }
}

/// Counts images.
pub(super) fn many(images: usize) -> String {
    if images == 1 { "1 image".to_owned() } else { format!("{images} images") }
}
