//! The pod's volume as the loop uses it: it works beside the loop, and what it refuses is told once, counted, and gone on
//! without.

use std::io;

use alloy_primitives::B256;
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{error, info, warn};

use crate::metrics::Series;
use crate::store::{Entry, Store};

/// The volume; a failure of it never ends the prover.
#[derive(Debug)]
pub(crate) struct Volume {
    store: Store,
    series: Series,
    works: bool,
    /// Proofs that are done with, and not deleted yet.
    done: Vec<B256>,
    /// One at a time: what is written and deleted keeps its order.
    under_way: Option<(Step, JoinHandle<io::Result<()>>)>,
}

/// What the volume does at a time.
#[derive(Clone, Copy, Debug)]
enum Step {
    Keep(B256),
    Forget,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The proof with this local nonce survives a crash.
    Kept(B256),
    /// The volume does not take it.
    Refused(B256),
    /// Proofs that are done with are deleted, or will be after a restart.
    Forgot,
}

impl Volume {
    pub(crate) const fn new(store: Store, series: Series) -> Self {
        Self { store, series, works: true, done: Vec::new(), under_way: None }
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

    /// Has proofs deleted that are done with.
    pub(crate) fn forget(&mut self, local_nonces: Vec<B256>) {
        self.done.extend(local_nonces);
    }

    /// Begins what comes next, unless something is under way: it deletes what is done with, then keeps the proof that is given.
    pub(crate) fn go_on(&mut self, to_save: impl FnOnce() -> Option<Entry>) {
        if self.under_way.is_some() {
            return;
        }
        let store = self.store.clone();
        if !self.done.is_empty() {
            let done = core::mem::take(&mut self.done);
            let forget = move || done.into_iter().try_for_each(|nonce| store.forget(nonce));
            self.under_way = Some((Step::Forget, spawn_blocking(forget)));
        } else if let Some(entry) = to_save() {
            let step = Step::Keep(entry.proof.local_nonce);
            self.under_way = Some((step, spawn_blocking(move || store.keep(&entry))));
        }
    }

    /// Waits for what is under way; `None` if nothing is.
    pub(crate) async fn ended(&mut self) -> Option<Outcome> {
        let (step, task) = self.under_way.as_mut()?;
        let (step, ended) = (*step, task.await);
        self.under_way = None;
        let ended = ended.unwrap_or_else(|panicked| Err(panicked.into()));
        Some(match step {
            Step::Keep(local_nonce) => self.kept(local_nonce, ended),
            Step::Forget => self.forgot(ended),
        })
    }

    fn kept(&mut self, local_nonce: B256, ended: io::Result<()>) -> Outcome {
        let worked = core::mem::replace(&mut self.works, ended.is_ok());
        match ended {
            Ok(()) => {
                if !worked {
                    info!("the volume takes proofs again");
                }
                Outcome::Kept(local_nonce)
            }
            Err(error) => {
                self.series.volume_failures.inc();
                if worked {
                    error!(error = %error, "the volume takes no proofs; they are posted from memory, and lost if the pod ends before");
                }
                Outcome::Refused(local_nonce)
            }
        }
    }

    fn forgot(&self, ended: io::Result<()>) -> Outcome {
        if let Err(error) = ended {
            self.series.volume_failures.inc();
            warn!(error = %error, "a proof that is done with cannot be deleted; it will be after a restart");
        }
        Outcome::Forgot
    }
}
