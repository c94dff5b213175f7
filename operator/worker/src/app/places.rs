//! Places of requests in work: as many as the engine has room for instances.

use core::time::Duration;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::engine::INSTANCES;
use super::{Failure, Passage};

/// Of all places, those that requests of requests may take: a component that asks itself or others in a circle leaves the
/// rest to those who ask from outside.
const NESTED: usize = INSTANCES as usize / 4 * 3;

/// For how long they wait for one.
const NESTED_PATIENCE: Duration = Duration::from_secs(1);

/// The places of a worker; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    nested: Arc<Semaphore>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_nested: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(super) fn new() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { all: places(INSTANCES as usize), nested: places(NESTED) }
    }

    /// Takes a place; waits for one for at most `patience`, and less for a request that another request waits for: each may
    /// hold what the other waits for.
    ///
    /// # Errors
    ///
    /// [`Failure::Busy`] if there is none.
    pub(super) async fn take(&self, of: Passage, patience: Duration) -> Result<Place, Failure> {
        let is_nested = of.hops > 0;
        let taking = async {
            let of_nested = if is_nested {
                Some(Arc::clone(&self.nested).acquire_owned().await.ok()?)
            } else {
                None
            };
            let of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(Place { _of_all: of_all, _of_nested: of_nested })
        };
        let patience = if is_nested { patience.min(NESTED_PATIENCE) } else { patience };
        timeout(patience, taking).await.ok().flatten().ok_or(Failure::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Origin;

    const SOON: Duration = Duration::from_mins(1);

    fn after(hops: u8) -> Passage {
        Passage::new(Origin::Subnet, hops)
    }

    #[tokio::test(start_paused = true)]
    async fn a_circle_leaves_places_to_those_outside() {
        let places = Places::new();
        let mut circle = Vec::new();
        for _ in 0..NESTED {
            circle.push(places.take(after(1), SOON).await.unwrap());
        }
        assert!(matches!(places.take(after(1), SOON).await, Err(Failure::Busy)));
        let mut outside = Vec::new();
        for _ in NESTED..INSTANCES as usize {
            outside.push(places.take(after(0), SOON).await.unwrap());
        }
        assert!(matches!(places.take(after(0), SOON).await, Err(Failure::Busy)));
        circle.pop();
        assert!(places.take(after(0), SOON).await.is_ok());
    }
}
