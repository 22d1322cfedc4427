//! Bytes → PDUs. In: the ordered bytes and gaps of one direction. Out: PDUs, each with what it took to find it.
//! Detects Ck on any port, and finds back into step after a gap. Refuses to know what a payload means: of the
//! definitions it is told only which command codes exist.

mod ck;
mod grade;
mod header;
pub mod http2;
mod json;
mod pdu;
mod run;

pub use ck::Framer;
pub use header::{CommandCodes, HEADER, Header, MAX_LENGTH};
pub use pdu::{Pdu, Truncation};
