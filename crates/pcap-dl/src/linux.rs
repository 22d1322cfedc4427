//! The functions that the `pcap` crate (2.5, `src/raw.rs`) declares.

use std::ffi::{CStr, c_char, c_int, c_uchar, c_uint, c_void};
use std::mem::transmute;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

// dlfcn.h of Linux; the C library is linked anyway.
unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *mut c_char;
}

const RTLD_NOW: c_int = 2;
/// libpcap's calls of its own functions stay inside it, rather than coming back here by the same names. musl knows no
/// such flag and ignores it; there, `RTLD_LOCAL` (0) and its own binding order do.
const RTLD_DEEPBIND: c_int = 8;
/// Debian's name, that of other distributions, and that of development packages.
const NAMES: [&CStr; 3] = [c"libpcap.so.0.8", c"libpcap.so.1", c"libpcap.so"];
/// Bytes of an error buffer, with the zero at its end (`PCAP_ERRBUF_SIZE`).
const ERROR_BUFFER: usize = 256;
const ABSENT: &CStr = c"libpcap is not installed";

/// The library's handle as a number, since a pointer cannot be shared between threads; or why there is none.
static LIBRARY: OnceLock<Result<usize, String>> = OnceLock::new();

fn library() -> &'static Result<usize, String> {
    LIBRARY.get_or_init(|| {
        let open = |name: &&CStr| {
            // SAFETY: the name ends in a zero byte, and what libpcap does when it is loaded is what it would do if it
            // were linked.
            let handle = unsafe { dlopen(name.as_ptr(), RTLD_NOW | RTLD_DEEPBIND) };
            (!handle.is_null()).then_some(handle as usize)
        };
        NAMES.iter().find_map(open).ok_or_else(|| {
            // SAFETY: the text is the loader's own, for this thread, and stays until its next call.
            let error = unsafe { dlerror().as_ref().map(|text| CStr::from_ptr(text)) };
            error.unwrap_or(ABSENT).to_string_lossy().into_owned()
        })
    })
}

pub fn available() -> Result<(), String> {
    library().as_ref().map(drop).map_err(Clone::clone)
}

/// Where a function of libpcap is, if it is there.
fn symbol(name: &CStr) -> Option<*mut c_void> {
    let library = *library().as_ref().ok()? as *mut c_void;
    // SAFETY: the handle was opened and is never closed, and the name ends in a zero byte.
    let address = unsafe { dlsym(library, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

/// Fills the error buffer of a call that cannot be made, and gives its answer.
fn complain<T>(buffer: *mut c_char, answer: T) -> T {
    const { assert!(ABSENT.count_bytes() < ERROR_BUFFER) };
    if !buffer.is_null() {
        // SAFETY: an error buffer has ERROR_BUFFER bytes by libpcap's interface, more than are written.
        unsafe { std::ptr::copy_nonoverlapping(ABSENT.as_ptr(), buffer, ABSENT.count_bytes() + 1) };
    }
    answer
}

/// Defines functions that call those of the same name in libpcap; after `=` what they answer where it is not there.
macro_rules! forward {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? = $absent:expr;)*) => {$(
        /// The function of libpcap of this name.
        ///
        /// # Safety
        /// That of libpcap's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) $(-> $result)? {
            type Function = unsafe extern "C" fn($($type),*) $(-> $result)?;
            static FUNCTION: OnceLock<Option<Function>> = OnceLock::new();
            let find = || {
                let name = CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()).ok()?;
                // SAFETY: the function of that name has this type: it is the one that the `pcap` crate declares.
                symbol(name).map(|address| unsafe { transmute::<*mut c_void, Function>(address) })
            };
            match FUNCTION.get_or_init(find) {
                // SAFETY: the caller keeps to what this function asks for.
                Some(function) => unsafe { function($($argument),*) },
                None => $absent,
            }
        }
    )*};
}

forward! {
    fn pcap_create(a: *const c_char, b: *mut c_char) -> *mut c_void = complain(b, null_mut());
    fn pcap_set_snaplen(a: *mut c_void, b: c_int) -> c_int = -1;
    fn pcap_set_promisc(a: *mut c_void, b: c_int) -> c_int = -1;
    fn pcap_set_timeout(a: *mut c_void, b: c_int) -> c_int = -1;
    fn pcap_set_buffer_size(a: *mut c_void, b: c_int) -> c_int = -1;
    fn pcap_activate(a: *mut c_void) -> c_int = -1;
    fn pcap_open_dead(a: c_int, b: c_int) -> *mut c_void = null_mut();
    fn pcap_open_offline(a: *const c_char, b: *mut c_char) -> *mut c_void = complain(b, null_mut());
    fn pcap_fopen_offline(a: *mut c_void, b: *mut c_char) -> *mut c_void = complain(b, null_mut());
    fn pcap_close(a: *mut c_void) = ();
    fn pcap_loop(a: *mut c_void, b: c_int, c: *mut c_void, d: *mut c_uchar) -> c_int = -1;
    fn pcap_dispatch(a: *mut c_void, b: c_int, c: *mut c_void, d: *mut c_uchar) -> c_int = -1;
    fn pcap_next_ex(a: *mut c_void, b: *mut *mut c_void, c: *mut *const c_uchar) -> c_int = -1;
    fn pcap_breakloop(a: *mut c_void) = ();
    fn pcap_stats(a: *mut c_void, b: *mut c_void) -> c_int = -1;
    fn pcap_setfilter(a: *mut c_void, b: *mut c_void) -> c_int = -1;
    fn pcap_setdirection(a: *mut c_void, b: c_uint) -> c_int = -1;
    fn pcap_setnonblock(a: *mut c_void, b: c_int, c: *mut c_char) -> c_int = complain(c, -1);
    fn pcap_sendpacket(a: *mut c_void, b: *const c_uchar, c: c_int) -> c_int = -1;
    fn pcap_geterr(a: *mut c_void) -> *mut c_char = ABSENT.as_ptr().cast_mut();
    fn pcap_compile(a: *mut c_void, b: *mut c_void, c: *const c_char, d: c_int, e: c_uint) -> c_int = -1;
    fn pcap_freecode(a: *mut c_void) = ();
    fn pcap_offline_filter(a: *const c_void, b: *const c_void, c: *const c_uchar) -> c_int = -1;
    fn pcap_datalink(a: *mut c_void) -> c_int = -1;
    fn pcap_list_datalinks(a: *mut c_void, b: *mut *mut c_int) -> c_int = -1;
    fn pcap_set_datalink(a: *mut c_void, b: c_int) -> c_int = -1;
    fn pcap_free_datalinks(a: *mut c_int) = ();
    fn pcap_datalink_name_to_val(a: *const c_char) -> c_int = -1;
    fn pcap_datalink_val_to_name(a: c_int) -> *const c_char = null();
    fn pcap_datalink_val_to_description(a: c_int) -> *const c_char = null();
    fn pcap_major_version(a: *mut c_void) -> c_int = -1;
    fn pcap_minor_version(a: *mut c_void) -> c_int = -1;
    fn pcap_fileno(a: *mut c_void) -> c_int = -1;
    fn pcap_dump_open(a: *mut c_void, b: *const c_char) -> *mut c_void = null_mut();
    fn pcap_dump_fopen(a: *mut c_void, b: *mut c_void) -> *mut c_void = null_mut();
    fn pcap_dump_flush(a: *mut c_void) -> c_int = -1;
    fn pcap_dump_close(a: *mut c_void) = ();
    fn pcap_dump(a: *mut c_uchar, b: *const c_void, c: *const c_uchar) = ();
    fn pcap_findalldevs(a: *mut *mut c_void, b: *mut c_char) -> c_int = complain(b, -1);
    fn pcap_freealldevs(a: *mut c_void) = ();
    fn pcap_get_selectable_fd(a: *mut c_void) -> c_int = -1;
    fn pcap_set_tstamp_type(a: *mut c_void, b: c_int) -> c_int = -1;
    fn pcap_fopen_offline_with_tstamp_precision(a: *mut c_void, b: c_uint, c: *mut c_char) -> *mut c_void = complain(c, null_mut());
    fn pcap_open_dead_with_tstamp_precision(a: c_int, b: c_int, c: c_uint) -> *mut c_void = null_mut();
    fn pcap_open_offline_with_tstamp_precision(a: *const c_char, b: c_uint, c: *mut c_char) -> *mut c_void = complain(c, null_mut());
    fn pcap_set_immediate_mode(a: *mut c_void, b: c_int) -> c_int = -1;
    fn pcap_set_tstamp_precision(a: *mut c_void, b: c_int) -> c_int = -1;
    fn pcap_dump_open_append(a: *mut c_void, b: *const c_char) -> *mut c_void = null_mut();
    fn pcap_set_rfmon(a: *mut c_void, b: c_int) -> c_int = -1;
}
