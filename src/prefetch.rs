//! Asking for memory before it is needed: with a hundred thousand connections every message meets state that is in
//! no cache, and waiting for it took longer than the work.

/// Bytes that a processor fetches together.
pub const CACHE_LINE: usize = 64;

/// How many items ahead to ask: about what a memory access (100 ns) takes in work on others.
pub const AHEAD: usize = 6;

/// Asks for all of `value`, which reads nothing and changes nothing.
#[inline(always)]
#[allow(unsafe_code)]
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start: *const i8 = std::ptr::from_ref(value).cast();
        for offset in (0..size_of::<T>()).step_by(CACHE_LINE) {
            // SAFETY: a prefetch reads nothing, sets nothing and cannot fault; the address lies inside `value`.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
