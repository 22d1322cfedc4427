//! What stands in certificates, in words. In: names as X.509 has them, which a peer chose. Out: text, not yet made safe
//! to print.

use std::net::IpAddr;

use x509_parser::asn1_rs::{BmpString, Tag};
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::time::Timestamp;

/// A distinguished name on one line, in the order of the certificate: `C=JP, O=Lab, CN=KM-1`. What has a meaning there
/// and stands in a value is escaped (RFC 4514 2.4), so that no value passes for two.
pub fn distinguished_name(name: &X509Name<'_>) -> String {
    let parts = name.iter().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join(" + "));
    parts.collect::<Vec<_>>().join(", ")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let id = attribute.attr_type();
    let kind = oid2abbrev(id, oid_registry()).map_or_else(|_| id.to_id_string(), str::to_owned);
    let value = attribute.attr_value();
    let text = match value.tag() {
        Tag::BmpString => BmpString::try_from(value.clone()).ok().map(|text| text.string()),
        _ => std::str::from_utf8(value.data).ok().map(str::to_owned),
    };
    match text {
        Some(text) => format!("{kind}={}", escaped(&text)),
        None => {
            let octets: String = value.data.iter().map(|octet| format!("{octet:02x}")).collect();
            format!("{kind}=#{octets}")
        }
    }
}

fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let at_an_end = c == ' ' && (at == 0 || at == last) || c == '#' && at == 0;
        if at_an_end || matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// An alternative name as OpenSSL writes it.
pub fn alternative_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        GeneralName::RFC822Name(name) => format!("email:{name}"),
        GeneralName::URI(name) => format!("URI:{name}"),
        GeneralName::DirectoryName(name) => format!("DirName:{}", distinguished_name(name)),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.map_or_else(|_| "IP:?".to_owned(), |address| format!("IP:{address}"))
        }
        other => other.to_string(),
    }
}

/// The beginning or end of a certificate's validity.
pub fn time(time: ASN1Time) -> Timestamp {
    Timestamp(time.timestamp().saturating_mul(1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_does_not_pass_for_two() {
        let told = |value: &str| {
            let mut params = rcgen::CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::OrganizationName, "Lab");
            params.distinguished_name.push(rcgen::DnType::CommonName, value);
            let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
            let (_, read) = x509_parser::parse_x509_certificate(made.der()).unwrap();
            distinguished_name(read.subject())
        };
        assert_eq!(told("KM-1"), "O=Lab, CN=KM-1");
        assert_eq!(told("x, O=Other + y"), r"O=Lab, CN=x\, O=Other \+ y");
        assert_eq!(told("#1 "), r"O=Lab, CN=\#1\ ");
        assert_eq!(told("größe"), "O=Lab, CN=größe");
    }
}
