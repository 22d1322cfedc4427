//! A simulated QKDN: a controller and KMs that speak Ck, over real sockets or over a simulated network whose
//! packets become a capture. It shares no code with the analyzer, so that each can find the other's mistakes.
//!
//! The peers ([`controller`], [`key_manager`]) turn inputs into outputs and know neither sockets nor clocks
//! ([`peer`] states the contract). [`simulation`] joins them by a [`network`] with a seeded clock; [`run`] by
//! real TCP. What the network saw becomes packets in [`tcp`] and [`link`], and a file in [`mod@file`]. [`scenario`]
//! is the table of sample captures; [`generate`] writes captures of any size.

pub mod appendix_ii;
pub mod calls;
pub mod controller;
pub mod demo;
pub mod dialect;
pub mod file;
pub mod generate;
pub mod grpc;
pub mod key_manager;
pub mod line;
pub mod link;
pub mod network;
pub mod peer;
pub mod pki;
pub mod random;
pub mod run;
pub mod scenario;
pub mod setup;
pub mod simulation;
pub mod socket;
pub mod tls;
pub mod topology;
pub mod wire;

pub use crate::capture::tcp;
