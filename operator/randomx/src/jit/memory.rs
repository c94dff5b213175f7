//! Memory for code: one mapping to write, another to run, so that no mapping is ever both.

use core::arch::asm;
use core::ptr::NonNull;
use core::{fmt, slice};

use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Why there is no memory for code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "map {bytes} bytes for machine code: a kernel that forbids it (vm.memfd_noexec, a security module) leaves the interpreter"
)]
pub struct CodeError {
    bytes: usize,
    source: Errno,
}

/// The same pages twice.
pub(crate) struct CodeMemory {
    writable: NonNull<u8>,
    runnable: NonNull<u8>,
    bytes: usize,
}

// SAFETY: both mappings belong to this value; writing takes `&mut self`, and what runs is only read.
unsafe impl Send for CodeMemory {}
// SAFETY: as above.
unsafe impl Sync for CodeMemory {}

impl fmt::Debug for CodeMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CodeMemory").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl CodeMemory {
    pub(crate) fn new(bytes: usize) -> Result<Self, CodeError> {
        let bytes = bytes.next_multiple_of(4096);
        let error = |source| CodeError { bytes, source };
        let file = file().map_err(error)?;
        ftruncate(&file, bytes as u64).map_err(error)?;
        let writable = map(&file, bytes, ProtFlags::READ | ProtFlags::WRITE).map_err(error)?;
        let runnable = map(&file, bytes, ProtFlags::READ | ProtFlags::EXEC);
        let runnable = runnable.map_err(|source| {
            unmap(writable, bytes);
            error(source)
        })?;
        Ok(Self { writable, runnable, bytes })
    }

    /// Writes code from the beginning, then makes sure that this processor runs it and nothing older.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut [u8])) {
        // SAFETY: the range is mapped for reading and writing, and `&mut self` keeps everybody else away; the other mapping is
        // not read as a slice.
        let bytes = unsafe { slice::from_raw_parts_mut(self.writable.as_ptr(), self.bytes) };
        write(bytes);
        serialise();
    }

    /// Where the byte at `offset` runs.
    pub(crate) fn at(&self, offset: usize) -> *const u8 {
        self.runnable.as_ptr().wrapping_add(offset)
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        unmap(self.writable, self.bytes);
        unmap(self.runnable, self.bytes);
    }
}

/// A nameless file; kernels that know the flag want to be told that its pages will run.
fn file() -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC;
    memfd_create("randomx", flags | MemfdFlags::EXEC).or_else(|_| memfd_create("randomx", flags))
}

fn map(file: &OwnedFd, bytes: usize, protection: ProtFlags) -> Result<NonNull<u8>, Errno> {
    // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
    let at = unsafe { mmap(core::ptr::null_mut(), bytes, protection, MapFlags::SHARED, file, 0)? };
    NonNull::new(at.cast()).ok_or(Errno::NOMEM)
}

fn unmap(at: NonNull<u8>, bytes: usize) {
    // SAFETY: the range was mapped by `map`, and its holder is going.
    let _ = unsafe { munmap(at.as_ptr().cast(), bytes) };
}

/// Throws away what the processor has decoded ahead: the new code lies under another address than it was written to.
///
/// A return from an interrupt to the next instruction does it, and other than `cpuid` costs no visit to a hypervisor.
fn serialise() {
    // SAFETY: the frame that is pushed returns to the label with the same stack, flags and segments.
    unsafe {
        asm!(
            "mov {stack}, rsp",
            "mov {scratch:e}, ss",
            "push {scratch}",
            "push {stack}",
            "pushfq",
            "mov {scratch:e}, cs",
            "push {scratch}",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "iretq",
            "2:",
            stack = out(reg) _,
            scratch = out(reg) _,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_runs_and_so_does_what_is_written_over_it() {
        let mut memory = CodeMemory::new(1).unwrap();
        for wanted in 0..1000_u32 {
            memory.write(|bytes| {
                bytes[0] = 0xb8;
                bytes[1..5].copy_from_slice(&wanted.to_le_bytes());
                bytes[5] = 0xc3;
            });
            // SAFETY: the code moves a constant to the register of the result, and returns.
            let run = unsafe {
                core::mem::transmute::<*const u8, extern "sysv64" fn() -> u32>(memory.at(0))
            };
            assert_eq!(run(), wanted);
        }
    }

    #[test]
    fn memory_for_code_that_nobody_has_is_an_error() {
        let refused = CodeMemory::new(1 << 60).unwrap_err().to_string();
        assert!(refused.contains("for machine code"), "{refused}");
    }
}
