//! Ladders as a Mermaid sequence diagram, for documents and tickets.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::{self, Write};

use super::rows::{Event, Ladder, Row};
use crate::journal::View;
use crate::output::escape::escaped;

/// Writes ladders as one diagram. They are made twice, first for their lanes, rather than kept: there may be millions.
///
/// # Errors
/// Those of `out`.
pub fn write<I: Iterator<Item = Ladder>>(
    out: &mut impl Write,
    view: View<'_>,
    ladders: impl Fn() -> I,
) -> io::Result<()> {
    let lanes = all_lanes(ladders());
    let mut text = String::from("sequenceDiagram\n");
    for (index, name) in lanes.iter().enumerate() {
        let _ = writeln!(text, "    participant p{} as {}", index + 1, clean(name));
    }
    let numbers: HashMap<&str, usize> = lanes.iter().map(String::as_str).zip(1..).collect();
    for ladder in ladders() {
        let ids: Vec<usize> = ladder.lanes.iter().map(|lane| numbers[lane.name.as_str()]).collect();
        note(&mut text, view, &ladder, &ids);
        for row in &ladder.rows {
            arrow(&mut text, row, &ids);
        }
        out.write_all(text.as_bytes())?;
        text.clear();
    }
    out.write_all(text.as_bytes())
}

/// Names of all lanes, each once, controllers in the middle.
fn all_lanes(ladders: impl Iterator<Item = Ladder>) -> Vec<String> {
    let (mut kms, mut controllers, mut known) = (Vec::new(), Vec::new(), HashSet::new());
    for lane in ladders.flat_map(|ladder| ladder.lanes) {
        if known.insert(lane.name.clone()) {
            let names = if lane.is_controller { &mut controllers } else { &mut kms };
            names.push(lane.name);
        }
    }
    let right = kms.split_off(kms.len().div_ceil(2));
    [kms, controllers, right].concat()
}

/// What the following arrows are.
fn note(text: &mut String, view: View<'_>, ladder: &Ladder, ids: &[usize]) {
    let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else { return };
    let journal = view.journal;
    let lines: Vec<String> = ladder
        .procedures
        .iter()
        .map(|&index| {
            let procedure = &journal.procedures[index as usize];
            let definition = &journal.definitions.procedures[procedure.definition as usize];
            let (name, clause) = (escaped(&definition.name), escaped(&definition.clause));
            clean(&format!("{} {name} (clause {clause}): {}", index + 1, procedure.state.name()))
        })
        .collect();
    let _ = writeln!(text, "    Note over p{},p{}: {}", first, last, lines.join("<br/>"));
}

fn arrow(text: &mut String, row: &Row, ids: &[usize]) {
    let (from, to) = (ids[row.from], ids[row.to]);
    let (arrow, words) = match &row.event {
        Event::Missing { why, .. } => ("--x", clean(why)),
        Event::Message { index, name, ids, facts, codes, failed, .. } => {
            let mut lines = vec![clean(&format!("{} {name} {ids}", index + 1))];
            lines.extend(facts.iter().map(|fact| clean(&format!("{} {}", fact.label, fact.value))));
            if !codes.is_empty() {
                lines.push(clean(&codes.join(", ")));
            }
            (if *failed { "-x" } else { "->>" }, lines.join("<br/>"))
        }
    };
    let _ = writeln!(text, "    p{from}{arrow}p{to}: {words}");
}

/// `text` with everything that could mean something to Mermaid or to HTML as an entity code (`#35;`).
fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() || matches!(c, ' ' | '-' | '.' | ',' | '(' | ')' | '→' | '…') {
            clean.push(c);
        } else {
            let _ = write!(clean, "#{};", u32::from(c));
        }
    }
    // A word that ends a block wherever it stands (mermaid.js.org/syntax/sequenceDiagram.html).
    if clean.eq_ignore_ascii_case("end") { format!("({clean})") } else { clean }
}
