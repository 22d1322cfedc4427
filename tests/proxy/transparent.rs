//! transparent
