//! Images that were seen in the engine: since when they are there, and the layers of those that no job has a content of.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, Result, params};

use super::Store;
use super::contents::{Layer, layer_at, write_layer};
use super::values::{int, ms, time};

/// What is known of an image in the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Since when it has been seen there.
    pub first: Duration,
    /// Its layers from the bottom up; empty where they were not looked at.
    pub layers: Vec<Layer>,
}

impl Store {
    /// Returns what is on record of the engine's images, by its IDs.
    pub fn sightings(&self) -> HashMap<String, Sighting> {
        self.read(all)
    }

    /// Writes down since when images are there that were not on record, and forgets those that are gone. Nothing is written
    /// where nothing has changed.
    pub fn images_seen(&self, new: &[(&str, Duration)], gone: &[&str]) {
        if new.is_empty() && gone.is_empty() {
            return;
        }
        self.write(|db| {
            for (id, first) in new {
                let sql = "INSERT OR IGNORE INTO sighting (engine_id, first_ms) VALUES (?1, ?2)";
                db.execute(sql, params![id, ms(*first)])?;
            }
            gone.iter().try_for_each(|id| forget(db, id))
        });
    }

    /// Writes down the layers of an image that was seen.
    pub fn image_layers(&self, engine_id: &str, layers: &[Layer]) {
        self.write(|db| {
            for (position, layer) in (0_u64..).zip(layers) {
                let layer = write_layer(db, layer)?;
                db.execute(
                    "INSERT OR REPLACE INTO sighting_layer (sighting, position, layer)
                     SELECT id, ?2, ?3 FROM sighting WHERE engine_id = ?1",
                    params![engine_id, int(position), layer],
                )?;
            }
            Ok(())
        });
    }
}

fn forget(db: &Connection, engine_id: &str) -> Result<()> {
    let layers =
        "DELETE FROM sighting_layer WHERE sighting IN (SELECT id FROM sighting WHERE engine_id = ?1)";
    db.execute(layers, [engine_id])?;
    db.execute("DELETE FROM sighting WHERE engine_id = ?1", [engine_id])?;
    Ok(())
}

fn all(db: &Connection) -> Result<HashMap<String, Sighting>> {
    let mut known = HashMap::new();
    let mut rows = db.prepare("SELECT engine_id, first_ms FROM sighting")?;
    for row in rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))? {
        let (id, first) = row?;
        known.insert(id, Sighting { first: time(first), layers: Vec::new() });
    }
    let mut rows = db.prepare(
        "SELECT layer.chain, layer.unpacked, layer.compressed, layer.estimated, sighting.engine_id
         FROM sighting_layer JOIN sighting ON sighting.id = sighting_layer.sighting
         JOIN layer ON layer.id = sighting_layer.layer ORDER BY sighting_layer.sighting, sighting_layer.position",
    )?;
    for row in rows.query_map([], |row| Ok((row.get::<_, String>(4)?, layer_at(row)?)))? {
        let (id, layer) = row?;
        if let Some(sighting) = known.get_mut(&id) {
            sighting.layers.push(layer);
        }
    }
    Ok(known)
}
