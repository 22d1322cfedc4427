//! Telling TLS by its first bytes, so that a connection that is not Ck can say what it is.

/// Whether a stream that begins with `bytes` is TLS: a handshake record of SSL 3.0 to TLS 1.3 (RFC 8446 5.1).
pub fn begins_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [22, 3, 0..=4, ..])
}
