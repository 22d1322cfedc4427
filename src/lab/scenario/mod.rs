//! The sample captures: a table of name, description and the function that makes it. One behaviour each.

mod departures;
mod dialects;
mod files;
mod procedures;
mod secured;
mod transport;

use std::fmt::Write;
use std::sync::Arc;

use super::file::Capture;
use super::link::Link;
use super::peer::{Target, Task};
use super::setup::Setup;
use super::simulation::Simulation;
use super::tcp::{Ip, Segment};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What to type after `--scenario`.
    pub name: &'static str,
    /// The end of its file's name.
    pub extension: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    /// How else than in plain TCP its conversation may travel.
    pub carried: Carried,
    /// The scenario in plain TCP with the same messages and procedures, for one that travels otherwise. Its bytes
    /// are new each time.
    pub twin: Option<&'static str>,
    make: fn(&Setup) -> Capture,
}

/// How else than in plain TCP a scenario's conversation may travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// Not: it is about what is on the wire, byte for byte. The row itself may still say how.
    No,
    /// In TLS.
    Tls,
    /// In TLS, over gRPC, or both.
    Grpc,
}

impl Scenario {
    const fn new(name: &'static str, about: &'static str, make: fn(&Setup) -> Capture) -> Self {
        Self { name, extension: "pcapng", about, carried: Carried::No, twin: None, make }
    }

    const fn carried(self, carried: Carried) -> Self {
        Self { carried, ..self }
    }

    /// The name of its file in `captures/`.
    pub fn file(&self) -> String {
        format!("{}.{}", self.name, self.extension)
    }

    /// Makes the capture; where the format can, its first packet says what it shows.
    pub fn capture(&self, setup: &Setup) -> Capture {
        let setup = Setup { aside: Arc::default(), ..setup.clone() };
        let mut capture = (self.make)(&setup);
        capture.secrets = setup.aside.secrets.take();
        if let Some(first) = capture.frames.first_mut() {
            first.comments.insert(0, self.about.to_owned());
        }
        capture
    }
}

/// A scenario that says the same as the one called `twin`.
const fn twin(twin: &'static str, name: &'static str, about: &'static str, make: fn(&Setup) -> Capture) -> Scenario {
    Scenario { twin: Some(twin), ..Scenario::new(name, about, make) }
}

/// Every scenario, in the order in which `--list` and the README show them.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    [procedures::TABLE, dialects::TABLE, departures::TABLE, transport::TABLE, files::TABLE, secured::TABLE]
        .into_iter()
        .flatten()
}

/// The scenario of this name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    all().find(|scenario| scenario.name == name)
}

/// The README of the directory of sample captures.
pub fn readme() -> String {
    let mut text = String::from(
        "# Sample captures\n\n\
         Each file shows one behaviour of the Ck interface (ITU-T Q.4164), or of what carries it. None was taken from a\n\
         real network: all come from the simulated QKDN in `src/lab/`, addresses are those reserved for documentation, and\n\
         the controller listens on port 4164. The command beside a file makes it again, byte for byte but for those over TLS and gRPC;\n\
         `ckscope lab --all captures` makes them all, this page included. A test compares. Captures of any size, for\n\
         measuring, come from `ckscope lab --messages 1000000 --connections 1000 --write FILE`.\n\n\
         Those over TLS and gRPC have other bytes each time, but the same messages and procedures as the capture in\n\
         plain TCP that they are named after. TLS secrets are in the file itself, in a Decryption Secrets Block;\n\
         `--tls 1.2`, `--tls 1.3` and `--binding grpc` make more of the kind.\n\n\
         | file | shows | made by |\n|---|---|---|\n",
    );
    for scenario in all() {
        let (file, about, name) = (scenario.file(), scenario.about, scenario.name);
        let command = format!("ckscope lab --scenario {name} --write {file}");
        writeln!(text, "| {file} | {about} | `{command}` |").expect("a String takes all");
    }
    text
}

/// 7.1 toward a KMA.
fn next_hop(source: &str, target: Target) -> Task {
    Task::NextHop { source: source.to_owned(), target }
}

/// 7.3.
fn session(source: &str, destination: &str, keys: Option<i64>) -> Task {
    Task::Session { source: source.to_owned(), destination: destination.to_owned(), keys }
}

/// 7.5, and 7.6 after it.
fn reserve(source: &str, target: Target) -> Task {
    Task::Reserve { source: source.to_owned(), target, allocate: true }
}

/// A simulation in which the KMs at both ends of a route are connected.
fn two_kms(setup: &Setup) -> Simulation {
    let mut simulation = Simulation::new(setup);
    simulation.connect(&["KMA-1", "KMA-4"]);
    simulation
}

/// The short conversation under most captures about something else: a relay (7.2), then a session (7.3, 7.4).
fn converse(simulation: &mut Simulation) {
    simulation.start("KMA-1", Task::Relay { target: Target::kma("KMA-4") });
    simulation.run();
    simulation.start("KMA-1", session("app-1", "app-4", Some(5)));
    simulation.run();
}

/// The segments of the short conversation, from SYN to FIN.
fn conversation(setup: &Setup) -> Vec<Segment> {
    let mut simulation = two_kms(setup);
    converse(&mut simulation);
    simulation.hang_up_all();
    simulation.finish()
}

/// A pcapng file of Ethernet frames.
fn ethernet(segments: &[Segment]) -> Capture {
    Capture::of(segments, Link::Ethernet, Ip::default())
}

/// Closes what is open and gives a pcapng file of Ethernet frames.
fn close(mut simulation: Simulation) -> Capture {
    simulation.hang_up_all();
    ethernet(&simulation.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = all().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn another_seed_gives_other_bytes() {
        let bytes = |seed| all().next().unwrap().capture(&Setup { seed, ..Setup::default() }).to_bytes();
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }
}
