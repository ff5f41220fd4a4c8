//! Eviction: what the policy says shall go, goes, and no job ever loses an image by it.
//!
//! A shell. [`Evictor::look`] reads engine, store and disk into one [`Sight`]; [`Evictor::plan`] asks the policy; and
//! [`Evictor::turn`] does both and carries the plan out, one name of one image at a time, never by force. The daemon,
//! `hearth evict` and a prepare that needs room call the same turn, one at a time on each host.
//!
//! Nothing is removed that the store cannot vouch for: without a store that can be written, before the clock is set, and
//! until the jobs are gone that ran before the store began, nothing goes.

mod apply;
mod barrier;
mod build_cache;
mod gauge;
mod inside;
mod limits;
mod lock;
mod look;
mod names;
mod snapshot;
mod told;
mod turn;
mod volumes;

use crate::engine::Engine;
use crate::moment::{Moment, Process};
use crate::outcome::Failure;
use crate::policy::{Plan, PlanError};
use crate::settings::CacheSettings;
use crate::store::{Lease, Store};

pub use gauge::{Disk, Disks, Room, Site, disk};
pub use limits::{Occasion, pressing};
pub use look::Sight;
pub use names::ImageNames;
pub use snapshot::size as on_disk;
pub use told::{Blocked, Gone, Left, Report, Told};
pub use turn::Ahead;

/// Who evicts, where, and by which settings.
pub struct Evictor<'a, E: Engine> {
    /// The engine.
    pub engine: &'a E,
    /// The facts. Long-lived processes open them anew for each turn.
    pub store: &'a Store,
    /// What shall stay.
    pub cache: &'a CacheSettings,
    /// This process and its clocks.
    pub here: Here<'a>,
}

/// The process that evicts, and how it sees time, other processes and disks.
#[derive(Clone, Copy)]
pub struct Here<'a> {
    /// This process.
    pub process: Process,
    /// The time on all clocks.
    pub moment: &'a dyn Fn() -> Moment,
    /// Whether a time server has set the clock since boot; `None`: the system does not say.
    pub clock_is_set: Option<bool>,
    /// Whether the owner of a lease may still run.
    pub lives: &'a dyn Fn(&Lease) -> bool,
    /// How disks are measured: [`disk`].
    pub disk: Disk<'a>,
}

impl<E: Engine> Evictor<'_, E> {
    /// Looks at engine, store and disk, and changes nothing but the store's record of what is there since when.
    ///
    /// # Errors
    /// An engine that does not answer.
    pub async fn look(&self) -> Result<Sight, Failure> {
        let mut sight = self.glance().await?;
        self.recall(&mut sight);
        Ok(sight)
    }

    /// Plans what goes on an occasion.
    ///
    /// # Errors
    /// Pins that are larger than what images may take.
    pub fn plan(&self, sight: &Sight, occasion: &Occasion) -> Result<Plan, PlanError> {
        let rules = limits::sharpen(&sight.rules, occasion, sight.room.as_ref(), sight.used());
        crate::policy::plan(&sight.snapshot, &rules, sight.at.wall.as_secs_f64())
    }
}
