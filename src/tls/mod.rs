//! Passive decryption of TLS 1.2 and 1.3 with logged secrets. In: the ordered bytes and gaps of both directions, and
//! secrets. Out: what the records carry, as ordered bytes and gaps, and [`Facts`] about the connection, among them why
//! something was not decrypted. Refuses to know where secrets come from, and what the bytes mean. Every cipher is a
//! library's; here stand the records, the handshake and the key schedule around them.

mod direction;
mod facts;
mod handshake;
mod keys;
mod opener;
mod record;
mod secrets;
mod session;
mod suite;

pub use facts::{Alert, Certificate, Facts, Reason, group_name, version_name};
pub use record::{Detected, detect};
pub use secrets::{Added, Secrets, SessionSecret};
pub use session::Session;
pub use suite::suite_name;
