//! Passive TLS decryption, through the public face and the binary.

#[path = "../support/mod.rs"]
mod support;

mod captures;
mod commands;
mod damage;
mod hostile;
mod peers;
