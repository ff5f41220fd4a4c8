//! The images of the pipeline: made on the fly, of layers as large as those of well-known images, times the scale.

use std::path::Path;

use crate::Result;
use crate::ground::docker;
use crate::images::Catalogue;
use crate::pusher::{ImageSpec, Layer, Registry};

/// Where they lie in the registry.
pub(crate) const PLACE: &str = "bench/cold";
/// The label that all of them carry, and so all that is built on them.
const LABEL: &str = "hearth.bench";
const VALUE: &str = "cold";

/// A layer: its number, and its size in MB at full scale.
type Size = (u64, f64);

const BASE: Size = (1, 30.0);
const NODE: [Size; 3] = [(4, 50.0), (5, 20.0), (6, 10.0)];

/// An image of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    /// A slim Python: lint's.
    Python,
    /// Docker's command line: that of the jobs that build and join.
    Docker,
    /// Node.js: the first FROM.
    Node,
    /// A few tools on their own: COPY --from names it.
    Tools,
    /// A portal with its Java: the last FROM, the largest of all.
    Liferay,
    /// Node.js with a browser: the tests' own.
    Browser,
}

impl Item {
    /// All images, in the order in which the pipeline wants them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Python, Self::Docker, Self::Node, Self::Liferay, Self::Tools, Self::Browser];

    /// Returns its name and tag.
    fn tag(self) -> (&'static str, &'static str) {
        match self {
            Self::Python => ("python", "3.13-slim"),
            Self::Docker => ("docker", "28-cli"),
            Self::Node => ("node", "22"),
            Self::Tools => ("tools", "1"),
            Self::Liferay => ("liferay", "7.4"),
            Self::Browser => ("browser", "22"),
        }
    }

    /// Returns its layers, lowest first.
    fn layers(self) -> Vec<Size> {
        let on_node = |more: &[Size]| [&[BASE], &NODE[..], more].concat();
        match self {
            Self::Python => vec![BASE, (2, 15.0), (3, 5.0)],
            Self::Docker => vec![(7, 4.0), (8, 20.0)],
            Self::Node => on_node(&[]),
            Self::Tools => vec![(9, 15.0)],
            Self::Liferay => vec![BASE, (10, 60.0), (11, 120.0)],
            Self::Browser => on_node(&[(12, 40.0)]),
        }
    }
}

/// The images, pushed.
pub(crate) struct Shelf {
    /// The registry, as the engine finds it.
    front: String,
}

impl Shelf {
    /// Pushes all images to a registry; the engine will find them at `front`. What the registry has is not sent again.
    pub(crate) fn fill(registry: &str, front: &str, busybox: &Path, scale: f64) -> Result<Self> {
        let said = |error: crate::pusher::Error| error.to_string();
        let catalogue = Catalogue::native(busybox).map_err(said)?;
        let registry = Registry::new(registry);
        for item in Item::ALL {
            let mut image: ImageSpec = catalogue.busybox();
            for (number, megabytes) in item.layers() {
                image.layers.push(Layer::random(bytes(megabytes, scale), number).map_err(said)?);
            }
            image.config.labels.insert(LABEL.to_owned(), VALUE.to_owned());
            let (name, tag) = item.tag();
            registry.push(&format!("{PLACE}/{name}"), tag, &[image]).map_err(said)?;
        }
        Ok(Self { front: front.to_owned() })
    }

    /// Returns the reference of an image.
    pub(crate) fn reference(&self, item: Item) -> String {
        let (name, tag) = item.tag();
        format!("{}/{PLACE}/{name}:{tag}", self.front)
    }

    /// Returns the references of all images.
    pub(crate) fn references(&self) -> impl Iterator<Item = String> {
        Item::ALL.into_iter().map(|item| self.reference(item))
    }

    /// Returns whether these images are here.
    pub(crate) fn has(&self, items: &[Item]) -> bool {
        items.iter().all(|item| docker(&["image", "inspect", "-f", "-", &self.reference(*item)]).is_ok())
    }

    /// Pulls what is not here.
    pub(crate) fn pull(&self) -> Result<()> {
        for reference in self.references() {
            docker(&["pull", "-q", &reference])?;
        }
        Ok(())
    }
}

/// Removes all images of this program from the engine, and all that was built on them or runs on them.
pub(crate) fn clear() -> Result<()> {
    let filter = format!("label={LABEL}={VALUE}");
    let running = docker(&["ps", "-aq", "--filter", &filter])?;
    if !running.is_empty() {
        docker(&[&["rm", "-f", "-v"], &running.lines().collect::<Vec<_>>()[..]].concat())?;
    }
    let mut left = usize::MAX;
    loop {
        let list = docker(&["image", "ls", "-aq", "--no-trunc", "--filter", &filter])?;
        let mut ids: Vec<&str> = list.lines().collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(());
        }
        if ids.len() >= left {
            return Err(format!("{} images of this program cannot be removed", ids.len()).into());
        }
        left = ids.len();
        // Parents go with their last child; some are gone when their turn comes.
        let _ = docker(&[&["image", "rm", "-f"], &ids[..]].concat());
    }
}

/// Returns the bytes of distinct layers, of all images and of those that are not the first one's.
pub(crate) fn weight(scale: f64) -> (u64, u64) {
    let mut seen: Vec<u64> = Vec::new();
    let mut weigh = |item: Item| -> u64 {
        let new = item.layers().into_iter().filter(|(number, _)| {
            let new = !seen.contains(number);
            seen.push(*number);
            new
        });
        new.map(|(_, megabytes)| bytes(megabytes, scale) as u64).sum()
    };
    let weights: Vec<u64> = Item::ALL.into_iter().map(&mut weigh).collect();
    (weights.iter().sum(), weights[1..].iter().sum())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "some megabytes, far from any limit"
)]
fn bytes(megabytes: f64, scale: f64) -> usize {
    (megabytes * 1e6 * scale) as usize
}
