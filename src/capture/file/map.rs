//! The two places where reading files fast needs `unsafe`.

use std::fs::File;
use std::io;

use memmap2::{Advice, Mmap};

/// Maps `file`, which must not be empty, for reading from front to back.
#[allow(unsafe_code)]
pub fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is read-only. Its bytes change only if another process writes to the file meanwhile, which
    // no Unix can forbid; the bytes are plain data that is checked at each read, so a change cannot break an
    // invariant here. Truncation raises SIGBUS, which the module page of `file` tells users.
    let map = unsafe { Mmap::map(file) }?;
    // A hint only: without it the walk is correct, and a little slower on a cold page cache.
    let _ = map.advise(Advice::Sequential);
    Ok(map)
}

/// How far ahead of the walk the memory is asked for, in bytes: far enough for a memory access (about 100 ns) to
/// end before the walk arrives, near enough to stay in the first-level cache.
const PREFETCH_AHEAD: usize = 4096;

/// Asks for the memory a little after `position`. The stride of a walk from header to header depends on the data,
/// so the processor cannot guess it: without this each header is a cache miss and the walk is ten times slower.
#[inline(always)]
#[allow(unsafe_code)]
pub fn prefetch(bytes: &[u8], position: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing, sets nothing and cannot fault whatever the address is; `wrapping_add`
        // makes no claim that the address lies inside the slice.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(position + PREFETCH_AHEAD).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, position, PREFETCH_AHEAD);
}
