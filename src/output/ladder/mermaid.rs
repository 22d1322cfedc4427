//! Ladders as a Mermaid sequence diagram, for documents and tickets.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::rows::{Event, Ladder, Row};
use crate::journal::View;
use crate::output::escape::escaped;

/// Writes `ladders` as one diagram.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut impl Write, view: View<'_>, ladders: &[Ladder]) -> io::Result<()> {
    let lanes = all_lanes(ladders);
    let mut text = String::from("sequenceDiagram\n");
    for (index, name) in lanes.iter().enumerate() {
        let _ = writeln!(text, "    participant p{} as {}", index + 1, clean(name));
    }
    for ladder in ladders {
        let ids: Vec<usize> =
            ladder.lanes.iter().filter_map(|lane| lanes.iter().position(|name| *name == lane.name)).collect();
        note(&mut text, view, ladder, &ids);
        for row in &ladder.rows {
            arrow(&mut text, row, &ids);
        }
    }
    out.write_all(text.as_bytes())
}

/// Names of all lanes, each once, controllers in the middle.
fn all_lanes(ladders: &[Ladder]) -> Vec<&str> {
    let (mut kms, mut controllers) = (Vec::new(), Vec::new());
    for lane in ladders.iter().flat_map(|ladder| &ladder.lanes) {
        let names = if lane.is_controller { &mut controllers } else { &mut kms };
        if !names.contains(&lane.name.as_str()) {
            names.push(lane.name.as_str());
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
    let _ = writeln!(text, "    Note over p{},p{}: {}", first + 1, last + 1, lines.join("<br/>"));
}

fn arrow(text: &mut String, row: &Row, ids: &[usize]) {
    let (from, to) = (ids[row.from] + 1, ids[row.to] + 1);
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
