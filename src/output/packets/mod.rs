//! A part of a capture as pcapng. In: the captures, the journal made of them, and which messages are wanted. Out: the
//! packets that carry them, or the plaintext of TLS connections in packets of its own. Refuses to know the command line.
//!
//! A message of Ck over TCP is carried by the packets from the first to the last that brought any of it. What lies in
//! those packets besides comes whole, so that no message is cut. TLS and HTTP/2 can be read only from their beginning,
//! so a connection that uses them comes whole up to its last wanted message; and where the framing needed more than the
//! message itself to find it, it comes whole.

mod choice;
mod plaintext;
mod write;

pub use choice::Choice;
pub use plaintext::Plaintext;
pub use write::{Comments, Extract, Written};
