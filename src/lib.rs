//! ckscope shows the Ck interface of a QKD network (ITU-T Q.4164) as the procedures of its clause 7.
//!
//! The module list reads as the pipeline: a byte enters at [`capture`] and leaves at [`output`]. A module
//! uses only what stands above it, and the vocabulary ([`time`], [`place`], [`diagnostic`]).

pub mod diagnostic;
pub mod place;
pub mod time;

pub mod capture;
pub mod packet;

pub mod lab;

pub mod cli;
