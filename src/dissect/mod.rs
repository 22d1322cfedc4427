//! PDU → named message with checked parameters. In: a payload and the command code it came with. Out: which
//! parameters it holds, the identifiers that tie it to others, and what departs from its table. Knows the definition
//! files; refuses to know how the payload travelled and which messages belong together.

mod decode;
pub mod definition;
mod form;
mod index;
pub mod load;
mod payload;
mod scan;
mod schema;
mod shape;
mod status;
pub mod tree;
mod value;
mod wire;

pub use decode::{Decoded, Entry, value_of};
pub use index::{Facts, Indexer, Slice, TextHasher, Texts};
pub use payload::{Encoding, Outcome, Payload, Summary};
pub use schema::{Method, SchemaId, Schemas};
pub use status::grpc_status_name;

pub use definition::{
    CommandCode, Definitions, Direction, IDENTIFIERS, Identifier, Message, Parameter, ParameterId, Presence, Procedure,
    Role, Row, Type,
};
pub use load::DefinitionError;
