//! Where an artifact comes from: the volume, or the gateways, once for all who ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use coreward_artifact::{Cid, Error, Fault, Gateways, Limits, car, parse};
use coreward_wire::{ArtifactFailure, ArtifactFault, ArtifactOrder};
use futures::FutureExt as _;
use futures::future::{BoxFuture, WeakShared};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::cache::Cache;
use crate::metrics::{Ending, Series};

/// Artifacts fetched at once; each may take as much memory as its limit says.
const FETCHES: usize = 4;

/// What a request for an artifact ends with: its archive, or why there is none.
pub(crate) type Answer = Result<Bytes, ArtifactFailure>;

type Fetch = BoxFuture<'static, Answer>;

/// The source of artifacts; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Artifacts {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cache: Cache,
    client: reqwest::Client,
    series: Series,
    slots: Semaphore,
    /// By root and limit; an entry is gone with the last who waits for it.
    under_way: Mutex<HashMap<(Cid, u64), WeakShared<Fetch>>>,
}

impl Artifacts {
    pub(crate) fn new(cache: Cache, client: reqwest::Client, series: Series) -> Self {
        let (slots, under_way) = (Semaphore::new(FETCHES), Mutex::default());
        Self { inner: Arc::new(Inner { cache, client, series, slots, under_way }) }
    }

    /// The archive of an order. All who ask while it is fetched get the same answer; if none waits any more, the fetch
    /// stops.
    pub(crate) async fn get(&self, order: &ArtifactOrder, gateways: &[String]) -> Answer {
        let root = parse(&order.cid).map_err(|error| failure(&error))?;
        let key = (root, order.max_bytes);
        let fetch = {
            let mut under_way = self.inner.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            under_way.retain(|_, fetch| fetch.upgrade().is_some());
            if let Some(fetch) = under_way.get(&key).and_then(WeakShared::upgrade) {
                fetch
            } else {
                let limits = Limits::of_bytes(order.max_bytes);
                let fetch = self.clone().obtain(root, limits, gateways.to_vec()).boxed().shared();
                under_way.extend(fetch.downgrade().map(|weak| (key, weak)));
                fetch
            }
        };
        fetch.await
    }

    async fn obtain(self, root: Cid, limits: Limits, gateways: Vec<String>) -> Answer {
        let inner = &self.inner;
        if let Some(archive) = self.cached(root, limits).await {
            inner.series.ended(Ending::Cached);
            return Ok(archive);
        }
        let _slot = inner.slots.acquire().await;
        let fetched = Gateways::new(inner.client.clone(), &gateways).fetch(&root, &limits).await;
        match fetched {
            Ok(blocks) => {
                let archive = Bytes::from(car::write(&root, &blocks));
                info!(
                    artifact.cid = %root, artifact.bytes = archive.len(), artifact.blocks = blocks.count(),
                    "artifact {root} was fetched and verified"
                );
                inner.series.ended(Ending::Fetched);
                self.keep(root, archive.clone()).await;
                Ok(archive)
            }
            Err(error) => {
                let failure = failure(&error);
                inner.series.ended(Ending::Failed(failure.fault));
                warn!(artifact.cid = %root, artifact.fault = ?failure.fault, error = %error, "artifact {root} cannot be had");
                Err(failure)
            }
        }
    }

    async fn cached(&self, root: Cid, limits: Limits) -> Option<Bytes> {
        let cache = self.inner.cache.clone();
        let now = now();
        spawn_blocking(move || cache.get(&root, &limits, now)).await.unwrap_or(None)
    }

    /// What cannot be kept is served all the same, and fetched again next time.
    async fn keep(&self, root: Cid, archive: Bytes) {
        let cache = self.inner.cache.clone();
        match spawn_blocking(move || cache.put(&root, &archive)).await {
            Ok(Ok(bytes)) => {
                self.inner.series.cached_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
            }
            Ok(Err(error)) => {
                warn!(artifact.cid = %root, error = %error, "artifact {root} cannot be kept on the volume");
            }
            Err(_panicked) => {}
        }
    }
}

fn failure(error: &Error) -> ArtifactFailure {
    let fault = match error.fault() {
        Fault::GatewayUnreachable => ArtifactFault::GatewayUnreachable,
        Fault::NotFound => ArtifactFault::NotFound,
        Fault::DigestMismatch => ArtifactFault::DigestMismatch,
        Fault::TooLarge => ArtifactFault::TooLarge,
        Fault::Malformed => ArtifactFault::InvalidWasm,
    };
    ArtifactFailure { fault, message: error.to_string() }
}

#[expect(
    clippy::disallowed_methods,
    reason = "when a file was used is told by the volume's own clock"
)]
fn now() -> SystemTime {
    SystemTime::now()
}
