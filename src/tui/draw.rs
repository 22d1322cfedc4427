//! The screen, made from the state and what the journal holds. Changes nothing.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::feed::Phase;
use super::fields::{Kind, Line};
use super::findings::Row;
use super::keymap::Command;
use super::layout::{Gutter, LEAST, Layout, Pane};
use super::marks::counted;
use super::procedures::Look;
use super::state::{Overlay, State};
use super::tab::Tab;
use super::table::{Table, put};
use super::{bars, bytes, connections, flow, messages, overlay, procedures, source, text, typing};
use crate::journal::{Protocol, View};
use crate::output::escape::{escaped, shorten, width};

/// Draws everything. `state` was settled for this `view`.
pub fn draw(state: &State, view: View<'_>, buffer: &mut Buffer) {
    let area = buffer.area;
    if area.width < LEAST.0 || area.height < LEAST.1 {
        put(buffer, (0, 0), area.width, "terminal too small", Style::new(), false);
        let needed = format!("needs {}×{}", LEAST.0, LEAST.1);
        put(buffer, (0, 1), area.width, &needed, Style::new(), false);
        return;
    }
    let layout = Layout::of(state, view);
    bars::tabs(state, buffer, layout.tabs);
    if let Some(area) = layout.filter {
        bars::filter_line(state, buffer, area);
    }
    match state.overlay {
        Some(Overlay::Help(top)) => overlay::draw_help(state, buffer, layout.body, top),
        Some(Overlay::Diff(pair, top)) => overlay::draw_diff(state, view, buffer, layout.body, (pair, top)),
        None => panes(state, view, buffer, &layout),
    }
    if let Some(area) = layout.tour {
        bars::tour(state, buffer, area);
    }
    if !bars::status(state, view, buffer, layout.status, layout.hint) {
        bars::hints(state, buffer, layout.hint);
    }
    typing::draw(state, view, buffer, &layout);
}

/// Writes pieces after each other.
pub fn put_all(buffer: &mut Buffer, area: Rect, pieces: &[(String, Style)]) {
    let mut x = 0;
    for (text, style) in pieces.iter().filter(|(text, _)| !text.is_empty()) {
        if x < area.width {
            put(buffer, (area.x + x, area.y), area.width - x, text, *style, false);
        }
        x = x.saturating_add(width(text) as u16);
    }
}

fn panes(state: &State, view: View<'_>, buffer: &mut Buffer, layout: &Layout) {
    for &(pane, title, area) in &layout.panes {
        let active = state.pane() == pane && state.prompt.is_none();
        if let Some(title) = title {
            heading(state, view, buffer, title, pane);
        }
        match (state.tab, pane) {
            (Tab::Flow, Pane::Ladder) => ladder(state, view, buffer, (area, layout.gutter), active),
            (_, Pane::Fields) => fields(state, buffer, area, active),
            (_, Pane::Bytes) => bytes::draw(buffer, area, &state.messages, &state.setup.theme, active),
            (_, Pane::Detail) => detail(state, view, buffer, area),
            (Tab::Procedures, _) => procedure_table(state, view, buffer, area),
            (Tab::Messages, _) => message_table(state, view, buffer, area, active),
            (Tab::Connections, _) => connection_table(state, view, buffer, area, active),
            (Tab::Findings, _) => finding_list(state, view, buffer, area),
            (Tab::Source, _) => source::draw(state, buffer, area),
            _ => super::statistics::draw(state, buffer, area),
        }
    }
}

/// `── Message 5: Key relay request ───`, in the accent's colour where the cursor is.
fn heading(state: &State, view: View<'_>, buffer: &mut Buffer, area: Rect, pane: Pane) {
    let theme = &state.setup.theme;
    let style = if state.pane() == pane { theme.accent } else { theme.dim };
    let about = match (pane, state.messages.made) {
        (Pane::Fields, Some((message, _))) => {
            let name = escaped(view.name(view.record(message))).into_owned();
            format!("Message {}: {name}", message + 1)
        }
        (Pane::Bytes, Some(_)) => {
            let line = state.messages.line().filter(|line| line.bytes.is_some());
            let field = line.map_or(String::new(), |line| format!(": {}", line.name));
            format!("Bytes {}{field}", state.messages.byte)
        }
        (Pane::Detail, _) => state.connections.selected().map_or(String::new(), |at| format!("Connection {}", at + 1)),
        _ => pane.title().to_owned(),
    };
    let sign = if state.pane() == pane { "▶" } else { "─" };
    let text = format!("─{sign} {about} ");
    put(buffer, (area.x, area.y), area.width, &"─".repeat(usize::from(area.width)), style, false);
    put(buffer, (area.x, area.y), area.width, &text, style, false);
}

fn look<'a>(state: &'a State, mark: &'a str, room: u16) -> Look<'a> {
    Look { theme: &state.setup.theme, names: &state.names, mark, room: usize::from(room) }
}

/// What an empty view says: why, and what to do.
fn empty(state: &State, buffer: &mut Buffer, area: Rect, what: &str) {
    let key = |command| state.setup.keymap.keys(command).first().map(ToString::to_string).unwrap_or_default();
    let mut lines = vec![format!("No {what}.")];
    if state.shown.is_restricted() && state.extent.messages > 0 {
        lines = vec![format!("No {what} among what is shown.")];
        lines.push(format!("{} and an empty line show everything again.", key(Command::Filter)));
    } else if state.status.phase == Phase::Growing {
        lines.push("Waiting for the first one.".to_owned());
    } else if state.extent.messages == 0 {
        lines.push("This capture holds no Ck that could be read.".to_owned());
        lines.push(format!("{} shows its TCP connections;", key(Command::View(Tab::Connections))));
        lines.push("--port takes a port for Ck whatever it looks like.".to_owned());
    }
    for (at, line) in lines.iter().enumerate() {
        let y = area.y + 2 + at as u16;
        if y < area.bottom() {
            put(buffer, (area.x + 2, y), area.width.saturating_sub(2), line, Style::new(), false);
        }
    }
}

fn procedure_table(state: &State, view: View<'_>, buffer: &mut Buffer, area: Rect) {
    let panel = &state.procedures;
    let mut clock = state.setup.time.clock(view, &state.setup.zone);
    if let Some(before) = panel.cursor.top.checked_sub(1).and_then(|at| panel.rows.get(at)) {
        clock.next(view.record(view.journal.first_and_last(before.procedure).0).time);
    }
    let table = Table {
        columns: procedures::COLUMNS,
        shown: &panel.shown,
        sorted: Some(panel.sort),
        count: panel.rows.len(),
        numbers: state.extent.procedures as usize,
        cursor: panel.cursor,
        active: state.prompt.is_none(),
    };
    table.draw(buffer, area, &state.setup.theme, &mut |row, column, room| {
        let marked = view.journal.messages(panel.rows[row].procedure).iter().any(|&message| state.is_marked(message));
        panel.cell(view, &look(state, if marked { "*" } else { "" }, room), &mut clock, row, column)
    });
    if panel.rows.is_empty() {
        empty(state, buffer, area, "procedures");
    }
}

fn message_table(state: &State, view: View<'_>, buffer: &mut Buffer, area: Rect, active: bool) {
    let panel = &state.messages;
    let mut clock = state.setup.time.clock(view, &state.setup.zone);
    if let Some(before) = panel.cursor.top.checked_sub(1).and_then(|at| state.message_at(at)) {
        clock.next(view.record(before).time);
    }
    let table = Table {
        columns: messages::COLUMNS,
        shown: &panel.shown,
        sorted: Some(panel.sort),
        count: panel.count,
        numbers: state.extent.messages as usize,
        cursor: panel.cursor,
        active,
    };
    table.draw(buffer, area, &state.setup.theme, &mut |row, column, room| {
        let Some(message) = state.message_at(row) else { return (String::new(), Style::new()) };
        let mark = match state.marks.get(&message) {
            Some(mark) if mark.comment.is_some() => ";",
            Some(mark) if mark.marked => "*",
            _ => "",
        };
        messages::cell(view, &look(state, mark, room), &mut clock, message, column)
    });
    if panel.count == 0 {
        empty(state, buffer, area, "messages");
    }
}

fn connection_table(state: &State, view: View<'_>, buffer: &mut Buffer, area: Rect, active: bool) {
    let panel = &state.connections;
    let mut clock = state.setup.time.clock(view, &state.setup.zone);
    let table = Table {
        columns: connections::COLUMNS,
        shown: &panel.shown,
        sorted: Some(panel.sort),
        count: panel.rows.len(),
        numbers: state.extent.connections as usize,
        cursor: panel.cursor,
        active,
    };
    table.draw(buffer, area, &state.setup.theme, &mut |row, column, room| {
        connections::cell(view, &look(state, "", room), &mut clock, panel.rows[row], column)
    });
    if panel.rows.is_empty() {
        put(buffer, (area.x + 2, area.y + 2), area.width - 2, "No TCP connections.", Style::new(), false);
    }
}

/// What there is to say about the selected connection, in lines for so many columns: a name, or none where the line
/// before goes on, and what it is.
pub fn detail_lines(state: &State, view: View<'_>, columns: u16) -> Vec<(&'static str, String)> {
    let Some(index) = state.connections.selected() else { return Vec::new() };
    let mut clock = state.setup.time.clock(view, &state.setup.zone);
    let room = usize::from(columns).saturating_sub(13).max(8);
    let facts = connections::detail(view, &state.names, &mut clock, index);
    let lines = facts.into_iter().flat_map(|(name, value)| {
        let names = std::iter::once(name).chain(std::iter::repeat(""));
        names.zip(wrapped(&value, room)).collect::<Vec<_>>()
    });
    lines.collect()
}

fn detail(state: &State, view: View<'_>, buffer: &mut Buffer, area: Rect) {
    let lines = detail_lines(state, view, area.width);
    for (y, (name, line)) in (area.y..area.bottom()).zip(lines.iter().skip(state.connections.detail_top)) {
        put(buffer, (area.x + 1, y), 10, name, state.setup.theme.dim, false);
        put(buffer, (area.x + 12, y), area.width.saturating_sub(12), line, Style::new(), false);
    }
}

/// `text` in lines of at most `room` columns, broken at spaces where there are some.
pub fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let line = lines.last_mut().expect("there is always a last line");
        if line.is_empty() || width(line) + width(word.trim_end()) <= room {
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    // A space at the end would be one column too many.
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    lines
}

/// What there is to say where no message has a finding.
fn no_findings(view: View<'_>) -> String {
    let lacking = view.journal.connections.iter().filter(|connection| {
        let traffic = &connection.traffic;
        traffic.gaps > 0 || (traffic.protocol != Protocol::Unknown && traffic.undecoded != [0, 0])
    });
    match lacking.count() {
        0 => "No findings: everything is as the Recommendation says.".to_owned(),
        count => format!("No findings about messages; gaps or bytes in no message: {count} connections (view 4)."),
    }
}

fn finding_list(state: &State, view: View<'_>, buffer: &mut Buffer, area: Rect) {
    let (panel, theme) = (&state.findings, &state.setup.theme);
    if panel.rows.is_empty() && (state.messages.count == 0 || state.shown.is_restricted()) {
        return empty(state, buffer, area, "findings");
    }
    if panel.rows.is_empty() {
        let text = no_findings(view);
        return put(buffer, (area.x + 2, area.y + 1), area.width - 2, &text, Style::new(), false);
    }
    for (line, row) in panel.rows.iter().skip(panel.cursor.top).take(usize::from(area.height)).enumerate() {
        let y = area.y + line as u16;
        match *row {
            Row::Group(severity, code, count) => {
                let sign = if panel.is_open((severity, code)) { "▾" } else { "▸" };
                let text = format!("{sign} {:<7}  {:<22}", severity.to_string(), code.name());
                put(buffer, (area.x, y), 36, &text, theme.severity(Some(severity)), false);
                put(
                    buffer,
                    (area.x + 36, y),
                    area.width.saturating_sub(36),
                    &counted(count as usize),
                    Style::new(),
                    false,
                );
            }
            Row::Message(index, _, code) => {
                let record = view.record(index);
                let decoded = view.decoded(record);
                let found = view.diagnostics(index, &decoded).into_iter().find(|found| found.code == code);
                let text = found.map_or_else(String::new, |found| escaped(&found.text).into_owned());
                let head = format!("    {:>6} {}", index + 1, escaped(view.name(record)));
                let room = area.width / 2;
                let head = shorten(&head, usize::from(room)).into_owned();
                put(buffer, (area.x, y), room, &head, theme.strong, false);
                let x = area.x + width(&head).max(36) as u16 + 2;
                put(buffer, (x, y), area.width.saturating_sub(x), &text, Style::new(), false);
            }
        }
        if panel.cursor.top + line == panel.cursor.at {
            buffer.set_style(Rect::new(area.x, y, area.width, 1), theme.selected);
        }
    }
}

fn ladder(state: &State, view: View<'_>, buffer: &mut Buffer, (area, gutter): (Rect, Gutter), active: bool) {
    if state.flow.ladder.rows.is_empty() {
        return empty(state, buffer, area, "procedure is selected");
    }
    let clock = (state.setup.time.clock(view, &state.setup.zone), gutter);
    let is_marked = |message| state.is_marked(message);
    flow::Drawing { panel: &state.flow, theme: &state.setup.theme, clock, active, is_marked: &is_marked }
        .draw(buffer, area);
}

fn fields(state: &State, buffer: &mut Buffer, area: Rect, active: bool) {
    let panel = &state.messages;
    let Some((message, _)) = panel.made else { return };
    if panel.as_text {
        return text::draw(state, buffer, area);
    }
    let mut area = area;
    let comment = state.marks.get(&message).and_then(|mark| mark.comment.as_ref());
    if let Some(comment) = comment.filter(|_| area.height > 2) {
        // A capture's may be long; the end of the screen ends it.
        let shown: String = comment.chars().take(area.width.into()).collect();
        let line = format!(" ; {}", escaped(&shown));
        let y = area.bottom() - 1;
        put(buffer, (area.x, y), area.width, &line, state.setup.theme.mark, false);
        area.height -= 1;
    }
    let names = panel.visible.iter().map(|&at| &panel.fields.lines[at]).filter(|line| line.kind != Kind::Heading);
    let name_width =
        names.map(|line| name_of(line, panel).len().min(34)).max().unwrap_or(0).min(usize::from(area.width) * 2 / 5);
    for (line, &at) in panel.visible.iter().skip(panel.field.top).take(usize::from(area.height)).enumerate() {
        let y = area.y + line as u16;
        field_line(state, buffer, Rect { y, height: 1, ..area }, &panel.fields.lines[at], name_width as u16);
        if panel.field.top + line == panel.field.at {
            let look = if active { state.setup.theme.selected } else { state.setup.theme.passive };
            buffer.set_style(Rect { y, height: 1, ..area }, look);
        }
    }
}

fn name_of(line: &Line, panel: &messages::Panel) -> String {
    let sign = match line.children {
        0 => "",
        _ if line.is_folded(&panel.toggled) => "▸ ",
        _ => "▾ ",
    };
    format!("{:1$}{sign}{2}", "", 2 * usize::from(line.depth), line.name)
}

fn field_line(state: &State, buffer: &mut Buffer, area: Rect, line: &Line, name_width: u16) {
    let theme = &state.setup.theme;
    let name = name_of(line, &state.messages);
    let look = match line.kind {
        Kind::Heading => return put(buffer, (area.x, area.y), area.width, &name, theme.strong, false),
        Kind::Found(severity) => {
            let style = theme.severity(Some(severity));
            put(buffer, (area.x, area.y), area.width, &format!("{name}: {}", line.value), style, false);
            return;
        }
        Kind::Absent(true) => theme.error,
        Kind::Absent(false) => theme.dim,
        Kind::Field => Style::new(),
    };
    put(buffer, (area.x, area.y), name_width, &name, theme.dim, false);
    let x = name_width + 2;
    let room = area.width.saturating_sub(x);
    // The note stands behind the value where both fit; a value that needs the room gets it.
    let note = width(&line.note) as u16;
    let value_room = room.saturating_sub(note + 2).max(room.min(width(&line.value) as u16));
    let value = if line.kind == Kind::Absent(true) { format!("✗ {}", line.value) } else { line.value.clone() };
    put(buffer, (area.x + x, area.y), value_room, &value, look, false);
    let end = x + (width(&value) as u16).min(value_room) + 2;
    put(buffer, (area.x + end, area.y), area.width.saturating_sub(end), &line.note, theme.dim, false);
}
