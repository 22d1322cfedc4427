//! Certificates, keys and revocation lists in files. In: paths. Out: DER, or what is wrong with which file. Refuses to
//! know what they are for.

use std::cmp::Reverse;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use webpki::OwnedCertRevocationList;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::about;
use super::refusals::words;

/// How everything in DER begins that is a structure (X.690 8.9).
const SEQUENCE: u8 = 0x30;
/// What stands in every key that asks for a password, in PKCS#8's label and in the older header (RFC 1421 4.6.1.1).
const ENCRYPTED: &str = "ENCRYPTED";

/// All certificates in a file of PEM, which has at least one.
///
/// # Errors
/// One cannot be read, or there is none.
pub fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let bytes = std::fs::read(path).map_err(|error| about(path, error))?;
    all(path, &bytes, "certificate")
}

/// The text of a key that asks for no password.
///
/// # Errors
/// It cannot be read, or asks for one.
pub fn key_text(path: &Path) -> io::Result<String> {
    let text = std::fs::read_to_string(path).map_err(|error| about(path, error))?;
    if text.contains(ENCRYPTED) {
        let how = format!("openssl pkey -in {} -out PLAIN.key", path.display());
        return Err(about(path, format!("the key is encrypted; decrypt it first: {how}")));
    }
    Ok(text)
}

/// The key in a file of PEM.
///
/// # Errors
/// It cannot be read, or there is none.
pub fn private_key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(key_text(path)?.as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound => about(path, "no private key found, expected PEM"),
        error => about(path, error),
    })
}

/// All revocation lists in files of PEM, or files that are one in DER. The newest comes first: where an issuer has
/// several, that one counts (RFC 5280 5.1.2.4, 5.2.3).
///
/// # Errors
/// One cannot be read or used, or there is none in a file.
pub fn revocations(paths: &[PathBuf]) -> io::Result<Vec<CertificateRevocationListDer<'static>>> {
    let mut lists = Vec::new();
    for path in paths {
        for list in revocations_in(path)? {
            let unusable =
                |error: &dyn std::fmt::Display| about(path, format!("no revocation list that can be used: {error}"));
            OwnedCertRevocationList::from_der(&list).map_err(|error| unusable(&words(&error)))?;
            let (_, read) = CertificateRevocationList::from_der(&list).map_err(|error| unusable(&error))?;
            let issued = (read.last_update().timestamp(), read.crl_number().cloned());
            lists.push((Reverse(issued), list));
        }
    }
    lists.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(lists.into_iter().map(|(_, list)| list).collect())
}

fn revocations_in(path: &Path) -> io::Result<Vec<CertificateRevocationListDer<'static>>> {
    let bytes = std::fs::read(path).map_err(|error| about(path, error))?;
    if bytes.first() == Some(&SEQUENCE) {
        return Ok(vec![CertificateRevocationListDer::from(bytes)]);
    }
    all(path, &bytes, "revocation list")
}

fn all<T: PemObject>(path: &Path, bytes: &[u8], what: &str) -> io::Result<Vec<T>> {
    let found: Vec<T> = T::pem_slice_iter(bytes).collect::<Result<_, _>>().map_err(|error| about(path, error))?;
    if found.is_empty() {
        return Err(about(path, format!("no {what} found, expected PEM")));
    }
    Ok(found)
}
