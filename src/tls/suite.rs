//! Cipher suites: what each is called, and how its records are protected.

use aws_lc_rs::{hkdf, hmac, tls_prf};
use tls_parser::{TlsCipherEnc, TlsCipherEncMode, TlsCipherKx, TlsCipherMac, TlsCipherSuite, TlsPRF};

/// How records are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    /// RFC 5288; key of so many bytes.
    AesGcm(usize),
    /// RFC 6655; key and tag of so many bytes.
    AesCcm(usize, usize),
    /// RFC 7905.
    ChaCha20Poly1305,
    /// RFC 5246 6.2.3.2; key of so many bytes.
    AesCbc(usize, Mac),
    /// RFC 5246 6.2.3.1: readable by anybody.
    Null(Mac),
}

/// The hash of an HMAC that protects records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mac {
    Sha1,
    Sha256,
    Sha384,
}

/// The hash that keys are derived with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
}

/// A suite whose records can be decrypted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suite {
    pub cipher: Cipher,
    pub hash: Hash,
    /// The client sends the premaster secret, encrypted for the server's RSA key.
    pub is_rsa: bool,
}

/// The name of a cipher suite (IANA, "TLS Cipher Suites").
pub fn suite_name(code: u16) -> Option<&'static str> {
    TlsCipherSuite::from_id(code).map(|suite| suite.name)
}

impl Suite {
    /// How a suite protects records; `None` if that is not known here.
    pub fn of(code: u16) -> Option<Self> {
        let suite = TlsCipherSuite::from_id(code)?;
        let key = usize::from(suite.enc_size) / 8;
        let cipher = match (suite.enc, suite.enc_mode) {
            (TlsCipherEnc::Aes, TlsCipherEncMode::Gcm) => Cipher::AesGcm(key),
            (TlsCipherEnc::Aes, TlsCipherEncMode::Ccm) => {
                Cipher::AesCcm(key, if suite.name.contains("CCM_8") { 8 } else { 16 })
            }
            (TlsCipherEnc::Chacha20_Poly1305, _) => Cipher::ChaCha20Poly1305,
            (TlsCipherEnc::Aes, TlsCipherEncMode::Cbc) => Cipher::AesCbc(key, Mac::of(suite.mac)?),
            (TlsCipherEnc::Null, _) => Cipher::Null(Mac::of(suite.mac)?),
            _ => return None,
        };
        let hash = match suite.prf {
            TlsPRF::Sha384 => Hash::Sha384,
            // The suites of TLS 1.3 name their hash alone.
            _ if suite.kx == TlsCipherKx::Tls13 && suite.name.ends_with("SHA384") => Hash::Sha384,
            _ => Hash::Sha256,
        };
        Some(Self { cipher, hash, is_rsa: suite.kx == TlsCipherKx::Rsa })
    }
}

impl Cipher {
    pub fn key_length(self) -> usize {
        match self {
            Self::AesGcm(key) | Self::AesCcm(key, _) | Self::AesCbc(key, _) => key,
            Self::ChaCha20Poly1305 => 32,
            Self::Null(_) => 0,
        }
    }

    /// Bytes of the IV that come from the key block of TLS 1.2.
    pub fn fixed_iv_length(self) -> usize {
        match self {
            Self::AesGcm(_) | Self::AesCcm(..) => 4,
            Self::ChaCha20Poly1305 => 12,
            Self::AesCbc(..) | Self::Null(_) => 0,
        }
    }

    pub fn mac_length(self) -> usize {
        match self {
            Self::AesCbc(_, mac) | Self::Null(mac) => mac.length(),
            _ => 0,
        }
    }

    /// The least length of a protected record's body: no more records than bytes over this fit into a gap.
    pub fn least_body(self) -> usize {
        match self {
            Self::AesGcm(_) => 8 + 16,
            Self::AesCcm(_, tag) => 8 + tag,
            Self::ChaCha20Poly1305 => 16,
            Self::AesCbc(_, mac) => 16 + mac.length().next_multiple_of(16),
            Self::Null(mac) => mac.length(),
        }
    }
}

impl Mac {
    fn of(mac: TlsCipherMac) -> Option<Self> {
        match mac {
            TlsCipherMac::HmacSha1 => Some(Self::Sha1),
            TlsCipherMac::HmacSha256 => Some(Self::Sha256),
            TlsCipherMac::HmacSha384 => Some(Self::Sha384),
            _ => None,
        }
    }

    pub fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    pub fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
        }
    }
}

impl Hash {
    pub fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    pub fn hkdf(self) -> hkdf::Algorithm {
        match self {
            Self::Sha256 => hkdf::HKDF_SHA256,
            Self::Sha384 => hkdf::HKDF_SHA384,
        }
    }

    pub fn prf(self) -> &'static tls_prf::Algorithm {
        match self {
            Self::Sha256 => &tls_prf::P_SHA256,
            Self::Sha384 => &tls_prf::P_SHA384,
        }
    }

    pub fn digest(self) -> &'static aws_lc_rs::digest::Algorithm {
        match self {
            Self::Sha256 => &aws_lc_rs::digest::SHA256,
            Self::Sha384 => &aws_lc_rs::digest::SHA384,
        }
    }
}
