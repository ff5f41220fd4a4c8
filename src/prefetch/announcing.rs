//! What is announced of an image while it is brought, and what is written down of that afterwards.

use std::cell::RefCell;
use std::time::Duration;

use crate::fetch::{Arrival, Arrived, Coming, PullFault};
use crate::store::{AheadOutcome, Announced, Made, Store};

/// The announcements of one image on its way. From the moment on at which it is here, it is not the first to go: this very
/// image, since its name stands for the one too that its tag moves away from.
pub struct Announcing<'a> {
    store: &'a Store,
    begun: Duration,
    grace: Duration,
    made: RefCell<Vec<Made>>,
    digest: RefCell<Option<String>>,
}

impl<'a> Announcing<'a> {
    /// Nothing is announced yet. It will be kept for `grace` from `begun` on; `looked` is the digest that a look found.
    pub fn new(store: &'a Store, begun: Duration, grace: Duration, looked: Option<String>) -> Self {
        Self { store, begun, grace, made: RefCell::default(), digest: RefCell::new(looked) }
    }

    /// Announces what was decided to bring, whatever a look said before.
    pub fn decided(&self, coming: &Coming<'_>) {
        let announce = |digest: &str| {
            let announced = Announced { name: digest.to_owned(), at: self.begun, grace: self.grace };
            self.store.announce(&announced, self.begun)
        };
        self.made.borrow_mut().extend(coming.digests().filter_map(announce));
        *self.digest.borrow_mut() = Some(coming.digest.to_owned());
    }

    /// It has come or not: what did not come is not announced any more. Returns the digest that was decided on.
    pub fn end(self, has_come: bool) -> Option<String> {
        if !has_come {
            self.made.take().iter().for_each(|made| self.store.withdraw(made));
        }
        self.digest.into_inner()
    }
}

/// Returns how bringing an image ended, and how many compressed bytes came: `so_far` of them were heard of, and so many were
/// missing. Engines tell of the layers that take a while, so of an image that came the largest of these counts.
pub fn ended(
    result: &Result<Arrived, PullFault>,
    so_far: Option<u64>,
    missing: Option<u64>,
) -> (AheadOutcome, Option<u64>) {
    match result {
        Ok(Arrived { how: Arrival::Pulled, bytes, .. }) => {
            (AheadOutcome::Done, (*bytes).max(so_far).max(missing))
        }
        Ok(Arrived { bytes, .. }) => (AheadOutcome::Here, *bytes),
        Err(PullFault::Stopped) => (AheadOutcome::Cut, so_far),
        Err(_) => (AheadOutcome::Failed, so_far),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::ended;
    use crate::fetch::{Arrival, Arrived, PullFault};
    use crate::store::AheadOutcome;

    #[test]
    fn what_came_counts_with_what_was_missing_where_the_engine_tells_less() {
        let arrived = |how, bytes| {
            Ok(Arrived { digest: "sha256:0".to_owned(), how, bytes, took: Duration::from_secs(1) })
        };
        for (result, so_far, missing, expected) in [
            (arrived(Arrival::Pulled, None), None, Some(50), (AheadOutcome::Done, Some(50))),
            (arrived(Arrival::Pulled, Some(0)), Some(7), Some(50), (AheadOutcome::Done, Some(50))),
            (arrived(Arrival::Pulled, Some(60)), Some(7), Some(50), (AheadOutcome::Done, Some(60))),
            (arrived(Arrival::Pulled, None), None, None, (AheadOutcome::Done, None)),
            (arrived(Arrival::Joined, Some(0)), Some(7), Some(50), (AheadOutcome::Here, Some(0))),
            (arrived(Arrival::Here, Some(0)), None, None, (AheadOutcome::Here, Some(0))),
            (Err(PullFault::Stopped), Some(7), Some(50), (AheadOutcome::Cut, Some(7))),
            (Err(PullFault::Transient(String::new())), Some(7), Some(50), (AheadOutcome::Failed, Some(7))),
        ] {
            assert_eq!(ended(&result, so_far, missing), expected, "{result:?}");
        }
    }
}
