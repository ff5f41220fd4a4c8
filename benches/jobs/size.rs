//! The size of the driver's binary.

use serde_json::{Value, json};

use crate::Result;
use crate::table::{Bound, Table, Verdicts};
use crate::world::World;

/// The most that the stripped release binary may have, in megabytes.
const MOST: f64 = 15.0;

/// Looks at the binary that is measured. It is built as `make build` does, `bench` inheriting all of `release`.
pub(crate) fn run(world: &World, verdicts: &mut Verdicts) -> Result<Value> {
    let bytes = world.driver.metadata()?.len();
    let megabytes = bytes as f64 / 1e6;
    let mut table = Table::new(&["file", "MB", "0 .. bound", "bound", ""]);
    let name = world.driver.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let judged = verdicts.judge("size of the binary", megabytes, "MB", Bound::AtMost(MOST));
    table.row([name, format!("{megabytes:.2}")].into_iter().chain(judged));
    table.print("Size of the stripped release binary");
    Ok(json!({ "bytes": bytes }))
}
