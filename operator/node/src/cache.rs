//! Archives on the agent's volume, within a bound. All calls block.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use bytes::Bytes;
use coreward_artifact::{Cid, Limits, car};
use coreward_link::durable;
use tracing::warn;

/// How an archive's file name ends.
const ENDING: &str = "car";

/// One file for each root; the ones used longest ago make room.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    most_bytes: u64,
}

/// A file of the cache.
struct Kept {
    used: SystemTime,
    bytes: u64,
    path: PathBuf,
}

impl Cache {
    /// A cache of at most `most_bytes`; makes its directory and deletes what a killed process left half-written.
    pub(crate) fn open(directory: PathBuf, most_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        for entry in fs::read_dir(&directory)?.flatten() {
            if entry.path().extension().is_some_and(|end| end == durable::UNFINISHED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { directory, most_bytes })
    }

    /// The archive of `root`, every block verified again: what lay on a disk is not believed.
    pub(crate) fn get(&self, root: &Cid, limits: &Limits, now: SystemTime) -> Option<Bytes> {
        let path = self.path(root);
        if fs::metadata(&path).ok()?.len() > car::longest(limits) {
            return None;
        }
        let archive = Bytes::from(fs::read(&path).ok()?);
        if let Err(error) = car::read(archive.clone(), root, limits) {
            warn!(artifact.cid = %root, error = %error, "a kept artifact is not what it was; it is fetched again");
            drop(fs::remove_file(&path));
            return None;
        }
        // The time only says which file may go first; a volume that cannot note it still serves.
        drop(File::options().append(true).open(&path).and_then(|file| file.set_modified(now)));
        Some(archive)
    }

    /// Keeps an archive and gives the bytes kept in all; one that is larger than the whole cache is not kept.
    pub(crate) fn put(&self, root: &Cid, archive: &[u8]) -> io::Result<u64> {
        let bytes = archive.len() as u64;
        if bytes <= self.most_bytes {
            self.make_room(self.most_bytes - bytes)?;
            durable::replace(&self.path(root), archive)?;
        }
        Ok(self.kept()?.iter().map(|kept| kept.bytes).sum())
    }

    fn make_room(&self, most_bytes: u64) -> io::Result<()> {
        let mut kept = self.kept()?;
        kept.sort_by_key(|each| each.used);
        let mut total: u64 = kept.iter().map(|each| each.bytes).sum();
        for each in kept {
            if total <= most_bytes {
                break;
            }
            fs::remove_file(each.path)?;
            total -= each.bytes;
        }
        Ok(())
    }

    fn kept(&self) -> io::Result<Vec<Kept>> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == ENDING) {
                let metadata = fs::metadata(&path)?;
                kept.push(Kept { used: metadata.modified()?, bytes: metadata.len(), path });
            }
        }
        Ok(kept)
    }

    fn path(&self, root: &Cid) -> PathBuf {
        self.directory.join(format!("{root}.{ENDING}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use coreward_artifact::{Blocks, raw};

    use super::*;

    fn artifact(byte: u8, length: usize) -> (Cid, Vec<u8>) {
        let bytes = Bytes::from(vec![byte; length]);
        let root = raw(&bytes);
        let mut blocks = Blocks::default();
        blocks.insert(root, bytes, "the test").unwrap();
        (root, car::write(&root, &blocks))
    }

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000 + second)
    }

    const LIMITS: Limits = Limits::of_bytes(1 << 20);

    #[test]
    fn what_was_put_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let (root, archive) = artifact(1, 100);
        let cache = Cache::open(directory.path().to_owned(), 1 << 20).unwrap();
        assert_eq!(cache.get(&root, &LIMITS, at(0)), None);
        assert_eq!(cache.put(&root, &archive).unwrap(), archive.len() as u64);
        let cache = Cache::open(directory.path().to_owned(), 1 << 20).unwrap();
        assert_eq!(cache.get(&root, &LIMITS, at(0)), Some(Bytes::from(archive)));
    }

    #[test]
    fn a_file_that_changed_is_not_served_and_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (root, mut archive) = artifact(1, 100);
        let cache = Cache::open(directory.path().to_owned(), 1 << 20).unwrap();
        *archive.last_mut().unwrap() ^= 1;
        cache.put(&root, &archive).unwrap();
        assert_eq!(cache.get(&root, &LIMITS, at(0)), None);
        assert_eq!(cache.kept().unwrap().len(), 0);
    }

    #[test]
    fn the_one_used_longest_ago_makes_room() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path().to_owned(), 2_500).unwrap();
        let (first, second, third) = (artifact(1, 1_000), artifact(2, 1_000), artifact(3, 1_000));
        cache.put(&first.0, &first.1).unwrap();
        cache.put(&second.0, &second.1).unwrap();
        cache.get(&second.0, &LIMITS, at(1)).unwrap();
        cache.get(&first.0, &LIMITS, at(2)).unwrap();
        assert!(cache.put(&third.0, &third.1).unwrap() <= 2_500);
        assert!(cache.get(&second.0, &LIMITS, at(3)).is_none());
        assert!(cache.get(&first.0, &LIMITS, at(3)).is_some());
    }

    #[test]
    fn one_that_is_larger_than_the_cache_throws_nothing_out() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path().to_owned(), 500).unwrap();
        let (small, large) = (artifact(1, 100), artifact(2, 1_000));
        cache.put(&small.0, &small.1).unwrap();
        assert_eq!(cache.put(&large.0, &large.1).unwrap(), small.1.len() as u64);
    }

    #[test]
    fn one_beyond_the_limits_of_its_order_is_not_given() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path().to_owned(), 1 << 20).unwrap();
        let (root, archive) = artifact(1, 1_000);
        cache.put(&root, &archive).unwrap();
        assert_eq!(cache.get(&root, &Limits::of_bytes(999), at(0)), None);
    }
}
