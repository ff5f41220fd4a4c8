//! A fortnight on a small host, told hour by hour; tests/data/fortnight.txt is what people read.

use std::fmt::Write;

use super::snapshot::{Class, Content, Disk, Layer, Snapshot, Tag, Use};
use super::{Ending, Reason, Rules, Size, Water, plan};

const MB: u64 = 1_000_000;
const HOUR: f64 = 3600.0;
const DISK_MB: u64 = 2_600;

/// The host: 2.6 GB for images, which start to go below 200 MB of free space.
struct HostOfTheTale {
    snapshot: Snapshot,
    /// Megabytes that something else than images takes.
    other: u64,
    told: String,
}

/// Image, its own megabytes, and its base with its megabytes.
type Image = (&'static str, u64, Option<(&'static str, u64)>);
const PYTHON: Image = ("python", 300, Some(("debian", 200)));
const NODE: Image = ("node", 350, Some(("debian", 200)));
const POSTGRES: Image = ("postgres", 250, None);
const GCC: Image = ("gcc", 700, Some(("debian", 200)));
const NIGHTLY: Image = ("nightly-report", 900, None);

fn layers(image: Image, version: u32) -> Vec<Layer> {
    let layer = |id: String, megabytes: u64| Layer {
        id,
        size: Size { compressed: megabytes * MB * 2 / 5, unpacked: megabytes * MB, inodes: megabytes },
    };
    let base = image.2.map(|(name, megabytes)| layer(name.to_owned(), megabytes));
    base.into_iter().chain([layer(format!("{}-{version}", image.0), image.1)]).collect()
}

impl HostOfTheTale {
    fn clock(at: f64) -> String {
        let day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][(at / 24.0 / HOUR) as usize % 7];
        let minutes = (at / 60.0) as u64 % (24 * 60);
        format!("{day} {:2}  {:02}:{:02}", (at / 24.0 / HOUR) as u64 + 1, minutes / 60, minutes % 60)
    }

    fn say(&mut self, at: f64, what: &str) {
        let _ = writeln!(self.told, "{}  {what}", Self::clock(at));
    }

    fn used(&self) -> u64 {
        let mut seen = std::collections::BTreeMap::new();
        for layer in self.snapshot.contents.iter().flat_map(|content| &content.layers) {
            seen.insert(&layer.id, layer.size.unpacked);
        }
        seen.values().sum::<u64>() / MB
    }

    fn job(&mut self, at: f64, image: Image, version: u32, scheduled: bool) {
        let id = format!("{} v{version}", image.0);
        let snapshot = &mut self.snapshot;
        if !snapshot.tags.iter().any(|tag| tag.name == image.0) {
            snapshot.tags.push(Tag { name: image.0.to_owned(), ..Tag::default() });
        }
        let tag = snapshot.tags.iter_mut().find(|tag| tag.name == image.0).unwrap();
        tag.names = Some(id.clone());
        tag.layers = layers(image, version);
        tag.recent.push(Use { at, project: None, scheduled });
        let pulled = !snapshot.contents.iter().any(|content| content.id == id);
        if pulled {
            let before = self.used();
            let snapshot = &mut self.snapshot;
            snapshot.contents.push(Content {
                id: id.clone(),
                tags: vec![image.0.to_owned()],
                layers: layers(image, version),
                since: at,
                ..Content::default()
            });
            let megabytes = self.used() - before;
            self.say(at, &format!("{id} was not here: {megabytes} MB pulled"));
        }
        let content = self.snapshot.contents.iter_mut().find(|content| content.id == id).unwrap();
        (content.last_use, content.leased) = (Some(at), true);
        self.make_room(at);
        self.snapshot.contents.iter_mut().for_each(|content| content.leased = false);
    }

    fn make_room(&mut self, at: f64) {
        let free = DISK_MB.saturating_sub(self.used() + self.other) * MB;
        self.snapshot.disk = Disk { free_bytes: Some(free), free_inodes: None };
        let water = Some(Water { start: 200 * MB, stop: 300 * MB });
        let plan = plan(&self.snapshot, &Rules { free_bytes: water, ..Rules::default() }, at).unwrap();
        for removal in &plan.removals {
            let why = match removal.reason {
                Reason::LeastWorth { .. } => "worth least for its bytes".to_owned(),
                ref other => other.to_string(),
            };
            self.say(at, &format!("  {} goes, {} MB: {why}", removal.id, removal.frees.unpacked / MB));
        }
        self.snapshot.contents.retain(|content| !plan.removals.iter().any(|gone| gone.id == content.id));
        self.snapshot.looked_at = Some(plan.as_of);
        if let Ending::NothingLeft { bytes, .. } = plan.ending {
            self.say(at, &format!("  nothing else may go, {} MB too few are free", bytes / MB));
        }
    }
}

fn tell() -> String {
    let host = HostOfTheTale { snapshot: Snapshot::default(), other: 0, told: String::new() };
    let mut host = host;
    for hour in 0..14 * 24 {
        let (day, at) = (hour / 24, f64::from(hour) * HOUR);
        let version = if at >= 4.0 * 24.0 * HOUR + 8.0 * HOUR { 2 } else { 1 };
        let workday = day % 7 < 5;
        match hour % 24 {
            2 => host.job(at, NIGHTLY, 1, true),
            8 if day == 4 => host.say(at, "upstream, python moves to a new image"),
            9 | 11 | 14 if workday => {
                host.job(at, PYTHON, version, false);
                host.job(at + 40.0, POSTGRES, 1, false);
            }
            10 | 15 if workday => host.job(at, NODE, 1, false),
            13 if day == 2 || day == 9 => host.job(at, GCC, 1, false),
            16 if day == 7 => {
                host.say(at, "a build on this host leaves an image of 150 MB without a name");
                host.snapshot.contents.push(Content {
                    id: "no name".to_owned(),
                    class: Class::Dangling,
                    layers: layers(("left", 150, None), 1),
                    since: at,
                    ..Content::default()
                });
            }
            6 if day == 10 => {
                host.other = 550;
                host.say(at, "something else fills 550 MB of the disk");
                host.make_room(at);
            }
            20 if day == 10 => {
                host.other = 0;
                host.say(at, "the disk is cleaned up");
            }
            _ => host.make_room(at),
        }
    }
    host.told
}

#[test]
fn a_fortnight_goes_as_it_was_written_down() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fortnight.txt");
    let told = tell();
    let written = include_str!("../../tests/data/fortnight.txt");
    assert!(told == written, "{path} says otherwise; now it goes like this:\n{told}");
}
