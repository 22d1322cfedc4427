//! The proxy, through its public face and the binary, between real peers.

#[path = "../support/mod.rs"]
mod support;

mod binary;
mod faults;
mod harness;
mod pki;
mod recording;
mod relay;
mod stacks;
mod tls;
mod transparent;
