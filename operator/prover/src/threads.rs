//! How many threads hash.

use core::num::NonZeroUsize;
use std::thread::available_parallelism;

use coreward_link::cpu::{CpuError, CpuFiles};

/// Bytes of cache that a hashing thread needs for itself: its scratchpad. Beyond the cache's size, one more thread slows all.
const SCRATCHPAD_BYTES: u64 = 2 << 20;

/// As many threads as this process has CPUs, and as its share of the third-level cache holds scratchpads.
///
/// # Errors
///
/// [`CpuError`] if the kernel does not tell which CPUs it may use.
pub(crate) fn hashing_threads(files: &CpuFiles) -> Result<NonZeroUsize, CpuError> {
    let cpus = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Ok(bounded(cpus, files.third_level_share()?))
}

fn bounded(cpus: NonZeroUsize, third_level_share: Option<u64>) -> NonZeroUsize {
    let held = third_level_share.map_or(usize::MAX, |bytes| {
        usize::try_from(bytes / SCRATCHPAD_BYTES).unwrap_or(usize::MAX)
    });
    NonZeroUsize::new(held.min(cpus.get())).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::room_for_all(2, Some(4 << 20), 2)]
    #[case::a_dense_part_with_one_scratchpad_a_core(2, Some(2 << 20), 1)]
    #[case::less_than_one_scratchpad(2, Some(1 << 20), 1)]
    #[case::no_such_cache(4, None, 4)]
    fn threads_are_bounded_by_the_cache(
        #[case] cpus: usize,
        #[case] share: Option<u64>,
        #[case] threads: usize,
    ) {
        assert_eq!(bounded(NonZeroUsize::new(cpus).unwrap(), share).get(), threads);
    }
}
