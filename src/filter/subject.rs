//! What a filter is asked about: a message, or a connection that has none; and the values of its fields.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;

use super::literal::Number;
use super::names::Names;
use crate::dissect::Decoded;
use crate::journal::{Connection, NONE, Procedure, Record, Side, View};
use crate::time::{Span, Timestamp};
use crate::tls::{Certificate, Facts};

/// A value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Boolean(bool),
    Number(i128),
    Text(&'a str),
    Time(Timestamp),
    Duration(Span),
    Address(IpAddr),
}

impl Value<'_> {
    /// As a number, if it is one or is written like one.
    pub(super) fn number(self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(Number::Integer(number)),
            Self::Text(text) => Number::parse(text.trim()),
            _ => None,
        }
    }

    /// As text.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Boolean(it) => Cow::Owned(it.to_string()),
            Self::Number(it) => Cow::Owned(it.to_string()),
            Self::Time(it) => Cow::Owned(it.to_string()),
            Self::Duration(it) => Cow::Owned((it.0 as f64 / 1e9).to_string()),
            Self::Address(it) => Cow::Owned(it.to_string()),
        }
    }
}

/// Takes the values of a field one by one; true ends it.
pub(super) type Sink<'s> = &'s mut dyn FnMut(Value<'_>) -> bool;

/// What is asked about.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) view: View<'a>,
    message: Option<u32>,
    connection: u32,
    names: &'a Names,
    decoded: OnceCell<Decoded>,
}

impl<'a> Subject<'a> {
    /// A message.
    pub(super) fn message(view: View<'a>, message: u32, names: &'a Names) -> Self {
        let connection = view.record(message).connection;
        Self { view, message: Some(message), connection, names, decoded: OnceCell::new() }
    }

    /// A connection without its messages.
    pub(super) fn bare_connection(view: View<'a>, connection: u32, names: &'a Names) -> Self {
        Self { view, message: None, connection, names, decoded: OnceCell::new() }
    }

    /// Index of the message.
    pub(super) fn index(&self) -> Option<u32> {
        self.message
    }

    pub(super) fn record(&self) -> Option<&'a Record> {
        self.message.map(|message| self.view.record(message))
    }

    pub(super) fn connection_index(&self) -> u32 {
        self.connection
    }

    pub(super) fn connection(&self) -> &'a Connection {
        &self.view.journal.connections[self.connection as usize]
    }

    /// What the KM of the connection is called.
    pub(super) fn km_name(&self) -> String {
        super::names::km(self.view, self.connection, &self.names.of(self.view))
    }

    /// What is known of the connection's TLS.
    pub(super) fn tls(&self) -> Option<&'a Facts> {
        self.view.journal.tls.get(&self.connection)
    }

    /// The certificate with which KM (or controller) shows who it is.
    pub(super) fn certificate(&self, of_km: bool) -> Option<&'a Certificate> {
        let km = self.connection().km?;
        let side = if of_km { km } else { km.other() };
        self.tls()?.certificates[side as usize].first()
    }

    /// The procedure that the message belongs to, with its index.
    pub(super) fn procedure(&self) -> Option<(u32, &'a Procedure)> {
        let index = self.record()?.procedure;
        self.view.journal.procedures.get(index as usize).map(|procedure| (index, procedure))
    }

    pub(super) fn procedure_definition(&self) -> Option<&'a crate::dissect::Procedure> {
        let (_, procedure) = self.procedure()?;
        Some(&self.view.journal.definitions.procedures[procedure.definition as usize])
    }

    /// Time between first and last message of the procedure.
    pub(super) fn procedure_duration(&self) -> Option<Span> {
        let (index, _) = self.procedure()?;
        let (first, last) = self.view.journal.first_and_last(index);
        Some(self.view.record(last).time - self.view.record(first).time)
    }

    /// The request that the message answers.
    pub(super) fn request(&self) -> Option<&'a Record> {
        self.view.journal.records.get(self.record()?.answers as usize)
    }

    /// The answer to the message, with its index: it stands in the same procedure.
    pub(super) fn answer(&self) -> Option<(u32, &'a Record)> {
        let (procedure, _) = self.procedure()?;
        let mut messages = self.view.journal.messages(procedure).iter().map(|&index| (index, self.view.record(index)));
        messages.find(|(_, record)| record.answers != NONE && Some(record.answers) == self.message)
    }

    /// The ends of the connection: who sent the message, who received it.
    pub(super) fn ends(&self) -> [crate::packet::Endpoint; 2] {
        let connection = self.connection();
        let side = self.record().map_or(Side::Initiator, |record| record.side);
        [connection.end(side), connection.end(side.other())]
    }

    /// The payload in full, decoded once.
    pub(super) fn decoded(&self) -> Option<&Decoded> {
        let record = self.record()?;
        Some(self.decoded.get_or_init(|| self.view.decoded(record)))
    }
}
