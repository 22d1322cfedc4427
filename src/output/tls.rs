//! What is known of a connection's TLS, as JSON and as lines for people.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::escape::escaped;
use super::jsonl::BySide;
use crate::journal::Side;
use crate::tls::{Alert, Certificate, Facts, group_name, suite_name, version_name};

const SIDES: [Side; 2] = [Side::Initiator, Side::Responder];

/// The `tls` object of a connection.
pub(super) struct TlsObject<'a>(pub &'a Facts);

impl Serialize for TlsObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let facts = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &facts.version.map(version_name))?;
        map.serialize_entry("suite", &facts.suite.map(suite))?;
        map.serialize_entry("alpn", &facts.alpn)?;
        map.serialize_entry("sni", &facts.sni)?;
        map.serialize_entry("resumed", &facts.resumed)?;
        map.serialize_entry("decrypted", &facts.decrypted)?;
        map.serialize_entry("reason", &facts.reason.map(|reason| reason.to_string()))?;
        for side in SIDES {
            let leaf = facts.certificates[side as usize].first().map(CertificateObject);
            map.serialize_entry(&format!("{}_certificate", side.name()), &leaf)?;
        }
        map.serialize_entry("client", &facts.client.map(Side::name))?;
        map.serialize_entry("group", &facts.group.map(group_name))?;
        for side in SIDES {
            map.serialize_entry(&format!("{}_chain", side.name()), &Chain(&facts.certificates[side as usize]))?;
        }
        map.serialize_entry("alerts", &Alerts(&facts.alerts))?;
        map.serialize_entry("records", &BySide(facts.records.map(|[opened, _]| opened)))?;
        map.serialize_entry("records_not_decrypted", &BySide(facts.records.map(|[_, closed]| closed)))?;
        map.end()
    }
}

fn suite(code: u16) -> String {
    suite_name(code).map_or_else(|| format!("{code:#06x}"), str::to_owned)
}

struct CertificateObject<'a>(&'a Certificate);

impl Serialize for CertificateObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("subject", &self.0.subject)?;
        map.serialize_entry("issuer", &self.0.issuer)?;
        map.serialize_entry("sans", &self.0.sans)?;
        map.serialize_entry("not_before", &self.0.not_before.to_string())?;
        map.serialize_entry("not_after", &self.0.not_after.to_string())?;
        map.end()
    }
}

struct Chain<'a>(&'a [Certificate]);

impl Serialize for Chain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for certificate in self.0 {
            list.serialize_element(&CertificateObject(certificate))?;
        }
        list.end()
    }
}

struct Alerts<'a>(&'a [Alert]);

impl Serialize for Alerts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for alert in self.0 {
            list.serialize_element(&AlertObject(alert))?;
        }
        list.end()
    }
}

struct AlertObject<'a>(&'a Alert);

impl Serialize for AlertObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("side", self.0.side.name())?;
        map.serialize_entry("level", self.0.level_name())?;
        map.serialize_entry("description", self.0.name())?;
        map.serialize_entry("packet", &self.0.stamp.packet)?;
        map.end()
    }
}

/// Facts for people, each of a few words; what the peers wrote is made safe.
pub(super) fn lines(facts: &Facts) -> Vec<String> {
    let mut lines = vec![headline(facts)];
    for side in SIDES {
        lines.extend(facts.certificates[side as usize].iter().map(|it| format!("{}: {}", side.name(), person(it))));
    }
    let told = |alert: &Alert| format!("{} alert {} from the {}", alert.level_name(), alert.name(), alert.side.name());
    // That a side closes is no news.
    lines.extend(facts.alerts.iter().filter(|alert| alert.description != Alert::CLOSE_NOTIFY).map(told));
    lines
}

fn headline(facts: &Facts) -> String {
    let resumed = (facts.resumed == Some(true)).then(|| "resumed".to_owned());
    let words = [
        facts.version.map(version_name),
        facts.suite.map(suite),
        facts.group.map(group_name),
        facts.alpn.as_ref().map(|alpn| format!("ALPN {}", escaped(alpn))),
        facts.sni.as_ref().map(|sni| format!("SNI {}", escaped(sni))),
        resumed,
        Some(state(facts)),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn state(facts: &Facts) -> String {
    match (&facts.reason, facts.decrypted) {
        (None, true) => "decrypted".to_owned(),
        (None, false) => "nothing to decrypt".to_owned(),
        (Some(reason), false) => format!("not decrypted: {reason}"),
        (Some(reason), true) => format!("decrypted but for {} records: {reason}", facts.undecrypted()),
    }
}

/// Who a certificate is of, and by whom and for how long that is said.
fn person(certificate: &Certificate) -> String {
    let day = |time: crate::time::Timestamp| time.to_string()[..10].to_owned();
    let names = certificate.sans.iter().map(|name| escaped(name)).collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { names } else { format!(" ({names})") };
    format!(
        "{}{names}, issued by {}, valid {} to {}",
        escaped(&certificate.subject),
        escaped(&certificate.issuer),
        day(certificate.not_before),
        day(certificate.not_after)
    )
}
