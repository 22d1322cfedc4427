//! What people and programs read: functions of the journal. In: a [`View`](crate::journal::View). Out: text, jsonl,
//! csv, ladders, packets, written to any writer. Refuses to know files, terminals and clocks.

pub mod clock;
pub mod connections;
pub mod detail;
pub mod dissectors;
pub mod fields;
pub mod flows;
pub mod hex;
pub mod html;
pub mod info;
pub mod jsonl;
pub mod ladder;
mod lines;
pub mod packets;
pub mod read;
pub mod stats;
pub mod style;
pub mod summary;
mod tls;
pub mod vocabulary;

pub use crate::escape;
