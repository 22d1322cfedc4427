//! The line that is typed into: what keys do to it, and how it looks.

use std::ops::Range;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::keymap::{self, Argument, Command};
use super::layout::Layout;
use super::line::Line;
use super::state::{Effect, Prompt, State};
use super::tab::Tab;
use super::table::put;
use super::times::TimeMode;
use super::{connections, filter, messages, procedures};
use crate::filter::{Seen, TokenKind, tokens};
use crate::journal::View;
use crate::output::escape::{escaped, shorten, width};

/// What was typed is remembered so many times.
const HISTORY: usize = 100;
/// Columns of what a prompt is about.
const MOST_ABOUT: usize = 36;
/// Completions on screen at once.
const MOST_COMPLETIONS: usize = 8;

impl Prompt {
    /// What was typed, without the completion that is chosen.
    fn typed(&self) -> &Line {
        self.choice.as_ref().map_or(&self.line, |(_, typed)| typed)
    }
}

impl State {
    pub(super) fn ask(&mut self, command: Command, view: View<'_>) {
        let text = match command {
            Command::Filter => self.shown.filter.as_ref().map_or_else(String::new, |(text, _)| text.clone()),
            Command::Columns => self.columns(self.tab),
            Command::Comment => {
                let message = self.message(view);
                let mark = message.and_then(|message| self.marks.get(&message));
                mark.and_then(|mark| mark.comment.clone()).unwrap_or_default()
            }
            _ => String::new(),
        };
        let about = self.about(command, view);
        if command == Command::Alias && about.is_empty() {
            return self.say_wrong("nobody here to name");
        }
        let past = self.history.get(&command).map_or(0, Vec::len);
        self.prompt = Some(Prompt { command, line: Line::new(text), past, choice: None, about });
    }

    /// What the answer will be about; safe to print.
    fn about(&self, command: Command, view: View<'_>) -> String {
        match command {
            Command::Search if !self.search.0.is_empty() => format!("; nothing: {:?} again", self.search.0),
            Command::Alias => {
                self.named(view).map_or_else(String::new, |name| format!(" for {}", self.names.told(&name)))
            }
            Command::Comment => {
                self.message(view).map_or_else(String::new, |message| format!(" on message {}", message + 1))
            }
            _ => String::new(),
        }
    }

    pub(super) fn prompt_key(&mut self, key: KeyEvent, view: View<'_>) -> Effect {
        let Some(mut prompt) = self.prompt.take() else { return Effect::None };
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => return Effect::None,
            KeyCode::Char('c' | 'g') if control => return Effect::None,
            KeyCode::Enter => return self.answer(&prompt, view),
            KeyCode::Up | KeyCode::Down => self.remember(&mut prompt, key.code == KeyCode::Up),
            KeyCode::Tab | KeyCode::BackTab => self.complete(&mut prompt, key.code == KeyCode::Tab, view),
            KeyCode::Backspace if prompt.line.text.is_empty() => return Effect::None,
            _ => {
                prompt.line.key(key);
                prompt.choice = None;
            }
        }
        self.prompt = Some(prompt);
        Effect::None
    }

    fn answer(&mut self, prompt: &Prompt, view: View<'_>) -> Effect {
        let text = prompt.line.text.clone();
        let is_filter = prompt.command == Command::Filter && !text.trim().is_empty();
        let compiled = is_filter.then(|| filter::compile(&text, &view.journal.definitions, &self.setup.zone));
        if let Some(Err(fault)) = compiled {
            self.say_wrong(fault.text);
            self.prompt = Some(prompt.clone());
            return Effect::None;
        }
        let history = self.history.entry(prompt.command).or_default();
        if !text.is_empty() && history.last() != Some(&text) {
            history.push(text.clone());
            let excess = history.len().saturating_sub(HISTORY);
            history.drain(..excess);
        }
        self.said = None;
        self.run(prompt.command, Some(&text), view)
    }

    fn remember(&self, prompt: &mut Prompt, older: bool) {
        let Some(history) = self.history.get(&prompt.command) else { return };
        prompt.past = if older { prompt.past.saturating_sub(1) } else { (prompt.past + 1).min(history.len()) };
        prompt.line = Line::new(history.get(prompt.past).cloned().unwrap_or_default());
        prompt.choice = None;
    }

    /// Puts the next completion in the place of the word at the cursor.
    fn complete(&self, prompt: &mut Prompt, forward: bool, view: View<'_>) {
        let (taken, all) = self.completions(prompt, view);
        let Some(count) = std::num::NonZeroUsize::new(all.len()) else { return };
        let next = match prompt.choice {
            None if forward => 0,
            None => count.get() - 1,
            Some((at, _)) if forward => (at + 1) % count,
            Some((at, _)) => (at + count.get() - 1) % count,
        };
        let typed = prompt.typed().clone();
        prompt.line = typed.clone();
        prompt.line.complete(taken, &all[next]);
        // One that stands alone is done; of several the next can be had.
        prompt.choice = (count.get() > 1).then_some((next, typed));
    }

    /// Bytes before the cursor that a completion takes the place of, and all completions.
    pub fn completions(&self, prompt: &Prompt, view: View<'_>) -> (usize, Vec<String>) {
        let typed = prompt.typed();
        let before = &typed.text[..typed.at];
        let words = |words: Vec<&str>, separator: char| {
            let start = before.rfind(separator).map_or(0, |at| at + separator.len_utf8());
            let begun = &before[start..];
            let fits = |word: &&&str| word.starts_with(begun);
            let all: Vec<String> = words.iter().filter(fits).map(|word| (*word).to_owned()).collect();
            (begun.len(), all)
        };
        match prompt.command {
            Command::CommandLine => match self.argument_of(prompt) {
                Some(argument) => self.completions(&argument, view),
                None if before.contains(' ') => (0, Vec::new()),
                None => words(keymap::entries().map(|entry| entry.name).collect(), ' '),
            },
            Command::Time => words(TimeMode::NAMED.iter().map(|(name, _)| *name).collect(), ' '),
            Command::Columns | Command::Sort => {
                let columns = match self.tab {
                    Tab::Messages => messages::COLUMNS,
                    Tab::Connections => connections::COLUMNS,
                    _ => procedures::COLUMNS,
                };
                words(columns.iter().map(|column| column.key).collect(), ',')
            }
            Command::Pick | Command::Follow => {
                let all = self.identifiers(view);
                words(all.iter().map(String::as_str).collect(), '\0')
            }
            Command::Filter => {
                let seen = Seen::new(view, self.names.learned(), self.message(view));
                filter::complete(&typed.text, typed.at, view, &seen)
            }
            _ => (0, Vec::new()),
        }
    }

    /// What is typed behind the name of a command, as if that had asked for it.
    fn argument_of(&self, prompt: &Prompt) -> Option<Prompt> {
        let (name, rest) = prompt.typed().text.split_once(' ')?;
        let at = prompt.typed().at.checked_sub(name.len() + 1)?;
        let entry = keymap::named(name).ok().filter(|entry| entry.command != Command::CommandLine)?;
        Some(Prompt {
            command: entry.command,
            line: Line { text: rest.to_owned(), at },
            choice: None,
            ..prompt.clone()
        })
    }

    /// A command by its name, with what stands after it.
    pub(super) fn command_line(&mut self, told: &str, view: View<'_>) -> Effect {
        let (name, argument) = told.split_once(' ').map_or((told, ""), |(name, argument)| (name, argument.trim()));
        if name.is_empty() {
            return Effect::None;
        }
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            return self.run(Command::Goto, Some(told), view);
        }
        let argument = (!argument.is_empty()).then_some(argument);
        match (keymap::named(name), argument) {
            (Ok(entry), Some(argument)) if entry.argument == Argument::None => {
                self.say_wrong(format!("{} takes nothing after it; found {argument:?}", entry.name));
                Effect::None
            }
            (Ok(entry), _) if entry.command == Command::CommandLine => {
                self.say_wrong("this is the line for commands; type one");
                Effect::None
            }
            (Ok(entry), argument) => self.run(entry.command, argument, view),
            (Err(fault), _) => {
                self.say_wrong(fault);
                Effect::None
            }
        }
    }
}

/// Where the terminal's cursor stands, while something is typed.
pub fn cursor(state: &State) -> Option<(u16, u16)> {
    let prompt = state.prompt.as_ref()?;
    let label = label(state, prompt);
    let (_, before) = window(state, &label, &prompt.line.text, prompt.line.at);
    Some(((width(&label) + before) as u16, state.size.1.saturating_sub(2)))
}

/// `filter (display filter): `, or `filter: ` where the rest would take the room of what is typed.
fn label(state: &State, prompt: &Prompt) -> String {
    let entry = keymap::entry_of(prompt.command);
    match prompt.command {
        Command::CommandLine => ":".to_owned(),
        Command::Filter => "/".to_owned(),
        _ if is_narrow(state, prompt) => format!("{}: ", entry.name),
        _ => format!("{} ({}): ", entry.name, asked(prompt)),
    }
}

/// What is asked for.
fn asked(prompt: &Prompt) -> String {
    let what = match keymap::entry_of(prompt.command).argument {
        Argument::Asked(what) | Argument::Optional(what) => what,
        Argument::None => "",
    };
    format!("{what}{}", shorten(&prompt.about, MOST_ABOUT))
}

fn is_narrow(state: &State, prompt: &Prompt) -> bool {
    2 * (keymap::entry_of(prompt.command).name.len() + width(&asked(prompt)) + 5) > usize::from(state.size.0)
}

/// What is asked for, where the line that is typed into has no room to say it.
pub fn asked_beside(state: &State) -> Option<String> {
    let prompt = state.prompt.as_ref()?;
    let is_told = matches!(prompt.command, Command::CommandLine | Command::Filter) || !is_narrow(state, prompt);
    (!is_told).then(|| asked(prompt))
}

/// The part of what is typed that is on screen, and the columns before the cursor in it.
fn window(state: &State, label: &str, text: &str, at: usize) -> (String, usize) {
    let room = usize::from(state.size.0).saturating_sub(width(label) + 1).max(4);
    let before: Vec<char> = text[..at].chars().collect();
    let mut start = before.len();
    let mut columns = 0;
    while start > 0 {
        let wide = width(&before[start - 1].to_string());
        if columns + wide >= room {
            break;
        }
        columns += wide;
        start -= 1;
    }
    let shown: String = before[start..].iter().collect::<String>() + &text[at..];
    (shown, columns)
}

/// What is being typed, in place of the status line, with completions above it.
pub fn draw(state: &State, view: View<'_>, buffer: &mut Buffer, layout: &Layout) {
    let Some(prompt) = &state.prompt else { return };
    let (area, theme) = (layout.status, &state.setup.theme);
    buffer.set_style(area, Style::reset());
    put(buffer, (area.x, area.y), area.width, &" ".repeat(usize::from(area.width)), Style::new(), false);
    let label = label(state, prompt);
    put(buffer, (area.x, area.y), area.width, &label, theme.accent, false);
    let (text, _) = window(state, &label, &prompt.line.text, prompt.line.at);
    let x = width(&label) as u16;
    let room = area.width.saturating_sub(x);
    let (looks, note) = judged(state, view);
    let mut column = x;
    let first = prompt.line.text.len() - text.len();
    for (at, c) in text.char_indices() {
        let look = looks.iter().rev().find(|(span, _)| span.contains(&(first + at)));
        let letter = c.to_string();
        put(
            buffer,
            (column, area.y),
            (x + room).saturating_sub(column),
            &letter,
            look.map_or(Style::new(), |it| it.1),
            false,
        );
        column += width(&letter) as u16;
    }
    let end = x + width(&text) as u16 + 2;
    if !note.is_empty() && end + 12 < area.width {
        put(buffer, (end, area.y), area.width - end, &escaped(&note), theme.dim, true);
    }
    completions(state, view, buffer, layout);
}

/// How parts of what is typed look, later ones over earlier ones; and what is said about it.
fn judged(state: &State, view: View<'_>) -> (Vec<(Range<usize>, Style)>, String) {
    let theme = &state.setup.theme;
    let Some(prompt) = state.prompt.as_ref().filter(|prompt| prompt.command == Command::Filter) else {
        return (Vec::new(), String::new());
    };
    let text = &prompt.line.text;
    if text.trim().is_empty() {
        return (Vec::new(), String::new());
    }
    let mut looks: Vec<(Range<usize>, Style)> = tokens(text)
        .into_iter()
        .map(|token| {
            let look = match token.kind {
                TokenKind::Word => theme.valid,
                TokenKind::Text | TokenKind::UnfinishedText => theme.mark,
                _ => theme.accent,
            };
            (token.span, look)
        })
        .collect();
    match filter::compile(text, &view.journal.definitions, &state.setup.zone) {
        Ok(_) => (looks, "✓".to_owned()),
        Err(fault) => {
            // A place behind the end is shown on the last letter.
            let last = text.char_indices().next_back().map_or(0, |(at, _)| at);
            let span = if fault.span.start >= text.len() { last..text.len() } else { fault.span.clone() };
            looks.push((span, theme.error.add_modifier(Modifier::UNDERLINED)));
            (looks, format!("✗ {fault}"))
        }
    }
}

fn completions(state: &State, view: View<'_>, buffer: &mut Buffer, layout: &Layout) {
    let Some(prompt) = &state.prompt else { return };
    let (taken, all) = state.completions(prompt, view);
    if all.is_empty() || (all.len() == 1 && prompt.line.text.ends_with(&all[0])) {
        return;
    }
    // What was completed may have fewer completions itself than there were before.
    let last = all.len().saturating_sub(MOST_COMPLETIONS);
    let choice = prompt.choice.as_ref().map(|(at, _)| *at);
    let first = choice.unwrap_or(0).saturating_sub(MOST_COMPLETIONS - 1).min(last);
    let shown = &all[first..all.len().min(first + MOST_COMPLETIONS)];
    let wide = shown.iter().map(|text| width(text)).max().unwrap_or(0).min(60) as u16 + 2;
    let label = label(state, prompt);
    let (_, before) = window(state, &label, &prompt.line.text, prompt.line.at);
    let word = choice.and_then(|at| all.get(at)).map_or(taken, |text| width(text));
    let x = ((width(&label) + before).saturating_sub(word) as u16).min(layout.status.width.saturating_sub(wide));
    for (line, text) in shown.iter().enumerate() {
        let y = layout.status.y.saturating_sub((shown.len() - line) as u16);
        let style = if choice == Some(first + line) { state.setup.theme.field } else { state.setup.theme.selected };
        buffer.set_style(Rect::new(x, y, wide.min(layout.status.width - x), 1), Style::reset());
        let padded = format!(" {:<1$}", escaped(text), usize::from(wide) - 1);
        put(buffer, (x, y), wide, &padded, style, false);
    }
}
