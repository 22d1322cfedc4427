//! Ck over TCP as the lab speaks it (Q.4164 Appendix I): header and payload to bytes and back. Written for
//! the lab alone; the analyzer's framing is another reading of the same page, which is the point.

use std::fmt;

/// A command code (Q.4164 Table I.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

impl Code {
    /// Q.4164 Table I.1, as are the twelve below.
    pub const NEXT_HOP_REQUEST: Self = Self(0x1401);
    /// Answers [`Code::NEXT_HOP_REQUEST`].
    pub const NEXT_HOP_RESPONSE: Self = Self(0x4102);
    /// A KM asks for a whole route.
    pub const RELAY_NOTIFICATION: Self = Self(0x1403);
    /// The controller gives the route and asks for the relay.
    pub const RELAY_REQUEST: Self = Self(0x4104);
    /// Answers [`Code::RELAY_REQUEST`].
    pub const RELAY_RESPONSE: Self = Self(0x1405);
    /// The source KM asks for a session.
    pub const SESSION_REQUEST: Self = Self(0x1406);
    /// Answers [`Code::SESSION_REQUEST`].
    pub const SESSION_RESPONSE: Self = Self(0x4107);
    /// The controller tells the destination KM of a session.
    pub const SESSION_NOTIFICATION: Self = Self(0x4108);
    /// Answers [`Code::SESSION_NOTIFICATION`].
    pub const SESSION_NOTIFICATION_RESPONSE: Self = Self(0x1409);
    /// The controller has keys reserved.
    pub const RESERVATION_REQUEST: Self = Self(0x410a);
    /// Answers [`Code::RESERVATION_REQUEST`].
    pub const RESERVATION_RESPONSE: Self = Self(0x140b);
    /// The controller has reserved keys allocated.
    pub const ALLOCATION_REQUEST: Self = Self(0x410c);
    /// Answers [`Code::ALLOCATION_REQUEST`].
    pub const ALLOCATION_RESPONSE: Self = Self(0x140d);

    /// The message's name (Q.4164 Table I.1).
    pub fn name(self) -> &'static str {
        match self {
            Self::NEXT_HOP_REQUEST => "Key relay next hop request",
            Self::NEXT_HOP_RESPONSE => "Response to key relay next hop request",
            Self::RELAY_NOTIFICATION => "Key relay request notification",
            Self::RELAY_REQUEST => "Key relay request",
            Self::RELAY_RESPONSE => "Response to key relay request",
            Self::SESSION_REQUEST => "Session creation request",
            Self::SESSION_RESPONSE => "Response to session creation request",
            Self::SESSION_NOTIFICATION => "Session creation notification",
            Self::SESSION_NOTIFICATION_RESPONSE => "Response to session creation notification",
            Self::RESERVATION_REQUEST => "Key reservation request",
            Self::RESERVATION_RESPONSE => "Response to key reservation request",
            Self::ALLOCATION_REQUEST => "Key allocation request",
            Self::ALLOCATION_RESPONSE => "Response to key allocation request",
            _ => "unknown message",
        }
    }

    /// The code of the message that answers this one, if one does.
    pub fn answered_by(self) -> Option<Self> {
        Some(match self {
            Self::NEXT_HOP_REQUEST => Self::NEXT_HOP_RESPONSE,
            Self::RELAY_NOTIFICATION => Self::RELAY_REQUEST,
            Self::RELAY_REQUEST => Self::RELAY_RESPONSE,
            Self::SESSION_REQUEST => Self::SESSION_RESPONSE,
            Self::SESSION_NOTIFICATION => Self::SESSION_NOTIFICATION_RESPONSE,
            Self::RESERVATION_REQUEST => Self::RESERVATION_RESPONSE,
            Self::ALLOCATION_REQUEST => Self::ALLOCATION_RESPONSE,
            _ => return None,
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04X}", self.0)
    }
}

/// One message as it travels: the header's fields and the JSON payload (Q.4164 Figure I.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pdu {
    /// Version of the message format.
    pub version: u16,
    /// MessageID.
    pub message_id: u32,
    /// CommandCode.
    pub code: Code,
    /// Payload, at most 65,535 bytes.
    pub payload: Vec<u8>,
}

/// Bytes of the header: Version 2, MessageID 4, CommandCode 2, Length 2 (Q.4164 Figure I.1).
pub const HEADER: usize = 10;

impl Pdu {
    /// Header and payload, network byte order; Length counts the payload.
    ///
    /// # Panics
    /// If the payload is longer than the Length field can say: the lab builds none such.
    pub fn encode(&self) -> Vec<u8> {
        let length = u16::try_from(self.payload.len()).expect("a lab payload fits the Length field");
        let mut bytes = Vec::with_capacity(HEADER + self.payload.len());
        bytes.extend(self.version.to_be_bytes());
        bytes.extend(self.message_id.to_be_bytes());
        bytes.extend(self.code.0.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// The payload as text, for printing.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// Cuts a stream into PDUs. Holds at most one PDU and what was pushed last.
#[derive(Clone, Debug, Default)]
pub struct Deframer(Vec<u8>);

impl Deframer {
    /// Takes what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    /// The next whole PDU.
    pub fn next_pdu(&mut self) -> Option<Pdu> {
        let header = self.0.first_chunk::<HEADER>()?;
        let [v0, v1, m0, m1, m2, m3, c0, c1, l0, l1] = *header;
        let end = HEADER + usize::from(u16::from_be_bytes([l0, l1]));
        let payload = self.0.get(HEADER..end)?.to_vec();
        self.0.drain(..end);
        Some(Pdu {
            version: u16::from_be_bytes([v0, v1]),
            message_id: u32::from_be_bytes([m0, m1, m2, m3]),
            code: Code(u16::from_be_bytes([c0, c1])),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_what_it_encoded_wherever_it_is_split() {
        let pdu = Pdu { version: 1, message_id: 7, code: Code::SESSION_REQUEST, payload: b"{}".to_vec() };
        let bytes = [pdu.encode(), pdu.encode()].concat();
        for cut in 0..bytes.len() {
            let mut deframer = Deframer::default();
            let mut found = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                deframer.push(part);
                found.extend(std::iter::from_fn(|| deframer.next_pdu()));
            }
            assert_eq!(found, [pdu.clone(), pdu.clone()], "cut at {cut}");
        }
    }
}
