//! The engine's build cache has a limit of its own.

use std::time::Duration;

use crate::engine::Engine;

use super::Evictor;
use super::limits::Occasion;
use super::told::Told;

/// When it was cut last, in seconds.
const NOTE: &str = "build cache cut";
/// How often it is cut without a reason.
const EVERY: Duration = Duration::from_secs(3600);

impl<E: Engine> Evictor<'_, E> {
    /// Cuts the build cache to its limit.
    pub(super) async fn cut_build_cache(&self, occasion: &Occasion, tell: &mut dyn FnMut(Told)) {
        let Some(keep) = self.cache.build_cache else { return };
        let now = (self.here.moment)().wall.as_secs();
        let last = self.store.note(NOTE).and_then(|text| text.parse::<u64>().ok());
        let is_due = match occasion {
            Occasion::Tick => last.is_none_or(|last| now.abs_diff(last) >= EVERY.as_secs()),
            Occasion::NoSpace { .. } | Occasion::Command => true,
            Occasion::AfterPull | Occasion::BeforePull { .. } | Occasion::Ahead { .. } => false,
        };
        if !is_due {
            return;
        }
        // An engine that does not answer is noticed by the look that follows.
        let freed = self.engine.prune_build_cache(keep.0).await.ok().flatten().unwrap_or_default();
        self.store.set_note(NOTE, &now.to_string());
        if freed > 0 {
            tell(Told::BuildCache(freed));
        }
    }
}
