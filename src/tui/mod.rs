//! The terminal interface. In: a [`Feed`], which shows a journal that may still grow. Out: a screen. Refuses to know
//! captures, TLS and sockets.
//!
//! [`State`] is everything that the screen depends on; [`State::key`] and its like change it and answer with what
//! has to be done outside ([`Effect`]); [`draw`](draw::draw) makes the screen from it. None of them reads a clock, a
//! file or the terminal: [`terminal::run`] alone does.

pub mod feed;
pub mod key;
pub mod keymap;
pub mod list;
pub mod tab;
pub mod theme;
