//! Loads libpcap when it is first needed. In: calls of libpcap's functions, as the `pcap` crate makes them. Out: the
//! same calls to the library of this machine, or, where there is none, what the function answers when it fails. Refuses
//! to know what the calls mean.
//!
//! So a program that captures builds without libpcap, and starts without it; who wants to tell the user asks
//! [`available`] first. On other systems than Linux this crate is empty and libpcap is linked as usual.
//!
//! A program uses it by `use pcap_dl as _;`, so that the linker sees it.

#[cfg(target_os = "linux")]
mod linux;

/// Whether libpcap can be called; if not, why.
///
/// # Errors
/// What the dynamic loader said.
pub fn available() -> Result<(), String> {
    #[cfg(target_os = "linux")]
    return linux::available();
    #[cfg(not(target_os = "linux"))]
    Ok(())
}
