//! What goes wrong in hand-shakes: whoever is at fault hears the same as without the proxy.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use ckscope::capture::proxy::report::Refusal;
use ckscope::capture::proxy::{Options, Party};
use rustls::{ClientConnection, pki_types::ServerName};

use crate::harness::{PATIENCE, Proxy, is_reset, patient, read_to_end, reset, until};
use crate::pki::{self, Flaw, Kind, Pki, name};
use crate::stacks::{Met, Server, Stack, Version, client_config, converse, server_config};

const VERSIONS: [Version; 2] = [Version::V12, Version::V13];

fn told(met: std::io::Result<Met>) -> String {
    met.map_or_else(|error| error.to_string(), |_| "all is well".to_owned())
}

/// What KM and controller are told, without a proxy and with one; and what the proxy reports.
fn outcomes(pki: &Pki, options: Options, version: Version, shows: bool) -> ([[String; 2]; 2], Option<Refusal>) {
    let mut km = pki.endpoint(Party::Km);
    km.shows = shows;
    let server = || Server::start(Stack::Rustls, version, &pki.endpoint(Party::Controller));
    let direct = server();
    let (address, direct) = (direct.address(), direct);
    let (km_directly, controller_directly) = converse(Stack::Rustls, version, &km, address, direct);
    let server = server();
    let proxy = Proxy::before(server.address(), options);
    let (km, controller) = converse(Stack::Rustls, version, &km, proxy.address(), server);
    until("it ended", || proxy.running.panel().open == 0);
    let hand_off = proxy.running.panel().connections[0].hand_off.clone();
    let refusal = hand_off.as_ref().and_then(|hand_off| hand_off.refusal.clone());
    if refusal.as_ref().is_some_and(|refusal| refusal.who == "the proxy" && refusal.whom == "the KM") {
        assert!(hand_off.is_some_and(|hand_off| hand_off.km.presented.is_some()), "what is refused is told");
    }
    assert_eq!(
        refusal.is_some(),
        proxy.said().contains("refused") || proxy.said().contains("alert"),
        "{}",
        proxy.said()
    );
    ([[told(km_directly), told(controller_directly)], [told(km), told(controller)]], refusal)
}

fn assert_fails(text: &str) {
    assert_ne!(text, "all is well");
}

#[test]
fn a_bad_certificate_of_the_km_is_refused_as_by_the_controller() {
    let flaws = [
        (Flaw::Expired, "CertificateExpired", "its certificate was valid until 20", "renew it"),
        (Flaw::Untrusted, "UnknownCA", "its certificate leads to none of the authorities given", "--km-ca"),
    ];
    for (flaw, alert, why, hint) in flaws {
        let pki = Pki::flawed(Kind::P256, [flaw, Flaw::None]);
        for version in VERSIONS {
            let ([directly, through], refusal) = outcomes(&pki, pki.options(), version, true);
            assert_eq!(through[0], directly[0], "{flaw:?} {version:?}");
            assert!(through[0].contains(alert), "{through:?}");
            assert_fails(&through[1]);
            let refusal = refusal.unwrap();
            assert_eq!([refusal.who, refusal.whom], ["the proxy", "the KM"]);
            assert!(refusal.why.starts_with(why), "{}", refusal.why);
            assert!(refusal.hint.unwrap().contains(hint));
        }
    }
}

#[test]
fn a_bad_certificate_of_the_controller_is_refused_as_by_the_km() {
    for (flaw, alert) in
        [(Flaw::Expired, "CertificateExpired"), (Flaw::Untrusted, "UnknownCA"), (Flaw::WrongName, "BadCertificate")]
    {
        let pki = Pki::flawed(Kind::P256, [Flaw::None, flaw]);
        for version in VERSIONS {
            let ([directly, through], refusal) = outcomes(&pki, pki.options(), version, true);
            assert_eq!(through[1], directly[1], "{flaw:?} {version:?}");
            assert!(through[1].contains(alert), "{through:?}");
            assert_fails(&through[0]);
            // Only the KM knows whom it wanted to dial.
            let who = if flaw == Flaw::WrongName { "the KM" } else { "the proxy" };
            let refusal = refusal.unwrap();
            assert_eq!([refusal.who.as_str(), refusal.whom.as_str()], [who, "the controller"]);
        }
    }
}

#[test]
fn nobody_minds_another_name_in_the_certificate_of_a_client() {
    let pki = Pki::flawed(Kind::P256, [Flaw::WrongName, Flaw::None]);
    for version in VERSIONS {
        let ([directly, through], refusal) = outcomes(&pki, pki.options(), version, true);
        assert_eq!((&through, refusal), (&directly, None));
        assert_eq!(through, ["all is well", "all is well"]);
    }
}

#[test]
fn a_km_that_shows_no_certificate_is_refused_by_the_controller() {
    let pki = Pki::new(Kind::P256);
    for version in VERSIONS {
        let ([directly, through], refusal) = outcomes(&pki, pki.options(), version, false);
        assert_eq!(through, directly);
        let refusal = refusal.unwrap();
        assert_eq!([refusal.who.as_str(), refusal.whom.as_str()], ["the controller", "the KM"]);
        assert!(refusal.hint.unwrap().contains("showed no certificate"));
    }
}

#[test]
fn in_tls_1_2_a_km_hears_a_refusal_before_the_hand_shake_is_over() {
    let pki = Pki::new(Kind::P256);
    let mut km = pki.endpoint(Party::Km);
    km.shows = false;
    let mut server = Server::start(Stack::Rustls, Version::V12, &pki.endpoint(Party::Controller));
    let proxy = Proxy::before(server.address(), pki.options());
    let name = ServerName::try_from(name(Party::Controller)).unwrap();
    let mut client = ClientConnection::new(client_config(Version::V12, &km), name).unwrap();
    let mut stream = proxy.dial();
    let shaking = std::thread::spawn(move || {
        let error = client.complete_io(&mut stream).unwrap_err();
        (client.is_handshaking(), error.to_string())
    });
    server.answer();
    let (is_handshaking, error) = shaking.join().unwrap();
    assert!(is_handshaking && error.contains("received fatal alert"), "{error}");
}

#[test]
fn who_does_not_trust_the_proxy_is_named_with_a_hint() {
    for (party, file, authority) in
        [(Party::Km, "km-trust.pem", "controller-ca.pem"), (Party::Controller, "controller-trust.pem", "km-ca.pem")]
    {
        let pki = Pki::new(Kind::P256);
        std::fs::copy(pki.path(authority), pki.path(file)).unwrap();
        for version in VERSIONS {
            let ([directly, through], refusal) = outcomes(&pki, pki.options(), version, true);
            assert_eq!(directly, ["all is well", "all is well"]);
            let guiltless = if party == Party::Km { &through[1] } else { &through[0] };
            assert!(guiltless.contains("UnknownCA"), "{version:?} {through:?} {refusal:?}");
            let refusal = refusal.unwrap();
            assert_eq!([refusal.who.as_str(), refusal.whom.as_str()], [party.the(), party.other().the()]);
            assert!(refusal.hint.unwrap().contains(&format!("{} does not trust the proxy's authority", party.the())));
        }
    }
}

#[test]
fn a_revoked_certificate_is_refused() {
    let pki = Pki::new(Kind::P256);
    // Of several lists of one authority, the newest counts.
    let lists = [
        (&["km.crl"][..], 0),
        (&["controller.crl"], 1),
        (&["km.crl", "km-older.crl"], 0),
        (&["km-older.crl", "km.crl"], 0),
    ];
    for (lists, guilty) in lists {
        for version in VERSIONS {
            let revoked = lists.iter().map(|list| pki.path(list)).collect();
            let ([_, through], refusal) = outcomes(&pki, Options { revoked, ..pki.options() }, version, true);
            assert!(through[guilty].contains("CertificateRevoked"), "{lists:?} {version:?} {through:?}");
            assert_fails(&through[1 - guilty]);
            assert_eq!(refusal.unwrap().who, "the proxy");
        }
    }
}

#[test]
fn a_list_that_revokes_nothing_refuses_nobody() {
    let pki = Pki::new(Kind::P256);
    let options = Options { revoked: vec![pki.path("km-older.crl")], ..pki.options() };
    assert_eq!(outcomes(&pki, options, Version::V13, true).1, None);
}

#[test]
fn what_some_stacks_refuse_is_believed_where_it_is_named_itself_or_nothing_is_verified() {
    for (flaw, why) in [(Flaw::Version1, "is of X.509 version 1"), (Flaw::IsAuthority, "is an authority's")] {
        let pki = Pki::flawed(Kind::P256, [flaw, Flaw::None]);
        for version in VERSIONS {
            let ([directly, through], refusal) = outcomes(&pki, pki.options(), version, true);
            assert_eq!(through[0], directly[0], "rustls refuses it too");
            let refusal = refusal.unwrap();
            assert!(refusal.why.contains(why), "{}", refusal.why);
            assert!(refusal.hint.unwrap().contains("add the certificate itself to --km-ca"));
            for (authorities, unverified) in [(Some(pki.path("km.pem")), false), (None, true)] {
                let mut options = pki.options();
                options.km.authorities = authorities;
                options.km.unverified = unverified;
                let ([_, through], refusal) = outcomes(&pki, options, version, true);
                assert_eq!((through, refusal), (["all is well", "all is well"].map(String::from), None), "{flaw:?}");
            }
        }
    }
}

#[test]
fn a_certificate_of_the_controller_that_cannot_be_mirrored_is_refused_by_the_proxy() {
    let pki = Pki::flawed(Kind::P256, [Flaw::None, Flaw::Old]);
    let mut options = pki.options();
    options.controller.authorities = None;
    options.controller.unverified = true;
    for version in VERSIONS {
        let ([_, through], refusal) = outcomes(&pki, options.clone(), version, true);
        assert!(through[0].contains("InternalError"), "{through:?}");
        assert_fails(&through[1]);
        let refusal = refusal.unwrap();
        assert_eq!([refusal.who.as_str(), refusal.whom.as_str()], ["the proxy", "the controller"]);
        assert!(refusal.why.contains("cannot be mirrored"), "{}", refusal.why);
    }
}

#[test]
fn what_is_not_to_be_verified_is_not_and_a_warning_says_so() {
    let pki = Pki::flawed(Kind::P256, [Flaw::Untrusted, Flaw::None]);
    // The controller believes the proxy, and so whatever the proxy believes.
    let mut options = pki.options();
    options.km.authorities = None;
    options.km.unverified = true;
    let server = Server::start(Stack::Rustls, Version::V13, &pki.endpoint(Party::Controller));
    let proxy = Proxy::before(server.address(), options);
    assert_eq!(proxy.running.panel().warnings, ["any certificate of the KM is believed: none is verified"]);
    let (km, controller) = converse(Stack::Rustls, Version::V13, &pki.endpoint(Party::Km), proxy.address(), server);
    assert_eq!([told(km), told(controller)], ["all is well", "all is well"]);
}

#[test]
fn what_was_given_and_is_of_no_use_is_warned_of_at_the_start() {
    let pki = Pki::flawed(Kind::P256, [Flaw::Expired, Flaw::None]);
    let mut options = Options { revoked: vec![pki.path("km.crl"), pki.path("controller-ended.crl")], ..pki.options() };
    options.controller.shown = Some((pki.path("km.pem"), pki.path("km.key")));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let warnings = |options: &Options| Proxy::before(nobody, options.clone()).running.panel().warnings;
    let all = warnings(&options);
    assert!(all[0].contains("km.pem: the certificate was valid until 2021-01-01T00:00:00"), "{all:?}");
    assert!(all[0].contains("so the controller will not take what it is shown"), "{all:?}");
    assert!(all[1].contains("list of CN=Authority of controllers was good until 2021-01-01"), "{all:?}");
    assert_eq!(all.len(), 2, "{all:?}");
    options = Options { revoked: vec![pki.path("km.crl")], ..pki.options() };
    assert_eq!(warnings(&options), Vec::<String>::new());
    (options.km.authorities, options.km.unverified) = (None, true);
    let foreign = warnings(&options);
    assert!(foreign[1].contains("the list is of CN=Authority of kms, none of the authorities given"), "{foreign:?}");
}

/// Why the proxy cannot start.
fn error(options: Options) -> String {
    let files = crate::support::Files::new();
    let recording = ckscope::capture::recording::Recording::create(
        ckscope::capture::recording::Options { path: Some(files.path().join("x")), ..Default::default() },
        ckscope::capture::growing::Growing::new(),
    );
    let started = ckscope::capture::proxy::start(options, || recording, std::sync::Arc::new(|_: &str| ()));
    started.err().expect("it cannot start").to_string()
}

#[test]
fn what_is_missing_is_said_before_anything_starts() {
    let pki = Pki::new(Kind::P256);
    let mut options = pki.options();
    options.controller.authorities = None;
    assert!(error(options).contains("give --controller-ca FILE, or --no-verify-controller"));
    let nowhere = Options { ca: Some(pki.path("nowhere")), ..pki.options() };
    assert!(error(nowhere).contains("ckscope ca init"));
    let mut options = Options { ca: None, ..pki.options() };
    options.km.shown = Some((pki.path("controller.pem"), pki.path("controller.key")));
    assert!(
        error(options.clone()).contains("nothing to show the controller: give --ca DIR, or --km-cert and --km-key")
    );
    options.controller.shown = Some((pki.path("km.pem"), pki.path("controller.key")));
    assert!(error(options).contains("is not the key of"));
    std::fs::rename(pki.path("lab-ca/ca.pem"), pki.path("lab-ca/elsewhere")).unwrap();
    assert!(error(pki.options()).contains("no ca.pem in it; put the certificate of ca.key there"));
    std::fs::rename(pki.path("lab-ca/elsewhere"), pki.path("lab-ca/ca.pem")).unwrap();
    std::fs::remove_file(pki.path("lab-ca/ca.key")).unwrap();
    assert!(error(pki.options()).contains("no ca.key in it; put the key of ca.pem there"));
}

#[test]
fn what_cannot_be_used_is_said_of_the_file_that_it_is_in() {
    let pki = Pki::new(Kind::P256);
    let good = std::fs::read_to_string(pki.path("km-ca.pem")).unwrap();
    let damaged = pki::pem("CERTIFICATE", b"no certificate");
    pki.write("two.pem", &format!("{good}{damaged}"));
    let mut options = pki.options();
    options.km.authorities = Some(pki.path("two.pem"));
    assert!(error(options).contains("two.pem: certificate 2 of 2 cannot be used as an authority"));
    let shown = |certificate: &str, key: &str| {
        let mut options = pki.options();
        options.km.shown = Some((pki.path(certificate), pki.path(key)));
        error(options)
    };
    pki.write("damaged.pem", &damaged);
    assert!(shown("damaged.pem", "km.key").contains("damaged.pem: its certificate cannot be read"));
    pki.write("secret.key", &pki::pem("ENCRYPTED PRIVATE KEY", b"secret"));
    assert!(shown("km.pem", "secret.key").contains("secret.key: the key is encrypted; decrypt it first"));
    pki.write("odd.key", &pki::pem("PRIVATE KEY", b"no key"));
    assert!(shown("km.pem", "odd.key").contains("odd.key: no key that can be used; expected RSA"));
    assert!(shown("km.pem", "km.pem").contains("km.pem: no private key found"));
    pki.write("odd.crl", &pki::pem("X509 CRL", b"no list"));
    let options = Options { revoked: vec![pki.path("odd.crl")], ..pki.options() };
    assert!(error(options).contains("odd.crl: no revocation list that can be used"));
    std::fs::copy(pki.path("secret.key"), pki.path("lab-ca/ca.key")).unwrap();
    assert!(error(pki.options()).contains("ca.key: the key is encrypted"));
}

fn hello(pki: &Pki) -> (ClientConnection, Vec<u8>) {
    let name = ServerName::try_from(name(Party::Controller)).unwrap();
    let mut client = ClientConnection::new(client_config(Version::V13, &pki.endpoint(Party::Km)), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    (client, hello)
}

#[test]
fn a_reset_of_the_client_amid_the_hand_shake_reaches_the_server() {
    let pki = Pki::new(Kind::P256);
    for version in VERSIONS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::before(listener.local_addr().unwrap(), pki.options());
        let mut km = proxy.dial();
        let mut controller = patient(listener.accept().unwrap().0);
        let name = ServerName::try_from(name(Party::Controller)).unwrap();
        let mut client = ClientConnection::new(client_config(version, &pki.endpoint(Party::Km)), name).unwrap();
        client.write_tls(&mut km).unwrap();
        answer_hello(&pki, version, &mut controller);
        // By now the server's first flight is on its way to the KM, in the proxy's words.
        km.read_exact(&mut [0; 5]).unwrap();
        reset(km);
        assert!(is_reset(&mut controller), "{version:?}");
        until("it is said", || proxy.said().contains("the KM refused the controller: it ended the connection"));
        assert_eq!(proxy.closed(), "rst");
    }
}

/// The server's first flight.
fn answer_hello(pki: &Pki, version: Version, controller: &mut TcpStream) {
    let server = server_config(version, &pki.endpoint(Party::Controller));
    let mut server = rustls::ServerConnection::new(server).unwrap();
    while server.wants_read() && !server.wants_write() {
        server.read_tls(controller).unwrap();
        server.process_new_packets().unwrap();
    }
    while server.wants_write() {
        server.write_tls(controller).unwrap();
    }
}

#[test]
fn a_reset_of_the_server_reaches_a_client_that_has_finished() {
    let pki = Pki::new(Kind::P256);
    for version in VERSIONS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::before(listener.local_addr().unwrap(), pki.options());
        let mut km = proxy.dial();
        let name = ServerName::try_from(name(Party::Controller)).unwrap();
        let mut client = ClientConnection::new(client_config(version, &pki.endpoint(Party::Km)), name).unwrap();
        // In TLS 1.2 the hand-shake is not over with that.
        let shaking = std::thread::spawn(move || match client.complete_io(&mut km) {
            Ok(_) => is_reset(&mut km),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        });
        let mut controller = patient(listener.accept().unwrap().0);
        answer_hello(&pki, version, &mut controller);
        controller.read_exact(&mut [0; 5]).unwrap();
        reset(controller);
        assert!(shaking.join().unwrap(), "{version:?}");
        until("it ended", || proxy.running.panel().open == 0);
        assert_eq!(proxy.closed(), "rst");
    }
}

#[test]
fn a_reset_amid_the_hand_shake_reaches_the_other_side() {
    let pki = Pki::new(Kind::P256);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::before(listener.local_addr().unwrap(), pki.options());
    let mut km = proxy.dial();
    let mut controller = patient(listener.accept().unwrap().0);
    km.write_all(&hello(&pki).1).unwrap();
    controller.read_exact(&mut [0; 5]).unwrap();
    reset(controller);
    assert!(is_reset(&mut km));
    until("it is said", || proxy.said().contains("the controller refused the KM: it ended the connection"));
    assert_eq!(proxy.closed(), "rst");
}

#[test]
fn a_controller_that_does_not_shake_hands_is_given_up() {
    let pki = Pki::new(Kind::P256);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options { handshake: Duration::from_millis(300), ..pki.options() };
    let proxy = Proxy::before(listener.local_addr().unwrap(), options);
    let mut km = proxy.dial();
    let mut controller = patient(listener.accept().unwrap().0);
    km.write_all(&hello(&pki).1).unwrap();
    assert_eq!(read_to_end(&mut km), b"");
    read_to_end(&mut controller);
    let told = "the proxy refused the controller: it did not go on with the TLS hand-shake";
    until("it is said", || proxy.said().contains(told));
}

#[test]
fn a_controller_that_answers_with_something_else_is_not_waited_for() {
    let pki = Pki::new(Kind::P256);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options { handshake: PATIENCE, reports: true, ..pki.options() };
    let proxy = Proxy::before(listener.local_addr().unwrap(), options);
    let mut km = proxy.dial();
    let mut controller: TcpStream = patient(listener.accept().unwrap().0);
    km.write_all(&hello(&pki).1).unwrap();
    controller.read_exact(&mut [0; 5]).unwrap();
    controller.write_all(b"this is no ServerHello at all").unwrap();
    let alert = read_to_end(&mut km);
    assert_eq!(alert.first(), Some(&21), "an alert, {alert:02x?}");
    until("it is said", || proxy.said().contains("the proxy refused the controller"));
    proxy.running.finish();
    let said = proxy.said();
    assert!(said.contains("TLS client: KM, which asks for controller"), "{said}");
    assert_eq!(said.matches("refused").count(), 1, "{said}");
}

#[test]
fn openssl_accepts_what_is_minted_at_its_strictest() {
    use rustls::pki_types::pem::PemObject;
    if !Stack::OpenSsl.is_there() {
        return; // said by `is_there`
    }
    for kind in [Kind::Rsa, Kind::P256, Kind::P384, Kind::Ed25519] {
        let pki = Pki::new(kind);
        let authority = ckscope::capture::proxy::authority::Authority::read(&pki.path("lab-ca")).unwrap();
        let mint = ckscope::capture::proxy::mint::Mint::new(authority);
        let original = rustls::pki_types::CertificateDer::from_pem_file(pki.path("km.pem")).unwrap();
        let leaf = mint.mirror(&original).unwrap();
        assert!(std::sync::Arc::ptr_eq(&leaf.certified, &mint.mirror(&original).unwrap().certified), "it is kept");
        std::fs::write(pki.path("leaf.der"), &leaf.certified.cert[0]).unwrap();
        for purpose in ["sslclient", "sslserver"] {
            let output = std::process::Command::new("openssl")
                .args(["verify", "-x509_strict", "-purpose", purpose, "-policy_check", "-CAfile"])
                .arg(pki.path("lab-ca/ca.pem"))
                .arg(pki.path("leaf.der"))
                .output()
                .unwrap();
            assert!(output.status.success(), "{kind:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
