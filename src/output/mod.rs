//! What people and programs read: functions of the journal. In: a [`View`](crate::journal::View). Out: text, jsonl,
//! csv, ladders, written to any writer. Refuses to know files, terminals and clocks.

pub mod jsonl;
