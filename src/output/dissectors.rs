//! Definition files, readable.

use std::io::{self, Write};

use super::detail::{presence, types};
use super::escape::{escaped, width};
use super::lines::{pad, paint};
use super::style::Styles;
use crate::dissect::{CommandCode, Definitions, Message};

/// Writes a line for each file.
///
/// # Errors
/// Those of `out`.
pub fn list(out: &mut impl Write, definitions: &Definitions) -> io::Result<()> {
    for (index, file) in definitions.files.iter().enumerate() {
        writeln!(
            out,
            "{}: {}, {} ({})",
            escaped(&file.name),
            escaped(&file.title),
            escaped(&file.reference),
            escaped(&file.path)
        )?;
        writeln!(out, "    {}", counts(definitions, index as u16))?;
    }
    Ok(())
}

/// `13 messages, 14 parameters, 6 procedures`: what of the definitions in force comes from file `index`.
pub fn counts(definitions: &Definitions, index: u16) -> String {
    let messages = definitions.messages.iter().filter(|message| message.file == index).count();
    let procedures = definitions.procedures.iter().filter(|procedure| procedure.file == index).count();
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    format!("{}, {}", plural(messages, "message"), plural(procedures, "procedure"))
}

/// The file called `name`: its index.
pub fn file_named(definitions: &Definitions, name: &str) -> Option<u16> {
    definitions.files.iter().position(|file| file.name == name).map(|index| index as u16)
}

/// The message with this code (`0x1401`, `1401`) or name, ignoring case.
pub fn message_named<'a>(definitions: &'a Definitions, name: &str) -> Option<&'a Message> {
    let digits = name.strip_prefix("0x").or_else(|| name.strip_prefix("0X")).unwrap_or(name);
    let by_code = u16::from_str_radix(digits, 16).ok().and_then(|code| definitions.message(CommandCode(code)));
    by_code
        .map(|(_, message)| message)
        .or_else(|| definitions.messages.iter().find(|message| message.name.eq_ignore_ascii_case(name)))
}

/// Writes all that file `index` defines.
///
/// # Errors
/// Those of `out`.
pub fn show_file(out: &mut impl Write, definitions: &Definitions, index: u16, styles: Styles) -> io::Result<()> {
    let file = &definitions.files[usize::from(index)];
    let mut text = String::new();
    paint(&mut text, &escaped(&file.title), styles.strong);
    text += &format!("\n{}; {}\n", escaped(&file.reference), escaped(&file.path));
    procedures(&mut text, definitions, index, styles);
    for message in definitions.messages.iter().filter(|message| message.file == index) {
        text.push('\n');
        self::message(&mut text, definitions, message, styles);
    }
    parameters(&mut text, definitions, styles);
    out.write_all(text.as_bytes())
}

/// Writes one message with its table.
///
/// # Errors
/// Those of `out`.
pub fn show_message(
    out: &mut impl Write,
    definitions: &Definitions,
    message: &Message,
    styles: Styles,
) -> io::Result<()> {
    let mut text = String::new();
    self::message(&mut text, definitions, message, styles);
    out.write_all(text.as_bytes())
}

fn procedures(text: &mut String, definitions: &Definitions, index: u16, styles: Styles) {
    let own = || definitions.procedures.iter().filter(|procedure| procedure.file == index);
    if own().next().is_some() {
        paint(text, "\nProcedures\n", styles.strong);
    }
    let widest = own().map(|procedure| width(&procedure.name)).max().unwrap_or(0);
    for procedure in own() {
        let codes: Vec<String> = procedure.messages.iter().map(ToString::to_string).collect();
        *text += &format!("  {}", escaped(&procedure.name));
        pad(text, &procedure.name, widest + 2);
        *text += &format!("clause {}  {}\n", escaped(&procedure.clause), codes.join(" → "));
    }
}

fn message(text: &mut String, definitions: &Definitions, message: &Message, styles: Styles) {
    paint(text, &format!("{} {}", message.code, escaped(&message.name)), styles.strong);
    let way = message.direction.name().replace('-', " ");
    *text += &format!(", {way} (clause {}, {})\n", escaped(&message.clause), escaped(&message.table));
    let of = |code: &CommandCode| {
        let name = definitions.message(*code).map_or_else(String::new, |(_, it)| format!(" {}", escaped(&it.name)));
        format!("{code}{name}")
    };
    if !message.answers.is_empty() {
        let answered: Vec<String> = message.answers.iter().map(of).collect();
        *text += &format!("  answers {}\n", answered.join(", "));
    }
    let answers: Vec<String> =
        definitions.messages.iter().filter(|it| it.answers.contains(&message.code)).map(|it| of(&it.code)).collect();
    if !answers.is_empty() {
        *text += &format!("  answered by {}\n", answers.join(", "));
    }
    let rows = || message.rows.iter().map(|row| (definitions.parameter(row.parameter), row));
    let title_width = rows().map(|(parameter, _)| width(&parameter.title)).max().unwrap_or(0);
    let type_width = rows().map(|(_, row)| types(row).len()).max().unwrap_or(0);
    for (parameter, row) in rows() {
        *text += &format!("  {}", escaped(&parameter.title));
        pad(text, &parameter.title, title_width + 2);
        *text += &format!("{:<1$}", types(row), type_width + 2);
        paint(text, &presence(definitions, row), styles.dim);
        text.push('\n');
    }
}

fn parameters(text: &mut String, definitions: &Definitions, styles: Styles) {
    paint(text, "\nParameters\n", styles.strong);
    let widest = definitions.parameters.iter().map(|parameter| width(&parameter.name)).max().unwrap_or(0);
    for parameter in &definitions.parameters {
        *text += &format!("  {}", escaped(&parameter.name));
        pad(text, &parameter.name, widest + 2);
        *text += &escaped(&parameter.title);
        if !parameter.aliases.is_empty() {
            *text += &format!(" (also read as {})", escaped(&parameter.aliases.join(", ")));
        }
        text.push('\n');
    }
}
