//! The store: one file on the pod's volume, one thread that writes, few that read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use redb::Database;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::bounds::{BATCH_BYTES, BATCH_KEYS, Bounds, NAME_BYTES, Refusal, VALUE_BYTES, check_key};
use super::entries;
use crate::metrics::StoreMetrics;

/// Memory for pages of the file.
const CACHE_BYTES: usize = 4 << 20;
/// Changes that wait for the thread that writes.
const WAITING: usize = 64;
/// Bytes of values among them.
const WAITING_BYTES: usize = 8 << 20;
/// Calls that read at once, each in a thread.
const READERS: usize = 16;

/// A key with its value.
pub(super) type Pair = (String, Vec<u8>);

/// What is done to the keys of one bucket, as one.
#[derive(Debug)]
pub(super) enum Change {
    Set(Vec<Pair>),
    Delete(Vec<String>),
    /// Adds to a number in decimal; a key that is not there is 0.
    Increment(String, u64),
}

/// The key-value store of one worker.
pub(crate) struct KeyValues {
    file: Arc<StoreFile>,
    queue: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    metrics: StoreMetrics,
}

impl core::fmt::Debug for KeyValues {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("KeyValues").field("file", &self.file.path).finish_non_exhaustive()
    }
}

/// A change on its way.
struct Job {
    bucket: Arc<str>,
    change: Change,
    answer: oneshot::Sender<Result<u64, Refusal>>,
    _room: OwnedSemaphorePermit,
}

/// The file, open unless the last access failed: then it is opened anew.
struct StoreFile {
    path: PathBuf,
    metrics: StoreMetrics,
    open: Mutex<Option<Arc<Database>>>,
}

impl KeyValues {
    /// The store at `path`, which is opened or made beside all else that starts: who asks it something waits for that. One that cannot
    /// be read is begun anew, and the log says so.
    ///
    /// Every change is on the volume when it is answered; what was being changed when the process was killed is there whole or
    /// not at all.
    ///
    /// # Errors
    ///
    /// If its thread cannot be started.
    pub(crate) fn start(path: PathBuf, bounds: Bounds, metrics: StoreMetrics) -> io::Result<Self> {
        let file = Arc::new(StoreFile { path, metrics: metrics.clone(), open: Mutex::new(None) });
        let (queue, waiting) = mpsc::channel(WAITING);
        let writer = Writer { file: Arc::clone(&file), bounds };
        thread::Builder::new().name("key-values".to_owned()).spawn(move || writer.run(waiting))?;
        let (room, readers) =
            (Arc::new(Semaphore::new(WAITING_BYTES)), Arc::new(Semaphore::new(READERS)));
        Ok(Self { file, queue, room, readers, metrics })
    }

    /// Whether a bucket may be called so.
    pub(super) fn check_name(&self, name: &str) -> Result<(), Refusal> {
        let bytes = name.len();
        let checked = if bytes <= NAME_BYTES { Ok(()) } else { Err(Refusal::BucketName { bytes }) };
        self.counted(checked)
    }

    /// The pairs of these keys, `None` for each that is not there.
    pub(super) async fn get(
        &self,
        bucket: Arc<str>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<Pair>>, Refusal> {
        if keys.len() > BATCH_KEYS {
            return self.counted(Err(Refusal::Batch));
        }
        let found =
            self.read(move |database| entries::get(database, &bucket, keys, BATCH_BYTES)).await;
        self.counted(found.and_then(|found| found.ok_or(Refusal::Batch)))
    }

    /// Whether the key is there.
    pub(super) async fn exists(&self, bucket: Arc<str>, key: String) -> Result<bool, Refusal> {
        self.read(move |database| entries::exists(database, &bucket, &key)).await
    }

    /// Keys of a bucket from a position on, and the next position, `None` at the end.
    pub(super) async fn keys(
        &self,
        bucket: Arc<str>,
        from: u64,
    ) -> Result<(Vec<String>, Option<u64>), Refusal> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        self.read(move |database| entries::keys(database, &bucket, from)).await
    }

    /// Makes a change; returns what an increment came to, else 0.
    pub(super) async fn change(&self, bucket: Arc<str>, change: Change) -> Result<u64, Refusal> {
        let changed = match check(&change) {
            Ok(bytes) => self.write(bucket, change, bytes).await,
            Err(refusal) => Err(refusal),
        };
        self.counted(changed)
    }

    async fn write(&self, bucket: Arc<str>, change: Change, bytes: usize) -> Result<u64, Refusal> {
        let ended = || Refusal::Broken("its writer has ended".to_owned());
        let bytes = u32::try_from(bytes).map_err(|_| Refusal::Batch)?;
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await;
        let room = room.map_err(|_| ended())?;
        let (answer, answered) = oneshot::channel();
        let job = Job { bucket, change, answer, _room: room };
        self.queue.send(job).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, Refusal> {
        let broken = |error: &dyn core::fmt::Display| Refusal::Broken(error.to_string());
        let readers = Arc::clone(&self.readers);
        let place = readers.acquire_owned().await.map_err(|error| broken(&error))?;
        let file = Arc::clone(&self.file);
        let reading = spawn_blocking(move || {
            let _place = place;
            file.database().and_then(|database| read(&database)).inspect_err(|_| file.forget())
        });
        reading.await.map_err(|error| broken(&error))?.map_err(|error| broken(&error))
    }

    fn counted<T>(&self, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
        outcome.inspect_err(|refusal| {
            if let Some(bound) = refusal.bound() {
                self.metrics.refused(bound);
            }
        })
    }
}

/// Whether a change is one that the store takes at all; the bytes that it brings.
fn check(change: &Change) -> Result<usize, Refusal> {
    let (count, bytes) = match change {
        Change::Set(pairs) => {
            for (key, value) in pairs {
                check_key(key)?;
                if value.len() > VALUE_BYTES {
                    return Err(Refusal::Value { bytes: value.len() });
                }
            }
            (pairs.len(), pairs.iter().map(|(_, value)| value.len()).sum())
        }
        Change::Delete(keys) => {
            keys.iter().try_for_each(|key| check_key(key))?;
            (keys.len(), 0)
        }
        Change::Increment(key, _) => {
            check_key(key)?;
            (1, 0)
        }
    };
    if count <= BATCH_KEYS && bytes <= BATCH_BYTES { Ok(bytes) } else { Err(Refusal::Batch) }
}

/// Whether a file is no store, or one that broke.
fn is_beyond_repair(error: &redb::Error) -> bool {
    if let redb::Error::Io(error) = error {
        return matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof);
    }
    matches!(error, redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl StoreFile {
    fn database(&self) -> Result<Arc<Database>, redb::Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*open {
            return Ok(Arc::clone(database));
        }
        let database = match self.prepared() {
            Err(error) if is_beyond_repair(&error) => {
                tracing::error!(%error, store.file = %self.path.display(), "the key-value store cannot be read and begins anew");
                remove(&self.path)?;
                self.prepared()?
            }
            prepared => prepared?,
        };
        Ok(Arc::clone(open.insert(Arc::new(database))))
    }

    fn prepared(&self) -> Result<Database, redb::Error> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(&self.path)?;
        self.metrics.holds(entries::prepare(&database)?);
        Ok(database)
    }

    /// After a failure the open file answers nothing but that it failed.
    fn forget(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The thread that writes. What waits when it is ready is written together: each time costs a sync of the volume.
struct Writer {
    file: Arc<StoreFile>,
    bounds: Bounds,
}

impl Writer {
    fn run(self, mut waiting: mpsc::Receiver<Job>) {
        if let Err(error) = self.file.database() {
            tracing::warn!(%error, store.file = %self.file.path.display(), "the key-value store could not be opened; it is tried again when a component needs it");
        }
        while let Some(first) = waiting.blocking_recv() {
            let mut jobs = vec![first];
            while jobs.len() < WAITING {
                let Ok(job) = waiting.try_recv() else { break };
                jobs.push(job);
            }
            let written = self.file.database().and_then(|file| self.write(&file, &jobs));
            if let Err(error) = &written {
                tracing::warn!(%error, "the key-value store could not be written");
                self.file.forget();
            }
            let mut answers = written.map_err(|error| Refusal::Broken(error.to_string()));
            for (at, job) in jobs.into_iter().enumerate() {
                let answer = match &mut answers {
                    Ok(answers) => core::mem::replace(&mut answers[at], Ok(0)),
                    Err(refusal) => Err(refusal.clone()),
                };
                // Whoever asked may have run out of time.
                let _told = job.answer.send(answer);
            }
        }
    }

    fn write(
        &self,
        file: &Database,
        jobs: &[Job],
    ) -> Result<Vec<Result<u64, Refusal>>, redb::Error> {
        let transaction = file.begin_write()?;
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            answers.push(entries::apply(&transaction, self.bounds, &job.bucket, &job.change)?);
        }
        let held = entries::held(&transaction)?;
        transaction.commit()?;
        self.file.metrics.holds(held);
        Ok(answers)
    }
}
