//! The six procedures of Q.4164 clause 7: done, refused, unanswered.

use super::super::file::Capture;
use super::super::peer::{Answer, Target, Task};
use super::super::setup::Setup;
use super::super::simulation::Simulation;
use super::super::wire::Code;
use super::{Carried, Scenario, close, ethernet, next_hop, reserve, session, two_kms};
use crate::time::Span;

pub(super) const TABLE: &[Scenario] = &[
    Scenario::new("all-procedures", "all six procedures of clause 7, each done, between six KMs and a controller", all)
        .carried(Carried::Tls),
    Scenario::new("next-hop", "7.1: three KMs on the route each ask for the next hop on their own connection", hops)
        .carried(Carried::Tls),
    Scenario::new("centralized", "7.2: route asked for, relay requested, relay done", centralized)
        .carried(Carried::Tls),
    Scenario::new("session", "7.3 with 7.4 nested on the destination KM's connection", one_session)
        .carried(Carried::Tls),
    Scenario::new("reserve-allocate", "7.5, then 7.6 with the key IDs reserved", reservation).carried(Carried::Tls),
    Scenario::new("failures", "a failure response to each kind of request that has one", failures)
        .carried(Carried::Tls),
    Scenario::new("unanswered", "a request of each kind that nobody answers within five seconds", unanswered)
        .carried(Carried::Tls),
    Scenario::new("pending", "the capture ends 2 ms after a request, before its answer", pending).carried(Carried::Tls),
    Scenario::new("reset-before-answer", "RST while a request waits for its answer", reset).carried(Carried::Tls),
    Scenario::new(
        "out-of-order-answers",
        "three sessions at once, answered in reverse order under fresh MessageIDs",
        reverse,
    )
    .carried(Carried::Tls),
    Scenario::new(
        "identical-applications",
        "two sessions of the same applications at once, the second done first",
        twins,
    )
    .carried(Carried::Tls),
    Scenario::new("no-route", "7.1 without a next hop (empty list), 7.2 without a route (no answer)", no_route)
        .carried(Carried::Tls),
    Scenario::new("appendix-ii", "the procedures that Appendix II maps, each done: 7.2, 7.5, 7.6", appendix_ii)
        .carried(Carried::Grpc),
    Scenario::new("appendix-ii-failures", "a failure response to each request that Appendix II maps", refused)
        .carried(Carried::Grpc),
];

pub(super) fn all(setup: &Setup) -> Capture {
    let mut simulation = Simulation::new(setup);
    simulation.connect(&["KMA-1", "KMA-2", "KMA-3", "KMA-4", "KMA-5", "KMA-6"]);
    simulation.start("KMA-1", next_hop("KMA-1", Target::kma("KMA-4")));
    simulation.run();
    simulation.start("KMA-6", Task::Relay { target: Target::application("app-1") });
    simulation.run();
    simulation.start("KMA-1", session("app-1", "app-4", Some(5)));
    simulation.run();
    simulation.start_controller(reserve("KMA-1", Target::kma("KMA-4")));
    simulation.run();
    close(simulation)
}

fn hops(setup: &Setup) -> Capture {
    let mut simulation = Simulation::new(setup);
    simulation.connect(&["KMA-1", "KMA-2", "KMA-3"]);
    simulation.start("KMA-1", next_hop("KMA-1", Target::kma("KMA-4")));
    simulation.run();
    simulation.start("KMA-2", next_hop("KMA-2", Target::application("app-4")));
    simulation.run();
    close(simulation)
}

fn centralized(setup: &Setup) -> Capture {
    let mut simulation = Simulation::new(setup);
    simulation.connect(&["KMA-1"]);
    simulation.start("KMA-1", Task::Relay { target: Target::kma("KMA-4") });
    simulation.run();
    close(simulation)
}

fn one_session(setup: &Setup) -> Capture {
    let mut simulation = two_kms(setup);
    simulation.start("KMA-1", session("app-1", "app-4", Some(5)));
    simulation.run();
    close(simulation)
}

fn reservation(setup: &Setup) -> Capture {
    let mut simulation = Simulation::new(setup);
    simulation.connect(&["KMA-1"]);
    simulation.start_controller(reserve("KMA-1", Target { application: Some("app-4".into()), ..Target::kma("KMA-4") }));
    simulation.run();
    close(simulation)
}

pub(super) fn failures(setup: &Setup) -> Capture {
    let mut simulation = two_kms(setup);
    let refuse = |reason: &str| Answer::Refuse(reason.to_owned());
    let km = simulation.km("KMA-1");
    km.talk.conduct.answers.insert(Code::RELAY_REQUEST, refuse("Unsuccessful relay at KMA-3"));
    km.talk.conduct.answers.insert(Code::RESERVATION_REQUEST, refuse("No keys left"));
    let km = simulation.km("KMA-4");
    km.talk.conduct.answers.insert(Code::SESSION_NOTIFICATION, refuse("Destination application not registered"));
    for task in [
        Task::Relay { target: Target::kma("KMA-4") },
        session("app-1", "app-4", None),
        session("app-1", "app-99", None),
    ] {
        simulation.start("KMA-1", task);
        simulation.run();
    }
    let keys = vec!["00000000-0000-4000-8000-000000000000".to_owned()];
    let (source, target) = ("KMA-1".to_owned(), Target::kma("KMA-4"));
    simulation.start_controller(reserve("KMA-1", Target::kma("KMA-4")));
    simulation.run();
    simulation.start_controller(Task::Allocate { source, target, keys });
    simulation.run();
    close(simulation)
}

/// 7.2, 7.5 and 7.6 at two KMs, toward KMAs: Appendix II maps no application IDs.
pub(super) fn appendix_ii(setup: &Setup) -> Capture {
    let mut simulation = two_kms(setup);
    for (source, target) in [("KMA-1", "KMA-4"), ("KMA-4", "KMA-1")] {
        simulation.start(source, Task::Relay { target: Target::kma(target) });
        simulation.run();
        simulation.start_controller(reserve(source, Target::kma(target)));
        simulation.run();
    }
    close(simulation)
}

/// 7.2, 7.5 and 7.6, each refused by the KM.
pub(super) fn refused(setup: &Setup) -> Capture {
    let mut simulation = two_kms(setup);
    let refuse = |reason: &str| Answer::Refuse(reason.to_owned());
    let answers = &mut simulation.km("KMA-1").talk.conduct.answers;
    answers.insert(Code::RELAY_REQUEST, refuse("Unsuccessful relay at KMA-3"));
    answers.insert(Code::RESERVATION_REQUEST, refuse("No keys left"));
    simulation.start("KMA-1", Task::Relay { target: Target::kma("KMA-4") });
    simulation.run();
    simulation.start_controller(reserve("KMA-1", Target::kma("KMA-4")));
    simulation.run();
    let keys = vec!["00000000-0000-4000-8000-000000000000".to_owned()];
    simulation.start_controller(Task::Allocate { source: "KMA-1".to_owned(), target: Target::kma("KMA-4"), keys });
    simulation.run();
    close(simulation)
}

fn unanswered(setup: &Setup) -> Capture {
    let mut simulation = two_kms(setup);
    let codes = [Code::NEXT_HOP_REQUEST, Code::RELAY_NOTIFICATION, Code::SESSION_REQUEST, Code::SESSION_NOTIFICATION]
        .into_iter()
        .chain([Code::RELAY_REQUEST, Code::RESERVATION_REQUEST, Code::ALLOCATION_REQUEST]);
    for code in codes {
        simulation.controller.talk.conduct.answers.insert(code, Answer::Silence);
        simulation.km("KMA-1").talk.conduct.answers.insert(code, Answer::Silence);
        simulation.km("KMA-4").talk.conduct.answers.insert(code, Answer::Silence);
    }
    let relay = Task::Relay { target: Target::kma("KMA-4") };
    for task in [next_hop("KMA-1", Target::kma("KMA-4")), relay.clone(), session("app-1", "app-4", None)] {
        simulation.start("KMA-1", task);
        simulation.run();
    }
    simulation.controller.talk.conduct.answers.clear();
    for task in [relay, session("app-1", "app-4", None)] {
        simulation.start("KMA-1", task);
        simulation.run();
    }
    let (source, target) = ("KMA-1".to_owned(), Target::kma("KMA-4"));
    simulation.start_controller(reserve("KMA-1", Target::kma("KMA-4")));
    simulation.run();
    simulation.start_controller(Task::Allocate { source, target, keys: vec!["key-1".into()] });
    simulation.run();
    close(simulation)
}

fn pending(setup: &Setup) -> Capture {
    let mut simulation = two_kms(setup);
    simulation.km("KMA-4").talk.conduct.delays.push_back(Span::from_secs(1));
    simulation.start("KMA-1", session("app-1", "app-4", None));
    simulation.pause(Span::from_millis(2));
    ethernet(&simulation.finish())
}

fn reset(setup: &Setup) -> Capture {
    let mut simulation = two_kms(setup);
    simulation.km("KMA-4").talk.conduct.delays.push_back(Span::from_secs(1));
    simulation.start("KMA-1", session("app-1", "app-4", None));
    simulation.pause(Span::from_millis(20));
    simulation.reset("KMA-1");
    simulation.run();
    simulation.hang_up("KMA-4");
    ethernet(&simulation.finish())
}

fn reverse(setup: &Setup) -> Capture {
    let mut setup = setup.clone();
    super::dialects::fresh(&mut setup);
    let mut simulation = Simulation::new(&setup);
    simulation.connect(&["KMA-1", "KMA-4", "KMA-5", "KMA-6"]);
    for (kma, delay) in [("KMA-4", 30), ("KMA-5", 20), ("KMA-6", 10)] {
        simulation.km(kma).talk.conduct.delays.push_back(Span::from_millis(delay));
    }
    for destination in ["app-4", "app-5", "app-6"] {
        simulation.start("KMA-1", session("app-1", destination, None));
    }
    simulation.run();
    close(simulation)
}

fn twins(setup: &Setup) -> Capture {
    let mut setup = setup.clone();
    super::dialects::fresh(&mut setup);
    let mut simulation = two_kms(&setup);
    simulation.km("KMA-4").talk.conduct.delays.extend([Span::from_millis(30), Span::from_millis(5)]);
    simulation.start("KMA-1", session("app-1", "app-4", None));
    simulation.start("KMA-1", session("app-1", "app-4", None));
    simulation.run();
    close(simulation)
}

fn no_route(setup: &Setup) -> Capture {
    let mut setup = setup.clone();
    setup.topology.kms[3].links.retain(|kma| kma != "KMA-6");
    let mut simulation = Simulation::new(&setup);
    simulation.connect(&["KMA-1"]);
    simulation.start("KMA-1", next_hop("KMA-1", Target::kma("KMA-6")));
    simulation.run();
    simulation.start("KMA-1", Task::Relay { target: Target::kma("KMA-6") });
    simulation.run();
    close(simulation)
}
