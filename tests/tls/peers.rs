//! Decryption of what stacks that are not ours say to each other: OpenSSL's and GnuTLS's own programs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ckscope::stream::Side;
use ckscope::tls::{Alert, Reason, Secrets, suite_name};

use crate::support::peers::{Conversation, Pki, Say, Server, is_there};
use crate::support::tls::{Decrypted, secrets};

/// Bytes that no compression and no chance brings forth, `count` of them.
fn data(seed: u8, count: usize) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// What `sizes` make the ends say in turn, the client first.
fn script(texts: &[Vec<u8>]) -> Vec<Say<'_>> {
    let says = texts.iter().enumerate();
    says.map(|(turn, text)| if turn % 2 == 0 { Say::Client(text) } else { Say::Server(text) }).collect()
}

fn texts(sizes: &[usize]) -> Vec<Vec<u8>> {
    sizes.iter().enumerate().map(|(turn, &size)| data(turn as u8, size)).collect()
}

/// From one byte to many records.
const SIZES: [usize; 6] = [1, 1, 100, 5000, 100_000, 70_000];
const FEW: [usize; 4] = [17, 300, 40, 2];

/// That every byte of a script comes out of what was recorded, and that nothing is said to be missing.
fn assert_decrypts(what: &str, conversation: &Conversation, secrets: &Secrets, script: &[Say<'_>]) -> Decrypted {
    let found = conversation.recorded.decrypt(secrets);
    let suite = found.facts.suite.and_then(suite_name);
    assert!(found.by_role() == [said(script, true), said(script, false)], "{what}: {suite:?}: {:?}", found.facts);
    assert_eq!((found.facts.reason, found.gaps.len(), found.facts.undecrypted()), (None, 0, 0), "{what}");
    assert!(found.facts.decrypted, "{what}");
    found
}

/// What one end says in a script, the client or the server.
fn said(script: &[Say<'_>], client: bool) -> Vec<u8> {
    let texts = script.iter().filter_map(|say| match say {
        Say::Client(text) if client => Some(*text),
        Say::Server(text) if !client => Some(*text),
        _ => None,
    });
    texts.flatten().copied().collect()
}

/// Runs `act` on every case, as many at a time as there are cores.
fn each<T: Sync>(cases: &[T], act: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    act(case)
                }
            });
        }
    });
}

const AEAD_12: [&str; 20] = [
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-CCM",
    "ECDHE-ECDSA-AES256-CCM",
    "ECDHE-ECDSA-AES128-CCM8",
    "ECDHE-ECDSA-AES256-CCM8",
    "DHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-CHACHA20-POLY1305",
    "DHE-RSA-AES128-CCM",
    "DHE-RSA-AES256-CCM8",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-CCM",
    "AES256-CCM8",
    "NULL-SHA256",
];

const CBC_12: [&str; 12] = [
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA384",
    "DHE-RSA-AES128-SHA256",
    "AES128-SHA",
    "AES256-SHA",
    "AES128-SHA256",
    "AES256-SHA256",
    "NULL-SHA",
];

const SUITES_13: [&str; 5] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
];

/// One conversation of fresh OpenSSL peers, with the options given to both.
fn openssl(pki: &Pki, suite: &str, options: &[&str], script: &[Say<'_>]) -> Conversation {
    let mut server = Server::openssl(pki, suite, options);
    server.openssl_client(pki, &[&["-quiet"], options].concat(), script)
}

#[test]
fn decrypts_every_suite_of_tls_1_2_between_openssl_and_openssl() {
    if !is_there("openssl") {
        return;
    }
    let pki = Pki::new();
    let plain = AEAD_12.iter().chain(&CBC_12).map(|suite| (*suite, &[][..]));
    let mac_then_encrypt = CBC_12.iter().map(|suite| (*suite, &["-no_etm"][..]));
    let cases: Vec<(&str, &[&str])> = plain.chain(mac_then_encrypt).collect();
    let texts = texts(&SIZES);
    let script = script(&texts);
    each(&cases, |(suite, options)| {
        let cipher = format!("{suite}:@SECLEVEL=0");
        let found = openssl(&pki, suite, &[&["-tls1_2", "-cipher", &cipher], *options].concat(), &script);
        let what = format!("{suite} {options:?}");
        let facts = assert_decrypts(&what, &found, &found.secrets(), &script).facts;
        assert_eq!((facts.version, facts.resumed), (Some(0x0303), Some(false)), "{what}");
        let leaf = &facts.certificates[1][0];
        assert!(leaf.subject.contains("CN=peer-") && leaf.sans == ["DNS:peer.lab", "IP:192.0.2.1"], "{leaf:?}");
    });
}

#[test]
fn decrypts_every_suite_of_tls_1_3_between_openssl_and_openssl() {
    if !is_there("openssl") {
        return;
    }
    let pki = Pki::new();
    let texts = texts(&SIZES);
    let script = script(&texts);
    each(&SUITES_13, |suite| {
        let found = openssl(&pki, suite, &["-tls1_3", "-ciphersuites", suite], &script);
        let facts = assert_decrypts(suite, &found, &found.secrets(), &script).facts;
        assert_eq!((facts.version, facts.resumed, facts.group), (Some(0x0304), Some(false), Some(29)), "{suite}");
        assert_eq!(facts.suite.and_then(suite_name), Some(*suite));
        assert!(facts.certificates[1][0].subject.contains("CN=peer-rsa"), "a certificate that is encrypted");
    });
}

/// The lines of a key log that a test leaves of it.
fn only(key_log: &str, keep: impl Fn(&str) -> bool) -> String {
    key_log.lines().filter(|line| keep(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn derives_the_master_secret_from_an_rsa_line() {
    if !is_there("openssl") {
        return;
    }
    let pki = Pki::new();
    let texts = texts(&FEW);
    let script = script(&texts);
    for suite in ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES256-SHA"] {
        let found = openssl(&pki, suite, &["-tls1_2", "-cipher", suite], &script);
        let log = only(&found.key_log, |line| line.starts_with("RSA "));
        assert_eq!(log.lines().count(), 1, "{suite}: {}", found.key_log);
        assert_decrypts(suite, &found, &secrets(&log), &script);
        let words = |label: &str| -> Vec<String> {
            let line = found.key_log.lines().find(|line| line.starts_with(label)).unwrap();
            line.split(' ').map(str::to_owned).collect()
        };
        let by_random = format!("PMS_CLIENT_RANDOM {} {}\n", words("CLIENT_RANDOM")[1], words("RSA")[2]);
        assert_decrypts(suite, &found, &secrets(&by_random), &script);
    }
}

#[test]
fn derives_the_master_secret_without_the_session_hash_where_that_was_not_agreed() {
    if !is_there("openssl") || !is_there("gnutls-serv") {
        return;
    }
    let pki = Pki::new();
    let mut server = Server::gnutls(&pki, "RSA", "NORMAL:-VERS-ALL:+VERS-TLS1.2:+RSA:%NO_SESSION_HASH");
    let line = b"without an extended master secret\n";
    let options = ["-quiet", "-tls1_2", "-cipher", "AES128-GCM-SHA256"];
    let found = server.openssl_client(&pki, &options, &[Say::Echo(line)]);
    for label in ["RSA ", "CLIENT_RANDOM "] {
        let log = only(&found.key_log, |line| line.starts_with(label));
        let decrypted = found.recorded.decrypt(&secrets(&log));
        assert_eq!(decrypted.by_role()[0], line, "{label}: {:?}", decrypted.facts);
    }
}

#[test]
fn decrypts_after_a_hello_retry_request() {
    if !is_there("openssl") {
        return;
    }
    let pki = Pki::new();
    let texts = texts(&FEW);
    let script = script(&texts);
    let mut server = Server::openssl(&pki, "", &["-tls1_3", "-groups", "P-384"]);
    let found = server.openssl_client(&pki, &["-quiet", "-groups", "X25519:P-384"], &script);
    let facts = assert_decrypts("hello retry request", &found, &found.secrets(), &script).facts;
    assert_eq!(facts.group, Some(24));
}

#[test]
fn decrypts_what_resumes_an_earlier_session() {
    if !is_there("openssl") {
        return;
    }
    let pki = Pki::new();
    let texts = texts(&FEW);
    // A session that was not closed is not resumed.
    let script: Vec<Say<'_>> = script(&texts).into_iter().chain([Say::Close]).collect();
    let kinds: [&[&str]; 3] = [&["-tls1_2"], &["-tls1_2", "-no_ticket"], &["-tls1_3"]];
    for options in kinds {
        let mut server = Server::openssl(&pki, "", options);
        let session = pki.file("session").display().to_string();
        let [first, second] = ["-sess_out", "-sess_in"].map(|option| {
            server.openssl_client(&pki, &[&["-quiet", "-no_ign_eof", option, &session], options].concat(), &script)
        });
        for (conversation, resumed) in [(first, false), (second, true)] {
            let what = format!("{options:?} resumed {resumed}");
            let facts = assert_decrypts(&what, &conversation, &conversation.secrets(), &script).facts;
            assert_eq!(facts.resumed, Some(resumed), "{what}");
            let client_closes = |alert: &Alert| alert.side == Side::Initiator && alert.name() == "close_notify";
            assert!(facts.alerts.iter().any(client_closes), "{what}: {:?}", facts.alerts);
        }
    }
}

/// A server takes 0-RTT data of a session once, and none of a session that was not closed.
#[test]
fn decrypts_0_rtt_data_and_says_so_where_it_stays_closed() {
    if !is_there("openssl") {
        return;
    }
    let pki = Pki::new();
    let (texts, early) = (texts(&FEW), data(99, 2000));
    let file = pki.0.write("early", &early);
    let session = pki.file("early-session").display().to_string();
    for accepted in [true, false] {
        let mut server = Server::openssl(&pki, "", &["-tls1_3", "-early_data"]);
        let close = accepted.then_some(Say::Close);
        let before: Vec<Say<'_>> = script(&texts).into_iter().chain(close).collect();
        let at_the_end = if accepted { "-no_ign_eof" } else { "-ign_eof" };
        let first = server.openssl_client(&pki, &["-quiet", at_the_end, "-sess_out", &session], &before);
        assert_decrypts("before 0-RTT", &first, &first.secrets(), &before);
        let options = ["-quiet", "-sess_in", &session, "-early_data", file.to_str().unwrap()];
        let taken = if accepted { &early[..] } else { &[] };
        let hears = Say::Hears(taken);
        let after: Vec<Say<'_>> = [hears].into_iter().chain(script(&texts)).collect();
        let found = server.openssl_client(&pki, &options, &after);
        // What was rejected is not data: its client sends it again if it matters.
        let whole: Vec<Say<'_>> = [Say::Client(taken)].into_iter().chain(script(&texts)).collect();
        let opened = found.recorded.decrypt(&found.secrets());
        assert!(opened.by_role() == [said(&whole, true), said(&whole, false)], "{:?}", opened.facts);
        assert_eq!(opened.facts.reason, (!accepted).then_some(Reason::EarlyDataRejected));

        let unlogged = secrets(&only(&found.key_log, |line| !line.contains("EARLY")));
        let closed = found.recorded.decrypt(&unlogged);
        assert!(closed.by_role() == [said(&after, true), said(&after, false)], "{:?}", closed.facts);
        let gaps = usize::from(accepted);
        assert_eq!((closed.facts.reason, closed.gaps.len()), (Some(Reason::EarlyData), gaps), "accepted: {accepted}");
    }
}

/// The interactive commands of `s_client`: a line of one letter.
#[test]
fn decrypts_through_key_updates_and_renegotiation() {
    if !is_there("openssl") {
        return;
    }
    let pki = Pki::new();
    let cases = [("-tls1_3", "K"), ("-tls1_3", "k"), ("-tls1_2", "R")];
    each(&cases, |(version, letter)| {
        let mut server = Server::openssl(&pki, "", &["-client_renegotiation", version]);
        let command = format!("{letter}\n");
        let script = [
            Say::Client(b"first\n"),
            Say::Server(b"answer\n"),
            Say::Command(command.as_bytes()),
            Say::Server(b"in between\n"),
            Say::Client(b"second\n"),
            Say::Command(command.as_bytes()),
            Say::Client(b"third\n"),
            Say::Server(b"last\n"),
        ];
        let found = server.openssl_client(&pki, &[version], &script);
        assert_decrypts(&format!("{version} {letter}"), &found, &found.secrets(), &script);
    });
}

#[test]
fn both_certificates_are_told_where_the_client_has_one() {
    if !is_there("openssl") {
        return;
    }
    let pki = Pki::new();
    let texts = texts(&FEW);
    let script = script(&texts);
    let identity = pki.identity("ECDSA", ["-cert", "-key"]);
    for version in ["-tls1_2", "-tls1_3"] {
        let mut server = Server::openssl(&pki, "", &[version, "-verify", "1", "-alpn", "ck,h2"]);
        let asked = ["-quiet", "-servername", "km-1.lab", "-alpn", "h2"];
        let options: Vec<&str> = asked.into_iter().chain(identity.iter().map(String::as_str)).collect();
        let found = server.openssl_client(&pki, &options, &script);
        let facts = assert_decrypts(version, &found, &found.secrets(), &script).facts;
        let subjects = facts.certificates.each_ref().map(|chain| chain[0].subject.clone());
        assert_eq!(subjects, ["O=Lab, CN=peer-ec", "O=Lab, CN=peer-rsa"], "{version}");
        assert_eq!((facts.sni.as_deref(), facts.alpn.as_deref()), (Some("km-1.lab"), Some("h2")), "{version}");
        assert!(server.is_alive(), "{version}");
    }
}

#[test]
fn decrypts_every_cipher_between_gnutls_and_gnutls() {
    if !is_there("openssl") || !is_there("gnutls-serv") || !is_there("gnutls-cli") {
        return;
    }
    let pki = Pki::new();
    let aead = ["AES-128-GCM", "AES-256-GCM", "AES-128-CCM", "AES-128-CCM-8", "CHACHA20-POLY1305"];
    let tls13 = aead.map(|cipher| ("TLS1.3", cipher, ""));
    let tls12 = aead.into_iter().chain(["AES-256-CCM", "AES-256-CCM-8"]).map(|cipher| ("TLS1.2", cipher, ""));
    let modes = ["", ":%NO_ETM", ":%NO_SESSION_HASH"];
    let cbc = ["AES-128-CBC", "AES-256-CBC"].into_iter().flat_map(|cipher| modes.map(|mode| ("TLS1.2", cipher, mode)));
    let cases: Vec<(&str, &str, &str)> = tls13.into_iter().chain(tls12).chain(cbc).collect();
    let failures = Mutex::new(Vec::new());
    each(&cases, |(version, cipher, mode)| {
        let algorithms = "+AEAD:+SHA1:+SHA256:+SHA384:+ECDHE-ECDSA:+ECDHE-RSA:+RSA:+GROUP-ALL:+SIGN-ALL";
        let priority = format!("NONE:+VERS-{version}:+{cipher}:{algorithms}:+COMP-NULL:+CTYPE-X509{mode}");
        let mut server = Server::gnutls(&pki, "ECDSA", &priority);
        let line = b"what the other stack says\n";
        let found = server.gnutls_client(&pki, &priority, &[Say::Echo(line)]);
        if !server.is_alive() {
            failures.lock().unwrap().push(priority);
            return;
        }
        let decrypted = found.recorded.decrypt(&found.secrets());
        let what = format!("{priority}: {:?}", decrypted.facts);
        assert_eq!(decrypted.by_role()[0], line, "{what}");
        assert_eq!((decrypted.facts.reason, decrypted.facts.undecrypted()), (None, 0), "{what}");
    });
    assert_eq!(*failures.lock().unwrap(), Vec::<String>::new(), "servers that stopped");
}
