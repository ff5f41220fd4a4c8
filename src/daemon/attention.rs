//! What the engine's events mean for the daemon.

use std::collections::BTreeSet;

use crate::engine::{Event, EventKind};
use crate::job::owner::{LABEL_OWNER, Owner};
use crate::moment::{Liveness, Moment, Process};

/// What was heard and not acted on yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attention {
    /// Whether images came, or tags moved.
    images: bool,
    /// The owners of jobs that were alive when they were seen last, as their labels have them.
    owners: BTreeSet<String>,
}

/// Owners that are watched at most: more jobs never run on a host, and labels may come from anybody.
const MOST_OWNERS: usize = 1000;

impl Attention {
    /// Takes in an event. Containers come and go with every job and need no look at images; but their owners are worth
    /// watching, which is no call.
    pub fn take(&mut self, event: &Event) {
        match (event.kind, event.action.as_str()) {
            (EventKind::Image, "pull" | "load" | "import" | "tag") => self.images = true,
            (EventKind::Container, "create") => {
                if let Some(owner) = event.labels.get(LABEL_OWNER) {
                    self.watch(owner);
                }
            }
            _ => {}
        }
    }

    /// Returns, once, whether there was news of images.
    pub fn news_of_images(&mut self) -> bool {
        std::mem::take(&mut self.images)
    }

    /// Watches an owner from now on.
    pub fn watch(&mut self, owner: &str) {
        if self.owners.len() < MOST_OWNERS {
            self.owners.insert(owner.to_owned());
        }
    }

    /// Watches these owners and no others: what was listed says who is there.
    pub fn watch_only(&mut self, owners: impl IntoIterator<Item = String>) {
        self.owners = owners.into_iter().take(MOST_OWNERS).collect();
    }

    /// Returns whether one of them has died since, and forgets those that have: what they left is looked for once.
    pub fn owner_died(&mut self, now: &Moment, is: impl Fn(Process) -> Liveness) -> bool {
        let before = self.owners.len();
        self.owners.retain(|text| Owner::parse(text).is_some_and(|owner| owner.lives(now, &is)));
        self.owners.len() < before
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::{Attention, LABEL_OWNER};
    use crate::engine::{Event, EventKind};
    use crate::job::owner::Owner;
    use crate::moment::{Liveness, Moment, Process};

    fn event(kind: EventKind, action: &str) -> Event {
        Event { kind, action: action.to_owned(), id: "x".to_owned(), labels: BTreeMap::new() }
    }

    #[test]
    fn images_that_came_are_news_and_what_jobs_do_is_none() {
        for (kind, action, news) in [
            (EventKind::Image, "pull", true),
            (EventKind::Image, "tag", true),
            (EventKind::Image, "load", true),
            (EventKind::Image, "untag", false),
            (EventKind::Image, "delete", false),
            (EventKind::Container, "create", false),
            (EventKind::Container, "exec_create: sh", false),
            (EventKind::Container, "die", false),
            (EventKind::Volume, "create", false),
        ] {
            let mut attention = Attention::default();
            attention.take(&event(kind, action));
            assert_eq!(attention.news_of_images(), news, "{kind:?} {action}");
            assert!(!attention.news_of_images(), "it is told once");
        }
    }

    #[test]
    fn an_owner_that_dies_is_noticed_once() {
        let now = Moment { boot: Duration::from_secs(50), boot_id: "a".to_owned(), ..Moment::default() };
        let owner = |pid| {
            Owner::new(Process { pid, started: 1, ..Process::default() }, now.clone(), None).to_string()
        };
        let mut create = event(EventKind::Container, "create");
        create.labels.insert(LABEL_OWNER.to_owned(), owner(1));
        let mut attention = Attention::default();
        attention.take(&create);
        attention.watch(&owner(2));
        assert!(!attention.owner_died(&now, |_| Liveness::Runs));
        let second_is_gone = |process: Process| match process.pid {
            2 => Liveness::Gone,
            _ => Liveness::Runs,
        };
        assert!(attention.owner_died(&now, second_is_gone));
        assert!(!attention.owner_died(&now, second_is_gone));
        attention.watch_only([]);
        assert!(!attention.owner_died(&now, |_| Liveness::Gone));
    }
}
