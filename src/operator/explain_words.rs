//! How `hearth explain` is told to people.

use super::explain::{Explained, Keep};
use super::images_table::many;
use super::when::{ago, rate, span};
use crate::units::ByteSize;

/// Returns the lines.
pub(super) fn text(explained: &Explained) -> String {
    let mut lines = vec![explained.name.clone()];
    lines.extend(explained.size());
    lines.push(explained.usage());
    lines.push(explained.verdict());
    lines.extend(explained.back());
    lines.extend(explained.to_keep());
    let blocked = explained.blocked.as_ref();
    lines.extend(blocked.map(|blocked| format!("nothing is removed at present: {blocked}")));
    lines.extend(explained.notes.iter().map(|note| format!("note: {note}")));
    lines
        .iter()
        .enumerate()
        .map(|(at, line)| if at == 0 { format!("{line}\n") } else { format!("  {line}\n") })
        .collect()
}

impl Explained {
    fn size(&self) -> Option<String> {
        let image = self.image.as_ref()?;
        let own = image.unique_bytes.map_or_else(
            || "its layers are not known yet".to_owned(),
            |own| format!("{} of it no other image has", ByteSize(own)),
        );
        Some(format!("takes {}; {own}", ByteSize(image.bytes)))
    }

    fn usage(&self) -> String {
        let Some(last) = self.used.last else { return "no job here has used it".to_owned() };
        let often = match rate(self.used.per_day).as_str() {
            "-" => String::new(),
            rate => format!(", {rate}"),
        };
        let uses = if self.used.uses == 1 { "once" } else { &format!("{} times", self.used.uses) };
        let uses = if self.used.uses == 0 { "" } else { &format!("{uses}, ") };
        format!("used {uses}last {}{often}", ago(self.at as f64, last as f64))
    }

    fn verdict(&self) -> String {
        let left = self.until.map(|until| span(until as f64 - self.at as f64));
        let why = self.why.as_deref().unwrap_or_default();
        let before = self.before.unwrap_or_default();
        match (self.fate, self.held_by) {
            ("goes", _) if before == 0 => format!("would go now, the first of all: {why}"),
            ("goes", _) => format!("would go now, after {}: {why}", many(before)),
            ("held", Some("pin")) => "stays: it is pinned".to_owned(),
            ("held", Some("lease")) => "stays: a job is about to use it".to_owned(),
            ("held", Some("container")) => "stays: a container was made from it".to_owned(),
            ("held", Some("foreign")) => {
                "stays: neither did hearth pull it nor did a job use it ([cache] scope)".to_owned()
            }
            ("held", Some("age")) => {
                format!("stays {} more: it came just now ([cache] minimum_age)", left.unwrap_or_default())
            }
            ("held", _) => {
                format!("stays {} more: it was announced that it will be wanted", left.unwrap_or_default())
            }
            ("built", _) => match left {
                Some(left) => format!("stays {left} more unless it is used: it was built here"),
                None => "stays: it was built here and cannot come back ([cache] keep_local)".to_owned(),
            },
            ("no need", _) if before == 0 => {
                "stays: no limit is reached; it would be the first to go".to_owned()
            }
            ("no need", _) => format!("stays: no limit is reached, and {} would go before it", many(before)),
            ("spared", _) => format!("stays: a limit is reached, but {} before it are enough", many(before)),
            ("unplanned", _) => format!("stays: nothing can go, since {why}"),
            _ => "is not on this host".to_owned(),
        }
    }

    fn back(&self) -> Option<String> {
        let coming = if self.image.is_some() { "coming back" } else { "coming" };
        match (self.back.seconds, &self.image) {
            (Some(seconds), _) => Some(format!(
                "{coming} costs {}: {} from the registry, {} on disk",
                span(seconds),
                ByteSize(self.back.compressed_bytes),
                ByteSize(self.back.bytes)
            )),
            (None, Some(image)) if image.class == "built" || image.class == "dangling" => {
                Some("it cannot come back: no registry has it".to_owned())
            }
            (None, _) => Some(format!("what {coming} costs is not known: its layers are not")),
        }
    }

    fn to_keep(&self) -> Option<String> {
        if self.fate != "goes" {
            let room = self.headroom_bytes?;
            return Some(format!("it would go if images, or other files, took {} more", ByteSize(room)));
        }
        let ways: Vec<String> = self.keep.iter().map(|keep| self.way(*keep)).collect();
        match ways.as_slice() {
            [] => Some("nothing keeps it: even pinned it would be beyond what images may take".to_owned()),
            [only] => Some(format!("to keep it: {only}")),
            [ways @ .., last] => Some(format!("to keep it: {}, or {last}", ways.join(", "))),
        }
    }

    fn way(&self, keep: Keep) -> String {
        match (keep.by, keep.amount) {
            ("bytes", Some(bytes)) => {
                format!(
                    "give images {} more ([cache] images_high, images_low, free_low, free_high)",
                    ByteSize(bytes)
                )
            }
            ("inodes", Some(inodes)) => {
                format!("ask for {inodes} fewer free inodes ([cache] inodes_low, inodes_high)")
            }
            ("use", _) => "one more job that uses it now".to_owned(),
            _ => format!("hearth pin {}", self.name.split(' ').next().unwrap_or_default()),
        }
    }
}
