//! A journal in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use alloy::primitives::Address;
use coreward_chain::outbox::{Attempt, Creation, Entry, Journal, JournalError, Record, State};

/// What was signed, by name.
#[derive(Clone, Default)]
pub(crate) struct Shelf(pub(crate) Arc<Mutex<BTreeMap<String, Entry>>>);

impl Journal for Shelf {
    async fn create(&self, record: &Record) -> Result<Creation, JournalError> {
        let mut stored = self.0.lock().unwrap();
        if stored.contains_key(&record.name()) {
            return Ok(Creation::AlreadyExists);
        }
        let version = "1".to_owned();
        let entry = Entry {
            record: record.clone(),
            further: Vec::new(),
            state: State::Signed,
            version: version.clone(),
        };
        stored.insert(record.name(), entry);
        Ok(Creation::Created(version))
    }

    async fn get(&self, name: &str) -> Result<Option<Entry>, JournalError> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    async fn entries(&self, _network: &str, address: Address) -> Result<Vec<Entry>, JournalError> {
        Ok(self
            .0
            .lock()
            .unwrap()
            .values()
            .filter(|entry| entry.record.address == address)
            .cloned()
            .collect())
    }

    async fn append(&self, entry: &Entry, attempt: &Attempt) -> Result<String, JournalError> {
        self.0.lock().unwrap().get_mut(&entry.record.name()).unwrap().further.push(attempt.clone());
        Ok("1".to_owned())
    }

    async fn set_state(&self, entry: &Entry, state: &State) -> Result<String, JournalError> {
        self.0.lock().unwrap().get_mut(&entry.record.name()).unwrap().state = state.clone();
        Ok("1".to_owned())
    }
}
