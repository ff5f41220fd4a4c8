//! The jobs that `parallel: matrix` makes of one.

use super::super::limits::{Budget, MAX_MATRIX};
use super::super::yaml::Map;
use super::config::Config;

/// The variables of one of the jobs.
pub(super) type Cell = Vec<(String, String)>;

/// Returns the variables of each job; a job without a matrix is one with none. At most as many as GitLab allows.
pub(super) fn cells(config: &Config<'_>, job: &Map, budget: &Budget) -> Vec<Cell> {
    let parallel = job.get("parallel").and_then(|node| config.follow(node));
    let Some(matrix) = parallel.as_ref().and_then(|node| node.get("matrix")) else { return vec![Vec::new()] };
    let mut cells = Vec::new();
    for entry in config.flat(matrix) {
        let mut products: Vec<Cell> = vec![Vec::new()];
        for (name, values) in entry.map().into_iter().flatten() {
            let values = config.flat(values);
            let mut next = Vec::new();
            for cell in &products {
                for value in values.iter().filter_map(|value| value.text()) {
                    if cells.len() + next.len() >= MAX_MATRIX || !budget.spend(cell.len() + 1) {
                        budget.stopped_by("a matrix makes more jobs than are looked at");
                        break;
                    }
                    let mut cell = cell.clone();
                    cell.push((name.clone(), value.to_owned()));
                    next.push(cell);
                }
            }
            products = next;
        }
        cells.extend(products.into_iter().filter(|cell| !cell.is_empty()));
    }
    cells
}
