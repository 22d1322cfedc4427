//! What the Recommendation leaves open: names, types, MessageIDs, who dials. All conversations here are right.

use super::super::dialect::{Dialect, Ids, Lists, Responses, Spelling};
use super::super::file::Capture;
use super::super::peer::{Target, Task};
use super::super::setup::{Dial, Setup};
use super::{Carried, Scenario, close, next_hop, reserve, session, two_kms};

pub(super) const TABLE: &[Scenario] = &[
    Scenario::new("fresh-ids", "every message has a MessageID of its own", |setup| with(setup, |d| d.ids = Ids::Fresh)),
    Scenario::new("echo-all-ids", "0x4104 repeats the MessageID of the 0x1403 it answers", |setup| {
        with(setup, |d| d.ids = Ids::EchoAll)
    }),
    Scenario::new("names-snake", "parameter names as source_kma_id", |setup| {
        with(setup, |d| d.spelling = Spelling::Snake)
    }),
    Scenario::new("names-camel", "parameter names as sourceKmaId", |setup| {
        with(setup, |d| d.spelling = Spelling::Camel)
    }),
    Scenario::new("names-upper", "parameter names as SOURCE_KMA_ID", |setup| {
        with(setup, |d| d.spelling = Spelling::Upper)
    }),
    Scenario::new("names-kebab", "parameter names as source-kma-id", |setup| {
        with(setup, |d| d.spelling = Spelling::Kebab)
    }),
    Scenario::new("names-appendix-ii", "parameter names of Appendix II: start_km, end_km, result_code", |setup| {
        with(setup, |d| (d.spelling, d.responses) = (Spelling::AppendixIi, Responses::Number))
    }),
    Scenario::new("names-mixed", "the KM writes sourceKmaId, the controller \"Source KMA ID\"", mixed),
    Scenario::new("lists-comma", "lists as one string with commas", |setup| with(setup, |d| d.lists = Lists::Comma)),
    Scenario::new("lists-strings", "lists as arrays of strings", |setup| with(setup, |d| d.lists = Lists::Strings)),
    Scenario::new("lists-objects", "lists as arrays of objects", |setup| with(setup, |d| d.lists = Lists::Objects)),
    Scenario::new("response-text", "Response is a string in every message", |setup| {
        with(setup, |d| d.responses = Responses::Text)
    }),
    Scenario::new("response-number", "Response is an integer in every message", |setup| {
        with(setup, |d| d.responses = Responses::Number)
    }),
    Scenario::new("controller-dials", "the controller dials the KMs", |setup| {
        every_list(&Setup { dial: Dial::Controller, ..setup.clone() })
    })
    .carried(Carried::Tls),
];

/// Fresh MessageIDs on both sides.
pub(super) fn fresh(setup: &mut Setup) {
    setup.km.ids = Ids::Fresh;
    setup.controller.ids = Ids::Fresh;
}

/// Both sides write alike.
fn with(setup: &Setup, change: impl Fn(&mut Dialect)) -> Capture {
    let mut setup = setup.clone();
    change(&mut setup.km);
    change(&mut setup.controller);
    every_list(&setup)
}

fn mixed(setup: &Setup) -> Capture {
    let mut setup = setup.clone();
    setup.km.spelling = Spelling::Camel;
    every_list(&setup)
}

/// A conversation with every list and every Response in it.
pub(super) fn every_list(setup: &Setup) -> Capture {
    let mut simulation = two_kms(setup);
    let target = || Target::kma("KMA-4");
    for task in [next_hop("KMA-1", target()), Task::Relay { target: target() }, session("app-1", "app-4", Some(5))] {
        simulation.start("KMA-1", task);
        simulation.run();
    }
    simulation.start_controller(reserve("KMA-1", target()));
    simulation.run();
    close(simulation)
}
