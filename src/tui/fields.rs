//! One message as lines: its header, every parameter of its table with what is there, its diagnostics where they
//! belong, and which bytes each line stands for.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::diagnostic::{Diagnostic, Severity};
use crate::dissect::tree::{Node, Tree};
use crate::dissect::{Decoded, Definitions, Encoding, Entry, Message, Presence, definition::normalised};
use crate::framing::HEADER;
use crate::journal::{Binding, NONE, View};
use crate::output::detail::{presence, types};
use crate::output::escape::{escaped, escaped_json};

/// Containers with more values than this are folded until asked for.
const MOST_OPEN: u32 = 8;
/// Columns of a value; a payload is at most 64 KiB, and a line is cut at the screen's end anyway.
const MOST_VALUE: usize = 512;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A title over other lines.
    Heading,
    /// A name and a value.
    Field,
    /// A parameter of the table that is not there; whether it has to be.
    Absent(bool),
    /// A diagnostic.
    Found(Severity),
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is.
    pub kind: Kind,
    /// Levels above it.
    pub depth: u8,
    /// Name, escaped.
    pub name: String,
    /// Value, escaped.
    pub value: String,
    /// What the table says of it, escaped.
    pub note: String,
    /// Bytes of [`Fields::bytes`] that it stands for.
    pub bytes: Option<Range<usize>>,
    /// Values in it, which can be folded.
    pub children: u32,
    /// What it is called across messages, for folding and filtering: names from the top with dots between.
    pub path: String,
    /// Its text without quotes and escapes, to be copied, filtered and followed.
    pub raw: String,
}

/// All lines of one message.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// The lines.
    pub lines: Vec<Line>,
    /// The message's bytes: the header if it stands before them in the capture, and the payload.
    pub bytes: Vec<u8>,
    /// Bytes of the header among them.
    pub header: usize,
    /// What the JSON is made of, where it is not the payload.
    pub origin: Option<&'static str>,
    /// Of a payload in protobuf, what it says as JSON, and what is wrong with it.
    pub from_protobuf: Option<(String, Option<String>)>,
}

impl Fields {
    /// The lines of message `index`.
    pub fn new(view: View<'_>, index: u32) -> Self {
        let record = view.record(index);
        let decoded = view.decoded(record);
        let header = view.header(record);
        let mut fields = Self::default();
        fields.bytes.extend(header.into_iter().flatten());
        fields.header = fields.bytes.len();
        fields.bytes.extend_from_slice(view.payload(record));
        fields.origin = match record.encoding {
            Encoding::Json => None,
            Encoding::Protobuf(_) => Some("protobuf, written as JSON with the names of its schema"),
            Encoding::GrpcStatus => Some("no payload: the status of the call, written as JSON"),
        };
        if let Encoding::Protobuf(schema) = record.encoding {
            let mut json = String::new();
            let problem = view.journal.definitions.schemas().to_json(schema, view.payload(record), &mut json);
            fields.from_protobuf = Some((json, problem));
        }
        let diagnostics = view.diagnostics(index, &decoded);
        fields.parameters(view, index, &decoded, &diagnostics);
        fields.general(&diagnostics);
        fields.head(view, index);
        fields
    }

    fn push(&mut self, kind: Kind, depth: u8, name: &str, value: String) -> &mut Line {
        let (note, bytes, children, raw) = (String::new(), None, 0, value.clone());
        let path = name.to_owned();
        self.lines.push(Line { kind, depth, name: name.to_owned(), value, note, bytes, children, path, raw });
        self.lines.last_mut().expect("one was just pushed")
    }

    /// The header's fields, and where the message stands.
    fn head(&mut self, view: View<'_>, index: u32) {
        let record = view.record(index);
        let title = match record.binding {
            Binding::Tcp => "Header (Q.4164 Figure I.1)",
            Binding::Grpc => "gRPC (Q.4164 Appendix II)",
        };
        let whole = (self.header == HEADER).then_some(0..HEADER);
        let name = escaped(view.name(record)).into_owned();
        self.push(Kind::Heading, 0, title, String::new()).bytes = whole.clone();
        let part = |from, to| whole.clone().map(|_| from..to);
        if record.binding == Binding::Tcp {
            self.push(Kind::Field, 1, "Version", record.version.to_string()).bytes = part(0, 2);
            self.push(Kind::Field, 1, "MessageID", record.message_id.to_string()).bytes = part(2, 6);
        } else {
            self.push(Kind::Field, 1, "Stream", record.message_id.to_string());
        }
        let code = self.push(Kind::Field, 1, "Command code", record.code.to_string());
        (code.bytes, code.note) = (part(6, 8), name);
        let length = self.push(Kind::Field, 1, "Length", record.length.to_string());
        length.bytes = part(8, 10);
        if record.captured < record.length {
            length.note = format!("{} of them captured", record.captured);
        }
        self.context(view, index);
    }

    fn context(&mut self, view: View<'_>, index: u32) {
        let record = view.record(index);
        let connection = &view.journal.connections[record.connection as usize];
        let tls = if record.tls { " in TLS" } else { "" };
        let travelled = format!("{} → {}", connection.end(record.side), connection.end(record.side.other()));
        self.push(Kind::Heading, 0, "Where", String::new());
        self.push(Kind::Field, 1, "Packet", record.packet.to_string());
        self.push(Kind::Field, 1, "Connection", (record.connection + 1).to_string()).note =
            format!("{travelled}, {}{tls}", record.binding.name());
        if record.answers != NONE {
            let took = record.time - view.record(record.answers).time;
            self.push(Kind::Field, 1, "Answers", (record.answers + 1).to_string()).note =
                format!("after {}", crate::output::clock::duration(took));
        }
        if let Some(procedure) = view.journal.procedures.get(record.procedure as usize) {
            let definition = &view.journal.definitions.procedures[usize::from(procedure.definition)];
            self.push(Kind::Field, 1, "Procedure", (record.procedure + 1).to_string()).note =
                escaped(&format!("{}, clause {}, {}", definition.name, definition.clause, procedure.state.name()))
                    .into_owned();
        }
    }

    /// Diagnostics that are about no parameter.
    fn general(&mut self, diagnostics: &[Diagnostic]) {
        let about: Vec<&Diagnostic> = diagnostics.iter().filter(|found| found.parameter.is_none()).collect();
        if !about.is_empty() {
            self.push(Kind::Heading, 0, "Diagnostics", String::new());
            about.into_iter().for_each(|found| self.found(found));
        }
    }

    fn found(&mut self, found: &Diagnostic) {
        let name = format!("{} {}", found.severity, found.code);
        let text = escaped(&found.text).into_owned();
        self.push(Kind::Found(found.severity), 1, &name, text);
    }

    fn parameters(&mut self, view: View<'_>, index: u32, decoded: &Decoded, diagnostics: &[Diagnostic]) {
        let definitions = &view.journal.definitions;
        let message = view.definition(view.record(index));
        let table = message.map_or_else(|| "no table".to_owned(), |message| escaped(&message.table).into_owned());
        let payload = self.header..self.bytes.len();
        self.push(Kind::Heading, 0, &format!("Parameters ({table})"), String::new()).bytes = Some(payload);
        let tree = Tree::new(&self.bytes[self.header..]);
        let tops: Vec<usize> = (0..tree.nodes.len()).filter(|&at| tree.nodes[at].depth == 0).collect();
        // Both were read from the same bytes, so the first of the one is the first of the other.
        for (at, entry) in decoded.entries.iter().enumerate() {
            let top = tops.get(at).copied();
            self.entry(definitions, message, entry, top.map(|top| &tree.nodes[top]));
            let end = tops.get(at + 1).copied().unwrap_or(tree.nodes.len());
            if let Some(top) = top {
                self.inside(&tree.nodes[top + 1..end.max(top + 1)]);
            }
            let name = entry.parameter.map(|id| definitions.parameter(id).name.as_str());
            let is_last = decoded.entries[at + 1..].iter().all(|other| other.parameter != entry.parameter);
            let about = diagnostics.iter().filter(|found| name.is_some() && found.parameter.as_deref() == name);
            about.filter(|_| is_last).for_each(|found| self.found(found));
        }
        if let Some(message) = message.filter(|_| !view.is_gone(view.record(index))) {
            self.absent(definitions, message, decoded, diagnostics);
        }
    }

    fn entry(&mut self, definitions: &Definitions, message: Option<&Message>, entry: &Entry, node: Option<&Node>) {
        let known = entry.parameter.map(|id| definitions.parameter(id));
        let title = known.map_or(&entry.name, |parameter| &parameter.title);
        let mut note = match (message, entry.row.and_then(|row| message?.rows.get(row))) {
            (Some(_), Some(row)) => format!("{}, {}", types(row), presence(definitions, row)),
            (Some(message), None) => format!("not in {}", escaped(&message.table)),
            (None, _) => String::new(),
        };
        if known.is_some() && normalised(&entry.name) != normalised(title) {
            note = format!("received as {}; {note}", escaped(&entry.name));
        }
        let header = self.header;
        let name = escaped(title).into_owned();
        let line = self.push(Kind::Field, 1, &name, cut(&escaped_json(&entry.value)));
        line.note = note;
        line.raw.clone_from(&entry.shown);
        line.path = known.map_or_else(|| entry.name.clone(), |parameter| parameter.name.clone());
        if let Some(node) = node {
            (line.bytes, line.children) = (Some(shifted(&node.bytes, header)), node.children);
        }
    }

    /// Values inside a parameter's value.
    fn inside(&mut self, nodes: &[Node]) {
        let top = self.lines.last().map_or_else(String::new, |line| line.path.clone());
        let mut above = vec![top];
        for node in nodes {
            above.truncate(usize::from(node.depth));
            let (header, path) = (self.header, format!("{}.{}", above.last().map_or("", String::as_str), node.name));
            let text = String::from_utf8_lossy(&self.bytes[shifted(&node.value, header)]).into_owned();
            let line = self.push(Kind::Field, node.depth + 1, &escaped(&node.name), cut(&escaped_json(&text)));
            line.bytes = Some(shifted(&node.bytes, header));
            line.children = node.children;
            line.raw = serde_json::from_str::<String>(&text).unwrap_or(text);
            line.path.clone_from(&path);
            above.push(path);
        }
    }

    /// Rows of the table that are not there, the mandatory ones first, and what was found about them.
    fn absent(&mut self, definitions: &Definitions, message: &Message, decoded: &Decoded, diagnostics: &[Diagnostic]) {
        let is_there =
            |row: &crate::dissect::Row| decoded.entries.iter().any(|entry| entry.parameter == Some(row.parameter));
        let mut rows: Vec<_> = message.rows.iter().filter(|row| !is_there(row)).collect();
        let has_defaults = self.from_protobuf.is_some();
        let missing = |row: &crate::dissect::Row| {
            let name = definitions.parameter(row.parameter).name.as_str();
            let is_needed = row.presence == Presence::Mandatory && !has_defaults;
            is_needed || diagnostics.iter().any(|it| it.parameter.as_deref() == Some(name))
        };
        rows.sort_by_key(|row| !missing(row));
        for row in rows {
            let parameter = definitions.parameter(row.parameter);
            let name = escaped(&parameter.title).into_owned();
            // proto3 leaves default values off the wire.
            let is_default = has_defaults && row.presence == Presence::Mandatory && !missing(row);
            let told = if is_default { "not there: the default, 0 or empty" } else { "not there" };
            let line = self.push(Kind::Absent(missing(row)), 1, &name, told.to_owned());
            line.note = format!("{}, {}", types(row), presence(definitions, row));
            line.path.clone_from(&parameter.name);
            let about = diagnostics.iter().filter(|found| found.parameter.as_ref() == Some(&parameter.name));
            about.for_each(|found| self.found(found));
        }
    }

    /// Indexes of the lines that are to be seen; `toggled` has the paths that are folded or unfolded against habit.
    pub fn visible(&self, toggled: &BTreeSet<String>) -> Vec<usize> {
        let mut visible = Vec::with_capacity(self.lines.len());
        let mut below = None;
        for (at, line) in self.lines.iter().enumerate() {
            if below.is_some_and(|depth| line.depth > depth && line.kind == Kind::Field) {
                continue;
            }
            below = line.is_folded(toggled).then_some(line.depth);
            visible.push(at);
        }
        visible
    }

    /// The innermost line that stands for byte `at`.
    pub fn line_at(&self, at: usize) -> Option<usize> {
        let holds = |line: &&(usize, &Line)| line.1.bytes.as_ref().is_some_and(|bytes| bytes.contains(&at));
        let found: Vec<(usize, &Line)> = self.lines.iter().enumerate().collect();
        found.iter().filter(holds).min_by_key(|(_, line)| line.bytes.as_ref().map_or(0, Range::len)).map(|it| it.0)
    }
}

impl Line {
    /// Whether what is in it is hidden.
    pub fn is_folded(&self, toggled: &BTreeSet<String>) -> bool {
        self.children > 0 && (self.children > MOST_OPEN) != toggled.contains(&self.path)
    }
}

fn shifted(range: &Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}

/// The beginning of a value, which is all that a line can show.
fn cut(value: &str) -> String {
    value.chars().take(MOST_VALUE).map(|c| if c == '\n' { ' ' } else { c }).collect()
}
