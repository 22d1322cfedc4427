//! Addresses on the command line: numbers, or a name that stands for them.

use std::net::{SocketAddr, ToSocketAddrs};

/// An address and a port. A name stands for the first IPv4 address that it has, else its first IPv6 address.
///
/// # Errors
/// It is neither, or the name has no address.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let expected = "expected an address or a name, and a port, like 192.0.2.10:4164, [2001:db8::10]:4164 or \
                    controller.lab:4164";
    let named = text.rsplit_once(':').is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok());
    if !named {
        return Err(expected.to_owned());
    }
    let found: Vec<SocketAddr> = text.to_socket_addrs().map_err(|error| format!("{error}; {expected}"))?.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| format!("the name has no address; {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_addresses() {
        assert_eq!(address("[::1]:4164"), Ok(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 4164))));
        assert_eq!(address("localhost:4164"), Ok(SocketAddr::from(([127, 0, 0, 1], 4164))));
        for wrong in ["foo", "", ":4164", "127.0.0.1", "127.0.0.1:99999", "::1:x"] {
            assert!(address(wrong).unwrap_err().contains("like 192.0.2.10:4164"), "{wrong}");
        }
    }
}
