//! The pod's volume as the loop uses it: what it refuses is told once, counted, and gone on without.

use alloy_primitives::B256;
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use crate::metrics::Series;
use crate::store::{Entry, Store};

/// The volume; a failure of it never ends the prover.
#[derive(Debug)]
pub(crate) struct Volume {
    store: Store,
    series: Series,
    works: bool,
}

impl Volume {
    pub(crate) const fn new(store: Store, series: Series) -> Self {
        Self { store, series, works: true }
    }

    /// What an earlier process kept.
    pub(crate) async fn load(&mut self) -> Vec<Entry> {
        let store = self.store.clone();
        match spawn_blocking(move || store.load()).await {
            Ok(Ok((entries, unreadable))) => {
                self.series.volume_failures.inc_by(unreadable);
                entries
            }
            Ok(Err(error)) => {
                self.works = false;
                self.series.volume_failures.inc();
                error!(error = %error, "the volume for proofs cannot be read; proofs are kept in memory only");
                Vec::new()
            }
            Err(_panicked) => Vec::new(),
        }
    }

    /// Makes a proof durable; false if the volume refuses it.
    pub(crate) async fn keep(&mut self, entry: Entry) -> bool {
        let store = self.store.clone();
        let kept = spawn_blocking(move || store.keep(&entry))
            .await
            .unwrap_or_else(|panicked| Err(panicked.into()));
        let worked = core::mem::replace(&mut self.works, kept.is_ok());
        match kept {
            Ok(()) => {
                if !worked {
                    info!("the volume takes proofs again");
                }
                true
            }
            Err(error) => {
                self.series.volume_failures.inc();
                if worked {
                    error!(error = %error, "the volume takes no proofs; they are posted from memory, and lost if the pod ends before");
                }
                false
            }
        }
    }

    /// Deletes proofs that are done with.
    pub(crate) async fn forget(&self, local_nonces: Vec<B256>) {
        let store = self.store.clone();
        let forgotten = spawn_blocking(move || {
            local_nonces.into_iter().try_for_each(|nonce| store.forget(nonce))
        })
        .await;
        if let Ok(Err(error)) = forgotten {
            self.series.volume_failures.inc();
            warn!(error = %error, "a proof that is done with cannot be deleted; it will be after a restart");
        }
    }
}
