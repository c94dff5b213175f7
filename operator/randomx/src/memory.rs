//! The dataset's memory: 4,128 MiB, allocated once and filled again for each key.

use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;

use ccp_randomx::dataset::DatasetHandle;
use ccp_randomx::{Cache, DATASET_ITEM_SIZE, Dataset};

use crate::engine::Error;

/// Items filled between two looks at the caller's wish to stop.
///
/// A thread fills about 400,000 items a second, so this is some 80 ms.
const CHUNK_ITEMS: u64 = 32_768;

/// What the kernel manages memory in; both 4 KiB and 2 MiB pages begin at multiples of it.
const PAGE_BYTES: usize = 4096;

/// The dataset, shared by the hashers of one key.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    dataset: Arc<Dataset>,
}

impl Memory {
    pub(crate) fn allocate() -> Result<Self, Error> {
        let dataset = Dataset::allocate(false)
            .map_err(|source| Error::Allocate { what: "dataset", source })?;
        let memory = Self { dataset: Arc::new(dataset) };
        advise_huge_pages(&memory.dataset.handle());
        Ok(memory)
    }

    /// Whether a hasher, or what makes hashers, may still read the memory.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.dataset) > 1
    }

    /// Fills the memory for the cache's key with `threads` threads; false if `stopped` said so before the end.
    ///
    /// The caller makes sure that nobody reads meanwhile: [`Memory::is_shared`] is false, and `self` is borrowed alone.
    pub(crate) fn fill(
        &mut self,
        cache: &Cache,
        threads: NonZeroUsize,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> bool {
        let items = self.dataset.items_count();
        let next = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..threads.get() {
                let (mut part, cache, next) = (self.dataset.handle(), cache.handle(), &next);
                scope.spawn(move || {
                    while !stopped() {
                        let start = next.fetch_add(CHUNK_ITEMS, Ordering::Relaxed);
                        if start >= items {
                            break;
                        }
                        part.initialize(&cache, start, CHUNK_ITEMS.min(items - start));
                    }
                });
            }
        });
        !stopped()
    }

    pub(crate) fn handle(&self) -> DatasetHandle {
        self.dataset.handle()
    }
}

/// Asks the kernel for huge pages: hashing is then 1.5 to 2 times as fast. A kernel that has none ignores it.
#[expect(unsafe_code, reason = "madvise takes an address; the engine has no call for it")]
fn advise_huge_pages(dataset: &DatasetHandle) {
    let address = dataset.memory();
    let skipped = address.align_offset(PAGE_BYTES);
    let length = usize::try_from(dataset.items_count() * DATASET_ITEM_SIZE).unwrap_or(0);
    let Some(length) = length.checked_sub(skipped) else { return };
    // SAFETY: `address` is the start of an allocation of `items_count * DATASET_ITEM_SIZE` bytes which `dataset` keeps
    // alive; the range begins at its first whole page and ends with it. MADV_HUGEPAGE changes no content and no mapping;
    // it fails without effect on a kernel without huge pages, which is as good as not asking.
    unsafe {
        libc::madvise(address.byte_add(skipped), length, libc::MADV_HUGEPAGE);
    }
}
