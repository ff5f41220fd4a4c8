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
    /// Writes down which images the engine has, and returns since when it has had each. Those on record that it has not
    /// any more are forgotten. Nothing is written where nothing is new.
    pub fn images_seen(&self, engine_ids: &[&str], now: Duration) -> HashMap<String, Sighting> {
        let known: HashMap<String, Sighting> = self.read(all);
        let new: Vec<_> = engine_ids.iter().filter(|id| !known.contains_key(**id)).collect();
        let gone: Vec<_> = known.keys().filter(|id| !engine_ids.contains(&id.as_str())).collect();
        if !new.is_empty() || !gone.is_empty() {
            self.write(|db| {
                for id in &new {
                    let sql = "INSERT OR IGNORE INTO sighting (engine_id, first_ms) VALUES (?1, ?2)";
                    db.execute(sql, params![id, ms(now)])?;
                }
                gone.iter().try_for_each(|id| forget(db, id))
            });
        }
        let mut known = known;
        known.retain(|id, _| engine_ids.contains(&id.as_str()));
        for id in new {
            known.insert((*id).to_owned(), Sighting { first: now, layers: Vec::new() });
        }
        known
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
