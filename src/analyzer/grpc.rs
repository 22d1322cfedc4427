//! From gRPC messages and ends of calls to messages.

use super::sink::{Origin, Sink};
use crate::correlate::{FramingFacts, Seen};
use crate::dissect::{Encoding, Method, Payload, SchemaId, grpc_status_name};
use crate::framing::http2::{CallEnd, Event, GrpcMessage, error_name};
use crate::framing::{Header, Truncation};
use crate::journal::{Binding, Trouble};

/// The status of a call that succeeded (gRPC, "Status codes and their use in gRPC").
const OK: u32 = 0;

/// Bytes of the frame that the shortest end of a call takes: a header and two indexes.
const HEADER_FIELD: usize = 11;

/// What a message was found to be.
enum Named {
    Message(SchemaId),
    /// Its method is known, and it is none of ours: an empty reply.
    NotOurs,
    /// Why it is not known.
    Unknown(&'static str, String),
}

impl Sink<'_> {
    /// Takes what HTTP/2 told.
    pub fn event(&mut self, event: &Event<'_>, origin: &mut Origin<'_>) {
        match event {
            Event::Message(message) => self.grpc_message(message, origin),
            Event::Ended(end) => self.call_ended(end, origin),
            Event::Problem(problem) => {
                self.trouble(problem.kind.name(), problem.kind.to_string(), problem.stamp.packet);
            }
            Event::Headers(_) => {}
        }
    }

    fn trouble(&mut self, kind: &'static str, text: String, packet: u32) {
        self.output.troubles.push((self.connection, Trouble { kind, text, packet, count: 1 }));
    }

    fn method(&self, path: Option<&str>) -> Option<Method> {
        self.indexer.definitions().schemas().method(path?)
    }

    fn name(&self, message: &GrpcMessage<'_>) -> Named {
        // What may be another call's path says nothing.
        let path = message.path.filter(|_| !message.path_uncertain);
        let (method, length) = (self.method(path), message.bytes.len());
        match (path, method, message.is_request) {
            (_, Some(method), Some(is_request)) => {
                let schema = if is_request { method.input } else { method.output };
                schema.map_or(Named::NotOurs, Named::Message)
            }
            (Some(path), None, _) => {
                Named::Unknown("unknown-method", format!("no schema has the method {path}; --proto FILE adds one"))
            }
            _ => match self.indexer.definitions().schemas().guess(message.bytes) {
                Some(schema) => Named::Message(schema),
                None => Named::Unknown(
                    "unnamed-message",
                    format!("a gRPC message of {length} bytes cannot be named: its path is not in the capture"),
                ),
            },
        }
    }

    fn grpc_message(&mut self, message: &GrpcMessage<'_>, origin: &mut Origin<'_>) {
        let schema = match self.name(message) {
            Named::Message(schema) => schema,
            Named::NotOurs => return,
            Named::Unknown(kind, text) => return self.trouble(kind, text, message.stamp.packet),
        };
        let is_first = !std::mem::replace(origin.has_messages, true);
        let code = self.indexer.definitions().schemas().code(schema);
        let encoding = Encoding::Protobuf(schema);
        let bytes = self.affordable(message);
        let truncated = message.truncated.or((bytes.len() < message.bytes.len()).then_some(Truncation::Undecoded));
        let payload = Payload { bytes, encoding, truncated: truncated.is_some() };
        let facts = self.indexer.index(code, payload, &mut self.output.texts);
        let place = self.keep(message.place, bytes);
        // What a compressed message that is cut would have had is not known.
        let is_cut = message.truncated.is_some() && !message.compressed;
        let whole = if is_cut { message.wire_length } else { message.bytes.len() as u32 };
        let seen = Seen {
            connection: self.connection,
            side: origin.side,
            stamp: message.stamp,
            begun: message.stamp.packet,
            encoding,
            binding: Binding::Grpc,
            tls: origin.tls,
            header: Header { code: code.0, message_id: message.stream, ..Header::default() },
            payload: place,
            length: (whole, bytes.len() as u32),
            facts,
            framing: FramingFacts {
                truncated,
                skipped: message.skipped,
                joined: is_first && !origin.from_the_start && message.gap == 0,
                gap: message.gap,
                incomplete_stream: origin.midway,
                ..FramingFacts::default()
            },
        };
        self.seen(seen, message.placed);
    }

    /// What of a message is kept: all of it, unless compression would make too much of too little.
    fn affordable<'m>(&mut self, message: &GrpcMessage<'m>) -> &'m [u8] {
        if !message.compressed {
            return message.bytes;
        }
        let granted = self.allowance.take(message.bytes.len(), message.wire_length as usize);
        if granted < message.bytes.len() {
            let text = "compressed gRPC messages become more than we keep; their ends are not decoded";
            self.trouble("expansion", text.to_owned(), message.stamp.packet);
        }
        &message.bytes[..granted]
    }

    /// What of a text in a header is kept: header compression makes much of little, too.
    fn affordable_text<'t>(&mut self, text: &'t str) -> &'t str {
        let granted = self.allowance.take(text.len(), HEADER_FIELD);
        let end = (0..=granted).rev().find(|&end| text.is_char_boundary(end));
        &text[..end.unwrap_or(0)]
    }

    /// A call that failed with a request unanswered is a failure response itself.
    fn call_ended(&mut self, end: &CallEnd<'_>, origin: &mut Origin<'_>) {
        let Some(failure) = failure(end) else { return };
        // Other traffic of HTTP is none of ours.
        if self.method(end.path).is_none() && end.messages == [0, 0] {
            return;
        }
        let path = end.path.unwrap_or("whose path is not in the capture");
        let words = format!("call {path} failed: {failure}");
        let [asked, answered] = [end.side.other(), end.side].map(|side| end.messages[side as usize]);
        let is_open = answered == 0 || answered < asked;
        let answer = end.client.filter(|client| *client != end.side && is_open);
        let status = end.grpc_status.filter(|&status| status != OK);
        let response = self.method(end.path).and_then(|method| method.output);
        let (Some(_), Some(status), Some(response)) = (answer, status, response) else {
            self.call_failed(end.stream, status, end.stamp);
            return self.trouble("failed-call", words, end.stamp.packet);
        };
        *origin.has_messages = true;
        let code = self.indexer.definitions().schemas().code(response);
        let message = serde_json::Value::from(self.affordable_text(end.grpc_message.unwrap_or_default()));
        let text = format!("{{\"grpc-status\":{status},\"grpc-message\":{message}}}");
        let payload = Payload { bytes: text.as_bytes(), encoding: Encoding::GrpcStatus, truncated: false };
        let facts = self.indexer.index(code, payload, &mut self.output.texts);
        let place = self.keep(None, text.as_bytes());
        let seen = Seen {
            connection: self.connection,
            side: origin.side,
            stamp: end.stamp,
            begun: end.stamp.packet,
            encoding: Encoding::GrpcStatus,
            binding: Binding::Grpc,
            tls: origin.tls,
            header: Header { code: code.0, message_id: end.stream, ..Header::default() },
            payload: place,
            length: (0, text.len() as u32),
            facts,
            framing: FramingFacts { incomplete_stream: origin.midway, ..FramingFacts::default() },
        };
        self.seen(seen, Some(end.stamp.packet));
    }
}

/// How a call failed, if it did.
fn failure(end: &CallEnd<'_>) -> Option<String> {
    let message = end.grpc_message.filter(|message| !message.is_empty());
    let message = message.map_or_else(String::new, |message| format!(": {message}"));
    match (end.grpc_status, end.http_status, end.reset) {
        (Some(OK), ..) => None,
        (Some(status), ..) => Some(format!("grpc-status {status} ({}){message}", grpc_status_name(status))),
        (None, Some(status), _) if status != 200 => Some(format!("HTTP status {status}")),
        // NO_ERROR: the server does not want the rest of the request (RFC 9113 8.1).
        (None, ..)
            if end.reset.is_none() && end.client == Some(end.side.other()) && end.messages[end.side as usize] == 0 =>
        {
            Some("it ended without a response and without a grpc-status in the capture".to_owned())
        }
        (None, _, Some(code)) if code != 0 => Some(format!("stream reset with {}", error_name(code))),
        _ => None,
    }
}
