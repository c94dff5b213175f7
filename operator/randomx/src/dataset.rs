//! The dataset: every item made once, then only read.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::cache::{Cache, Item};
use crate::engine::Work;
use crate::mapping::{MapError, Mapping, Pages};
use crate::parameters::Parameters;

/// How far a dataset is; read it from anywhere.
#[derive(Debug, Default)]
pub struct Progress {
    made: AtomicU64,
    wanted: AtomicU64,
}

impl Progress {
    /// Items made, and items wanted; both 0 before anything was begun.
    #[must_use]
    pub fn items(&self) -> (u64, u64) {
        (self.made.load(Ordering::Relaxed), self.wanted.load(Ordering::Relaxed))
    }

    pub(crate) fn begin(&self, wanted: u64, made: usize) {
        self.made.store(made as u64, Ordering::Relaxed);
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    fn add(&self, items: usize) {
        self.made.fetch_add(items as u64, Ordering::Relaxed);
    }
}

/// All items of one key.
#[derive(Debug)]
pub(crate) struct Dataset {
    memory: Mapping,
    items: usize,
}

impl Dataset {
    pub(crate) fn new(parameters: &Parameters, pages: Pages) -> Result<Self, MapError> {
        let bytes = usize::try_from(parameters.dataset_bytes()).unwrap_or(usize::MAX);
        let memory = Mapping::new("dataset", bytes, pages)?;
        Ok(Self { memory, items: bytes / size_of::<Item>() })
    }

    pub(crate) const fn len(&self) -> usize {
        self.items
    }

    pub(crate) fn huge_bytes(&self) -> u64 {
        self.memory.huge_bytes().unwrap_or(0)
    }

    /// Where the first item lies.
    #[cfg(any(test, all(feature = "jit", target_arch = "x86_64")))]
    pub(crate) fn start(&self) -> *const u8 {
        self.memory.values::<u8>().as_ptr()
    }

    #[inline]
    pub(crate) fn item(&self, number: u64) -> Item {
        self.memory.values()[usize::try_from(number).unwrap_or(usize::MAX)]
    }

    /// Makes the items from number `made` on, until all are made or the caller wishes to stop; gives how many are made now.
    pub(crate) fn fill(&mut self, cache: &Cache, made: usize, work: &Work<'_>) -> usize {
        let items = self.items;
        work.progress.begin(items as u64, made);
        let rest = &mut self.memory.values_mut::<Item>()[made..items];
        // Chunks are given out in order, and each that was begun is ended: what is made is always a first part.
        let chunks = Mutex::new((made, rest.chunks_mut(cache.chunk_items())));
        thread::scope(|scope| {
            for _ in 0..work.threads.get() {
                scope.spawn(|| {
                    while !(work.stopped)() {
                        let taken = {
                            let mut chunks = chunks.lock().unwrap_or_else(PoisonError::into_inner);
                            let Some(chunk) = chunks.1.next() else { break };
                            let first = chunks.0;
                            chunks.0 += chunk.len();
                            (first, chunk)
                        };
                        cache.fill(taken.0 as u64, taken.1);
                        work.progress.add(taken.1.len());
                    }
                });
            }
        });
        chunks.into_inner().unwrap_or_else(PoisonError::into_inner).0
    }
}
