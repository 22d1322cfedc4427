//! Who said what to whom: an exchange of procedures as a sequence diagram. In: a [`View`](crate::journal::View) and the
//! procedures to draw. Out: a [`Ladder`], lanes and rows that know nothing of how they are drawn; text and Mermaid are
//! drawn from it.

pub mod mermaid;
mod rows;
pub mod svg;
pub mod text;

pub use crate::identities::{Identities, Kms, Lane, Learned, km_of};
pub use rows::{Event, Ladder, Row, exchanges};
