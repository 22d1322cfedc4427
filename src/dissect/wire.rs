//! The wire format of protobuf ("Protocol Buffers, Encoding"): fields as they stand, without a schema.

/// Groups inside each other that are skipped; deeper ones end the reading.
const MAX_DEPTH: usize = 32;

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub number: u32,
    pub value: Scalar<'a>,
    /// Where it stands: first byte of its tag, and the byte behind its value.
    pub span: (usize, usize),
}

/// A value, as far as the wire tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    /// Strings, bytes, messages, packed lists; the content of a group.
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    /// Its value, if it can be a text.
    pub fn text(&self) -> Option<&'a str> {
        match self.value {
            Scalar::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

/// The fields of a message, in order.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    position: usize,
    cut: bool,
}

impl<'a> Fields<'a> {
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, cut: false }
    }

    /// Whether the reading ended before the message, at [`Fields::position`].
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    pub fn position(&self) -> usize {
        self.position
    }

    fn field(&self) -> Option<Field<'a>> {
        let mut reader = Reader { bytes: self.bytes, position: self.position };
        let tag = reader.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|&number| number > 0)?;
        let value = reader.value(number, tag as u8 & 7, MAX_DEPTH)?;
        Some(Field { number, value, span: (self.position, reader.position) })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.cut || self.position == self.bytes.len() {
            return None;
        }
        let field = self.field();
        match &field {
            Some(field) => self.position = field.span.1,
            None => self.cut = true,
        }
        field
    }
}

/// The varints of a packed list; ends where they do not.
pub(super) fn varints(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let mut reader = Reader { bytes, position: 0 };
    std::iter::from_fn(move || reader.varint())
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.position..self.position.checked_add(count)?)?;
        self.position += count;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.position)?;
            self.position += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn value(&mut self, number: u32, wire_type: u8, depth: usize) -> Option<Scalar<'a>> {
        match wire_type {
            0 => self.varint().map(Scalar::Varint),
            1 => Some(Scalar::Fixed64(u64::from_le_bytes(*self.take(8)?.first_chunk()?))),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                self.take(length).map(Scalar::Bytes)
            }
            3 => self.group(number, depth),
            5 => Some(Scalar::Fixed32(u32::from_le_bytes(*self.take(4)?.first_chunk()?))),
            _ => None,
        }
    }

    fn group(&mut self, number: u32, depth: usize) -> Option<Scalar<'a>> {
        let start = self.position;
        loop {
            let before = self.position;
            let tag = self.varint()?;
            let (inner, wire_type) = (u32::try_from(tag >> 3).ok()?, tag as u8 & 7);
            if wire_type == 4 {
                return (inner == number).then_some(Scalar::Bytes(&self.bytes[start..before]));
            }
            self.value(inner, wire_type, depth.checked_sub(1)?)?;
        }
    }
}
