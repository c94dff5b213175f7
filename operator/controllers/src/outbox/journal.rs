//! The journal of the outbox: one `ChainTransaction` object for each nonce.

use std::time::Duration;

use alloy_primitives::Address;
use coreward_chain::Contracts;
use coreward_chain::outbox::{Attempt, Creation, Entry, Journal, JournalError, Record, State};
use coreward_crds::ChainTransaction;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::time::timeout;

use super::record::{self, Unreadable};
use crate::apply::is_of_missing_kind;
use crate::stores::Mirror;

/// Longest wait for the API server.
const LIMIT: Duration = Duration::from_secs(5);

/// Nothing is known of what was kept, and nothing can be kept.
#[derive(Debug, thiserror::Error)]
#[error(
    "the definition of ChainTransaction is not installed; install the chart coreward-crds again"
)]
struct Undefined;

/// Transactions of one network, kept in the operator's namespace.
#[derive(Clone, Debug)]
pub struct TransactionJournal {
    api: Api<ChainTransaction>,
    seen: Mirror<ChainTransaction>,
    namespace: String,
    contracts: Contracts,
}

impl TransactionJournal {
    /// A journal that writes to the API server and lists from the mirror.
    #[must_use]
    pub fn new(
        client: kube::Client,
        namespace: &str,
        seen: Mirror<ChainTransaction>,
        contracts: Contracts,
    ) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, seen, namespace: namespace.to_owned(), contracts }
    }

    /// An API server that is silent is told from one that is slow: proofs do not wait for it.
    async fn answered<T>(
        &self,
        name: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, JournalError> {
        match timeout(LIMIT, request).await {
            Ok(answer) => answer.map_err(|error| failure(name, error)),
            Err(silence) => Err(JournalError::Unavailable(Box::new(silence))),
        }
    }

    async fn write(
        &self,
        entry: &Entry,
        further: &[Attempt],
        state: &State,
    ) -> Result<String, JournalError> {
        let name = entry.record.name();
        let body = json!({
            "metadata": { "resourceVersion": entry.version },
            "status": record::to_status(further, state),
        });
        let (parameters, patch) = (PatchParams::default(), Patch::Merge(body));
        let object =
            self.answered(&name, self.api.patch_status(&name, &parameters, &patch)).await?;
        Ok(object.metadata.resource_version.unwrap_or_default())
    }
}

impl Journal for TransactionJournal {
    async fn create(&self, record: &Record) -> Result<Creation, JournalError> {
        let object = record::to_object(record, &self.namespace, self.contracts);
        let parameters = PostParams::default();
        let created = async {
            match self.api.create(&parameters, &object).await {
                Ok(object) => {
                    Ok(Creation::Created(object.metadata.resource_version.unwrap_or_default()))
                }
                Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
                    Ok(Creation::AlreadyExists)
                }
                Err(error) => Err(error),
            }
        };
        self.answered(&record.name(), created).await
    }

    async fn get(&self, name: &str) -> Result<Option<Entry>, JournalError> {
        let object = self.answered(name, self.api.get_opt(name)).await?;
        object.map(|object| record::from_object(&object)).transpose().map_err(unreadable)
    }

    async fn entries(&self, network: &str, address: Address) -> Result<Vec<Entry>, JournalError> {
        if self.seen.is_missing() {
            return Err(JournalError::Unavailable(Box::new(Undefined)));
        }
        let from = address.to_string();
        let ours = self.seen.all().into_iter().filter(|object| {
            object.spec.network == network && object.spec.from.eq_ignore_ascii_case(&from)
        });
        // One that does not read harms only itself: its name still locks its nonce.
        let entries = ours.filter_map(|object| match record::from_object(&object) {
            Ok(entry) => Some(entry),
            Err(error) => {
                tracing::debug!(transaction.name = error.name, error = %error, "a kept transaction does not read");
                None
            }
        });
        Ok(entries.collect())
    }

    async fn append(&self, entry: &Entry, attempt: &Attempt) -> Result<String, JournalError> {
        let further: Vec<Attempt> = entry.further.iter().chain([attempt]).cloned().collect();
        self.write(entry, &further, &entry.state).await
    }

    async fn set_state(&self, entry: &Entry, state: &State) -> Result<String, JournalError> {
        self.write(entry, &entry.further, state).await
    }
}

fn unreadable(error: Unreadable) -> JournalError {
    JournalError::Refused { name: error.name.clone(), source: Box::new(error) }
}

/// An answer of the API server is a fact; no answer is not, nor that it does not know the kind.
fn failure(name: &str, error: kube::Error) -> JournalError {
    let name = name.to_owned();
    if is_of_missing_kind(&error) {
        return JournalError::Unavailable(Box::new(error));
    }
    let code = if let kube::Error::Api(status) = &error { Some(status.code) } else { None };
    match code {
        Some(409) => JournalError::Conflict { name },
        Some(429 | 500..) | None => JournalError::Unavailable(Box::new(error)),
        Some(_) => JournalError::Refused { name, source: Box::new(error) },
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
