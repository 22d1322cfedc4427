//! DER as far as certificates need it (X.690 8.1, 10.1). In: bytes. Out: elements, each with its header, so that what
//! is mirrored stays as it is. Refuses lengths beyond what is there.

/// Tags.
pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const SEQUENCE: u8 = 0x30;
/// `[0]` and `[3]`, constructed.
pub const CONTEXT_0: u8 = 0xa0;
pub const CONTEXT_3: u8 = 0xa3;

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    pub tag: u8,
    /// With its header.
    pub whole: &'a [u8],
    /// Without.
    pub content: &'a [u8],
}

/// Takes the element at the front of `bytes`.
pub fn take<'a>(bytes: &mut &'a [u8]) -> Option<Element<'a>> {
    let (&tag, &first) = (bytes.first()?, bytes.get(1)?);
    let (header, length) = match first {
        0..=0x7f => (2, usize::from(first)),
        0x81..=0x84 => {
            let octets = bytes.get(2..2 + usize::from(first & 0x7f))?;
            (2 + octets.len(), octets.iter().fold(0, |length, &octet| length << 8 | usize::from(octet)))
        }
        _ => return None,
    };
    let (whole, rest) = bytes.split_at_checked(header.checked_add(length)?)?;
    *bytes = rest;
    Some(Element { tag, whole, content: &whole[header..] })
}

/// Takes the element at the front, which must have this tag.
pub fn take_tagged<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<Element<'a>> {
    take(bytes).filter(|element| element.tag == tag)
}

/// An element of these parts.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = (content.len() as u32).to_be_bytes();
    let octets = &length[length.iter().position(|&octet| octet != 0).unwrap_or(3)..];
    let mut out = vec![tag];
    if content.len() >= 0x80 {
        out.push(0x80 | octets.len() as u8);
    }
    out.extend(octets);
    out.extend(content);
    out
}
