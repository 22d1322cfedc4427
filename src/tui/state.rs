//! Everything that the screen depends on, and how it follows a journal that grows.

use std::collections::{BTreeMap, HashMap};

use jiff::tz::TimeZone;

use super::feed::{Phase, Status};
use super::filter::Shown;
use super::keymap::{Command, Keymap};
use super::layout::{Layout, Pane};
use super::line::Line;
use super::marks::{Anchor, Mark, anchor, locate};
use super::memory::Memory;
use super::messages::Panel;
use super::names::Names;
use super::notes::Noted;
use super::scout::{Part, Restriction};
use super::search::{Found, Ground, Search};
use super::statistics::Statistics;
use super::tab::Tab;
use super::theme::Theme;
use super::times::TimeMode;
use super::{connections, findings, flow, messages, procedures};
use crate::journal::{NONE, View};

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
    /// Write messages to a file.
    Save {
        /// Its name.
        path: String,
        /// Indexes, ascending.
        messages: Vec<u32>,
        /// The TLS secrets of their connections, too.
        secrets: bool,
    },
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
    /// The completion that is chosen, and the line without it.
    pub choice: Option<(usize, Line)>,
    /// What it is about, where that is not plain.
    pub about: String,
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
    /// The view in which what is followed was chosen.
    pub followed_in: Tab,
    /// The text searched for, and the search under way.
    pub search: (String, Option<Search>),
    /// Marks and comments by message.
    pub marks: BTreeMap<u32, Mark>,
    /// Comments of the capture itself.
    pub noted: Noted,
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
    /// Files that are being written.
    pub saving: usize,
    /// What went wrong with those that were being written at the end.
    pub unsaved: Vec<String>,
    /// Nothing new is shown.
    pub paused: bool,
    /// What is new is followed.
    pub tail: bool,
    /// Searches so far.
    searches: u64,
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
            followed_in: Tab::default(),
            search: (String::new(), None),
            marks: BTreeMap::new(),
            noted: Noted::default(),
            hint: 0,
            overlay: None,
            prompt: None,
            history: HashMap::new(),
            said: None,
            status: Status::default(),
            extent: Extent::default(),
            there: 0,
            saving: 0,
            unsaved: Vec::new(),
            paused: false,
            searches: 0,
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
        if let Some(problem) = status.problems.iter().find(|problem| !self.status.problems.contains(problem)) {
            self.say_wrong(problem);
        }
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
            self.adopt(view);
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
        self.relocate_marks(view);
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
        for tab in [Tab::Procedures, Tab::Messages, Tab::Connections, Tab::Findings] {
            self.rebuild_list(tab, view);
        }
        self.go_along();
        self.flow.forget();
        self.rebuilt += 1;
    }

    /// While what is new is followed, puts the cursor of the list in front on what is newest; what another view was
    /// opened from stays selected.
    pub fn go_along(&mut self) {
        if !self.tail || self.status.phase != Phase::Growing || self.paused {
            return;
        }
        match self.tab {
            Tab::Procedures => self.procedures.cursor.at = self.procedures.rows.len().saturating_sub(1),
            Tab::Messages => self.messages.cursor.at = self.messages.count.saturating_sub(1),
            Tab::Flow | Tab::Connections | Tab::Findings | Tab::Statistics | Tab::Source => {}
        }
    }

    /// Makes the list of a view anew, with the same line selected where it is still there.
    pub fn rebuild_list(&mut self, tab: Tab, view: View<'_>) {
        match tab {
            Tab::Procedures => {
                let selected = self.procedures.selected();
                let only = self.shown.is_restricted().then(|| {
                    let mut shown = self.shown.scan.procedures(view);
                    shown.retain(|&procedure| procedure < self.extent.procedures);
                    shown
                });
                self.procedures.rebuild(view, &self.names, self.extent.procedures, only.as_deref());
                selected.map(|procedure| self.procedures.select(procedure));
            }
            Tab::Messages => {
                let (selected, only) = (self.message_at(self.messages.cursor.at), self.restricted());
                self.messages.rebuild(view, &self.names, self.extent.messages, only);
                if let Some(message) = selected {
                    self.messages.select(message);
                }
            }
            Tab::Connections => {
                let selected = self.connections.selected();
                let only = self.shown.is_restricted().then(|| self.shown.scan.connections(view));
                self.connections.rebuild(view, &self.names, self.extent.connections, only);
                if let Some(selected) = selected {
                    self.connections.select(selected);
                }
            }
            Tab::Findings => self.findings.rebuild(view, self.extent.messages, self.restricted().as_deref()),
            Tab::Flow | Tab::Statistics | Tab::Source => {}
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
        self.messages.at(at)
    }

    /// Puts the cursor of the list on `message`, or where it would be.
    pub fn select_message(&mut self, message: u32) {
        self.messages.select(message);
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
    pub fn job(&self) -> Option<Restriction> {
        let messages = self.shown.scan.next..self.extent.messages;
        self.is_looking().then(|| Restriction { shown: self.shown.unseen(), messages })
    }

    /// Takes what somebody else found; what is not the next is of a look that is no longer wanted.
    pub fn take(&mut self, view: View<'_>, part: Part) {
        match part {
            Part::Shown { number, messages, found }
                if number == self.shown.number && messages.start == self.shown.scan.next =>
            {
                let was_empty = self.shown.scan.messages.is_empty();
                self.shown.scan.messages.extend(found);
                self.shown.scan.next = messages.end;
                self.found(view, was_empty);
            }
            Part::Searched { number, found }
                if self.search.1.as_ref().is_some_and(|search| search.number == number) =>
            {
                self.searched(view, found);
            }
            Part::Shown { .. } | Part::Searched { .. } => {}
        }
    }

    /// Lists are made anew now and then: at the first message found, and at the end.
    fn found(&mut self, view: View<'_>, was_empty: bool) {
        if !self.is_looking() || (was_empty && !self.shown.scan.messages.is_empty()) {
            self.rebuild(view);
            self.settle(view);
        }
    }

    /// Begins to search beside a position of the list.
    pub fn search_from(&mut self, from: usize, backward: bool) {
        self.searches += 1;
        let Panel { listed, count, .. } = &self.messages;
        let ground = Ground { listed: listed.clone(), count: *count, from, backward };
        match Search::new(self.searches, &self.search.0, ground) {
            Ok(search) => self.search.1 = Some(search),
            Err(fault) => self.say_wrong(fault),
        }
    }

    /// Goes on with a search; whether there is more to do.
    fn search_on(&mut self, view: View<'_>) -> bool {
        let Some(search) = &mut self.search.1 else { return false };
        let found = search.step(view);
        self.searched(view, found);
        self.search.1.is_some()
    }

    fn searched(&mut self, view: View<'_>, found: Found) {
        match found {
            Found::NotYet => return,
            Found::At { message, wrapped } => {
                if self.tab != Tab::Messages {
                    self.behind.push(self.tab);
                    self.tab = Tab::Messages;
                }
                self.select_message(message);
                self.said = wrapped.then(|| ("search wrapped".to_owned(), false));
                self.settle(view);
            }
            Found::Nothing => self.say_wrong(format!("{:?}: nowhere in the list", self.search.0)),
        }
        self.search.1 = None;
    }

    /// Puts everything that follows from the selection into place.
    pub fn settle(&mut self, view: View<'_>) {
        let layout = Layout::of(self, view);
        let height = |pane| layout.lines(pane);
        let list = layout.lines(Pane::List).saturating_sub(1);
        match self.tab {
            Tab::Procedures => self.procedures.cursor.settle(self.procedures.rows.len(), list),
            Tab::Connections => {
                self.connections.cursor.settle(self.connections.rows.len(), list);
                let lines = super::draw::detail_lines(self, view, layout.area(Pane::Detail).width).len();
                let most = lines.saturating_sub(height(Pane::Detail));
                self.connections.detail_top = self.connections.detail_top.min(most);
            }
            Tab::Findings => self.findings.cursor.settle(self.findings.rows.len(), list + 1),
            Tab::Messages => self.messages.cursor.settle(self.messages.count, list),
            Tab::Flow => {
                let procedures = self.drawn(view);
                self.flow.look_at(view, &self.names, procedures, self.status.generation);
                self.flow.limit_scroll(layout.area(Pane::Ladder), layout.gutter);
                let height = self.flow.height(layout.area(Pane::Ladder), layout.gutter);
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
            procedures = view.journal.related(procedure).into_vec();
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

    /// Says what happened.
    pub fn say(&mut self, text: impl Into<String>) {
        self.said = Some((text.into(), false));
    }

    /// Says what went wrong.
    pub fn say_wrong(&mut self, text: impl Into<String>) {
        self.said = Some((text.into(), true));
    }
}
