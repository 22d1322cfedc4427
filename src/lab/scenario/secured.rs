//! The other ways in which Ck travels: TLS, gRPC, gRPC in TLS. Each is the twin of a capture in plain TCP: the
//! same messages and procedures. Randomness makes new bytes each time; the secrets are in the file.

use super::super::file::Capture;
use super::super::grpc::Failures;
use super::super::setup::{Binding, Dial, Setup};
use super::super::tls::Version::{self, V12, V13};
use super::procedures::{all, appendix_ii, failures, refused};
use super::{Scenario, twin};

pub(super) const TABLE: &[Scenario] = &[
    twin(
        "all-procedures",
        "all-procedures-tls12",
        "all-procedures in TLS 1.2, both sides with certificates",
        |setup| all(&tls(setup, V12)),
    ),
    twin(
        "all-procedures",
        "all-procedures-tls13",
        "all-procedures in TLS 1.3, both sides with certificates",
        |setup| all(&tls(setup, V13)),
    ),
    twin("failures", "failures-tls12", "failures in TLS 1.2", |setup| failures(&tls(setup, V12))),
    twin("failures", "failures-tls13", "failures in TLS 1.3", |setup| failures(&tls(setup, V13))),
    twin("controller-dials", "controller-dials-tls12", "controller-dials in TLS 1.2", |setup| {
        super::dialects::every_list(&Setup { dial: Dial::Controller, ..tls(setup, V12) })
    }),
    twin("controller-dials", "controller-dials-tls13", "controller-dials in TLS 1.3", |setup| {
        super::dialects::every_list(&Setup { dial: Dial::Controller, ..tls(setup, V13) })
    }),
    twin("appendix-ii", "appendix-ii-grpc", "appendix-ii over gRPC (h2c)", |setup| appendix_ii(&grpc(setup))),
    twin("appendix-ii", "appendix-ii-grpc-tls12", "appendix-ii over gRPC in TLS 1.2", |setup| {
        appendix_ii(&tls(&grpc(setup), V12))
    }),
    twin("appendix-ii", "appendix-ii-grpc-tls13", "appendix-ii over gRPC in TLS 1.3", |setup| {
        appendix_ii(&tls(&grpc(setup), V13))
    }),
    twin("appendix-ii-failures", "appendix-ii-failures-grpc", "failures over gRPC, told by result_code", |setup| {
        refused(&grpc(setup))
    }),
    twin(
        "appendix-ii-failures",
        "appendix-ii-failures-grpc-status",
        "failures over gRPC, told by grpc-status",
        by_status,
    ),
    twin("appendix-ii-failures", "appendix-ii-failures-grpc-tls13", "failures over gRPC in TLS 1.3", |setup| {
        refused(&tls(&grpc(setup), V13))
    }),
];

fn tls(setup: &Setup, version: Version) -> Setup {
    Setup { tls: Some(version), ..setup.clone() }
}

fn grpc(setup: &Setup) -> Setup {
    Setup { binding: Binding::Grpc, ..setup.clone() }
}

fn by_status(setup: &Setup) -> Capture {
    refused(&Setup { failures: Failures::Status, ..grpc(setup) })
}
