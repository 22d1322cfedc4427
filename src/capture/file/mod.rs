//! Capture files. In: pcap and pcapng, plain, gzip or zstd, from files and standard input. Out: their packets as
//! one timeline, and a [`FileSummary`] of each. Refuses to know what lies in the packets.
//!
//! A regular file is mapped. Compressed input, and what cannot be mapped (standard input, pipes), is written to
//! an unlinked temporary file (`TMPDIR` says where) which is then mapped, so memory stays bounded and every
//! byte can be looked at again later through its [`Place`](crate::place::Place).
//!
//! Standard input and pipes are read to their end before their first packet comes out.
//!
//! A file is read as long as it was when it was opened: what is appended later is not seen. A mapped file that
//! is *truncated* while it is read kills the process (SIGBUS), so a file that is still being written is not for
//! [`Reader`]; a ring-buffer file or a spool is read by a [`Tail`].
//!
//! Damage ends the reading of that file, never of the others: everything before it is read, and
//! [`FileSummary::damage`] names packet, offset, what was found and what was expected. No length found in a file
//! is ever allocated; a record is a range of the mapped bytes or it is damage.

mod compressed;
mod fault;
mod map;
mod options;
mod pcap;
mod pcapng;
mod replay;
mod source;
mod summary;
mod tail;
mod timeline;
mod walker;

pub use replay::Replay;
pub use source::{OpenError, OpenProblem};
pub use summary::{Compression, Damage, FileSummary, FileType, Interface, Secrets};
pub use tail::{News, Tail};
pub use timeline::Reader;
