//! Mutual TLS through the proxy: each side meets the other, as its certificate says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use ckscope::capture::proxy::panel::Connection;
use ckscope::capture::proxy::{Options, Party, Trust};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{NamedGroup, StreamOwned};
use x509_parser::prelude::*;

use crate::harness::{Proxy, noise, patient, reset, sent, until};
use crate::pki::{Endpoint, Flaw, Kind, Pki, common_name, name};
use crate::stacks::{ANSWERED, ASKED, Met, Server, Stack, Version, ask, client_config, converse, serve, server_config};

const KINDS: [Kind; 4] = [Kind::Rsa, Kind::P256, Kind::P384, Kind::Ed25519];
const VERSIONS: [Version; 2] = [Version::V12, Version::V13];
const DIALLERS: [Party; 2] = [Party::Km, Party::Controller];

fn der(pki: &Pki, party: Party) -> CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_file(pki.endpoint(party).certificate).unwrap()
}

/// That `mirror` says of its subject what `original` says.
fn assert_mirrors(mirror: &CertificateDer<'_>, original: &CertificateDer<'_>) {
    let [mirror, original] = [mirror, original].map(|der| parse_x509_certificate(der).unwrap().1);
    assert_eq!(mirror.subject().as_raw(), original.subject().as_raw());
    assert_eq!(mirror.validity(), original.validity());
    let value = |certificate: &X509Certificate<'_>, id: x509_parser::der_parser::oid::Oid<'_>| {
        certificate.get_extension_unique(&id).unwrap().map(|extension| (extension.critical, extension.value.to_vec()))
    };
    use x509_parser::oid_registry as ids;
    for id in [ids::OID_X509_EXT_SUBJECT_ALT_NAME, ids::OID_X509_EXT_KEY_USAGE, ids::OID_X509_EXT_EXTENDED_KEY_USAGE] {
        assert!(value(&original, id.clone()).is_some());
        assert_eq!(value(&mirror, id.clone()), value(&original, id));
    }
    let algorithm = |certificate: &X509Certificate<'_>| {
        let algorithm = &certificate.public_key().algorithm;
        (algorithm.algorithm.to_id_string(), algorithm.parameters.as_ref().map(|any| any.data.to_vec()))
    };
    assert_eq!(algorithm(&mirror), algorithm(&original));
    assert_ne!(mirror.public_key().raw, original.public_key().raw);
    assert!(mirror.issuer().to_string().contains("ckscope proxy CA"));
}

/// That whoever `met` someone met `party`, as its mirror shows it.
fn assert_met(met: &Met, pki: &Pki, party: Party) {
    match &met.certificate {
        Some(certificate) => assert_mirrors(certificate, &der(pki, party)),
        // What gnutls-serv prints.
        None => {
            let lines = [format!("CN={}", common_name(party)), format!("DNSname: {}", name(party))];
            lines.iter().for_each(|line| assert!(met.text.contains(line), "{line} is not in {}", met.text));
        }
    }
}

fn other(party: Party) -> Party {
    if party == Party::Km { Party::Controller } else { Party::Km }
}

fn conversation(pki: &Pki, stacks: [Stack; 2], version: Version, dialler: Party) {
    let [client, server] = stacks;
    let server = Server::start(server, version, &pki.endpoint(other(dialler)));
    let proxy = Proxy::dialled_by(dialler, server.address(), pki.options());
    let (client, server) = converse(client, version, &pki.endpoint(dialler), proxy.address(), server);
    let told = format!("{stacks:?} {version:?} {dialler:?}: {}", proxy.said());
    assert_met(&client.expect(&told), pki, other(dialler));
    assert_met(&server.expect(&told), pki, dialler);
    until("it ended", || proxy.running.panel().open == 0);
    let recorded = proxy.recorded();
    let said = String::from_utf8(sent(&recorded[0], 0).0).unwrap();
    assert_eq!(said, ASKED, "{told}");
    let answer = if stacks[1] == Stack::GnuTls { ASKED } else { ANSWERED };
    assert_eq!(String::from_utf8(sent(&recorded[0], 1).0).unwrap(), answer, "{told}");
    assert_handed_off(&proxy.running.panel().connections[0], version);
    assert_eq!(proxy.told(), proxy.running.panel().connections[0].hand_off.as_ref().unwrap().lines(), "{told}");
}

fn assert_handed_off(connection: &Connection, version: Version) {
    let hand_off = connection.hand_off.as_ref().unwrap();
    assert_eq!(hand_off.refusal, None);
    let spoken = if version == Version::V13 { "TLS 1.3" } else { "TLS 1.2" };
    for (half, party) in [(&hand_off.km, Party::Km), (&hand_off.controller, Party::Controller)] {
        assert!(half.negotiated.starts_with(spoken) && half.mirrored, "{half:?}");
        let [presented, shown] = [(&half.presented, party), (&half.shown, other(party))].map(|(certificate, party)| {
            let certificate = certificate.as_ref().unwrap();
            certificate.subject.contains(common_name(party))
                && certificate.names.contains(&format!("DNS:{}", name(party)))
        });
        assert!(presented && shown, "{half:?}");
    }
    assert_eq!(hand_off.km.negotiated, hand_off.controller.negotiated);
}

fn matrix(stacks: [Stack; 2]) {
    if !stacks.iter().all(|stack| stack.is_there()) {
        return; // said by `is_there`
    }
    for kind in KINDS {
        let pki = Pki::new(kind);
        for (version, dialler) in VERSIONS.into_iter().flat_map(|version| DIALLERS.map(|dialler| (version, dialler))) {
            conversation(&pki, stacks, version, dialler);
        }
    }
}

#[test]
fn rustls_meets_rustls() {
    matrix([Stack::Rustls, Stack::Rustls]);
}

#[test]
fn openssl_meets_openssl() {
    matrix([Stack::OpenSsl, Stack::OpenSsl]);
}

#[test]
fn gnutls_meets_gnutls() {
    matrix([Stack::GnuTls, Stack::GnuTls]);
}

#[test]
fn openssl_meets_gnutls() {
    matrix([Stack::OpenSsl, Stack::GnuTls]);
}

#[test]
fn gnutls_meets_openssl() {
    matrix([Stack::GnuTls, Stack::OpenSsl]);
}

#[test]
fn a_kind_of_key_that_cannot_be_mirrored_is_replaced_and_said() {
    if !Stack::OpenSsl.is_there() {
        return; // said by `is_there`
    }
    let pki = Pki::of_kinds([Kind::P521, Kind::P256]);
    for version in VERSIONS {
        let server = Server::start(Stack::OpenSsl, version, &pki.endpoint(Party::Controller));
        let proxy = Proxy::before(server.address(), pki.options());
        let (km, controller) = converse(Stack::OpenSsl, version, &pki.endpoint(Party::Km), proxy.address(), server);
        assert!(km.is_ok() && controller.is_ok(), "{version:?}: {}", proxy.said());
        until("it ended", || proxy.running.panel().open == 0);
        let hand_off = proxy.running.panel().connections[0].hand_off.clone().unwrap();
        let differs = hand_off.differs.iter().filter(|difference| difference.contains("cannot be mirrored"));
        assert_eq!(differs.count(), 1, "{:?}", hand_off.differs);
    }
}

#[test]
fn whoever_is_dialled_may_be_the_tls_client() {
    let pki = Pki::new(Kind::P256);
    for version in VERSIONS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::before(listener.local_addr().unwrap(), pki.options());
        // The controller waits to be dialled, and then sends the ClientHello.
        let (config, expects) = (client_config(version, &pki.endpoint(Party::Controller)), name(Party::Km));
        let controller = thread::spawn(move || ask(listener.accept()?.0, config, expects));
        let km = serve(proxy.dial(), server_config(version, &pki.endpoint(Party::Km)));
        let told = proxy.said();
        assert_met(&controller.join().unwrap().expect(&told), &pki, Party::Km);
        assert_met(&km.expect(&told), &pki, Party::Controller);
        until("it ended", || proxy.running.panel().open == 0);
        assert_handed_off(&proxy.running.panel().connections[0], version);
        assert_eq!(sent(&proxy.recorded()[0], 1).0, ASKED.as_bytes());
    }
}

#[test]
fn what_one_side_offers_and_the_other_chooses_is_carried_through() {
    let pki = Pki::new(Kind::P256);
    let offered = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
    for (client, server, chosen) in
        [(&["h2", "ck"][..], &["ck"][..], Some("ck")), (&["h2"], &["ck", "h2"], Some("h2")), (&[], &["h2"], None)]
    {
        let mut ends = [Party::Km, Party::Controller].map(|party| pki.endpoint(party));
        (ends[0].alpn, ends[1].alpn) = (offered(client), offered(server));
        let server = Server::start(Stack::Rustls, Version::V13, &ends[1]);
        let proxy = Proxy::before(server.address(), pki.options());
        let met = converse(Stack::Rustls, Version::V13, &ends[0], proxy.address(), server);
        for met in [met.0.unwrap(), met.1.unwrap()] {
            assert_eq!(met.alpn.as_deref(), chosen.map(str::as_bytes));
            assert_eq!(met.group.as_deref(), Some("X25519"));
        }
        until("it ended", || proxy.running.panel().open == 0);
        let hand_off = proxy.running.panel().connections[0].hand_off.clone().unwrap();
        assert_eq!(hand_off.server_name.as_deref(), Some(name(Party::Controller)));
    }
}

/// A KM that offers these groups alone, the first before the others.
fn km_of_groups(pki: &Pki, groups: &[NamedGroup]) -> Arc<rustls::ClientConfig> {
    let end = pki.endpoint(Party::Km);
    let mut provider = CryptoProvider::clone(client_config(Version::V13, &end).crypto_provider());
    let place = |group: NamedGroup| groups.iter().position(|wanted| *wanted == group);
    provider.kx_groups.retain(|group| place(group.name()).is_some());
    provider.kx_groups.sort_by_key(|group| place(group.name()));
    let identity = ckscope::lab::pki::Identity::read(&end.trust, &end.certificate, &end.key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    identity.roots.iter().for_each(|root| roots.add(root.clone()).unwrap());
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(identity.chain, identity.key);
    config.unwrap().into()
}

#[test]
fn the_post_quantum_group_is_used_where_both_ends_have_it() {
    let pki = Pki::new(Kind::P256);
    let server = Server::start(Stack::Rustls, Version::V13, &pki.endpoint(Party::Controller));
    let proxy = Proxy::before(server.address(), pki.options());
    let config = km_of_groups(&pki, &[NamedGroup::X25519MLKEM768]);
    let km = ask(TcpStream::connect(proxy.address()).unwrap(), config, name(Party::Controller)).unwrap();
    assert_eq!(km.group.as_deref(), Some("X25519MLKEM768"));
    assert_eq!(server.met().unwrap().group.as_deref(), Some("X25519MLKEM768"));
}

#[test]
fn the_client_gets_the_group_that_the_server_chose() {
    if !Stack::GnuTls.is_there() {
        return; // said by `is_there`
    }
    let pki = Pki::new(Kind::P256);
    // One that has no post-quantum group.
    let server = Server::start(Stack::GnuTls, Version::V13, &pki.endpoint(Party::Controller));
    let proxy = Proxy::before(server.address(), pki.options());
    let config = km_of_groups(&pki, &[NamedGroup::X25519MLKEM768, NamedGroup::X25519]);
    let km = ask(TcpStream::connect(proxy.address()).unwrap(), config, name(Party::Controller)).unwrap();
    assert_eq!(km.group.as_deref(), Some("X25519"), "{}", proxy.said());
}

#[test]
fn what_a_mirror_does_not_say_of_its_issuer_stands_in_the_report() {
    let pki = Pki::flawed(Kind::P256, [Flaw::Pointing, Flaw::None]);
    let server = Server::start(Stack::Rustls, Version::V13, &pki.endpoint(Party::Controller));
    let proxy = Proxy::before(server.address(), pki.options());
    let (km, controller) = converse(Stack::Rustls, Version::V13, &pki.endpoint(Party::Km), proxy.address(), server);
    assert!(km.is_ok() && controller.is_ok(), "{}", proxy.said());
    until("it ended", || proxy.running.panel().open == 0);
    let hand_off = proxy.running.panel().connections[0].hand_off.clone().unwrap();
    let expected = "what the KM's certificate says of its issuer is not mirrored: where its revocation lists are";
    assert_eq!(hand_off.differs, [expected]);
}

#[test]
fn certificates_may_be_supplied() {
    let (pki, supplied) = (Pki::new(Kind::P256), Pki::new(Kind::Rsa));
    // The other PKI's parties show what its authorities signed.
    for (party, trust) in [(Party::Km, "controller-trust.pem"), (Party::Controller, "km-trust.pem")] {
        let authority =
            std::fs::read_to_string(supplied.path(&format!("{}-ca.pem", crate::pki::label(party)))).unwrap();
        pki.write(trust, &authority);
    }
    for version in VERSIONS {
        let mut options = Options { ca: None, ..pki.options() };
        let shown = |party: Party| {
            let end = supplied.endpoint(party);
            Some((end.certificate, end.key))
        };
        (options.km.shown, options.controller.shown) = (shown(Party::Controller), shown(Party::Km));
        let server = Server::start(Stack::Rustls, version, &pki.endpoint(Party::Controller));
        let proxy = Proxy::before(server.address(), options);
        let (km, controller) = converse(Stack::Rustls, version, &pki.endpoint(Party::Km), proxy.address(), server);
        assert_eq!(km.unwrap().certificate.unwrap(), der(&supplied, Party::Controller));
        assert_eq!(controller.unwrap().certificate.unwrap(), der(&supplied, Party::Km));
    }
}

#[test]
fn who_shows_nothing_does_not_get_in_on_a_supplied_certificate() {
    let pki = Pki::new(Kind::P256);
    for version in VERSIONS {
        let end = pki.endpoint(Party::Km);
        let shown = Some((end.certificate, end.key));
        let options = pki.options();
        let options = Options { controller: Trust { shown, ..options.controller.clone() }, ..options };
        let server = Server::start(Stack::Rustls, version, &pki.endpoint(Party::Controller));
        let proxy = Proxy::before(server.address(), options);
        let nobody = Endpoint { shows: false, ..pki.endpoint(Party::Km) };
        let (km, controller) = converse(Stack::Rustls, version, &nobody, proxy.address(), server);
        assert!(km.is_err() && controller.is_err());
        until("it is said", || proxy.said().contains("the proxy refused the KM: it showed no certificate"));
    }
}

#[test]
fn secrets_of_both_sides_are_logged() {
    let pki = Pki::new(Kind::P256);
    let log = pki.path("keys.log");
    let server = Server::start(Stack::Rustls, Version::V13, &pki.endpoint(Party::Controller));
    let proxy = Proxy::before(server.address(), Options { key_log: Some(log.clone()), ..pki.options() });
    let met = converse(Stack::Rustls, Version::V13, &pki.endpoint(Party::Km), proxy.address(), server);
    met.0.and(met.1).unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    let of = |label: &str| log.lines().filter(|line| line.starts_with(label)).count();
    assert_eq!([of("CLIENT_TRAFFIC_SECRET_0 "), of("SERVER_TRAFFIC_SECRET_0 ")], [2, 2], "one for each side");
}

#[test]
fn secrets_that_cannot_be_logged_are_told() {
    let pki = Pki::new(Kind::P256);
    let server = Server::start(Stack::Rustls, Version::V13, &pki.endpoint(Party::Controller));
    let proxy = Proxy::before(server.address(), Options { key_log: Some("/dev/full".into()), ..pki.options() });
    let (km, _) = converse(Stack::Rustls, Version::V13, &pki.endpoint(Party::Km), proxy.address(), server);
    assert!(km.is_ok(), "{}", proxy.said());
    assert!(proxy.running.panel().key_log.is_some_and(|problem| problem.contains("/dev/full: No space left")));
}

#[test]
fn each_km_keeps_its_own_identity() {
    let pki = Pki::new(Kind::P256);
    let others = Pki::new(Kind::P384);
    let both = |file: &str| {
        let both = [&pki, &others].map(|pki| std::fs::read_to_string(pki.path(file)).unwrap());
        both.concat()
    };
    let (trust, authorities) = (both("controller-trust.pem"), both("km-ca.pem"));
    pki.write("controller-trust.pem", &trust);
    pki.write("km-ca.pem", &authorities);
    std::fs::copy(pki.path("km-trust.pem"), others.path("km-trust.pem")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::before(listener.local_addr().unwrap(), pki.options());
    let config = server_config(Version::V13, &pki.endpoint(Party::Controller));
    for pki in [&pki, &others, &pki] {
        let (address, client) = (proxy.address(), client_config(Version::V13, &pki.endpoint(Party::Km)));
        let km = thread::spawn(move || ask(TcpStream::connect(address)?, client, name(Party::Controller)));
        let met = serve(patient(listener.accept().unwrap().0), config.clone());
        let met = met.unwrap_or_else(|error| panic!("{error}: {}", proxy.said()));
        km.join().unwrap().unwrap();
        assert_mirrors(&met.certificate.unwrap(), &der(pki, Party::Km));
    }
}

/// KM and controller who have shaken hands through the proxy.
fn established(pki: &Pki, version: Version) -> (Proxy, Client, Controller) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::before(listener.local_addr().unwrap(), pki.options());
    let km = rustls::ClientConnection::new(
        client_config(version, &pki.endpoint(Party::Km)),
        name(Party::Controller).try_into().unwrap(),
    );
    let mut km = Client::new(km.unwrap(), proxy.dial());
    let config = server_config(version, &pki.endpoint(Party::Controller));
    let accepting = thread::spawn(move || {
        let stream = patient(listener.accept().unwrap().0);
        let mut stream = Controller::new(rustls::ServerConnection::new(config).unwrap(), stream);
        stream.read_exact(&mut [0; 5]).unwrap();
        stream
    });
    km.write_all(b"hello").unwrap();
    let controller = accepting.join().unwrap();
    (proxy, km, controller)
}

type Client = StreamOwned<rustls::ClientConnection, TcpStream>;
type Controller = StreamOwned<rustls::ServerConnection, TcpStream>;

#[test]
fn much_passes_through_tls_whole() {
    const LENGTH: usize = 5_000_000;
    let pki = Pki::new(Kind::P256);
    for version in VERSIONS {
        let (proxy, mut km, mut controller) = established(&pki, version);
        let writer = thread::spawn(move || {
            km.write_all(&noise(LENGTH, 21)).unwrap();
            km.conn.send_close_notify();
            km.flush().unwrap();
            let mut heard = Vec::new();
            km.read_to_end(&mut heard).unwrap();
            heard
        });
        let mut heard = Vec::new();
        controller.read_to_end(&mut heard).unwrap();
        assert!(heard == noise(LENGTH, 21), "{version:?}");
        // The KM said that it is done, and still hears.
        controller.write_all(&noise(LENGTH, 22)).unwrap();
        controller.conn.send_close_notify();
        controller.flush().unwrap();
        assert!(writer.join().unwrap() == noise(LENGTH, 22), "{version:?}");
        drop(controller);
        let recorded = proxy.recorded();
        let [up, down] = [0, 1].map(|side| sent(&recorded[0], side));
        assert!(up == ([b"hello".to_vec(), noise(LENGTH, 21)].concat(), 0) && down == (noise(LENGTH, 22), 0));
    }
}

#[test]
fn an_end_without_a_good_bye_is_carried_as_such() {
    let pki = Pki::new(Kind::P256);
    for version in VERSIONS {
        let (_proxy, km, mut controller) = established(&pki, version);
        drop(km);
        let error = controller.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{version:?}");
        let (_proxy, mut km, mut controller) = established(&pki, version);
        km.conn.send_close_notify();
        km.flush().unwrap();
        assert_eq!(controller.read(&mut [0; 8]).unwrap(), 0, "{version:?}");
    }
}

#[test]
fn a_reset_after_the_hand_shake_reaches_the_other_side() {
    let pki = Pki::new(Kind::P256);
    for version in VERSIONS {
        let (_proxy, km, mut controller) = established(&pki, version);
        reset(km.sock);
        let error = controller.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{version:?}");
        let (_proxy, mut km, controller) = established(&pki, version);
        reset(controller.sock);
        let error = km.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{version:?}");
    }
}
