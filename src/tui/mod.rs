//! The terminal interface. In: a [`Feed`], which shows a journal that may still grow. Out: a screen. Refuses to know
//! captures, TLS and sockets.
//!
//! [`State`] is everything that the screen depends on; [`State::event`] and [`State::run`] change it and answer with
//! what has to be done outside ([`Effect`]); [`draw`](draw::draw) makes the screen from it. None of them reads a clock, a
//! file or the terminal: [`terminal::run`] alone does.

mod arrange;
mod bars;
mod bytes;
pub mod config;
pub mod connections;
pub mod draw;
pub mod feed;
pub mod fields;
pub mod filter;
pub mod findings;
pub mod flow;
mod follow;
pub mod key;
pub mod keymap;
pub mod layout;
pub mod line;
pub mod list;
pub mod marks;
pub mod memory;
pub mod messages;
mod mouse;
pub mod names;
pub mod notes;
mod order;
pub mod overlay;
pub mod procedures;
pub mod save;
mod saver;
pub mod scan;
pub mod scout;
pub mod search;
mod source;
pub mod state;
pub mod statistics;
pub mod tab;
pub mod table;
pub mod terminal;
pub mod text;
pub mod theme;
pub mod times;
pub mod typing;
mod update;

pub use feed::{Feed, Phase, SourcePanel, SourceTable, Status, Still};
pub use state::{Effect, Setup, State};
