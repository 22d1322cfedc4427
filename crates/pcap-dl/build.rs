//! Gives the linker an empty `libpcap.a`: what the `pcap` crate asks of `-lpcap` is defined by this crate.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let directory = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    // An archive without members is its magic alone.
    std::fs::write(directory.join("libpcap.a"), b"!<arch>\n").expect("OUT_DIR can be written");
    println!("cargo:rustc-link-search=native={}", directory.display());
}
