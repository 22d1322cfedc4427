//! ckscope shows the Ck interface of a QKD network (ITU-T Q.4164) as the procedures of its clause 7.
//!
//! The module list reads as the pipeline: a byte enters at [`capture`] and leaves at [`output`]. A module
//! uses only what stands above it.

// The vocabulary.
pub mod diagnostic;
pub mod escape;
pub mod place;
pub mod prefetch;
pub mod probing;
pub mod time;
pub mod x509;

// The stages, in their order.
pub mod capture;

pub mod packet;

pub mod stream;

pub mod tls;

pub mod framing;

pub mod dissect;

pub mod journal;

pub mod correlate;

pub mod analyzer;

pub mod identities;

pub mod filter;

pub mod stats;

pub mod output;

pub mod tui;

// A peer of its own, which uses none of the stages.
pub mod lab;

pub mod cli;

#[doc(hidden)]
pub mod fuzz;
