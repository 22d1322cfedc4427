//! Everything that the screen depends on, and how it follows a journal that grows.

use std::collections::{BTreeMap, HashMap};

use jiff::tz::TimeZone;

use super::feed::{Phase, Status};
use super::filter::Shown;
use super::keymap::{Command, Keymap};
use super::layout::{Layout, Pane};
use super::line::Line;
use super::memory::Memory;
use super::names::Names;
use super::scan::{Found, Search};
use super::scout::{Job, Part};
use super::statistics::Statistics;
use super::tab::Tab;
use super::theme::Theme;
use super::times::TimeMode;
use super::{connections, findings, flow, messages, procedures};
use crate::journal::{NONE, View};
use crate::place::Place;

/// How the interface is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What is being looked at, for the status line.
    pub name: String,
    /// Keys.
    pub keymap: Keymap,
    /// Colours.
    pub theme: Theme,
    /// The zone of the clock.
    pub zone: TimeZone,
    /// What times are told against.
    pub time: TimeMode,
    /// Whether a growing list is followed until the user moves.
    pub tail: bool,
    /// Hints to show one after the other; none for no tour.
    pub tour: &'static [&'static str],
    /// Columns of the procedures, messages and connections, by name; empty: as they are.
    pub columns: [Vec<String>; 3],
    /// What was remembered from the last time.
    pub remembered: Memory,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            name: String::new(),
            keymap: Keymap::default(),
            theme: Theme::default(),
            zone: TimeZone::UTC,
            time: TimeMode::default(),
            tail: false,
            tour: &[],
            columns: Default::default(),
            remembered: Memory::default(),
        }
    }
}

/// What has to be done outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    #[default]
    None,
    /// Leave.
    Quit,
    /// Stop reading.
    Cancel,
    /// Put this on the terminal's clipboard.
    Copy(String),
    /// Write these messages to this file.
    Save(String, Vec<u32>),
}

/// How much of the journal is shown: a pause keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Messages.
    pub messages: u32,
    /// Procedures.
    pub procedures: u32,
    /// Connections.
    pub connections: u32,
}

impl Extent {
    fn of(view: View<'_>) -> Self {
        let journal = view.journal;
        let [messages, procedures, connections] =
            [journal.records.len(), journal.procedures.len(), journal.connections.len()].map(|count| count as u32);
        Self { messages, procedures, connections }
    }
}

/// What names a message whatever its number: the packet that completed it, and where its payload lies.
type Anchor = (u32, Place);

/// A mark or a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    anchor: Anchor,
    /// Whether it is marked.
    pub marked: bool,
    /// What the user wrote.
    pub comment: Option<String>,
}

/// Something in front of the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// All keys; first line on screen.
    Help(usize),
    /// Two messages side by side: their indexes, and the first line on screen.
    Diff([u32; 2], usize),
}

/// A command that asks for its argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Which.
    pub command: Command,
    /// What was typed.
    pub line: Line,
    /// The position in the history; its length for what was typed.
    pub past: usize,
    /// The completion that is chosen.
    pub choice: Option<usize>,
}

/// Everything that the screen depends on.
#[derive(Debug)]
pub struct State {
    /// How it was set up.
    pub setup: Setup,
    /// Columns and rows of the screen.
    pub size: (u16, u16),
    /// The view in front.
    pub tab: Tab,
    /// Views to go back to.
    pub behind: Vec<Tab>,
    /// The pane with the cursor, by view.
    pub panes: HashMap<Tab, Pane>,
    /// Only that pane is shown.
    pub zoomed: bool,
    /// Per cent of the screen for the first pane.
    pub split: u16,
    /// Names of lanes.
    pub names: Names,
    /// View 1.
    pub procedures: procedures::Panel,
    /// View 2.
    pub flow: flow::Panel,
    /// View 3.
    pub messages: messages::Panel,
    /// View 4.
    pub connections: connections::Panel,
    /// View 5.
    pub findings: findings::Panel,
    /// View 6.
    pub statistics: Statistics,
    /// First line of it on screen.
    pub statistics_top: usize,
    /// First line on screen of view 7.
    pub source_top: usize,
    /// What restricts the view.
    pub shown: Shown,
    /// The text searched for, and the search under way.
    pub search: (String, Option<Search>),
    /// Marks and comments by message.
    pub marks: BTreeMap<u32, Mark>,
    /// The hint of the tour that is shown; their number when it is over.
    pub hint: usize,
    /// In front of the view.
    pub overlay: Option<Overlay>,
    /// A command that asks.
    pub prompt: Option<Prompt>,
    /// What was typed before, by command.
    pub history: HashMap<Command, Vec<String>>,
    /// What happened last, and whether it went wrong.
    pub said: Option<(String, bool)>,
    /// How the source stands.
    pub status: Status,
    /// How much is shown.
    pub extent: Extent,
    /// Messages that there are.
    pub there: u32,
    /// Nothing new is shown.
    pub paused: bool,
    /// What is new is followed.
    pub tail: bool,
    /// Messages there were when names were learned.
    learned: u32,
    /// How often the lists were made.
    rebuilt: u64,
    anchors: [Option<Anchor>; 2],
}

impl State {
    /// An interface that has seen nothing, on a screen of that size.
    ///
    /// # Errors
    /// A column that the set-up names does not exist.
    pub fn new(setup: Setup, size: (u16, u16)) -> Result<Self, String> {
        let mut state = Self {
            tail: setup.tail,
            setup,
            size,
            tab: Tab::default(),
            behind: Vec::new(),
            panes: HashMap::new(),
            zoomed: false,
            split: 45,
            names: Names::default(),
            procedures: procedures::Panel::default(),
            flow: flow::Panel::default(),
            messages: messages::Panel::default(),
            connections: connections::Panel::default(),
            findings: findings::Panel::default(),
            statistics: Statistics::default(),
            statistics_top: 0,
            source_top: 0,
            shown: Shown::default(),
            search: (String::new(), None),
            marks: BTreeMap::new(),
            hint: 0,
            overlay: None,
            prompt: None,
            history: HashMap::new(),
            said: None,
            status: Status::default(),
            extent: Extent::default(),
            there: 0,
            paused: false,
            learned: 0,
            rebuilt: 0,
            anchors: [None; 2],
        };
        for (tab, columns) in
            [Tab::Procedures, Tab::Messages, Tab::Connections].into_iter().zip(state.setup.columns.clone())
        {
            if !columns.is_empty() {
                state.show_columns(tab, &columns.join(","))?;
            }
        }
        std::mem::take(&mut state.setup.remembered).recall(&mut state);
        Ok(state)
    }

    /// The views that there are.
    pub fn tabs(&self) -> impl Iterator<Item = Tab> {
        let has_source = self.status.panel.is_some();
        Tab::ALL.into_iter().filter(move |&tab| has_source || tab != Tab::Source)
    }

    /// Takes note of what the source has now.
    pub fn refresh(&mut self, view: View<'_>, status: Status) {
        if status == self.status {
            return;
        }
        let same_journal = status.generation == self.status.generation;
        let settled = self.status.phase == Phase::Growing && status.phase != Phase::Growing;
        self.status = status;
        if same_journal && !settled {
            return;
        }
        let now = Extent::of(view);
        self.there = now.messages;
        if !self.paused {
            self.extent = now;
        }
        if settled {
            self.renumber(view);
        }
        if settled || now.messages > self.learned.saturating_add(self.learned / 8) {
            self.learned = now.messages;
            self.names.learn(view);
        }
        self.rebuild(view);
        if settled {
            self.return_to_anchors(view);
        }
        self.settle(view);
    }

    /// Numbers are final now, and may be others: what was kept by number is found by its place.
    fn renumber(&mut self, view: View<'_>) {
        let marks = std::mem::take(&mut self.marks);
        self.marks = marks.into_values().filter_map(|mark| Some((locate(view, mark.anchor)?, mark))).collect();
        self.shown.restart();
        self.messages.made = None;
        self.overlay = self.overlay.take().filter(|overlay| !matches!(overlay, Overlay::Diff(..)));
    }

    fn return_to_anchors(&mut self, view: View<'_>) {
        let [message, first] = self.anchors.map(|anchor| locate(view, anchor?));
        if let Some(message) = message {
            self.select_message(message);
        }
        if let Some(first) = first {
            self.procedures.select(view.record(first).procedure);
        }
    }

    /// Makes all lists anew, with the same lines selected where they are still there.
    pub fn rebuild(&mut self, view: View<'_>) {
        let ends = self.tail && self.status.phase == Phase::Growing && !self.paused;
        let procedure = self.procedures.selected();
        let only = self.shown.is_restricted().then(|| self.shown.scan.procedures(view));
        let known = |procedures: Vec<u32>| {
            procedures.into_iter().filter(|&it| it < self.extent.procedures).collect::<Vec<u32>>()
        };
        let only = only.map(known);
        self.procedures.rebuild(view, &self.names, self.extent.procedures, only.as_deref());
        self.rebuild_connections(view);
        let messages = self.restricted();
        self.findings.rebuild(view, self.extent.messages, messages.as_deref());
        self.messages.count = messages.map_or(self.extent.messages as usize, |messages| messages.len());
        if ends {
            self.procedures.cursor.at = usize::MAX;
            self.messages.cursor.at = usize::MAX;
        } else if let Some(procedure) = procedure {
            self.procedures.select(procedure);
        }
        self.flow.forget();
        self.rebuilt += 1;
    }

    /// Makes the list of connections anew.
    pub fn rebuild_connections(&mut self, view: View<'_>) {
        let selected = self.connections.selected();
        self.connections.rebuild(view, &self.names, self.extent.connections);
        if let Some(selected) = selected {
            self.connections.select(selected);
        }
    }

    /// The messages shown, if not all are.
    fn restricted(&self) -> Option<Vec<u32>> {
        self.shown.is_restricted().then(|| {
            let count = self.shown.scan.messages.partition_point(|&index| index < self.extent.messages);
            self.shown.scan.messages[..count].to_vec()
        })
    }

    /// The message at a position of the list.
    pub fn message_at(&self, at: usize) -> Option<u32> {
        if at >= self.messages.count {
            return None;
        }
        if self.shown.is_restricted() { self.shown.scan.messages.get(at).copied() } else { Some(at as u32) }
    }

    /// Puts the cursor of the list on `message`, or where it would be.
    pub fn select_message(&mut self, message: u32) {
        self.messages.cursor.at = if self.shown.is_restricted() {
            self.shown.scan.messages.partition_point(|&index| index < message)
        } else {
            message as usize
        };
    }

    /// Does some of what takes long; whether there is more.
    pub fn work(&mut self, view: View<'_>) -> bool {
        let mut more = false;
        if self.is_looking() {
            let was_empty = self.shown.scan.messages.is_empty();
            let done = self.shown.step(view, self.extent.messages);
            self.found(view, was_empty);
            more |= !done;
        }
        more | self.search_on(view)
    }

    /// Whether there are messages that the filter has not been asked about.
    pub fn is_looking(&self) -> bool {
        self.shown.is_restricted() && self.shown.scan.next < self.extent.messages
    }

    /// What the filter has not been asked about yet, for somebody else to look at.
    pub fn job(&self) -> Option<Job> {
        let messages = self.shown.scan.next..self.extent.messages;
        self.is_looking().then(|| Job { shown: self.shown.unseen(), messages })
    }

    /// Takes what somebody else found; what is not the next is of a look that is no longer wanted.
    pub fn take(&mut self, view: View<'_>, part: Part) {
        if part.number == self.shown.number && part.messages.start == self.shown.scan.next {
            let was_empty = self.shown.scan.messages.is_empty();
            self.shown.scan.messages.extend(part.found);
            self.shown.scan.next = part.messages.end;
            self.found(view, was_empty);
        }
    }

    /// Lists are made anew now and then: at the first message found, and at the end.
    fn found(&mut self, view: View<'_>, was_empty: bool) {
        if !self.is_looking() || (was_empty && !self.shown.scan.messages.is_empty()) {
            self.rebuild(view);
            self.settle(view);
        }
    }

    /// Goes on with a search; whether there is more to do.
    pub fn search_on(&mut self, view: View<'_>) -> bool {
        let Some(mut search) = self.search.1.take() else { return false };
        let message = |at: usize| self.message_at(at).unwrap_or_default();
        match search.step(view, self.messages.count, &message) {
            Found::NotYet => {
                self.search.1 = Some(search);
                true
            }
            Found::At(at) => {
                if self.tab != Tab::Messages {
                    self.behind.push(self.tab);
                    self.tab = Tab::Messages;
                }
                self.messages.cursor.at = at;
                self.said = None;
                self.settle(view);
                false
            }
            Found::Nothing => {
                self.say_wrong(format!("{:?}: nothing more that way", self.search.0));
                false
            }
        }
    }

    /// Puts everything that follows from the selection into place.
    pub fn settle(&mut self, view: View<'_>) {
        let layout = Layout::of(self, view);
        let height = |pane| layout.lines(pane);
        let list = layout.lines(Pane::List).saturating_sub(1);
        match self.tab {
            Tab::Procedures => self.procedures.cursor.settle(self.procedures.rows.len(), list),
            Tab::Connections => self.connections.cursor.settle(self.connections.rows.len(), list),
            Tab::Findings => self.findings.cursor.settle(self.findings.rows.len(), list + 1),
            Tab::Messages => self.messages.cursor.settle(self.messages.count, list),
            Tab::Flow => {
                let procedures = self.drawn(view);
                self.flow.look_at(view, &self.names, procedures, self.status.generation);
                let height = self.flow.height(layout.area(Pane::Ladder), layout.time);
                self.flow.cursor.settle(self.flow.ladder.rows.len(), height);
            }
            Tab::Statistics => self.count(view),
            Tab::Source => {}
        }
        if matches!(self.tab, Tab::Flow | Tab::Messages) {
            let message = self.message(view);
            self.messages.look_at(view, message, self.status.generation);
            self.messages.field.settle(self.messages.visible.len(), height(Pane::Fields));
            self.messages.byte = self.messages.byte.min(self.messages.fields.bytes.len().saturating_sub(1));
            let line = self.messages.byte / super::bytes::per_line(layout.area(Pane::Bytes).width);
            let lines = height(Pane::Bytes).max(1);
            self.messages.byte_top = self.messages.byte_top.clamp((line + 1).saturating_sub(lines), line);
        }
        let first = self.procedures.selected().map(|procedure| view.journal.first_and_last(procedure).0);
        self.anchors = [self.message_at(self.messages.cursor.at), first].map(|index| Some(anchor(view, index?)));
    }

    /// Counts what is shown.
    fn count(&mut self, view: View<'_>) {
        if self.statistics.made == Some(self.rebuilt) {
            return;
        }
        let shown = self.restricted();
        let procedures = match &shown {
            Some(_) => self.shown.scan.procedures(view),
            None => (0..self.extent.procedures).collect(),
        };
        self.statistics = Statistics::new(view, &self.names, self.extent.messages, shown.as_deref(), &procedures);
        self.statistics.made = Some(self.rebuilt);
    }

    /// The procedures that the ladder draws: those of marked messages, else the selected one and what is related.
    fn drawn(&self, view: View<'_>) -> Vec<u32> {
        let marked = self.marks.iter().filter(|(_, mark)| mark.marked).map(|(&index, _)| view.record(index).procedure);
        let mut procedures: Vec<u32> = marked.filter(|&procedure| procedure != NONE).collect();
        if let (true, Some(procedure)) = (procedures.is_empty(), self.procedures.selected()) {
            procedures = view.journal.related(procedure);
            procedures.push(procedure);
        }
        procedures.sort_unstable();
        procedures.dedup();
        procedures.truncate(flow::MOST);
        procedures
    }

    /// The selected message.
    pub fn message(&self, view: View<'_>) -> Option<u32> {
        match self.tab {
            Tab::Flow => self.flow.selected(),
            Tab::Messages => self.message_at(self.messages.cursor.at),
            Tab::Findings => self.findings.selected(view),
            Tab::Procedures => self.procedures.selected().map(|procedure| view.journal.first_and_last(procedure).0),
            Tab::Connections | Tab::Statistics | Tab::Source => None,
        }
    }

    /// The procedure of what is selected.
    pub fn procedure(&self, view: View<'_>) -> Option<u32> {
        match self.tab {
            Tab::Procedures => self.procedures.selected(),
            _ => self.message(view).map(|message| view.record(message).procedure).filter(|&it| it != NONE),
        }
    }

    /// The pane with the cursor.
    pub fn pane(&self) -> Pane {
        self.panes.get(&self.tab).copied().unwrap_or(Pane::of(self.tab)[0])
    }

    /// Whether a message is marked.
    pub fn is_marked(&self, message: u32) -> bool {
        self.marks.get(&message).is_some_and(|mark| mark.marked)
    }

    /// The mark of a message, to be changed.
    pub fn mark(&mut self, view: View<'_>, message: u32) -> &mut Mark {
        self.marks.entry(message).or_insert_with(|| Mark {
            anchor: anchor(view, message),
            marked: false,
            comment: None,
        })
    }

    /// Forgets marks that say nothing.
    pub fn tidy_marks(&mut self) {
        self.marks.retain(|_, mark| mark.marked || mark.comment.is_some());
    }

    /// Says what happened.
    pub fn say(&mut self, text: impl Into<String>) {
        self.said = Some((text.into(), false));
    }

    /// Says what went wrong.
    pub fn say_wrong(&mut self, text: impl Into<String>) {
        self.said = Some((text.into(), true));
    }

    /// Shows the columns of a table that `names` lists, with commas between them.
    ///
    /// # Errors
    /// There is no such column, or the view has none to choose.
    pub fn show_columns(&mut self, tab: Tab, names: &str) -> Result<(), String> {
        let keys: Vec<&str> = names.split(',').map(str::trim).filter(|key| !key.is_empty()).collect();
        let (columns, shown) = match tab {
            Tab::Procedures => (procedures::COLUMNS, &mut self.procedures.shown),
            Tab::Messages => (messages::COLUMNS, &mut self.messages.shown),
            Tab::Connections => (connections::COLUMNS, &mut self.connections.shown),
            _ => return Err("this view has no columns to choose".to_owned()),
        };
        *shown = super::table::chosen(columns, &keys)?;
        Ok(())
    }

    /// The names of the columns that a view shows, with commas between them.
    pub fn columns(&self, tab: Tab) -> String {
        let (columns, shown) = match tab {
            Tab::Procedures => (procedures::COLUMNS, &self.procedures.shown),
            Tab::Messages => (messages::COLUMNS, &self.messages.shown),
            Tab::Connections => (connections::COLUMNS, &self.connections.shown),
            _ => return String::new(),
        };
        shown.iter().map(|&index| columns[index].key).collect::<Vec<_>>().join(",")
    }
}

fn anchor(view: View<'_>, message: u32) -> Anchor {
    let record = view.record(message);
    (record.packet, record.payload)
}

/// The message at `anchor`, once messages are in the order of their packets.
fn locate(view: View<'_>, (packet, place): Anchor) -> Option<u32> {
    let records = &view.journal.records;
    let (mut low, mut high) = (0, records.len());
    while low < high {
        let middle = low.midpoint(high);
        if records[middle].packet < packet { low = middle + 1 } else { high = middle }
    }
    let same = (low..records.len()).take_while(|&index| records[index].packet == packet);
    same.map(|index| index as u32).find(|&index| view.record(index).payload == place)
}
