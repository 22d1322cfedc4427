//! What keys, the mouse and commands do to the state. Pure: what has to be done outside is the answer.

use crossterm::event::{Event, KeyEvent, KeyEventKind};

use super::bytes;
use super::keymap::{self, Argument, Command};
use super::layout::{Layout, Pane};
use super::list::Step;
use super::state::{Effect, Overlay, State};
use super::tab::Tab;
use super::times::TimeMode;
use crate::journal::{NONE, View};

impl State {
    /// Takes what the terminal says.
    pub fn event(&mut self, event: Event, view: View<'_>) -> Effect {
        let effect = match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(key, view),
            Event::Mouse(mouse) => self.mouse(mouse, view),
            Event::Paste(text) => {
                if let Some(prompt) = &mut self.prompt {
                    prompt.line.insert(&text);
                    prompt.choice = None;
                }
                Effect::None
            }
            Event::Resize(columns, rows) => {
                self.size = (columns, rows);
                Effect::None
            }
            _ => Effect::None,
        };
        self.settle(view);
        effect
    }

    fn key(&mut self, key: KeyEvent, view: View<'_>) -> Effect {
        if self.prompt.is_some() {
            return self.prompt_key(key, view);
        }
        let Some(command) = self.setup.keymap.command(key.into()) else {
            self.say_wrong(format!("{} does nothing; ? lists the keys", super::key::Key::from(key)));
            return Effect::None;
        };
        self.said = None;
        self.run(command, None, view)
    }

    /// Does a command, with an argument if it was told one.
    pub fn run(&mut self, command: Command, argument: Option<&str>, view: View<'_>) -> Effect {
        if let (Argument::Asked(_), None) = (keymap::entry_of(command).argument, argument) {
            self.ask(command, view);
            return Effect::None;
        }
        if self.overlay.is_some() && self.in_overlay(command) {
            return Effect::None;
        }
        let told = argument.unwrap_or("").trim();
        match command {
            Command::Quit => return Effect::Quit,
            Command::Back => _ = self.back(view),
            Command::Leave if !self.back(view) => return Effect::Quit,
            Command::Cancel => return self.cancel(),
            Command::CommandLine => return self.command_line(told, view),
            Command::Save => return self.save(told),
            Command::Copy => return self.copy(view),
            Command::View(Tab::Source) if self.status.panel.is_none() => {
                self.say("files have no source to look at; capture and proxy do");
            }
            Command::View(tab) => self.show(tab, view),
            Command::Open => self.open(view),
            Command::Goto => self.goto(told, view),
            Command::Filter => self.filter(told, view),
            Command::FilterValue => self.filter_value(view),
            Command::Pick if told.is_empty() => {}
            Command::Follow | Command::Pick => self.follow(told, view),
            Command::Search => {
                if !told.is_empty() {
                    told.clone_into(&mut self.search.0);
                }
                self.search_again(false, view);
            }
            Command::SearchNext => self.search_again(false, view),
            Command::SearchPrevious => self.search_again(true, view),
            Command::Mark | Command::MarkRelated | Command::Unmark | Command::Comment => {
                self.marking(command, told, view);
            }
            Command::Diff => self.diff(view),
            Command::Help => self.overlay = Some(Overlay::Help(0)),
            Command::Tour => self.hint = (self.hint + 1).min(self.setup.tour.len()),
            Command::EndTour => self.hint = self.setup.tour.len(),
            Command::Alias => self.alias(told, view),
            Command::Pause => self.pause(view),
            Command::Tail => self.follow_tail(view),
            Command::Sort | Command::Reverse | Command::Columns => self.arrange_table(command, told, view),
            Command::Time => self.tell_times(told),
            Command::Up => self.step(Step::Lines(-1), view),
            Command::Down => self.step(Step::Lines(1), view),
            Command::PageUp => self.step(Step::Pages(-1), view),
            Command::PageDown => self.step(Step::Pages(1), view),
            Command::First => self.step(Step::First, view),
            Command::Last => self.step(Step::Last, view),
            Command::Left => self.sideways(false, view),
            Command::Right => self.sideways(true, view),
            _ => self.arrange(command, view),
        }
        self.settle(view);
        Effect::None
    }

    /// What only changes how things look.
    fn arrange(&mut self, command: Command, view: View<'_>) {
        match command {
            Command::NextPane => self.turn_pane(1),
            Command::PreviousPane => self.turn_pane(Pane::of(self.tab).len() - 1),
            Command::Zoom => self.zoomed = !self.zoomed,
            Command::Grow => self.split = (self.split + 5).min(80),
            Command::Shrink => self.split = self.split.saturating_sub(5).max(20),
            Command::Json => self.messages.as_text = !self.messages.as_text,
            Command::LaneLeft => self.flow.move_lane(false),
            Command::LaneRight => self.flow.move_lane(true),
            Command::FoldLane => self.flow.fold_lane(),
            Command::ExpandAll => {
                match self.tab {
                    Tab::Findings => self.findings.fold_all(),
                    _ => self.procedures.fold_all(),
                }
                self.rebuild_list(self.tab, view);
            }
            _ => {}
        }
    }

    /// Tells times the way that is called `told`, or the next way.
    fn tell_times(&mut self, told: &str) {
        let named = TimeMode::NAMED.iter().find(|(name, _)| *name == told).map(|&(_, mode)| mode);
        match named.or(told.is_empty().then(|| self.setup.time.next())) {
            Some(mode) => {
                self.setup.time = mode;
                self.say(format!("times are {}", mode.name()));
            }
            None => {
                let names = TimeMode::NAMED.map(|(name, _)| name).join(", ");
                self.say_wrong(format!("time {told:?}: expected one of {names}, or nothing for the next"));
            }
        }
    }

    fn turn_pane(&mut self, by: usize) {
        let panes = Pane::of(self.tab);
        let at = panes.iter().position(|pane| *pane == self.pane()).unwrap_or(0);
        self.panes.insert(self.tab, panes[(at + by) % panes.len()]);
    }

    pub(super) fn step(&mut self, step: Step, view: View<'_>) {
        let layout = Layout::of(self, view);
        let pane = self.pane();
        let lines = layout.lines(pane);
        match (self.tab, pane) {
            (Tab::Procedures, _) => self.procedures.cursor.step(step, self.procedures.rows.len(), lines - lines.min(1)),
            (Tab::Connections, Pane::Detail) => scroll(&mut self.connections.detail_top, step, usize::MAX),
            (Tab::Connections, _) => {
                self.connections.cursor.step(step, self.connections.rows.len(), lines - lines.min(1));
            }
            (Tab::Findings, _) => self.findings.cursor.step(step, self.findings.rows.len(), lines),
            (Tab::Messages, Pane::List) => self.messages.cursor.step(step, self.messages.count, lines - lines.min(1)),
            (_, Pane::Ladder) => {
                let height = self.flow.height(layout.area(Pane::Ladder), layout.gutter);
                self.flow.cursor.step(step, self.flow.ladder.rows.len(), height);
            }
            (_, Pane::Fields) if self.messages.as_text => scroll(&mut self.messages.text_top, step, 4096),
            (_, Pane::Fields) => {
                self.messages.field.step(step, self.messages.visible.len(), lines);
                self.messages.select_bytes();
            }
            (_, Pane::Bytes) => {
                let width = bytes::per_line(layout.area(Pane::Bytes).width) as isize;
                let page = width * lines as isize;
                self.step_byte(step, width, page);
            }
            (Tab::Source, _) => scroll(&mut self.source_top, step, 1_000_000),
            _ => scroll(&mut self.statistics_top, step, 1000),
        }
        if self.tail && pane == self.pane() && matches!(step, Step::Lines(..0) | Step::Pages(..0) | Step::First) {
            self.tail = false;
        }
        if step == Step::Last && self.status.phase == super::feed::Phase::Growing {
            self.tail = true;
        }
    }

    fn step_byte(&mut self, step: Step, line: isize, page: isize) {
        let last = self.messages.fields.bytes.len().saturating_sub(1);
        let at = self.messages.byte;
        self.messages.byte = match step {
            Step::Lines(by) => at.saturating_add_signed(by * line),
            Step::Pages(by) => at.saturating_add_signed(by * page),
            Step::First => 0,
            Step::Last => last,
        }
        .min(last);
        self.messages.select_field();
    }

    fn sideways(&mut self, right: bool, view: View<'_>) {
        match (self.tab, self.pane()) {
            (Tab::Procedures, _) => {
                let selected = self.procedures.selected();
                if self.procedures.fold(view, right) {
                    let first = self.procedures.selected().or(selected);
                    self.rebuild_list(Tab::Procedures, view);
                    first.map(|procedure| self.procedures.select(procedure));
                }
            }
            (Tab::Findings, _) if self.findings.fold(right) => self.rebuild_list(Tab::Findings, view),
            (_, Pane::Fields) => self.messages.fold(right),
            (_, Pane::Bytes) => {
                self.step_byte(Step::Lines(if right { 1 } else { -1 }), 1, 1);
            }
            (_, Pane::Ladder) => {
                let scroll = &mut self.flow.scroll;
                *scroll = if right { scroll.saturating_add(8).min(4000) } else { scroll.saturating_sub(8) };
            }
            _ => {}
        }
    }

    /// Shows a view, with the same message, procedure or connection selected as far as it has it.
    fn show(&mut self, tab: Tab, view: View<'_>) {
        let (message, procedure) = (self.message(view), self.procedure(view));
        let connection = message.map(|message| view.record(message).connection);
        let from_connection = (self.tab == Tab::Connections).then(|| self.connections.selected()).flatten();
        if tab == self.tab {
            return;
        }
        self.zoomed = false;
        let chosen = matches!(self.tab, Tab::Flow | Tab::Connections | Tab::Findings);
        self.tab = tab;
        match tab {
            Tab::Messages => {
                let first = from_connection.and_then(|connection| first_of(view, connection));
                if let Some(message) = message.or(first) {
                    self.select_message(message);
                }
            }
            Tab::Procedures | Tab::Flow => {
                if let Some(procedure) = procedure {
                    self.select_procedure(procedure, view);
                }
                self.settle(view);
                if let (Tab::Flow, Some(message)) = (tab, message) {
                    self.flow.select(message);
                }
            }
            Tab::Connections => {
                if let Some(connection) = connection {
                    self.connections.select(connection);
                }
            }
            Tab::Findings | Tab::Statistics | Tab::Source => {}
        }
        if !chosen {
            self.go_along();
        }
    }

    fn select_procedure(&mut self, procedure: u32, view: View<'_>) {
        if !self.procedures.select(procedure) && procedure < self.extent.procedures {
            self.procedures.reveal(view, procedure);
            self.rebuild(view);
            self.procedures.select(procedure);
        }
    }

    fn open(&mut self, view: View<'_>) {
        let before = self.tab;
        match (self.tab, self.pane()) {
            (Tab::Procedures, _) => self.show(Tab::Flow, view),
            (Tab::Connections | Tab::Findings | Tab::Flow, Pane::List | Pane::Ladder) => {
                self.show(Tab::Messages, view);
                self.panes.insert(Tab::Messages, Pane::Fields);
            }
            (Tab::Messages, Pane::List) => _ = self.panes.insert(Tab::Messages, Pane::Fields),
            (_, Pane::Fields) => {
                let folded = self.messages.line().is_some_and(|line| line.is_folded(&self.messages.toggled));
                self.messages.fold(folded);
            }
            _ => {}
        }
        if before != self.tab {
            self.behind.push(before);
        }
    }

    /// Closes what is in front, or goes back; whether there was anything to do.
    fn back(&mut self, view: View<'_>) -> bool {
        if self.overlay.take().is_some() || self.search.1.take().is_some() || std::mem::take(&mut self.zoomed) {
            return true;
        }
        let first = Pane::of(self.tab)[0];
        if self.pane() != first {
            self.panes.insert(self.tab, first);
            return true;
        }
        if self.end_following(view) {
            return true;
        }
        let before = self.behind.pop().unwrap_or_default();
        std::mem::replace(&mut self.tab, before) != before
    }

    /// Stops the first of what can be stopped.
    fn cancel(&mut self) -> Effect {
        if self.search.1.take().is_some() {
            self.say("search stopped");
            return Effect::None;
        }
        if self.shown.is_restricted() && self.shown.scan.next < self.extent.messages {
            self.shown.filter = None;
            self.shown.carried = None;
            self.shown.restart();
            self.say("filter stopped and removed");
            return Effect::None;
        }
        if self.status.phase == super::feed::Phase::Growing {
            self.say("reading stopped; what was read stays");
            return Effect::Cancel;
        }
        Effect::Quit
    }

    pub(super) fn in_overlay(&mut self, command: Command) -> bool {
        let page = isize::from(self.size.1 as i16) - 4;
        let by = match command {
            Command::Up => -1,
            Command::Down => 1,
            Command::PageUp => -page,
            Command::PageDown => page,
            Command::First => isize::MIN,
            Command::Back | Command::Leave | Command::Quit | Command::Cancel => {
                self.overlay = None;
                return true;
            }
            Command::View(_) => {
                self.overlay = None;
                return false;
            }
            _ => return true,
        };
        let last = super::overlay::lines(self).saturating_sub(usize::from(self.size.1).saturating_sub(4));
        if let Some(Overlay::Help(top) | Overlay::Diff(_, top)) = &mut self.overlay {
            *top = top.saturating_add_signed(by).min(last);
        }
        true
    }

    fn goto(&mut self, told: &str, view: View<'_>) {
        let number = told.parse::<u32>().ok().and_then(|number| number.checked_sub(1));
        let (count, what) = match self.tab {
            Tab::Connections => (self.extent.connections, "connection"),
            Tab::Procedures | Tab::Flow => (self.extent.procedures, "procedure"),
            _ => (self.extent.messages, "message"),
        };
        match number.filter(|&number| number < count) {
            None => self.say_wrong(format!("no {what} {told:?}; expected 1 to {count}")),
            Some(number) if what == "connection" => self.connections.select(number),
            Some(number) if what == "procedure" => self.select_procedure(number, view),
            Some(number) => {
                self.tab = Tab::Messages;
                self.select_message(number);
            }
        }
    }

    fn search_again(&mut self, backward: bool, view: View<'_>) {
        if self.search.0.is_empty() {
            self.say_wrong("nothing to search for yet; ctrl-f asks");
            return;
        }
        let at = match (self.tab, self.message(view)) {
            (Tab::Messages, _) | (_, None) => self.messages.cursor.at,
            (_, Some(message)) => {
                self.select_message(message);
                self.messages.cursor.at
            }
        };
        self.search_from(at, backward);
        self.work(view);
    }

    fn alias(&mut self, told: &str, view: View<'_>) {
        match self.named(view) {
            Some(name) => {
                let own = self.names.own(&name).to_owned();
                self.names.call(&name, told);
                self.say(format!("{own} is shown as {}", self.names.shown(&own)));
                self.rebuild(view);
            }
            None => self.say_wrong("nobody here to name"),
        }
    }

    /// The name that an alias would stand for: the sender's, or the KM's.
    pub(super) fn named(&self, view: View<'_>) -> Option<String> {
        match self.tab {
            Tab::Flow => self.flow.lane().map(str::to_owned),
            Tab::Procedures => self.procedures.selected().map(|procedure| self.names.km(view, procedure)),
            Tab::Connections => {
                let index = self.connections.selected()?;
                let connection = &view.journal.connections[index as usize];
                let side = crate::output::ladder::Identities::km_side(connection);
                Some(self.names.lane(view, index, side).name)
            }
            _ => self.message(view).map(|message| {
                let record = view.record(message);
                self.names.lane(view, record.connection, record.side).name
            }),
        }
    }

    fn pause(&mut self, view: View<'_>) {
        self.paused = !self.paused;
        if !self.paused {
            self.extent.messages = view.journal.records.len() as u32;
            self.extent.procedures = view.journal.procedures.len() as u32;
            self.extent.connections = view.journal.connections.len() as u32;
            self.rebuild(view);
        }
    }

    fn follow_tail(&mut self, view: View<'_>) {
        self.tail = !self.tail;
        self.say(if self.tail { "following what is new" } else { "no longer following" });
        if self.tail {
            self.step(Step::Last, view);
        }
    }

    fn copy(&mut self, view: View<'_>) -> Effect {
        let field = matches!(self.pane(), Pane::Fields).then(|| self.messages.line()).flatten();
        let text = match (field, self.tab) {
            (Some(line), _) => Some(line.raw.clone()),
            (None, Tab::Connections) => self.connections.selected().map(|index| {
                let connection = &view.journal.connections[index as usize];
                format!("{} {}", connection.ends[0], connection.ends[1])
            }),
            (None, Tab::Procedures) => self.procedures.selected().map(|procedure| {
                let mut line = Vec::new();
                crate::output::jsonl::Procedures::new(view).write(&mut line, procedure);
                String::from_utf8_lossy(&line).trim_end().to_owned()
            }),
            _ => self.message(view).map(|message| {
                let mut line = Vec::new();
                // Writing to memory does not fail.
                let _ = crate::output::jsonl::message(&mut line, view, message);
                String::from_utf8_lossy(&line).trim_end().to_owned()
            }),
        };
        match text.filter(|text| !text.is_empty()) {
            Some(text) => {
                self.say(format!("copied {} characters", text.chars().count()));
                Effect::Copy(text)
            }
            None => {
                self.say_wrong("nothing here to copy");
                Effect::None
            }
        }
    }

    fn save(&mut self, told: &str) -> Effect {
        let marked: Vec<u32> = self.marks.iter().filter(|(_, mark)| mark.marked).map(|(&index, _)| index).collect();
        let shown = || (0..self.messages.count).filter_map(|at| self.message_at(at)).collect();
        let mut messages: Vec<u32> = if marked.is_empty() { shown() } else { marked };
        messages.sort_unstable();
        let (path, secrets) = match told.strip_prefix("--secrets") {
            Some(rest) if rest.is_empty() || rest.starts_with(' ') => (rest.trim(), true),
            _ => (told, false),
        };
        if path.starts_with("--") {
            self.say_wrong(format!("{path:?}: expected --secrets or the name of a file; ./{path} is one"));
            return Effect::None;
        }
        if path.is_empty() || messages.is_empty() {
            self.say_wrong("nothing to save, or no file to save it to");
            return Effect::None;
        }
        Effect::Save { path: path.to_owned(), messages, secrets }
    }
}

fn scroll(top: &mut usize, step: Step, most: usize) {
    *top = match step {
        Step::Lines(by) => top.saturating_add_signed(by),
        Step::Pages(by) => top.saturating_add_signed(by * 10),
        Step::First => 0,
        Step::Last => most,
    }
    .min(most);
}

/// The first message of a connection.
fn first_of(view: View<'_>, connection: u32) -> Option<u32> {
    let found = view.journal.records.iter().position(|record| record.connection == connection);
    found.map(|index| index as u32).filter(|&index| index != NONE)
}
