//! The proxy, for people.

use super::record;
use crate::capture::proxy::panel::{Connection, Panel};
use crate::capture::proxy::report::Half;
use crate::tui::{SourcePanel, SourceTable};

/// What there is to see of it; `problems` come first.
pub fn shown(panel: &Panel, problems: Vec<String>) -> SourcePanel {
    SourcePanel {
        title: "Proxy".to_owned(),
        warnings: problems.into_iter().chain(panel.warnings.iter().cloned()).collect(),
        facts: facts(panel),
        tables: vec![listeners(panel), connections(panel), notices(panel)],
    }
}

fn facts(panel: &Panel) -> Vec<(String, String)> {
    let Panel { open, total, turned_away, bytes, rates, queue, .. } = panel;
    let [up, down] = rates.map(|rate| rate.round());
    let latest = panel.notices.last().map(|(_, text)| ("Latest notice", text.clone()));
    let facts = [
        ("Connections", format!("{open} open, {total} in all, {turned_away} turned away")),
        ("KM to controller", format!("{} bytes, {up} bytes/s", bytes[0])),
        ("Controller to KM", format!("{} bytes, {down} bytes/s", bytes[1])),
        ("Queue", format!("{} of {} bytes, {} events", queue.bytes, queue.limit, queue.events)),
        ("Lost in the queue", format!("{} bytes, {} events", queue.lost_bytes, queue.lost_events)),
    ];
    let facts = latest.into_iter().chain(facts).map(|(name, value)| (name.to_owned(), value));
    facts.chain(record::facts(&panel.recording)).collect()
}

fn listeners(panel: &Panel) -> SourceTable {
    let rows = panel.listeners.iter().map(|(address, goal)| vec![address.to_string(), goal.clone()]);
    table("Listeners", &["Listens on", "Passes on to"], rows.collect(), Vec::new())
}

fn connections(panel: &Panel) -> SourceTable {
    let newest_first = || panel.connections.iter().rev();
    let details = newest_first().map(details).collect();
    // What a narrow screen cuts off stands in the details, and so do the whole identities.
    let columns = ["No", "KM", "Controller", "State", "KM is", "Controller is", "Bytes"];
    table("Connections", &columns, newest_first().map(row).collect(), details)
}

fn row(connection: &Connection) -> Vec<String> {
    let hand_off = connection.hand_off.as_deref();
    let owner = |half: &Half| half.presented.as_ref().map_or_else(String::new, |shown| shown.owner.clone());
    let [up, down] = connection.bytes;
    vec![
        connection.number.to_string(),
        connection.km.to_string(),
        connection.controller.to_string(),
        state(connection).split(';').next().unwrap_or_default().to_owned(),
        hand_off.map_or_else(String::new, |hand_off| owner(&hand_off.km)),
        hand_off.map_or_else(String::new, |hand_off| owner(&hand_off.controller)),
        format!("{up} / {down}"),
    ]
}

fn state(connection: &Connection) -> &str {
    connection.ended.as_deref().unwrap_or("open")
}

fn details(connection: &Connection) -> Vec<String> {
    let cut = Some(state(connection)).filter(|state| state.contains(';')).map(str::to_owned);
    let hand_off = connection.hand_off.iter().flat_map(|hand_off| hand_off.lines());
    cut.into_iter().chain(hand_off).collect()
}

fn notices(panel: &Panel) -> SourceTable {
    let rows = panel.notices.iter().rev().map(|(_, text)| vec![text.clone()]);
    table("Notices", &["What happened, the last first"], rows.collect(), Vec::new())
}

fn table(title: &str, columns: &[&str], rows: Vec<Vec<String>>, details: Vec<Vec<String>>) -> SourceTable {
    SourceTable { title: title.to_owned(), columns: columns.iter().map(ToString::to_string).collect(), rows, details }
}
