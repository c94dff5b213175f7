//! A journal in memory that can be away, and lags.

use std::collections::BTreeMap;

use super::*;

/// A store whose list lags: it shows a record only after `settle`.
#[derive(Clone, Default)]
pub(super) struct Shelf(Arc<Mutex<Inside>>);

#[derive(Default)]
pub(super) struct Inside {
    pub(super) stored: BTreeMap<String, Entry>,
    pub(super) listed: BTreeMap<String, Entry>,
    pub(super) version: u64,
    pub(super) is_away: bool,
    /// What happened, shared with the node.
    pub(super) story: Vec<String>,
}

impl Shelf {
    pub(super) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }

    pub(super) fn settle(&self) {
        let mut inside = self.inside();
        inside.listed = inside.stored.clone();
    }

    pub(super) fn tell(&self, what: &str) {
        self.inside().story.push(what.to_owned());
    }

    fn write(
        &self,
        entry: &Entry,
        change: impl FnOnce(&mut Entry),
    ) -> Result<String, JournalError> {
        let mut inside = self.inside();
        if inside.is_away {
            return Err(JournalError::Unavailable("away".into()));
        }
        inside.version += 1;
        let version = inside.version.to_string();
        let name = entry.record.name();
        let stored = inside.stored.get_mut(&name).unwrap();
        if stored.version != entry.version {
            return Err(JournalError::Conflict { name });
        }
        change(stored);
        stored.version.clone_from(&version);
        Ok(version)
    }
}

impl Journal for Shelf {
    async fn create(&self, record: &Record) -> Result<Creation, JournalError> {
        let mut inside = self.inside();
        if inside.is_away {
            return Err(JournalError::Unavailable("away".into()));
        }
        inside.story.push("create".to_owned());
        if inside.stored.contains_key(&record.name()) {
            return Ok(Creation::AlreadyExists);
        }
        let version = "new".to_owned();
        let entry = Entry {
            record: record.clone(),
            further: Vec::new(),
            state: State::Signed,
            version: version.clone(),
        };
        inside.stored.insert(record.name(), entry);
        Ok(Creation::Created(version))
    }

    async fn get(&self, name: &str) -> Result<Option<Entry>, JournalError> {
        Ok(self.inside().stored.get(name).cloned())
    }

    async fn entries(&self, _network: &str, _address: Address) -> Result<Vec<Entry>, JournalError> {
        let inside = self.inside();
        if inside.is_away {
            return Err(JournalError::Unavailable("away".into()));
        }
        Ok(inside.listed.values().cloned().collect())
    }

    async fn append(&self, entry: &Entry, attempt: &Attempt) -> Result<String, JournalError> {
        self.tell("append");
        self.write(entry, |stored| stored.further.push(attempt.clone()))
    }

    async fn set_state(&self, entry: &Entry, state: &State) -> Result<String, JournalError> {
        self.tell(state.name());
        self.write(entry, |stored| stored.state = state.clone())
    }
}
