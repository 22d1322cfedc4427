//! Every field that a filter knows: what it is called, what it means, and where its values are. A new field is a line
//! of [`BUILTIN`]; every parameter that a definition names is a field by itself.

use super::parse::nearest;
use super::subject::{Sink, Subject, Value};
use crate::diagnostic::Code;
use crate::dissect::{Definitions, Direction, Identifier, Message, ParameterId, Role, Type, definition::normalised};
use crate::journal::{Binding, Protocol, State, TextId};
use crate::tls::{group_name, suite_name, version_name};

/// Type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`; alone, it asks whether it is true.
    Boolean,
    /// A number.
    Number,
    /// Text.
    Text,
    /// A point in time.
    Time,
    /// A length of time.
    Duration,
    /// An IP address, or a network.
    Address,
    /// Text or a number, as the peer wrote it.
    Scalar,
    /// One of a few names.
    Choice(Choices),
}

/// The names that a field of type [`Kind::Choice`] can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choices {
    /// These.
    Of(&'static [&'static str]),
    /// These, from the least to the greatest.
    Ranked(&'static [&'static str]),
    /// The messages of the definitions.
    Messages,
    /// The procedures of the definitions.
    Procedures,
}

impl Choices {
    /// The names.
    pub fn names(self, definitions: &Definitions) -> Vec<&str> {
        match self {
            Self::Of(names) | Self::Ranked(names) => names.to_vec(),
            Self::Messages => {
                let names = definitions.messages.iter().map(|message| message.name.as_str());
                names.chain(["Unknown"]).collect()
            }
            Self::Procedures => definitions.procedures.iter().map(|procedure| procedure.name.as_str()).collect(),
        }
    }
}

impl Kind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::Text => "text",
            Self::Time => "time",
            Self::Duration => "duration",
            Self::Address => "address",
            Self::Scalar => "text or number",
            Self::Choice(_) => "name",
        }
    }

    /// Whether it can be searched with `contains` and `matches`.
    pub const fn is_textual(self) -> bool {
        matches!(self, Self::Text | Self::Scalar | Self::Choice(_))
    }
}

/// What it costs to learn a field's values, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// It stands in the message's record.
    Record,
    /// It stands in what the record points to.
    Tied,
    /// In a list that has to be made.
    Listed,
    /// In the record; the payload is decoded only where the record leaves a doubt.
    Doubtful,
    /// In the payload.
    Payload,
}

/// A field, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// Whether a message may have several values.
    pub is_list: bool,
    /// What it costs.
    pub cost: Cost,
    /// What it means.
    pub about: String,
}

/// A field that is no parameter.
#[derive(Debug)]
pub(super) struct Builtin {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) cost: Cost,
    pub(super) is_list: bool,
    about: &'static str,
    pub(super) read: Read,
}

/// Gives the values of a field; whether the sink ended it.
type Read = fn(&Subject<'_>, Sink<'_>) -> bool;

const fn one(name: &'static str, kind: Kind, cost: Cost, about: &'static str, read: Read) -> Builtin {
    Builtin { name, kind, cost, is_list: false, about, read }
}

const fn many(name: &'static str, kind: Kind, cost: Cost, about: &'static str, read: Read) -> Builtin {
    Builtin { name, kind, cost, is_list: true, about, read }
}

fn number(out: Sink<'_>, value: Option<impl Into<i128>>) -> bool {
    value.is_some_and(|value| out(Value::Number(value.into())))
}

fn text(out: Sink<'_>, value: Option<&str>) -> bool {
    value.is_some_and(|value| out(Value::Text(value)))
}

fn boolean(out: Sink<'_>, value: Option<bool>) -> bool {
    value.is_some_and(|value| out(Value::Boolean(value)))
}

/// The number of what has this index.
fn from_one(index: u32) -> u64 {
    u64::from(index) + 1
}

const BINDINGS: Choices = Choices::Of(&[Binding::Tcp.name(), Binding::Grpc.name()]);
const DIRECTIONS: Choices = Choices::Of(&[Direction::KmToController.name(), Direction::ControllerToKm.name()]);
const STATES: Choices =
    Choices::Of(&[State::Complete.name(), State::Failed.name(), State::Pending.name(), State::Unanswered.name()]);
const PROTOCOLS: Choices = Choices::Of(&[
    Protocol::Ck.name(),
    Protocol::CkTls.name(),
    Protocol::Grpc.name(),
    Protocol::GrpcTls.name(),
    Protocol::Tls.name(),
    Protocol::Unknown.name(),
]);
const CODES: Choices = Choices::Of(&{
    let mut names = [""; Code::ALL.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = Code::ALL[index].name();
        index += 1;
    }
    names
});
/// In the order of [`crate::diagnostic::Severity`].
const SEVERITIES: Choices = Choices::Ranked(&["note", "warning", "error"]);

use Cost::{Doubtful, Listed, Payload, Record, Tied};
use Kind::{Address, Boolean, Choice, Duration, Number, Text, Time};

/// The fields, one a line.
#[rustfmt::skip]
pub(super) static BUILTIN: [Builtin; 72] = [
    // The message.
    one("ck.number", Number, Record, "number of the message, from 1", |s, out| number(out, s.index().map(from_one))),
    one("ck.message", Choice(Choices::Messages), Record, "name of the message (Q.4164 Table I.1)", |s, out| text(out, s.record().map(|r| s.view.name(r)))),
    one("ck.command_code", Number, Record, "command code, like 0x1401 (Q.4164 Table I.1); for gRPC the equivalent one", |s, out| number(out, s.record().map(|r| r.code.0))),
    one("ck.message_id", Number, Record, "MessageID (Q.4164 Figure I.1); none over gRPC", |s, out| number(out, header(s).map(|r| r.message_id))),
    one("ck.version", Number, Record, "version (Q.4164 Figure I.1); none over gRPC", |s, out| number(out, header(s).map(|r| r.version))),
    one("ck.length", Number, Record, "bytes of the payload", |s, out| number(out, s.record().map(|r| r.length))),
    one("ck.captured", Number, Record, "bytes of the payload that the capture holds", |s, out| number(out, s.record().map(|r| r.captured))),
    one("ck.direction", Choice(DIRECTIONS), Record, "which way the message went", |s, out| text(out, s.record().map(|r| r.direction.name()))),
    one("ck.binding", Choice(BINDINGS), Record, "how the message travelled: over TCP (Q.4164 Appendix I) or gRPC (Appendix II)", |s, out| text(out, s.record().map(|r| r.binding.name()))),
    one("ck.tls", Boolean, Record, "the message came out of TLS", |s, out| boolean(out, s.record().map(|r| r.tls))),
    one("ck.is_request", Boolean, Tied, "some message answers messages of this kind", |s, out| boolean(out, definition(s).map(|it| it.is_answered))),
    one("ck.is_response", Boolean, Tied, "messages of this kind answer another one", |s, out| boolean(out, definition(s).map(|it| !it.answers.is_empty()))),
    one("ck.answers", Number, Record, "number of the message that this one answers", |s, out| number(out, s.request().and(s.record()).map(|r| from_one(r.answers)))),
    one("ck.answered_in", Number, Tied, "number of the message that answers this one", |s, out| number(out, s.answer().map(|(index, _)| from_one(index)))),
    one("ck.response_time", Duration, Tied, "time since the message that this one answers", |s, out| s.request().zip(s.record()).is_some_and(|(request, r)| out(Value::Duration(r.time - request.time)))),
    many("ck.unknown", Text, Payload, "names in the payload that no definition names; ck.unknown.NAME is the value of one", |s, out| unknown_names(s, out)),
    // Its procedure.
    one("ck.procedure", Choice(Choices::Procedures), Tied, "name of the message's procedure (Q.4164 clause 7)", |s, out| text(out, s.procedure_definition().map(|it| it.name.as_str()))),
    one("ck.procedure.id", Number, Record, "number of the procedure, from 1", |s, out| number(out, s.procedure().map(|(index, _)| from_one(index)))),
    one("ck.procedure.clause", Text, Tied, "clause that describes the procedure, like \"7.1\"", |s, out| text(out, s.procedure_definition().map(|it| it.clause.as_str()))),
    one("ck.procedure.state", Choice(STATES), Tied, "how the procedure ended, or stands", |s, out| text(out, s.procedure().map(|(_, it)| it.state.name()))),
    one("ck.procedure.messages", Number, Tied, "how many messages the procedure has", |s, out| number(out, s.procedure().map(|(index, _)| s.view.journal.messages(index).len() as u64))),
    one("ck.procedure.start", Time, Tied, "time of the procedure's first message", |s, out| s.procedure().is_some_and(|(index, _)| out(Value::Time(s.view.record(s.view.journal.first_and_last(index).0).time)))),
    one("ck.procedure.end", Time, Tied, "time of the procedure's last message", |s, out| s.procedure().is_some_and(|(index, _)| out(Value::Time(s.view.record(s.view.journal.first_and_last(index).1).time)))),
    one("ck.procedure.duration", Duration, Tied, "time from the procedure's first message to its last", |s, out| s.procedure_duration().is_some_and(|it| out(Value::Duration(it)))),
    one("ck.duration", Duration, Tied, "the same as ck.procedure.duration", |s, out| s.procedure_duration().is_some_and(|it| out(Value::Duration(it)))),
    one("ck.procedure.session_id", Text, Tied, "session ID of the procedure, in whichever of its messages it stands", |s, out| text(out, s.procedure().and_then(|(_, it)| interned(s, it.session)))),
    one("ck.procedure.key_relay_request_id", Text, Tied, "key relay request ID of the procedure, in whichever of its messages it stands", |s, out| text(out, s.procedure().and_then(|(_, it)| interned(s, it.key_relay_request)))),
    many("ck.procedure.related", Number, Listed, "numbers of the other procedures of the same exchange", |s, out| s.procedure().is_some_and(|(index, _)| s.view.journal.related(index).into_iter().any(|other| number(out, Some(from_one(other)))))),
    // What departs from the Recommendation.
    many("ck.diagnostic", Choice(CODES), Record, "codes of the message's diagnostics", |s, out| s.record().is_some_and(|r| r.codes.iter().any(|code| text(out, Some(code.name()))))),
    many("ck.diagnostic.severity", Choice(SEVERITIES), Doubtful, "severities of the message's diagnostics", |s, out| severities(s, out)),
    many("ck.diagnostic.text", Text, Payload, "texts of the message's diagnostics", |s, out| diagnostics(s, &mut |it| text(out, Some(&it.text)))),
    many("ck.diagnostic.parameter", Text, Payload, "parameters that the message's diagnostics are about", |s, out| diagnostics(s, &mut |it| text(out, it.parameter.as_deref()))),
    // Its connection.
    one("ck.connection", Number, Record, "number of the TCP connection, from 1", |s, out| number(out, Some(from_one(s.connection_index())))),
    one("ck.protocol", Choice(PROTOCOLS), Tied, "what the connection carries", |s, out| text(out, Some(s.connection().traffic.protocol.name()))),
    one("ck.connection.messages", Number, Tied, "messages of the connection", |s, out| number(out, Some(s.connection().messages))),
    one("ck.connection.packets", Number, Tied, "packets of the connection", |s, out| number(out, Some(s.connection().packets))),
    one("ck.connection.gaps", Number, Tied, "missing ranges in the connection's streams", |s, out| number(out, Some(s.connection().traffic.gaps))),
    one("ck.connection.retransmitted", Number, Tied, "segments of the connection that brought nothing new", |s, out| number(out, Some(s.connection().traffic.retransmitted))),
    one("ck.connection.out_of_order", Number, Tied, "segments of the connection that came late", |s, out| number(out, Some(s.connection().traffic.out_of_order))),
    one("ck.connection.undecoded", Number, Tied, "bytes of the connection that belong to no message", |s, out| number(out, Some(s.connection().traffic.undecoded.iter().sum::<u64>()))),
    one("ck.connection.closed", Choice(Choices::Of(&["fin", "rst"])), Tied, "how the connection was closed; none if it was not", |s, out| text(out, s.connection().closed.map(|it| it.name()))),
    one("ck.connection.start", Time, Tied, "time of the connection's first packet", |s, out| out(Value::Time(s.connection().start))),
    one("ck.connection.duration", Duration, Tied, "time from the connection's first packet to its last", |s, out| out(Value::Duration(s.connection().end - s.connection().start))),
    one("ck.km.addr", Address, Tied, "address of the KM", |s, out| roles(s).is_some_and(|[km, _]| out(Value::Address(km.ip())))),
    one("ck.km.name", Text, Listed, "what the KM is called: its KMA ID, else its KM ID, else its address and port", |s, out| text(out, Some(&s.km_name()))),
    one("ck.controller.addr", Address, Tied, "address of the QKDN controller", |s, out| roles(s).is_some_and(|[_, controller]| out(Value::Address(controller.ip())))),
    // Its TLS.
    one("tls.version", Text, Tied, "version of the connection's TLS, like \"TLS 1.3\"", |s, out| text(out, s.tls().and_then(|it| it.version).map(version_name).as_deref())),
    one("tls.suite", Text, Tied, "cipher suite of the connection's TLS, like \"TLS_AES_128_GCM_SHA256\"", |s, out| text(out, s.tls().and_then(|it| it.suite).map(suite_text).as_deref())),
    one("tls.group", Text, Tied, "key exchange group of the connection's TLS, like \"x25519\"", |s, out| text(out, s.tls().and_then(|it| it.group).map(group_name).as_deref())),
    one("tls.sni", Text, Tied, "server name that the TLS client asked for", |s, out| text(out, s.tls().and_then(|it| it.sni.as_deref()))),
    one("tls.alpn", Text, Tied, "application protocol agreed on in TLS, like \"h2\"", |s, out| text(out, s.tls().and_then(|it| it.alpn.as_deref()))),
    one("tls.resumed", Boolean, Tied, "the TLS session resumes an earlier one", |s, out| boolean(out, s.tls().and_then(|it| it.resumed))),
    one("tls.decrypted", Boolean, Tied, "records of the connection's TLS were decrypted", |s, out| boolean(out, s.tls().map(|it| it.decrypted))),
    one("tls.reason", Text, Tied, "why the connection's TLS was not decrypted, or not all of it", |s, out| text(out, s.tls().and_then(|it| it.reason).map(|it| it.to_string()).as_deref())),
    many("tls.alert", Text, Listed, "alerts on the connection, like \"handshake_failure\" (RFC 8446 6)", |s, out| s.tls().is_some_and(|it| it.alerts.iter().any(|alert| text(out, Some(alert.name()))))),
    many("tls.km_name", Text, Listed, "names in the KM's certificate: subject and alternative names", |s, out| certificate_names(s, true, out)),
    many("tls.controller_name", Text, Listed, "names in the controller's certificate: subject and alternative names", |s, out| certificate_names(s, false, out)),
    one("http2.streamid", Number, Record, "HTTP/2 stream of a message over gRPC (RFC 9113 5.1.1)", |s, out| number(out, s.record().filter(|r| r.binding == Binding::Grpc).map(|r| r.message_id))),
    // Wireshark's own, of the packet that completed the message. A connection without messages has none of a packet.
    one("frame.number", Number, Record, "number of the packet that completed the message, from 1", |s, out| number(out, s.record().map(|r| r.packet))),
    one("frame.time", Time, Record, "time of that packet: RFC 3339, \"2026-11-22 10:00:00.5\" or \"Nov 22, 2026 10:00:00.5\" in the local time zone, or seconds since 1970", |s, out| s.record().is_some_and(|r| out(Value::Time(r.time)))),
    one("frame.time_epoch", Time, Record, "the same as frame.time", |s, out| s.record().is_some_and(|r| out(Value::Time(r.time)))),
    one("frame.time_relative", Duration, Record, "time of that packet since the first packet", |s, out| s.record().is_some_and(|r| out(Value::Duration(r.time - s.view.journal.start)))),
    many("ip.addr", Address, Tied, "both addresses, IPv4 and IPv6", |s, out| s.ends().iter().any(|end| out(Value::Address(end.ip())))),
    one("ip.src", Address, Tied, "address of the sender, IPv4 or IPv6; of a connection, who dialled", |s, out| out(Value::Address(s.ends()[0].ip()))),
    one("ip.dst", Address, Tied, "address of the receiver, IPv4 or IPv6", |s, out| out(Value::Address(s.ends()[1].ip()))),
    many("ipv6.addr", Address, Tied, "both addresses, if IPv6", |s, out| s.ends().iter().any(|end| end.v6 && out(Value::Address(end.ip())))),
    one("ipv6.src", Address, Tied, "address of the sender, if IPv6", |s, out| s.ends()[0].v6 && out(Value::Address(s.ends()[0].ip()))),
    one("ipv6.dst", Address, Tied, "address of the receiver, if IPv6", |s, out| s.ends()[1].v6 && out(Value::Address(s.ends()[1].ip()))),
    many("tcp.port", Number, Tied, "both ports", |s, out| s.ends().iter().any(|end| number(out, Some(end.port)))),
    one("tcp.srcport", Number, Tied, "port of the sender; of a connection, who dialled", |s, out| number(out, Some(s.ends()[0].port))),
    one("tcp.dstport", Number, Tied, "port of the receiver", |s, out| number(out, Some(s.ends()[1].port))),
    one("tcp.stream", Number, Record, "number of the TCP connection, from 0 as Wireshark counts (ck.connection counts from 1)", |s, out| number(out, Some(s.connection_index()))),
];

fn suite_text(code: u16) -> String {
    suite_name(code).map_or_else(|| format!("{code:#06x}"), str::to_owned)
}

/// `C=JP, O=Lab, CN=KM-1`, and `km-1.lab` of `DNS:km-1.lab`.
fn certificate_names(subject: &Subject<'_>, of_km: bool, out: Sink<'_>) -> bool {
    let Some(certificate) = subject.certificate(of_km) else { return false };
    let mut name = |name: &str| text(out, Some(name));
    name(&certificate.subject)
        || certificate.sans.iter().any(|san| name(san.split_once(':').map_or(san.as_str(), |(_, name)| name)))
}

/// The record of a message with a header of its own.
fn header<'a>(subject: &Subject<'a>) -> Option<&'a crate::journal::Record> {
    subject.record().filter(|record| record.binding == Binding::Tcp)
}

fn definition<'a>(subject: &Subject<'a>) -> Option<&'a Message> {
    subject.record().and_then(|record| subject.view.definition(record))
}

fn interned<'a>(subject: &Subject<'a>, id: TextId) -> Option<&'a str> {
    subject.view.journal.texts.get(id)
}

/// The ends of KM and controller, once a message said which is which.
fn roles(subject: &Subject<'_>) -> Option<[crate::packet::Endpoint; 2]> {
    let connection = subject.connection();
    connection.km.map(|km| [connection.end(km), connection.end(km.other())])
}

fn unknown_names(subject: &Subject<'_>, out: Sink<'_>) -> bool {
    let Some(decoded) = subject.decoded() else { return false };
    decoded.entries.iter().any(|entry| entry.parameter.is_none() && out(Value::Text(&entry.name)))
}

/// The worst severity stands in the record; the others have to be looked for.
fn severities(subject: &Subject<'_>, out: Sink<'_>) -> bool {
    let Some(worst) = subject.record().and_then(|record| record.worst) else { return false };
    let mut name = |severity: crate::diagnostic::Severity| text(out, Some(SEVERITY_NAMES[severity as usize]));
    name(worst) || diagnostics(subject, &mut |it| it.severity != worst && name(it.severity))
}

const SEVERITY_NAMES: &[&str] = match SEVERITIES {
    Choices::Ranked(names) => names,
    _ => &[],
};

fn diagnostics(subject: &Subject<'_>, found: &mut dyn FnMut(&crate::diagnostic::Diagnostic) -> bool) -> bool {
    let (Some(index), Some(record)) = (subject.index(), subject.record()) else { return false };
    if record.worst.is_none() {
        return false;
    }
    subject.decoded().is_some_and(|decoded| subject.view.diagnostics(index, decoded).iter().any(found))
}

/// A parameter, as a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    id: ParameterId,
    /// Where the record has it.
    identifier: Option<Identifier>,
    /// Whether its value is a list.
    pub(super) is_list: bool,
}

/// What a record says of a parameter.
enum Known<'a> {
    /// The message does not have it.
    Absent,
    /// It has it, with this value.
    Value(&'a str),
    /// It has it, with a value that only the payload says.
    Present,
    /// Only the payload can tell.
    Unclear,
}

impl Parameter {
    fn new(definitions: &Definitions, id: ParameterId) -> Self {
        let role = definitions.parameter(id).role;
        let is_only = definitions.parameters.iter().filter(|other| other.role == role).count() == 1;
        let identifier = match role {
            Some(Role::Identifier(identifier)) if is_only => Some(identifier),
            _ => None,
        };
        let in_tables = types(definitions, id).any(|kind| matches!(kind, Type::ArrayOfString | Type::ArrayOfObjects));
        Self { id, identifier, is_list: in_tables || matches!(role, Some(Role::Keys | Role::NextHops)) }
    }

    pub(super) fn cost(self) -> Cost {
        if self.identifier.is_some() { Cost::Doubtful } else { Cost::Payload }
    }

    fn known<'a>(self, subject: &Subject<'a>) -> Known<'a> {
        let Some(record) = subject.record() else { return Known::Absent };
        // A name that stands twice, of which the last one counts, or a null: the record does not tell.
        if record.codes.contains(Code::MalformedJson) || record.codes.contains(Code::WrongType) {
            return Known::Unclear;
        }
        if let Some(value) = self.identifier.and_then(|identifier| interned(subject, record.identifier(identifier))) {
            return Known::Value(value);
        }
        let Some(message) = subject.view.definition(record) else { return Known::Unclear };
        match message.row(self.id) {
            Some((row, _)) if record.present & (1 << row) != 0 => Known::Present,
            None if record.codes.contains(Code::UnknownParameter) => Known::Unclear,
            _ => Known::Absent,
        }
    }

    /// Whether the message has it, with another value than null.
    pub(super) fn exists(self, subject: &Subject<'_>) -> bool {
        match self.known(subject) {
            Known::Absent => false,
            Known::Value(_) | Known::Present => true,
            Known::Unclear => self.entry(subject).is_some(),
        }
    }

    pub(super) fn read(self, subject: &Subject<'_>, out: Sink<'_>) -> bool {
        match self.known(subject) {
            Known::Absent => false,
            Known::Value(value) => out(Value::Text(value)),
            Known::Present | Known::Unclear => self.entry(subject).is_some_and(|entry| {
                if self.is_list {
                    entry.identifiers().iter().any(|identifier| out(Value::Text(identifier)))
                } else if self.identifier.is_some() {
                    out(Value::Text(entry.shown.trim()))
                } else {
                    out(Value::Text(&entry.shown))
                }
            }),
        }
    }

    fn entry<'s>(self, subject: &'s Subject<'_>) -> Option<&'s crate::dissect::Entry> {
        subject.decoded()?.get(self.id).filter(|entry| entry.value != "null")
    }
}

/// The types that tables give a parameter.
fn types(definitions: &Definitions, id: ParameterId) -> impl Iterator<Item = Type> + '_ {
    let rows = definitions.messages.iter().flat_map(|message| &message.rows).filter(move |row| row.parameter == id);
    rows.flat_map(|row| [row.kind].into_iter().chain(row.also.iter().copied()))
}

/// A name that no definition names, in a payload: normalised.
pub(super) fn read_unknown(subject: &Subject<'_>, name: &str, out: Sink<'_>) -> bool {
    let Some(decoded) = subject.decoded() else { return false };
    let mut unknown = decoded.entries.iter().rev().filter(|entry| entry.parameter.is_none() && entry.value != "null");
    unknown.find(|entry| normalised(&entry.name) == name).is_some_and(|entry| out(Value::Text(&entry.shown)))
}

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Named {
    Builtin(&'static Builtin),
    Parameter(Parameter),
    /// Normalised.
    Unknown(String),
}

/// Before the names of parameters that another field has taken.
const PARAMETER: &str = "ck.parameter.";
const UNKNOWN: &str = "ck.unknown.";

/// The field called `name`.
pub(super) fn named(definitions: &Definitions, name: &str) -> Option<Named> {
    if let Some(builtin) = BUILTIN.iter().find(|field| field.name == name) {
        return Some(Named::Builtin(builtin));
    }
    if let Some(unknown) = name.strip_prefix(UNKNOWN).filter(|unknown| !unknown.is_empty()) {
        return Some(Named::Unknown(normalised(unknown)));
    }
    let parameter = name.strip_prefix(PARAMETER).or_else(|| name.strip_prefix("ck."))?;
    let position = definitions.parameters.iter().position(|other| other.name == parameter)?;
    Some(Named::Parameter(Parameter::new(definitions, ParameterId(position as u16))))
}

/// Every field: the built-in ones, then the parameters.
pub fn fields(definitions: &Definitions) -> Vec<Field> {
    let builtin = BUILTIN.iter().map(|field| Field {
        name: field.name.to_owned(),
        kind: field.kind,
        is_list: field.is_list,
        cost: field.cost,
        about: field.about.to_owned(),
    });
    let parameters = definitions.parameters.iter().enumerate().map(|(index, parameter)| {
        let id = ParameterId(index as u16);
        let short = format!("ck.{}", parameter.name);
        let is_taken = BUILTIN.iter().any(|field| field.name == short);
        let field = Parameter::new(definitions, id);
        Field {
            name: if is_taken { format!("{PARAMETER}{}", parameter.name) } else { short },
            kind: Kind::Scalar,
            is_list: field.is_list,
            cost: field.cost(),
            about: about_parameter(definitions, id),
        }
    });
    builtin.chain(parameters).collect()
}

/// `Session ID (Table 6, Table 8)`.
fn about_parameter(definitions: &Definitions, id: ParameterId) -> String {
    let messages = definitions.messages.iter().filter(|message| message.row(id).is_some());
    let tables: Vec<&str> = messages.map(|message| message.table.as_str()).collect();
    let title = &definitions.parameter(id).title;
    if tables.is_empty() { title.clone() } else { format!("parameter {title} ({})", tables.join(", ")) }
}

/// The field whose name is most like `word`; `session_id` is like `ck.session_id`.
pub(super) fn nearest_field(definitions: &Definitions, word: &str) -> Option<String> {
    let all = fields(definitions);
    let short = format!("ck.{}", word.to_ascii_lowercase());
    if all.iter().any(|field| field.name == short) {
        return Some(short);
    }
    let names = || all.iter().map(|field| field.name.as_str());
    nearest(word, names()).or_else(|| nearest(&short, names())).map(str::to_owned)
}

/// Whether `word` is written like a field, known or not.
pub(super) fn is_like_a_field(word: &str) -> bool {
    word.split_once('.')
        .is_some_and(|(first, _)| BUILTIN.iter().any(|field| field.name.split('.').next() == Some(first)))
}
