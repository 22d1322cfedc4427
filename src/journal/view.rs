//! The journal together with the bytes it points to: messages in full.

use super::{Binding, Journal, Record};
use crate::capture::Block;
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::dissect::{Decoded, Message, ParameterId, Payload, value_of};
use crate::framing::{HEADER, Header};
use crate::place::Place;

/// What a view of the messages needs: the journal, and the capture's bytes.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What was seen.
    pub journal: &'a Journal,
    /// The capture's bytes, ascending by place.
    pub blocks: &'a [Block],
}

impl<'a> View<'a> {
    /// The record of message `index`.
    pub fn record(&self, index: u32) -> &'a Record {
        &self.journal.records[index as usize]
    }

    /// The definition of a message.
    pub fn definition(&self, record: &Record) -> Option<&'a Message> {
        self.journal.definitions.message(record.code).map(|(_, message)| message)
    }

    /// Its name in Table I.1, `Unknown` for an unknown code.
    pub fn name(&self, record: &Record) -> &'a str {
        self.definition(record).map_or("Unknown", |message| &message.name)
    }

    /// Payload bytes, as far as the capture has them.
    pub fn payload(&self, record: &Record) -> &'a [u8] {
        self.bytes(record.payload, record.captured as usize).unwrap_or_default()
    }

    /// Whether the payload was there and is not any more: its file was removed from a ring, or cut short.
    pub fn is_gone(&self, record: &Record) -> bool {
        record.captured > 0 && self.payload(record).is_empty()
    }

    /// The header before its payload (Q.4164 Figure I.1), where both lie in one packet.
    pub fn header(&self, record: &Record) -> Option<&'a [u8; HEADER]> {
        let place = record.payload.before(HEADER as u64).filter(|_| record.binding == Binding::Tcp)?;
        let bytes: &[u8; HEADER] = self.bytes(place, HEADER)?.try_into().ok()?;
        let header = Header::read(bytes, record.codes.contains(Code::ByteOrder));
        let is_it =
            (header.version, header.message_id, header.code) == (record.version, record.message_id, record.code.0);
        is_it.then_some(bytes)
    }

    fn bytes(&self, place: Place, length: usize) -> Option<&'a [u8]> {
        if place.arena().is_some() {
            return self.journal.arena.get(place, length);
        }
        let index = self.blocks.partition_point(|block| block.place() <= place).checked_sub(1)?;
        let block = &self.blocks[index];
        let start = (place.offset() - block.place().offset()) as usize;
        block.bytes().get(start..start + length)
    }

    /// Its payload in full, and what its table says of it; of one that is gone, that it is.
    pub fn decoded(&self, record: &Record) -> Decoded {
        if self.is_gone(record) {
            let text = "the payload is gone: its file was removed from the ring, or cut short, after it was analysed";
            let (severity, code) = (Severity::Note, Code::TruncatedMessage);
            let gone = Diagnostic { severity, code, text: text.to_owned(), parameter: None };
            return Decoded { diagnostics: vec![gone], ..Decoded::default() };
        }
        Decoded::new(&self.journal.definitions, record.code, self.as_payload(record))
    }

    /// What its payload says of one parameter, as [`Entry::shown`](crate::dissect::Entry::shown) has it.
    pub fn value_of(&self, record: &Record, parameter: ParameterId) -> Option<String> {
        value_of(&self.journal.definitions, record.code, self.as_payload(record), parameter)
    }

    fn as_payload(&self, record: &Record) -> Payload<'a> {
        let truncated = record.codes.contains(Code::TruncatedMessage);
        Payload { bytes: self.payload(record), encoding: record.encoding, truncated }
    }

    /// Everything that was found about message `index`: first what its payload shows, then the rest.
    pub fn diagnostics(&self, index: u32, decoded: &Decoded) -> Vec<Diagnostic> {
        let record = self.record(index);
        let mut all = decoded.diagnostics.clone();
        all.extend(self.journal.findings(index).map(|finding| finding.explain(self.journal, record)));
        all
    }
}
