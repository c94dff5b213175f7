//! Memory of our own: mapped, with huge pages where they can be had, and given back whole.

#![expect(unsafe_code, reason = "memory is mapped by the kernel and read as values")]

use core::ptr::NonNull;
use core::{fmt, slice};
use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// Bytes of a huge page.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Which pages memory is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pages {
    /// Transparent huge pages where the kernel has them to give, small ones else.
    #[default]
    Transparent,
    /// Huge pages that the machine's owner has set aside, or none.
    Huge,
    /// Pages of 4 KiB.
    Small,
}

/// Why memory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The kernel has none to give.
    #[error(
        "map {bytes} bytes for the RandomX {what}: give the pod more memory, or the node fewer pods"
    )]
    Refused {
        /// Which of the engine's parts.
        what: &'static str,
        /// How much it is.
        bytes: usize,
        /// What the kernel says.
        source: Errno,
    },
    /// Too few huge pages are set aside.
    #[error(
        "map {bytes} bytes of huge pages for the RandomX {what}: set aside {pages} pages of 2 MiB (vm.nr_hugepages, and hugepages-2Mi of the pod), or ask for transparent ones"
    )]
    NoHugePages {
        /// Which of the engine's parts.
        what: &'static str,
        /// How much it is.
        bytes: usize,
        /// The pages that it takes.
        pages: usize,
        /// What the kernel says.
        source: Errno,
    },
}

/// What memory may be read as: every pattern of bits is a value, and nothing lies between the values.
///
/// # Safety
///
/// As said: no padding, no invalid pattern, no drop.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: an integer.
unsafe impl Plain for u8 {}
// SAFETY: an integer.
unsafe impl Plain for u64 {}
// SAFETY: an array of integers.
unsafe impl<const N: usize> Plain for [u64; N] {}
// SAFETY: an array of integers, aligned to 64 bytes, of which its size of 1024 is a multiple; it has no other field.
unsafe impl Plain for argon2::Block {}

/// Zeroed memory that belongs to its holder alone.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
    /// What was mapped, of which the part in use begins at a huge page's border.
    whole: (NonNull<u8>, usize),
    pages: Pages,
}

// SAFETY: the memory is anonymous and private to this process, and reached through `&self` and `&mut self` only.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&self` only reads.
unsafe impl Sync for Mapping {}

impl fmt::Debug for Mapping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Mapping")
            .field("bytes", &self.bytes)
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}

impl Mapping {
    /// Maps at least `bytes`; `what` names them in errors.
    pub(crate) fn new(what: &'static str, bytes: usize, pages: Pages) -> Result<Self, MapError> {
        let rounded = bytes.next_multiple_of(HUGE_PAGE_BYTES);
        // The kernel aligns explicit huge pages itself; for transparent ones there must be room for a border.
        let length = if pages == Pages::Huge { rounded } else { rounded + HUGE_PAGE_BYTES };
        let flags = match pages {
            Pages::Huge => MapFlags::PRIVATE | MapFlags::HUGETLB | MapFlags::HUGE_2MB,
            Pages::Transparent | Pages::Small => MapFlags::PRIVATE | MapFlags::NORESERVE,
        };
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no other memory.
        let mapped = unsafe {
            mmap_anonymous(core::ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, flags)
        };
        let mapped = mapped.and_then(|at| NonNull::new(at.cast::<u8>()).ok_or(Errno::NOMEM));
        let at = mapped.map_err(|source| match pages {
            Pages::Huge => {
                MapError::NoHugePages { what, bytes, pages: rounded / HUGE_PAGE_BYTES, source }
            }
            Pages::Transparent | Pages::Small => MapError::Refused { what, bytes, source },
        })?;
        let skipped = at.align_offset(HUGE_PAGE_BYTES);
        // SAFETY: `skipped` is less than a huge page, and the mapping is longer than `rounded` by one where it is not aligned.
        let start = unsafe { at.add(skipped) };
        let mapping = Self { start, bytes: rounded, whole: (at, length), pages };
        mapping.advise();
        Ok(mapping)
    }

    fn advise(&self) {
        let advice = match self.pages {
            Pages::Transparent => Advice::LinuxHugepage,
            Pages::Small => Advice::LinuxNoHugepage,
            Pages::Huge => return,
        };
        // SAFETY: the range lies within a mapping of ours; the advice changes no content. A kernel without transparent huge
        // pages refuses, which is as good as not asking.
        let _ = unsafe { madvise(self.start.as_ptr().cast(), self.bytes, advice) };
    }

    /// The memory as values, as many as fit.
    pub(crate) fn values<T: Plain>(&self) -> &[T] {
        // SAFETY: the range is mapped, zeroed at first, and aligned to 2 MiB; `T` takes any bits; `&self` keeps writers away.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.bytes / size_of::<T>()) }
    }

    /// The memory as values to be written.
    pub(crate) fn values_mut<T: Plain>(&mut self) -> &mut [T] {
        // SAFETY: as for `values`; `&mut self` keeps everybody else away.
        unsafe {
            slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.bytes / size_of::<T>())
        }
    }

    /// Bytes that the kernel really keeps in huge pages now.
    ///
    /// # Errors
    ///
    /// Those of reading the kernel's list of mappings.
    pub(crate) fn huge_bytes(&self) -> io::Result<u64> {
        if self.pages == Pages::Huge {
            return Ok(self.bytes as u64);
        }
        let range = self.whole.0.as_ptr() as usize..self.whole.0.as_ptr() as usize + self.whole.1;
        let list = fs::read_to_string("/proc/self/smaps")?;
        let mut is_ours = false;
        let mut kib = 0;
        for line in list.lines() {
            if let Some((start, end)) = bounds(line) {
                is_ours = start < range.end && end > range.start;
            } else if is_ours && let Some(rest) = line.strip_prefix("AnonHugePages:") {
                kib += rest.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
            }
        }
        Ok((kib * 1024).min(self.bytes as u64))
    }
}

/// Start and end of the mapping that a line of the kernel's list begins, if it begins one.
fn bounds(line: &str) -> Option<(usize, usize)> {
    let (range, _) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the whole range was mapped by `new`, and nobody holds a reference into it any more.
        let _ = unsafe { munmap(self.whole.0.as_ptr().cast(), self.whole.1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zero_and_keeps_what_is_written() {
        let mut mapping = Mapping::new("test", 3 << 20, Pages::Small).unwrap();
        assert_eq!(mapping.values::<u64>().len(), (4 << 20) / 8);
        assert!(mapping.values::<u64>().iter().all(|word| *word == 0));
        mapping.values_mut::<[u64; 8]>()[9] = [7; 8];
        assert_eq!(mapping.values::<u64>()[72..80], [7; 8]);
        assert_eq!(mapping.huge_bytes().unwrap(), 0);
    }

    #[test]
    fn huge_pages_that_were_given_are_counted() {
        let modes = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
        let mut mapping = Mapping::new("test", 64 << 20, Pages::Transparent).unwrap();
        mapping.values_mut::<u64>().fill(1);
        let huge = mapping.huge_bytes().unwrap();
        assert!(huge.is_multiple_of(2 << 20) && huge <= 64 << 20, "{huge}");
        // A kernel that has been told never to give them gives none.
        let gives = modes.is_ok_and(|modes| !modes.contains("[never]"));
        assert_eq!(gives, huge > 0, "{huge} bytes");
    }

    #[test]
    fn memory_that_nobody_has_is_an_error() {
        let refused = Mapping::new("test", 1 << 60, Pages::Transparent).unwrap_err().to_string();
        assert!(refused.contains("for the RandomX test: give the pod more memory"), "{refused}");
    }

    #[test]
    fn huge_pages_that_are_not_set_aside_are_an_error_that_says_how_many() {
        let refused = Mapping::new("test", 1 << 50, Pages::Huge).unwrap_err().to_string();
        assert!(refused.contains("set aside 536870912 pages of 2 MiB"), "{refused}");
    }
}
