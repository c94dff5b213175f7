//! Found proofs on the pod's volume, one file each, until acknowledged.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use alloy_primitives::{B256, hex};
use coreward_link::durable;
use coreward_wire::FoundProof;
use serde::{Deserialize, Serialize};
use tracing::warn;

/// The directory of proofs; all its calls block.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    directory: PathBuf,
}

/// A proof with the unit that it was found for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) unit_id: B256,
    pub(crate) proof: FoundProof,
}

impl Store {
    pub(crate) fn in_directory(state: &Path) -> Self {
        Self { directory: state.join("proofs") }
    }

    /// Makes the directory and reads what an earlier process kept, with the number of files that do not read; a half-written
    /// file of it is deleted.
    pub(crate) fn load(&self) -> io::Result<(Vec<Entry>, u64)> {
        self.make_directory()?;
        let (mut entries, mut unreadable) = (Vec::new(), 0);
        for file in fs::read_dir(&self.directory)? {
            let path = match file {
                Ok(file) => file.path(),
                Err(error) => {
                    unreadable += 1;
                    warn!(file.path = %self.directory.display(), error = %error, "the kept proofs cannot all be listed");
                    continue;
                }
            };
            if path.extension().is_some_and(|end| end == durable::UNFINISHED) {
                // It only takes room; a volume that cannot delete it will say so when it is written to.
                drop(fs::remove_file(&path));
                continue;
            }
            match read(&path) {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    unreadable += 1;
                    warn!(file.path = %path.display(), error = %error, "a kept proof cannot be read and is left alone");
                }
            }
        }
        Ok((entries, unreadable))
    }

    /// Keeps a proof; when it returns, the proof survives a crash of the machine. Two syncs, and one more where the directory
    /// has to be made first.
    pub(crate) fn keep(&self, entry: &Entry) -> io::Result<()> {
        self.make_directory()?;
        durable::replace(&self.path(entry.proof.local_nonce), &serde_json::to_vec(entry)?)
    }

    /// Deletes a proof; one that is not there is deleted already.
    pub(crate) fn forget(&self, local_nonce: B256) -> io::Result<()> {
        match fs::remove_file(self.path(local_nonce)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            ended => ended,
        }
    }

    fn make_directory(&self) -> io::Result<()> {
        if self.directory.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&self.directory)?;
        // A proof is only as durable as the name of its directory.
        match self.directory.parent() {
            Some(state) => File::open(state)?.sync_all(),
            None => Ok(()),
        }
    }

    fn path(&self, local_nonce: B256) -> PathBuf {
        self.directory.join(format!("{}.json", hex::encode(local_nonce)))
    }
}

fn read(path: &Path) -> io::Result<Entry> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(byte: u8) -> Entry {
        let proof = FoundProof {
            epoch: 7,
            global_nonce: B256::ZERO,
            local_nonce: B256::repeat_byte(byte),
            result_hash: B256::with_last_byte(byte),
        };
        Entry { unit_id: B256::repeat_byte(0x22), proof }
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart_until_forgotten() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::in_directory(state.path());
        assert_eq!(store.load().unwrap(), (Vec::new(), 0));
        store.keep(&entry(1)).unwrap();
        store.keep(&entry(2)).unwrap();
        store.keep(&entry(2)).unwrap();
        store.forget(entry(1).proof.local_nonce).unwrap();
        store.forget(entry(1).proof.local_nonce).unwrap();
        assert_eq!(Store::in_directory(state.path()).load().unwrap(), (vec![entry(2)], 0));
    }

    #[test]
    fn a_process_killed_while_it_wrote_leaves_the_others_whole() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::in_directory(state.path());
        store.load().unwrap();
        store.keep(&entry(1)).unwrap();
        let whole = serde_json::to_vec(&entry(2)).unwrap();
        let unfinished = store.path(entry(2).proof.local_nonce).with_extension("json.unfinished");
        for length in 0..whole.len() {
            fs::write(&unfinished, &whole[..length]).unwrap();
            assert_eq!(store.load().unwrap().0, [entry(1)], "killed after {length} bytes");
            assert!(!unfinished.exists());
        }
    }

    #[test]
    fn a_file_that_is_no_proof_hides_none() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::in_directory(state.path());
        store.load().unwrap();
        fs::write(store.directory.join("ff.json"), b"{}").unwrap();
        store.keep(&entry(1)).unwrap();
        assert_eq!(store.load().unwrap(), (vec![entry(1)], 1));
    }

    #[test]
    fn a_file_that_cannot_be_read_hides_none() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::in_directory(state.path());
        store.keep(&entry(1)).unwrap();
        store.keep(&entry(2)).unwrap();
        fs::create_dir(store.directory.join("x.json")).unwrap();
        let (mut entries, unreadable) = store.load().unwrap();
        entries.sort_by_key(|entry| entry.proof.local_nonce);
        assert_eq!((entries, unreadable), (vec![entry(1), entry(2)], 1));
    }

    #[test]
    fn a_directory_that_could_not_be_made_at_first_is_made_when_a_proof_is_kept() {
        let state = tempfile::tempdir().unwrap();
        let in_the_way = state.path().join("proofs");
        fs::write(&in_the_way, b"a file where the directory belongs").unwrap();
        let store = Store::in_directory(state.path());
        store.load().unwrap_err();
        fs::remove_file(&in_the_way).unwrap();
        store.keep(&entry(1)).unwrap();
        assert_eq!(store.load().unwrap(), (vec![entry(1)], 0));
    }

    #[test]
    fn a_volume_that_takes_nothing_is_an_error() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("proofs"), b"a file where the directory belongs").unwrap();
        let store = Store::in_directory(state.path());
        store.load().unwrap_err();
        store.keep(&entry(1)).unwrap_err();
    }
}
