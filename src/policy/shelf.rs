//! The images on the disk as the planner sees them: who holds which layer, and what removing one would free.
//!
//! Layers are counted by holder, so what an image alone holds is a sum over its own layers and nothing is searched.

use std::sync::Arc;

use super::cost::{Cost, Size};

/// A layer's place in its shelf.
pub type LayerIx = u32;
/// A tag's place in its history.
pub type TagIx = usize;

/// One image on the shelf.
#[derive(Debug, Clone)]
pub struct Item {
    /// Says which image it is, to whoever put it there; ties are broken by it.
    pub key: usize,
    /// The tags that name it, or named it last.
    pub tags: Vec<TagIx>,
    /// Its layers, each once.
    pub layers: Arc<[LayerIx]>,
    /// What pulling it would cost.
    pub cost: Cost,
    /// When a job used it last; negative infinity if none has.
    pub last_use: f64,
    /// Whether every tag that named it names another image by now.
    pub moved: bool,
    /// Whether it must stay.
    pub guarded: bool,
    /// What the rule noted at its last use; 0 for rules that note nothing.
    pub priority: f64,
    /// Uses that were announced and did not come, decayed: counts like uses.
    pub claimed: f64,
}

#[derive(Debug, Clone)]
struct Held {
    size: Size,
    holders: u32,
}

/// The images on the disk, with their layers counted by holder.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    layers: Vec<Held>,
    items: Vec<Item>,
    used: Size,
}

impl Shelf {
    /// Makes an empty shelf that knows these layers by their index.
    pub fn new(sizes: impl IntoIterator<Item = Size>) -> Self {
        let layers = sizes.into_iter().map(|size| Held { size, holders: 0 }).collect();
        Self { layers, items: Vec::new(), used: Size::default() }
    }

    /// Returns the images, in no order that means anything.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Returns one image for changes that do not touch its layers.
    pub fn item_mut(&mut self, index: usize) -> Option<&mut Item> {
        self.items.get_mut(index)
    }

    /// Returns what all layers together take.
    pub fn used(&self) -> Size {
        self.used
    }

    /// Returns a layer's size.
    pub fn layer(&self, layer: LayerIx) -> Size {
        self.layers[layer as usize].size
    }

    /// Says whether any image holds the layer.
    pub fn holds(&self, layer: LayerIx) -> bool {
        self.layers[layer as usize].holders > 0
    }

    /// Says whether exactly one image holds the layer.
    pub fn alone(&self, layer: LayerIx) -> bool {
        self.layers[layer as usize].holders == 1
    }

    /// Returns the number of layers it knows.
    pub fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// Puts an image on the shelf and returns what was missing of it.
    pub fn put(&mut self, item: Item) -> Size {
        let mut missing = Size::default();
        for &layer in item.layers.iter() {
            let held = &mut self.layers[layer as usize];
            if held.holders == 0 {
                missing += held.size;
            }
            held.holders += 1;
        }
        self.used += missing;
        self.items.push(item);
        missing
    }

    /// Takes an image off the shelf and returns it with what that freed.
    pub fn take(&mut self, index: usize) -> (Item, Size) {
        let item = self.items.swap_remove(index);
        let mut freed = Size::default();
        for &layer in item.layers.iter() {
            let held = &mut self.layers[layer as usize];
            held.holders -= 1;
            if held.holders == 0 {
                freed += held.size;
            }
        }
        self.used -= freed;
        (item, freed)
    }

    /// Returns what taking this image would free.
    pub fn frees(&self, item: &Item) -> Size {
        let mut size = Size::default();
        for &layer in item.layers.iter() {
            let held = &self.layers[layer as usize];
            if held.holders == 1 {
                size += held.size;
            }
        }
        size
    }
}
