//! Every command of the interface, in one table: dispatch, help, the hint bar and the `:` line are made from it.

use std::collections::HashMap;

use super::key::Key;
use super::tab::Tab;

/// What can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each has its sentence in the table")]
pub enum Command {
    View(Tab),
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    First,
    Last,
    Open,
    Back,
    Leave,
    NextPane,
    PreviousPane,
    Zoom,
    Grow,
    Shrink,
    ExpandAll,
    Goto,
    Filter,
    FilterValue,
    Follow,
    /// Choose what to follow.
    Pick,
    Search,
    SearchNext,
    SearchPrevious,
    Sort,
    Reverse,
    Columns,
    Mark,
    MarkRelated,
    Unmark,
    Comment,
    Diff,
    Time,
    Json,
    LaneLeft,
    LaneRight,
    FoldLane,
    Alias,
    Pause,
    Tail,
    Copy,
    Save,
    Cancel,
    Tour,
    EndTour,
    Help,
    CommandLine,
    Quit,
}

/// What a command is told beside its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Nothing.
    None,
    /// It may be told this, and does something useful without.
    Optional(&'static str),
    /// It asks for this.
    Asked(&'static str),
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What is done.
    pub command: Command,
    /// Its name on the `:` line and in the configuration.
    pub name: &'static str,
    /// Its keys unless configured otherwise.
    pub keys: &'static [&'static str],
    /// What it is told.
    pub argument: Argument,
    /// A word for the hint bar, in the views where it is shown there.
    pub hint: Option<(&'static str, &'static [Tab])>,
    /// What it does, for help.
    pub help: &'static str,
}

/// Headings of the help, and the commands under them.
pub const TABLE: &[(&str, &[Entry])] = &[
    ("Views", VIEWS),
    ("Moving", MOVING),
    ("Finding", FINDING),
    ("Arranging", ARRANGING),
    ("Marking and keeping", KEEPING),
    ("The rest", REST),
];

/// Views with several panes.
const PANES: &[Tab] = &[Tab::Flow, Tab::Messages, Tab::Connections];
const ALL: &[Tab] = &Tab::ALL;
const LISTS: &[Tab] = &[Tab::Procedures, Tab::Messages, Tab::Connections, Tab::Findings];

const fn entry(command: Command, name: &'static str, keys: &'static [&'static str], help: &'static str) -> Entry {
    Entry { command, name, keys, argument: Argument::None, hint: None, help }
}

impl Entry {
    const fn hint(self, word: &'static str, tabs: &'static [Tab]) -> Self {
        Self { hint: Some((word, tabs)), ..self }
    }

    const fn asks(self, what: &'static str) -> Self {
        Self { argument: Argument::Asked(what), ..self }
    }

    const fn may(self, what: &'static str) -> Self {
        Self { argument: Argument::Optional(what), ..self }
    }
}

const VIEWS: &[Entry] = &[
    entry(Command::View(Tab::Procedures), "procedures", &["1"], "procedures, related ones under the first"),
    entry(Command::View(Tab::Flow), "flow", &["2"], "ladder of what is selected or marked"),
    entry(Command::View(Tab::Messages), "messages", &["3"], "messages: list, fields and bytes"),
    entry(Command::View(Tab::Connections), "connections", &["4"], "TCP connections"),
    entry(Command::View(Tab::Findings), "findings", &["5"], "diagnostics by severity and code"),
    entry(Command::View(Tab::Statistics), "statistics", &["6"], "counts and response times"),
    entry(Command::View(Tab::Source), "source", &["7"], "how a live source stands: interfaces, proxy, recording"),
];

const MOVING: &[Entry] = &[
    entry(Command::Up, "up", &["up", "k"], "one up"),
    entry(Command::Down, "down", &["down", "j"], "one down"),
    entry(Command::Left, "left", &["left", "h"], "fold; to the left in bytes and lanes"),
    entry(Command::Right, "right", &["right", "l"], "unfold; to the right in bytes and lanes"),
    entry(Command::PageUp, "page-up", &["pgup", "ctrl-b"], "one page up"),
    entry(Command::PageDown, "page-down", &["pgdn"], "one page down"),
    entry(Command::First, "first", &["home", "g"], "to the first"),
    entry(Command::Last, "last", &["end", "G"], "to the last, and follow what is new"),
    entry(Command::Goto, "goto", &["#"], "to the line with this number").asks("number"),
    entry(Command::Open, "open", &["enter"], "open the selected line: its flow, message or fields").hint("open", LISTS),
    entry(Command::Back, "back", &["esc"], "close what is in front, or go back")
        .hint("back", &[Tab::Flow, Tab::Messages]),
    entry(Command::Leave, "leave", &["q"], "the same; where nothing is left to close, leave ckscope")
        .hint("leave", &[Tab::Procedures]),
    entry(Command::NextPane, "next-pane", &["tab"], "next pane").hint("pane", PANES),
    entry(Command::PreviousPane, "previous-pane", &["shift-tab"], "pane before"),
];

const FINDING: &[Entry] = &[
    entry(Command::Filter, "filter", &["/"], "show only what matches; empty: all")
        .asks("display filter")
        .hint("filter", ALL),
    entry(Command::FilterValue, "filter-value", &["f"], "filter on the selected value"),
    entry(Command::Pick, "pick", &["I"], "choose one of the identifiers here, to see only what carries it")
        .asks("identifier; tab chooses"),
    entry(Command::Follow, "follow", &["i"], "only what carries this identifier, or the selected one; again: all")
        .may("identifier")
        .hint("follow id", &[Tab::Procedures, Tab::Messages]),
    entry(Command::Search, "search", &["ctrl-f"], "find text in what the messages carry").asks("text"),
    entry(Command::SearchNext, "search-next", &["n"], "next message with that text"),
    entry(Command::SearchPrevious, "search-previous", &["N"], "message before with that text"),
];

const ARRANGING: &[Entry] = &[
    entry(Command::Sort, "sort", &["s"], "sort by the next column, or by the one named")
        .may("column")
        .hint("sort", &[Tab::Procedures, Tab::Connections]),
    entry(Command::Reverse, "reverse", &["S"], "sort the other way round"),
    entry(Command::Columns, "columns", &["c"], "show these columns, comma-separated").asks("columns"),
    entry(Command::Time, "time", &["T"], "absolute, relative or delta times: the next of them, or the one named")
        .may("absolute, relative or delta")
        .hint("time", &[Tab::Flow, Tab::Messages]),
    entry(Command::ExpandAll, "expand-all", &["*"], "unfold everything, or fold it again"),
    entry(Command::Zoom, "zoom", &["\\"], "this pane alone, or all panes").hint("zoom", PANES),
    entry(Command::Shrink, "shrink", &["<"], "make the first pane smaller"),
    entry(Command::Grow, "grow", &[">"], "make the first pane larger"),
    entry(Command::Json, "json", &["v"], "fields as a tree, or the JSON text").hint("JSON", &[Tab::Messages]),
    entry(Command::LaneLeft, "lane-left", &["["], "move the sender's lane to the left"),
    entry(Command::LaneRight, "lane-right", &["]"], "move the sender's lane to the right"),
    entry(Command::FoldLane, "fold-lane", &["z"], "fold the sender's lane, or unfold all"),
    entry(Command::Alias, "alias", &["a"], "name the selected KM or controller").asks("name"),
];

const KEEPING: &[Entry] = &[
    entry(Command::Mark, "mark", &["space"], "mark or unmark").hint("mark", ALL),
    entry(Command::MarkRelated, "mark-related", &["x"], "mark all that is related"),
    entry(Command::Unmark, "unmark", &["u"], "take all marks away"),
    entry(Command::Comment, "comment", &[";"], "write a comment on the message").asks("comment"),
    entry(Command::Diff, "diff", &["d"], "compare two marked messages, or one with the selected"),
    entry(Command::Copy, "copy", &["y"], "copy the selected value or line (OSC 52)"),
    entry(Command::Save, "save", &["w"], "write what is marked, else all shown, to a file")
        .asks("file.pcapng, or --secrets file.pcapng; .jsonl .csv .txt; ladders .md .svg")
        .hint("save", &[Tab::Procedures, Tab::Messages]),
];

const REST: &[Entry] = &[
    entry(Command::Pause, "pause", &["p"], "stop showing what is new; nothing is lost").hint("pause", &[]),
    entry(Command::Tail, "tail", &["F"], "follow what is new"),
    entry(Command::Cancel, "cancel", &["ctrl-c"], "stop searching, filtering, reading; else leave"),
    entry(Command::CommandLine, "command", &[":"], "any command by its name").asks("command"),
    entry(Command::Tour, "tour", &["t"], "next hint of the tour; after the last, it is over"),
    entry(Command::EndTour, "end-tour", &["X"], "no more hints"),
    entry(Command::Help, "help", &["?", "f1"], "all keys").hint("help", ALL),
    entry(Command::Quit, "quit", &["Q"], "leave ckscope at once"),
];

/// All entries.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    TABLE.iter().flat_map(|(_, entries)| *entries)
}

/// The entry of `command`.
pub fn entry_of(command: Command) -> &'static Entry {
    entries().find(|entry| entry.command == command).expect("every command is in the table: a test holds it")
}

/// The entry whose name `word` is, or of which alone it is the beginning.
///
/// # Errors
/// There is none, or there are several.
pub fn named(word: &str) -> Result<&'static Entry, String> {
    if let Some(entry) = entries().find(|entry| entry.name == word) {
        return Ok(entry);
    }
    let begun: Vec<&'static Entry> = entries().filter(|entry| entry.name.starts_with(word)).collect();
    match begun[..] {
        [only] => Ok(only),
        [] => Err(format!("no command {word:?}; ? lists them")),
        _ => {
            let names: Vec<&str> = begun.iter().map(|entry| entry.name).collect();
            Err(format!("{word:?} may be {}", names.join(", ")))
        }
    }
}

/// Which key does what.
#[derive(Clone, Debug)]
pub struct Keymap {
    commands: HashMap<Key, Command>,
    keys: HashMap<Command, Vec<Key>>,
}

impl Default for Keymap {
    fn default() -> Self {
        Self::new(&HashMap::new()).expect("the table's own keys are keys, each used once: a test holds it")
    }
}

impl Keymap {
    /// The table's keys, but for the commands that `changed` gives others.
    ///
    /// # Errors
    /// Something is no key, or a key is given to two commands.
    pub fn new(changed: &HashMap<Command, Vec<Key>>) -> Result<Self, String> {
        let mut keymap = Self { commands: HashMap::new(), keys: HashMap::new() };
        for entry in entries() {
            let keys = match changed.get(&entry.command) {
                Some(keys) => keys.clone(),
                None => entry.keys.iter().map(|key| key.parse()).collect::<Result<_, _>>()?,
            };
            for &key in &keys {
                if let Some(other) = keymap.commands.insert(key, entry.command) {
                    return Err(format!("key {key} is that of both {} and {}", entry_of(other).name, entry.name));
                }
            }
            keymap.keys.insert(entry.command, keys);
        }
        Ok(keymap)
    }

    /// What `key` does.
    pub fn command(&self, key: Key) -> Option<Command> {
        self.commands.get(&key).copied()
    }

    /// The keys of `command`.
    pub fn keys(&self, command: Command) -> &[Key] {
        self.keys.get(&command).map_or(&[], Vec::as_slice)
    }
}
