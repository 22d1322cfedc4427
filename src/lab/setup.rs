//! What a simulation is made from, and what it leaves behind besides packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use rustls::KeyLog;

use super::dialect::Dialect;
use super::grpc::Failures;
use super::tls::{Secrets, Version};
use super::topology::Topology;
use super::wire::Code;
use crate::time::Timestamp;

/// When every simulation begins: 2026-01-05T09:00:00Z.
pub const START: Timestamp = Timestamp(1_767_603_600_000_000_000);

/// Where the lab's peers listen. Q.4164 assigns no port.
pub const PORT: u16 = 4164;

/// What the controller's address ends with.
pub(super) const CONTROLLER_HOST: u8 = 1;

/// Who dials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Dial {
    /// The KMs dial the controller.
    #[default]
    Km,
    /// The controller dials the KMs.
    Controller,
}

/// What a simulation is made from.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Decides every delay, sequence number and ID.
    pub seed: u64,
    /// How the KMs write.
    pub km: Dialect,
    /// How the controller writes.
    pub controller: Dialect,
    /// Who dials.
    pub dial: Dial,
    /// Addresses are IPv6.
    pub ipv6: bool,
    /// The map.
    pub topology: Topology,
    /// What is between Ck and TCP.
    pub tls: Option<Version>,
    /// How Ck travels.
    pub binding: Binding,
    /// How failures are told over gRPC.
    pub failures: Failures,
    /// What is to be kept besides packets; [`Scenario::capture`](super::scenario::Scenario::capture) collects it.
    pub aside: Arc<Aside>,
}

/// How Ck travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Binding {
    /// Q.4164 Appendix I.
    #[default]
    Tcp,
    /// Q.4164 Appendix II, which maps 7.2, 7.5 and 7.6. Either side dials the other.
    Grpc,
}

impl KeyLog for Aside {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        self.secrets.log(label, client_random, secret);
    }
}

/// What a simulation leaves behind besides packets.
#[derive(Debug, Default)]
pub struct Aside {
    /// The secrets of its TLS connections.
    pub secrets: Secrets<Vec<u8>>,
    /// Messages that were not sent, because Appendix II maps none such.
    pub unmapped: Mutex<Vec<Code>>,
}

impl Setup {
    /// The address whose last number is `host`, in a block for documentation (RFC 5737, RFC 3849).
    pub fn address(&self, host: u8) -> IpAddr {
        if self.ipv6 {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host)))
        } else {
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, host))
        }
    }
}
