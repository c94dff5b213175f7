//! What is on its way, as the journal and the sender's own memory tell it.

use std::collections::BTreeMap;

use super::journal::{Entry, Journal, JournalError, State};
use super::sender::{Desk, Sender};
use super::{Error, InFlight};

impl<J: Journal> Sender<J> {
    /// Calls that have not come to their end, and those that have in a block above this height.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`]: what is on its way is unknown, so nothing that could repeat it may be planned.
    pub async fn in_flight(&self, at_block: u64) -> Result<Vec<InFlight>, Error> {
        let mut desk = self.desk.lock().await;
        let entries = self.entries(&mut desk).await?;
        Ok(self.open(&desk, &entries, at_block))
    }

    /// As [`Self::in_flight`], for proofs: while the store does not answer, what this sender remembers must do.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if the store refuses.
    pub async fn proofs_in_flight(&self, at_block: u64) -> Result<Vec<InFlight>, Error> {
        let mut desk = self.desk.lock().await;
        let entries = self.known(&mut desk).await?;
        Ok(self.open(&desk, &entries, at_block))
    }

    fn open(&self, desk: &Desk, entries: &BTreeMap<u64, Entry>, at_block: u64) -> Vec<InFlight> {
        let diamond = self.account.contracts.diamond;
        let is_open = |entry: &&Entry| !entry.state.is_end() || is_unseen(entry, at_block);
        let unseen = entries.values().filter(is_open).filter_map(|entry| {
            let call = entry.record.call(diamond).ok()?;
            Some(InFlight { name: Some(entry.record.name()), call, mined: entry.state.mined() })
        });
        let unkept = desk.unkept.values().map(|sent| InFlight {
            name: None,
            call: sent.call.clone(),
            mined: sent.mined,
        });
        unseen.chain(unkept).collect()
    }

    /// As [`Self::entries`]; while the store does not answer, the records that this sender wrote last.
    pub(super) async fn known(&self, desk: &mut Desk) -> Result<BTreeMap<u64, Entry>, Error> {
        match self.entries(desk).await {
            Err(Error::Journal { source: JournalError::Unavailable(_), .. }) => {
                Ok(desk.written.clone())
            }
            listed => listed,
        }
    }

    /// All records of the account by nonce, with those that the list does not show yet.
    pub(super) async fn entries(&self, desk: &mut Desk) -> Result<BTreeMap<u64, Entry>, Error> {
        let address = self.address();
        let listed = self.journal.entries(&self.account.network, address).await;
        let listed = listed.map_err(|source| Error::Journal { address, source })?;
        let mut entries: BTreeMap<u64, Entry> =
            listed.into_iter().map(|entry| (entry.record.nonce, entry)).collect();
        desk.written.retain(|nonce, _| !entries.contains_key(nonce));
        entries.extend(desk.written.iter().map(|(nonce, entry)| (*nonce, entry.clone())));
        desk.next = desk.next.max(entries.last_key_value().map_or(0, |(nonce, _)| nonce + 1));
        Ok(entries)
    }
}

/// Whether the block at this height does not show what became of the record.
pub(super) const fn is_unseen(entry: &Entry, at_block: u64) -> bool {
    match (&entry.state, entry.state.mined()) {
        (State::Displaced | State::Replaced(_), _) => false,
        (_, Some(block)) => block > at_block,
        (_, None) => true,
    }
}
