//! The terminal interface: keys go in through the public update function, the screen comes out of a test backend.

mod keys;
mod lists;
mod saving;
mod screen;
mod views;
