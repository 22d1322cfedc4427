//! What was given to the proxy and will not do what it is for, although it can be read. In: certificates and revocation
//! lists, and the time. Out: what to warn of.

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use crate::escape::escaped_line;
use crate::time::Timestamp;
use crate::x509;

/// What `who` is shown by the certificate in `file` does not help if that is not valid at `now`.
pub fn certificate(file: &str, der: &CertificateDer<'_>, who: &str, now: Timestamp) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let (from, to) = (x509::time(validity.not_before), x509::time(validity.not_after));
    let when = match now {
        now if now < from => format!("is not valid before {from}"),
        now if now > to => format!("was valid until {to}"),
        _ => return None,
    };
    Some(format!("{file}: the certificate {when}, so {who} will not take what it is shown; renew it"))
}

/// A revocation list that is out of date at `now` refuses everyone; one of nobody that is believed, nobody.
pub fn list(
    der: &CertificateRevocationListDer<'_>,
    authorities: &[&CertificateDer<'_>],
    now: Timestamp,
) -> Option<String> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    let issuer = x509::distinguished_name(list.issuer());
    let issuer = escaped_line(&issuer);
    if let Some(end) = list.next_update().map(x509::time).filter(|end| *end < now) {
        return Some(format!(
            "--crl: the list of {issuer} was good until {end}: whom that authority vouches for is refused; fetch a newer one"
        ));
    }
    let is_of = |authority: &&CertificateDer<'_>| {
        X509Certificate::from_der(authority).is_ok_and(|(_, it)| it.subject().as_raw() == list.issuer().as_raw())
    };
    (!authorities.iter().any(is_of)).then(|| {
        format!(
            "--crl: the list is of {issuer}, none of the authorities given, and judges only what an authority of that \
             name below them has signed"
        )
    })
}
